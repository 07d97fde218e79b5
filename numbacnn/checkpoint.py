"""Checkpoints: one safetensors file that holds all of a training run, written in one step or not at all.

Tensors are named ``model.<name>`` (weights and buffers) and ``optim.<position>.<name>`` (moments). Everything else is JSON in the file's
metadata, with a checksum over both. Reading one runs no code that the file brings along.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import models, nn
from .data import ImageDataset
from .data.images import background, to_float
from .data.ink import Ink
from .data.picture import MAX_PIXELS, decode
from .errors import DTypeError, FormatError, in_form, message
from .files import open_file, write_atomically
from .nn import Module
from .signatures import judged
from .tensor import Tensor

__all__ = ["BEST", "LAST", "Checkpoint", "Preprocessing", "file_of", "load", "load_weights", "save", "save_weights"]

FORMAT, VERSION, RESERVED = "numbacnn checkpoint", "1", "__metadata__"
LARGEST_HEADER = 100_000_000  # bytes; no reader takes a larger one
DEPTH = 100  # of lists and dicts within each other
LARGEST_PICTURE = 2**28  # values
MODEL, OPTIM = "model.", "optim."
BEST, LAST = "best.safetensors", "last.safetensors"
"""The checkpoints in the folder of a run: the weights of the best epoch, and the whole state after the last."""

LARGEST_DRAWING = 512  # pixels of the longer side at which ink is looked for


@dataclass(frozen=True)
class Preprocessing:
    """What a picture must go through before the model sees it.

    Args:
        input_shape: (C, H, W) of one picture.
        mean, std: C numbers each, on the scale where white is 1: the model is given ``(bytes / 255 - mean) / std``.
        background: "dark", "bright" or "mixed": the borders of the training pictures.
        ink: how drawn characters lie in the training pictures; None where other pictures are taken as they lie: photographs, and all
            that were read from files.
    """

    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    background: str = "mixed"
    ink: Ink | None = None

    @classmethod
    @judged
    def of(cls, data: ImageDataset) -> Preprocessing:
        """What the pictures of a data set go through.

        >>> Preprocessing.of(ImageDataset(np.zeros((3, 8, 8, 1), np.uint8), np.zeros(3, int), ("a",))).input_shape
        (1, 8, 8)
        """
        ink = Ink.of(data.images) if data.files is None else None  # a file of the user's was no other for training
        return cls(data.input_shape, data.mean, data.std, background(data.images) if len(data) else "mixed", ink)

    @judged
    def apply(self, source: Any, *, max_pixels: int = MAX_PIXELS, op: str = "preprocessing") -> np.ndarray:
        """A picture as the model is given it: float32 (C, H, W), channels last in memory. Equal bits to what a DataLoader makes of it.

        Args:
            source: the path of a file, its bytes, a file opened to read bytes, a Pillow picture, or an array (H, W) or (H, W, C) with 1, 3
                or 4 channels: uint8, or floats or bools from 0 to 1.
            max_pixels: a file with more pixels is refused, before it is decoded.
            op: who asks, for errors.

        The picture is read as ``data.read_image`` does. Where the training pictures are drawn characters, its ink is laid as theirs is,
        from dark on bright or bright on dark; only a picture of their size with a background like theirs is taken as it is.

        Raises:
            FormatError: for what is no picture, is damaged, or is too large.
            FileNotFoundError: there is no such file.
            ShapeError, DTypeError, ValueError, TypeError: for an array of another form, or a source of another kind.
            ImportError: without pillow.

        >>> Preprocessing((1, 1, 2), (0.5,), (0.25,)).apply(np.array([[0.0, 1.0]])).tolist()
        [[[-2.0, 2.0]]]
        """
        if isinstance(source, np.ndarray):
            source = _as_bytes(op, source)
        elif callable(getattr(source, "read", None)):
            source = source.read()  # it may be decoded twice
        channels, height, width = self.input_shape
        pixels = None if self.ink is None else self._drawing(self.ink, source, max_pixels, op)
        if pixels is None:
            pixels = decode(op, source, (height, width, channels), max_pixels).pixels
        return to_float(pixels[None], self.mean, self.std)[0].transpose(2, 0, 1)

    def _drawing(self, ink: Ink, source: Any, max_pixels: int, op: str) -> np.ndarray | None:
        """A drawing as (H, W, C) bytes like a training picture; None where there is nothing to be done, or no ink."""
        channels, height, width = self.input_shape
        whole = decode(op, source, (1, 1, 1), max_pixels).size
        scale = min(1.0, LARGEST_DRAWING / max(whole))
        rows, columns = (max(1, round(side * scale)) for side in whole)
        grey = decode(op, source, (rows, columns, 1), max_pixels).pixels
        paper, laid = background(grey[None]), None
        if whole == (height, width) and paper != "mixed":
            laid = None if paper == self.background else 255 - grey
        else:
            laid = ink.laid(grey[..., 0], (height, width))
            laid = 255 - laid if laid is not None and self.background == "bright" else laid
        return None if laid is None else np.broadcast_to(laid.reshape(height, width, 1), (height, width, channels))


def _as_bytes(op: str, array: np.ndarray) -> np.ndarray:
    """An array of floats or bools from 0 to 1 as bytes; bytes as they are."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "bf":
        hint = "divide by the value of white"
        raise DTypeError(message(op, "an array of uint8, or of floats from 0 to 1", f"dtype {array.dtype}", hint))
    if array.size and not 0 <= array.min() <= array.max() <= 1:  # NaN too
        received = f"{float(array.min()):.4g} to {float(array.max()):.4g}"
        raise ValueError(message(op, "floats from 0 to 1", received, "divide by the value of white"))
    return np.rint(array * np.float32(255)).astype(np.uint8)


