"""The tape: which operations are recorded, and how gradients flow back through them. It knows leaves, not Tensors.

A :class:`Node` is an operation on the tape. :func:`walk` visits the nodes from the newest to the oldest (no recursion: graphs may be
any number of operations deep), frees each as it goes, and leaves gradients on the leaves. Gradients are of first order.

In-place writes: tensors that share memory share a :class:`Version`, which every write through the Tensor API counts up. A node
remembers the versions of what its backward needs, and raises where they have changed. A recorded write gives a tensor a new history;
views made earlier lack that history and are refused. (NumPy views obtained by ``numpy()`` are not watched.)
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import inspect
import itertools
import threading
import types
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from .. import backends, ops
from ..arguments import flag
from ..errors import ShapeError, message
from ..recording import now, refuse

__all__ = [
    "Hook",
    "Leaf",
    "Node",
    "Version",
    "check_order",
    "enable_grad",
    "hooked",
    "inference_mode",
    "is_grad_enabled",
    "mode",
    "no_grad",
    "set_grad_enabled",
    "walk",
    "watching",
]


class _Mode(threading.local):
    def __init__(self) -> None:
        self.grad = True
        self.watch: Callable[[ops.Op, Sequence[Any], Any], None] | None = None
        self.outer: list[bool] = []  # of each no_grad that is open; here, so that one object can be entered again and by many threads


mode = _Mode()


@contextlib.contextmanager
def watching(watch: Callable[[ops.Op, Sequence[Any], Any], None]) -> Generator[None, None, None]:
    """Tell ``watch`` of each operation that this thread runs inside, with its inputs and its result."""
    before, mode.watch = mode.watch, watch
    try:
        yield
    finally:
        mode.watch = before


def is_grad_enabled() -> bool:
    """Whether operations are being recorded."""
    return mode.grad


class no_grad(contextlib.ContextDecorator):
    """Record nothing inside: ``with no_grad(): ...``, ``@no_grad()`` or ``@no_grad``.

    A decorated generator or coroutine records nothing while it runs; between its steps the mode is its caller's.
    """

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        if function is not None and not callable(function):
            raise TypeError(message(cls.__name__, "a function to decorate, or nothing", repr(function)))
        return super().__new__(cls) if function is None else cls()(function)

    def __call__(self, function: Callable[..., Any]) -> Any:
        if inspect.isasyncgenfunction(function):
            raise TypeError(message(type(self).__name__, "a function, a generator or a coroutine", "an asynchronous generator"))

        def generator(*args: Any, **options: Any) -> Any:
            return (yield from _in_steps(self._recreate_cm, function(*args, **options)))

        async def coroutine(*args: Any, **options: Any) -> Any:
            return await types.coroutine(_in_steps)(self._recreate_cm, function(*args, **options))

        if inspect.isgeneratorfunction(function):
            return functools.wraps(function)(generator)
        if inspect.iscoroutinefunction(function):
            return functools.wraps(function)(coroutine)
        return super().__call__(function)

    wanted = False

    def __enter__(self) -> None:
        mode.outer.append(mode.grad)
        mode.grad = self.wanted

    def __exit__(self, *exc: object) -> None:
        if not mode.outer:
            raise RuntimeError(message(type(self).__name__, "the thread that entered the mode to leave it", "another thread"))
        mode.grad = mode.outer.pop()

    def _recreate_cm(self) -> no_grad:
        return type(self)()


def _in_steps(mode: Callable[[], no_grad], run: Any) -> Generator[Any, Any, Any]:
    """A generator or coroutine, each step of which runs inside a mode of its own."""
    step, value = run.send, None
    while True:
        try:
            with mode():
                given = step(value)
        except StopIteration as end:
            return end.value
        try:
            step, value = run.send, (yield given)
        except GeneratorExit:
            with mode():
                run.close()
            raise
        except BaseException as error:
            step, value = run.throw, error


class inference_mode(no_grad):
    """:class:`no_grad` under PyTorch's other name: record nothing inside. Tensors made inside are ordinary ones.

    In both modes, on the CPU, a layer packs its weights for the kernels once and keeps them packed until the weights change: calls
    after the first are faster, to the same bits. A weight whose memory a NumPy array, a ``state_dict()`` or a recorded
    result also holds is packed at each call. What is recorded may be convolved in another way, and differ in its last bits, since
    training changes the weights at every step and packing them would not pay.

    >>> import numbacnn as nc
    >>> net = nc.nn.Linear(2, 3)
    >>> with nc.inference_mode():
    ...     y = net(nc.ones(1, 2))
    >>> y.requires_grad
    False
    """


class enable_grad(no_grad):
    """Record operations inside, within :class:`no_grad` too: ``with enable_grad(): ...`` or ``@enable_grad()``.

    >>> import numbacnn as nc
    >>> x = nc.ones(1, requires_grad=True)
    >>> with nc.no_grad():
    ...     with nc.enable_grad():
    ...         y = x * 2
    >>> y.requires_grad
    True
    """

    wanted = True


class set_grad_enabled(no_grad):
    """Record operations from now on, or don't; inside a ``with``, or as a decorator, only there.

    >>> import numbacnn as nc
    >>> with nc.set_grad_enabled(False):
    ...     y = nc.ones(1, requires_grad=True) * 2
    >>> y.requires_grad, nc.is_grad_enabled()
    (False, True)
    """

    def __new__(cls, mode: bool) -> Any:
        return object.__new__(cls)

    def __init__(self, mode: bool) -> None:
        self.wanted = flag("set_grad_enabled", "mode", mode)
        self._before = _set(self.wanted)

    def __call__(self, function: Callable[..., Any]) -> Any:
        _set(self._before)
        return super().__call__(function)

    def __enter__(self) -> None:
        _set(self._before)
        super().__enter__()

    def _recreate_cm(self) -> Any:
        return enable_grad() if self.wanted else no_grad()


def _set(grad: bool) -> bool:
    """The mode before."""
    refuse("the mode of the autograd is set")
    before, mode.grad = mode.grad, grad
    return before


class Version:
    """How often the memory that some tensors share has been written to, and how often that was recorded."""

    count = recorded = 0  # of the class: making one, for every tensor, is then half the work
    source: Callable[[], Version | None] | None = None
    """Of memory that ``view()`` had to copy: the memory that it would show."""


Hook = Callable[[Any], Any]
"""Called with a gradient when all of it has come; what it gives, if not None, takes the gradient's place."""


