"""Drawn characters: how their ink lies in the pictures of a data set, and another drawing laid so."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import number
from ..errors import message
from ..extras import import_extra
from .images import background, looks_drawn

__all__ = ["Ink"]

SAMPLE = 500  # pictures that are measured
SPREAD = 0.1  # deviation of the extent, as a share of a picture's side, above which characters lie anywhere
CORE = 40  # pixels, the darkest of a drawing, that ink has at least
FAINT = 24  # levels from the paper that are no ink
SPECK = 0.05  # share of the largest stroke's area; what is smaller is dirt
SHARP = 1 / math.sqrt(2 * math.pi)  # the deviation, in pixels, of an edge that rises within one pixel
LEAST_EXTENT = 0.2  # smaller characters lie anywhere
MOST_BLUR = 16.0  # pixels
LEAST_BLUR = 0.4  # pixels; less is not seen


@dataclass(frozen=True)
class Ink:
    """How drawn characters lie in pictures (H, W), and how sharp they are.

    Args:
        extent: of the ink's box the height as a share of H or the width as a share of W, the larger.
        centre: (y, x) of the ink's mass, as shares of H and W.
        blur: standard deviation in pixels of what softens the edges.

    >>> Ink(0.9, (0.5, 0.5), 1.5).laid(np.zeros((50, 50), np.uint8), (28, 28)) is None  # a blank page
    True
    """

    extent: float
    centre: tuple[float, float]
    blur: float

    def __post_init__(self) -> None:
        for share in self.centre:
            number("Ink", "centre", share, lambda v: 0 <= v <= 1, "from 0 to 1 along each axis")
        number("Ink", "extent", self.extent, lambda v: LEAST_EXTENT <= v <= 1, f"from {LEAST_EXTENT} to 1")
        number("Ink", "blur", self.blur, lambda v: 0 <= v <= MOST_BLUR, f"from 0 to {MOST_BLUR}")
        if len(self.centre) != 2:
            raise ValueError(message("Ink", "centre as (y, x)", f"{len(self.centre)} numbers"))

    @classmethod
    def of(cls, images: np.ndarray) -> Ink | None:
        """Of pictures (N, H, W, C), bytes; None where they are no drawn characters, or lie anywhere."""
        paper = background(images) if len(images) else "mixed"
        if paper == "mixed" or not looks_drawn(images):
            return None
        ink = images[:: -(-len(images) // SAMPLE)].mean(3) / 255
        ink = ink if paper == "dark" else 1 - ink
        ink /= np.maximum(np.quantile(ink, 0.99, axis=(1, 2), keepdims=True), 1e-3)
        ink = ink.clip(0, 1)
        extent = np.maximum(*(length / size for length, size in zip(_lengths(ink), ink.shape[1:])))
        if extent.std() > SPREAD or np.median(extent) < LEAST_EXTENT:
            return None
        y, x = (float(np.median(middle / size)) for middle, size in zip(_centre(ink), ink.shape[1:]))
        return cls(min(1.0, float(np.median(extent))), (y, x), _blur(ink))

    def laid(self, grey: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
        """The ink of a drawing of any size, grey bytes, dark on bright or bright on dark, bright on black: uint8 of ``size`` (H, W).

        Paper may be grey and noisy. None where there is no ink.
        """
        from scipy import ndimage

        found = _cleaned(grey)
        if found is None:
            return None
        pil = import_extra("read_image", "PIL.Image", "pillow")
        lengths, middle = ([axis.item() for axis in measure(found[None])] for measure in (_lengths, _centre))
        span = max(length / side for length, side in zip(lengths, size)) / self.extent  # pixels of the drawing for one of the picture
        start = [m - c * side * span for m, c, side in zip(middle, self.centre, size)]
        end = [s + side * span for s, side in zip(start, size)]
        margin = math.ceil(max(0.0, *(-s for s in start), *(e - side for e, side in zip(end, found.shape)))) + 1
        (top, left), (bottom, right) = ([value + margin for value in corner] for corner in (start, end))
        canvas = pil.fromarray(np.pad(found.astype(np.float32), margin))
        small = np.asarray(canvas.resize(size[::-1], pil.Resampling.BILINEAR, box=(left, top, right, bottom)))
        if self.blur > LEAST_BLUR:
            small = ndimage.gaussian_filter(small, self.blur, mode="constant")
        return np.rint(small.clip(0, 1) * 255).astype(np.uint8)


def _lengths(ink: np.ndarray) -> list[np.ndarray]:
    """Height and width of the ink's box in each picture, in pixels; a row that ink reaches to a half counts a half."""
    return [ink.max(across).sum(1) for across in (2, 1)]


def _centre(ink: np.ndarray) -> list[np.ndarray]:
    """Along y and x, in pixels."""
    mass = [ink.sum(across) for across in (2, 1)]
    return [(m * (np.arange(m.shape[1]) + 0.5)).sum(1) / np.maximum(m.sum(1), 1e-6) for m in mass]


def _blur(ink: np.ndarray) -> float:
    """What makes edges that rise within a pixel as soft as the steepest of these, as the deviation of a Gaussian."""
    steps = [np.quantile(np.abs(np.diff(ink, axis=axis)), 0.99, axis=(1, 2)) for axis in (1, 2)]
    steepest = float(np.median(np.maximum(*steps)))
    return min(MOST_BLUR, math.sqrt(max(0.0, (SHARP / max(steepest, 1e-3)) ** 2 - SHARP**2)))


def _cleaned(grey: np.ndarray) -> np.ndarray | None:
    """The ink alone, 0 to 1, without the paper's noise and specks."""
    from scipy import ndimage

    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]).astype(np.float64)
    paper = np.median(border)
    noise = np.quantile(np.abs(border - paper), 0.25) / 0.3186  # the standard deviation, if it is normal; ink may touch the border
    away = np.abs(grey - paper)
    count = min(CORE, -(-away.size // 20))
    core = np.partition(away, -count, axis=None)[-count]
    if core < max(FAINT, 5 * noise):
        return None
    strokes, _ = ndimage.label(away > max(core / 2, 4 * noise), np.ones((3, 3)))
    areas = np.bincount(strokes.ravel())
    areas[0] = 0
    kept = (areas >= max(1, SPECK * areas.max()))[strokes]
    floor = 2 * noise
    ink = ((away - floor) / (np.median(away[kept]) - floor)).clip(0, 1)
    return ink * ndimage.binary_dilation(kept, iterations=2)  # the edges of the strokes too