@dataclass
class Checkpoint:
    """The whole state of a training run, as arrays and as values that JSON can hold.

    Args:
        weights: the model's ``state_dict`` as NumPy arrays.
        model: the name in ``numbacnn.models``, with ``model_args``; None for a network of the user's own.
        classes: their names, in the order of the labels.
        preprocessing: None where the training data were plain arrays.
        optimizer: ``Optimizer.state_dict()``; None in a checkpoint that is for use only.
        schedule: ``Schedule.state_dict()``, or None.
        generators: ``library`` (the library's random numbers) and ``loader`` (seed, epoch and position of the batches).
        progress: steps taken, the sums of the epoch that is going on, and the history of those that are over.
        run: what the run was started with.
    """

    weights: dict[str, np.ndarray]
    model: str | None = None
    model_args: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    optimizer: dict[str, Any] | None = None
    schedule: dict[str, Any] | None = None
    generators: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def network(self) -> Module:
        """The network with its weights, in evaluation mode, on the CPU.

        Raises:
            ValueError: it is a network of the user's own, or not the one of this name any more.

        >>> load("runs/digits-lenet-modern/best.safetensors").network()  # doctest: +SKIP
        """
        if self.model is None:
            hint = "make the network and call load_state_dict(checkpoint.weights)"
            raise ValueError(message("checkpoint", "a network of numbacnn.models", "a network of your own", hint))
        with nn.init.skipped():
            try:
                network = models.get(self.model)(**self.model_args)
            except TypeError as error:
                if in_form(error):
                    raise
                raise ValueError(message("checkpoint", f"model_args that {self.model} takes", str(error))) from None
        network.load_state_dict(self.weights)
        return network.eval()


