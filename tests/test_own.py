"""What a user adds: a function of each number."""

from __future__ import annotations

import copy
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba import njit
from scipy import special

import numbacnn as nc
from numbacnn import formulas, nn
from numbacnn.errors import in_form
from numbacnn.fingerprint import fingerprint
from numbacnn.testing import GradientError, gradcheck

COMPILED = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]

RATE = 2.0


def swish2(x: Any) -> Any:
    """x times the sigmoid of 2 x."""
    return x / (1 + math.exp(-RATE * x))


def swish2_slope(x: Any) -> Any:
    s = 1 / (1 + math.exp(-RATE * x))
    return s + RATE * x * s * (1 - s)


def typed(x: Any) -> Any:
    s = formulas.sigmoid(type(x)(2) * x)
    return x * s


def leaky(rate: float) -> Any:
    """A function with a constant of its own."""
    return nc.pointwise(lambda x: x if x > 0 else rate * x, lambda x: 1 if x > 0 else rate)


@njit
def halved(x: Any) -> Any:
    return x / 2


MADE: dict[str, tuple[Callable[[], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "plain Python": (lambda: nc.pointwise(swish2, swish2_slope), lambda x: x * special.expit(2 * x)),
    "the table's functions": (lambda: nc.pointwise(typed, swish2_slope), lambda x: x * special.expit(2 * x)),
    "of y": (lambda: nc.pointwise(math.tanh, lambda y: 1 - y * y, of="y"), np.tanh),
    "NumPy": (lambda: nc.pointwise(np.arctan, lambda x: 1 / (1 + x**2)), np.arctan),
    "a closure": (lambda: leaky(0.25), lambda x: np.where(x > 0, x, 0.25 * x)),
    "another compiled function": (lambda: nc.pointwise(lambda x: halved(x) ** 2, lambda x: x / 2), lambda x: x * x / 4),
}


@pytest.mark.parametrize("kind", MADE)
def test_a_pointwise_function(kind: str, device: str) -> None:
    make, oracle = MADE[kind]
    function, x = make(), np.linspace(-3, 3, 24).reshape(1, 2, 3, 4)
    for dtype, rtol in (("float64", 1e-13), ("float32", 1e-5)):
        leaf = nc.tensor(x, dtype=dtype, device=device, requires_grad=True)
        y = function(leaf)
        y.sum().backward()
        assert leaf.grad is not None and (y.dtype, leaf.grad.dtype) == (leaf.dtype, leaf.dtype)
        np.testing.assert_allclose(y.detach().numpy(), oracle(x), rtol=rtol)
    assert gradcheck(function, nc.tensor(x, device=device, requires_grad=True))
    assert function(nc.tensor([1, 2], device=device)).dtype == nc.float32


def test_far_from_zero_it_is_what_a_gpu_gives(device: str) -> None:
    """``math.exp(2000)`` raises in Python, and is infinite in compiled code."""
    x = np.array([-1000, 1000, np.inf, np.nan], np.float32)
    with np.errstate(all="ignore"):
        found = nc.pointwise(swish2, swish2_slope)(nc.tensor(x, device=device)).numpy()
    np.testing.assert_array_equal(found, np.array([-0.0, 1000, np.inf, np.nan], np.float32))
    with np.errstate(all="ignore"):
        roots = nc.pointwise(math.sqrt, lambda y: 0.5 / y, of="y")(nc.tensor([-1.0, 4.0], device=device)).numpy()
    np.testing.assert_array_equal(roots, np.array([np.nan, 2], np.float32))


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_numbers_beside_a_float32_are_float32() -> None:
    """Numbers in the code, in a closure and of a global name; where they have to be Python's own, they are."""
    from numba import types

    from numbacnn.kernels.cpu import pointwise as kernels

    def given(function: Any, dtype: Any) -> Any:
        scalar = kernels._scalar(function._rows[dtype].name, "forward")
        return scalar.overloads[(numba.from_dtype(dtype),)].signature.return_type

    def by(rate: Any) -> Any:
        return lambda x: (2 * x + rate * x**2) * RATE + 0.1

    for function in (nc.pointwise(by(3), by(3)), nc.pointwise(by(0.5), by(0.5))):
        assert given(function, nc.float32) == types.float32 and given(function, nc.float64) == types.float64
    pairs = nc.pointwise(lambda x: (x, 1)[0] * 0.1, lambda x: 0.1)  # Numba wants a literal for the index of such a tuple
    assert given(pairs, nc.float32) == types.float64
    assert pairs(nc.tensor([2.0])).item() == np.float32(0.2)


def test_a_wrong_derivative_is_found_by_gradcheck() -> None:
    x = nc.tensor([0.5, 2.0], dtype="float64", requires_grad=True)
    with pytest.raises(GradientError):
        gradcheck(nc.pointwise(lambda x: x * x, lambda x: x), x)


def test_a_name_has_the_value_that_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    x = nc.tensor([1.0])
    two = nc.pointwise(swish2, swish2_slope)
    monkeypatch.setitem(globals(), "RATE", 3.0)
    three = nc.pointwise(swish2, swish2_slope)
    wanted = [special.expit(2), special.expit(3)]
    np.testing.assert_allclose([two(x).item(), three(x).item()], wanted, rtol=1e-6)


def test_two_functions_of_one_name_are_two() -> None:
    x = nc.tensor([-8.0])
    assert (leaky(0.5)(x).item(), leaky(0.25)(x).item()) == (-4, -2)


def test_a_layer() -> None:
    function = nc.pointwise(swish2, swish2_slope)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Pointwise(function))
    x = nc.rand(2, 1, 5, 5)
    for layer in (net, copy.deepcopy(net)):
        assert layer(x).tolist() == function(net[0](x)).tolist()
    assert repr(net[1]) == "Pointwise(swish2)" and function.__doc__ == "x times the sigmoid of 2 x."
    assert pickle.loads(pickle.dumps(function))(x).tolist() == function(x).tolist()
    assert [row.macs for row in nc.inspect.summary(net, (1, 5, 5)).rows] == [162, 0]
    assert nc.inspect.receptive_field(net) == nc.inspect.receptive_field(net[:1])


# -- what a digest tells ---------------------------------------------------------------------------------------------------------
def test_what_a_digest_tells() -> None:
    def by(rate: Any) -> Any:
        return lambda x: rate * x

    def inner(x: Any) -> Any:
        return sum([k * x for k in (1, 2)])

    def again(x: Any) -> Any:
        return again(x - 1) if x > 0 else x

    same = [(by(2), by(2)), (swish2, swish2), (inner, inner), (again, again), (np.tanh, np.tanh), (halved, halved)]
    other = [(by(2), by(3)), (by(2), by(2.0)), (by(0.0), by(-0.0)), (swish2, swish2_slope), (np.tanh, math.tanh), (by(halved), by(swish2))]
    assert all(fingerprint(a) == fingerprint(b) is not None for a, b in same)
    assert all(fingerprint(a) != fingerprint(b) for a, b in other)
    assert [fingerprint(by(unknown)) for unknown in ([1.0], np.zeros(2), os, object())] == [None] * 4


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_kernels_that_no_name_tells_from_others_are_not_kept() -> None:
    from numba.core.caching import NullCache

    from numbacnn.kernels.cpu import launch
    from numbacnn.kernels.cpu import pointwise as kernels

    weights = np.array([0.5, 2.0])
    made = [nc.pointwise(lambda x: weights[0] * x, lambda x: weights[0]) for _ in range(2)]
    names = [function._rows[nc.float32].name for function in made]
    assert names[0] != names[1]
    kernel = kernels.forward(names[0])
    assert isinstance(kernel._cache, NullCache) and isinstance(launch._serial(kernel)._cache, NullCache)
    assert made[0](nc.tensor([4.0])).item() == 2
    kept = kernels.forward(nc.pointwise(swish2, swish2_slope)._rows[nc.float32].name)
    assert not isinstance(kept._cache, NullCache) and not isinstance(launch._serial(kept)._cache, NullCache)


TYPED_IN = """
import numbacnn as nc
from numbacnn.kernels.cpu import pointwise as kernels
cube = nc.pointwise(lambda x: x * x * x, lambda x: 3 * x * x)
x = nc.tensor([2.0], requires_grad=True)
cube(x).backward()
print(x.grad.item(), [sum(make(cube._rows[x.dtype].name).stats.cache_hits.values()) for make in (kernels.forward, kernels.backward)])
"""


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_what_was_typed_in_is_kept_too(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBACNN_QUIET": "1"}
    for hits in ("[0, 0]", "[1, 1]"):
        child = subprocess.run([sys.executable, "-"], input=TYPED_IN, capture_output=True, text=True, env=environment, timeout=120)
        assert (child.stdout, child.stderr) == (f"12.0 {hits}\n", "")


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_the_users_module_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba imports the module of a function that it compiles or finds on disk: a script would run again."""
    (tmp_path / "script_that_ran.py").write_text("raise SystemExit('again')")
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, Any] = {"nc": nc, "__name__": "script_that_ran"}
    exec("f = nc.pointwise(lambda x: x + 0.375, lambda x: 1)", names)
    assert names["f"](nc.tensor([1.0])).item() == 1.375


# -- errors ------------------------------------------------------------------------------------------------------------------------
def plain(x: Any) -> Any:
    return x


def calls_plain(x: Any) -> Any:
    y = x + 1
    return plain(y)


HINT = "it may call math, NumPy's functions of numbers, those of numbacnn.formulas, and functions under @njit."
CAN = "[pointwise] expected {} to give a number, and to be what Numba compiles; received {}; " + HINT
WRONG = [
    (lambda: nc.pointwise(3, plain), "[pointwise] expected f as a function of one number; received 3."),
    (lambda: nc.pointwise(plain, None), "[pointwise] expected derivative as a function of one number; received None."),
    (lambda: nc.pointwise(float, plain), "[pointwise] expected f as a function of one number; received type float."),
    (lambda: nc.pointwise(lambda g, x: g, plain), "[pointwise] expected f as a function of one number; received <lambda>(g, x)."),
    (lambda: nc.pointwise(plain, plain, "z"), "[pointwise] expected of as 'x' or 'y'; received 'z'."),
    (
        lambda: nc.pointwise(plain),
        "[pointwise] expected the arguments f, derivative, of; received missing a required argument: 'derivative'.",
    ),
    (lambda: nc.pointwise(plain, plain)(3.0), "[plain] expected a Tensor; received 3.0; make one with tensor() or from_array()."),
    (lambda: nn.Pointwise(plain), "[Pointwise] expected a function that numbacnn.pointwise() made; received function."),
]  # fmt: skip
COMPILING = [
    (lambda: nc.pointwise(lambda x: print(), plain), CAN.format("f", "one that gives none")),
    (
        lambda: nc.pointwise(plain, calls_plain),
        CAN.format(
            "derivative", f"Cannot determine Numba type of <class 'function'>, in line {calls_plain.__code__.co_firstlineno + 2} of "
            "test_own.py: return plain(y)"
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), WRONG + COMPILING * COMPILED, ids=lambda case: case if isinstance(case, str) else "")
def test_errors(call: Callable[[], Any], text: str) -> None:
    before = set(formulas.UNARY)
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert str(error.value) == text
    assert {name for name in set(formulas.UNARY) - before if not name.startswith("plain")} == set()


@pytest.mark.skipif(not COMPILED, reason="runs it by itself")
def test_without_the_compiler() -> None:
    """The functions run as Python, and a wrong one is refused as well."""
    code = """
import math, numbacnn as nc
x = nc.tensor([-1000.0, 1.0], requires_grad=True)
y = nc.pointwise(lambda x: x / (1 + math.exp(-x)), lambda x: 1)(x)
y.sum().backward()
print(y.dtype, y.tolist()[0], x.grad.tolist())
try:
    nc.pointwise(lambda x: [x], lambda x: 1)
except TypeError as error:
    print(error)
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert child.stderr == ""
    assert child.stdout.splitlines() == ["float32 -0.0 [1.0, 1.0]", CAN.format("f", "one that gives a list")]
    assert in_form(TypeError(child.stdout.splitlines()[1]))
