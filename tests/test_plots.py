"""Pictures: what stands in them, looked up in matplotlib's own objects before they are written."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from numbacnn import nn, plots
from numbacnn.data import ImageDataset

matplotlib = pytest.importorskip("matplotlib", reason='needs matplotlib: pip install "numbacnn[demo]"')
agg = pytest.importorskip("matplotlib.backends.backend_agg")

NOWHERE = "\U0010fffd"  # a letter of nobody's: in no font
LONG = ("a_very_long_class_name_of_forty_letters_x", "n02123045 tabby, tabby cat, domestic", "Donaudampfschifffahrtsgesellschaftskapitän")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that would be written."""
    found: list[Any] = []
    monkeypatch.setattr(plots, "_write", lambda figure, path: found.append(figure))
    return found


def drawn(figure: Any) -> Any:
    """The figure with everything in its place; a warning of matplotlib is an error here."""
    agg.FigureCanvasAgg(figure).draw()
    return figure


def history(epochs: int, **columns: list[Any]) -> Any:
    """Losses that fall and accuracies that rise from 0.1."""
    t = np.arange(epochs)
    values = {"epoch": list(range(1, epochs + 1)), "train_loss": list(np.exp(-t / 5)), "val_loss": [None] * epochs}
    accuracy = {"train_accuracy": list(1 - 0.9 * np.exp(-t / 1.5)), "val_accuracy": [None] * epochs}
    known = {**values, **accuracy, **columns}
    return SimpleNamespace(column=lambda name: getattr(SimpleNamespace(**known), name))


# -- curves ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("epochs", [1, 2, 30, 300])
def test_the_curves_show_every_epoch(figures: list[Any], epochs: int) -> None:
    accuracy = [0.1, *(0.9 + 0.0001 * e for e in range(1, epochs))]
    plots.curve(history(epochs, train_accuracy=accuracy, val_accuracy=[a - 0.05 for a in accuracy]), "x")
    for axes, name in zip(drawn(figures[0]).axes, ("loss", "accuracy")):
        lines = {line.get_label().split()[0]: line for line in axes.lines}
        assert list(lines) == (["train"] if name == "loss" else ["train", "val"])
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        for line in lines.values():
            x, y = line.get_data()
            assert list(x) == list(range(1, epochs + 1))
            assert left < min(x) and max(x) < right and low <= min(y) and max(y) <= high
            assert epochs > 1 or line.get_marker() == "o"


@pytest.mark.parametrize(
    ("epochs", "ticks"),
    [(1, [1]), (2, [1, 2]), (12, [1, 4, 6, 8, 10, 12]), (30, [1, 5, 10, 15, 20, 25, 30]), (300, [1, 50, 100, 150, 200, 250, 300])],
)
def test_the_ticks_are_epochs(figures: list[Any], epochs: int, ticks: list[int]) -> None:
    plots.curve(history(epochs), "x")
    assert [axes.get_xticks().tolist() for axes in figures[0].axes] == [ticks, ticks]


def test_curves_of_what_there_is(figures: list[Any]) -> None:
    plots.curve(history(3, train_accuracy=[None] * 3), "x")
    assert [axes.get_title(loc="left") for axes in figures[0].axes] == ["Loss"]
    plots.curve(history(3, val_loss=[1.0, None, 0.5], val_accuracy=[0.5, None, 0.75]), "x")
    assert [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figures[1].axes] == [
        ["train 0.6703", "val 0.5000"],
        ["train 0.7628", "val 0.7500"],
    ]
    with pytest.raises(ValueError, match=r"^\[plots\] expected a history with at least one epoch; received none\.$"):
        plots.curve(history(0), "x")


