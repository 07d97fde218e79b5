"""The way back from what a step returns, which somebody else will start: written down behind the step, with it on one tape.

A network that is called in training returns a Tensor, and the loss is made of it outside. The way from its gradient to those of the
parameters is gone once while the call is recorded, with a gradient that stands for the one to come. What the call has saved for it is in
use meanwhile, so that nothing on the way back is written over it: a replay may go back as often as it is asked to.
"""

from __future__ import annotations

from typing import Any

from .. import backends
from ..tensor import Tensor
from ..tensor.function import Context
from ..tensor.tape import Node, walk
from .left import Left
from .memory import root
from .results import tensors_in
from .tape import Tape

__all__ = ["go_back", "move"]


def go_back(tape: Tape, result: Any) -> None:
    """Write down the way back from a result that has one."""
    owned = {id(owner.tensor(tape.arguments)) for owner in tape.owners.values()}
    awaited = [(t, t._node) for t in tensors_in(result) if t._node is not None and t._node.op is not None and id(t) not in owned]
    if len(awaited) > 1:
        tape.refuse("it returns several tensors whose backward is still to come")
    if tape.reason is not None or not awaited:
        return
    ((t, last),) = awaited
    way, arrived = tape.turns(t.array)
    before = tape.told()
    ends = {argument if argument._node is None else argument._node: key for key, argument in _arguments(tape)}
    found: list[tuple[Any, Any]] = []
    known: set[int] = set()
    xp = backends.get(t.device)

    def take(edge: Any, gradient: Any, owned: bool) -> bool:
        """Keep the gradient of an argument or a parameter in memory of its own."""
        key = ends.get(edge) or (("kept", id(edge)) if ("kept", id(edge)) in tape.owners else None)
        if key is None and isinstance(edge, Node):
            return False
        if key is None:
            tape.refuse("a gradient is wanted of a tensor that is neither an argument nor a parameter")
        if not owned or id(root(gradient)) in known or not tape.is_whole(gradient):
            gradient = xp.copy(gradient)
        known.add(id(root(gradient)))
        found.append((key, gradient))
        return True

    try:
        walk(last, arrived, retain=True, take=take)
    except Exception as error:
        tape.refuse(f"its backward raises {type(error).__name__}")
    if tape.told() != before:
        tape.refuse("its backward does more than work out gradients")
    if tape.reason is None:
        way.ends = [(key, operand) for key, gradient in found if (operand := tape.operand(gradient)) is not None]
        way.nodes = list(_nodes(last, tape))
        versions = {id(version) for node in way.nodes for version, _ in node.versions}
        outside = [(key, other) for key, owner in tape.owners.items() if (other := owner.tensor(tape.arguments)) is not None]
        way.saved = [key for key, other in outside if id(other._version) in versions] + [()] * (id(t._version) in versions)
        tape.way_back = way


def _arguments(tape: Tape) -> list[tuple[tuple[Any, ...], Tensor]]:
    return [(("argument", i), t) for i, t in reversed(list(enumerate(tape.arguments))) if isinstance(t, Tensor)]


def _nodes(end: Node, tape: Tape) -> dict[Node, None]:
    """The operations that were made in the step and lead to this one."""
    found: dict[Node, None] = {}
    stack: list[Any] = [end]
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and node not in found and node.number in tape.nodes:
            found[node] = None
            stack += node.edges
    return found


def move(nodes: list[Node], left: Left) -> None:
    """Give what operations have saved arrays of its own: the caller of the recorded step will walk them too."""
    for node in nodes:
        _move_attributes(node.op, left)


def _move_attributes(holder: Any, left: Left) -> None:
    for name, value in vars(holder).items():
        setattr(holder, name, _moved(value, left))


def _moved(value: Any, left: Left) -> Any:
    if isinstance(value, Tensor):
        value.array = _moved(value.array, left)
    elif left.concerns(value):
        return left(value)
    elif type(value) in (tuple, list):
        return type(value)(_moved(v, left) for v in value)
    elif isinstance(value, Context):
        _move_attributes(value, left)
    return value
