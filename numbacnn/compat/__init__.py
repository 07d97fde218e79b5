"""Other people's names: ``torch`` and ``torchvision`` made from this library, for code that was written for PyTorch.

Write ``import numbacnn.compat.torch as torch`` in a file, or leave the file as it is and run it with ``numbacnn run SCRIPT``.
``numbacnn check PATH`` lists what a script uses and what of it is missing. With PyTorch installed beside it, nothing of it is imported.

>>> import numbacnn.compat.torch as torch
>>> from numbacnn.compat.torch import nn
>>> torch.FloatTensor([1, 2]), nn.MSELoss(size_average=False).reduction
(tensor([1., 2.]), 'sum')

What is missing fails where it is used, and the error says what is nearest. Tensors and modules of a process that imports this take the
arguments of old code too (``memory_format=``, ``cuda(0)``), and ``x.device`` has a ``type``.
"""

from __future__ import annotations

import importlib

from .finder import Finder, offer

__all__ = ["offer"]

Finder.install(__name__)


def __getattr__(name: str) -> object:
    if name not in ("torch", "torchvision"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
