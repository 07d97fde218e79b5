"""What the notebooks and the scripts draw with."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

INK, MUTED, BLUE, RED = "#1f2430", "#8a8f98", "#3b6ea8", "#c8553d"


def panels(rows, columns, width, height, title="", **grid):
    """A figure of this many inches, and its axes in an array (rows, columns)."""
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained", gridspec_kw=grid)
    if title:
        figure.suptitle(title, x=0.015, ha="left", color=INK, fontweight="bold")
    return figure, axes


def matrix(axes, values, title, limit=None, numbers=False, cmap="RdBu_r", frame=None):
    """Draw a matrix: white is 0, red positive, blue negative, ``limit`` the strongest; ``frame`` (rows, columns) leaves room around it."""
    values = np.asarray(values, dtype=float)
    limit = limit or np.abs(values).max() or 1.0
    image = axes.imshow(values, cmap=cmap, vmin=-limit if cmap == "RdBu_r" else 0, vmax=limit, interpolation="nearest")
    axes.set_title(title, color=INK, fontsize=10)
    (rows, columns), (height, width) = values.shape, frame or values.shape
    axes.set(xlim=((columns - width - 1) / 2, (columns + width - 1) / 2), ylim=((rows + height - 1) / 2, (rows - height - 1) / 2))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(MUTED)
    if numbers:
        axes.axis("off")
        for (row, column), value in np.ndenumerate(values):
            colour = INK if np.mean(image.to_rgba(value)[:3]) > 0.5 else "white"
            axes.text(column, row, f"{value:g}", ha="center", va="center", color=colour, fontsize=9)
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#c5cad1", linewidth=0.8, clip_on=False))


def curve(axes, title, xlabel, ylabel=""):
    """The frame of a curve."""
    axes.set_title(title, color=INK, fontsize=10)
    axes.set(xlabel=xlabel, ylabel=ylabel, axisbelow=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e8eb", linewidth=0.8)


def options(description):
    """The command line of a script: ``--out``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/examples"), help="folder for the picture (default: %(default)s)")
    return parser


def save(figure, folder, name):
    """Write the picture as ``folder/name.png`` and say so."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=130, facecolor="white")
    print("picture:", path)
