"""What is judged of a step when it has ended, as a whole."""

from __future__ import annotations

import gc
import random
from typing import Any

import numpy as np

from ..tensor import Tensor
from .back import move
from .memory import HOST, Moved
from .records import Owner
from .results import describe
from .tape import Tape

__all__ = ["drawn", "finish"]


def drawn() -> Any:
    """The state of the generators that are not the library's."""
    state: Any = np.random.get_state()
    return random.getstate(), state[1].tobytes(), state[2:]


def finish(tape: Tape, result: Any, before: Any) -> None:
    """Judge the step, and give what it returns and the gradients that it leaves memory of their own.

    ``before``: what :func:`drawn` gave before the step.
    """
    if tape.reason is None:
        if drawn() != before:
            tape.refuse("random numbers are drawn from random or np.random")
        _judge_python(tape)
        _count_versions(tape)
        tape.trim()
        moved = Moved([*tape.memory.chunks, *(live.array for live in tape.lives)]) if tape.place is HOST else _Left(tape)
        tape.result = describe(tape, result, moved)
        for gradient in tape.gradients.values():
            gradient.left = _left_gradient(tape, gradient.tensor(tape.arguments)._grad, gradient.found, moved)
            gradient.found = None
        if tape.way_back is not None:
            move(tape.way_back.nodes, moved)
            tape.way_back.nodes = []
        left = moved.regions if isinstance(moved, _Left) else set()
        del moved
        _judge_memory(tape, left)
    tape.arguments, tape.histories = [], []
    tape.memory.chunks.clear()


def _judge_python(tape: Tape) -> None:
    last = max(tape.stops, default=-1)
    if any(live.kind == "draw" and live.row > last >= 0 for live in tape.lives):
        tape.refuse("values are judged before random numbers are drawn, which would have to be put back")
    if tape.way_back is not None and last >= tape.way_back.row:
        tape.refuse("values are judged in a backward that is still to come")
    for line in tape.handed.values():
        tape.reason = tape.reason or f"an array that numba() gives is used by no kernel that nc.launch runs, in {line}"
    name = tape.reached.changed()
    if name is not None:
        tape.refuse(f"{name} is changed")
    for value, found in tape.guards:
        if value() != found:
            tape.refuse("what an operation depends on is changed")
    for live in tape.lives:
        if live.kind == "rate" and live.make().tobytes() != live.array.tobytes():
            tape.refuse("a learning rate or another rate of an optimiser is changed")


def _count_versions(tape: Tape) -> None:
    """Which of the writes concern tensors from outside, and that none of these got a history."""
    by_version: dict[int, Owner] = {}
    for owner in tape.owners.values():
        t = owner.tensor(tape.arguments)
        if t is not None:
            by_version.setdefault(id(t._version), owner)
            before = tape.histories[owner.key[1]] if owner.key[0] == "argument" else None
            if t._node is not before:
                tape.refuse("a tensor from outside gets a history")
    tape.versions = [(row, by_version[id(version)]) for row, version in tape.versions if id(version) in by_version]


def _left_gradient(tape: Tape, left: Any, found: Any, moved: Moved) -> Any:
    """The gradient that a tensor has at the end, as a plan leaves it."""
    if left is None or left is found:
        return None if left is None else "found"
    if type(left) is not Tensor or not moved.concerns(left.array):
        tape.refuse("a gradient is set to a tensor that was not made in the step")
        return None
    operand = tape.operand(left.array)
    left.array = moved(left.array)
    return operand, left._version.count


class _Left(Moved):
    """What lies on another device and was made in the step stays where it is: its regions are known to be in use after the step."""

    def __init__(self, tape: Tape) -> None:
        super().__init__([live.array for live in tape.lives])
        self._tape = tape
        self.regions = {operand.region for fault, _, given in tape.watched for operand in (fault, given)}

    def knows(self, value: Any) -> bool:
        return isinstance(value, np.ndarray) or self._tape.place.is_array(value)

    def concerns(self, array: Any) -> bool:
        return super().concerns(array) if isinstance(array, np.ndarray) else self._tape.made(array) is not None

    def __call__(self, array: Any) -> Any:
        if isinstance(array, np.ndarray):
            return super().__call__(array)
        operand = self._tape.operand(array)
        if operand is not None:
            self.regions.add(operand.region)
        return array


def _judge_memory(tape: Tape, left: set[int]) -> None:
    """Nothing else that was made in the step may be in use after it."""
    if tape.reason is None and not {region for region, _ in tape.alive()} <= left:
        gc.collect()
        lines = [line for region, line in tape.alive() if region not in left]
        if lines:
            tape.reason = f"a tensor is kept beyond the step that was made in {lines[0]}"
    if tape.reason is None and tape.memory.in_use():
        gc.collect()
        used = tape.memory.in_use()
        if used:
            tape.reason = f"a tensor is kept beyond the step that was made in {tape.lines[id(used[0])]}"
