"""Pictures and curves, drawn with matplotlib, which is imported when the first is drawn."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from ..errors import in_form, message
from ..extras import import_extra
from ..signatures import judged, shown
from ..tensor import Tensor
from .hyperparameters import HyperParameters

__all__ = ["Animator", "ProgressBoard", "plot", "pyplot", "set_axes", "set_figsize", "show_images", "use_svg_display"]

FIGSIZE = (3.5, 2.5)
Limits = Sequence[float] | None
F = TypeVar("F", bound=Callable[..., Any])


def pyplot() -> Any:
    """matplotlib.pyplot.

    Raises:
        ImportError: without matplotlib.
    """
    return import_extra("d2l", "matplotlib.pyplot", "matplotlib")


def drawn(function: F) -> F:
    """Let what matplotlib and NumPy say of arguments that they can't draw come out in the house's form."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            if in_form(error):
                raise
            op = function.__qualname__.split(".")[0]
            raise ValueError(message(op, "what matplotlib can draw", f"{type(error).__name__}: {error}".rstrip("."))) from error

    return cast(F, call)


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def use_svg_display() -> None:
    """Let a notebook show figures as SVG; elsewhere it does nothing."""
    if _in_notebook():
        import_extra("d2l", "matplotlib_inline.backend_inline", "matplotlib").set_matplotlib_formats("svg")


@drawn
@judged
def set_figsize(figsize: Sequence[float] = FIGSIZE) -> None:
    """The size of the figures to come, (width, height) in inches."""
    use_svg_display()
    pyplot().rcParams["figure.figsize"] = tuple(figsize)


@drawn
@judged
def set_axes(
    axes: Any,
    xlabel: str | None = None,
    ylabel: str | None = None,
    xlim: Limits = None,
    ylim: Limits = None,
    xscale: str = "linear",
    yscale: str = "linear",
    legend: Sequence[str] | None = None,
) -> None:
    """Labels, limits, scales and legend of matplotlib's axes; a None is left as it is."""
    axes.set(xscale=xscale, yscale=yscale)
    given = {"xlabel": xlabel, "ylabel": ylabel, "xlim": xlim, "ylim": ylim}
    axes.set(**{name: value for name, value in given.items() if value is not None})
    if legend:
        axes.legend(legend)
    axes.grid(True)


class _Curves:
    """One figure whose curves grow.

    In a notebook it is shown with the first point and replaced in place from then on; elsewhere pyplot has it, for ``plt.show()``.
    """

    def __init__(self, figsize: Sequence[float], **settings: Any) -> None:
        use_svg_display()
        self.fig, self.axes = pyplot().subplots(figsize=tuple(figsize))
        set_axes(self.axes, **settings)
        self._lines: dict[str, Any] = {}
        self._shown: Any = None
        if _in_notebook():
            pyplot().close(self.fig)  # which would show it once more at the end of the cell

    def put(self, label: str, xs: Sequence[float], ys: Sequence[float], *fmt: str, **style: Any) -> None:
        """Replace the points of a curve."""
        if label not in self._lines:
            (self._lines[label],) = self.axes.plot([], [], *fmt, label=label, **style)
            if not label.startswith("_"):
                self.axes.legend()
        self._lines[label].set_data(xs, ys)

    def show(self) -> None:
        """Fit the axes to the points, and show the figure where there is a notebook."""
        self.axes.relim()
        self.axes.autoscale_view()
        if not _in_notebook():
            return
        if self._shown is None:
            self._shown = sys.modules["IPython"].display.display(self.fig, display_id=True)
        else:
            self._shown.update(self.fig)


class Animator:
    """Curves that grow with :meth:`add`.

    Args:
        legend: the names of the curves.
        fmts: matplotlib's format of each curve; they are used in turn.

    >>> animator = Animator(xlabel="epoch", xlim=[1, 10], legend=["train loss", "test acc"])
    >>> animator.add(1, (0.9, None))
    """

    @drawn
    @judged
    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        legend: Sequence[str] | None = None,
        xlim: Limits = None,
        ylim: Limits = None,
        xscale: str = "linear",
        yscale: str = "linear",
        fmts: Sequence[str] = ("-", "m--", "g-.", "r:"),
        figsize: Sequence[float] = FIGSIZE,
    ) -> None:
        self._legend, self._fmts = list(legend or ()), fmts
        self._points: list[tuple[list[float], list[float]]] = []
        self._curves = _Curves(figsize, xlabel=xlabel, ylabel=ylabel, xlim=xlim, ylim=ylim, xscale=xscale, yscale=yscale)

    @drawn
    def add(self, x: Any, y: Any) -> None:
        """A point of each curve: one y, or a sequence of them, at one x or at as many; a None adds nothing to its curve."""
        ys = list(y) if isinstance(y, (list, tuple)) else [y]
        xs = list(x) if isinstance(x, (list, tuple)) else [x] * len(ys)
        if len(xs) != len(ys):
            raise ValueError(message("Animator", f"an x for each of {len(ys)} curves", f"{len(xs)}"))
        self._points += [([], []) for _ in ys[len(self._points) :]]
        for i, (a, b) in enumerate(zip(xs, ys)):
            if a is not None and b is not None:
                self._points[i][0].append(float(a))
                self._points[i][1].append(float(b))
            label = self._legend[i] if i < len(self._legend) else f"_{i}"  # matplotlib shows no name that starts so
            self._curves.put(label, *self._points[i], self._fmts[i % len(self._fmts)])
        self._curves.show()


