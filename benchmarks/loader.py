"""Pictures from files, and rows of arrays, by both libraries' data loaders: ``python -m benchmarks.loader [--pictures N]``.

The files are JPEGs of some 256 x 256 pixels, made on the fly, in batches of 64. ``JPEGs``: both sides open, crop, resize to 224 x 224,
mirror and normalise a picture by the same function, with Pillow, and each makes the Tensor that its library's ``ToTensor`` would.
``ImageFolder``: each side does so by its own data set and its own transforms; PyTorch's are torchvision's, and ``--torchvision`` names a
folder with one that does not fit the installed PyTorch. Our workers are threads, or processes where the case says so; PyTorch's are always
processes. The arrays are 60,000 greys of 28 x 28 with their labels, in batches of 256: a TensorDataset on both sides.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .alternate import Case, Makers, Unavailable, Ways, arguments, compare, work
from .tables import Row, cell, geometric_mean, present, ratio, ratios, report

BATCH, ROWS, ROWS_BATCH = 64, 60_000, 256
SIDE = 224
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
MODES = ("0 workers", "2 threads", "4 threads", "2 processes", "4 processes")


def write(folder: Path, count: int) -> None:
    """JPEGs that take as long to decode as photographs: blurred noise, two thirds of a megabit each."""
    from PIL import Image

    rng = np.random.default_rng(0)
    (folder / "one class").mkdir()
    for number in range(count):
        height, width = rng.integers(240, 273, 2)
        small = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), np.uint8))
        small.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(folder / f"one class/{number:04d}.jpg", quality=90)


def picture(path: Path) -> np.ndarray:
    """float32 (224, 224, 3): a random crop of an eighth or more of the picture, resized, mirrored half of the time, normalised."""
    from PIL import Image

    with Image.open(path) as file:
        whole = file.convert("RGB")
    width, height = whole.size
    part = random.uniform(0.35, 1)
    x, y = random.uniform(0, (1 - part) * width), random.uniform(0, (1 - part) * height)
    crop = whole.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(x, y, x + part * width, y + part * height))
    if random.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    values = np.asarray(crop, np.float32)
    return (values / np.float32(255) - MEAN) / STD


class Pictures:
    """A map-style data set for either side; ``tensor`` makes (C, H, W) of a picture (H, W, C)."""

    def __init__(self, folder: str, tensor: Callable[[np.ndarray], Any]) -> None:
        self.files, self.tensor = sorted(Path(folder).rglob("*.jpg")), tensor

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.tensor(picture(self.files[index])), index % 10


def _prepared(library: Any) -> Any:
    """The same by transforms of a library."""
    steps = (
        library.RandomResizedCrop(SIDE),
        library.RandomHorizontalFlip(),
        library.ToTensor(),
        library.Normalize(MEAN.tolist(), STD.tolist()),
    )
    return library.Compose(steps)


def _epoch(loader: Any) -> Callable[[], None]:
    def run() -> None:
        for x, y in loader:
            len(x), len(y)

    return run


def _rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((ROWS, 1, 28, 28), np.float32), rng.integers(0, 10, ROWS)


def _workers(case: Case) -> int:
    return int(case["mode"].split()[0])


def ours(case: Case) -> Ways:
    import numbacnn as nc
    from numbacnn.data import DataLoader, TensorDataset
    from numbacnn.vision import datasets, transforms

    if case["data"] == "arrays":
        return [_epoch(DataLoader(TensorDataset(*map(nc.from_array, _rows())), ROWS_BATCH, shuffle=True))]
    context = "fork" if "processes" in case["mode"] else None
    data: Any
    if case["data"] == "JPEGs":
        data = Pictures(case["folder"], lambda values: nc.from_array(values.transpose(2, 0, 1)))
    else:
        data = datasets.ImageFolder(case["folder"], _prepared(transforms))
    return [_epoch(DataLoader(data, BATCH, shuffle=True, num_workers=_workers(case), multiprocessing_context=context))]


def theirs(case: Case) -> Ways:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    if case["data"] == "arrays":
        return [_epoch(DataLoader(TensorDataset(*map(torch.from_numpy, _rows())), ROWS_BATCH, shuffle=True))]
    data: Any
    if case["data"] == "JPEGs":
        data = Pictures(case["folder"], lambda values: torch.from_numpy(values).permute(2, 0, 1).contiguous())
    else:
        datasets, transforms = _torchvision()
        data = datasets.ImageFolder(case["folder"], _prepared(transforms))
    return [_epoch(DataLoader(data, BATCH, shuffle=True, num_workers=_workers(case)))]


def _torchvision() -> tuple[Any, Any]:
    if os.environ.get("TORCHVISION"):
        from .torch_scripts import misfit  # noqa: F401
    try:
        from torchvision import datasets, transforms
    except (ImportError, RuntimeError) as error:  # the second where its build does not fit
        raise Unavailable("torchvision can't be imported") from error
    return datasets, transforms


MAKERS: Makers = {"numbacnn": ours, "torch": theirs}


def table(rows: list[Row]) -> list[list[str]]:
    """Examples per second of each side: the best, in brackets the median."""
    sides = present(rows)
    lines = [["data", "workers", *("numbacnn, examples/s" if side == "numbacnn" else "PyTorch, examples/s" for side in sides), "ratio"]]
    for row in rows:
        rates = [cell(row, side, lambda seconds, row=row: f"{row['examples'] / seconds:,.0f}") for side in sides]
        lines.append([row["data"], row["mode"], *rates, ratios(row)])
    return lines


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.set_defaults(rounds=2, seconds=0.0)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--torchvision", default=os.environ.get("TORCHVISION", ""), help="a folder with torchvision")
    args: argparse.Namespace = parser.parse_args()
    if args.worker:
        work(MAKERS, args, least=1)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHVISION"] = args.torchvision  # for the workers
        write(Path(folder), args.pictures)
        pictures = {"folder": folder, "examples": args.pictures}
        cases: list[Case] = [{"data": data, "mode": mode, **pictures} for data in ("JPEGs", "ImageFolder") for mode in MODES]
        cases.append({"data": "arrays", "mode": "0 workers", "examples": ROWS})
        rows = compare("benchmarks.loader", MAKERS, cases, args)
    for row in rows:
        row.pop("folder", None)
    summary = {
        f"PyTorch's time over ours, geometric mean over {data}": geometric_mean([ratio(row) for row in rows if row["data"] == data])
        for data in ("JPEGs", "ImageFolder")
    }
    report("loader", f"Data loaders: {args.pictures:,} JPEGs, {ROWS:,} rows of arrays", table(rows), rows, summary, args)


if __name__ == "__main__":
    main()
