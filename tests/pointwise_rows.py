"""What the tests of the table of pointwise functions have in common: the numbers, and the checks of a device against the scalar Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import numbacnn as nc
from numbacnn.formulas import BINARY, UNARY
from numbacnn.ops import elementwise
from numbacnn.tensor import apply

INF, NAN = np.inf, np.nan
LARGEST, SMALLEST = float(np.finfo("float32").max), 1e-45

SPECIAL = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 20.0, 20.5, -104.5, 1e4, LARGEST, -LARGEST, SMALLEST, -SMALLEST, 1e-39, INF, -INF, NAN]
"""Kinks, denormal and huge numbers, and what is none."""

GRID = np.linspace(-12, 12, 41).tolist()

CLOSE = {"float32": {"rtol": 5e-6, "atol": 2e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}


def scalar(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """The scalar Python of the table, number by number."""
    with np.errstate(all="ignore"):
        return np.array([function(*numbers) for numbers in zip(*arrays)], arrays[0].dtype)


def same(found: np.ndarray, wanted: np.ndarray, dtype: str) -> None:
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, **CLOSE[dtype])  # NaN and infinities are equal to themselves alone


def check_unary(name: str, dtype: str, device: str) -> None:
    """Value and gradient of a row, near and far, with a gradient from above that is not 1."""
    row, x = UNARY[name], np.array(SPECIAL + GRID, dtype)
    leaf = nc.tensor(x, device=device, requires_grad=True)
    y = apply(elementwise.Pointwise(name), leaf)
    wanted = scalar(row.forward, x)
    same(y.detach().numpy(), wanted, dtype)
    zeros = (wanted == 0) & (x == 0)
    np.testing.assert_array_equal(np.signbit(y.detach().numpy()[zeros]), np.signbit(wanted[zeros]))
    g = np.linspace(-2, 3, x.size).astype(dtype)
    y.backward(nc.tensor(g, device=device))
    assert leaf.grad is not None
    known = {"x": (x,), "y": (wanted,), "": ()}[row.saves]
    same(leaf.grad.numpy(), scalar(row.backward, g, *known), dtype)


OPERATIONS: dict[str, Callable[[Any, Any], nc.Tensor]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "maximum": nc.maximum,
    "minimum": nc.minimum,
    "clamp_min": lambda a, b: a.clamp(min=b),
    "clamp_max": lambda a, b: a.clamp(max=b),
}


def check_binary(name: str, dtype: str, device: str) -> None:
    """Value and both gradients of a row, for all pairs of some numbers."""
    row = BINARY[name]
    numbers = np.array([0, -0.0, 1, -1, 2, 0.5, -2, 1e30, INF, -INF, NAN], dtype)
    a, b = (v.reshape(-1) for v in np.meshgrid(numbers, numbers))
    leaves = [nc.tensor(v, device=device, requires_grad=True) for v in (a, b)]
    with np.errstate(all="ignore"):
        y = OPERATIONS[name](*leaves)
        same(y.detach().numpy(), scalar(row.forward, a, b), dtype)
        g = np.linspace(-2, 3, a.size).astype(dtype)
        y.backward(nc.tensor(g, device=device))
    for leaf, backward in zip(leaves, row.backward):
        assert leaf.grad is not None
        same(leaf.grad.numpy(), scalar(backward, g, a, b), dtype)
