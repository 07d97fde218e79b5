"""Pictures one by one, under torchvision's names: data sets, and pictures made of Tensors.

>>> from numbacnn.vision import datasets, utils
>>> picture, label = datasets.FakeData(size=1, image_size=(3, 8, 8))[0]
"""

from . import datasets, utils

__all__ = ["datasets", "utils"]