def test_the_curve_in_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plots.text_curve([0.25]) == " 0.250 |*\n       +-\n        1"
    assert plots.text_curve([0.0, 1.0], height=2).splitlines() == [" 1.000 | *", " 0.000 |*", "       +--", "        1 2"]
    large = plots.text_curve([0.5, 12345.0], "loss", height=2).splitlines()
    assert large == ["loss", "12345.000 | *", "    0.500 |*", "          +--", "           1 2"]
    for columns, width in (("200", 60), ("40", 31), ("5", 8)):
        monkeypatch.setenv("COLUMNS", columns)
        lines = plots.text_curve(list(range(300))).splitlines()
        assert lines[-2] == "        +" + "-" * (width if columns == "200" else max(int(columns) - 10, 8))
        assert lines[-1].split() == ["1", "300"] and lines[0].endswith("*") and lines[-3].startswith("  0.000 |*")
        assert "\n".join(lines).isascii()
    for bad, said in (([], r"\[\]"), ([1.0, float("nan")], r"\[1.0, nan\]")):
        with pytest.raises(ValueError, match=rf"^\[plots\] expected at least one value, all finite; received {said}\.$"):
            plots.text_curve(bad)


# -- predictions -----------------------------------------------------------------------------------------------------------------
def predict(n: int, classes: tuple[str, ...], wrong: int = 0, channels: int = 1) -> tuple[ImageDataset, np.ndarray]:
    """Pictures, and probabilities of which so many are wrong."""
    labels = np.arange(n) % len(classes)
    images = np.arange(n * 64 * channels).astype(np.uint8).reshape(n, 8, 8, channels)
    guess = (labels + (np.arange(n) < wrong)) % len(classes)
    probabilities = 0.1 + np.eye(len(classes))[guess] * np.linspace(0.5, 0.8, n)[:, None]
    return ImageDataset(images, labels, classes, "made"), probabilities


def shown(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.images]


@pytest.mark.parametrize(
    ("n", "count", "cells"), [(1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8), (9, 9, 10), (20, 20, 21), (24, 24, 24), (70, 24, 24)]
)
def test_as_many_pictures_as_there_are(figures: list[Any], n: int, count: int, cells: int) -> None:
    plots.predictions(*predict(n, ("a", "b"), wrong=1), "x")
    found = shown(figures[0])
    assert (len(found), len(figures[0].axes)) == (count, cells)
    assert found[0].get_title() == "b 60%\nnot a" and not any("not" in axes.get_title() for axes in found[1:])
    assert figures[0].get_suptitle() == f"Predictions: 1 of {n} wrong"


def test_mistakes_fill_a_row_and_more_where_little_is_right(figures: list[Any]) -> None:
    for wrong in (3, 15, 40):
        plots.predictions(*predict(40, ("a", "b"), wrong), "x")
        titles = [axes.get_title() for axes in shown(figures.pop())]
        sure = [int(title.split()[1].rstrip("%")) for title in titles if "not" in title]
        assert len(titles) == 24 and sure == sorted(sure, reverse=True) and all("not" in title for title in titles[: len(sure)])
        assert len(sure) == {3: 3, 15: 8, 40: 24}[wrong]


def test_colour_and_grey_pictures(figures: list[Any]) -> None:
    for channels in (1, 3):
        data, probabilities = predict(2, ("a", "b"), channels=channels)
        plots.predictions(data, probabilities, "x")
        pictures = [np.asarray(axes.images[0].get_array()) for axes in shown(figures.pop())]
        assert all((picture == image.squeeze()).all() for picture, image in zip(pictures, data.images))


