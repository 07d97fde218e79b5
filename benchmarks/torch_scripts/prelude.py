"""Runs a script so that two libraries can be compared: weights, orders and random numbers come from NumPy.

``python prelude.py SCRIPT [ARGS]`` with PyTorch, ``numbacnn run prelude.py SCRIPT [ARGS]`` without. A network's weights are filled when an
optimiser is given them; loaders don't shuffle; dropout and random transforms leave their input alone.
"""

from __future__ import annotations

import os
import runpy
import sys
import warnings

import numpy as np

if os.environ.get("TORCHVISION"):  # a build of torchvision that does not fit the installed PyTorch: its operators are not needed
    import torch

    sys.path.append(os.environ["TORCHVISION"])
    library = torch.library.Library("torchvision", "DEF")
    for name in "nms qnms roi_align ps_roi_align roi_pool ps_roi_pool qroi_align deform_conv2d".split():
        library.define(f"{name}(Tensor x) -> Tensor")
        library.define(f"_{name}_backward(Tensor x) -> Tensor")

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.utils.data
from torchvision import transforms

numbers = np.random.RandomState(0)


def filled(values: np.ndarray) -> np.ndarray | None:
    """Weights uniform within 1 / sqrt(fan in); a vector of equal numbers, such as the scales of a norm, stays."""
    if values.size and (values == values.flat[0]).all():
        return None
    return numbers.uniform(-1, 1, values.shape).astype(np.float32) / np.float32(np.sqrt(np.prod(values.shape[1:]) if values.ndim > 1 else len(values)))


def start(optimizer_init):  # type: ignore[no-untyped-def]
    seen: set[int] = set()

    def init(self, params, *args, **options):  # type: ignore[no-untyped-def]
        params = list(params)
        for group in params:
            for p in group["params"] if isinstance(group, dict) else [group]:
                if id(p) in seen:
                    continue
                seen.add(id(p))
                values = filled(p.detach().numpy())
                if values is not None:
                    with torch.no_grad():
                        p.copy_(torch.from_numpy(values))
        optimizer_init(self, params, *args, **options)

    return init


torch.optim.Optimizer.__init__ = start(torch.optim.Optimizer.__init__)


class Ordered(torch.utils.data.DataLoader):
    def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None, **options):  # type: ignore[no-untyped-def]
        super().__init__(dataset, batch_size, False, **options)


torch.utils.data.DataLoader = Ordered
torch.randn = lambda *size, **options: torch.from_numpy(numbers.standard_normal(size).astype(np.float32))
torch.randn_like = lambda x, **options: torch.from_numpy(numbers.standard_normal(tuple(x.shape)).astype(np.float32))
for layer in (nn.Dropout, nn.Dropout2d):
    layer.forward = lambda self, x: x
F.dropout = lambda x, *args, **options: x
same = lambda *args, **options: lambda picture: picture  # noqa: E731
transforms.RandomCrop = transforms.RandomHorizontalFlip = same
transforms.RandomResizedCrop = lambda size, **options: transforms.Resize((size, size))
np.random.seed(0)
warnings.simplefilter("ignore")

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
