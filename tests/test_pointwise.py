"""The table of pointwise functions: its scalar Python against SciPy, the CPU against its scalar Python, a row at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pointwise_rows import GRID, SPECIAL, check_binary, check_unary, scalar
from scipy import special

import numbacnn as nc
from numbacnn import names, nn
from numbacnn.formulas import BINARY, UNARY
from numbacnn.kernels.cpu import pointwise as kernels
from numbacnn.nn import functional as F
from numbacnn.ops import elementwise
from numbacnn.tensor import apply
from numbacnn.testing import gradcheck

both = pytest.mark.parametrize("dtype", ["float32", "float64"])

ORACLES: dict[str, Callable[[np.ndarray], Any]] = {
    "negative": np.negative,
    "absolute": np.abs,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "erf": special.erf,
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * special.expit(x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "relu6": lambda x: np.clip(x, 0, 6),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}


@pytest.mark.parametrize("name", UNARY)
def test_a_row_means_what_it_says(name: str) -> None:
    """Its scalar Python in float64; the gradient against differences."""
    row, x = UNARY[name], np.array(SPECIAL + GRID)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(scalar(row.forward, x), ORACLES[name](x), rtol=2e-9 if name == "softplus" else 1e-13, atol=1e-15)
    low = {"log": 0.3, "sqrt": 0.3, "log1p": -0.7}.get(name, -7.7)
    x = np.linspace(low, 7.7, 40)  # no kink is near
    step = 1e-5
    known = {"x": (x,), "y": (scalar(row.forward, x),), "": ()}[row.saves]
    slope = (scalar(row.forward, x + step) - scalar(row.forward, x - step)) / (2 * step)
    np.testing.assert_allclose(scalar(row.backward, np.full_like(x, 1.5), *known), 1.5 * slope, rtol=1e-7, atol=1e-8)


@both
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: str) -> None:
    check_unary(name, dtype, "cpu")


@both
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: str) -> None:
    check_binary(name, dtype, "cpu")


@pytest.mark.parametrize("name", UNARY)
def test_gradient(name: str) -> None:
    x = nc.tensor(np.linspace(0.21 if name in ("log", "sqrt") else -0.7, 6.7, 12).reshape(3, 4), requires_grad=True)
    assert gradcheck(lambda x: apply(elementwise.Pointwise(name), x), (x,))


@pytest.mark.parametrize("name", [name for name, row in UNARY.items() if row.numpy])
def test_numpy_and_kernels_agree(name: str) -> None:
    """Where large arrays are a kernel's and others NumPy's, no bit tells: but for ``exp``, which is always a kernel's in float32."""
    a = np.random.default_rng(0).standard_normal((2, 130, 16, 9), np.float32)
    for x in (a, a.transpose(0, 3, 1, 2), a[:, :, ::2]):
        found = nc.backends.get("cpu").unary(name, x)
        with np.errstate(all="ignore"):
            wanted = getattr(np, name)(x)
        if name == "exp":
            np.testing.assert_allclose(found, wanted, rtol=2e-7)
        else:
            np.testing.assert_array_equal(found, wanted)