@pytest.mark.parametrize("n", [1, 9, 24])
def test_long_names_do_not_meet(figures: list[Any], n: int) -> None:
    plots.predictions(*predict(n, LONG, wrong=n // 2), "x")
    figure = drawn(figures[0])
    boxes = [axes.title.get_window_extent() for axes in shown(figure)] + [axes.get_window_extent() for axes in shown(figure)]
    boxes.append(figure._suptitle.get_window_extent())
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    width, height = figure.canvas.get_width_height()
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)


def test_names_that_are_no_text_for_matplotlib(figures: list[Any]) -> None:
    names = ("$x^{2$ \\frac_", "two\nlines\tand\x1b[2J", "left\u200bright\ufe0f", "", f"cat {NOWHERE}")
    plots.predictions(*predict(5, names), "x")
    figure = drawn(figures[0])
    titles = [axes.get_title().replace("\n", " ").rpartition(" ")[0] for axes in shown(figure)]
    assert titles == ["$x^{2$ \\frac_", "two lines and\\x1b[2J", "leftright", "class 3", "class 4"]
    assert figure.get_supxlabel() == "numbered: no installed font has the letters"
    plots.predictions(*predict(2, ("a", "Ωмега")), "x")
    assert figures[1].get_supxlabel() == ""


def test_another_font_has_the_letters(figures: list[Any]) -> None:
    strange = "\u20dd\u1d81"  # matplotlib comes with them in STIX, not in its usual font
    lettering = plots.Lettering(("a", strange))
    assert lettering.names == ["a", strange] and lettering.note == ""
    assert lettering.fonts[0] == "DejaVu Sans" and len(lettering.fonts) == 2
    plots.predictions(*predict(2, ("a", strange)), "x")
    drawn(figures[0])
    with matplotlib.rc_context({"font.family": ["STIXGeneral", "sans-serif"]}):
        assert plots.Lettering(("a", strange)).fonts[:2] == ["STIXGeneral", "DejaVu Sans"]
    with matplotlib.rc_context({"font.family": ["no such font"]}):
        assert plots.Lettering(("a",)).fonts == ["DejaVu Sans"]


def test_names_are_broken_and_shortened_by_their_width() -> None:
    lettering = plots.Lettering(LONG)
    assert lettering.text("short", 80, 8) == "short"
    assert lettering.text("tabby cat, domestic", 60, 8).splitlines() == ["tabby cat,", "domestic"]
    assert lettering.text("iiiiiiiiiiiiiiii", 40, 8) == "iiiiiiiiiiiiiiii" and "\n" in lettering.text("WWWWWWWWWWWWWWWW", 80, 8)
    for name, lines in itertools.product(LONG, (1, 2)):
        first, *more = lettering.text(name, 60, 8, lines).splitlines()
        assert len(more) < lines and "..." in (more or [first])[-1]
        assert name.startswith(first.partition("...")[0]) and name.endswith((more or [first])[-1].partition("...")[2])
    assert lettering.text("WWWW", 1, 8) == "W\n..."  # no room at all


# -- the others ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("channels", "count", "title"),
    [
        (1, 1, "1 kernel of 5x5"),
        (1, 4, "4 kernels of 5x5"),
        (3, 64, "64 kernels of 5x5"),
        (16, 100, "64 of 100 kernels of 5x5, mean of 16 channels"),
    ],
)
def test_kernels(figures: list[Any], channels: int, count: int, title: str) -> None:
    net = nn.Sequential(nn.Conv2d(channels, count, 5))
    plots.kernels(net, "x")
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figures[0].axes if axes.images]
    assert len(pictures) == min(count, 64) and figures[0].get_suptitle() == f"First layer: {title}"
    weight = np.array(net[0].weight.detach())
    wanted = weight.transpose(0, 2, 3, 1) / (2 * np.abs(weight).max()) + 0.5 if channels == 3 else weight.mean(1)
    assert all(np.allclose(picture, kernel) for picture, kernel in zip(pictures, wanted))


@pytest.mark.parametrize("classes", [2, 30, 31, 120])
def test_the_confusion_as_a_picture(figures: list[Any], classes: int) -> None:
    names = (*LONG, *(f"class number {k}" for k in range(classes)))[:classes]
    counts = np.diag(np.arange(classes) * 1000)
    counts[1, 0] = 7
    plots.confusion(SimpleNamespace(confusion=counts, classes=names), "x")
    axes = drawn(figures[0]).axes[0]
    total = counts.sum()
    assert figures[0].get_suptitle() == f"Confusion: 7 of {total:,} wrong"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    found = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert found == ({(k, j): str(counts[k, j]) for k, j in zip(*np.nonzero(counts))} if classes <= 30 else {})
    for axis in (axes.xaxis, axes.yaxis):
        ticks, labels = axis.get_ticklocs(), axis.get_ticklabels()
        assert ticks[0] == 0 and len(ticks) == (classes if classes <= 31 else 60)
        assert classes > 30 or ["".join(label.get_text().split()) for label in labels] == ["".join(name.split()) for name in names]
        boxes = [label.get_window_extent() for label in labels]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
    height = axes.get_window_extent().height
    assert height / figures[0].bbox.height > 0.4  # the names leave room for the matrix


