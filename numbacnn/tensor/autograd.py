"""Gradients of some tensors, without leaving any on leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import backends, ops
from ..arguments import flag
from ..errors import ShapeError, message
from ..recording import refuse
from ..signatures import judged
from .core import TensorBase
from .tape import Leaf, Node, check_order, hooked, walk

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["grad"]


@judged
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    *,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``inputs``, leaves or not, from ``outputs``; ``.grad`` of all tensors stays as it is. Of first order.

    Args:
        outputs: a tensor, or several whose gradients add up.
        inputs: a tensor or several, of which a tuple of gradients is returned.
        grad_outputs: for each output its gradient, or None where it has one element (it is 1 then).
        retain_graph: keep what the walk needs, so that it can be repeated; None: don't.
        create_graph: False; gradients have no gradients.
        allow_unused: None in place of the gradient of an input that no output was made of.

    Raises:
        NotImplementedError: ``create_graph`` is True.
        RuntimeError: nothing to differentiate, a second walk, a saved value that was overwritten, or an input that no output was made of.
        ShapeError: the number or the shapes of ``grad_outputs`` are wrong.

    >>> import numbacnn as nc
    >>> x = nc.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x * x
    >>> nc.grad((y * 3).sum(), [x, y]), x.grad
    ((tensor([ 6., 12.]), tensor([3., 3.])), None)
    """
    check_order("grad", create_graph)
    results, wanted = _listed(outputs), _listed(inputs)
    given = [None] * len(results) if grad_outputs is None else _listed(grad_outputs)
    retain, allowed = flag("grad", "retain_graph", bool(retain_graph)), flag("grad", "allow_unused", allow_unused)
    if len(given) != len(results) or not results:
        raise ShapeError(message("grad", f"outputs, and grad_outputs for each of {len(results)}", f"{len(given)}"))
    seeds = [t._seed("grad", seed) for t, seed in zip(results, given)]
    for t in wanted:
        t._check_grad("grad")
    refuse("grad() is called")
    ends: dict[Any, Any] = {_end(t): None for t in wanted}
    root = Node(_Together(seeds), results, results[0])
    leading = _leading(root, ends)

    def take(end: Node | Leaf, gradient: Any, owned: bool) -> bool:
        """Add up what comes to a wanted leaf; let nothing go where no wanted tensor is."""
        if not isinstance(end, Node) and end in ends:
            before = ends[end]
            ends[end] = gradient if before is None else backends.get(end.device).binary("add", before, gradient)
        return not isinstance(end, Node) or not (end in leading or end in ends)

    def stop(node: Node, gradient: Any) -> bool:
        if node in ends:
            ends[node] = gradient
        return node not in leading

    walk(root, seeds[0], retain, take, stop)
    found: list[Any] = []
    for t in wanted:
        end = _end(t)
        gradient = ends[end]
        if gradient is None:
            if not allowed:
                raise RuntimeError(message("grad", "inputs that the outputs were made of", "another one", "pass allow_unused=True"))
            found.append(None)
            continue
        if end is t and t._hooks:
            gradient = hooked(t, gradient)
        found.append(t._new(backends.get(t.device).copy(gradient), t.device))
    return tuple(found)


def _listed(given: Any) -> list[Any]:
    return [given] if isinstance(given, TensorBase) else list(given)


def _end(t: Any) -> Any:
    """Where a tensor's gradient arrives."""
    return t if t._node is None else t._node


def _leading(root: Node, ends: dict[Any, Any]) -> set[Node]:
    """The nodes from which the walk comes to one of the ends."""
    known, stack = {root}, [root]
    while stack:
        for edge in stack.pop().edges:
            if isinstance(edge, Node) and edge not in known:
                known.add(edge)
                stack.append(edge)
    leading: set[Node] = set()
    for node in sorted(known, key=lambda n: n.number):  # what a node was made of has smaller numbers
        if node.op is None or any(edge in leading or edge in ends for edge in node.edges if edge is not None):  # a freed one: its error
            leading.add(node)
    return leading


class _Together(ops.Op):
    """Several results as one, with a gradient for each."""

    def __init__(self, seeds: list[Any]) -> None:
        self.seeds, self.needs_grad = seeds, (True,) * len(seeds)

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        return tuple(self.seeds)
