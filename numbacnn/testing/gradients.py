"""Gradients against central differences, and linear operations against their adjoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..arguments import integer, number
from ..dtypes import float64
from ..errors import DTypeError, message
from ..signatures import judged, shown
from ..tensor import Tensor, from_array, no_grad

__all__ = ["GradientError", "adjoint_check", "gradcheck"]


class GradientError(AssertionError):
    """A gradient is not what it should be."""


def _several(op: str, inputs: Tensor | Iterable[Tensor]) -> Sequence[Tensor]:
    found = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if not all(isinstance(t, Tensor) for t in found):
        raise TypeError(message(op, "inputs as a Tensor or several", shown(inputs)))
    return found


def _leaves(op: str, inputs: Sequence[Tensor]) -> list[int]:
    found = [i for i, t in enumerate(inputs) if t.requires_grad]
    if not found:
        raise ValueError(message(op, "at least one input that requires a gradient", "none"))
    return found


def _gradients(op: str, f: Callable[..., Tensor], inputs: Sequence[Tensor], seed: int) -> tuple[Tensor, np.ndarray, dict[int, np.ndarray]]:
    """The output, a drawn gradient for it, and the gradients of the inputs that follow; the inputs are left as they were."""
    fresh = [from_array(_like(np.asarray(t)), t.device, t.requires_grad) for t in inputs]
    y = f(*fresh)
    if not isinstance(y, Tensor):
        raise TypeError(message(op, "f to give a Tensor", shown(y)))
    # integers, none of them zero: exact for linear operations, and no output goes unseen
    g = np.random.default_rng(seed).choice([-3, -2, -1, 1, 2, 3], y.shape).astype(y.dtype)
    found = {}
    if y.requires_grad:
        y.backward(from_array(g, y.device))
    for i, t in enumerate(fresh):
        if t.requires_grad:
            found[i] = np.zeros(t.shape, t.dtype) if t.grad is None else np.asarray(t.grad)
    return y.detach(), g, found


def _like(array: np.ndarray) -> np.ndarray:
    """A copy in the same memory order."""
    return np.array(array, order="K")


@judged
def gradcheck(
    f: Callable[..., Tensor],
    inputs: Tensor | Iterable[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-7,
    rtol: float = 1e-6,
    directions: int | None = None,
    seed: int = 0,
) -> bool:
    """Compare the gradients of ``f(*inputs)`` with central differences ``(f(x + eps d) - f(x - eps d)) / (2 eps)``.

    The output is weighted with drawn integers and summed, so that one backward pass sees the whole Jacobian.

    Args:
        f: a function of Tensors that gives one Tensor; stay away from its kinks.
        inputs: float64 tensors, or one alone; those that require a gradient are checked. They are not changed.
        eps: the step.
        atol, rtol: a gradient g may be off by ``atol + rtol |g|`` from the difference.
        directions: None: every element by itself; a number: along so many drawn directions through all elements at once.
        seed: of the weights and directions.

    Returns:
        True.

    Raises:
        GradientError: the worst element, its gradient and its difference.
        DTypeError: an input is not float64, whose precision the differences need.
        ValueError: no input requires a gradient, or a number is out of its bounds.
        TypeError: ``f`` gives something else than a Tensor.

    >>> import numbacnn as nc
    >>> gradcheck(lambda x: (x * x).sum(), [nc.tensor([1.0, 2.0], dtype=nc.float64, requires_grad=True)])
    True
    """
    number("gradcheck", "eps", eps, lambda v: v > 0, "above 0")
    number("gradcheck", "atol", atol)
    number("gradcheck", "rtol", rtol)
    directions = None if directions is None else integer("gradcheck", "directions", directions)
    seed = integer("gradcheck", "seed", seed, least=0)
    inputs = _several("gradcheck", inputs)
    for t in inputs:
        if t.requires_grad and t.dtype != float64:
            raise DTypeError(message("gradcheck", "float64 inputs", str(t.dtype), "float32 is too coarse for differences"))
    checked = _leaves("gradcheck", inputs)
    values = [np.asarray(t) for t in inputs]
    _, g, gradients = _gradients("gradcheck", f, inputs, seed)

    def weighted(i: int, moved: np.ndarray) -> np.ndarray:
        with no_grad():
            y = f(*(from_array(moved if j == i else _like(v), t.device) for j, (v, t) in enumerate(zip(values, inputs))))
        return np.asarray(y) * g

    def slope(i: int, direction: np.ndarray) -> float:
        ahead, behind = _like(values[i]), _like(values[i])
        ahead += eps * direction
        behind -= eps * direction
        # subtract before summing: what did not change cancels exactly
        return float((weighted(i, ahead) - weighted(i, behind)).sum() / (2 * eps))

    worst = (0.0, "")
    rng = np.random.default_rng(seed + 1)
    for i in checked:
        steps: list[tuple[str, np.ndarray]] = []
        if directions is None:
            for at in np.ndindex(*values[i].shape):
                direction = np.zeros(values[i].shape)
                direction[at] = 1
                steps.append((f"input {i} at {tuple(at)}", direction))
        else:
            drawn = rng.standard_normal((directions, *values[i].shape))
            steps = [(f"input {i} along direction {k}", d) for k, d in enumerate(drawn)]
        for where, direction in steps:
            wanted, found = slope(i, direction), float((gradients[i] * direction).sum())
            excess = abs(found - wanted) / max(atol + rtol * abs(wanted), np.finfo(float).tiny)
            if not excess <= max(1.0, worst[0]):  # also where it is NaN
                text = message(f"gradcheck of {where}", f"{wanted:.10g} (central difference)", f"{found:.10g}")
                worst = (excess if excess == excess else np.inf, text)
    if worst[1]:
        raise GradientError(f"{worst[1][:-1]}; the worst of all elements, off by {worst[0]:.3g} times what atol + rtol |g| allows.")
    return True


@judged
def adjoint_check(f: Callable[..., Tensor], inputs: Tensor | Iterable[Tensor], rtol: float = 0.0, seed: int = 0) -> bool:
    """Check ``<f(x), g> = <x_i, gradient of x_i>`` for a function that is linear in each of its inputs.

    Sharper than differences: with inputs of small integers both sides are exact and must be equal.

    Args:
        f: a function of Tensors, linear in every input by itself.
        inputs: tensors, or one alone; those that require a gradient are checked. They are not changed.
        rtol: how far the sides may be apart, relative to the sum of the absolute values of the terms.
        seed: of g.

    Returns:
        True.

    Raises:
        GradientError: the two sides differ.
        ValueError, TypeError: as for :func:`gradcheck`.

    >>> import numbacnn as nc
    >>> x, w = nc.ones(2, 3, requires_grad=True), nc.ones(3, 4, requires_grad=True)
    >>> adjoint_check(lambda x, w: x @ w, [x, w])
    True
    """
    number("adjoint_check", "rtol", rtol)
    seed = integer("adjoint_check", "seed", seed, least=0)
    inputs = _several("adjoint_check", inputs)
    checked = _leaves("adjoint_check", inputs)
    y, g, gradients = _gradients("adjoint_check", f, inputs, seed)
    terms = np.asarray(y).astype(np.float64) * g
    for i in checked:
        products = np.asarray(inputs[i]).astype(np.float64) * gradients[i]
        left, right = float(terms.sum()), float(products.sum())
        if not abs(left - right) <= rtol * float(np.abs(terms).sum() + np.abs(products).sum()):
            raise GradientError(message(f"adjoint_check of input {i}", f"<x, gradient> = <f(x), g> = {left!r}", f"{right!r}"))
    return True
