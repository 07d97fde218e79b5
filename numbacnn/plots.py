"""Pictures of a training run, and a curve made of letters for the terminal. Matplotlib is imported where a picture is drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .data import Dataset
from .extras import import_extra
from .files import write_atomically
from .nn import Conv2d, Module

__all__ = ["curve", "kernels", "predictions", "text_curve"]

INK, MUTED, TRAIN, TEST, WRONG = "#1f2430", "#8a8f98", "#8fa3bf", "#c8553d", "#b3261e"
DPI = 150


class Columns(Protocol):
    """The history of a run, as ``fit`` returns it: one value of every epoch, by name."""

    def column(self, name: str) -> list[Any]: ...


def _figure(width: float, height: float) -> Any:
    """An empty figure, in inches, that belongs to no window and leaves the user's own figures alone."""
    return import_extra("plots", "matplotlib.figure", "matplotlib").Figure(figsize=(width, height), layout="constrained")


def _write(figure: Any, path: str | Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    write_atomically(path, buffer.getvalue())


# -- the curve -------------------------------------------------------------------------------------------------------------------
def curve(history: Columns, path: str | Path) -> None:
    """Loss and accuracy of every epoch, as a PNG.

    Raises:
        ImportError: without matplotlib.

    >>> curve(history, "curve.png")  # doctest: +SKIP
    """
    figure = _figure(9, 3.4)
    left, right = figure.subplots(1, 2)
    epochs = history.column("epoch")
    for axes, name, title in ((left, "loss", "Loss"), (right, "accuracy", "Accuracy")):
        if None in history.column(f"train_{name}"):
            axes.axis("off")
            continue
        marker = "o" if len(epochs) == 1 else ""
        for part, colour in (("train", TRAIN), ("val", TEST)):
            values = history.column(f"{part}_{name}")
            if None not in values:
                axes.plot(epochs, values, color=colour, linewidth=2, marker=marker, label=f"{part} {values[-1]:.4f}")
        axes.set_title(title, loc="left", color=INK, fontsize=12, fontweight="bold")
        axes.set_xlabel("epoch", color=MUTED)
        axes.set_xlim(0.5, len(epochs) + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(MUTED)
        axes.tick_params(colors=MUTED)
        axes.grid(axis="y", color="#e6e8eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, labelcolor=INK)
    if right.axison:
        _zoom(right, history)
    _write(figure, path)


def _zoom(axes: Any, history: Columns) -> None:
    """Leave out the first, low accuracies, so that the end of the curve can be read."""
    values = sorted(value for name in ("train_accuracy", "val_accuracy") for value in history.column(name) if value is not None)
    axes.set_ylim(
        max(0.0, values[len(values) // 4] - 1.5 * (values[-1] - values[len(values) // 4]) - 0.02), min(1.0, values[-1] + 0.02) + 0.002
    )


def text_curve(values: Sequence[float], title: str = "", width: int = 60, height: int = 8) -> str:
    """The values from left to right as a curve in plain letters, ``height`` lines and two more.

    >>> print(text_curve([0.0, 0.5, 1.0], "accuracy", height=3))
    accuracy
     1.000 |  *
     0.500 | *
     0.000 |*
           +---
    """
    picked = [values[round(i * (len(values) - 1) / max(min(width, len(values)) - 1, 1))] for i in range(min(width, len(values)))]
    low, high = min(picked), max(picked)
    rows = [round((value - low) / (high - low) * (height - 1)) if high > low else 0 for value in picked]
    lines = [title] if title else []
    for row in reversed(range(height if high > low else 1)):
        level = low + (high - low) * row / max(height - 1, 1)
        lines.append(f"{level:6.3f} |" + "".join("*" if r == row else " " for r in rows).rstrip())
    return "\n".join([*lines, "       +" + "-" * len(picked)])


# -- pictures of the network -----------------------------------------------------------------------------------------------------
def kernels(model: Module, path: str | Path) -> None:
    """The kernels of the model's first convolution, as a PNG: blue is negative, white 0, red positive; colours where it has three inputs.

    Raises:
        ImportError: without matplotlib.
        ValueError: for a model without convolutions.
    """
    first = next((module for module in model.modules() if isinstance(module, Conv2d)), None)
    if first is None:
        raise ValueError("[plots] expected a model with a convolution; received one without.")
    weight = np.array(first.weight.detach())  # (OC, C, KH, KW)
    limit = float(np.abs(weight).max()) or 1.0
    columns = min(8, len(weight))
    rows = math.ceil(len(weight) / columns)
    figure = _figure(max(1.15 * columns + 0.9, 3.6), 1.25 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel():
        axes.axis("off")
    for number, (axes, kernel) in enumerate(zip(grid.ravel(), weight)):
        if len(kernel) == 3:
            axes.imshow(kernel.transpose(1, 2, 0) / (2 * limit) + 0.5, interpolation="nearest")
        else:
            shown = axes.imshow(kernel.mean(0), cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(str(number), color=MUTED, fontsize=9)
    if weight.shape[1] != 3:
        bar = figure.colorbar(shown, ax=grid, shrink=0.8, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=MUTED, labelsize=8)
    size = f"{weight.shape[2]}x{weight.shape[3]}"
    figure.suptitle(
        f"First layer: {len(weight)} kernel{'s' * (len(weight) > 1)} of {size}",
        x=0.02,
        ha="left",
        color=INK,
        fontsize=12,
        fontweight="bold",
    )
    _write(figure, path)


def predictions(data: Dataset, probabilities: np.ndarray, path: str | Path, columns: int = 8, rows: int = 3) -> None:
    """Some pictures with their predicted class, as a PNG; the first row holds mistakes, the surest foremost.

    Args:
        probabilities: (N, K), one row for each picture of ``data``.

    Raises:
        ImportError: without matplotlib.
    """
    guess, sure = probabilities.argmax(1), probabilities.max(1)
    wrong = guess != data.labels
    mistakes = np.flatnonzero(wrong)
    mistakes = mistakes[np.argsort(-sure[mistakes], kind="stable")][:columns]
    right = np.flatnonzero(~wrong)
    spread = right[np.linspace(0, len(right) - 1, min(columns * rows - len(mistakes), len(right))).astype(int)]
    shown = np.concatenate([mistakes, spread])
    figure = _figure(1.25 * columns, 1.55 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, i in zip(grid, shown):
        axes.imshow(data.images[i].squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        text, truth = data.classes[guess[i]], data.classes[data.labels[i]]
        title = f"{text} {sure[i]:.0%}" + (f"\nnot {truth}" if wrong[i] else "")
        axes.set_title(title, color=WRONG if wrong[i] else INK, fontsize=8.5 if max(map(len, data.classes)) < 8 else 7)
    count = f"{wrong.sum():,} of {len(wrong):,} wrong"
    figure.suptitle(f"Predictions: {count}", x=0.01, ha="left", color=INK, fontsize=12, fontweight="bold")
    _write(figure, path)
