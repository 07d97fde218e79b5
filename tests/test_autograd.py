"""Tensor and the tape: gradients of every operation against differences, in-place rules, memory, NumPy, and every error's text."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import multiprocessing
import operator
import pickle
import re
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import ops
from numbacnn.nn import functional as F
from numbacnn.nn.functional.conv import fused_conv2d
from numbacnn.nn.functional.dense import fused_linear
from numbacnn.tensor import apply
from numbacnn.testing import GradientError, adjoint_check, gradcheck

E, R, S = ops.elementwise, ops.reduce, ops.shape


def real(*shape: int, seed: int = 0, low: float | None = None) -> nc.Tensor:
    """float64, with a gradient; values above ``low`` where given."""
    a = np.random.default_rng(seed).standard_normal(shape)
    return nc.tensor(a if low is None else np.abs(a) + low, requires_grad=True)


def spread(*shape: int, seed: int = 0) -> nc.Tensor:
    """float64 values that are all at least 0.1 apart and away from 0: no kinks nearby."""
    count = int(np.prod(shape))
    a = np.random.default_rng(seed).permutation(count) * 0.1 - 0.1 * count / 2 + 0.03
    return nc.tensor(a.reshape(shape), requires_grad=True)


def exactly(kind: type[BaseException], text: str) -> Any:
    return pytest.raises(kind, match="^" + re.escape(text) + "$")


# -- every operation against differences -----------------------------------------------------------------------------------
MASK = nc.tensor([[True, False, True], [False, True, False]])


def _normed(training: bool) -> Callable[..., nc.Tensor]:
    """Batch normalisation with running statistics of its own, which it must not differentiate through."""

    def f(x: nc.Tensor, w: nc.Tensor | None = None, b: nc.Tensor | None = None) -> nc.Tensor:
        c = x.shape[1]
        return F.batch_norm(x, real(c, seed=5).detach(), real(c, seed=6, low=0.5).detach(), w, b, training)

    return f


GRADIENTS: dict[type[ops.Op], list[tuple[Callable[..., nc.Tensor], list[nc.Tensor]]]] = {
    E.Add: [
        (operator.add, [real(2, 3), real(2, 3, seed=1)]),
        (operator.add, [real(2, 1, 3), real(4, 1, seed=1)]),
        (operator.add, [real(3), real(seed=1)]),
        (lambda x: x + x + 1.0, [real(2, 3)]),
    ],
    E.Cast: [(lambda x: x.clone() * 2.0, [real(3)]), (lambda x: x.to("float64").clone(), [real(2, 2)])],
    E.Divide: [
        (operator.truediv, [real(2, 3), real(2, 3, seed=1, low=0.5)]),
        (operator.truediv, [real(3, 1), real(1, 4, seed=1, low=0.5)]),
        (lambda x: 2.0 / x, [real(3, low=0.5)]),
        (lambda x: x / x, [real(3, low=0.5)]),
    ],
    E.ClampMax: [(lambda x, b: x.clamp(max=b), [spread(3, 4), spread(4, seed=1) + 0.04]), (lambda x: x.clamp(max=0.2), [spread(7)])],
    E.ClampMin: [(lambda x, b: x.clamp(min=b), [spread(3, 4), spread(4, seed=1) + 0.04]), (lambda x: x.clamp(min=0.2), [spread(7)])],
    E.Maximum: [(nc.maximum, [spread(3, 4), spread(3, 4, seed=1) + 0.04]), (lambda x: nc.maximum(x, 0.0), [spread(7)])],
    E.Minimum: [(nc.minimum, [spread(3, 4), spread(4, seed=1) + 0.04]), (lambda x: nc.minimum(0.0, x), [spread(7)])],
    E.Multiply: [
        (operator.mul, [real(2, 3), real(2, 3, seed=1)]),
        (operator.mul, [real(2, 1, 3), real(4, 1, seed=1)]),
        (lambda x: x * x, [real(3)]),
        (lambda x: 3.0 * x, [real(3)]),
    ],
    E.Pointwise: [  # every row: tests/test_pointwise.py
        (nc.Tensor.relu, [spread(2, 3, 2, 2)]),
        (F.gelu, [real(2, 3, 2, 2)]),
        (operator.neg, [real(3)]),
    ],
    E.Power: [
        (lambda x: x**3, [real(4)]),
        (lambda x: x**-1.5, [real(4, low=0.5)]),
        (operator.pow, [real(3, low=0.5), real(3, seed=1)]),
        (operator.pow, [real(3, 1, low=0.5), real(2, seed=1)]),
        (lambda x: 2.5**x, [real(4)]),
    ],
    E.Remainder: [
        (operator.mod, [spread(3, 4), spread(4, seed=1) + 2.03]),
        (lambda x: x % 0.37, [spread(7)]),
        (lambda x: 7.0 % x, [real(3, low=2.5)]),
    ],
    E.Subtract: [(operator.sub, [real(2, 3), real(3, seed=1)]), (lambda x: 1.0 - x, [real(3)])],
    E.Where: [
        (lambda a, b: nc.where(MASK, a, b), [real(2, 3), real(3, seed=1)]),
        (lambda a: nc.where(MASK, a, 1.0), [real(1, 3)]),
        (lambda a: nc.where(MASK, 0.0, a), [real()]),
    ],
    R.Sum: [
        (nc.Tensor.sum, [real(2, 3)]),
        (lambda x: x.sum((0, 2)), [real(2, 3, 2)]),
        (lambda x: x.sum(1, keepdim=True), [real(2, 3, 2, 2)]),
        (nc.Tensor.sum, [real()]),
    ],
    R.Mean: [(lambda x: x.mean(dim=-1), [real(2, 3)]), (nc.Tensor.mean, [real(2, 2, 1, 3)])],
    R.Max: [(nc.Tensor.max, [spread(3, 4)])],
    R.Min: [(nc.Tensor.min, [spread(5)])],
    R.MaxAlong: [
        (lambda x: x.max(0).values, [spread(3, 4)]),
        (lambda x: x.max(2, keepdim=True).values, [spread(2, 2, 3, 2)]),
    ],
    R.MinAlong: [(lambda x: x.min(1).values, [spread(3, 4)])],
    R.Softmax: [
        (lambda x: x.softmax(1), [real(3, 4)]),
        (lambda x: x.softmax(0), [real(3, 4)]),
        (lambda x: x.softmax(1), [real(2, 3, 2, 2)]),
    ],
    R.LogSoftmax: [(lambda x: x.log_softmax(-1), [real(3, 4)]), (lambda x: x.log_softmax(0), [real(3, 2, 2)])],
    S.Reshape: [(lambda x: x.reshape(3, 2) * x.reshape(3, 2), [real(2, 3)]), (lambda x: x.reshape(-1), [real(2, 3, 2, 2)])],
    S.Diagonal: [(lambda x: x.diagonal(), [real(3, 4)]), (lambda x: x.diagonal(-1, 2, 0), [real(3, 2, 4)])],
    S.Transpose: [(lambda x: x.permute(2, 0, 1), [real(2, 3, 4)]), (lambda x: x.T @ x, [real(2, 3)])],
    S.Flip: [(lambda x: x.flip(0, -1) * x, [real(2, 3)])],
    S.Roll: [(lambda x: x.roll((1, -2), (0, 1)) * x.roll(4), [real(2, 3)])],
    S.Contiguous: [(lambda x: x.T.contiguous() @ x, [real(2, 3)]), (lambda x: x.expand(2, 3).contiguous(), [real(3)])],
    S.Broadcast: [(lambda x: x.expand(2, 3, 4), [real(3, 1)]), (lambda x: x.expand(2, -1), [real(3)])],
    S.GetItem: [
        (lambda x: x[1], [real(3, 4)]),
        (lambda x: x[1, 2], [real(3, 4)]),
        (lambda x: x[::2, None, 1:], [real(3, 4)]),
        (lambda x: x[..., 0], [real(2, 3, 2, 2)]),
        (lambda x: x[[0, 0, 2], [1, 1, 0]], [real(3, 4)]),  # one element twice
        (lambda x: x[MASK], [real(2, 3)]),
        (lambda x: x[nc.tensor([2, 0, 2])], [real(3, 2)]),
        (lambda x: nc.stack(list(x)) * x, [real(3)]),
    ],
    S.SetItem: [
        (lambda x, v: _written(x, 1, v), [real(3, 4), real(4, seed=1)]),
        (lambda x, v: _written(x, (slice(None), 2), v), [real(3, 4), real(seed=1)]),
        (lambda x, v: _written(x, [0, 2], v), [real(3, 4), real(1, 4, seed=1)]),
        (lambda x, v: _written(x, MASK, v), [real(2, 3), real(3, seed=1)]),
        (lambda x: _written(x, 0, 5.0), [real(3)]),
        (lambda v: _written(nc.zeros(2, 2, dtype="float64"), 0, v), [real(2)]),
    ],
    S.AddAt: [
        (lambda x, v: x.index_add(0, nc.tensor([2, 0, 2]), v), [real(3, 2), real(3, 2, seed=1)]),
        (lambda x, v: x.scatter_add(1, nc.tensor([[0, 0], [2, 1]]), v), [real(2, 3), real(2, 2, seed=1)]),
    ],
    E.Arctan2: [(lambda a, b: a.atan2(b), [real(3, 4), real(4, low=0.5, seed=1)]), (lambda a: a.atan2(2.0), [real(3)])],
    E.Fmod: [(lambda a, b: (a * 9).fmod(b), [real(3, 4), real(4, low=0.6, seed=1)])],
    S.Concatenate: [
        (lambda a, b: nc.cat([a, b, a], 1), [real(2, 3), real(2, 1, seed=1)]),
        (lambda a, b: nc.stack([a, b], -1), [real(2, 3), real(2, 3, seed=1)]),
        (lambda a, b: nc.cat([a, b], 1), [real(2, 1, 2, 3), real(2, 3, 2, 3, seed=1)]),
        (lambda a: nc.cat([nc.zeros(2, dtype="float64"), a]), [real(2)]),
    ],
    ops.linear.Matmul: [
        (operator.matmul, [real(3, 4), real(4, 2, seed=1)]),
        (operator.matmul, [real(4), real(4, seed=1)]),
        (operator.matmul, [real(4), real(4, 2, seed=1)]),
        (operator.matmul, [real(3, 4), real(4, seed=1)]),
        (operator.matmul, [real(2, 3, 4), real(4, 2, seed=1)]),
        (lambda a: a @ a, [real(3, 3)]),
    ],
    ops.linear.BatchedMatmul: [
        (operator.matmul, [real(2, 3, 4), real(2, 4, 5, seed=1)]),
        (operator.matmul, [real(2, 1, 2, 3), real(3, 3, 2, seed=1)]),
        (operator.matmul, [real(2, 3), real(3, 3, 4, seed=1)]),
        (lambda a, b: a.transpose(1, 2) @ b[:, :, 1:], [real(2, 4, 3), real(2, 4, 5, seed=1)]),
        (lambda a: a @ a.transpose(1, 2), [real(2, 5, 2)]),
    ],
    ops.linear.Linear: [
        (F.linear, [real(3, 4), real(2, 4, seed=1), real(2, seed=2)]),
        (F.linear, [real(2, 2, 3), real(2, 3, seed=1)]),
        (F.linear, [real(3), real(2, 3, seed=1), real(2, seed=2)]),
        (lambda x, w, b: fused_linear(x, w, b, "sigmoid"), [real(3, 4), real(2, 4, seed=1), real(2, seed=2)]),
        (lambda x, w: fused_linear(x, w, None, "tanh"), [real(3, 4), real(2, 4, seed=1)]),
        (lambda x, w: fused_linear(x, w, None, flat=True), [real(3, 2, 2, 3), real(2, 12, seed=1)]),
        (lambda x, w: fused_linear(x, w, None, flat=True), [real(3, 2, 3), real(2, 6, seed=1)]),
    ],
    ops.loss.CrossEntropy: [
        (lambda x: F.cross_entropy(x, nc.tensor([0, 2, 1])), [real(3, 4)]),
        (lambda x: F.cross_entropy(x, nc.tensor([0, 2, 1]), label_smoothing=0.2, reduction="none"), [real(3, 4)]),
        (lambda x: F.cross_entropy(x, nc.tensor([[0, 2], [1, 1]]), reduction="sum"), [real(2, 3, 2)]),
    ],
    ops.loss.BinaryCrossEntropy: [
        (lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.sigmoid()), [real(3, 4), real(3, 4, seed=1)]),
    ],
    ops.conv.Conv: [
        (lambda x, w, b: F.conv2d(x, w, b, padding=1), [real(2, 2, 3, 4), real(3, 2, 3, 3, seed=1), real(3, seed=2)]),
        (lambda x, w: F.conv2d(x, w, stride=2, padding="valid", dilation=2), [real(1, 1, 5, 6), real(2, 1, 2, 2, seed=1)]),
        (lambda x, w: F.conv2d(x, w, groups=2, padding="same"), [real(1, 4, 3, 3), real(2, 2, 2, 2, seed=1)]),
        (lambda x, w: F.conv2d(x, w), [real(2, 3, 3), real(2, 2, 2, 2, seed=1)]),
        (
            lambda x, w, b: fused_conv2d(x, w, b, 1, 0, 1, 1, "tanh", nc.nn.AvgPool2d(2)._geometry),
            [real(2, 2, 5, 3), real(3, 2, 2, 2, seed=1), real(3, seed=2)],
        ),
        (lambda x, w, b: fused_conv2d(x, w, b, 1, 0, 1, 1, "relu"), [real(2, 2, 3, 4), real(3, 2, 2, 2, seed=1), real(3, seed=2)]),
    ],
    ops.pool.MaxPool: [
        (lambda x: F.max_pool2d(x, 2), [spread(2, 2, 4, 5)]),
        (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), [spread(1, 2, 5, 4)]),
        (lambda x: F.max_pool2d(x, 2, 1, dilation=2), [spread(1, 1, 4, 4)]),
    ],
    ops.norm.BatchNorm: [
        (_normed(training=True), [real(3, 2, 2, 3), real(2, seed=1), real(2, seed=2)]),
        (_normed(training=True), [real(5, 3)]),
        (lambda x, w: F.batch_norm(x, None, None, weight=w, training=True), [real(2, 3, 4), real(3, seed=1)]),
        (lambda x, b: F.batch_norm(x, None, None, bias=b, training=True), [real(2, 3, 4), real(3, seed=1)]),
        (_normed(training=False), [real(3, 2, 2, 3), real(2, seed=1), real(2, seed=2)]),
        (lambda w: _normed(training=True)(real(4, 3), w), [real(3, seed=1)]),
        (lambda x: _normed(training=False)(x), [real(4, 3)]),
    ],
    ops.dropout.Dropout: [(lambda x: (nc.manual_seed(1), F.dropout(x, 0.4))[1], [real(3, 2, 5)])],
    ops.pool.AdaptiveAvgPool: [
        (lambda x: F.adaptive_avg_pool2d(x, 1), [real(2, 2, 3, 4)]),
        (lambda x: F.adaptive_avg_pool2d(x, (3, 2)), [real(1, 2, 5, 4)]),
        (lambda x: F.adaptive_avg_pool2d(x, (None, 7)), [real(2, 3, 4)]),
    ],
    ops.pool.AvgPool: [
        (lambda x: F.avg_pool2d(x, 2), [real(2, 2, 4, 5)]),
        (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), [real(1, 2, 5, 4)]),
        (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), [real(1, 2, 5, 4)]),
    ],
}


def _written(x: nc.Tensor, index: Any, value: Any) -> nc.Tensor:
    y = x * 2.0
    y[index] = value
    return y * y


def _operations() -> set[type[ops.Op]]:
    found = set()
    for module in vars(ops).values():
        if inspect.ismodule(module):
            classes = {
                c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, ops.Op) and c.__module__ == module.__name__
            }
            found |= {c for c in classes if not c.__name__.startswith("_") and c is not ops.Op}
    return found


def test_every_operation_has_a_row() -> None:
    assert _operations() == {*GRADIENTS, E.FloorDivide, E.Bitwise, ops.linear.Dense}  # two have no gradient, one is what two others share


@pytest.mark.parametrize("op", GRADIENTS, ids=lambda c: c.__name__)
def test_gradient(op: type[ops.Op], monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []
    backward = op.backward
    monkeypatch.setattr(op, "backward", lambda self, xp, grad: walked.append(1) or backward(self, xp, grad))
    for f, inputs in GRADIENTS[op]:
        walked.clear()
        assert gradcheck(f, inputs)
        assert walked, "the row does not go through the operation"


@pytest.mark.parametrize("f", [F.mse_loss, F.binary_cross_entropy_with_logits], ids=lambda f: f.__name__)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_composed_losses(f: Callable[..., nc.Tensor], reduction: str) -> None:
    assert gradcheck(lambda x, y: f(x, y, reduction=reduction), [spread(3, 4), real(3, 4, low=0.1)])


@pytest.mark.smoke
def test_nll_loss() -> None:
    assert gradcheck(lambda x: F.nll_loss(x.log_softmax(1), nc.tensor([2, 0])), [real(2, 3)])
    assert gradcheck(lambda x: F.nll_loss(x, nc.tensor([[2], [0]]), reduction="none"), [real(2, 3, 1)])


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True), (True, False, True)])
def test_only_the_wanted_gradients_are_computed(wanted: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = nc.backends.get("cpu")
    called = []
    for name in ("conv_grad_input", "conv_grad_weight", "channel_sum"):
        method = getattr(cpu, name)
        monkeypatch.setattr(cpu, name, lambda *a, name=name, method=method: called.append(name) or method(*a))
    shapes = ((1, 2, 3, 3), (2, 2, 2, 2), (2,))
    x, w, b = (nc.tensor(np.ones(s, np.float32), requires_grad=r) for s, r in zip(shapes, wanted))
    F.conv2d(x, w, b).sum().backward()
    assert called == [n for n, r in zip(("conv_grad_input", "conv_grad_weight", "channel_sum"), wanted) if r]
    assert tuple(t.grad is not None for t in (x, w, b)) == wanted


# -- gradcheck itself ------------------------------------------------------------------------------------------------------
class _Wrong(nc.Function):
    """x squared, whose gradient is wrong at one element."""

    @staticmethod
    def forward(ctx: Any, x: nc.Tensor) -> nc.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: nc.Tensor) -> nc.Tensor:
        (x,) = ctx.saved_tensors
        factor = np.full(x.shape, 2.0)
        factor[1, 0] = 2.5
        return grad * x * factor


def test_gradcheck_finds_the_worst_element() -> None:
    x = nc.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64", requires_grad=True)
    with pytest.raises(GradientError) as error:
        gradcheck(lambda x: _Wrong.apply(x).sum(), [x])
    text = str(error.value)
    assert text.startswith("[gradcheck of input 0 at (1, 0)] expected ")
    wanted, found = (float(v) for v in re.findall(r"expected (\S+) \(central difference\); received (\S+);", text)[0])
    assert found == wanted * 1.25 or abs(found - wanted * 1.25) < 1e-6
    assert text.endswith("times what atol + rtol |g| allows.")
    with pytest.raises(GradientError, match=r"^\[gradcheck of input 0 along direction \d\]"):
        gradcheck(lambda x: _Wrong.apply(x).sum(), [x], directions=3)
    assert x.grad is None


def test_gradcheck_finds_nan_and_a_missing_gradient() -> None:
    x = real(3)
    with pytest.raises(GradientError, match="received nan"):
        gradcheck(lambda x: (x * float("nan")).sum() + x.sum(), [x])
    with pytest.raises(GradientError, match="received 0;"):
        gradcheck(lambda x: x.detach() + x * 0.0, [x])


def test_gradcheck_judges_its_arguments() -> None:
    with exactly(nc.DTypeError, "[gradcheck] expected float64 inputs; received float32; float32 is too coarse for differences."):
        gradcheck(nc.Tensor.exp, [nc.ones(2, requires_grad=True)])
    with exactly(ValueError, "[gradcheck] expected at least one input that requires a gradient; received none."):
        gradcheck(nc.Tensor.exp, [nc.ones(2, dtype="float64")])


def test_adjoint_check() -> None:
    x, w = (nc.tensor(np.arange(12, dtype=np.float32).reshape(s) - 5, requires_grad=True) for s in ((1, 1, 4, 3), (3, 1, 2, 2)))
    assert adjoint_check(lambda x, w: F.conv2d(x, w, padding=1), [x, w])
    with pytest.raises(
        GradientError, match=r"^\[adjoint_check of input 0\] expected <x, gradient> = <f\(x\), g> = -?[\d.]+; received -?[\d.]+\.$"
    ):
        adjoint_check(lambda x: x * x, [nc.tensor([1.0, 2.0, 3.0], requires_grad=True)])


# -- the walk --------------------------------------------------------------------------------------------------------------
def test_gradients_add_up_over_paths_and_walks() -> None:
    x = nc.tensor([2.0, 3.0], requires_grad=True)
    y = x * x
    z = (y + y * x).sum()
    z.backward(retain_graph=True)
    assert x.grad.tolist() == [2 * 2 + 3 * 4, 2 * 3 + 3 * 9]
    z.backward()
    assert x.grad.tolist() == [2 * 16, 2 * 33]


def test_a_gradient_that_is_given_takes_the_dtype_of_the_tensor() -> None:
    for make in (lambda x: x * 2.0, lambda x: x):
        x = nc.ones(3, requires_grad=True)
        make(x).backward(nc.ones(3, dtype="float64", requires_grad=True))
        assert str(x.grad.dtype) == "float32" and not x.grad.requires_grad


def test_a_leaf_can_be_walked_from() -> None:
    x = nc.tensor(2.0, requires_grad=True)
    x.backward()
    x.backward(nc.tensor(3.0))
    assert x.grad.item() == 4


def test_gradients_never_share_memory_with_anything() -> None:
    x, y = nc.zeros(3, requires_grad=True), nc.zeros(3, requires_grad=True)
    seed = nc.ones(3)
    (x + y).backward(seed)
    seed.data[:] = 7
    x.grad.data[:] = 5
    assert y.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize("op", GRADIENTS, ids=lambda c: c.__name__)
def test_a_leaf_alone_holds_its_gradient(op: type[ops.Op]) -> None:
    """Neither the result, an input, the gradient that came in nor another gradient shows its memory."""
    for f, inputs in GRADIENTS[op]:
        leaves = [nc.tensor(np.array(x.detach()), requires_grad=True) for x in inputs]
        y = f(*leaves)
        seed = nc.tensor(np.random.default_rng(0).standard_normal(y.shape))
        y.backward(seed)
        shown = [y.array, seed.array, *(x.array for x in leaves), *(x.grad.array for x in leaves)]
        for x in leaves:
            assert sum(np.shares_memory(x.grad.array, a) for a in shown) == 1


def test_nans_share_the_gradient_of_the_largest() -> None:
    x = nc.tensor([1.0, float("nan"), 2.0, float("nan")], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0, 0.5, 0, 0.5]


def test_running_statistics_that_move_are_a_write() -> None:
    mean, var = nc.zeros(2), nc.ones(2)
    x = nc.ones(2, requires_grad=True)
    for statistic in (mean, var):
        y = (x * statistic).sum()
        F.batch_norm(real(3, 2).detach().float(), mean, var)
        y.backward(retain_graph=True)  # nothing has moved
        F.batch_norm(real(3, 2).detach().float(), mean, var, training=True)
        with exactly(RuntimeError, SAVED.format("Multiply")):
            y.backward()


def test_ten_thousand_operations_deep() -> None:
    assert sys.getrecursionlimit() < 10_000
    x = nc.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(10_000):
        y = y + 1.0
    y.backward()
    assert (y.item(), x.grad.item()) == (10_001, 1)
    y = x
    for _ in range(10_000):
        y = y * 1.0
    del y  # a graph that is never walked
    y = x * 1.0
    for _ in range(10_000):
        y[...] = y * 1.0
    y.backward()
    assert x.grad.item() == 2


def test_a_second_walk_says_so() -> None:
    x = nc.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward()
    with exactly(
        RuntimeError,
        "[backward] expected a graph that was not walked yet; received one that was freed; pass retain_graph=True to the first walk.",
    ):
        y.backward()
    z = (x * x).exp()
    (z + 1).sum().backward()
    with pytest.raises(RuntimeError, match="one that was freed"):
        (z * 2).sum().backward()


def test_what_backward_needed_is_freed() -> None:
    x = nc.zeros(50, 50, requires_grad=True)
    hidden = x.exp()
    buffer = weakref.ref(hidden.array)
    y = (hidden * 2).sum()
    del hidden
    gc.collect()
    assert buffer() is not None, "backward needs it"
    y.backward()
    gc.collect()
    assert buffer() is None


@pytest.mark.parametrize("keep", [lambda y: y.detach(), lambda y: y.reshape(1).detach(), lambda y: _silent(lambda: y.reshape(1))])
def test_what_is_detached_keeps_no_history(keep: Callable[[nc.Tensor], nc.Tensor]) -> None:
    x = nc.zeros(50, 50, requires_grad=True)
    hidden = x.exp()
    buffer = weakref.ref(hidden.array)
    kept = keep((hidden * 2).sum())
    del hidden
    gc.collect()
    assert buffer() is None and not kept.requires_grad


def _silent(f: Callable[[], nc.Tensor]) -> nc.Tensor:
    with nc.no_grad():
        return f()


@pytest.mark.parametrize("mode", [nc.no_grad, nc.inference_mode])
def test_no_grad_on_a_generator(mode: type[nc.no_grad]) -> None:
    """It is off in each step, and the caller's in between."""
    seen: list[Any] = []

    @mode()
    def steps(first: Any) -> Any:
        seen.append(nc.is_grad_enabled())
        try:
            seen.append((yield first))
        except ValueError:
            seen.append(nc.is_grad_enabled())
        try:
            yield nc.is_grad_enabled()
        finally:
            seen.append(nc.is_grad_enabled())
        return "end"

    assert inspect.isgeneratorfunction(steps)
    run = steps(7)
    assert (next(run), nc.is_grad_enabled()) == (7, True)
    assert (run.send("sent"), nc.is_grad_enabled()) == (False, True)
    with pytest.raises(StopIteration, match="end"):
        next(run)
    run = steps(7)
    next(run)
    assert (run.throw(ValueError()), nc.is_grad_enabled()) == (False, True)
    run.close()
    assert seen == [False, "sent", False, False, False, False] and nc.is_grad_enabled()


