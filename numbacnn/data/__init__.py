"""Data sets, samplers, whole-batch transforms of pictures, and the loader that feeds a training loop.

Every data set function returns a pair ``(train, test)`` of :class:`ImageDataset`; :func:`image_folder` a record that has ``val`` too.
Nothing is downloaded where the files are already there.

>>> train, test = digits()
>>> for X, y in DataLoader(train, batch_size=256, shuffle=True):
...     pass
"""

from .collate import default_collate, default_convert
from .dataset import ChainDataset, ConcatDataset, Dataset, IterableDataset, StackDataset, Subset, TensorDataset, random_split
from .download import cache_folder
from .folder import ImageFolder, Reading, image_folder, pictures
from .idx import fashion_mnist, mnist, read_idx
from .images import ImageDataset, digits, to_float
from .loader import DataLoader
from .picture import read_image
from .remarks import remarks
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from .transforms import ColorJitter, Compose, Normalise, Normalize, RandomCrop, RandomErase, RandomFlip
from .workers import WorkerInfo, get_worker_info

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ColorJitter",
    "Compose",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "ImageDataset",
    "ImageFolder",
    "IterableDataset",
    "Normalise",
    "Normalize",
    "RandomCrop",
    "RandomErase",
    "RandomFlip",
    "RandomSampler",
    "Reading",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerInfo",
    "cache_folder",
    "default_collate",
    "default_convert",
    "digits",
    "fashion_mnist",
    "get_worker_info",
    "image_folder",
    "mnist",
    "pictures",
    "random_split",
    "read_idx",
    "read_image",
    "remarks",
    "to_float",
]
