"""Pictures of a training run, and a curve made of letters for the terminal. Matplotlib is imported where a picture is drawn."""

from __future__ import annotations

import functools
import io
import itertools
import math
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .arguments import integer
from .data import ImageDataset
from .errors import ShapeError, message, printable
from .extras import import_extra
from .files import write_atomically
from .nn import Conv2d, Module
from .signatures import judged

__all__ = ["confusion", "curve", "kernels", "predictions", "profile", "text_curve"]

INK, MUTED, WRONG = "#1f2430", "#8a8f98", "#b3261e"
COLOURS = {"train": "#8fa3bf", "val": "#c8553d"}
"""The parts of the data that a history has columns of, and the colours of their curves."""
PASSES = {"forward": "#8fa3bf", "backward": "#c8553d", "optimizer": "#e0b04a"}
"""The passes of a step, and the colours of their bars."""
DPI = 150
FEW_EPOCHS = 30  # each has a marker
KERNELS_SHOWN = 64
NAME_SIZE, NAME_WIDTH = 7.5, 82.0  # of a class over a picture, in points
COUNTED_CLASSES = 30  # so many have their counts written into the confusion matrix


@runtime_checkable
class Columns(Protocol):
    """The history of a run, as ``fit`` returns it: one value of every epoch, by name."""

    def column(self, name: str) -> list[Any]: ...


@runtime_checkable
class Confusion(Protocol):
    """What ``evaluate`` returns: ``confusion[true, predicted]``, counts (K, K), and the names of the classes."""

    @property
    def confusion(self) -> np.ndarray | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...


@runtime_checkable
class Layers(Protocol):
    """What ``profile`` returns: the seconds of each layer in each pass, and of all together."""

    @property
    def seconds(self) -> float: ...
    def layers(self) -> dict[tuple[str, str], float]: ...


def _figure(width: float, height: float) -> Any:
    """An empty figure, in inches, that belongs to no window and leaves the user's own figures alone."""
    return import_extra("plots", "matplotlib.figure", "matplotlib").Figure(figsize=(width, height), layout="constrained")


