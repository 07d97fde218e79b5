"""What the default for a folder of pictures learns: ``python -m benchmarks.folders [colour] [grey] [drawn] [--seeds N] [--keep FOLDER]``.

Three folders are made of what two packages ship, and each is judged on pictures that lie apart from those it is trained with:

- colour: crops of eight photographs of scikit-image, training crops from the left half and test crops from the right one, a tenth of the
  width apart; their sides are a fifth to a half of the half's shorter side.
- grey: seven photographs and textures likewise.
- drawn: twelve characters in matplotlib's fonts, turned by up to 15 degrees and up to 10 pixels off the middle. The test fonts are others.

A class has 45 pictures to train with, a fifth of which choose the epoch, and 55 to test on. Beside it stand a random forest on the pixels
at 28 x 28 and the nearest neighbours, by Hellinger's distance, of the histograms of colours (8 x 8 x 8 levels, or 32 greys). Both are
trained with all 45. It needs the extras ``bench`` and ``demo``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from numbacnn import checkpoint
from numbacnn.data import ImageDataset, read_image
from numbacnn.data.images import looks_drawn, stratified_split
from numbacnn.training import BEST, LARGEST, evaluate, fit, folder_recipe

from .alternate import arguments
from .tables import Row, report

TRAIN, TEST = 45, 55
COLOUR = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
GREY = ("brick.png", "camera.png", "coins.png", "grass.png", "gravel.png", "moon.png", "page.png")
CHARACTERS = "bdpqEFGRSZ25"
TRAIN_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "STIXGeneralBol")
OBLIQUE, UPRIGHT = ("DejaVuSans-Oblique", "DejaVuSerif-Italic", "STIXGeneralItalic"), ("DejaVuSerif-Bold", "DejaVuSansMono-Bold")
TEST_FONTS = (*OBLIQUE, *UPRIGHT, "cmr10", "cmss10", "cmtt10")
Picture = tuple[str, str, int, Any]  # the part, the class, a number, and Pillow's picture


# -- the folders -------------------------------------------------------------------------------------------------------------------
def photographs(files: tuple[str, ...], mode: str, rng: np.random.Generator) -> Iterator[Picture]:
    import skimage
    from PIL import Image

    for name in files:
        whole = Image.open(Path(skimage.__file__).parent / "data" / name).convert(mode)
        width, height = whole.size
        half = width // 2 - width // 20  # the gap is a tenth of the width
        for part, count, start in (("train", TRAIN, 0), ("test", TEST, width - half)):
            for number in range(count):
                side = int(rng.integers(min(half, height) // 5, min(half, height) // 2))
                x, y = start + int(rng.integers(half - side + 1)), int(rng.integers(height - side + 1))
                yield part, name.split(".")[0], number, whole.crop((x, y, x + side, y + side))


def characters(rng: np.random.Generator) -> Iterator[Picture]:
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for character in CHARACTERS:
        for part, count, names in (("train", TRAIN, TRAIN_FONTS), ("test", TEST, TEST_FONTS)):
            for number in range(count):
                font = ImageFont.truetype(str(fonts / f"{names[number % len(names)]}.ttf"), int(rng.integers(36, 60)))
                page = Image.new("L", (96, 96), 255)
                place = tuple(int(48 + rng.integers(-10, 11)) for _ in range(2))
                ImageDraw.Draw(page).text(place, character, font=font, fill=int(rng.integers(60)), anchor="mm")
                turned = page.rotate(float(rng.uniform(-15, 15)), Image.Resampling.BILINEAR, fillcolor=255)
                yield part, f"character {character}", number, turned


FOLDERS = {
    "colour": lambda: photographs(COLOUR, "RGB", np.random.default_rng(1)),
    "grey": lambda: photographs(GREY, "L", np.random.default_rng(2)),
    "drawn": lambda: characters(np.random.default_rng(3)),
}


def write(name: str, root: Path) -> None:
    """The folder ``root``, with ``train`` and ``test``, and in each a folder a class."""
    for part, kind, number, picture in FOLDERS[name]():
        place = root / part / kind
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{number:03d}.png")


def read(folder: Path, size: int, channels: int) -> ImageDataset:
    files = sorted(folder.glob("*/*.png"))
    classes = tuple(sorted({file.parent.name for file in files}))
    labels = np.array([classes.index(file.parent.name) for file in files])
    return ImageDataset(np.stack([read_image(file, size, channels) for file in files]), labels, classes, name=folder.parent.name)


# -- who learns them ---------------------------------------------------------------------------------------------------------------
def network(train: ImageDataset, test: ImageDataset, seed: int, threads: int) -> float:
    """The test accuracy of the default, with the weights of the epoch that a fifth of the training pictures chose."""
    pixels = train.images.reshape(-1, train.images.shape[3]) / 255
    scale = {"mean": tuple(pixels.mean(0)), "std": tuple(pixels.std(0))}
    ours, val = (replace(train[part], **scale) for part in stratified_split(train.labels, len(train) // 5))
    chosen = folder_recipe(len(ours), train.input_shape[1], looks_drawn(train.images))
    model = chosen.pop("model")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        fit(model, ours, val, **chosen, seed=seed, out=out, threads=threads, progress=False)
        best = checkpoint.load(out / BEST).network()
    return evaluate(best, replace(test, **scale)).accuracy


def forest(train: ImageDataset, test: ImageDataset, seed: int) -> float:
    from sklearn.ensemble import RandomForestClassifier

    flat = [data.images.reshape(len(data), -1) for data in (train, test)]
    return float(RandomForestClassifier(300, random_state=seed).fit(flat[0], train.labels).score(flat[1], test.labels))


def histograms(data: ImageDataset) -> np.ndarray:
    """Square roots of the shares of the colours: Euclid's distance of these is Hellinger's."""
    n, channels = len(data), data.images.shape[3]
    levels = 8 if channels == 3 else 32
    pixels = (data.images // (256 // levels)).reshape(n, -1, channels).astype(np.int64)
    codes = pixels @ levels ** np.arange(channels)
    return np.sqrt([np.bincount(row, minlength=levels**channels) / codes.shape[1] for row in codes])


def neighbours(train: ImageDataset, test: ImageDataset) -> float:
    """The best of 1, 3 and 5 neighbours on the test pictures: an advantage that the network doesn't have."""
    from sklearn.neighbors import KNeighborsClassifier

    seen, asked = histograms(train), histograms(test)
    return max(float(KNeighborsClassifier(k).fit(seen, train.labels).score(asked, test.labels)) for k in (1, 3, 5))


