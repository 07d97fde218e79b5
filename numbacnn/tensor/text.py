"""Tensors as text, in PyTorch's layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["tensor_text"]

DIGITS = 4
"""Behind the point."""
LIMIT, EDGE = 1000, 3
"""Beyond so many elements, an axis shows so many at either end."""
WIDTH = 80
"""Of a line."""


def tensor_text(values: np.ndarray, notes: Sequence[str]) -> str:
    """The values, and what else there is to say.

    >>> tensor_text(np.array([1e-5, 10.0]), ["dtype=float64"])
    'tensor([1.0000e-05, 1.0000e+01], dtype=float64)'
    """
    head = "tensor("
    short = values.size > LIMIT
    text = head + (_block(values, len(head), short, _column(_ends(values) if short else values)) if values.size else "[]")
    line = len(text) - text.rfind("\n") + 1
    for note in notes:
        fits = line + len(note) + 2 <= WIDTH
        text += f", {note}" if fits else ",\n" + " " * len(head) + note
        line = line + len(note) + 2 if fits else len(head) + len(note)
    return text + ")"


def _block(values: np.ndarray, indent: int, short: bool, shown: Callable[[Any], str]) -> str:
    """Nested lists, the lines of which start behind ``indent``."""
    if not values.ndim:
        return shown(values.item())
    cut = short and len(values) > 2 * EDGE
    head, tail = (values[:EDGE], values[-EDGE:]) if cut else (values, values[:0])
    inner = [[_block(v, indent + 1, short, shown) for v in part] for part in (head, tail)]
    if values.ndim > 1:
        parts = inner[0] + ["..."] * cut + inner[1]
        return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
    parts = inner[0] + [" ..."] * cut + inner[1]
    fit = max(1, (WIDTH - indent) // (len(inner[0][0]) + 2)) if parts else 1
    lines = [", ".join(parts[i : i + fit]) for i in range(0, len(parts), fit)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _ends(values: np.ndarray) -> np.ndarray:
    """Without what is not shown."""
    for axis, size in enumerate(values.shape):
        if size > 2 * EDGE:
            values = np.take(values, [*range(EDGE), *range(size - EDGE, size)], axis)
    return values


def _column(values: np.ndarray) -> Callable[[Any], str]:
    """How one of these values is written: all with the same width, and floats in the same way."""
    form: Callable[[Any], str] = str
    counted = values
    if values.dtype.kind == "f":
        counted = values[np.isfinite(values) & (values != 0)].astype(np.float64)
        form = _form(counted)
    width = max((len(form(v)) for v in counted.reshape(-1).tolist()), default=0)
    return lambda value: form(value).rjust(width)


def _form(values: np.ndarray) -> Callable[[float], str]:
    """How floats are written, of which these are finite and not 0: whole numbers, with a fraction, or by powers of ten."""
    sizes = np.abs(values)
    low, high = sizes.min(initial=np.inf), sizes.max(initial=0)
    whole = bool((values == np.ceil(values)).all())
    if values.size and (high / low > 1000 or high > 1e8 or (not whole and low < 1e-4)):
        return lambda value: f"{value:.{DIGITS}e}"
    if whole:
        return lambda value: f"{value:.0f}" + "." * bool(np.isfinite(value))
    return lambda value: f"{value:.{DIGITS}f}"