@pytest.mark.parametrize("mode", [nc.no_grad, nc.inference_mode, nc.enable_grad])
def test_a_mode_decorates_without_parentheses(mode: Any) -> None:
    @mode
    def seen() -> bool:
        """Of its own."""
        return nc.is_grad_enabled()

    assert seen() is (mode is nc.enable_grad) and seen.__doc__ == "Of its own." and nc.is_grad_enabled()
    with exactly(TypeError, f"[{mode.__name__}] expected a function to decorate, or nothing; received 3."):
        mode(3)


def test_no_grad_on_a_coroutine() -> None:
    @nc.no_grad()
    async def silent() -> bool:
        await asyncio.sleep(0)
        return nc.is_grad_enabled()

    async def other() -> bool:
        return nc.is_grad_enabled()

    async def all_of_them() -> list[bool]:
        return await asyncio.gather(silent(), other(), silent())

    assert asyncio.run(all_of_them()) == [False, True, False]
    with exactly(TypeError, "[no_grad] expected a function, a generator or a coroutine; received an asynchronous generator."):

        @nc.no_grad()
        async def steps() -> Any:
            yield 1


def test_no_grad_on_a_class() -> None:
    """As in PyTorch, its instances are made inside; their methods run as they are called."""

    @nc.no_grad()
    class Watched:
        def __init__(self) -> None:
            self.made = nc.is_grad_enabled()

        def called(self) -> bool:
            return nc.is_grad_enabled()

    assert (Watched().made, Watched().called()) == (False, True)


