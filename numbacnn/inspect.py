"""What a network is made of: sizes, parameters, multiply-adds and receptive fields.

Multiply-adds are counted where convolutions and matrix products run; a layer that does such work by other means says how much it is in
``macs(input_shape)``. ``receptive_field(field)`` of a layer gives the field behind it; one without it is not known to
:func:`receptive_field`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import nn
from .errors import ShapeError, message
from .nn.field import Field
from .nn.lazy import LazyModule
from .ops import Op
from .ops.base import shape_of
from .random import get_rng_state, set_rng_state
from .signatures import fits, judged
from .tensor import Tensor, no_grad, zeros
from .tensor.tape import watching

__all__ = ["Field", "Row", "Summary", "receptive_field", "summary"]

Pair = tuple[int, int]


class Row(NamedTuple):
    """One layer of a summary, without the layers in it.

    ``output_shape`` is None where it gives something else than one Tensor, ``field`` where a unit sees everything or it is not known.
    """

    name: str
    type: str
    output_shape: tuple[int, ...] | None
    parameters: int
    macs: int
    field: Field | None


@dataclass(frozen=True)
class Summary:
    """The layers in the order in which they ended, and totals; ``str`` gives a table. ``parameters`` counts shared ones once."""

    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    lazy: bool

    @property
    def macs(self) -> int:
        """Multiply-adds of the convolutions and matrix products, for the whole input."""
        return sum(row.macs for row in self.rows)

    def __str__(self) -> str:
        head = ("layer", "type", "output shape", "parameters", "multiply-adds", "receptive field", "jump")
        cells = [head]
        for row in self.rows:
            seen = ("-", "-") if row.field is None else (_pair_text(row.field.size), _pair_text(row.field.jump))
            shape = "-" if row.output_shape is None else str(row.output_shape)
            cells.append((row.name, row.type, shape, f"{row.parameters:,}", f"{row.macs:,}", *seen))
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = ["  ".join(f"{c:<{w}}" if i < 3 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(line, widths))).rstrip() for line in cells]
        rule = "-" * max(map(len, lines))
        frozen = self.parameters - self.trainable
        lines = [f"input {self.input_shape}", rule, lines[0], rule, *lines[1:], rule]
        lines.append(f"parameters {self.parameters:,}" + (f" ({frozen:,} frozen)" if frozen else "") + f", multiply-adds {self.macs:,}")
        if self.lazy:
            lines.append("lazy layers took their sizes from this input, in a copy; the model itself is still lazy")
        return "\n".join(lines)

    __repr__ = __str__


def _pair_text(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def _through(field: Field, layer: nn.Module) -> Field | None:
    """The field behind ``layer``; None where each unit sees everything, or where the layer does not say."""
    answer = getattr(type(layer), "receptive_field", None)
    return None if answer is None else answer(layer, field)


def _chain(model: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(model, nn.Sequential):
        for name, child in model._modules.items():
            if child is not None:
                yield from _chain(child, f"{path}.{name}" if path else name)
    else:
        yield path, model


@judged
def receptive_field(model: nn.Module) -> list[tuple[str, Field]]:
    """The receptive field behind each convolution and pooling of a chain, by pure arithmetic: no forward is run.

    A chain is a layer, or a ``Sequential`` of chains. It ends at the first layer whose units see everything:
    ``Flatten``, ``Linear`` or ``AdaptiveAvgPool2d``.

    Raises:
        TypeError: where a module on the way is neither a known layer nor a ``Sequential``.

    >>> import numbacnn as nc
    >>> [(name, field.size, field.jump) for name, field in nc.inspect.receptive_field(nc.models.lenet())]
    [('0', (5, 5), (1, 1)), ('2', (6, 6), (2, 2)), ('3', (14, 14), (2, 2)), ('5', (16, 16), (4, 4))]
    """
    fields, field = [], Field()
    for name, layer in _chain(model, ""):
        if not hasattr(type(layer), "receptive_field"):
            received = f"{type(layer).__name__} at {name!r}" if name else type(layer).__name__
            raise TypeError(message("receptive_field", "a chain of known layers in Sequential", received, "use summary, which runs it"))
        behind = _through(field, layer)
        if behind is None:
            break
        if behind is not field:  # else the layer acts on each pixel alone
            fields.append((name, behind))
        field = behind
    return fields


@judged
def summary(model: nn.Module, input_shape: Sequence[int]) -> Summary:
    """A table of the layers that run on an input of this shape: (C, H, W) or (N, C, H, W), (features,) or (N, features).

    A copy of the model runs once on zeros, in evaluation mode; the model, its mode and the random numbers stay as they are. A module that
    holds others has a row where it has parameters or multiply-adds of its own.
    A field is followed from layer to layer as long as each gets what another gave; behind anything else it is not known.

    Raises:
        ShapeError: where ``input_shape`` is no such shape, or does not fit the model.

    >>> import numbacnn as nc
    >>> table = nc.inspect.summary(nc.models.lenet(), (1, 28, 28))
    >>> table.parameters, table.macs, table.rows[0].output_shape
    (61706, 416520, (1, 6, 28, 28))
    """
    shape = tuple(input_shape)
    if not 1 <= len(shape) <= 4 or not all(fits(size, int) and size > 0 for size in shape):
        raise ShapeError(message("summary", "input_shape (C, H, W), (N, C, H, W), (features,) or (N, features)", repr(input_shape)))
    shape = tuple(map(int, shape))
    shape = shape if len(shape) in (2, 4) else (1, *shape)
    state = get_rng_state()
    try:
        with no_grad():
            return _run(copy.deepcopy(model), shape)
    finally:
        set_rng_state(state)


def _run(model: nn.Module, shape: tuple[int, ...]) -> Summary:
    lazy = any(isinstance(module, LazyModule) for module in model.modules())
    like = next(iter(model.parameters()), None)
    x = zeros(shape) if like is None else zeros(shape, dtype=like.dtype, device=like.device)
    fields: dict[int, tuple[Tensor, Field | None]] = {id(x): (x, Field())}  # the tensors are kept, so that no id comes back
    rows: list[Row] = []
    counts = [0]  # multiply-adds of each module that is running, without those in it; first what runs in none, as lazy layers' filling

    def count(op: Op, inputs: Sequence[Any], result: Tensor) -> None:
        counts[-1] += op.macs([shape_of(t) for t in inputs], result.shape)

    def watched(name: str, module: nn.Module) -> Callable[..., Any]:
        own = module.__dict__.get("forward")

        def forward(*args: Any, **options: Any) -> Any:
            counts.append(0)
            try:
                output = type(module).forward(module, *args, **options) if own is None else own(*args, **options)
            finally:
                macs = counts.pop()
            answer = getattr(type(module), "macs", None)
            macs = answer(module, args[0].shape) if answer is not None and args else macs
            parameters = sum(p.numel() for p in module.parameters(recurse=False))
            leaf = not any(True for _ in module.children())
            if leaf or parameters or macs:
                before = fields.get(id(args[0]), (None, None))[1] if leaf and args else None
                behind = None if before is None else _through(before, module)
                fields[id(output)] = output, behind
                shape = output.shape if isinstance(output, Tensor) else None
                rows.append(Row(name, type(module).__name__, shape, parameters, macs, behind))
            return output

        return forward

    for name, module in list(model.named_modules()):
        module._forward_hooks, module._forward_pre_hooks = {}, {}
        module._backward_hooks, module._backward_pre_hooks = {}, {}
        object.__setattr__(module, "forward", watched(name, module))
    model.eval()
    with watching(count):
        model(x)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Summary(shape, tuple(rows), sum(p.numel() for p in model.parameters()), trainable, lazy)
