"""How the work of the kernels without a sum over channels, or over few, is cut."""

from __future__ import annotations

import functools

import numpy as np

from ....recording import constant
from .contract import TASKS, Contraction
from .tables import grid

__all__ = ["depthwise_chunks", "lane_index", "lane_source"]


@functools.lru_cache(maxsize=64)
def lane_index(p: Contraction) -> np.ndarray:
    """Where the weights of all channels lie, one row for each k: (K, channels)."""
    lanes = grid(np.arange(p.groups) * p.group_stride, np.arange(p.y_group) * p.lane_stride)
    return constant(np.add.outer(p.offsets[0], lanes))


@functools.lru_cache(maxsize=64)
def lane_source(p: Contraction, lanes: int) -> np.ndarray:
    """Where each weight is found among (K, whole vectors of so many lanes): the channels that fill none are in the last lanes."""
    index = lane_index(p)
    taps, channels = index.shape
    width, whole = -(-channels // lanes) * lanes, channels - channels % lanes
    columns = np.arange(channels)
    columns[whole:] += width - channels
    found = np.empty(index.size, np.int64)
    found[index] = np.add.outer(np.arange(taps) * width, columns)
    return constant(found)


def depthwise_chunks(images: int) -> tuple[int, int]:
    """How many images a depthwise weight gradient takes side by side, and into how many shares it cuts each."""
    beside = min(images, TASKS)
    return beside, TASKS // beside
