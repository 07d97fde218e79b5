"""Pictures of noise, to try a program with."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arguments import integer
from ...errors import ShapeError, message
from ...extras import import_extra
from ...signatures import judged, shown
from .vision import Transform, VisionDataset, position

__all__ = ["FakeData"]


@judged
class FakeData(VisionDataset):
    """Pillow pictures of random bytes with random labels, which depend on the index alone; the values are not torchvision's.

    Args:
        size: how many.
        image_size: (C, H, W) of each, C 1, 3 or 4.
        num_classes: the labels are below it.
        transform: a function of the picture.
        target_transform: a function of the label.
        random_offset: added to the index; another offset gives other pictures.

    Raises:
        ValueError, ShapeError: a size is none.

    >>> data = FakeData(size=2, image_size=(1, 4, 6), num_classes=3)
    >>> picture, label = data[1]
    >>> len(data), picture.size, picture.mode, 0 <= label < 3, data[1][1] == label
    (2, (6, 4), 'L', True, True)
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.size = integer("FakeData", "size", size, 0)
        self.num_classes = integer("FakeData", "num_classes", num_classes)
        self.random_offset = integer("FakeData", "random_offset", random_offset, -(1 << 63))
        if not isinstance(image_size, (tuple, list)) or len(image_size) != 3 or image_size[0] not in (1, 3, 4):
            raise ShapeError(message("FakeData", "image_size (C, H, W) with C 1, 3 or 4", shown(image_size)))
        self.image_size = tuple(integer("FakeData", "image_size", side, 1, 1 << 16) for side in image_size)

    def __len__(self) -> int:
        return self.size

    @judged
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The picture and its label."""
        at = position("FakeData", index, self.size)
        generator = np.random.Generator(np.random.Philox(key=(at + self.random_offset) % (1 << 64)))
        channels, height, width = self.image_size
        pixels = generator.integers(0, 256, (height, width, channels), np.uint8)
        label = int(generator.integers(self.num_classes))
        picture = import_extra("FakeData", "PIL.Image", "pillow").fromarray(pixels[..., 0] if channels == 1 else pixels)
        return self._example(picture, label)
