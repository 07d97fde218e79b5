"""A batch from examples: PyTorch's ``default_collate``, and what changes one example where there are no batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from ..dtypes import as_dtype
from ..errors import DTypeError, ShapeError, message
from ..signatures import shown
from ..tensor import Tensor, from_array, stack

__all__ = ["default_collate", "default_convert", "each_tensor"]

TAKEN = "Tensors, arrays, numbers, strings, and lists, tuples or dicts of these; or a collate_fn for others"


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch from a list of examples, as PyTorch makes it.

    Tensors, arrays and numbers become Tensors with a first axis of examples (a float float64, an int int64); strings and bytes stay in a
    list. Tuples, lists, named tuples and dicts of these become a list (from a tuple), or the same kind, of batches.

    Raises:
        ShapeError, ValueError: where the examples differ in shape, length or keys.
        TypeError: for anything else; the loader takes a ``collate_fn`` for that.

    >>> default_collate([(np.zeros(2), 1), (np.ones(2), 2)])[1].tolist()
    [1, 2]
    >>> default_collate([{"name": "a"}, {"name": "b"}])
    {'name': ['a', 'b']}
    """
    if not isinstance(batch, Sequence) or not batch:
        raise ValueError(message("default_collate", "a list of at least one example", shown(batch)))
    first = batch[0]
    if isinstance(first, (Tensor, np.ndarray)):
        return _stacked(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, (bool, int, float, np.generic)):
        return _numbers(batch)
    if isinstance(first, Mapping):
        return _alike(first, {key: default_collate([_member(example, key) for example in batch]) for key in first})
    if isinstance(first, Sequence):
        if any(not isinstance(example, (tuple, list, Sequence)) or len(example) != len(first) for example in batch):
            lengths = ", ".join(str(len(example)) if isinstance(example, Sequence) else type(example).__name__ for example in batch)
            raise ValueError(message("default_collate", f"examples of {len(first)} members each", lengths, "pad them in a collate_fn"))
        return _alike(first, [default_collate(members) for members in zip(*batch)])
    raise TypeError(message("default_collate", TAKEN, shown(first)))


def _stacked(batch: Sequence[Any]) -> Tensor:
    """Tensors or arrays under a new first axis."""
    if wrong := [example for example in batch if not isinstance(example, (Tensor, np.ndarray))]:
        raise TypeError(message("default_collate", "Tensors or arrays, as the first example is", shown(wrong[0])))
    if len(shapes := {tuple(example.shape) for example in batch}) > 1:
        found = ", ".join(map(str, sorted(shapes)))
        raise ShapeError(message("default_collate", "examples of one shape", f"shapes {found}", "resize them, or pad them in a collate_fn"))
    for dtype in {example.dtype for example in batch}:
        as_dtype("default_collate", dtype)
    arrays = [example.array if isinstance(example, Tensor) else example for example in batch]
    graph = any(isinstance(example, Tensor) and example.requires_grad for example in batch)
    if graph or len({array.dtype for array in arrays}) > 1 or not all(isinstance(array, np.ndarray) for array in arrays):
        return stack([example if isinstance(example, Tensor) else from_array(example) for example in batch])
    pictures = arrays[0].ndim == 3 and not arrays[0].flags.c_contiguous and arrays[0].transpose(1, 2, 0).flags.c_contiguous
    if pictures:  # (C, H, W) of which the channels lie last in memory: so they stay, as layers want them
        return from_array(np.stack([array.transpose(1, 2, 0) for array in arrays]).transpose(0, 3, 1, 2))
    return from_array(np.stack(arrays))


def _numbers(batch: Sequence[Any]) -> Tensor:
    try:
        made = np.asarray(batch)
    except (TypeError, ValueError, OverflowError):
        made = np.empty(0, object)
    if made.dtype.kind not in "biuf" or made.ndim != 1:
        raise DTypeError(message("default_collate", "numbers that a Tensor can hold", shown(list(batch))))
    if made.dtype.kind == "f" and isinstance(batch[0], int):
        made = made.astype(np.float32)  # as torch.tensor makes of an int and a float; of floats alone float64
    as_dtype("default_collate", made.dtype)
    return from_array(made)


def _member(example: Any, key: Any) -> Any:
    try:
        return example[key]
    except (KeyError, TypeError, IndexError):
        received = f"keys {', '.join(map(repr, example))}" if isinstance(example, Mapping) else shown(example)
        raise ValueError(message("default_collate", f"dicts with the key {key!r}", received)) from None


def default_convert(data: Any) -> Any:
    """One example whose arrays become Tensors, also within lists, tuples and dicts; everything else stays as it is.

    The loader does so where it makes no batches, ``batch_size=None``.

    >>> default_convert({"x": np.arange(2), "name": "a"})["x"].tolist()
    [0, 1]
    """
    if isinstance(data, (np.ndarray, np.generic)):
        if data.dtype.kind in "SUO":
            return data
        as_dtype("default_convert", data.dtype)
        return from_array(np.array(data))
    if isinstance(data, Mapping):
        return _alike(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _alike(data, [default_convert(member) for member in data])
    return data


def _alike(example: Any, members: Any) -> Any:
    """Members in a container of the kind that ``example`` is; in a list where that is a tuple, or can't be made of its members."""
    if isinstance(example, tuple) and hasattr(example, "_fields"):
        return type(example)(*members)
    if isinstance(example, tuple):
        return members
    try:
        if isinstance(example, MutableMapping):
            made = copy.copy(example)  # it may be more than its members
            made.update(members)
            return made
        if isinstance(example, MutableSequence):
            sequence = copy.copy(example)
            sequence[:] = members
            return sequence
        return type(example)(members)  # type: ignore[call-arg]
    except (TypeError, ValueError):
        return members


def each_tensor(change: Callable[[Tensor], Any], batch: Any) -> Any:
    """A batch with every Tensor in it changed."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return _alike(batch, {key: each_tensor(change, batch[key]) for key in batch})
    if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
        members = [each_tensor(change, member) for member in batch]
        return tuple(members) if type(batch) is tuple else _alike(batch, members)
    return batch
