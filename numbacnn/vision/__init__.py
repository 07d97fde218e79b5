"""Pictures one by one, under torchvision's names: data sets, what changes pictures on their way to a network, and grids of Tensors.

>>> from numbacnn.vision import datasets, transforms, utils
>>> prepared = transforms.Compose([transforms.Resize(8), transforms.ToTensor()])
>>> picture, label = datasets.FakeData(size=1, image_size=(3, 16, 16), transform=prepared)[0]
>>> picture.shape
(3, 8, 8)
"""

from . import datasets, transforms, utils

__all__ = ["datasets", "transforms", "utils"]