class Leaf(Protocol):
    """What the tape asks of a tensor in which gradients end."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...

    device: str
    _hooks: dict[int, Hook] | None

    def _accumulate(self, gradient: Any, owned: bool) -> None:
        """Add to its gradient; where ``owned``, it may keep the array."""


class Node:
    """An operation on the tape: where its gradients go, and what must not have changed until then."""

    __slots__ = ("_hooks", "device", "dtype", "edges", "keep", "number", "op", "shape", "versions")
    _numbers = itertools.count()
    keep: Callable[[Any], None] | None
    """Told the gradient, behind the hooks: of a result that retains it."""

    def __init__(self, op: ops.Op, inputs: Sequence[Any], result: Any) -> None:
        self.op: ops.Op | None = op
        self._hooks: dict[int, Hook] | None = None
        self.keep = None
        self.device, self.shape, self.dtype = result.device, result.shape, result.dtype
        self.number = next(Node._numbers)  # creation order is a topological order
        if now.tape is not None:
            now.tape.makes_node(self.number)
        self.edges: list[Node | Leaf | None] = [
            (t if t._node is None else t._node) if need else None for t, need in zip(inputs, op.needs_grad)
        ]
        saved = [result if i < 0 else inputs[i] for i in op.saved_inputs]
        self.versions = [(t._version, t._version.count) for t in saved if hasattr(t, "_version")]  # numbers have none

    @classmethod
    def walked(cls, result: Any) -> Node:
        """The node of a result whose graph was walked and freed."""
        op = ops.Op()
        op.needs_grad = ()
        node = cls(op, (), result)
        node.release()
        return node

    def gradients(self, grad: Any) -> list[Any]:
        """The gradient of each input, in the input's dtype.

        Raises:
            RuntimeError: where the graph was freed, or a saved value was overwritten.
        """
        op = self.op
        if now.tape is not None:
            now.tape.goes_back(self.number)
        if op is None:
            raise RuntimeError(
                message("backward", "a graph that was not walked yet", "one that was freed", "pass retain_graph=True to the first walk")
            )
        for version, count in self.versions:
            if version.count != count:
                received = "values changed by an in-place write"
                raise RuntimeError(message("backward", f"the values that {op.label} saved", received, "write to a clone() instead"))
        xp = backends.get(self.device)
        gradients = list(op.backward(xp, grad))
        for i, (edge, gradient) in enumerate(zip(self.edges, gradients)):
            if edge is None or gradient is None:
                continue
            if tuple(gradient.shape) != edge.shape:
                raise ShapeError(message("backward", f"a gradient of shape {edge.shape} from {op.label}", f"shape {tuple(gradient.shape)}"))
            if gradient.dtype != edge.dtype:
                gradients[i] = xp.astype(gradient, edge.dtype)
        return gradients

    def release(self) -> None:
        """Let go of the operation and of what it saved."""
        self.op, self.edges, self.versions = None, [], []


def check_order(op: str, create_graph: bool) -> None:
    """Gradients are not differentiated."""
    if flag(op, "create_graph", create_graph):
        raise NotImplementedError(message(op, "create_graph=False", "True", "gradients of gradients are not computed"))


def walk(
    root: Node,
    grad: Any,
    retain: bool,
    take: Callable[[Node | Leaf, Any, bool], bool] | None = None,
    stop: Callable[[Node, Any], bool] | None = None,
) -> None:
    """Carry the gradient from the root to the leaves; the graph is freed on the way, or retained for another walk.

    ``take(end, gradient, owned)``: true where it has taken a gradient, which then goes no further. ``stop(node, gradient)`` is told all
    of a node's gradient: true where the walk ends there.
    """
    grads: dict[Node | Leaf, Any] = {root: grad}
    queue = [(-root.number, root)]
    while queue:
        _, node = heapq.heappop(queue)
        grad = grads.pop(node)
        if node._hooks or node.keep is not None:
            grad = hooked(node, grad)
            if node.keep is not None:
                node.keep(grad)
        if stop is not None and stop(node, grad):
            continue
        gradients, edges = node.gradients(grad), node.edges
        owned = node.op is not None and node.op.owns_gradient
        if not retain:
            node.release()
        for edge, gradient in zip(edges, gradients):
            if edge is None or gradient is None or (take is not None and take(edge, gradient, owned)):
                continue
            if not isinstance(edge, Node) and not edge._hooks:
                edge._accumulate(gradient, owned)
            elif edge in grads:
                grads[edge] = backends.get(edge.device).binary("add", grads[edge], gradient)
            else:
                grads[edge] = gradient
                if isinstance(edge, Node):
                    heapq.heappush(queue, (-edge.number, edge))
    for leaf, gradient in grads.items():  # with hooks, which are told all of a gradient
        leaf._accumulate(hooked(leaf, gradient), False)  # type: ignore[union-attr]


def hooked(end: Node | Leaf, gradient: Any) -> Any:
    """All of an end's gradient as its hooks leave it."""
    refuse("a hook of a tensor is called")
    for hook in tuple((end._hooks or {}).values()):
        replaced = hook(gradient)
        gradient = gradient if replaced is None else replaced
    return gradient
