"""Runs a script so that two libraries can be compared: weights, orders and random numbers come from NumPy.

``python prelude.py SCRIPT [ARGS]`` with PyTorch, ``numbacnn run prelude.py SCRIPT [ARGS]`` without. Weights are filled when an optimiser is
given them, and what is left of a network when it is set to training. Loaders don't shuffle, and data sets are split in order; dropout and
random transforms leave their input alone; made-up pictures are NumPy's.
"""

from __future__ import annotations

import os
import runpy
import sys
import warnings

import numpy as np

if os.environ.get("TORCHVISION"):
    import misfit  # noqa: F401

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.utils.data
from PIL import Image
from torchvision import datasets, transforms

numbers = np.random.RandomState(0)


seen: set[int] = set()


def fill(parameters):  # type: ignore[no-untyped-def]
    """Weights uniform within 1 / sqrt(fan in); a vector of equal numbers, such as the scales of a norm, stays."""
    for p in parameters:
        values = p.detach().numpy()
        constant = values.ravel()[0] in (0, 0.25, 1) if values.size == 1 else (values == values.ravel()[0]).all()
        if id(p) in seen or constant:
            continue
        seen.add(id(p))
        bound = np.float32(np.sqrt(np.prod(values.shape[1:]) if values.ndim > 1 else len(values)))
        with torch.no_grad():
            p.copy_(torch.from_numpy(numbers.uniform(-1, 1, values.shape).astype(np.float32) / bound))


def init(self, params, *args, **options):  # type: ignore[no-untyped-def]
    params = list(params)
    fill(p for group in params for p in (group["params"] if isinstance(group, dict) else [group]))
    optimizer_init(self, params, *args, **options)


def train(self, mode=True):  # type: ignore[no-untyped-def]
    if mode:
        fill(self.parameters())
    return module_train(self, mode)


optimizer_init, torch.optim.Optimizer.__init__ = torch.optim.Optimizer.__init__, init
module_train, nn.Module.train = nn.Module.train, train


class Ordered(torch.utils.data.DataLoader):
    def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None, **options):  # type: ignore[no-untyped-def]
        super().__init__(dataset, batch_size, False, **options)


def split(dataset, lengths, generator=None):  # type: ignore[no-untyped-def]
    ends = np.cumsum(lengths)
    return [torch.utils.data.Subset(dataset, range(end - length, end)) for end, length in zip(ends, lengths)]


class Fake(torch.utils.data.Dataset):
    def __init__(self, size, image_size, num_classes, transform=None, random_offset=0):  # type: ignore[no-untyped-def]
        self.size, self.shape, self.classes, self.transform, self.offset = size, image_size, num_classes, transform, random_offset

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        own = np.random.RandomState(index + self.offset)
        picture = Image.fromarray(own.randint(0, 256, (*self.shape[1:], self.shape[0])).astype(np.uint8))
        return self.transform(picture), int(own.randint(0, self.classes))

    def __len__(self):  # type: ignore[no-untyped-def]
        return self.size


datasets.FakeData = Fake
torch.utils.data.DataLoader, torch.utils.data.random_split = Ordered, split
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
