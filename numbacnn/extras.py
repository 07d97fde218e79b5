"""Packages that only some features need: which extra brings them, and how they are imported."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import message

__all__ = ["EXTRAS", "import_extra"]

EXTRAS = {
    "demo": ("scikit-learn", "matplotlib", "pillow"),
    "test": ("pytest", "pytest-xdist", "hypothesis"),
    "board": ("tensorboardX", "tensorboard"),
    "cuda": ("numba-cuda",),
    "ptx": ("nvidia-nvvm", "nvidia-cuda-nvcc"),
}
"""The packages that each extra brings."""


def import_extra(op: str, module: str, package: str, otherwise: str = "") -> Any:
    """Import a module of an optional package when it is needed; one that no extra brings is installed by itself.

    ``otherwise`` is what helps without it.

    Raises:
        ImportError: where it can't be imported; the message has the ``pip`` line that installs the extra.

    >>> import_extra("image_folder", "PIL.Image", "pillow").__name__
    'PIL.Image'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = next((f'"numbacnn[{name}]"' for name, packages in EXTRAS.items() if package in packages), package)
        wanted, hint = f"{package} to be installed", f"run: pip install {extra}{otherwise and f', {otherwise}'}"
        raise ImportError(message(op, wanted, f"{type(error).__name__}: {error}", hint)) from error