def test_without_a_gradient_nothing_is_kept() -> None:
    x = nc.zeros(50, 50)
    y = x.exp()
    buffer = weakref.ref(y.array)
    z = (y * 2).tanh()
    del y
    gc.collect()
    assert buffer() is None and z.is_leaf
    w = nc.zeros(50, 50, requires_grad=True)
    with nc.no_grad():
        assert not nc.is_grad_enabled()
        assert (w * 2).is_leaf
    assert nc.is_grad_enabled()

    @nc.no_grad()
    def silent() -> nc.Tensor:
        return w * 2

    assert silent().is_leaf and not silent().requires_grad and (w * 2).requires_grad


def test_no_grad_belongs_to_its_thread() -> None:
    seen = []
    with nc.no_grad():
        thread = threading.Thread(target=lambda: seen.append(nc.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_integers_carry_no_gradient() -> None:
    x = nc.tensor([1.5, 2.5], requires_grad=True)
    for y in (x.long(), x.bool(), x > 2, x.argmax(), x.max(0).indices):
        assert not y.requires_grad


# -- writing in place ------------------------------------------------------------------------------------------------------
SAVED = "[backward] expected the values that {} saved; received values changed by an in-place write; write to a clone() instead."

OVERWRITTEN: list[tuple[str, Callable[[nc.Tensor], tuple[nc.Tensor, nc.Tensor]]]] = [
    ("Exp", lambda x: (lambda y: (y, y))(x.exp())),
    ("Sigmoid", lambda x: (lambda y: (y, y))(x.sigmoid())),
    ("Multiply", lambda x: (lambda y: (y * y, y))(x + 0.0)),
    ("Multiply", lambda x: (lambda y: (y * x, y[0]))(x + 0.0)),  # through a view
    ("Multiply", lambda x: (lambda y: (y[1:] * x[1:], y))(x + 0.0)),  # of a view
    ("Multiply", lambda x: (lambda y: (y * x, y.detach()))(x + 0.0)),
    ("Multiply", lambda x: (lambda y: (y.T * x, y.reshape(-1)))(x + 0.0)),
    ("Divide", lambda x: (lambda y: (x / y, y))(nc.ones(2))),
    ("Max", lambda x: (lambda y: (y.max(), y))(x + 0.0)),
    ("Log", lambda x: (lambda y: (y.log(), y))(x + 0.0)),
    ("Maximum", lambda x: (lambda y: (nc.maximum(y, 0.0), y))(x + 0.0)),
    ("Power", lambda x: (lambda y: (y**3, y))(x + 0.0)),
    ("Matmul", lambda x: (lambda y: (x @ y, y))(nc.ones(2))),
    ("LogSoftmax", lambda x: (lambda y: (y, y))(x.log_softmax(0))),
    ("Conv2d", lambda x: (lambda w: (F.conv2d(x.reshape(1, 1, 1, 2), w), w))(nc.ones(1, 1, 1, 1))),
    ("Linear", lambda x: (lambda w: (F.linear(x, w), w))(nc.ones(1, 2))),
    ("Gelu", lambda x: (lambda y: (F.gelu(y), y))(x + 0.0)),
    ("Erf", lambda x: (lambda y: (y.erf(), y))(x + 0.0)),
    ("BatchNorm", lambda x: (lambda y: (F.batch_norm(y, None, None, training=True), y))((x + 0.0).reshape(2, 1) * 1.0)),
    ("BatchNorm", lambda x: (lambda w: (F.batch_norm(x.reshape(2, 1), None, None, w, training=True), w))(nc.ones(1))),
]


@pytest.mark.parametrize(("name", "make"), OVERWRITTEN, ids=[f"{n}-{i}" for i, (n, _) in enumerate(OVERWRITTEN)])
def test_overwriting_what_backward_needs(name: str, make: Callable[..., Any]) -> None:
    x = nc.tensor([1.0, 2.0], requires_grad=True)
    for write in (lambda t: t.zero_(), lambda t: t.__setitem__(0 if t.ndim else ..., 5.0)):
        y, target = make(x)
        with nc.no_grad():
            write(target)
        with exactly(RuntimeError, SAVED.format(name)):
            y.sum().backward()


def _walked(f: Callable[..., nc.Tensor], inputs: list[nc.Tensor], write: int | None = None) -> list[np.ndarray] | str:
    """The gradients of copies of the inputs, where one of these, or behind them the result, is overwritten before; or the refusal."""
    leaves = [nc.tensor(np.array(x.detach()), requires_grad=True) for x in inputs]
    y = f(*leaves)
    target = None if write is None else [*leaves, y][write]
    if target is not None and nc.backends.get("cpu").writable(target.array):
        with nc.no_grad():
            target[...] = target.detach() * -3.0 - 20.0
    try:
        y.backward(nc.tensor(np.random.default_rng(0).standard_normal(y.shape)))
    except RuntimeError as error:
        return str(error)
    return [x.grad.numpy() for x in leaves]


@pytest.mark.parametrize("op", GRADIENTS, ids=lambda c: c.__name__)
def test_a_write_is_refused_or_changes_no_gradient(op: type[ops.Op]) -> None:
    refusal = re.compile(re.escape(SAVED).replace(r"\{\}", r"\w+"))
    for f, inputs in GRADIENTS[op]:
        wanted = _walked(f, inputs)
        for place in range(len(inputs) + 1):
            found = _walked(f, inputs, place)
            if isinstance(found, str):
                assert refusal.fullmatch(found)
            else:
                for a, b in zip(found, wanted, strict=True):
                    np.testing.assert_array_equal(a, b)


def test_overwriting_what_backward_does_not_need() -> None:
    x = nc.tensor([1.0, 2.0], requires_grad=True)
    y = x + 1.0
    z = (y + 2.0).sum()
    with nc.no_grad():
        y.zero_()
    z.backward()
    w = nc.ones(2)
    z = (x * w).sum()
    with nc.no_grad():
        x.add_(1.0)  # only w is saved: w's gradient is not wanted
    z.backward()
    assert x.grad.tolist() == [2, 2]


def test_in_place_arithmetic_under_no_grad() -> None:
    w = nc.tensor([1.0, 2.0], requires_grad=True)
    same, array = w, w.array
    (w * w).sum().backward()
    with nc.no_grad():
        w -= 0.5 * w.grad
        w += 1
        w *= 2
        w /= 4
    assert w is same and w.array is array and w.is_leaf and w.tolist() == [0.5, 0.5]
    w.data[:] -= 0.5
    assert w.tolist() == [0, 0]
    w.grad.zero_()
    assert w.grad.tolist() == [0, 0]


def test_in_place_arithmetic_that_is_recorded() -> None:
    x = nc.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1.0
    y += 1.0
    y *= y * 1.0
    y /= 2.0
    y -= x
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), (x.detach() + 1 - 1).numpy())


def test_writes_that_cannot_be_recorded() -> None:
    x = nc.ones(3, requires_grad=True)
    text = "[write] expected a tensor that is not a leaf with a gradient; received such a leaf; write under no_grad()."
    with exactly(RuntimeError, text):
        x[0] = 1.0
    with exactly(RuntimeError, text):
        x += 1
    y = x * 2
    text = (
        "[write] expected a tensor that owns its memory, or an index into one; received another view, whose gradient is not recorded; "
        "write to the tensor itself."
    )
    for view in (y.reshape(3, 1), y.reshape(3, 1)[0]):
        with exactly(RuntimeError, text):
            view += x[0]
    with nc.no_grad():
        view = y[:2]
        text = (
            "[squeeze_] expected a tensor without a history, or a call that is recorded; received the result of an operation; use detach()."
        )
        with exactly(RuntimeError, text):
            y.squeeze_()
    text = (
        "[write] expected a view with its tensor's history; received one from before it, or made under no_grad(); make the view again, or "
        "write under no_grad()."
    )
    with exactly(RuntimeError, text):
        view.zero_()
    repeated = (x[:1] * 1).expand(2)
    with exactly(
        RuntimeError, "[write] expected memory that can be written to; received a view that repeats elements; write to a clone()."
    ):
        repeated[1].fill_(2)
    first, second = (y * 1).chunk(2)
    first += x[0]
    with pytest.raises(RuntimeError, match="received a view from before a recorded in-place write"):
        second * 1
    assert x.tolist() == [1, 1, 1] and y.tolist() == [2, 2, 2]


