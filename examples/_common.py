"""What the examples share: where their pictures go, and how a picture is drawn."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

INK, MUTED, BLUE, RED = "#1f2430", "#8a8f98", "#3b6ea8", "#c8553d"


def options(description):
    """The command line of an example; each has ``--out``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/examples"), help="folder for the picture (default: %(default)s)")
    return parser


def panels(rows, columns, width, height, title, **grid):
    """A figure of this many inches, and its axes in an array (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.015, ha="left", color=INK, fontweight="bold")
    return figure, figure.subplots(rows, columns, squeeze=False, **grid)


def matrix(axes, values, title, limit=None, numbers=False, cmap="RdBu_r", frame=None):
    """Draw a matrix: white is 0, red positive, blue negative.

    ``limit`` is the value of the strongest colour, ``numbers`` writes each value into its cell, and ``frame`` = (rows, columns) leaves
    room around the matrix, so that matrices of several sizes are drawn to one scale.
    """
    values = np.asarray(values, dtype=float)
    rows, columns = values.shape
    limit = limit or np.abs(values).max() or 1.0
    low = -limit if cmap == "RdBu_r" else 0
    image = axes.imshow(values, cmap=cmap, vmin=low, vmax=limit, interpolation="nearest")
    axes.set_title(title, color=INK, fontsize=10)
    height, width = frame or (rows, columns)
    axes.set(xlim=((columns - width - 1) / 2, (columns + width - 1) / 2), ylim=((rows + height - 1) / 2, (rows - height - 1) / 2))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(MUTED)
    if numbers:
        axes.axis("off")
        for (row, column), value in np.ndenumerate(values):
            colour = INK if np.mean(image.to_rgba(value)[:3]) > 0.5 else "white"
            axes.text(column, row, f"{value:g}", ha="center", va="center", color=colour, fontsize=9)
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#c5cad1", linewidth=0.8))


def curve(axes, title, xlabel, ylabel=""):
    """The frame of a curve."""
    axes.set_title(title, color=INK, fontsize=10)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)


def save(figure, folder, name):
    """Write the picture as ``folder/name.png`` and say so."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=130, facecolor="white")
    print("picture:", folder / f"{name}.png")
