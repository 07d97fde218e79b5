"""What lasts beyond a step, and who else has it: Python that keeps a tensor would wait for one from each replay."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tensor import Tensor
from ..tensor.function import Context
from .memory import FREE, address, references, root

if TYPE_CHECKING:
    from .tape import Tape

__all__ = ["Left", "kept"]


class Left:
    """New arrays of the memory that was made in a step: where they are not all that refers to it, somebody has another.

    What each replay fills anew gets a copy.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._lives = {id(live.array): live.array for live in tape.lives}
        self._copies: dict[int, np.ndarray] = {}
        self._arrays: list[tuple[int, Any]] = []

    def concerns(self, value: Any) -> bool:
        """Whether a value is an array of such memory."""
        known = isinstance(value, np.ndarray) or self._tape.place.is_array(value)
        return known and (id(root(value)) in self._lives or self._tape.made(value) is not None)

    def __call__(self, array: Any) -> Any:
        base = root(array)
        if id(base) in self._lives:
            if id(base) not in self._copies:
                self._copies[id(base)] = base.copy()
            return np.ndarray(array.shape, array.dtype, self._copies[id(base)], address(array) - address(base), array.strides)
        operand: Any = self._tape.operand(array)
        self._arrays.append((operand.region, self._tape.place.again(array)))
        return self._arrays[-1][1]

    def kept(self) -> list[int]:
        """The regions that somebody else has."""
        return self._tape.in_use(Counter(region for region, _ in self._arrays))


def kept(tape: Tape, returned: list[Any]) -> list[int]:
    """The regions of Tensors that are returned and that somebody else has, or a tuple, list or dictionary that they are in.

    ``returned``: a list that alone holds what is returned. Tensors from outside are others' anyway; they have no region here.
    """
    counts: dict[int, tuple[list[int], list[int]]] = {}
    tensors: list[int] = []
    _count(returned, 0, counts, tensors)
    for node in () if tape.way_back is None else tape.way_back.nodes:  # which have Tensors too
        _discount(vars(node.op), counts)
    operands = [shown.operand for shown in tape.result.tensors]
    for t, operand in zip(tensors, operands):
        if operand is None:
            del counts[t]
    found = [operands[i] for others, inside in counts.values() if others[0] > 0 for i in inside]
    return sorted((-1 if operand is None else operand.region for operand in found), reverse=True)


def _count(holder: Any, key: Any, counts: dict[int, tuple[list[int], list[int]]], tensors: list[int]) -> list[int]:
    """Note how often what a holder has in this place is referred to from elsewhere, and which Tensors are in it; gives these."""
    others = references(holder, key) - FREE
    value = holder[key]
    if id(value) in counts:
        counts[id(value)][0][0] -= 1
        return counts[id(value)][1]
    inside: list[int] = []
    counts[id(value)] = [others], inside
    if isinstance(value, Tensor):
        inside.append(len(tensors))
        tensors.append(id(value))
    elif isinstance(value, (tuple, list, dict)):
        for k in value if isinstance(value, dict) else range(len(value)):
            inside += _count(value, k, counts, tensors)
    return inside


def _discount(value: Any, counts: dict[int, tuple[list[int], list[int]]]) -> None:
    if isinstance(value, Tensor) and id(value) in counts:
        counts[id(value)][0][0] -= 1
    elif isinstance(value, Context):
        _discount(vars(value), counts)
    elif isinstance(value, (tuple, list, dict)):
        for member in value.values() if isinstance(value, dict) else value:
            _discount(member, counts)