def test_a_view_of_a_leaf_is_not_written_to() -> None:
    """Not even one from before the leaf had a gradient: the leaf would change unseen."""
    text = "[write] expected a tensor that is not a leaf with a gradient; received a view of such a leaf; write under no_grad()."
    a = nc.ones(3)
    view, alone = a[:], a.detach()[:]
    a.requires_grad = True
    for write in (lambda: view.add_(5), lambda: view[1:].zero_(), lambda: a.reshape(3, 1).zero_(), lambda: a[0].fill_(2)):
        with exactly(RuntimeError, text):
            write()
    assert a.tolist() == [1, 1, 1]
    with nc.no_grad():
        view.add_(5)
    alone += 1
    assert a.tolist() == [7, 7, 7]


def test_writing_to_what_was_detached() -> None:
    x = nc.ones(3)
    alone = x.detach()
    alone += nc.ones(3, requires_grad=True)
    assert alone.requires_grad and not x.requires_grad and x.tolist() == [2, 2, 2]


STALE = (
    "[{}] expected a view of the tensor as it is now; received a view from before a recorded in-place write; make the view after the write."
)


@pytest.mark.parametrize("needs", [True, False])
def test_a_view_from_before_a_recorded_write(needs: bool) -> None:
    """It shows the new values, but would send its gradient to the old ones."""
    x, w = nc.ones(3, requires_grad=needs), nc.tensor([2.0, 5.0], requires_grad=True)
    y = x * 1.0
    view, deep, alone = y[:2], y.reshape(3, 1)[1:], y.detach()
    before = (view * view).sum() if needs else nc.zeros(1)
    y[:2] = w
    for old in (view, deep):
        with exactly(RuntimeError, STALE.format("Multiply")):
            old * 2.0
    if needs:
        with exactly(RuntimeError, STALE.format("backward")):
            view.backward(nc.ones(2))
        with exactly(RuntimeError, SAVED.format("Multiply")):
            before.backward()
    with nc.no_grad():
        assert (view * 2.0).tolist() == [4, 10]
        late = view[1:]
        assert (late + 1.0).tolist() == [6]
    with exactly(RuntimeError, STALE.format("Multiply")):
        late * 2.0  # a view of a view is as old as that
    assert (alone * 2.0).tolist() == [4, 10, 2]  # it has no gradient, and wants none
    (y[:2] * nc.tensor([3.0, 4.0])).sum().backward()
    assert w.grad.tolist() == [3, 4]


def test_a_view_from_before_a_write_that_is_not_recorded() -> None:
    y = nc.ones(3) * 1.0
    view = y[:2]
    y[0] = 7.0
    assert (view * 2.0).tolist() == [14, 2]


def test_the_books_way_of_writing() -> None:
    x, k = nc.arange(9.0).reshape(3, 3), nc.ones(2, 2, requires_grad=True)
    y = nc.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            y[i, j] = (x[i : i + 2, j : j + 2] * k).sum()
    assert y.tolist() == [[8, 12], [20, 24]]
    y.sum().backward()
    assert k.grad.tolist() == [[8, 12], [20, 24]]


# -- a function of one's own -----------------------------------------------------------------------------------------------
class Scaled(nc.Function):
    """a * b + a, with None for the flag."""

    @staticmethod
    def forward(ctx: Any, a: nc.Tensor, b: nc.Tensor, flag: bool) -> nc.Tensor:
        ctx.save_for_backward(a, b)
        ctx.flag = flag
        assert not nc.is_grad_enabled()
        return a * b + a

    @staticmethod
    def backward(ctx: Any, grad: nc.Tensor) -> Any:
        a, b = ctx.saved_tensors
        assert ctx.needs_input_grad == (True, True, False) and ctx.flag
        return grad * (b + 1), grad * a, None


def test_a_function_of_ones_own() -> None:
    assert gradcheck(lambda a, b: Scaled.apply(a, b, True), [real(3), real(3, seed=1)])
    assert Scaled.apply(nc.ones(2), nc.ones(2), True).is_leaf


def _function(forward: Any, backward: Any) -> type[nc.Function]:
    return type("Mine", (nc.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


class Signs(nc.Function):
    """Several results, as binary networks write them: signs, mean sizes and where the values are."""

    @staticmethod
    def forward(ctx: Any, x: nc.Tensor, scale: nc.Tensor) -> tuple[nc.Tensor, ...]:
        ctx.save_for_backward(x, scale)
        large = (x.abs() > 1).float()
        ctx.mark_non_differentiable(large)
        return x * scale, x.abs().mean(1, keepdim=True), x.argmax(1), large

    @staticmethod
    def backward(ctx: Any, *grads: nc.Tensor) -> tuple[nc.Tensor, nc.Tensor]:
        x, scale = ctx.saved_tensors
        assert [g.shape for g in grads] == [(2, 3), (2, 1), (2,), (2, 3)] and not grads[2].any() and not grads[3].any()
        return grads[0] * scale + grads[1] * x.sign() / 3, (grads[0] * x).sum()


def test_a_function_with_several_results() -> None:
    x, scale = real(2, 3), nc.tensor(2.0, dtype="float64", requires_grad=True)
    assert gradcheck(lambda x, s: Signs.apply(x, s)[0], [x, scale]) and gradcheck(lambda x, s: Signs.apply(x, s)[1], [x, scale])
    assert gradcheck(lambda x, s: (lambda y, m, _, large: y * m + m + large)(*Signs.apply(x, s)), [x, scale])
    y, mean, places, large = Signs.apply(x, scale)
    assert y.requires_grad and mean.requires_grad and not places.requires_grad and not large.requires_grad
    assert y.tolist() == (x * 2).tolist() and places.tolist() == x.argmax(1).tolist() and large.dtype == nc.float32
    with nc.no_grad():
        assert not Signs.apply(x, scale)[0].requires_grad


class Cube(nc.Function):
    """In the form that PyTorch 2 teaches."""

    @staticmethod
    def forward(x: nc.Tensor, power: int) -> tuple[nc.Tensor, nc.Tensor]:
        return x**power, power * x ** (power - 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[nc.Tensor, nc.Tensor]) -> None:
        (x, ctx.power), (_, slope) = inputs, output
        ctx.save_for_backward(x, slope)

    @staticmethod
    def backward(ctx: Any, grad: nc.Tensor, of_slope: nc.Tensor) -> tuple[nc.Tensor, None]:
        x, slope = ctx.saved_tensors
        return grad * slope + of_slope * ctx.power * (ctx.power - 1) * x ** (ctx.power - 2), None


def test_a_function_with_a_context_of_its_own() -> None:
    assert gradcheck(lambda x: (lambda y, slope: y * 2 + slope)(*Cube.apply(x, 3)), [real(4)])


def test_what_a_function_can_get_wrong() -> None:
    x = nc.ones(3, requires_grad=True)
    with exactly(TypeError, "[Mine] expected a Tensor from forward, or a tuple of them; received 3."):
        _function(lambda ctx, x: 3, None).apply(x)
    with exactly(nc.ShapeError, "[Mine] expected 1 gradients from backward, one an argument; received 2."):
        _function(lambda ctx, x: x * 2, lambda ctx, g: (g, g)).apply(x).sum().backward()
    with exactly(nc.ShapeError, "[backward] expected a gradient of shape (3,) from Mine; received shape (2,)."):
        _function(lambda ctx, x: x * 2, lambda ctx, g: g[:2]).apply(x).sum().backward()
    with exactly(TypeError, "[Function] expected a static method forward(ctx, ...); received none."):
        nc.Function.apply(x)
    with exactly(TypeError, "[Function] expected a static method backward(ctx, grad); received none."):
        type("Half", (nc.Function,), {"forward": staticmethod(lambda ctx, x: x * 2)}).apply(x).sum().backward()
    y = x * 1
    z = Scaled.apply(y, y, True)
    with nc.no_grad():
        y.zero_()
    with exactly(
        RuntimeError, "[backward] expected the saved tensors; received tensors changed by an in-place write; write to a clone() instead."
    ):
        z.sum().backward()
    with exactly(TypeError, "[Scaled] expected Scaled.apply(...); received Scaled(...); a Function has no objects."):
        Scaled(x, x, flag=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="a Function has no objects"):
        Scaled()(x, x)
    assert Scaled().apply(y, y, True).tolist() == Scaled.apply(y, y, True).tolist()
    for t, received in ((x, "a leaf with a gradient"), (y[:1], "a view")):
        text = f"[mark_dirty] expected a result that owns its memory; received {received}; write to a clone()."
        with exactly(RuntimeError, text):
            _function(lambda ctx, x: (ctx.mark_dirty(x), x.mul_(2))[1], None).apply(t)
    with exactly(RuntimeError, "[Mine] expected forward to return what it marks as dirty; received an argument that it does not return."):
        _function(lambda ctx, x: (ctx.mark_dirty(x), x * 2)[1], None).apply(x * 1)
    half = _function(lambda ctx, a, b: a + b, lambda ctx, g: (None, g)).apply(x, x)
    half.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize("other", ["float64", "int64"])
def test_the_gradient_of_a_function_has_the_inputs_dtype(other: str) -> None:
    x = nc.tensor([1.0, 2.0], requires_grad=True)
    double = _function(lambda ctx, x: x * 2, lambda ctx, grad: (grad * 2).to(other))
    for y in (double.apply(x), double.apply(x * 1.0)):
        y.sum().backward()
        assert x.grad.dtype == nc.float32
    assert x.grad.tolist() == [4, 4]


def test_an_op_whose_gradient_has_the_wrong_shape() -> None:
    class Half(ops.Op):
        def forward(self, xp: Any, x: Any) -> Any:
            return x

        def backward(self, xp: Any, grad: Any) -> Any:
            return (grad[:1],)

    with exactly(nc.ShapeError, "[backward] expected a gradient of shape (3,) from Half; received shape (1,)."):
        apply(Half(), nc.ones(3, requires_grad=True)).sum().backward()


# -- copies, processes, NumPy ----------------------------------------------------------------------------------------------
def _pairs() -> list[nc.Tensor]:
    x = nc.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    (x * x).sum().backward()
    return [x, nc.arange(3), nc.tensor(True), nc.zeros(2, 3, 4, 5, dtype="float64").permute(0, 3, 1, 2)]


@pytest.mark.parametrize("how", [copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t))], ids=["deepcopy", "copy", "pickle"])
def test_copies(how: Callable[[nc.Tensor], nc.Tensor]) -> None:
    for t in _pairs():
        other = how(t)
        assert (type(other), other.shape, other.dtype, other.requires_grad) == (type(t), t.shape, t.dtype, t.requires_grad)
        assert other.tolist() == t.tolist() and not np.shares_memory(other.array, t.array)
        assert (other.grad is None) == (t.grad is None)
        if t.grad is not None:
            assert other.grad.tolist() == t.grad.tolist() and not np.shares_memory(other.grad.array, t.grad.array)
    shared = copy.deepcopy([t, t])
    assert shared[0] is shared[1]
    with exactly(RuntimeError, "[copy] expected a leaf; received the result of an operation; call detach() first."):
        how(nc.ones(2, requires_grad=True) * 2)


def test_another_process() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        found = workers.map_async(operator.neg, [nc.tensor([1.0, 2.0]), nc.arange(3)]).get(timeout=60)
    assert [t.tolist() for t in found] == [[-1, -2], [0, -1, -2]]


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.lt, operator.eq])
def test_numpy_on_either_side(op: Callable[..., Any]) -> None:
    t, a = nc.tensor([1.0, 2.0, 4.0]), np.array([3.0, 2.0, 1.0], np.float32)
    for found, wanted in ((op(t, a), op(np.asarray(t), a)), (op(a, t), op(a, np.asarray(t)))):
        assert isinstance(found, nc.Tensor) and found.dtype == wanted.dtype
        assert found.tolist() == wanted.tolist()
    for number in (np.float32(2), np.float64(2), np.int64(2)):
        for found, wanted in ((op(t, number), op(np.asarray(t), 2)), (op(number, t), op(2, np.asarray(t)))):
            assert isinstance(found, nc.Tensor) and found.tolist() == wanted.tolist() and found.dtype in (nc.float32, nc.bool_)


