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
    "x.flip(0, 1)",
    "x.sin() + x.floor() * x.sign() + x.fmod(0.3)",
    "((x > 0) & ~(x > 2) | (x < -1)).float().cumsum(1)",
    "x[2].long() & 3",
    "x.masked_fill(x > 1, 2.0).nan_to_num().tril().amax(1)",
    "x[2:].sort(1, descending=True).values",
    "x.gather(1, x.detach().nan_to_num().argsort(1))",
    "x.nan_to_num().index_add(0, nc.tensor([2, 0, 2], device=x.device), x.nan_to_num()).logsumexp(1)",
    "nc.einsum('ij,kj->ik', x, x)",
    "x[2].prod() + x[2].norm(3)",
    "x.detach().nonzero().float()",
    "x.roll((1, -2), (0, 1)) * x.roll(3)",
    "x.diagonal(1) * x.T.diagonal(-1)",
    "(y := x.detach() * 1, y.T.diagonal(1).fill_(7.0), y)[2]",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression(expression: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        x = nc.tensor(X, device=device, requires_grad=True)
        y = eval(expression, {"x": x, "nc": nc})
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


@pytest.mark.parametrize("shape", [(0, 3), (7,), (2, 3, 5), (2, 3, 2, 3)], ids=str)
def test_dropout_drops_the_same_elements(shape: tuple[int, ...]) -> None:
    values, found = np.random.default_rng(0).standard_normal(shape, np.float32), []
    for device in ("cpu", "cuda"):
        x = nc.tensor(values, device=device, requires_grad=True)
        nc.manual_seed(5)
        y = nc.nn.functional.dropout(x, 0.3)
        y.backward(nc.tensor(values + 1, device=device))
        found.append((np.array(y), np.array(x.grad)))
    np.testing.assert_array_equal(found[1], found[0])


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int32"])
def test_labels_are_judged_on_the_device(dtype: str) -> None:
    scores = nc.zeros(3, 3, device="cuda", requires_grad=True)
    for labels in ([0, 3, 1], [0, 7, 255]):
        bad = nc.tensor(labels, dtype=dtype, device="cuda")
        loss = nc.nn.functional.cross_entropy(scores, bad)  # nothing waits for the device here
        loss.backward()
        with pytest.raises(ValueError) as error:
            loss.item()
        assert str(error.value) == f"[cross_entropy] expected labels between 0 and 2; received labels between 0 and {max(labels)}."
        assert np.isfinite(loss.item())  # said once
    good = nc.nn.functional.cross_entropy(scores, nc.tensor([0, 2, 1], dtype=dtype, device="cuda"))
    assert good.item() == pytest.approx(np.log(3))


@pytest.mark.parametrize("ignored", [-100, 1])
def test_a_label_that_is_ignored_is_no_fault(ignored: int) -> None:
    found = []
    for device in ("cpu", "cuda"):
        scores = nc.tensor([[1.0, 2.0, 0.5]] * 3, device=device, requires_grad=True)
        for labels in ([0, ignored, 2], [ignored] * 3):
            target = nc.tensor(labels, device=device)
            for loss in (nc.nn.functional.cross_entropy, nc.nn.functional.nll_loss):
                value = loss(scores, target, ignore_index=ignored)
                scores.grad = None
                value.backward()
                found.append(np.append(scores.grad.numpy(), value.item()))
        with pytest.raises(ValueError, match="received labels between -1 and 2"):
            nc.nn.functional.cross_entropy(scores, nc.tensor([0, 2, -1], device=device), ignore_index=ignored).item()
    assert np.isfinite(found[0]).all() and not found[2][:-1].any() and np.isnan(found[2][-1])
    np.testing.assert_allclose(found[4:], found[:4], rtol=1e-5)


def test_scores_and_labels_lie_on_one_device() -> None:
    for scores, labels in (("cpu", "cuda"), ("cuda", "cpu")):
        with pytest.raises(nc.DeviceError) as error:
            nc.nn.functional.cross_entropy(nc.zeros(2, 3, device=scores), nc.tensor([0, 1], device=labels))
        assert (
            str(error.value)
            == f"[cross_entropy] expected scores and labels on one device; received {scores} and {labels}; move one with .to()."
        )


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


@pytest.mark.parametrize(
    ("name", "moment"), [("SGD", "momentum_buffer"), ("Adam", "exp_avg"), ("NAdam", "exp_avg"), ("RMSprop", "square_avg")]
)
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