# -- writing ---------------------------------------------------------------------------------------------------------------------
@judged
def save(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint; at every moment ``path`` is the old file or the new one, whole.

    Raises:
        OSError: where the folder cannot be written.

    >>> save("lenet.safetensors", Checkpoint({"weight": np.ones(3, np.float32)}))  # doctest: +SKIP
    """
    write_atomically(path, encode(checkpoint))


def encode(checkpoint: Checkpoint) -> bytes:
    """The bytes of a checkpoint's file; equal states give equal bytes."""
    from safetensors.numpy import save as to_bytes

    optimizer = checkpoint.optimizer or {"state": {}, "param_groups": []}
    tensors = {MODEL + name: _stored(value) for name, value in checkpoint.weights.items()}
    for index, moments in optimizer["state"].items():
        tensors |= {f"{OPTIM}{index}.{name}": _stored(value) for name, value in moments.items()}
    kept = {name: value for name, value in vars(checkpoint).items() if name not in ("weights", "optimizer", "preprocessing")}
    kept["preprocessing"] = None if checkpoint.preprocessing is None else asdict(checkpoint.preprocessing)
    kept["param_groups"] = None if checkpoint.optimizer is None else optimizer["param_groups"]
    content = as_json("checkpoint", "values", kept)
    # one entry: several would be written in an order that changes from call to call
    return to_bytes(tensors, {FORMAT: f"{VERSION} {_checksum(content, tensors)} {content}"})


def as_json(op: str, name: str, values: Any) -> str:
    """Values as JSON; ValueError for what it can't hold, or for more levels than :func:`load` takes."""
    try:
        text = json.dumps(values, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(message(op, f"{name} that JSON can hold", str(error))) from None
    if _is_deep(values):
        raise ValueError(message(op, f"{name} of at most {DEPTH} levels of lists and dicts", "more"))
    return text


def _is_deep(values: Any) -> bool:
    level = [values]
    for _ in range(DEPTH):
        level = [inner for v in level if isinstance(v, (dict, list, tuple)) for inner in (v.values() if isinstance(v, dict) else v)]
    return bool(level)


@judged
def save_weights(path: str | os.PathLike[str], state_dict: Mapping[str, Any]) -> None:
    """Write a ``state_dict`` (Tensors or arrays by name) alone, as a plain safetensors file that other libraries read too.

    Raises:
        ValueError: for the name ``__metadata__``, which the format keeps for itself.
        DTypeError: for an array that is not of numbers.

    >>> save_weights("lenet.safetensors", model.state_dict())  # doctest: +SKIP
    """
    from safetensors.numpy import save as to_bytes

    if RESERVED in state_dict:
        raise ValueError(message("save_weights", "names of weights", repr(RESERVED), "the format keeps it for itself"))
    write_atomically(path, to_bytes({name: _stored(value) for name, value in state_dict.items()}))


def _stored(value: Any) -> np.ndarray:
    """An array as the format holds it: in C order, and in the byte order of this machine."""
    array = np.asarray(value.detach() if isinstance(value, Tensor) else value)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DTypeError(message("checkpoint", "arrays of numbers of at most 64 bits", f"dtype {array.dtype}"))
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def _checksum(content: str, tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(content.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\0{name} {array.dtype} {array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


# -- reading ---------------------------------------------------------------------------------------------------------------------
@judged
def file_of(path: str | os.PathLike[str]) -> Path:
    """The file of a checkpoint: ``path`` itself, or in the folder of a run ``best.safetensors``, or else ``last.safetensors``.

    >>> file_of("runs/digits-lenet-modern")  # doctest: +SKIP
    PosixPath('runs/digits-lenet-modern/best.safetensors')
    """
    found = Path(path)
    if found.is_dir():
        return next((found / name for name in (BEST, LAST) if (found / name).is_file()), found / BEST)
    return found


@judged
def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint, from its file or from the folder of a run: the best there, or else the last.

    Raises:
        FormatError: the file is truncated, damaged, or no checkpoint of this library; the message names it and says why.
        FileNotFoundError: there is none.

    >>> load("runs/digits-lenet-modern").classes  # doctest: +SKIP
    ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    path = file_of(path)
    tensors, metadata = _read(path)
    if FORMAT not in metadata:
        raise _fault(path, "a checkpoint of numbacnn", "a safetensors file of another kind", "load_weights reads plain weights")
    version, _, rest = metadata[FORMAT].partition(" ")
    if version != VERSION:
        raise _fault(path, f"a checkpoint of version {VERSION}", f"version {version}", "use the numbacnn that wrote it")
    checksum, _, content = rest.partition(" ")
    if checksum != _checksum(content, tensors):
        raise _fault(path, "as it was written", "contents that disagree with their checksum", "take another copy of the file")
    return _decode(path, content, tensors)


@judged
def load_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a plain safetensors file, or the weights of a checkpoint or of a run's folder, for ``Module.load_state_dict``.

    Raises:
        FormatError: the file is truncated, damaged, or no safetensors file.
        FileNotFoundError: there is none.

    >>> model.load_state_dict(load_weights("lenet.safetensors"))  # doctest: +SKIP
    """
    path = file_of(path)
    tensors, metadata = _read(path)
    return load(path).weights if FORMAT in metadata else tensors


def _fault(path: str | os.PathLike[str], expected: str, received: str, hint: str = "") -> FormatError:
    return FormatError(message("checkpoint", f"{os.fspath(path)} to be {expected}", received, hint))


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors.numpy import load as from_bytes

    with open_file("checkpoint", "a file", path) as file:  # read, not mapped: a mapped file that somebody cuts short ends the process
        data = file.read(8)
        size = int.from_bytes(data, "little")
        data += file.read() if size <= LARGEST_HEADER else b""
    try:
        return from_bytes(data), json.loads(data[8 : 8 + size]).get(RESERVED, {})
    except Exception as error:  # the reader has many kinds, a dtype that NumPy lacks among them
        hint = "numbacnn.load reads a file of PyTorch's" if data.startswith(b"PK") else ""
        raise _fault(path, "a whole safetensors file", " ".join(str(error).split()) or type(error).__name__, hint) from error


_TYPES: dict[str, tuple[type, ...]] = {
    "model": (str, type(None)),
    "model_args": (dict,),
    "classes": (list,),
    "preprocessing": (dict, type(None)),
    "param_groups": (list, type(None)),
    "schedule": (dict, type(None)),
    "generators": (dict,),
    "progress": (dict,),
    "run": (dict,),
}


def _decode(path: str | os.PathLike[str], content: str, tensors: dict[str, np.ndarray]) -> Checkpoint:
    try:
        kept = json.loads(content)
        if kept.keys() != _TYPES.keys():
            raise ValueError(f"the entries {', '.join(sorted(kept))}")
        if wrong := [name for name, kinds in _TYPES.items() if not isinstance(kept[name], kinds)]:
            raise ValueError(f"{wrong[0]} of type {type(kept[wrong[0]]).__name__}")
        if _is_deep(kept):
            raise ValueError(f"more than {DEPTH} levels of lists and dicts")
        if wrong := [name for name in ("options", "notes") if not isinstance(kept["run"].get(name, {}), dict)]:
            raise ValueError(f"run.{wrong[0]} of type {type(kept['run'][wrong[0]]).__name__}")
        if wrong := [name for name in kept["classes"] if not isinstance(name, str)]:
            raise ValueError(f"a class of type {type(wrong[0]).__name__}")
        groups, seen = kept.pop("param_groups"), kept.pop("preprocessing")
        kept["classes"] = tuple(kept["classes"])
        weights, state = _split(tensors)
        preprocessing = None if seen is None else _preprocessing(**seen)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise _fault(path, "a checkpoint with sound metadata", str(error)) from error
    optimizer = None if groups is None else {"state": state, "param_groups": groups}
    return Checkpoint(weights=weights, optimizer=optimizer, preprocessing=preprocessing, **kept)


def _split(tensors: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[int, dict[str, np.ndarray]]]:
    """Weights by name, and moments by position and name."""
    weights: dict[str, np.ndarray] = {}
    state: dict[int, dict[str, np.ndarray]] = {}
    for name, value in tensors.items():
        if name.startswith(MODEL):
            weights[name.removeprefix(MODEL)] = value
        else:
            position, _, moment = name.removeprefix(OPTIM).partition(".")
            state.setdefault(int(position), {})[moment] = value
    return weights, state


def _preprocessing(
    input_shape: list[int], mean: list[float], std: list[float], background: str, ink: dict[str, Any] | None = None
) -> Preprocessing:
    channels, height, width = (int(size) for size in input_shape)
    fits = min(channels, height, width) >= 1 and channels * height * width <= LARGEST_PICTURE
    if not fits or not len(mean) == len(std) == channels:
        raise ValueError(f"preprocessing for {len(mean)} channels of pictures {tuple(input_shape)}")
    drawn = None if ink is None else Ink(**{**ink, "centre": tuple(ink["centre"])})
    return Preprocessing((channels, height, width), tuple(map(float, mean)), tuple(map(float, std)), str(background), drawn)
