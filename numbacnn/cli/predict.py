"""``numbacnn predict``."""

from __future__ import annotations

import argparse

import numpy as np

from .. import data, training
from ..checkpoint import Preprocessing
from ..data import Dataset
from ..data.dataset import background
from .options import Commands, machine_arguments, positive, use_threads
from .places import open_checkpoint, preprocessing_of

__all__ = ["add"]


def add(commands: Commands) -> None:
    sub = commands.add_parser("predict", help="classify pictures")
    sub.add_argument("images", nargs="+", metavar="IMAGE", help="picture files of any kind and size")
    sub.add_argument("--checkpoint", help="a checkpoint or the folder of a run (default: the newest in runs/)")
    sub.add_argument("--top", type=positive, default=3, help="how many classes to print (default: %(default)s)")
    invert = "negative of the picture: auto takes it where the borders are bright and those of the training pictures dark, or vice versa"
    sub.add_argument("--invert", choices=("auto", "yes", "no"), default="auto", help=invert)
    machine_arguments(sub)
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    use_threads(args)
    path, saved = open_checkpoint(args.checkpoint)
    seen = preprocessing_of(path, saved)
    channels, height, width = seen.input_shape
    pictures = [data.read_image(image, (height, width), channels) for image in args.images]
    inverted = [is_negative(picture, seen, args.invert) for picture in pictures]
    images = np.stack([255 - picture if negative else picture for picture, negative in zip(pictures, inverted)])
    batch = Dataset(images, np.zeros(len(images), np.int64), ("not known",), mean=seen.mean, std=seen.std)
    found = training.predict(saved.network().to(args.device), batch)
    classes = saved.classes if len(saved.classes) == found.shape[1] else tuple(map(str, range(found.shape[1])))
    print(f"{saved.model} from {path}")
    width = max(map(len, classes))
    for image, negative, row in zip(args.images, inverted, found):
        print(f"{image}{' (as a negative)' if negative else ''}")
        for k in np.argsort(-row, kind="stable")[: args.top]:
            print(f"  {classes[k]:<{width}}  {row[k]:7.2%}  {'#' * round(30 * float(row[k]))}".rstrip())


def is_negative(picture: np.ndarray, seen: Preprocessing, invert: str) -> bool:
    """Whether to take 255 - picture: black ink on white paper, say, where the training pictures are white on black."""
    if invert != "auto":
        return invert == "yes"
    return {seen.background, background(picture[None])} == {"dark", "bright"}
