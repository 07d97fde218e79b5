"""Transforms of one picture under torchvision's names: a Pillow picture, or a Tensor (..., C, H, W).

Arguments, defaults, ``get_params`` and values are torchvision's; Pillow does the work on Pillow pictures. What is random is drawn from the
library's generator (``nc.manual_seed``), or in a loader's worker from that of the example, whatever the number of workers. Tensors are
changed on the host by NumPy, and no gradient flows through. :mod:`numbacnn.data` has transforms of whole batches, which cost less.

>>> import numpy as np
>>> from numbacnn.vision import transforms
>>> augment = transforms.Compose([
...     transforms.ToTensor(),
...     transforms.RandomCrop(32, padding=4),
...     transforms.RandomHorizontalFlip(),
...     transforms.Normalize((0.5,), (0.5,)),
... ])
>>> augment(np.zeros((32, 32, 3), np.uint8)).shape
(3, 32, 32)
"""

from . import functional
from .color import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from .compose import Compose, Lambda, RandomApply, RandomChoice, RandomOrder
from .convert import ConvertImageDtype, Normalize, PILToTensor, RandomErasing, ToPILImage, ToTensor
from .functional import InterpolationMode
from .warp import RandomAffine, RandomPerspective, RandomRotation
from .window import (
    CenterCrop,
    FiveCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
    TenCrop,
)

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToPILImage",
    "ToTensor",
    "functional",
]
