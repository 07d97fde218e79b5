"""What is judged of a step when it has ended, as a whole."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from ..tensor import Tensor
from .back import move
from .left import Left, kept
from .records import Owner
from .results import describe
from .tape import Tape

__all__ = ["drawn", "finish"]


def drawn() -> Any:
    """The state of the generators that are not the library's."""
    state: Any = np.random.get_state()
    return random.getstate(), state[1].tobytes(), state[2:]


def finish(tape: Tape, returned: list[Any], before: Any) -> None:
    """Judge the step, and describe what it returns and the gradients that it leaves.

    ``returned``: a list that alone holds what the step returns. ``before``: what :func:`drawn` gave before the step.
    """
    if tape.reason is None:
        if drawn() != before:
            tape.refuse("random numbers are drawn from random or np.random")
        _judge_python(tape)
        _count_versions(tape)
        tape.trim()
        left = Left(tape)
        tape.place.move_watched(left)
        tape.result = describe(tape, returned[0], left)
        _judge_kept(tape, lambda: kept(tape, returned))
        for gradient in tape.gradients.values():
            gradient.left = _left_gradient(tape, gradient.tensor(tape.arguments)._grad, gradient.found(), left)
            gradient.read = None
        if tape.way_back is not None:
            move(tape.way_back.nodes, left)
            tape.way_back.nodes = []
        _judge_kept(tape, left.kept)
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


def _left_gradient(tape: Tape, gradient: Any, found: Any, left: Left) -> Any:
    """The gradient that a tensor has at the end, as a plan leaves it."""
    if gradient is None or gradient is found:
        return None if gradient is None else "found"
    if type(gradient) is not Tensor or not left.concerns(gradient.array):
        tape.refuse("a gradient is set to a tensor that was not made in the step")
        return None
    operand: Any = tape.operand(gradient.array)
    if any(isinstance(other.left, tuple) and other.left[0].region == operand.region for other in tape.gradients.values()):
        tape.refuse("two gradients are set to the same memory")
    gradient.array = left(gradient.array)
    return operand, gradient._version.count


def _judge_kept(tape: Tape, kept: Callable[[], list[int]]) -> None:
    """Nobody else may have what lasts beyond the step: regions."""
    if tape.reason is None and kept():
        gc.collect()
        for region in kept()[:1]:
            line = tape.lines.get(region)
            tape.reason = "a tensor is kept beyond the step that " + (f"was made in {line}" if line else "shows memory from outside")
