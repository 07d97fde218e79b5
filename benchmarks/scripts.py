"""Scripts that were written for PyTorch, run unchanged: ``python -m benchmarks.scripts [NAME ...] [--torchvision FOLDER] [--out FOLDER]``.

Each runs by ``numbacnn run``, and beside it with PyTorch where that and torchvision are installed (``--torchvision`` names a folder with
a torchvision that does not fit the installed PyTorch). Both start from the same weights, see ``torch_scripts/prelude.py``; the numbers of
their output are compared. Fashion-MNIST (its first pictures) comes from NUMBACNN_DATA.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from .tables import markdown

HERE = Path(__file__).with_name("torch_scripts")
SCRIPTS: dict[str, str] = {  # arguments: FASHION and PICTURES are folders
    "mnist": "--data FASHION",
    "old_mnist": "--data FASHION",
    "quickstart": "FASHION",
    "vae": "--data FASHION",
    "gan": "--data FASHION",
    "cifar_tutorial": "--fake",
    "cifar_resnet": "--fake",
    "transfer": "PICTURES",
    "autoencoder": "FASHION",
    "siamese": "FASHION",
    "distillation": "",
    "own_dataset": "PICTURES",
    "imagenet": "--dummy",
    "denoise": "FASHION",
}
TRAIN, TEST = 2048, 512
"""Pictures of Fashion-MNIST."""


def fashion(folder: Path) -> None:
    """The first pictures of Fashion-MNIST, as torchvision keeps them."""
    source = Path(os.environ["NUMBACNN_DATA"]) / "fashion-mnist"
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", TRAIN), ("t10k", TEST)):
        for kind, head, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
            data = gzip.decompress((source / f"{part}-{kind}-ubyte.gz").read_bytes())
            number = count.to_bytes(4, "big")
            (raw / f"{part}-{kind}-ubyte").write_bytes(data[:4] + number + data[8:head] + data[head : head + count * size])


def pictures(folder: Path) -> None:
    """Two classes of small pictures, in folders and in a table."""
    numbers = np.random.RandomState(1)
    rows = []
    for part, count in (("train", 24), ("val", 12)):
        for label, name in enumerate(("ants", "bees")):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                file = folder / part / name / f"{i}.png"
                values = numbers.randint(0, 120, (80, 90, 3)) + 100 * label
                Image.fromarray(values.astype(np.uint8)).save(file)
                rows.append(f"{part}/{name}/{i}.png,{label}\n")
    (folder / "labels.csv").write_text("".join(rows))


def run(command: list[str], folder: Path, env: dict[str, str]) -> tuple[str, float]:
    """The output of a process in an empty folder, and its seconds."""
    folder.mkdir()
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-500:]}\n{done.stderr[-3000:]}")
    return done.stdout, time.perf_counter() - start


def compared(ours: str, theirs: str) -> float:
    """The largest difference of two numbers at the same place, relative to 1 or the number; infinite where the words differ."""
    number = re.compile(r"-?\d+(?:\.\d+)?")
    if number.sub("#", ours) != number.sub("#", theirs):
        return float("inf")
    pairs = zip(map(float, number.findall(ours)), map(float, number.findall(theirs)))
    return max((abs(a - b) / max(1.0, abs(b)) for a, b in pairs), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(SCRIPTS)}")
    parser.add_argument("--alone", action="store_true", help="without PyTorch")
    parser.add_argument("--torchvision", default="", help="a folder with torchvision")
    parser.add_argument("--out", type=Path, help="folder for scripts.md")
    args = parser.parse_args()
    table = [["script", "lines", "numbacnn, s", "PyTorch, s", "largest difference"]]
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        fashion(room / "fashion")
        pictures(room / "pictures")
        for script in args.names or SCRIPTS:
            places = {"FASHION": str(room / "fashion"), "PICTURES": str(room / "pictures")}
            file = str(HERE / f"{script}.py")
            words = [file, *(places.get(word, word) for word in SCRIPTS[script].split())]
            prelude = str(HERE / "prelude.py")
            ours, seconds = run([sys.executable, "-m", "numbacnn", "run", prelude, *words], room / f"{script}-ours", {})
            row = [script, str(len(Path(file).read_text().splitlines())), f"{seconds:.1f}", "-", "-"]
            if not args.alone:
                env = {"TORCHVISION": args.torchvision, "PYTHONPATH": ""}
                theirs, peer = run([sys.executable, prelude, *words], room / f"{script}-theirs", env)
                row[3:] = [f"{peer:.1f}", f"{compared(ours, theirs):.1e}"]
                if compared(ours, theirs) == float("inf"):
                    print(ours, theirs, sep="\n---\n")
            table.append(row)
            print(" ".join(row), flush=True)
    text = markdown(table) + "\n"
    print(text)
    if args.out:
        (args.out / "scripts.md").write_text(text)


if __name__ == "__main__":
    main()