@both
@pytest.mark.parametrize("name", [name for name, row in BINARY.items() if row.numpy < np.inf])
def test_large_arrays_of_one_layout(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a kernel's, what is small or lies otherwise is NumPy's, and no bit tells."""
    cpu, launched = nc.backends.get("cpu"), []
    one_pass = cpu._map
    monkeypatch.setattr(cpu, "_map", lambda kernel, *arrays: launched.append(1) or one_pass(kernel, *arrays))
    a, b = np.random.default_rng(0).standard_normal((2, 2, 40, 40, 11)).astype(dtype)
    a.flat[: len(SPECIAL)], b.flat[5 : 5 + len(SPECIAL)] = SPECIAL, SPECIAL
    last, also = a.transpose(0, 3, 1, 2), b.transpose(0, 3, 1, 2)
    for x, y, kernels_run in (
        (a.reshape(-1), b.reshape(-1), 1),
        (last, also, 1),
        (last[:1], also[:1], 0),
        (last, also[:, :, ::-1], 0),
        (last, np.ascontiguousarray(also), 0),
        (last, also[0], 0),
        (last, 2.0, 0),
    ):
        launched.clear()
        found = cpu.binary(name, x, y)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(found, getattr(np, name)(x, y))
        assert len(launched) == kernels_run


def test_no_row_depends_on_the_layout(backend: Any) -> None:
    a = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype("float32")
    last = np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for name in UNARY:
        with np.errstate(all="ignore"):
            found = [backend.to_numpy(backend.unary(name, backend.from_numpy(x))) for x in (a, last, a[..., ::-1])]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2][..., ::-1])


def test_what_dense_kernels_fuse_is_what_the_table_says() -> None:
    assert tuple(name for name, row in UNARY.items() if row.fused) == names.ACTIVATIONS[1:]


@pytest.mark.parametrize("name", names.ACTIVATIONS[1:])
def test_a_kernel_is_made_once(name: str) -> None:
    assert kernels.forward(name) is kernels.forward(name)
    assert kernels.backward(name) is kernels.backward(name)


# -- NaN, infinities and kinks ---------------------------------------------------------------------------------------------
def test_gradients_at_nan(device: str) -> None:
    """As PyTorch's: nothing comes back through abs and clamp, all of it through maximum."""
    for f, wanted in ((abs, 0), (lambda x: x.clamp(-1, 1), 0), (lambda x: x.clamp(min=0), 0), (lambda x: nc.maximum(x, 0.0), 1)):
        x = nc.tensor([np.nan, 0.5], device=device, requires_grad=True)
        f(x).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [wanted, 1]


def test_clamp_with_nan(device: str) -> None:
    x = nc.tensor([1.0, np.nan], device=device)
    for bounds in ({"min": np.nan}, {"max": np.nan}, {"min": np.nan, "max": 0.0}, {"min": 0.0, "max": np.nan}):
        assert np.isnan(x.clamp(**bounds).numpy()).all()
    assert np.isnan(x.clamp(0.0, 2.0).numpy()).tolist() == [False, True]


def test_powers_of_zero(device: str) -> None:
    """d/db of a ** b is a ** b * log(a), but 0 where a is 0 and b is not negative."""
    for zero in (0.0, nc.zeros(4, device=device)):
        b = nc.tensor([-1.0, 0.0, 2.0, np.nan], device=device, requires_grad=True)
        (zero**b).sum().backward()
        assert b.grad is not None
        np.testing.assert_array_equal(b.grad.numpy(), [-np.inf, 0, 0, np.nan])
    for zero in (0, nc.zeros(3, device=device)):
        a = nc.tensor([np.nan, np.inf, 0.0], device=device, requires_grad=True)
        (a**zero).sum().backward()
        assert a.grad is not None
        assert a.grad.tolist() == [0, 0, 0]


# -- the activations that have no method ----------------------------------------------------------------------------------------
def test_softplus_has_pytorchs_arguments() -> None:
    x = nc.tensor([-3.0, 0.0, 2.0, 9.0])
    wide = x.double().numpy()
    np.testing.assert_allclose(F.softplus(x, beta=2).numpy(), np.logaddexp(2 * wide, 0) / 2, rtol=1e-6)
    np.testing.assert_allclose(F.softplus(x, 2.0, 3.5).numpy(), [*np.logaddexp(2 * wide[:2], 0) / 2, 2, 9], rtol=1e-6)
    np.testing.assert_allclose(nn.Softplus(2.0, 3.5)(x).numpy(), F.softplus(x, 2.0, 3.5).numpy(), rtol=0)


@pytest.mark.parametrize("layer", [nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Softplus])
def test_layers(layer: type[nn.Module]) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), layer())
    x = nc.rand(2, 1, 5, 5)
    y = net(x)
    assert y.tolist() == getattr(F, layer.__name__.lower())(net[0](x)).tolist()
    rows = nc.inspect.summary(net, (1, 5, 5)).rows
    assert [row.macs for row in rows] == [162, 0]
    assert nc.inspect.receptive_field(net) == nc.inspect.receptive_field(net[:1])


def test_how_layers_are_shown() -> None:
    shown = [repr(m) for m in (nn.ReLU6(), nn.SiLU(inplace=True), nn.Hardswish(), nn.Softplus())]
    assert shown == ["ReLU6()", "SiLU(inplace=True)", "Hardswish()", "Softplus(beta=1.0, threshold=20.0)"]


WRONG = [
    (
        lambda: F.silu(nc.tensor([1])),
        nc.DTypeError,
        "[silu] expected floating-point tensors of one dtype; received int64; convert them with .to().",
    ),
    (lambda: F.relu6(1.0), TypeError, "[relu6] expected Tensors; received float; make one with tensor() or from_array()."),
    (lambda: F.softplus(nc.ones(1), beta=0), ValueError, "[softplus] expected beta as a number other than 0; received 0."),
    (lambda: nn.Softplus(threshold=np.nan), ValueError, "[Softplus] expected threshold as a number that is finite; received nan."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), WRONG)
def test_errors(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == text
