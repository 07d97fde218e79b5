"""Pictures and their labels: data sets, whole-batch transforms and the loader that feeds a training loop.

Every data set function returns a pair ``(train, test)`` of :class:`Dataset`. Nothing is downloaded where the files are already there.

>>> train, test = digits()
>>> for X, y in DataLoader(train, batch_size=256, shuffle=True):
...     pass
"""

from .dataset import Dataset, digits, to_float
from .download import cache_folder
from .folder import image_folder, read_image
from .idx import fashion_mnist, mnist, read_idx
from .loader import DataLoader
from .transforms import ColorJitter, Compose, Normalise, Normalize, RandomCrop, RandomErase, RandomFlip

__all__ = [
    "ColorJitter",
    "Compose",
    "DataLoader",
    "Dataset",
    "Normalise",
    "Normalize",
    "RandomCrop",
    "RandomErase",
    "RandomFlip",
    "cache_folder",
    "digits",
    "fashion_mnist",
    "image_folder",
    "mnist",
    "read_idx",
    "read_image",
    "to_float",
]