def learned(name: str, root: Path, seeds: int, threads: int) -> Row:
    channels = 3 if name == "colour" else 1
    (train, test), (small, small_test) = ([read(root / part, size, channels) for part in ("train", "test")] for size in (LARGEST, 28))
    began, found = time.process_time(), []
    for seed in range(seeds):
        found.append(network(train, test, seed, threads))
        print(f"{name}, seed {seed}: {found[-1]:.4f}", flush=True)
    seconds = (time.process_time() - began) / seeds
    trees = [forest(small, small_test, seed) for seed in range(seeds)]
    row = {"folder": name, "accuracies": found, "numbacnn": mean(found), "forest": mean(trees), "histograms": neighbours(train, test)}
    return row | {"pictures": f"{len(train)} + {len(test)}", "classes": len(train.classes), "seconds": seconds}


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help=f"out of {', '.join(FOLDERS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="write the pictures here, and leave them there")
    args: argparse.Namespace = parser.parse_args()
    if unknown := set(args.folders) - set(FOLDERS):
        parser.error(f"unknown folder {', '.join(sorted(unknown))}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.folders or FOLDERS:
            root = (args.keep or Path(folder)) / name
            write(name, root)
            rows.append(learned(name, root, args.seeds, args.threads))
    table = [["folder", "classes", "pictures", "numbacnn (each seed)", "forest", "histograms", "processor time, s a run"]]
    for row in rows:
        each = " ".join(f"{accuracy:.3f}" for accuracy in row["accuracies"])
        figures = [f"{row['numbacnn']:.3f} ({each})", *(f"{row[peer]:.3f}" for peer in ("forest", "histograms")), f"{row['seconds']:.0f}"]
        table.append([row["folder"], str(row["classes"]), row["pictures"], *figures])
    report("folders", "Test accuracy on folders of pictures, mean over the seeds", table, rows, {}, args)


if __name__ == "__main__":
    main()
