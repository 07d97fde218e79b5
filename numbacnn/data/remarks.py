"""What the owner of the data should know before a network learns from them."""

from __future__ import annotations

import hashlib

import numpy as np

from ..arguments import integer
from ..errors import printable
from ..signatures import judged
from .images import ImageDataset

__all__ = ["remarks"]

FEW = 10  # pictures of a class
UNEQUAL = 10  # times as many of the largest class as of the smallest
NAMED = 5  # classes in one line


@judged
def remarks(train: ImageDataset, val: ImageDataset | None = None, test: ImageDataset | None = None, batch_size: int = 1) -> list[str]:
    """Doubts about data sets, one sentence each: nothing where all is well.

    There are a single class, classes of which one has 10 times as many training pictures as another, fewer than 10 training pictures of a
    class, a batch larger than the training set, and pictures of val or test that are training pictures too, byte for byte.

    Raises:
        ValueError: for a batch size below 1.

    >>> remarks(ImageDataset(np.zeros((1, 8, 8, 1), np.uint8), np.array([0]), ("cat",)))
    ['One class alone, cat: there is nothing to tell apart.', 'Fewer than 10 training pictures: cat (1).']
    """
    integer("remarks", "batch_size", batch_size)
    counts = np.bincount(train.labels, minlength=len(train.classes))
    order = np.argsort(counts, kind="stable")
    found = []
    if len(train.classes) == 1:
        found.append(f"One class alone, {train.classes[0]}: there is nothing to tell apart.")
    elif len(counts) and counts[order[-1]] > UNEQUAL * counts[order[0]]:
        few, many = (f"{counts[label]:,} of {train.classes[label]}" for label in (order[0], order[-1]))
        found.append(f"The classes differ by more than {UNEQUAL} times: {few}, {many}.")
    if small := [f"{train.classes[label]} ({counts[label]})" for label in order if counts[label] < FEW]:
        more = f" and {len(small) - NAMED} more classes" if len(small) > NAMED else ""
        found.append(f"Fewer than {FEW} training pictures: {', '.join(small[:NAMED])}{more}.")
    if len(train) < batch_size:
        found.append(f"A batch of {batch_size:,} holds more than all {len(train):,} training pictures.")
    known = set(_digests(train))
    for part, data in (("val", val), ("test", test)):
        if data is not None and (same := sum(digest in known for digest in _digests(data))):
            found.append(f"{same:,} of {len(data):,} {part} pictures are training pictures too: their accuracy says little.")
    return [printable(line) for line in found]


def _digests(data: ImageDataset) -> list[bytes]:
    """A short hash of each picture."""
    return [hashlib.blake2b(picture, digest_size=16).digest() for picture in data.images]
