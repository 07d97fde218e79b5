"""What a module's backward hooks are told: the gradients of all its outputs, and those of all its inputs, at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from ..errors import DTypeError, ShapeError, message
from ..signatures import shown
from ..tensor import Tensor, apply, is_grad_enabled, no_grad, zeros

if TYPE_CHECKING:
    from .module import Module

__all__ = ["BackwardHooks", "has_hooks"]

Gradients = tuple[Tensor | None, ...]


def has_hooks(module: Module) -> bool:
    """Whether somebody is told of the module's calls."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks)


class _Gate(ops.Op):
    """Tensors at some of many places -> a number that stands for all of them. Its gradients are those that :class:`_Passed` left."""

    def __init__(self, places: Sequence[int], told: Callable[[dict[int, Tensor]], Sequence[Tensor | None]]) -> None:
        self.places, self.told = places, told
        self.came: dict[int, Tensor] = {}

    def forward(self, xp: Any, *tensors: Any) -> Any:
        return xp.full((), 0, np.float32)

    def backward(self, xp: Any, grad: Any) -> tuple[Any, ...]:
        came, self.came = self.came, {}
        with no_grad():
            found = self.told(came)
        return tuple(None if (gradient := found[place]) is None else gradient.array for place in self.places)


class _Passed(ops.Op):
    """A tensor, and the number of its gate -> the same tensor. Its gradient waits at the gate for those of the others."""

    view = True

    def __init__(self, gate: _Gate, place: int) -> None:
        self.gate, self.place = gate, place

    def forward(self, xp: Any, x: Any, whole: Any) -> Any:
        return x

    def backward(self, xp: Any, grad: Any) -> tuple[Any, ...]:
        self.gate.came[self.place] = Tensor(grad, xp.name)
        return None, xp.full((), 0, np.float32)


class BackwardHooks:
    """One call of a module, whose hooks are told of the way back."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._hooks, self._pre_hooks = tuple(module._backward_hooks.values()), tuple(module._backward_pre_hooks.values())
        self._of_outputs: Gradients = ()

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The module's arguments as it gets them."""
        self._forms = [(a.shape, a.dtype, a.device) if isinstance(a, Tensor) else None for a in args]
        found, self._gated = self._through_gate(args, self._input_gradients)
        return found

    def outputs(self, output: Any) -> Any:
        """What the module returns as others get it."""
        values = output if isinstance(output, tuple) else (output,)
        if is_grad_enabled() and not any(isinstance(v, Tensor) for v in values):
            expected = "a Tensor or a tuple of them from forward, for its backward hooks"
            raise TypeError(message(type(self._module).__name__, expected, shown(output)))
        self._count = len(values)
        found, _ = self._through_gate(values, self._output_gradients)
        return type(output)(*found) if hasattr(output, "_fields") else found if isinstance(output, tuple) else found[0]

    @staticmethod
    def _through_gate(values: tuple[Any, ...], told: Callable[[dict[int, Tensor]], Gradients]) -> tuple[tuple[Any, ...], bool]:
        """Values of which those that have a gradient pass a gate, and whether there are any."""
        places = [i for i, v in enumerate(values) if is_grad_enabled() and isinstance(v, Tensor) and v.requires_grad]
        if not places:
            return values, False
        gate = _Gate(places, told)
        whole = apply(gate, *(values[i] for i in places))
        return tuple([apply(_Passed(gate, i), v, whole) if i in places else v for i, v in enumerate(values)]), True

    def _output_gradients(self, came: dict[int, Tensor]) -> Gradients:
        given = tuple([came.get(i) for i in range(self._count)])
        for hook in self._pre_hooks:
            given = self._replaced(hook(self._module, given), given)
        self._of_outputs = given
        if not self._gated:  # nothing waits for gradients of the inputs
            nothing = (None,) * len(self._forms)
            for hook in self._hooks:
                if any(gradient is not None for gradient in self._replaced(hook(self._module, nothing, given), nothing)):
                    expected = "None from the backward hook of a module whose inputs have no gradient"
                    raise RuntimeError(message(type(self._module).__name__, expected, "a gradient"))
        return given

    def _input_gradients(self, came: dict[int, Tensor]) -> Gradients:
        nothing = [form and zeros(form[0], dtype=form[1], device=form[2]) for form in self._forms]
        given: Gradients = tuple([came.get(i, none) for i, none in enumerate(nothing)])
        for hook in self._hooks if self._of_outputs else ():  # else a gradient came another way than through the outputs
            given = self._replaced(hook(self._module, given, self._of_outputs), given)
        return given

    def _replaced(self, found: Any, given: Gradients) -> Gradients:
        """What a hook puts in the place of gradients."""
        if found is None:
            return given
        found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        name = type(self._module).__name__
        if len(found) != len(given):
            raise ShapeError(message(name, f"{len(given)} gradients from a backward hook", f"{len(found)}"))
        for new, old in zip(found, given):
            if new is not None and not isinstance(new, Tensor):
                raise DTypeError(message(name, "gradients as Tensors from a backward hook, or None", shown(new)))
            if new is not None and old is not None and (new.shape, new.device) != (old.shape, old.device):
                expected, received = (f"shape {g.shape} on {g.device}" for g in (old, new))
                raise ShapeError(message(name, f"a gradient of {expected} from a backward hook", received))
        return found