def test_the_work_of_batched_products_grows_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in elements that the backend is given and gives, forward and back."""
    xp = nc.backends.get("cpu")
    touched = [0]

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            found = method(*args, **options)
            touched[0] += sum(a.size for a in (*args, found) if isinstance(a, np.ndarray))
            return found

        return call

    for name in ("full", "add_at", "binary", "concatenate", "copy", "getitem", "matmul", "reshape", "sum"):
        monkeypatch.setattr(xp, name, counted(getattr(xp, name)))

    def work(batch: int) -> int:
        touched[0] = 0
        a, b = nc.ones(batch, 4, 5, requires_grad=True), nc.ones(batch, 5, 6, requires_grad=True)
        (a @ b).sum().backward()
        return touched[0]

    assert work(64) < 16.1 * work(4)


def test_numpy_matrices_on_either_side() -> None:
    t, a = nc.arange(6.0).reshape(2, 3), np.arange(6, dtype=np.float32).reshape(3, 2)
    for found, wanted in ((t @ a, np.asarray(t) @ a), (a @ t, a @ np.asarray(t))):
        assert isinstance(found, nc.Tensor)
        np.testing.assert_array_equal(np.asarray(found), wanted)
    x = nc.tensor([1.0, 2.0], requires_grad=True)
    (np.array([3.0, 4.0], np.float32) * x).sum().backward()
    assert x.grad.tolist() == [3, 4]


def test_arrays_and_memory() -> None:
    a = np.zeros((2, 3), np.float32)
    copied, shared = nc.tensor(a), nc.from_array(a)
    a[0, 0] = 5
    assert copied[0, 0].item() == 0 and shared[0, 0].item() == 5
    assert np.asarray(shared) is shared.numpy() is a
    assert np.asarray(shared, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(shared), a)
    a.flags.writeable = False
    fixed = nc.from_array(a)
    fixed[0, 0] = 1.0
    assert a[0, 0] == 5
    assert np.sqrt(np.asarray(nc.tensor([4.0]))).tolist() == [2]
    for dtype in ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"):
        assert nc.tensor(np.ones(2, dtype)).dtype == dtype
    assert nc.tensor(np.float64(1.5)).dtype == nc.float64
    assert nc.tensor([np.float64(1.5)]).dtype in (nc.float32, nc.float64)
    view = nc.arange(6.0).reshape(2, 3)[:, 1:]
    view[:] = 0.0
    base = nc.arange(6.0)
    base.reshape(2, 3)[:, 1:] = 0.0
    assert base.tolist() == [0, 0, 0, 3, 0, 0]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4), (0, 3, 2, 2)])
def test_random_numbers_do_not_depend_on_the_layout(shape: tuple[int, ...]) -> None:
    nc.manual_seed(3)
    a = nc.rand(shape)
    nc.manual_seed(3)
    b = nc.rand(int(np.prod(shape)))
    assert a.reshape(-1).tolist() == b.tolist()
    nc.manual_seed(3)
    state = nc.get_rng_state()
    first = nc.randn(4).tolist()
    nc.set_rng_state(state)
    assert nc.randn(4).tolist() == first


# -- dtypes, as PyTorch has them -------------------------------------------------------------------------------------------
T, Z = "tensor", "0-d"
PROMOTION = [
    (("float32", T), ("int64", T), "float32"),
    (("float32", T), ("float64", T), "float64"),
    (("float32", T), ("float64", Z), "float32"),
    (("float32", Z), ("float64", T), "float64"),
    (("float64", Z), ("int64", T), "float64"),
    (("float32", Z), ("int64", T), "float32"),
    (("int32", T), ("int64", Z), "int32"),
    (("int32", T), ("int64", T), "int64"),
    (("uint8", T), ("int8", T), "int16"),
    (("uint8", T), ("int64", Z), "uint8"),
    (("uint8", Z), ("int8", T), "int8"),
    (("bool", T), ("int64", Z), "int64"),
    (("bool", T), ("uint8", T), "uint8"),
    (("bool", T), ("bool", Z), "bool"),
    (("bool", T), ("float64", Z), "float64"),
    (("int8", T), ("int16", T), "int16"),
    (("float32", Z), ("float64", Z), "float64"),
    (("int64", Z), ("int32", Z), "int64"),
]


@pytest.mark.parametrize(("a", "b", "wanted"), PROMOTION, ids=str)
def test_promotion(a: tuple[str, str], b: tuple[str, str], wanted: str) -> None:
    x, y = (nc.tensor(np.ones((2,) if rank == T else (), dtype)) for dtype, rank in (a, b))
    assert (x + y).dtype == wanted and (y + x).dtype == wanted and (x * y).dtype == wanted
    assert nc.where(nc.tensor([True, False]), x, y).dtype == wanted


SCALARS = [
    ("float32", 2, "float32"),
    ("float32", 2.5, "float32"),
    ("float64", 2.5, "float64"),
    ("int64", 2.5, "float32"),
    ("int32", 2, "int32"),
    ("uint8", 2, "uint8"),
    ("int8", True, "int8"),
    ("bool", True, "bool"),
    ("bool", 2, "int64"),
    ("bool", 2.5, "float32"),
]


@pytest.mark.parametrize(("dtype", "scalar", "wanted"), SCALARS, ids=str)
def test_promotion_with_scalars(dtype: str, scalar: Any, wanted: str) -> None:
    for shape in ((2,), ()):
        x = nc.tensor(np.ones(shape, dtype))
        assert (x + scalar).dtype == wanted and (scalar * x).dtype == wanted


def test_comparing_with_numbers_that_the_dtype_cannot_hold() -> None:
    """PyTorch takes -1 for 255 in uint8."""
    for dtype in ("uint8", "int8", "int64"):
        most = np.iinfo(dtype).max
        x, a = nc.tensor([1, most], dtype=dtype), np.array([1, most], object)
        for number in (-1, 300, -300, 2**63, -(2**70), 10**400):
            for compare in (operator.lt, operator.ge, operator.eq, operator.ne):
                assert compare(x, number).tolist() == compare(a, number).tolist(), (dtype, number, compare)
    for call in (lambda: nc.ones(1) < 10**400, lambda: nc.ones(1) + 10**400, lambda: nc.ones(1).fill_(-(10**400))):
        with pytest.raises(ValueError, match=r"^\[(less|add|write)\] expected numbers from -\d.* to \d.* for float\d\d; received -?10000"):
            call()


def test_dtypes_of_functions() -> None:
    i = nc.arange(4)
    assert (i / 2).dtype == (i / (i + 1).to("int32")).dtype == i.exp().dtype == i.sigmoid().dtype == nc.float32
    assert i.sum().dtype == (i > 1).sum().dtype == i.to("uint8").sum().dtype == i.argmax().dtype == nc.int64
    assert i.max().dtype == nc.int64 and i.to("int8").max().dtype == nc.int8
    assert (i.double() / 2).dtype == nc.float64
    assert nc.tensor(1).dtype == nc.int64 and nc.tensor(1.0).dtype == nc.float32 and nc.tensor(True).dtype == nc.bool_
    assert nc.tensor([1, 2.0]).dtype == nc.float32 and nc.arange(3.0).dtype == nc.float32 and nc.arange(3).dtype == nc.int64


def test_arithmetic_is_silent() -> None:
    """As PyTorch's: no warning of NumPy's on the way to inf or NaN."""
    x = nc.tensor([0.0, -1.0, 100.0], requires_grad=True)
    for y in (x / 0, 0 / x, x.log(), x.sqrt(), x.exp(), x.log1p(), x**-1, x**0.5, x * float("inf"), nc.arange(3) / 0):
        if y.requires_grad:
            y.sum().backward()
    assert nc.tensor([1.0, 0.0]).log().tolist() == [0, -np.inf]


def test_contiguous_is_a_copy_where_it_is_not_the_tensor_itself() -> None:
    x, image = nc.ones(2, 3), nc.ones(2, 4, 5, 3)
    for other in (x.t(), x[:, 1:], nc.ones(1, 3).expand(2, 3), image.permute(0, 3, 1, 2), image.permute(0, 3, 1, 2).detach(), image.T):
        copied = other.contiguous()
        assert copied.array.flags.c_contiguous and copied.tolist() == other.tolist()
        copied.zero_()
        assert other.sum().item() == other.numel()
    for same in (x, x[1:], x.reshape(3, 2), nc.tensor(1.0), F.conv2d(nc.ones(1, 2, 5, 5), nc.ones(4, 2, 3, 3))):
        assert same.contiguous() is same


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("form", ["plain", "channels-last", "transposed", "every other", "repeated"])
def test_arithmetic_of_large_arrays_in_any_memory(dtype: str, form: str) -> None:
    """Kernels take what lies in order, NumPy the rest: the values are the same."""
    forms = {
        "plain": lambda a: a,
        "channels-last": lambda a: a.transpose(0, 3, 1, 2),
        "transposed": lambda a: a.T,
        "every other": lambda a: a[..., ::2],
        "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
    }
    draw = np.random.default_rng(0)
    a, b = (forms[form](draw.integers(0, 100, (16, 24, 24, 24)).astype(dtype)) for _ in "ab")
    x, y = nc.Tensor(a), nc.Tensor(b)
    plain = np.ascontiguousarray(b)
    for found, wanted in (
        (x + y, a + b),
        (x + nc.Tensor(plain), a + plain),
        (x + y[:1], a + b[:1]),
        (nc.Tensor(plain) + x, a + plain),
        (x - y, a - b),
        (x * y, a * b),
        (nc.maximum(x, y), np.maximum(a, b)),
        (x > y, a > b),
    ):
        assert str(found.dtype) == str(wanted.dtype)
        np.testing.assert_array_equal(np.asarray(found), wanted)


def test_a_view_of_one_element_is_a_view() -> None:
    x = nc.zeros(2, 2)
    x[1, 0].fill_(5.0)
    x[0][1].add_(2.0)
    assert x.tolist() == [[0, 2], [5, 0]]


# -- text ------------------------------------------------------------------------------------------------------------------
TEXTS = [
    (nc.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
    (nc.tensor([1.0, 2.0]), "tensor([1., 2.])"),
    (nc.tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
    (nc.tensor(3), "tensor(3)"),
    (nc.tensor([True, False]), "tensor([ True, False])"),
    (nc.tensor([1.0], dtype="float64"), "tensor([1.], dtype=float64)"),
    (nc.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    (nc.zeros(0), "tensor([])"),
    (nc.tensor([1e-5, 2e-5]), "tensor([1.0000e-05, 2.0000e-05])"),
    (nc.tensor(0.5, requires_grad=True) * 1, "tensor(0.5000, requires_grad=True)"),
    (nc.zeros(2, 0, dtype="int64"), "tensor([], size=(2, 0), dtype=int64)"),
    (nc.ones(12, dtype="float64") / 3, "tensor([" + "0.3333, " * 8 + "0.3333,\n        0.3333, 0.3333, 0.3333], dtype=float64)"),
    (nc.ones(9, dtype="float64") / 3, "tensor([" + "0.3333, " * 8 + "0.3333],\n       dtype=float64)"),
]


@pytest.mark.parametrize(("t", "text"), TEXTS, ids=lambda v: v if isinstance(v, str) else "")
def test_repr(t: nc.Tensor, text: str) -> None:
    assert repr(t) == str(t) == f"{t}" == text or (t.ndim == 0 and repr(t) == text)


def test_formatting_of_numbers() -> None:
    assert f"{nc.tensor(3.14159):.2f}|{nc.tensor(7):d}|{nc.tensor(0.5)}|{nc.tensor(2.0, requires_grad=True):.1e}" == "3.14|7|0.5|2.0e+00"
    assert (float(nc.tensor([2.5])), int(nc.tensor(7)), bool(nc.tensor([0.0])), [10, 20][nc.tensor(1)]) == (2.5, 7, False, 20)
    assert isinstance(nc.tensor(1).item(), int) and isinstance(nc.tensor(1.0).item(), float) and nc.tensor(True).item() is True


# -- every error of tensor.py and functional.py ----------------------------------------------------------------------------
x, y, i, m = nc.ones(3, 4), nc.ones(4), nc.arange(3), nc.tensor([True, False, True])
image, kernel = nc.ones(2, 3, 5, 5), nc.ones(4, 3, 3, 3)
leaf = nc.ones(3, requires_grad=True)

OUTSIDE = "[index] expected an index into shape (3, 4); received {}; {}."
STEPS = "[arange] expected finite numbers and a step, not 0, from start towards end; received {}."
NEGATIVE = "[power] expected exponents of integers of at least 0; received a negative one; convert the base with .float()."
ZERO = "[{}] expected divisors of integers that are not 0; received a 0; floating-point tensors give inf or nan."

INTEGERS = "[{}] expected sizes as integers; received {}."
NO_BOOLS = "[{}] expected numbers; received bool tensors; convert them with .to()."
FLAG = "[{}] expected {} as True or False; received {}."
mask = nc.tensor([True, False])

ERRORS: list[tuple[Callable[[], Any], type[BaseException], str]] = [
    (lambda: F.hardtanh(x, 2.0, 1.0), ValueError, "[hardtanh] expected min_val of at most max_val; received 2.0 and 1.0."),
    (
        lambda: F.gaussian_nll_loss(nc.ones(2, 3), nc.ones(2, 3), nc.ones(5)),
        nc.ShapeError,
        "[gaussian_nll_loss] expected variances (2, 3), or with 1 for the last axis; received variances (5,).",
    ),
    (
        lambda: F.multilabel_soft_margin_loss(nc.ones(2)[0], nc.ones(2)[0]),
        nc.ShapeError,
        "[multilabel_soft_margin_loss] expected scores (N, K) or (K,); received scores ().",
    ),
    (
        lambda: F.cosine_embedding_loss(nc.ones(2, 2, 2), nc.ones(2, 2, 2), nc.ones(2)),
        nc.ShapeError,
        "[cosine_embedding_loss] expected vectors (N, D) and a target (N,), or (D,) and (); received vectors (2, 2, 2), target (2,).",
    ),
    (lambda: F.rrelu(x, 0.5, 0.2), ValueError, "[rrelu] expected lower of at most upper; received 0.5 and 0.2."),
    (lambda: x.size(2), nc.ShapeError, "[size] expected an axis of a tensor with 2 axes; received 2."),
    (lambda: x.size((0, 1)), nc.ShapeError, "[size] expected an axis of a tensor with 2 axes; received (0, 1)."),
    (lambda: nc.tensor(1.0).size(0), nc.ShapeError, "[size] expected a tensor with axes; received a 0-d tensor."),
    (lambda: x.reshape(2.0, 6), nc.ShapeError, INTEGERS.format("reshape", "(2.0, 6)")),
    (lambda: x.view("ab"), nc.ShapeError, INTEGERS.format("reshape", "('ab',)")),
    (lambda: x.permute(None, 1), nc.ShapeError, INTEGERS.format("permute", "(None, 1)")),
    (lambda: x.expand([3, (4,)]), nc.ShapeError, INTEGERS.format("expand", "(3, (4,))")),
    (lambda: nc.zeros(2, 1.5), nc.ShapeError, INTEGERS.format("zeros", "(2, 1.5)")),
    (
        lambda: nc.ones(1).expand(2**40, 2**40, 1),
        nc.ShapeError,
        f"[expand] expected sizes of fewer than 2**63 elements; received ({2**40}, {2**40}, 1).",
    ),
    (lambda: x.expand(-1, 3, 4), nc.ShapeError, "[expand] expected sizes that shape (3, 4) can be repeated to; received (-1, 3, 4)."),
    (lambda: nc.ones(1, 4).expand(-2, 4), nc.ShapeError, "[expand] expected sizes that shape (1, 4) can be repeated to; received (-2, 4)."),
    (lambda: x.sum(True), nc.ShapeError, "[sum] expected an axis of a tensor with 2 axes; received True."),
    (lambda: x.sum(0, np.ones(2)), TypeError, FLAG.format("sum", "keepdim", "array([1., 1.])")),
    (lambda: x.mean(0, keepdims="yes"), TypeError, FLAG.format("mean", "keepdims", "'yes'")),
    (lambda: x.max(1, 3), TypeError, FLAG.format("max", "keepdim", "3")),
    (lambda: x.argmin(0, None), TypeError, FLAG.format("argmin", "keepdim", "None")),
    (lambda: x.var(0, 2), TypeError, FLAG.format("var", "unbiased", "2")),
    (lambda: x.std(0, keepdim=1), TypeError, FLAG.format("std", "keepdim", "1")),
    (lambda: x.requires_grad_("no"), TypeError, FLAG.format("requires_grad", "the value", "'no'")),
    (lambda: leaf.sum().backward(None, 1), TypeError, FLAG.format("backward", "retain_graph", "1")),
    (lambda: x.var(0, correction="1"), ValueError, "[var] expected correction as a number of at least 0; received '1'."),
    (lambda: x.std(0, correction=-1), ValueError, "[std] expected correction as a number of at least 0; received -1."),
    (lambda: i.to(nc.uint8) + 300, ValueError, "[add] expected numbers from 0 to 255 for uint8; received 300."),
    (lambda: i.to(nc.uint8).mul_(-1), ValueError, "[multiply] expected numbers from 0 to 255 for uint8; received -1."),
    (lambda: i.to(nc.int8).fill_(128), ValueError, "[write] expected numbers from -128 to 127 for int8; received 128."),
    (
        lambda: i + 2**64,
        ValueError,
        f"[add] expected numbers from {-(2**63)} to {2**63 - 1} for int64; received {2**64}.",
    ),
    (lambda: i // 2**63, ValueError, f"[floor_divide] expected numbers from {-(2**63)} to {2**63 - 1} for int64; received {2**63}."),
    (lambda: nc.tensor([2]) ** -1, RuntimeError, NEGATIVE),
    (lambda: 2 ** nc.tensor([1, -1]), RuntimeError, NEGATIVE),
    (lambda: -mask, nc.DTypeError, NO_BOOLS.format("negative")),
    (lambda: mask - mask, nc.DTypeError, NO_BOOLS.format("subtract")),
    (lambda: mask**mask, nc.DTypeError, NO_BOOLS.format("power")),
    (
        lambda: nc.where(mask, x, 1.0),
        nc.ShapeError,
        "[where] expected shapes that broadcast to each other; received (2,) and (3, 4).",
    ),
    (
        lambda: y.expand(3, 4).zero_(),
        RuntimeError,
        "[write] expected memory that can be written to; received a view that repeats elements; write to a clone().",
    ),
    (
        lambda: _function(lambda ctx, a: a * 2, lambda ctx, grad: 1.0).apply(leaf).sum().backward(),
        TypeError,
        "[Mine] expected gradients as Tensors on 'cpu' from backward, or None; received float.",
    ),
    (
        lambda: setattr(leaf * 2, "requires_grad", False),
        RuntimeError,
        "[requires_grad] expected a leaf; received the result of an operation; use detach().",
    ),
    (lambda: i.requires_grad_(), nc.DTypeError, "[requires_grad] expected a floating-point tensor; received int64."),
    (
        lambda: setattr(leaf, "data", nc.arange(3)),
        nc.DTypeError,
        "[data] expected floating-point values for a tensor with a gradient; received int64.",
    ),
    (lambda: setattr(x, "data", y), nc.ShapeError, "[data] expected a tensor of shape (3, 4); received shape (4,)."),
    (
        lambda: leaf.numpy(),
        RuntimeError,
        "[numpy] expected a tensor without a gradient; received one that requires it; call detach().numpy().",
    ),
    (lambda: x.item(), nc.ShapeError, "[item] expected a tensor of one element; received shape (3, 4)."),
    (lambda: x.backward(), RuntimeError, "[backward] expected a tensor that requires a gradient; received one that does not."),
    (
        lambda: (leaf * 2).backward(),
        nc.ShapeError,
        "[backward] expected a gradient of shape (3,); received none; only one element can do without.",
    ),
    (lambda: (leaf * 2).backward(y), nc.ShapeError, "[backward] expected a gradient of shape (3,); received shape (4,)."),
    (
        lambda: x.register_hook(print),
        RuntimeError,
        "[register_hook] expected a tensor that requires a gradient; received one that does not.",
    ),
    (lambda: leaf.register_hook(3), TypeError, "[register_hook] expected hook as a function; received int."),
    (
        lambda: _with_hook(lambda gradient: gradient[:1]).sum().backward(),
        nc.ShapeError,
        "[register_hook] expected None or a gradient of shape (3,) on cpu from the hook; received shape (1,) on cpu.",
    ),
    (lambda: x.retain_grad(), RuntimeError, "[retain_grad] expected a tensor that requires a gradient; received one that does not."),
    (lambda: list(nc.tensor(1.0)), TypeError, "[iter] expected a tensor with axes; received a 0-d tensor."),
    (
        lambda: f"{y[:2]:.2f}",
        TypeError,
        "[format] expected a 0-d tensor for a format as this; received '.2f' and shape (2,); use item() or tolist().",
    ),
    (lambda: x[0].detach_(), RuntimeError, "[detach_] expected a tensor that owns its memory; received a view; use detach()."),
    (lambda: nc.grad([], leaf), nc.ShapeError, "[grad] expected outputs, and grad_outputs for each of 0; received 0."),
    (
        lambda: nc.grad(leaf.sum(), leaf, [None, None]),
        nc.ShapeError,
        "[grad] expected outputs, and grad_outputs for each of 1; received 2.",
    ),
    (
        lambda: nc.grad(leaf, leaf),
        nc.ShapeError,
        "[grad] expected a gradient of shape (3,); received none; only one element can do without.",
    ),
    (lambda: nc.grad(leaf.sum(), x), RuntimeError, "[grad] expected a tensor that requires a gradient; received one that does not."),
    (lambda: nc.grad(x.sum(), leaf), RuntimeError, "[grad] expected a tensor that requires a gradient; received one that does not."),
    (
        lambda: nc.grad(leaf.sum(), leaf * 2),
        RuntimeError,
        "[grad] expected inputs that the outputs were made of; received another one; pass allow_unused=True.",
    ),
    (lambda: nc.grad(leaf.sum(), 3), TypeError, "[grad] expected inputs as a Tensor or a sequence of Tensors; received 3."),
    (lambda: len(nc.tensor(1)), TypeError, "[len] expected a tensor with axes; received a 0-d tensor."),
    (lambda: x.flatten(1, 0), nc.ShapeError, "[flatten] expected start_dim before end_dim; received 1 and 0."),
    (lambda: x.permute(0, 0), nc.ShapeError, "[permute] expected each of the 2 axes once; received (0, 0)."),
    (lambda: x.flip(0, -2), nc.ShapeError, "[flip] expected each axis once; received (0, -2)."),
    (lambda: x.roll((1, 2), 0), nc.ShapeError, "[roll] expected one shift for each axis; received shifts (1, 2) and dims 0."),
    (lambda: image.t(), nc.ShapeError, "[t] expected a tensor of at most two axes; received shape (2, 3, 5, 5); use transpose or permute."),
    (lambda: x.expand(2, 4), nc.ShapeError, "[expand] expected sizes that shape (3, 4) can be repeated to; received (2, 4)."),
    (lambda: i.mean(), nc.DTypeError, "[mean] expected a floating-point tensor; received int64; convert it with .float()."),
    (lambda: x[:0].max(), nc.ShapeError, "[max] expected a tensor with elements; received shape (0, 4)."),
    (lambda: x[:0].argmax(), nc.ShapeError, "[argmax] expected a tensor with elements; received shape (0, 4)."),
    (lambda: x[:0].max(0), nc.ShapeError, "[max] expected a tensor with elements along axis 0; received shape (0, 4)."),
    (lambda: x[:, :0].argmin(-1), nc.ShapeError, "[argmin] expected a tensor with elements along axis 1; received shape (3, 0)."),
    (lambda: bool(x), nc.ShapeError, "[bool] expected a tensor of one element; received shape (3, 4); use .any() or .all()."),
    (lambda: x + "a", nc.DTypeError, "[operand] expected a Tensor, an array or a number; received str."),
    (lambda: i.__setitem__(0, 1.5), nc.DTypeError, "[write] expected values that fit int64; received float32; convert them with .to()."),
    (lambda: m.__iadd__(i), nc.DTypeError, "[write] expected values that fit bool; received int64; convert them with .to()."),
    (lambda: x + leaf, nc.ShapeError, "[add] expected shapes that broadcast to each other; received (3, 4) and (3,)."),
    (lambda: x < leaf, nc.ShapeError, "[less] expected shapes that broadcast to each other; received (3, 4) and (3,)."),
    (lambda: nc.maximum(x, leaf), nc.ShapeError, "[maximum] expected shapes that broadcast to each other; received (3, 4) and (3,)."),
    (lambda: x @ x, nc.ShapeError, "[matmul] expected (..., M, K) @ (..., K, N); received (3, 4) @ (3, 4)."),
    (
        lambda: nc.ones(2, 3, 4) @ nc.ones(3, 4, 2),
        nc.ShapeError,
        "[matmul] expected shapes that broadcast to each other; received (2,) and (3,).",
    ),
    (lambda: x.sum(2), nc.ShapeError, "[sum] expected an axis of a tensor with 2 axes; received 2."),
    (lambda: x.softmax(-3), nc.ShapeError, "[softmax] expected an axis of a tensor with 2 axes; received -3."),
    (lambda: x.mean((0, -2)), nc.ShapeError, "[mean] expected each axis once; received (0, -2)."),
    (lambda: x.reshape(5, 2), nc.ShapeError, "[reshape] expected a shape of 12 elements; received (5, 2) from (3, 4)."),
    (lambda: x.reshape(-1, -1), nc.ShapeError, "[reshape] expected a shape of 12 elements; received (-1, -1) from (3, 4)."),
    (lambda: x.view(-1, 5), nc.ShapeError, "[reshape] expected a shape of 12 elements; received (-1, 5) from (3, 4)."),
    (lambda: nc.tensor([[1], [2, 3]]), nc.ShapeError, "[tensor] expected nested lists of equal lengths; received unequal ones."),
    (
        lambda: nc.from_array([[1], [2, 3]]),
        nc.ShapeError,
        "[from_array] expected an array, or nested lists of equal lengths; received unequal ones.",
    ),
    (
        lambda: nc.tensor([1j]),
        nc.DTypeError,
        "[tensor] expected one of the dtypes float32, float64, int8, int16, int32, int64, uint8, bool; received complex128.",
    ),
    (
        lambda: nc.zeros(2, dtype="half"),
        nc.DTypeError,
        "[full] expected one of the dtypes float32, float64, int8, int16, int32, int64, uint8, bool; received float16.",
    ),
    (lambda: nc.tensor([300, -1], dtype="uint8"), ValueError, "[tensor] expected numbers from 0 to 255 for uint8; received -1 to 300."),
    (lambda: nc.tensor([np.nan], dtype="int8"), ValueError, "[tensor] expected numbers from -128 to 127 for int8; received nan."),
    (
        lambda: nc.tensor([2.0**31], dtype="int32"),
        ValueError,
        "[tensor] expected numbers from -2147483648 to 2147483647 for int32; received 2147483648.0.",
    ),
    (lambda: nc.tensor(["a", None], dtype="float32"), nc.DTypeError, "[tensor] expected numbers; received NoneType, str."),
    (
        lambda: nc.tensor(1j, dtype="float32"),
        nc.DTypeError,
        "[tensor] expected one of the dtypes float32, float64, int8, int16, int32, int64, uint8, bool; received complex128.",
    ),
    (lambda: nc.full((2,), None, dtype="float32"), nc.DTypeError, "[operand] expected a Tensor, an array or a number; received NoneType."),
    (lambda: nc.full((2,), -1, dtype="uint8"), ValueError, "[full] expected numbers from 0 to 255 for uint8; received -1."),
    (lambda: nc.arange(0, 300, dtype="uint8"), ValueError, "[arange] expected numbers from 0 to 255 for uint8; received 0 to 299."),
    (
        lambda: x.type(None),
        nc.DTypeError,
        "[type] expected one of the dtypes float32, float64, int8, int16, int32, int64, uint8, bool; received None.",
    ),
    (lambda: x.to("tpu"), nc.DeviceError, "[to] expected one of 'cpu' and 'cuda'; received 'tpu'."),
    (lambda: x.to("mps", nc.float64), nc.DeviceError, "[to] expected one of 'cpu' and 'cuda'; received 'mps'."),
    (lambda: x.to(device="cuda:1"), nc.DeviceError, "[to] expected one of 'cpu' and 'cuda'; received 'cuda:1'."),
    (
        lambda: x.to("bfloat16"),
        nc.DTypeError,
        "[to] expected one of the dtypes float32, float64, int8, int16, int32, int64, uint8, bool; received 'bfloat16'.",
    ),
    (lambda: nc.zeros(2, device="tpu"), nc.DeviceError, "[device] expected one of 'cpu' and 'cuda'; received 'tpu'."),
    (lambda: nc.zeros(2, -1), nc.ShapeError, "[zeros] expected sizes of at least 0; received (2, -1)."),
    (lambda: x[3], IndexError, OUTSIDE.format("3", "index 3 is out of bounds for axis 0 with size 3")),
    (lambda: x[0, -5], IndexError, OUTSIDE.format("0, -5", "index -5 is out of bounds for axis 1 with size 4")),
    (lambda: x[2**63], IndexError, OUTSIDE.format("9223372036854775808", "Python int too large to convert to C long")),
    (lambda: x[[[1], [2, 3]]], IndexError, OUTSIDE.format("list", "its lists have unequal lengths")),
    (lambda: x.__setitem__([[1], [2, 3]], 0.0), IndexError, OUTSIDE.format("list", "its lists have unequal lengths")),
    (lambda: x[nc.zeros(0, dtype="bool")], IndexError, OUTSIDE.format("Tensor", "a mask does not have the shape of its axes")),
    (lambda: x[[0, 7]], IndexError, OUTSIDE.format("list", "index 7 is out of bounds for axis 0 with size 3")),
    (
        lambda: x.__setitem__((slice(None), nc.tensor(4)), 1.0),
        IndexError,
        OUTSIDE.format("slice(None, None, None), Tensor", "index 4 is out of bounds for axis 1 with size 4"),
    ),
    (lambda: nc.arange(), TypeError, "[arange] expected end; start and end; or start, end and step; received no argument."),
    (lambda: nc.arange(0, 10, 0), ValueError, STEPS.format("0, 10, 0")),
    (lambda: nc.arange(5, 0), ValueError, STEPS.format("5, 0, 1")),
    (lambda: nc.arange(-1), ValueError, STEPS.format("0, -1, 1")),
    (lambda: nc.arange(0.0, np.inf), ValueError, STEPS.format("0.0, inf, 1")),
    (lambda: x.clamp(leaf), nc.ShapeError, "[clamp] expected shapes that broadcast to each other; received (3, 4) and (3,)."),
    (lambda: x.clamp(), ValueError, "[clamp] expected a bound, min or max; received neither."),
    (lambda: i.std(), nc.DTypeError, "[std] expected a floating-point tensor; received int64; convert it with .float()."),
    (lambda: i // 0, RuntimeError, ZERO.format("floor_divide")),
    (lambda: 7 % (i * 0), RuntimeError, ZERO.format("remainder")),
    (
        lambda: (x > 0) % (x > 0),
        nc.DTypeError,
        "[remainder] expected numbers; received bool tensors; convert them with .to().",
    ),
    (
        lambda: (leaf // 2).sum().backward(),
        RuntimeError,
        "[backward] expected operations with a gradient; received a floor division; call detach() before //.",
    ),
    (lambda: nc.rand(-1), nc.ShapeError, "[rand] expected sizes of at least 0; received (-1,)."),
    (lambda: nc.randn(2, dtype="int64"), nc.DTypeError, "[randn] expected a floating-point dtype; received int64."),
    (lambda: nc.normal(0, -1, (2,)), ValueError, "[normal] expected std of at least 0; received -1."),
    (lambda: nc.cat([]), nc.ShapeError, "[cat] expected at least one tensor; received none."),
    (lambda: nc.cat([x, y]), nc.ShapeError, "[cat] expected shapes that are equal but for axis 0; received (3, 4), (4,)."),
    (lambda: nc.stack([]), nc.ShapeError, "[stack] expected at least one tensor; received none."),
    (lambda: nc.stack([x, y]), nc.ShapeError, "[stack] expected tensors of one shape; received (3, 4), (4,)."),
    (lambda: nc.where(x, x, x), nc.DTypeError, "[where] expected a bool condition; received float32."),
    (lambda: apply(E.Add(), 1.0, 2.0), TypeError, "[Add] expected at least one Tensor; received none."),
    (
        lambda: F.conv2d(image, kernel.double()),
        nc.DTypeError,
        "[conv2d] expected floating-point tensors of one dtype; received float32, float64; convert them with .to().",
    ),
    (
        lambda: F.conv2d(image.long(), kernel.long()),
        nc.DTypeError,
        "[conv2d] expected floating-point tensors of one dtype; received int64, int64; convert them with .to().",
    ),
    (
        lambda: F.max_pool2d(image.long(), 2),
        nc.DTypeError,
        "[max_pool2d] expected floating-point tensors of one dtype; received int64; convert them with .to().",
    ),
    (
        lambda: F.avg_pool2d(image.long(), 2),
        nc.DTypeError,
        "[avg_pool2d] expected floating-point tensors of one dtype; received int64; convert them with .to().",
    ),
    (
        lambda: F.adaptive_avg_pool2d(image.long(), 2),
        nc.DTypeError,
        "[adaptive_avg_pool2d] expected floating-point tensors of one dtype; received int64; convert them with .to().",
    ),
    (
        lambda: F.gelu(i),
        nc.DTypeError,
        "[gelu] expected floating-point tensors of one dtype; received int64; convert them with .to().",
    ),
    (lambda: F.gelu(x, "erf"), ValueError, "[gelu] expected approximate as 'none' or 'tanh'; received 'erf'."),
    (
        lambda: F.linear(x, np.ones((2, 4), np.float32)),
        TypeError,
        "[linear] expected Tensors; received Tensor, ndarray; make one with tensor() or from_array().",
    ),
    (
        lambda: F.batch_norm(x, None, None, training=True, momentum=None),
        TypeError,
        "[batch_norm] expected momentum as a number; received None; nn.BatchNorm2d(momentum=None) averages over all batches.",
    ),
    (
        lambda: F.batch_norm(y, y, y),
        nc.ShapeError,
        "[batch_norm] expected input (N, C) or (N, C, ...); received input (4,).",
    ),
    (
        lambda: F.batch_norm(x, y, y, leaf),
        nc.ShapeError,
        "[batch_norm] expected weight (4,) to match input (3, 4); received weight (3,).",
    ),
    (
        lambda: F.batch_norm(x, y, y[:3]),
        nc.ShapeError,
        "[batch_norm] expected running_var (4,) to match input (3, 4); received running_var (3,).",
    ),
    (
        lambda: F.batch_norm(x, y, None, training=True),
        ValueError,
        "[batch_norm] expected both running statistics, or neither and training=True; "
        "received running_mean given and running_var None with training=True.",
    ),
    (
        lambda: F.batch_norm(x, None, None),
        ValueError,
        "[batch_norm] expected both running statistics, or neither and training=True; "
        "received running_mean None and running_var None with training=False.",
    ),
    (
        lambda: F.batch_norm(x[:1], y, y, training=True),
        nc.ShapeError,
        "[batch_norm] expected more than one value per channel in training; received input (1, 4); take a larger batch, or eval().",
    ),
    (
        lambda: F.batch_norm(x, y, y, y.double()),
        nc.DTypeError,
        "[batch_norm] expected floating-point tensors of one dtype; received float32, float64, float32, float32; convert them with .to().",
    ),
    (lambda: F.conv2d(image, kernel, y[:3]), nc.ShapeError, "[conv2d] expected bias (4,); received bias (3,)."),
    (lambda: F.linear(x, y), nc.ShapeError, "[linear] expected weight (O, I); received weight (4,)."),
    (
        lambda: F.linear(x, nc.ones(2, 3)),
        nc.ShapeError,
        "[linear] expected input (..., I) with I = 3 to match weight (2, 3); received input (3, 4).",
    ),
    (lambda: F.linear(x, x, y), nc.ShapeError, "[linear] expected bias (3,); received bias (4,)."),
    (lambda: F.dropout(x, 1.5), ValueError, "[dropout] expected p as a number from 0 to 1; received 1.5."),
    (lambda: F.mse_loss(x, x, reduction="all"), ValueError, "[mse_loss] expected reduction as 'mean', 'sum' or 'none'; received 'all'."),
    (lambda: F.cross_entropy(x, leaf), nc.DTypeError, "[cross_entropy] expected class indices as integers; received float32."),
    (
        lambda: F.cross_entropy(x.long(), i),
        nc.DTypeError,
        "[cross_entropy] expected floating-point tensors of one dtype; received int64; convert them with .to().",
    ),
    (lambda: F.nll_loss(nc.tensor(1.0), i), nc.ShapeError, "[nll_loss] expected scores (N, K, ...) or (K,); received scores ()."),
    (
        lambda: F.cross_entropy(x, nc.arange(4)),
        nc.ShapeError,
        "[cross_entropy] expected labels (3,) to match scores (3, 4); received labels (4,).",
    ),
    (
        lambda: F.cross_entropy(x, i + 2),
        ValueError,
        "[cross_entropy] expected labels between 0 and 3; received labels between 2 and 4.",
    ),
    (lambda: F.nll_loss(x, i - 1), ValueError, "[nll_loss] expected labels between 0 and 3; received labels between -1 and 1."),
    (
        lambda: F.cross_entropy(x, i, label_smoothing=-0.1),
        ValueError,
        "[cross_entropy] expected label_smoothing between 0 and 1; received -0.1.",
    ),
    (lambda: F.mse_loss(x, y), nc.ShapeError, "[mse_loss] expected a target (3, 4) to match the input; received target (4,)."),
    (
        lambda: F.binary_cross_entropy_with_logits(x, x.double()),
        nc.DTypeError,
        "[binary_cross_entropy_with_logits] expected floating-point tensors of one dtype; "
        "received float32, float64; convert them with .to().",
    ),
]


def _with_hook(hook: Any) -> nc.Tensor:
    y = leaf * 2
    y.register_hook(hook)
    return y


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=[text for _, _, text in ERRORS])
def test_error(call: Callable[[], Any], kind: type[BaseException], text: str) -> None:
    with exactly(kind, text):
        call()


def test_every_error_has_its_test() -> None:
    """Each ``message(`` of tensors and functions is met by a text in a test, judged by its beginning."""
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    modules = [m for name, m in sys.modules.items() if re.match(r"numbacnn\.(tensor|nn\.functional)\.", name)]
    assert len(modules) > 15
    for module in modules:
        for call in re.findall(r'message\(\s*f?"?([\w.()]+)"?, f?"([^"{]*)', inspect.getsource(module)):
            if call[1]:
                assert call[1] in here, call


def test_hooks_are_told_all_of_a_gradient_once() -> None:
    told: list[Any] = []
    x, w = nc.tensor([1.0, 2.0], requires_grad=True), nc.tensor([3.0, 4.0], requires_grad=True)
    doubles = x.register_hook(lambda g: told.append(("x", g.tolist())) or g * 2)
    y = x * w
    y.register_hook(lambda g: told.append(("y", g.tolist())))
    y.register_hook(lambda g: g + 1)
    y.retain_grad()
    loss = (y * y + x).sum()
    loss.backward(retain_graph=True)
    assert told == [("y", [6.0, 16.0]), ("x", [22.0, 69.0])]  # of both ways to x
    assert y.grad.tolist() == [7, 17] and x.grad.tolist() == [44, 138] and w.grad.tolist() == [7, 34]
    doubles.remove()
    doubles.remove()
    loss.backward()
    assert len(told) == 3 and x.grad.tolist() == [66, 207] and y.grad.tolist() == [14, 34]
    one = nc.tensor(2.0, requires_grad=True)
    one.retain_grad()
    one.register_hook(lambda g: g * 5)
    one.backward()
    assert one.grad == 5


def test_a_tensor_that_retains_its_gradient_is_not_kept_alive() -> None:
    y = nc.ones(2, requires_grad=True) * 2
    y.retain_grad()
    loss, gone = y.sum(), weakref.ref(y)
    del y
    assert gone() is None
    loss.backward()


def test_a_hook_makes_no_plan() -> None:
    w = nc.nn.Parameter(nc.ones(2))

    def step(x: nc.Tensor) -> nc.Tensor:
        w.grad = None
        (w * x).sum().backward()
        return w.grad * 1

    compiled, told = nc.compile(step), []
    for _ in range(4):
        compiled(nc.ones(2))
    handle = w.register_hook(lambda g: told.append(1) or g * 3)
    assert [compiled(nc.ones(2)).tolist() for _ in range(4)] == [[3.0, 3.0]] * 4 and len(told) == 4
    handle.remove()
    assert [compiled(nc.ones(2)).tolist() for _ in range(4)] == [[1.0, 1.0]] * 4


def test_gradients_of_some_tensors_leave_none_on_leaves() -> None:
    x, w = nc.tensor([1.0, 2.0], requires_grad=True), nc.tensor([3.0, 4.0], requires_grad=True)
    y = x * w
    z = y * y + x
    assert [g.tolist() for g in nc.grad(z.sum(), [x, y, w], retain_graph=True)] == [[19.0, 65.0], [6.0, 16.0], [6.0, 32.0]]
    found = nc.grad([z, y], [y, w, y], [nc.ones(2), nc.tensor([2.0, 3.0])], retain_graph=True)
    assert [g.tolist() for g in found] == [[8.0, 19.0], [8.0, 38.0], [8.0, 19.0]]
    assert nc.grad(y.sum(), [z, w], retain_graph=True, allow_unused=True)[0] is None
    assert nc.grad(z, z, nc.ones(2), retain_graph=True)[0].tolist() == [1, 1] and nc.grad(x.sum(), x)[0].tolist() == [1, 1]
    assert x.grad is None and w.grad is None
    x.register_hook(lambda g: g * 10)
    assert nc.grad(z.sum(), y)[0].tolist() == [6, 16]  # the walk stops at y: what y was made of is still there
    assert nc.grad(y.sum(), x)[0].tolist() == [30, 40]
    with pytest.raises(RuntimeError, match="a graph that was not walked yet"):
        nc.grad(y.sum(), x)


def test_a_tensor_lets_go_of_its_history() -> None:
    x = nc.ones(2, requires_grad=True)
    h = x * 2
    assert h.detach_() is h and not h.requires_grad and h.is_leaf
    assert not x.detach_().requires_grad


def test_a_tensor_alone_is_one_input() -> None:
    assert gradcheck(lambda x: x * x, real(2, 3))
    assert adjoint_check(lambda x: x * 2, real(2, 3))


@pytest.mark.parametrize(("options", "text"), [
    ({"eps": 0}, "eps as a number above 0; received 0"),
    ({"eps": float("nan")}, "eps as a number above 0; received nan"),
    ({"atol": -1}, "atol as a number of at least 0; received -1"),
    ({"rtol": "a"}, "rtol as a number of at least 0; received 'a'"),
    ({"directions": 0}, "directions as an integer of at least 1; received 0"),
    ({"seed": -1}, "seed as an integer of at least 0; received -1"),
])  # fmt: skip
def test_the_options_of_a_check_are_judged_before_the_function_runs(options: dict[str, Any], text: str) -> None:
    called: list[object] = []
    with exactly(ValueError, f"[gradcheck] expected {text}."):
        gradcheck(called.append, real(2), **options)  # type: ignore[arg-type]
    if not options.keys() - {"rtol", "seed"}:
        with exactly(ValueError, f"[adjoint_check] expected {text}."):
            adjoint_check(called.append, real(2), **options)  # type: ignore[arg-type]
    assert not called


@pytest.mark.parametrize("check", [gradcheck, adjoint_check])
def test_a_checked_function_gives_one_tensor(check: Callable[..., bool]) -> None:
    arrays = (lambda x: x.detach().numpy(), "an array of shape (2,)")
    for wrong, received in ((lambda x: None, "None"), (lambda x: (x, x), "tuple"), arrays):
        with pytest.raises(TypeError, match=rf"^\[{check.__name__}\] expected f to give a Tensor; received {re.escape(received)}"):
            check(wrong, real(2))


def test_inputs_of_a_check_may_come_one_by_one() -> None:
    assert gradcheck(lambda x, y: x * y, (real(2, seed=seed) for seed in (0, 1)))
    for wrong, received in (("ab", "'ab'"), ({"x": real(2)}, "dict"), ([1.5], "[1.5]")):
        for check in (gradcheck, adjoint_check):
            with exactly(TypeError, f"[{check.__name__}] expected inputs as a Tensor or several; received {received}."):
                check(lambda x: x, wrong)  # type: ignore[arg-type]


def test_without_a_tolerance_only_what_is_equal_passes() -> None:
    assert gradcheck(lambda x: x * 0, real(2), atol=0, rtol=0)
    with pytest.raises(GradientError):
        gradcheck(lambda x: x.exp(), real(2), atol=0, rtol=0)


@pytest.mark.parametrize("make", [
    lambda flag: nc.tensor([1.0], requires_grad=flag), lambda flag: nc.from_array(np.ones(1), requires_grad=flag),
    lambda flag: nc.Tensor(np.ones(1), requires_grad=flag), lambda flag: nc.nn.Parameter(nc.ones(1), flag),
    *(lambda flag, make=make: make(1, requires_grad=flag) for make in (nc.zeros, nc.ones, nc.rand, nc.randn)),
    lambda flag: nc.arange(1.0, requires_grad=flag),
])  # fmt: skip
def test_requires_grad_is_a_flag(make: Callable[[Any], nc.Tensor]) -> None:
    for flag in (False, True, np.False_, np.True_):
        assert make(flag).requires_grad is bool(flag)
    for wrong in (None, 0, "no"):
        with exactly(TypeError, f"[requires_grad] expected the value as True or False; received {wrong!r}."):
            make(wrong)


@pytest.mark.parametrize("shapes", [((70, 4), (4, 6)), ((70, 40), (40, 60)), ((2, 70, 4), (2, 4, 6))], ids=str)
def test_the_gradients_of_a_product_do_not_depend_on_strides(shapes: Any) -> None:
    """Turned, the sums of one gradient would be taken in another order."""
    rng = np.random.default_rng(0)
    grad = rng.standard_normal((*shapes[0][:-1], shapes[1][-1]), dtype=np.float32)
    values = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
    found = []
    for arranged in (grad, np.swapaxes(np.swapaxes(grad, -1, -2).copy(), -1, -2), grad[..., ::-1].copy()[..., ::-1]):
        a, b = (nc.tensor(v, requires_grad=True) for v in values)
        (a @ b).backward(nc.Tensor(arranged))
        found.append((a.grad.numpy().tobytes(), b.grad.numpy().tobytes()))
    assert found[0] == found[1] == found[2]


def test_what_view_copies_is_not_written_to() -> None:
    """While the memory is there that PyTorch's view would share: the write would be missing there, unseen."""
    y = nc.nn.Conv2d(3, 5, 3)(nc.randn(2, 3, 4, 4))  # channels-last
    text = r"^\[write\] expected a view of a tensor's memory; received a copy that view\(\) had to make, for memory is channels-last;"
    for write in (
        lambda: y.view(2, -1).add_(1),
        lambda: y.view(2, -1)[0].zero_(),
        lambda: y.detach().view(-1).zero_(),
        lambda: y.permute(0, 2, 1, 3).view(-1).mul_(2),
    ):
        with pytest.raises(RuntimeError, match=text):
            write()
    y.reshape(-1).data.zero_()  # a copy, as PyTorch's may be
    y = y.view(2, -1)
    y += 1
    z = nc.randn(2, 3)
    z.view(-1).zero_()
    assert z.abs().sum().item() == 0
