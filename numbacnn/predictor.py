"""From a run to an answer: pictures of any kind in, labels and probabilities out."""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import checkpoint
from .arguments import flag, integer
from .checkpoint import Checkpoint, Preprocessing
from .data.picture import MAX_PIXELS
from .errors import DTypeError, ShapeError, message
from .nn import Module
from .signatures import judged, shown
from .tensor import Tensor, from_array, inference_mode

__all__ = ["Prediction", "Predictor"]

BATCH = 32  # pictures that the network is given at once
DOT = b"P5 1 1 255\n\0"  # a picture file of one pixel
WARM = (1, BATCH)  # batches between these call the same kernels


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network makes of one picture.

    Args:
        probabilities: (K,), one for each class.
        classes: their K names.

    >>> found = Prediction(np.array([0.1, 0.7, 0.2]), ("cat", "dog", "fox"))
    >>> found.label, found.probability, found.top(2)
    ('dog', 0.7, [('dog', 0.7), ('fox', 0.2)])
    """

    probabilities: np.ndarray = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)

    @property
    def label(self) -> str:
        """The name of the most probable class."""
        return self.classes[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """That of the most probable class."""
        return float(self.probabilities.max())

    @judged
    def top(self, n: int = 3) -> list[tuple[str, float]]:
        """The ``n`` most probable classes and their probabilities, the most probable first; all of them where there are fewer."""
        order = np.argsort(-self.probabilities, kind="stable")[: integer("top", "n", n)]
        return [(self.classes[k], float(self.probabilities[k])) for k in order]

    def __repr__(self) -> str:
        return f"Prediction({self.label!r}, {self.probability:.4f})"


@judged
class Predictor:
    """A trained network with all that pictures go through before it.

    Args:
        source: the folder of a run (its best weights), the file of a checkpoint, or a Checkpoint.
        network: of a checkpoint whose network is none of ``numbacnn.models``: one that its weights fit. It is copied.
        device: "cpu" or "cuda".
        max_pixels: a picture file with more pixels is refused, before it is decoded.
        compile: replay the network without Python, to the same bits, as ``nc.compile`` does.

    Attributes:
        network: with its weights, frozen and in evaluation mode.
        classes: their names, in the order of the network's outputs; () where the checkpoint has none: they are numbered then.
        preprocessing: what pictures go through: the same as in training. None where the network was trained on arrays; then the
            predictor takes arrays or Tensors (C, H, W) as the network does.

    Called with a picture it gives a :class:`Prediction`, with a list of them a list. A picture is the path of a file, its bytes, a file
    opened to read bytes, a Pillow picture, or an array (H, W) or (H, W, C) of uint8 or of floats from 0 to 1;
    :meth:`numbacnn.checkpoint.Preprocessing.apply` says what becomes of it. Any number of threads may call it at once: to the same bits.
    The weights are packed for the kernels by the first call, and stay so.

    Raises:
        FormatError, FileNotFoundError: there is no checkpoint, or it is damaged.
        ValueError: the checkpoint's network is one of your own, and ``network`` is not given; or the weights don't fit it.

    >>> predict = Predictor("runs/photos")  # doctest: +SKIP
    >>> predict("cat.jpg").top(2)  # doctest: +SKIP
    [('cat', 0.96), ('dog', 0.03)]
    >>> [found.label for found in predict(["cat.jpg", open("dog.png", "rb"), np.zeros((64, 64, 3), np.uint8)])]  # doctest: +SKIP
    ['cat', 'dog', 'cat']
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Checkpoint,
        network: Module | None = None,
        *,
        device: str = "cpu",
        max_pixels: int = MAX_PIXELS,
        compile: bool = True,
    ) -> None:
        saved = source if isinstance(source, Checkpoint) else checkpoint.load(source)
        if network is None:
            network = saved.network()
        else:
            network = copy.deepcopy(network)
            network.load_state_dict(saved.weights)
        self._take(network, saved.classes, saved.preprocessing, device, flag("Predictor", "compile", compile))
        self.max_pixels = integer("Predictor", "max_pixels", max_pixels)

    def _take(
        self, network: Module, classes: tuple[str, ...], preprocessing: Preprocessing | None, device: str, compile: bool = True
    ) -> None:
        """Answer with this network, which is nobody else's."""
        self.network = network.requires_grad_(False).eval().to(device)
        if compile:
            self.network.compile()
        self.classes, self.preprocessing, self.device = classes, preprocessing, device

    @classmethod
    @judged
    def of(
        cls, network: Module, classes: Sequence[str] = (), preprocessing: Preprocessing | None = None, *, device: str = "cpu"
    ) -> Predictor:
        """A predictor of a network that is at hand, as it is now: it is copied. It may be what ``nc.optimize_for_inference`` gave.

        >>> from numbacnn import models
        >>> Predictor.of(models.lenet(classes=2), ("cat", "dog"))(np.zeros((1, 28, 28))).classes
        ('cat', 'dog')
        """
        network.state_dict()  # it raises where a lazy layer has no weights yet
        made = cls.__new__(cls)
        made._take(copy.deepcopy(network), tuple(classes), preprocessing, device)
        made.max_pixels = MAX_PIXELS
        return made

    @judged
    def __call__(self, pictures: Any) -> Any:
        """The :class:`Prediction` of a picture; a list of them for a list or tuple of pictures.

        Raises:
            FormatError, FileNotFoundError, ShapeError, DTypeError, ValueError, TypeError: as of :meth:`Preprocessing.apply`, for the first
                picture that can't be taken.
        """
        if not isinstance(pictures, (list, tuple)):
            return self.answers([self.prepared(pictures)])[0]
        found: list[Prediction] = []
        for start in range(0, len(pictures), BATCH):
            found += self.answers([self.prepared(picture) for picture in pictures[start : start + BATCH]])
        return found

    @judged
    def prepared(self, picture: Any) -> np.ndarray:
        """A picture as the network is given it, float32 (C, H, W)."""
        if self.preprocessing is not None:
            return self.preprocessing.apply(picture, max_pixels=self.max_pixels, op="Predictor")
        array = picture.detach().cpu().numpy() if isinstance(picture, Tensor) else picture
        if not isinstance(array, np.ndarray):
            wanted = "an array (C, H, W) as the network takes it, since the checkpoint does not say what pictures go through"
            hint = "train on an ImageDataset, or pass a Preprocessing to Predictor.of"
            raise TypeError(message("Predictor", wanted, shown(picture), hint))
        if array.dtype.kind not in "biuf":
            raise DTypeError(message("Predictor", "an array of numbers", f"dtype {array.dtype}"))
        return array.astype(np.float32)

    @judged
    def answers(self, prepared: Sequence[np.ndarray]) -> list[Prediction]:
        """The predictions for pictures that are :meth:`prepared`, as one batch."""
        if not len(prepared):
            return []
        if len({array.shape for array in prepared}) > 1:
            raise ShapeError(message("Predictor", "pictures of one shape", ", ".join(str(array.shape) for array in prepared[:4])))
        with inference_mode():
            scores = self.network(from_array(_stacked(prepared), self.device))
            fewest = 1 if len(self.classes) == 1 else 2  # one score alone is that of two classes: its softmax would say nothing
            if not isinstance(scores, Tensor) or scores.ndim != 2 or scores.shape[1] < fewest:
                received = f"shape {scores.shape}" if isinstance(scores, Tensor) else type(scores).__name__
                hint = "call predictor.network, or numbacnn.predict with probabilities=False"
                raise ShapeError(message("Predictor", "scores (N, K) of K classes from the network", received, hint))
            found = np.asarray(scores.softmax(1))
        classes = self.classes or tuple(map(str, range(found.shape[1])))
        if len(classes) != found.shape[1]:
            raise ValueError(message("Predictor", f"{found.shape[1]} classes, as the network has scores", f"{len(classes)} names"))
        return [Prediction(row, classes) for row in found]

    @judged
    def warmup(self, shape: Sequence[int] | None = None) -> float:
        """Load what reads pictures, compile the kernels that its calls need or load them from the cache, and pack the weights.

        Returns:
            the seconds that it took.

        Args:
            shape: (C, H, W) of what a network without preprocessing takes.

        Raises:
            ValueError: there is neither a preprocessing nor a shape.
        """
        if self.preprocessing is not None:
            shape = self.preprocessing.input_shape
        if shape is None:
            raise ValueError(message("warmup", "the shape (C, H, W) of the network's input", "None", "the checkpoint does not say it"))
        sizes = tuple(integer("warmup", "shape", size) for size in shape)
        began = time.perf_counter()
        if self.preprocessing is not None:
            with contextlib.suppress(ImportError):  # without pillow there are no pictures
                self.prepared(DOT)
        for count in WARM:
            self.answers([np.zeros(sizes, np.float32)] * count)
        return time.perf_counter() - began


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """A batch; pictures (C, H, W) are channels last in memory, as a DataLoader's."""
    if arrays[0].ndim != 3:
        return np.stack(arrays)
    return np.stack([array.transpose(1, 2, 0) for array in arrays]).transpose(0, 3, 1, 2)
