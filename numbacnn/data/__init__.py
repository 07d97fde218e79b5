"""Pictures and their labels: data sets, whole-batch transforms and the loader that feeds a training loop.

Every data set function returns a pair ``(train, test)`` of :class:`ImageDataset`; :func:`image_folder` a record that has ``val`` too.
Nothing is downloaded where the files are already there.

>>> train, test = digits()
>>> for X, y in DataLoader(train, batch_size=256, shuffle=True):
...     pass
"""

from .dataset import Dataset
from .download import cache_folder
from .folder import ImageFolder, Reading, image_folder, pictures
from .idx import fashion_mnist, mnist, read_idx
from .images import ImageDataset, digits, to_float
from .loader import DataLoader
from .picture import read_image
from .remarks import remarks
from .transforms import ColorJitter, Compose, Normalise, Normalize, RandomCrop, RandomErase, RandomFlip

__all__ = [
    "ColorJitter",
    "Compose",
    "DataLoader",
    "Dataset",
    "ImageDataset",
    "ImageFolder",
    "Normalise",
    "Normalize",
    "RandomCrop",
    "RandomErase",
    "RandomFlip",
    "Reading",
    "cache_folder",
    "digits",
    "fashion_mnist",
    "image_folder",
    "mnist",
    "pictures",
    "read_idx",
    "read_image",
    "remarks",
    "to_float",
]
