"""Tensors on the device give what they give on the CPU: values and gradients of what is composed or new above the backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import cuda

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

X = np.array([[1.5, -2.0, 1.5, 0.25], [np.nan, 4.0, np.nan, 1.0], [-1.0, -1.0, 3.0, 3.0]], np.float32)

EXPRESSIONS = [
    "x.max()",
    "x[2].max()",
    "x[2].min()",
    "x.max(1).values",
    "x.max(1).indices",
    "x.min(0, keepdim=True).values",
    "x[2, 3].max(0).values",
    "x.argmin(1)",
    "x[2].argmin()",
    "x % 0.75",
    "x % x[2]",
    "x.detach() // 0.75",
    "x[2].long().clamp(-5, 5) // 2",
    "x[0].var()",
    "x[::2].std(1)",
    "(x[0] * 0).std()",
    "x.clamp(-1.0, 3.0)",
    "x.sum(())",
    "x[:0].argmax(1)",
    "x[:0].max(1).values",
    "x[:0].min(1).indices",
    "x[:, :0].sum(1)",
    "x.T.contiguous() * 2",
    "x[2:].expand(3, 4).contiguous()",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression(expression: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        x = nc.tensor(X, device=device, requires_grad=True)
        y = eval(expression, {"x": x})
        assert y.device == device
        if y.requires_grad:
            (y * nc.arange(1.0, y.numel() + 1, device=device).reshape(y.shape)).sum().backward()
        found.append((np.array(y), None if x.grad is None else np.array(x.grad)))
    (values, grad), (wanted, wanted_grad) = found[1], found[0]
    assert values.dtype == wanted.dtype
    np.testing.assert_allclose(values, wanted, rtol=1e-6)
    assert (grad is None) == (wanted_grad is None)
    if grad is not None:
        np.testing.assert_allclose(grad, wanted_grad, rtol=1e-5)


class Elsewhere(nc.Function):
    """Its gradient comes back on the CPU."""

    @staticmethod
    def forward(ctx: Any, x: nc.Tensor) -> nc.Tensor:
        return x * 2.0

    @staticmethod
    def backward(ctx: Any, grad: nc.Tensor) -> nc.Tensor:
        return grad.cpu()


here, there = nc.ones(2), nc.ones(2, device="cuda") if cuda.is_available() else nc.ones(2)
BOTH = "tensors on one device; received {}; move one with .to()."

MIXED = [
    (lambda: here + there, "[add] expected " + BOTH.format("cpu and cuda")),
    (lambda: there <= here, "[less_equal] expected " + BOTH.format("cuda and cpu")),
    (lambda: there @ here, "[matmul] expected " + BOTH.format("cuda and cpu")),
    (lambda: nc.where(here > 0, there, 1.0), "[where] expected " + BOTH.format("cpu and cuda")),
    (lambda: nc.where(here > 0, here, there), "[where] expected " + BOTH.format("cpu and cuda")),
    (
        lambda: there.clone().requires_grad_().backward(here),
        "[backward] expected a gradient on 'cuda'; received 'cpu'; move it with .to().",
    ),
    (
        lambda: Elsewhere.apply(there.clone().requires_grad_()).sum().backward(),
        "[Elsewhere] expected gradients as Tensors on 'cuda' from backward, or None; received cpu.",
    ),
]


@pytest.mark.parametrize(("call", "text"), MIXED, ids=[text for _, text in MIXED])
def test_tensors_on_two_devices(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(nc.DeviceError) as error:
        call()
    assert str(error.value) == text


def test_comparisons_with_numbers_beyond_the_dtype() -> None:
    small = nc.tensor([1, 255], dtype="uint8", device="cuda")
    assert (small < 300).tolist() == [True, True] and (small == -1).tolist() == [False, False]
    assert (nc.tensor([1], device="cuda") < 2**70).item()


def test_index_errors_have_the_words_of_the_cpu() -> None:
    for index in (3, (0, -5), [7]):
        said = []
        for device in ("cpu", "cuda"):
            with pytest.raises(IndexError) as error:
                nc.zeros(3, 4, device=device)[index]
            said.append(str(error.value))
        assert said[0] == said[1]


@pytest.mark.parametrize(("name", "moment"), [("SGD", "momentum_buffer"), ("Adam", "exp_avg")])
def test_moments_follow_their_parameters(name: str, moment: str) -> None:
    options = {"momentum": 0.9} if name == "SGD" else {}
    found = []
    for devices in (["cpu"] * 4, ["cpu", "cuda", "cuda", "cpu"]):
        layer = nc.nn.Linear(3, 2)
        layer.load_state_dict({"weight": nc.tensor(np.ones((2, 3), np.float32)), "bias": nc.ones(2)})
        optimizer = getattr(nc.optim, name)(layer.parameters(), lr=0.125, **options)
        for step, device in enumerate(devices):
            layer.to(device)
            for p in layer.parameters():
                p.grad = nc.full(p.shape, step + 1.0, device=device)
            optimizer.step()
            assert optimizer.state[layer.weight][moment].device == device
        found.append(layer.weight.detach().cpu().numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