class ProgressBoard(HyperParameters):
    """Curves by name, which :meth:`draw` makes grow. Its arguments are attributes; they may be set until a figure's first point is drawn.

    Args:
        display: False draws nothing.

    >>> board = ProgressBoard(xlabel="x")
    >>> for x in range(10):
    ...     board.draw(x, x * x, "square", every_n=5)
    """

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        xlim: Limits = None,
        ylim: Limits = None,
        xscale: str = "linear",
        yscale: str = "linear",
        ls: Sequence[str] = ("-", "--", "-.", ":"),
        colors: Sequence[str] = ("C0", "C1", "C2", "C3"),
        figsize: Sequence[float] = FIGSIZE,
        display: bool = True,
    ) -> None:
        self.save_hyperparameters()
        self.clear()

    def clear(self) -> None:
        """Forget all points; the next one begins a new figure."""
        self._waiting: dict[str, list[tuple[float, float]]] = {}
        self._points: dict[str, list[tuple[float, float]]] = {}
        self._curves: _Curves | None = None

    @drawn
    @judged
    def draw(self, x: Any, y: Any, label: str, every_n: int = 1) -> None:
        """Add a point to the curve ``label``; the mean of each ``every_n`` points is drawn."""
        waiting = self._waiting.setdefault(label, [])
        waiting.append((float(x), float(y)))
        if len(waiting) < every_n:
            return
        points = self._points.setdefault(label, [])
        points.append(tuple(np.mean(waiting, axis=0).tolist()))
        waiting.clear()
        if not self.display:
            return
        if self._curves is None:
            names = ("xlabel", "ylabel", "xlim", "ylim", "xscale", "yscale")
            self._curves = _Curves(self.figsize, **{name: getattr(self, name) for name in names})
        i = list(self._points).index(label)
        style = {"color": self.colors[i % len(self.colors)], "linestyle": self.ls[i % len(self.ls)]}
        self._curves.put(label, [x for x, _ in points], [y for _, y in points], **style)
        self._curves.show()


@drawn
@judged
def plot(
    X: Any,
    Y: Any = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: Sequence[str] = (),
    xlim: Limits = None,
    ylim: Limits = None,
    xscale: str = "linear",
    yscale: str = "linear",
    fmts: Sequence[str] = ("-", "m--", "g-.", "r:"),
    figsize: Sequence[float] = FIGSIZE,
    axes: Any = None,
) -> None:
    """Curves of Y over X: arrays or Tensors, or lists of them; with X alone, of X over 0, 1, ...

    >>> plot([1.0, 2.0, 3.0], [[1.0, 4.0, 9.0], [1.0, 8.0, 27.0]], legend=["square", "cube"])
    """
    set_figsize(figsize)
    axes = pyplot().gca() if axes is None else axes
    ys = _rows(X if Y is None else Y)
    xs = [np.arange(len(y)) for y in ys] if Y is None else _rows(X)
    xs = xs * len(ys) if len(xs) == 1 else xs
    if len(xs) != len(ys):
        raise ValueError(message("plot", f"an X, or one for each of {len(ys)} curves", f"{len(xs)}"))
    axes.cla()
    for i, (x, y) in enumerate(zip(xs, ys)):
        axes.plot(x, y, fmts[i % len(fmts)])
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)


def _rows(data: Any) -> list[np.ndarray]:
    """One curve, or a list of curves, as arrays."""
    several = isinstance(data, (list, tuple)) and data and np.ndim(_array(data[0])) > 0
    return [_array(row) for row in data] if several else [_array(data)]


def _array(data: Any) -> np.ndarray:
    return np.asarray(data.detach() if isinstance(data, Tensor) else data)


@drawn
@judged
def show_images(imgs: Any, num_rows: int, num_cols: int, titles: Sequence[str] | None = None, scale: float = 1.5) -> Any:
    """Pictures (H, W) or (H, W, C) in a grid; gives the array of matplotlib's axes.

    >>> show_images(np.zeros((2, 8, 8)), 1, 2, titles=["one", "two"]).shape
    (2,)
    """
    if num_rows * num_cols < len(imgs):
        raise ValueError(message("show_images", f"rows and columns for {len(imgs)} pictures", shown((num_rows, num_cols))))
    use_svg_display()
    _, grid = pyplot().subplots(num_rows, num_cols, figsize=(num_cols * scale, num_rows * scale), squeeze=False)
    for axes in grid.ravel():
        axes.axis("off")
    for i, (axes, picture) in enumerate(zip(grid.ravel(), imgs)):
        axes.imshow(_array(picture))
        if titles is not None:
            axes.set_title(titles[i])
    return grid.ravel()