def profiled(layers: dict[tuple[str, str], float]) -> Any:
    return SimpleNamespace(layers=lambda: layers, seconds=sum(layers.values()))


@pytest.mark.parametrize("count", [1, 9, 60])
def test_a_profile_as_a_picture(figures: list[Any], count: int) -> None:
    """A bar a layer, in order from the top; its passes side by side in their colours."""
    names = [f"layer{i}.conv" for i in range(count)]
    forward = {("forward", name): 1e-3 * (i + 1) for i, name in enumerate(names)} | {("forward", ""): 1e-5}
    backward = {("backward", name): 2e-3 * (i + 1) for i, name in reversed(list(enumerate(names)))}
    times = forward | backward | {("optimizer", "SGD"): 5e-4}
    plots.profile(profiled(times), "x", "LeNet")
    figure = drawn(figures[0])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [*names, "other", "SGD"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    bars = {tuple(sorted(c.get_label().split()[:1])): [(b.get_x(), b.get_width()) for b in c] for c in axes.containers}
    assert [label for (label,) in bars] == ["forward", "backward", "optimizer"]
    assert bars[("forward",)][0] == (0, 1) and bars[("backward",)][0] == (1, 2)
    assert bars[("optimizer",)][-1] == (0, 0.5) and axes.get_xlim()[1] > 3 * count
    assert figure.get_suptitle() == f"LeNet: {plots._milliseconds(1e3 * sum(times.values()))} ms"
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
    assert [figure.legends[0].get_texts()[0].get_text()] == [f"forward {plots._milliseconds(1e3 * sum(forward.values()))}"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.0123, "0.0123"), (0.5, "0.500"), (9.876, "9.88"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_milliseconds(value: float, text: str) -> None:
    assert plots._milliseconds(value) == text


TWO = predict(2, ("a", "b"))


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (plots.curve, ([1.0], "x"), "[curve] expected history as a Columns; received [1.0]."),
        (plots.kernels, ("net", "x"), "[kernels] expected model as a Module; received 'net'."),
        (plots.profile, (None, "x"), "[profile] expected found as a Layers; received None."),
        (plots.profile, (profiled({}), "x"), "[plots] expected a step with kernels; received one without."),
        (plots.confusion, (None, "x"), "[confusion] expected evaluation as a Confusion; received None."),
        (plots.text_curve, ([None, None],), "[text_curve] expected values as a sequence of numbers; received [None, None]."),
        (plots.text_curve, ([0.5, 1.0], "", None, 0), "[text_curve] expected height as an integer of at least 1; received 0."),
        (plots.text_curve, ([0.5, 1.0], "", 0), "[text_curve] expected width as an integer of at least 1; received 0."),
        (plots.predictions, (*TWO, "x", 0), "[predictions] expected columns as an integer of at least 1; received 0."),
        (
            plots.predictions,
            (TWO[0], TWO[1][:1], "x"),
            "[plots] expected probabilities (2, 2), one for each picture and class; received shape (1, 2).",
        ),
        (plots.predictions, (TWO[0], [[1, 0]] * 2, "x"), "[predictions] expected probabilities as an array; received [[1, 0], [1, 0]]."),
    ],
)
def test_what_cannot_be_drawn(figures: list[Any], function: Any, arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(text)}$"):
        function(*arguments)
    assert not figures


def test_pictures_are_written(tmp_path: Path) -> None:
    plots.curve(history(2), tmp_path / "curve.png")
    plots.confusion(SimpleNamespace(confusion=np.eye(2, dtype=int), classes=("猫", "b")), tmp_path / "confusion.png")
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tmp_path.iterdir()) and len(list(tmp_path.iterdir())) == 2