def _write(figure: Any, path: str | Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    write_atomically(path, buffer.getvalue())


# -- the curve -------------------------------------------------------------------------------------------------------------------
@judged
def curve(history: Columns, path: str | Path) -> None:
    """Loss and accuracy (where there is one) of every epoch, as a PNG.

    Raises:
        ImportError: without matplotlib.
        ValueError: for a history without epochs.

    >>> curve(history, "curve.png")  # doctest: +SKIP
    """
    epochs = history.column("epoch")
    if not epochs:
        raise ValueError(message("plots", "a history with at least one epoch", "none"))
    curves = {title: _curves(history, title.lower()) for title in ("Loss", "Accuracy")}
    curves = {title: found for title, found in curves.items() if found}
    figure = _figure(4.5 * len(curves), 3.4)
    marker = "o" if len(epochs) <= FEW_EPOCHS else ""
    for axes, (title, found) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        for part, values in found.items():
            axes.plot(epochs, values, color=COLOURS[part], linewidth=2, marker=marker, markersize=4, label=f"{part} {values[-1]:.4f}")
        axes.set_title(title, loc="left", color=INK, fontsize=12, fontweight="bold")
        axes.set_xlabel("epoch", color=MUTED)
        margin = max(0.5, 0.02 * len(epochs))
        axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
        axes.set_xticks(_ticks(epochs[0], epochs[-1]))
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(MUTED)
        axes.tick_params(colors=MUTED)
        axes.grid(axis="y", color="#e6e8eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, labelcolor=INK)
    _write(figure, path)


def _curves(history: Columns, name: str) -> dict[str, list[float]]:
    """The values of the parts that have this name; an epoch without one leaves a gap."""
    found = {}
    for part in COLOURS:
        try:
            values = history.column(f"{part}_{name}")
        except (AttributeError, KeyError):  # this kind of run has no such column
            continue
        if any(value is not None for value in values):
            found[part] = [math.nan if value is None else value for value in values]
    return found


def _ticks(first: int, last: int) -> list[int]:
    """The first epoch, the last, and at most eight round numbers in between, which keep off both."""
    step = next(step for ten in itertools.count() for step in (10**ten, 2 * 10**ten, 5 * 10**ten) if (last - first) / step <= 8)
    inner = range(first - first % step, last, step)
    return [first, *(e for e in inner if first + 0.6 * step <= e <= last - 0.6 * step), *([last] if last > first else [])]


@judged
def text_curve(values: Sequence[float], title: str = "", width: int | None = None, height: int = 8) -> str:
    """The values from left to right as a curve in plain letters, ``height`` lines over the numbers of the first and the last.

    Args:
        width: letters for the curve; as many as the terminal has room for by default, 60 at most.

    Raises:
        ValueError: for no values, or any that is not finite; for a width or height below 1.

    >>> print(text_curve([0.0, 0.5, 1.0], "accuracy", height=3))
    accuracy
     1.000 |  *
     0.500 | *
     0.000 |*
           +---
            1 3
    """
    height, width = integer("text_curve", "height", height), None if width is None else integer("text_curve", "width", width)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(message("plots", "at least one value, all finite", str(list(values))))
    low, high = min(values), max(values)
    levels = [f"{low + (high - low) * row / max(height - 1, 1):6.3f}" for row in range(height if high > low else 1)]
    margin = max(map(len, levels))
    columns = min(width or min(60, max(8, shutil.get_terminal_size().columns - margin - 3)), len(values))
    picked = [values[round(i * (len(values) - 1) / max(columns - 1, 1))] for i in range(columns)]
    rows = [round((value - low) / (high - low) * (height - 1)) if high > low else 0 for value in picked]
    lines = [title] if title else []
    for row, level in reversed(list(enumerate(levels))):
        lines.append(f"{level:>{margin}} |" + "".join("*" if r == row else " " for r in rows).rstrip())
    last = str(len(values))
    numbers = "1" + last.rjust(max(columns - 1, len(last) + 1)) if len(values) > 1 else "1"
    return "\n".join([*lines, " " * margin + " +" + "-" * columns, " " * (margin + 2) + numbers])


# -- names of classes ------------------------------------------------------------------------------------------------------------
class Lettering:
    """Names of any script and length as a picture can show them: in fonts that have their letters, cut to the room there is.

    A name with letters that no installed font has stands as the number of its class, and ``note`` says so.

    Attributes:
        names: the names to show.
        fonts: the families to draw them with, in the order in which a letter is looked for.
        note: a remark for the heading, or "".
    """

    def __init__(self, names: Iterable[str]) -> None:
        cleaned = [_visible(name) for name in names]
        letters = _installed()
        self.fonts = [family for family in _usual_families() if family in letters] or ["DejaVu Sans"]  # it comes with matplotlib
        missing = {ord(letter) for name in cleaned for letter in name}.difference(*(letters[family]() for family in self.fonts))
        while missing and missing & letters[best := max(letters, key=lambda family: len(missing & letters[family]()))]():
            self.fonts.append(best)
            missing -= letters[best]()
        drawn = [bool(name) and missing.isdisjoint(map(ord, name)) for name in cleaned]
        self.names = [name if shown else f"class {k}" for k, (name, shown) in enumerate(zip(cleaned, drawn))]
        self.note = "" if all(drawn) else "numbered: no installed font has the letters"

    def text(self, name: str, width: float, size: float, lines: int = 2) -> str:
        """A name in up to so many lines of ``width`` points, broken between words where it can be; "..." stands for what is left out."""
        canvas = import_extra("plots", "matplotlib.backends.backend_agg", "matplotlib").RendererAgg(1, 1, 72)  # a pixel is a point
        font = import_extra("plots", "matplotlib.font_manager", "matplotlib").FontProperties(family=self.fonts, size=size)

        def fits(text: str) -> bool:
            return canvas.get_text_width_height_descent(text, font, ismath=False)[0] <= width

        broken = _broken(name, fits)
        if len(broken) > lines:
            start, rest = name[: len(broken[0]) // 3] if lines == 1 else "", "".join(broken[lines - 1 :])
            start += "..."
            end = next(n for n in range(len(rest) + 1) if n == len(rest) or fits(start + rest[n:]))  # names often differ at their ends
            broken = [*broken[: lines - 1], start + rest[end:].lstrip()]
        return "\n".join(line.strip() for line in broken)


def _broken(text: str, fits: Callable[[str], bool]) -> list[str]:
    """A text in pieces that fit, each as long as it can be; broken behind a word where that fills at least half of the line."""
    pieces = []
    while text:
        most = next((n for n in range(1, len(text)) if not fits(text[: n + 1])), len(text))
        if most < len(text):
            word = max(text.rfind(mark, 0, most + (mark == " ")) for mark in " _-/.,") + 1
            most = word if 2 * word >= most else most
        pieces.append(text[:most])
        text = text[most:]
    return pieces


def _visible(name: str) -> str:
    """A name on one line, without marks that only join or choose between glyphs."""
    kept = "".join(c for c in " ".join(name.split()) if unicodedata.category(c) != "Cf" and not "\ufe00" <= c <= "\ufe0f")
    return printable(kept).strip()


def _usual_families() -> list[str]:
    """What the user's matplotlib draws text with."""
    settings = import_extra("plots", "matplotlib", "matplotlib").rcParams
    return [family for name in settings["font.family"] for family in settings.get(f"font.{name}", [name])]


def _installed() -> dict[str, Callable[[], frozenset[int]]]:
    """The letters of each installed family that has an upright face of usual weight; families without serifs first."""
    entries = import_extra("plots", "matplotlib.font_manager", "matplotlib").fontManager.ttflist
    usual = [entry for entry in entries if entry.style == "normal" and entry.weight in (400, "normal", "regular")]
    files = {entry.name: entry.fname for entry in usual if not entry.name.startswith("Last Resort")}  # which draws boxes alone
    return {name: functools.partial(_letters, files[name]) for name in sorted(files, key=lambda name: ("Sans" not in name, name))}


@functools.cache
def _letters(file: str) -> frozenset[int]:
    """The characters that a font has."""
    return frozenset(import_extra("plots", "matplotlib.font_manager", "matplotlib").get_font(file).get_charmap())


# -- pictures of the network -----------------------------------------------------------------------------------------------------
@judged
def kernels(model: Module, path: str | Path) -> None:
    """The kernels of the model's first convolution, at most 64 of them, as a PNG.

    Blue is negative, white 0, red positive, as a mean over the input channels; with three of those the kernels are shown in colour.

    Raises:
        ImportError: without matplotlib.
        ValueError: for a model without convolutions.
    """
    first = next((module for module in model.modules() if isinstance(module, Conv2d)), None)
    if first is None:
        raise ValueError(message("plots", "a model with a convolution", "one without"))
    weight = np.array(first.weight.detach())  # (OC, C, KH, KW)
    shown = weight[:KERNELS_SHOWN]
    coloured = weight.shape[1] == 3
    pictures = shown.transpose(0, 2, 3, 1) if coloured else shown.mean(1)
    limit = float(np.abs(pictures).max()) or 1.0
    columns, rows = _grid(len(shown), 8, math.inf)
    figure = _figure(max(1.15 * columns + 0.9, 3.6), 1.25 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel():
        axes.axis("off")
    for number, (axes, kernel) in enumerate(zip(grid.ravel(), pictures)):
        if coloured:
            axes.imshow(kernel / (2 * limit) + 0.5, interpolation="nearest")
        else:
            image = axes.imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(str(number), color=MUTED, fontsize=9)
    if not coloured:
        bar = figure.colorbar(image, ax=grid, shrink=0.8, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=MUTED, labelsize=8)
    many = f"{len(shown)} of {len(weight)} kernels" if len(shown) < len(weight) else f"{len(weight)} kernel{'s' * (len(weight) > 1)}"
    mean = "" if coloured or weight.shape[1] == 1 else f", mean of {weight.shape[1]} channels"
    _heading(figure, f"First layer: {many} of {weight.shape[2]}x{weight.shape[3]}{mean}")
    _write(figure, path)


@judged
def predictions(data: ImageDataset, probabilities: np.ndarray, path: str | Path, columns: int = 8, rows: int = 3) -> None:
    """Some pictures with their predicted class, as a PNG; the mistakes come first, the surest foremost.

    Args:
        probabilities: (N, K), one row for each picture of ``data``.
        columns, rows: at most so many. A row of mistakes is shown, and more of them only where too few predictions are right.

    Raises:
        ImportError: without matplotlib.
        ShapeError: for probabilities of another shape.
        ValueError: for no pictures.
    """
    columns, rows = integer("predictions", "columns", columns), integer("predictions", "rows", rows)
    if not len(data):
        raise ValueError(message("plots", "at least one picture", "none"))
    if np.shape(probabilities) != (wanted := (len(data), len(data.classes))):
        raise ShapeError(message("plots", f"probabilities {wanted}, one for each picture and class", f"shape {np.shape(probabilities)}"))
    guess, sure = probabilities.argmax(1), probabilities.max(1)
    wrong = guess != data.labels
    count = min(columns * rows, len(data))
    columns, rows = _grid(count, columns, rows)
    mistakes, right = np.flatnonzero(wrong), np.flatnonzero(~wrong)
    mistakes = mistakes[np.argsort(-sure[mistakes], kind="stable")][: max(columns, count - len(right))]
    spread = right[np.linspace(0, len(right) - 1, count - len(mistakes)).astype(int)]
    shown = np.concatenate([mistakes, spread])
    lettering = Lettering(data.classes)
    titles = []
    for i in shown:
        said = [f"{lettering.names[guess[i]]} {sure[i]:.0%}", f"not {lettering.names[data.labels[i]]}"]
        titles.append("\n".join(lettering.text(words, NAME_WIDTH, NAME_SIZE) for words in (said if wrong[i] else said[:1])))
    lines = max(title.count("\n") for title in titles) + 1
    figure = _figure(max(1.25 * columns, 3.2), (1.15 + 0.14 * lines) * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, i, title in zip(grid, shown, titles):
        picture = data.images[i]
        picture = picture if picture.shape[2] == 3 else picture.mean(2)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title, color=WRONG if wrong[i] else INK, fontsize=NAME_SIZE, family=lettering.fonts, parse_math=False)
    _heading(figure, f"Predictions: {wrong.sum():,} of {len(wrong):,} wrong", lettering.note)
    _write(figure, path)


@judged
def confusion(evaluation: Confusion, path: str | Path) -> None:
    """The confusion matrix that :func:`numbacnn.training.evaluate` counted, as a PNG: a row for each true class.

    The colour is the share of the row; up to 30 classes the counts are written in too.

    Raises:
        ImportError: without matplotlib.
        ValueError: for an evaluation without classes.

    >>> confusion(evaluation, "confusion.png")  # doctest: +SKIP
    """
    if evaluation.confusion is None:
        raise ValueError(message("plots", "an evaluation of classes", "one without a confusion matrix"))
    counts = np.asarray(evaluation.confusion)
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    lettering = Lettering(evaluation.classes)
    counted = classes <= COUNTED_CLASSES
    names = [lettering.text(name, 110, NAME_SIZE, lines=2 if counted else 1) for name in lettering.names]
    side = max(0.36 * classes, 1.8) if counted else min(0.14 * classes, 12.0)
    named = range(0, classes, math.ceil(0.12 * classes / side))  # all, or as many as there is room for
    margin = 0.6 + max(len(line) for name in names for line in name.split("\n")) * 0.07
    figure = _figure(side + margin + 0.4, side + margin + 0.6)
    axes = figure.subplots()
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1.15, interpolation="nearest")  # the root lets rare mistakes be seen
    font = {"fontsize": NAME_SIZE, "color": INK, "family": lettering.fonts, "parse_math": False}
    axes.set_xticks(list(named), [names[k] for k in named], rotation=90, **font)
    axes.set_yticks(list(named), [names[k] for k in named], **font)
    axes.set_xlabel("predicted", color=MUTED)
    axes.set_ylabel("true", color=MUTED)
    axes.tick_params(length=0)
    axes.spines[:].set_color(MUTED)
    for k, j in zip(*np.nonzero(counts)) if counted else ():
        text = str(counts[k, j])
        size, colour = min(NAME_SIZE, 38 / len(text)), "white" if shares[k, j] > 0.35 else INK
        axes.text(j, k, text, ha="center", va="center", fontsize=size, color=colour)
    _heading(figure, f"Confusion: {counts.sum() - np.trace(counts):,} of {counts.sum():,} wrong", lettering.note)
    _write(figure, path)


@judged
def profile(found: Layers, path: str | Path, title: str = "a step") -> None:
    """The time of each layer of a step, as :func:`numbacnn.profile` has found it, as a PNG: a bar a layer in order, a colour a pass.

    Args:
        title: what was timed; the heading has it, and the time of all layers together.

    Raises:
        ImportError: without matplotlib.
        ValueError: for a step without kernels.

    >>> profile(nc.profile(step, x, y), "profile.png")  # doctest: +SKIP
    """
    times = found.layers()
    if not times:
        raise ValueError(message("plots", "a step with kernels", "one without"))
    names = list(dict.fromkeys(layer for _, layer in times))
    rows = np.arange(len(names))
    figure = _figure(7.2, 0.19 * len(names) + 1.1)
    axes = figure.subplots()
    starts = np.zeros(len(names))
    for part, colour in PASSES.items():
        widths = np.array([1e3 * times.get((part, name), 0.0) for name in names])
        if widths.any():
            axes.barh(rows, widths, left=starts, color=colour, height=0.75, label=f"{part} {_milliseconds(widths.sum())}")
        starts += widths
    for row, total in zip(rows, starts):
        axes.annotate(_milliseconds(total), (total, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7, color=MUTED)
    axes.set_yticks(rows, [_visible(name) or "other" for name in names], fontsize=NAME_SIZE, color=INK, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.12 * starts.max())
    axes.set_xlabel("ms", color=MUTED)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, length=0)
    axes.grid(axis="x", color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(PASSES), frameon=False, labelcolor=INK)
    _heading(figure, f"{title}: {_milliseconds(1e3 * found.seconds)} ms")
    _write(figure, path)


def _milliseconds(value: float) -> str:
    """Three digits, and no power of ten."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


def _grid(count: int, columns: int, rows: float) -> tuple[int, int]:
    """Columns and rows for so many pictures: at most as many as these, and rows that are filled alike."""
    rows = min(rows, math.ceil(count / columns))
    return math.ceil(count / rows), int(rows)


def _heading(figure: Any, text: str, note: str = "") -> None:
    figure.suptitle(text, x=0.02, ha="left", color=INK, fontsize=12, fontweight="bold")
    if note:
        figure.supxlabel(note, x=0.02, ha="left", color=MUTED, fontsize=NAME_SIZE)
