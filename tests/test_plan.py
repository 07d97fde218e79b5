"""Compiled functions have the bits of eager ones, whatever changes between two calls; what can't be proved runs as it did."""

from __future__ import annotations

import concurrent.futures
import contextlib
import copy
import dataclasses
import gc
import multiprocessing
import operator
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.compiler_lock import global_compiler_lock

import numbacnn as nc
from numbacnn import nn
from numbacnn.plan import compiled as deciding
from numbacnn.plan import loops, profiling
from numbacnn.plan import rows as running
from numbacnn.plan.replay import Plan
from numbacnn.recording import structure

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
F = nn.functional
DRAWS = int(os.environ.get("NUMBACNN_PLAN_DRAWS", "10"))


@pytest.fixture(autouse=True)
def memory_is_filled_with_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before every replay, all that a plan makes for itself: what it reads without writing is seen."""
    run = Plan.run

    def filled(self: Plan, given: Any, arrays: Any, room: np.ndarray, *args: Any) -> Any:
        room[:] = 0xFF
        return run(self, given, arrays, room, *args)

    monkeypatch.setattr(Plan, "run", filled)


def entries(compiled: Any) -> Any:
    return (compiled.__dict__["_compiled"] if isinstance(compiled, nn.Module) else compiled)._entries.values()


def plans(compiled: Any) -> int:
    return sum(len(entry.plans) for entry in entries(compiled))


def replays(compiled: Any) -> int:
    return sum(entry.replays for entry in entries(compiled))


# -- drawn networks --------------------------------------------------------------------------------------------------------------
class Residual(nn.Module):
    """x + f(x), the same layers twice."""

    def __init__(self, channels: int, twice: bool) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
        self.twice = twice

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        y = self.inner(x) + x
        return self.inner(y) + y if self.twice else y


class Formula(nn.Module):
    """What a user writes between layers."""

    def __init__(self, formula: Callable[[nc.Tensor], nc.Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return self.formula(x)


LAYERS = {
    "conv": lambda c: nn.Conv2d(c, c, 3, padding=1),
    "strided": lambda c: nn.Conv2d(c, c, 3, stride=2, padding=1, bias=False),
    "depthwise": lambda c: nn.Conv2d(c, c, 3, padding=1, groups=c),
    "norm": lambda c: nn.BatchNorm2d(c),
    "average of all": lambda c: nn.BatchNorm2d(c, momentum=None),
    "relu": lambda c: nn.ReLU(),
    "gelu": lambda c: nn.GELU(),
    "dropout": lambda c: nn.Dropout(0.3),
    "max": lambda c: nn.MaxPool2d(2, 2, padding=1),
    "mean": lambda c: nn.AvgPool2d(2),
    "residual": lambda c: Residual(c, False),
    "shared": lambda c: Residual(c, True),
    "standardised": lambda c: Formula(lambda x: (x - x.mean((0, 2, 3), keepdim=True)) / (x.std((0, 2, 3), keepdim=True) + 0.1)),
    "gated": lambda c: Formula(lambda x: x * x.mean(1, keepdim=True).sigmoid() + x.mean((2, 3), keepdim=True)),
    "clamped": lambda c: Formula(lambda x: x.clamp(-1.0, 1.0)),
    "chosen": lambda c: Formula(lambda x: nc.where(x > 0, x, x * 0.1)),
    "joined": lambda c: Formula(lambda x: nc.cat([x[:, ::2], x[:, 1::2]], 1)),
    "shifted": lambda c: Formula(lambda x: x.roll(1, 3).flip(2)),
    "below the largest": lambda c: Formula(lambda x: x - x.max(1, keepdim=True).values + x.min()),
    "turned": lambda c: Formula(lambda x: x.permute(0, 1, 3, 2) * 2.0),
}
LOSSES: dict[str, Callable[[nc.Tensor, nc.Tensor], nc.Tensor]] = {
    "labels": F.cross_entropy,
    "smoothed": lambda scores, y: F.cross_entropy(scores, y, label_smoothing=0.1),
    "log-probabilities": lambda scores, y: F.nll_loss(scores.log_softmax(1), y),
    "guesses": lambda scores, y: F.cross_entropy(scores, scores.detach().argmax(1)),
    "squares": lambda scores, y: F.mse_loss(scores.softmax(1), nc.eye(4)[y]),
    "logits": lambda scores, y: F.binary_cross_entropy_with_logits(scores, nc.eye(4)[y]),
}
OPTIMISERS = {
    "sgd": lambda p: nc.optim.SGD(p, lr=0.05),
    "momentum": lambda p: nc.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: nc.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: nc.optim.Adam(p, lr=1e-3),
    "adamw": lambda p: nc.optim.AdamW(p, lr=1e-3),
    "amsgrad": lambda p: nc.optim.AdamW(p, lr=1e-3, amsgrad=True),
    "maximize": lambda p: nc.optim.SGD(p, lr=1e-3, maximize=True),
    "nadam": lambda p: nc.optim.NAdam(p, lr=1e-3, weight_decay=1e-3),
    "rmsprop": lambda p: nc.optim.RMSprop(p, lr=1e-3, momentum=0.9, centered=True),
    "adagrad": lambda p: nc.optim.Adagrad(p, lr=1e-2, lr_decay=0.1),
    "adadelta": lambda p: nc.optim.Adadelta(p),
}
CHANGES = ("lr", "mode", "shape", "load", "data", "numpy", "freeze", "thaw", "attribute", "threads", "config", "moments", "hold", "drop")
SCHEDULES = {
    "none": lambda o: None,
    "step": lambda o: nc.optim.StepLR(o, 2, 0.5),
    "cosine": lambda o: nc.optim.CosineAnnealingLR(o, 8),
    "cycle": lambda o: nc.optim.OneCycleLR(o, 0.1, total_steps=20, cycle_momentum=bool({"momentum", "betas"} & {*o.defaults})),
}


def network(layers: list[str], channels: int, seed: int) -> nn.Sequential:
    nc.manual_seed(seed)
    made = [nn.Conv2d(3, channels, 3, padding=1), *(LAYERS[name](channels) for name in layers)]
    return nn.Sequential(*made, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4))


class Run:
    """A network that is trained, compiled or not."""

    def __init__(
        self, net: nn.Sequential, optimiser: str, schedule: str, loss_of: str, accumulate: bool, clip: bool, compiled: str
    ) -> None:
        self.net = net
        self.optimiser = OPTIMISERS[optimiser](self.net.parameters())
        self.schedule = SCHEDULES[schedule](self.optimiser)
        optimiser_ = self.optimiser

        def step(x: nc.Tensor, y: nc.Tensor) -> tuple[nc.Tensor, nc.Tensor]:
            if not accumulate:
                optimiser_.zero_grad()
            scores = net(x)
            loss = LOSSES[loss_of](scores, y)
            loss.backward()
            if clip:
                with nc.no_grad():
                    for p in net.parameters():
                        if p.grad is not None:
                            p.grad.mul_((0.1 / ((p.grad * p.grad).sum().sqrt() + 1e-6)).clamp(max=1.0))
            optimiser_.step()
            return loss, scores.detach()

        self.step: Any = nc.compile(step) if compiled == "step" else step
        if compiled == "module":
            net.compile()
        self.held: list[Any] = []

    def state(self) -> list[Any]:
        found = [np.asarray(t).tobytes() for t in self.net.state_dict().values()]
        found += [None if p.grad is None else (np.asarray(p.grad).tobytes(), p.grad._version.count) for p in self.net.parameters()]
        found += [str(self.optimiser.state_dict())]
        found += [t._version.count for t in (*self.net.parameters(), *self.net.buffers())]
        return [*found, [np.asarray(t).tobytes() for t in self.held], str(nc.get_rng_state())]

    def change(self, name: str, i: int) -> None:
        first: Any = self.net[0]
        with nc.no_grad():
            if name == "lr":
                self.optimiser.param_groups[0]["lr"] *= 0.5
            elif name == "mode":
                self.net.train(not self.net.training)
            elif name == "load":
                self.net.load_state_dict({key: np.asarray(t) * 0.5 for key, t in self.net.state_dict().items()})
            elif name == "data":
                first.weight.data = first.weight.detach().clone() * 0.9
            elif name == "numpy":
                first.weight.detach().numpy()[0] *= 0.5
            elif name in ("freeze", "thaw"):
                first.requires_grad_(name == "thaw")
            elif name == "attribute":
                for layer in self.net.modules():
                    if isinstance(layer, nn.Dropout):
                        layer.p = 0.1 * (1 + i % 5)
            elif name == "moments":
                self.optimiser.load_state_dict(self.optimiser.state_dict())
            elif name == "hold":
                self.held.append(first.weight.grad)
                self.held = [t for t in self.held if t is not None]
            elif name == "drop":
                self.net.zero_grad()


@settings(max_examples=DRAWS)
@given(
    layers=st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=4),
    channels=st.sampled_from([4, 16]),
    optimiser=st.sampled_from(sorted(OPTIMISERS)),
    schedule=st.sampled_from(sorted(SCHEDULES)),
    loss_of=st.sampled_from(sorted(LOSSES)),
    accumulate=st.booleans(),
    clip=st.booleans(),
    changes=st.lists(st.sampled_from(["", "", *CHANGES]), min_size=10, max_size=10),
    way=st.sampled_from(["step", "module"]),
)
def test_a_compiled_run_has_the_bits_of_an_eager_one(layers, channels, optimiser, schedule, loss_of, accumulate, clip, changes, way):
    found = []
    before = nc.config.threads, nc.config.winograd
    try:
        for compiled in ("", way):
            rng = np.random.default_rng(0)
            run = Run(network(layers, channels, 1), optimiser, schedule, loss_of, accumulate, clip, compiled)
            nc.manual_seed(5)
            states: list[Any] = []
            n = 6
            for i, change in enumerate(changes):
                for _ in range(2):
                    x, y = nc.tensor(rng.standard_normal((n, 3, 9, 9), dtype=np.float32)), nc.tensor(rng.integers(0, 4, n))
                    loss, scores = run.step(x, y)
                    states.append((loss.detach().numpy().tobytes(), loss.requires_grad, scores.numpy().tobytes(), run.state()))
                if run.schedule is not None:
                    run.schedule.step()
                run.change(change, i)
                n = 4 if change == "shape" else n
                nc.set_num_threads(1 if change == "threads" else None)
                nc.config.winograd = change != "config"
            found.append(states)
    finally:
        nc.set_num_threads(before[0])
        nc.config.winograd = before[1]
    for i, (eager, replayed) in enumerate(zip(*found)):
        assert eager[:3] == replayed[:3], i
        assert eager[3] == replayed[3], i


# -- what users write: kernels and loops of NumPy's, without Python in between ----------------------------------------------------------
def _written(x: nc.Tensor, t: nc.Tensor) -> nc.Tensor:
    z = nc.zeros(8, 4)
    z[:, 1:3] = t[:, 1:3]
    z[0] = 1.0
    z[nc.arange(2, 4)] = t[:2]
    return x * z


def _written_in_parts(x: nc.Tensor, t: nc.Tensor) -> nc.Tensor:
    y, z = x * 2, nc.zeros(8, 4)
    y[0] += t[0]
    y[1:][:, 0] *= 3
    z[:, 1] -= x[:, 2]
    return y * z


# of scores (8, 4), which have a gradient, labels, and targets (8, 4) from 0 to 1
OPERATIONS: dict[str, Callable[[nc.Tensor, nc.Tensor, nc.Tensor], nc.Tensor]] = {
    "weights of classes": lambda s, y, t: (F.cross_entropy(s, y, reduction="none") * t[0][y]).mean(),
    "nll_loss": lambda s, y, t: F.nll_loss(s.log_softmax(1), y),
    "mse_loss": lambda s, y, t: F.mse_loss(s, t),
    "logits": lambda s, y, t: F.binary_cross_entropy_with_logits(s, t),
    "absolute": lambda s, y, t: (s - t).abs().mean(),
    "probabilities": lambda s, y, t: F.binary_cross_entropy(s.sigmoid(), t),
    "ignored": lambda s, y, t: F.cross_entropy(s, y - (y == 1) * 101, label_smoothing=0.1) + F.nll_loss(s, y - (y == 2) * 102),
    "weighted": lambda s, y, t: F.cross_entropy(s, y, t[0], ignore_index=1, label_smoothing=0.1),
    "shares": lambda s, y, t: F.cross_entropy(s, t.softmax(1)) + F.kl_div(s.log_softmax(1), t),
    "smooth": lambda s, y, t: F.smooth_l1_loss(s, t) + F.huber_loss(s, t, delta=0.3),
    "angles": lambda s, y, t: F.triplet_margin_loss(s, t, t.flip(0)) + F.cosine_similarity(s, t).mean() + F.normalize(s).sum(),
    "activations": lambda s, y, t: (F.leaky_relu(s, 0.2) + F.elu(s, 0.5) + F.mish(s) + F.hardtanh(s) + F.softshrink(s)).mean(),
    "picked": lambda s, y, t: -s.log_softmax(1)[nc.arange(8), y].mean(),
    "guesses": lambda s, y, t: F.cross_entropy(s, t.argmax(1)),
    "a part of the labels": lambda s, y, t: F.cross_entropy(s[2:], y[2:]),
    "converted labels": lambda s, y, t: F.cross_entropy(s, y.int().long()),
    "one-hot": lambda s, y, t: F.mse_loss(s, nc.eye(4)[y]),
    "counted": lambda s, y, t: s.mean() * (s.argmax(1) == y).sum() * (s.argmin(0) == 1).float().mean(),
    "confident": lambda s, y, t: (F.cross_entropy(s, t.max(1).indices, reduction="none") * (t.max(1).values > 0.8).float()).mean(),
    "rows and columns": lambda s, y, t: (s + t[0] - t[:, :1] * s / (2.0 + t[:, 1:2])).mean(),
    "standardised": lambda s, y, t: ((s - s.mean(1, keepdim=True)) / (s.var(1, keepdim=True) + 1e-5).sqrt() * t).mean(),
    "standardised columns": lambda s, y, t: ((s - s.mean(0)) / (s.std(0) + 1e-5) * t).mean(),
    "masked": lambda s, y, t: (s * (t > 0.5).float()).mean(),
    "where": lambda s, y, t: (nc.where(t > 0.5, s, 0.0) + nc.where(t[:, :1] > 0.5, s, t) + nc.where(s > 0, s * 2.0, s)).mean(),
    "where across": lambda s, y, t: nc.where(t.T > 0.5, s.T, t.T).mean(),
    "clamp": lambda s, y, t: (s.clamp(-0.2, 0.2) * s.clamp(min=0.0)).sum(),
    "the larger": lambda s, y, t: (nc.maximum(s, t) * nc.minimum(s, 0.1)).sum(),
    "max": lambda s, y, t: s.max() + s.max(1).values.mean() + s.min(0).values.sum(),
    "sums": lambda s, y, t: (s.sum(0) * 2.0).mean() + s.mean(1).sum() + s.sum((0, 1)),
    "cat": lambda s, y, t: (nc.cat([s, t, s], 1) * nc.cat([t, s, s], 1)).mean(),
    "stack": lambda s, y, t: (nc.stack([s, t]).mean(0) * nc.stack([s, t], 2).sum(2)).sum(),
    "slices": lambda s, y, t: (s[:, 1:3] * s[:, ::2]).mean() + s[-1].sum() + s[:, 0].mean(),
    "rows": lambda s, y, t: s[y].mean() + (s[y - 8] * t[y.reshape(2, 4)].sum(0).mean()).sum(),
    "written": lambda s, y, t: _written(s, t).mean(),
    "written in parts": lambda s, y, t: _written_in_parts(s, t).mean(),
    "norm": lambda s, y, t: s.norm() + (s * s).sum().sqrt(),
    "mixed": lambda s, y, t: (t[0, 0] * s + (1 - t[0, 0]) * s.roll(1, 0)).flip(1).mean(),
    "powers": lambda s, y, t: (s**2 + s**3.0 + (s * s + 1) ** 0.5).mean(),
    "logarithms": lambda s, y, t: ((s.exp() + 1).log() + s.abs().log1p()).mean(),
    "targets": lambda s, y, t: -(s.log_softmax(1) * t.softmax(1)).sum(1).mean(),
    "turned": lambda s, y, t: ((s @ s.T).softmax(1).reshape(4, 2, 8).permute(2, 0, 1) ** 2).sum((0, 2)).mean(),
    "numbers": lambda s, y, t: (0.5 * s - t / 2 + 1 / (t + 1) - (1 - s)).mean(),
    "waves": lambda s, y, t: (s.sin() * t.cos() + s.tan() + s.atan2(t) + (s / 9).asin() + s.expm1() + s.exp2()).mean(),
    "rounded": lambda s, y, t: (s * (s * 9).round() + (t * 5).floor() + s.fmod(0.3) + s.sign() * s.trunc()).mean(),
    "named": lambda s, y, t: s.add(t, alpha=2).lerp(t, 0.3).addcmul(s, t, value=0.5).square().rsqrt().sub(t).mean(),
    "masks": lambda s, y, t: s.masked_fill((t > 0.5) | (s < 0) & ~(t < 0.1), -1.0).tril().mean() + s[(t > 0.5).all(1).long()].sum(),
    "gathered": lambda s, y, t: s.gather(1, y.unsqueeze(1)).mean() + t.scatter(1, y.unsqueeze(1), s).mean(),
    "scattered": lambda s, y, t: (t.scatter_add(1, y.unsqueeze(1), s) * s).mean() + (t.index_add(0, y, s) ** 2).mean(),
    "extremes": lambda s, y, t: (s.amax(1) * s.amin()).mean() + s.logsumexp(1).mean() + s.norm(dim=1).sum() + s.norm(3),
    "cut": lambda s, y, t: sum((a * b).mean() for a, b in zip(s.chunk(3), t.split(3))) + s.repeat(2, 1).mean() + s.unbind()[2].sum(),
    "products": lambda s, y, t: (
        (nc.einsum("ij,kj->ik", s, t) * s.mm(t.T)).mean() + s[0].outer(t[0]).mean() + s.tensordot(t, ([0], [0])).sum()
    ),
    "new": lambda s, y, t: (
        (s * (nc.linspace(0, 1, 4) + nc.full_like(t, 2.0) + s.new_ones(4))).mean() + s.unflatten(1, (2, -1)).amax((1, 2)).sum()
    ),
    "drawn": lambda s, y, t: (s * nc.rand_like(t)).mean() + (s * nc.zeros(8, 4).normal_()).mean() + s[nc.randperm(8)][0].sum(),
    "double": lambda s, y, t: (s.double() * t.double()).float().sum() + (y * 2 + 1).float().mean() * s.sum(),
}


BY_PYTHON: dict[str, Callable[[nc.Tensor, nc.Tensor, nc.Tensor], nc.Tensor]] = {
    "sorted": lambda s, y, t: (s.sort(1, descending=True).values * t).mean() + s.topk(2, 0).values.sum() + s.median(0).values.sum(),
    "running": lambda s, y, t: (s.cumsum(1) * t).mean() + s.cumprod(0).mean() + s.prod(1).sum(),
}
"""Operations of which a plan calls functions of NumPy's."""


@pytest.mark.parametrize("name", sorted(OPERATIONS | BY_PYTHON))
def test_an_operation_needs_no_python_and_has_the_bits_of_eager(name):
    def world(wrap):
        net, optimiser = nn.Linear(6, 4), None
        optimiser = nc.optim.SGD(net.parameters(), lr=0.1)

        @wrap
        def step(x, y, t):
            optimiser.zero_grad()
            loss = (OPERATIONS | BY_PYTHON)[name](net(x), y, t)
            loss.backward()
            optimiser.step()
            return loss

        def call(i):
            rng = np.random.default_rng(i)
            x, t = nc.tensor(rng.standard_normal((8, 6), dtype=np.float32)), nc.tensor(rng.random((8, 4), dtype=np.float32))
            return step(x, nc.tensor(rng.integers(0, 4, 8)), t)

        return call, net, step

    compiled = alike(world)
    assert replays(compiled) == 5, nc.explain(compiled)
    calls = [plan.calls for entry in compiled._entries.values() for plan in entry.plans]
    assert (calls == [0]) == (name in OPERATIONS), nc.explain(compiled)


BINARY = ("add", "sub", "mul", "truediv", "pow", "eq", "ne", "lt", "ge", "maximum", "minimum", "where")
REDUCED = ("sum", "mean", "var", "max", "min", "argmax", "argmin")


def _strange(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers among which are zeros of both signs, equal ones, infinities and NaNs; small ones where they are integers."""
    x = rng.standard_normal(shape) if dtype[0] == "f" else rng.integers(0, 5, shape)
    if dtype[0] == "f" and x.size:
        where = rng.random(shape)
        values = [0.0, 0.0, -0.0, -0.0, 1.0, 1.0, -1.0, -1.0, np.inf, -np.inf, np.nan]
        x[where < 0.5] = rng.choice(values, int((where < 0.5).sum()))
    return x.astype(dtype)


def _shown(x: nc.Tensor, order: tuple[int, ...], parts: tuple[int, ...]) -> nc.Tensor:
    """A view with its axes in another order, of every so-manieth place."""
    return x.permute(*order)[tuple(slice(None, None, part) for part in parts)]


@settings(max_examples=4 * DRAWS)
@given(
    name=st.sampled_from(BINARY + REDUCED),
    dtype=st.sampled_from(["float32", "float32", "float64", "int64"]),
    sizes=st.tuples(*[st.sampled_from([0, 1, 2, 3, 5, 9, 70])] * 3),
    orders=st.tuples(*[st.permutations(range(3))] * 2),
    parts=st.tuples(*[st.tuples(*[st.sampled_from([1, 1, 2])] * 3)] * 2),
    repeated=st.tuples(*[st.booleans()] * 3),
    number=st.sampled_from([None, None, None, 0.0, 2.0, -1.5]),
    axes=st.sets(st.integers(0, 2), min_size=1),
)
def test_functions_of_any_memory_have_the_bits_of_eager(name, dtype, sizes, orders, parts, repeated, number, axes):
    if dtype == "int64" and name in ("truediv", "pow", "mean", "var"):
        return

    def function(a: nc.Tensor, b: nc.Tensor) -> nc.Tensor:
        a, b = _shown(a, orders[0], parts[0]), _shown(b, orders[1], parts[1])
        if name in REDUCED:
            if name in ("sum", "mean", "var"):
                return getattr(a, name)(tuple(axes))
            if not all(a.shape):
                return a.sum()
            found = getattr(a, name)(min(axes))
            return found if name[:3] == "arg" else found.values
        for axis, one in enumerate(repeated):
            if one:
                b = b[(slice(None),) * axis + (slice(0, 1),)]
        other = b if number is None else number if dtype[0] == "f" else int(number)
        if name == "where":
            return nc.where(a > 0, a, other)
        return getattr(nc, name)(a, other) if hasattr(nc, name) else getattr(operator, name)(a, other)

    compiled = nc.compile(function)
    shapes = []
    for order, part in zip(orders, parts):
        shape = [0] * 3
        for axis, size, step in zip(order, sizes, part):
            shape[axis] = size * step
        shapes.append(tuple(shape))
    with nc.no_grad():
        for i in range(5):
            rng = np.random.default_rng(i)
            a, b = (nc.tensor(_strange(rng, shape, dtype)) for shape in shapes)
            expected, found = function(a, b).numpy(), compiled(a, b).numpy()
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert found.tobytes() == expected.tobytes(), i
    assert replays(compiled) == 2, nc.explain(compiled)


def test_python_makes_the_calls_of_a_numpy_with_other_ufuncs(monkeypatch):
    monkeypatch.setattr(loops, "_loop", lambda function, dtypes: None)
    compiled = nc.compile(lambda x, y: (x + y).max(0).values * 2.0)
    with nc.no_grad():
        for i in range(6):
            x, y = (nc.tensor(np.random.default_rng(i).standard_normal(shape, dtype=np.float32)) for shape in ((3, 4), (4,)))
            assert (compiled(x, y).numpy() == ((x + y).max(0).values * 2.0).numpy()).all()
    assert replays(compiled) == 3
    assert ", 4 of them by Python\n    numpy.add (3,4) (4,) (3,4) " in nc.explain(compiled)


@pytest.mark.parametrize(("name", "shape", "options"), [("lenet-modern", (1, 28, 28), {"clip_grad": 1.0}), ("resnet18", (3, 32, 32), {})])
@pytest.mark.parametrize("weighted", [False, True])
def test_fit_needs_no_python_within_a_step(name, shape, options, weighted, monkeypatch):
    made: list[Plan] = []
    make = Plan.__init__
    monkeypatch.setattr(Plan, "__init__", lambda self, *args: (make(self, *args), made.append(self))[0])
    rng = np.random.default_rng(0)
    data = rng.standard_normal((12, *shape), dtype=np.float32), np.arange(12) % 10
    metrics = {"top": lambda s, y: (s.max(1).values - s.mean(1)).mean(), "right": lambda s, y: (s.argmax(1) == y).float().mean()}
    more: dict[str, Any] = {"class_weight": "balanced", "metrics": metrics} if weighted else {}
    net = nc.models.get(name)(10, shape[0])
    nc.fit(net, data, epochs=2, batch_size=3, progress=False, **options, **more)
    assert [plan.calls for plan in made] == [0], "\n".join(made[0].lines())


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_has_a_plan(name: str) -> None:
    """Its rate, and the numbers that change from step to step, are read anew."""
    found = []
    for wrap in (lambda f: f, nc.compile):
        nc.manual_seed(3)
        net = nn.Linear(4, 3)
        optimiser = OPTIMISERS[name](net.parameters())
        step: Any = wrap(lambda x, y, net=net, optimiser=optimiser: train(net, optimiser, x, y))
        for i in range(8):
            optimiser.param_groups[0]["lr"] *= 1.0 if i < 6 else 0.5
            step(*batch(i))
        found.append(([np.asarray(p).tobytes() for p in net.parameters()], str(optimiser.state_dict())))
    assert found[0] == found[1]
    assert (plans(step), replays(step)) == (1, 5)


# -- traps: what could be captured, or told apart wrongly, or forgotten ----------------------------------------------------------------
def linear() -> tuple[nn.Linear, nc.optim.Optimizer]:
    nc.manual_seed(3)
    net = nn.Linear(4, 3)
    return net, nc.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def batch(i: int, n: int = 5) -> tuple[nc.Tensor, nc.Tensor]:
    rng = np.random.default_rng(i)
    return nc.tensor(rng.standard_normal((n, 4), dtype=np.float32)), nc.tensor(rng.integers(0, 3, n))


def train(net: Any, optimiser: Any, x: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
    optimiser.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    optimiser.step()
    return loss


def alike(world: Callable[[Callable[[Any], Any]], tuple[Callable[[int], Any], nn.Module, Any]], calls: int = 8) -> Any:
    """Run a world, which is made with ``nc.compile`` or without, so many steps both ways: equal bits; gives the compiled function."""
    found, function = [], None
    for wrap in (lambda f: f, nc.compile):
        nc.manual_seed(0)
        call, net, function = world(wrap)
        seen = []
        for i in range(calls):
            value = call(i)
            values = value if isinstance(value, tuple) else (value,)
            state = [np.asarray(t).tobytes() for t in net.state_dict().values()]
            grads = [None if p.grad is None else np.asarray(p.grad).tobytes() for p in net.parameters()]
            versions = [t._version.count for t in (*net.parameters(), *net.buffers())]
            seen.append(([None if v is None else np.asarray(v).tobytes() for v in values], state, grads, versions, str(nc.get_rng_state())))
        found.append(seen)
    for i, (eager, replayed) in enumerate(zip(*found)):
        assert eager == replayed, i
    return function


def test_a_step_is_replayed_from_the_fourth_call():
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    for i in range(6):
        step(*batch(i))
    assert (plans(step), replays(step)) == (1, 3)
    step(*batch(0, 2))  # another shape
    assert (plans(step), replays(step)) == (1, 3)


def test_numbers_in_a_closure_or_a_global_are_part_of_the_signature():
    scale = 1.0

    def world(wrap):
        nonlocal scale
        net, optimiser = linear()

        @wrap
        def step(x, y):
            optimiser.zero_grad()
            loss = F.cross_entropy(net(x), y) * scale * SCALE["value"]
            loss.backward()
            optimiser.step()
            return loss

        def call(i):
            nonlocal scale
            scale = 1.0 if i < 8 else 3.0
            SCALE["value"] = 1.0 if i < 4 else 2.0
            return step(*batch(i))

        return call, net, step

    assert replays(alike(world, 14)) > 0


SCALE = {"value": 1.0}


class Box:
    def __init__(self, value: Any) -> None:
        self.value = value


class Hidden:
    """An object whose attribute can't be looked at beforehand."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@pytest.mark.parametrize("kind", ["attribute", "method", "module", "helper", "default"])
def test_numbers_that_are_reached_by_name_are_looked_at(kind):
    def world(wrap):
        net, optimiser = linear()
        box = Box(1.0)

        class Scaled(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner, self.box, self.factors = net, box, [1.0]

            def forward(self, x):
                return self.inner(x) * self.factors[0]

        scaled = Scaled()

        class Trainer:
            def __init__(self):
                self.scale = 1.0

            def step(self, x, y):
                return loss_of(x, y, self.scale)

        def factor():
            return box.value

        def loss_of(x, y, scale=1.0):
            optimiser.zero_grad()
            loss = F.cross_entropy(scaled(x), y) * scale * (factor() if kind in ("helper", "attribute") else 1.0)
            loss.backward()
            optimiser.step()
            return loss

        trainer = Trainer()
        step = wrap(trainer.step if kind == "method" else loss_of)

        def call(i):
            if i == 6:
                box.value, trainer.scale, scaled.factors[0] = 2.0, 3.0, 4.0
                loss_of.__defaults__ = (5.0,)
            return step(*batch(i))

        return call, net, step

    assert replays(alike(world, 12)) > 0


@pytest.mark.parametrize("kind", ["closure", "list", "made of numbers", "numpy"])
def test_a_tensor_from_nowhere_has_no_plan(kind):
    net, _ = linear()
    x, y = batch(0)
    weight = nc.ones(5, 3)
    lists = [weight]

    def step(x, y):
        w = {"closure": lambda: weight, "list": lambda: lists[0], "made of numbers": lambda: nc.tensor([1.0, 2.0, 3.0])}.get(
            kind, lambda: 0
        )()
        scores = net(x) * (np.ones(3, np.float32) if kind == "numpy" else w)
        loss = F.cross_entropy(scores, y)
        loss.backward()
        return loss.detach()

    compiled = nc.compile(step)
    for _ in range(8):
        compiled(x, y)
    assert plans(compiled) == 0
    assert "made outside the step: pass it as an argument, in " in nc.explain(compiled)
    assert "test_plan.py:" in nc.explain(compiled)


def test_attributes_and_layers_of_modules_are_looked_at():
    def world(wrap):
        nc.manual_seed(1)
        net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))
        optimiser = nc.optim.SGD(net.parameters(), lr=0.1)
        step = wrap(lambda x, y: train(net, optimiser, x, y))

        def call(i):
            if i == 5:
                net[1].p = 0.1
            if i == 9:
                net[2] = nn.Tanh()
            if i == 13:
                net.eval()
            return step(*batch(i))

        return call, net, step

    assert replays(alike(world, 18)) >= 6


def test_lists_and_dictionaries_of_tensors_are_arguments():
    def world(wrap):
        net, optimiser = linear()

        @wrap
        def step(data, *, more):
            return train(net, optimiser, data["x"][0], more[0]), train(net, optimiser, data["x"][1], more[1])

        def call(i):
            (a, y), (b, z) = batch(i), batch(i + 100)
            return step({"x": [a, b]}, more=(y, z))

        return call, net, step

    assert replays(alike(world)) == 5


def test_other_objects_as_arguments_have_no_plan():
    net, optimiser = linear()
    step = nc.compile(lambda box, y: train(net, optimiser, box.value, y))
    for i in range(5):
        x, y = batch(i)
        step(Box(x), y)
    assert plans(step) == 0
    assert "an argument is a Box: pass Tensors" in nc.explain(step)


def test_numpy_arrays_are_arguments():
    def world(wrap):
        net, optimiser = linear()

        @wrap
        def step(x, y):
            return train(net, optimiser, nc.from_array(x), nc.from_array(y))

        def call(i):
            x, y = batch(i)
            return step(x.numpy(), y.numpy())

        return call, net, step

    assert replays(alike(world)) == 5


def test_the_layout_of_arguments_is_part_of_the_signature():
    seen = nc.compile(lambda x: x * 2.0 + 1.0)
    plain, turned = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(6, dtype=np.float32).reshape(3, 2).T
    backwards = np.arange(12, dtype=np.float32).reshape(2, 6)[:, ::-2]
    with nc.no_grad():
        for i in range(6):
            for x in (plain, turned, backwards):
                x[...] = np.arange(6).reshape(2, 3) + i
                np.testing.assert_array_equal(seen(nc.from_array(x)).numpy(), x * 2 + 1)
    assert len(seen._entries) == 3


def test_arguments_that_share_memory():
    """The same tensor twice is a signature of its own; a part of it has no plan."""

    def into(x, y):
        x.add_(1.0)
        return x * 2.0 + y

    compiled = nc.compile(into)
    for i in range(6):
        a, b = nc.full((3,), float(i)), nc.full((3,), 5.0)
        assert compiled(a, b).tolist() == [2 * (i + 1) + 5.0] * 3
        assert compiled(a, a).tolist() == [3.0 * (i + 2)] * 3
        assert a.tolist() == [i + 2.0] * 3
        long = nc.full((4,), float(i))
        assert compiled(long[:3], long[1:]).tolist() == into(nc.full((3,), float(i)), nc.tensor([i + 1.0, i + 1.0, i])).tolist()
    assert plans(compiled) == 2
    assert "two arguments share memory" in nc.explain(compiled)


def test_an_argument_that_shows_a_parameter_has_no_plan():
    net, _ = linear()

    def copy(x):
        with nc.no_grad():
            net.weight.copy_(x)
        return x * 1.0

    compiled = nc.compile(copy)
    flat = nc.from_array(np.arange(16, dtype=np.float32))
    for i in range(5):
        compiled(nc.full((3, 4), float(i)))
    net.weight.data = flat[:12].reshape(3, 4)
    for _ in range(3):
        compiled(nc.ones(3, 4))
    flat.numpy()[...] = np.arange(16)
    wanted = np.arange(4, 16).reshape(3, 4)
    compiled(flat[4:].reshape(3, 4))  # shifted, in the weight's own memory
    np.testing.assert_array_equal(net.weight.detach().numpy(), wanted)


def test_gradients_of_arguments_appear():
    def world(wrap):
        net, _ = linear()

        @wrap
        def step(x, y):
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            return loss.detach()

        def call(i):
            x, y = batch(i)
            x.requires_grad = i % 2 == 0
            net.zero_grad()
            loss = step(x, y)
            assert (x.grad is None) == bool(i % 2)
            return loss if x.grad is None else (loss, x.grad)

        return call, net, step

    assert replays(alike(world, 12)) == 6


def test_values_are_told_apart_by_type_and_bits():
    times = nc.compile(lambda x, k: x * k)
    x = nc.tensor([1, 2])
    for _ in range(5):
        for k, dtype in ((1, nc.int64), (1.0, nc.float32), (True, nc.int64)):
            assert times(x, k).dtype == dtype
    signs = nc.compile(lambda x, k: x * k)
    x = nc.tensor([1.0])
    for _ in range(5):
        assert [str(signs(x, k).item()) for k in (0.0, -0.0, float("nan"))] == ["0.0", "-0.0", "nan"]
    assert (len(times._entries), len(signs._entries)) == (3, 3)


def test_more_than_eight_signatures_run_eagerly():
    times = nc.compile(lambda x, k: x * k)
    for i in range(30):
        assert times(nc.ones(2), float(i)).tolist() == [i, i]
    assert len(times._entries) == 8
    assert "more than 8 signatures" in nc.explain(times)


def test_plans_of_many_kernels_are_dropped_the_least_recently_called_first(monkeypatch):
    def has_plans() -> list[bool]:
        return [bool(entry.plans) for entry in times._entries.values()]

    def call(k: float, count: int = 4) -> None:
        for _ in range(count):
            assert times(nc.ones(2), k).tolist() == [k + 1, k + 1]

    times = nc.compile(lambda x, k: x * k + 1)  # two kernels
    monkeypatch.setattr(deciding, "LIMIT", 4 * deciding.ROW)
    call(0.0)
    call(1.0)
    assert has_plans() == [True, True]
    call(0.0, 1)
    call(2.0)
    assert has_plans() == [True, False, True]
    call(1.0, 1)  # one recording
    assert has_plans() == [False, False, True]
    call(1.0, 3)
    assert has_plans() == [False, True, True]
    assert f"plans of {4 * deciding.ROW:,} bytes, of at most {4 * deciding.ROW:,}, that run in " in nc.explain(times)
    monkeypatch.setattr(deciding, "LIMIT", 1)
    call(3.0)
    assert has_plans() == [False, False, False, True]  # which is kept whatever it takes
    before = replays(times)
    for k in (0.0, 1.0) * 20:  # each drops the other
        call(k, 1)
    assert replays(times) == before


def test_a_retained_graph():
    def world(wrap):
        net, optimiser = linear()

        @wrap
        def step(x, y):
            optimiser.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward(retain_graph=True)
            loss.backward()
            optimiser.step()
            return loss.detach()

        return lambda i: step(*batch(i)), net, step

    assert replays(alike(world)) == 5


def test_nested_compiled_functions():
    def world(wrap):
        net, optimiser = linear()
        inner = wrap(lambda x: net(x) * 2.0)

        @wrap
        def step(x, y):
            optimiser.zero_grad()
            loss = F.cross_entropy(inner(x), y)
            loss.backward()
            optimiser.step()
            return loss

        return lambda i: step(*batch(i)), net, step

    assert replays(alike(world)) == 5


def test_several_compiled_functions_on_one_network():
    def world(wrap):
        net, optimiser = linear()
        step, look = wrap(lambda x, y: train(net, optimiser, x, y)), wrap(lambda x: net(x).softmax(1))

        def call(i):
            with nc.no_grad():
                before = look(batch(i)[0])
            return step(*batch(i)), before

        return call, net, step

    assert replays(alike(world)) == 5


class Square(nc.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class RecordableSquare(Square):
    recordable = True


@pytest.mark.parametrize("function", [Square, RecordableSquare])
def test_functions_of_the_users_own(function):
    def world(wrap):
        net, optimiser = linear()

        @wrap
        def step(x, y):
            optimiser.zero_grad()
            loss = F.cross_entropy(function.apply(net(x)), y)
            loss.backward()
            optimiser.step()
            return loss

        return lambda i: step(*batch(i)), net, step

    compiled = alike(world)
    assert replays(compiled) == (5 if function.recordable else 0)
    assert ("Square is a Function without `recordable = True`" in nc.explain(compiled)) == (not function.recordable)


@pytest.mark.parametrize("register", ["register_forward_hook", "register_full_backward_hook", "register_full_backward_pre_hook"])
def test_hooks_run_in_each_call(register):
    net, optimiser = linear()
    calls = []
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    for i in range(10):
        if i == 5:
            handle = getattr(net, register)(lambda *_: calls.append(1))
        if i == 9:
            assert "a hook of Linear is called" in nc.explain(step)
            handle.remove()
        step(*batch(i))
    assert len(calls) == 4


def test_packed_weights_are_never_old():
    """Of an evaluation: the weights change in between by every road there is."""
    nc.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 5))
    look = nc.compile(lambda x: net(x))
    x = nc.tensor(np.random.default_rng(0).standard_normal((20, 3, 8, 8), dtype=np.float32))
    optimiser = nc.optim.SGD(net.parameters(), lr=0.1)
    for i in range(40):
        with nc.inference_mode():
            found = look(x).numpy().copy()
            np.testing.assert_array_equal(found, net(x).numpy())
        if i % 8 == 3:
            net[0].weight.detach().numpy()[0] += 1
        if i % 8 == 4:
            with nc.no_grad():
                net[3].weight.mul_(0.5)
        if i % 8 == 5:
            net(x).sum().backward()
            optimiser.step()
        if i % 8 == 6:
            net.load_state_dict({name: np.asarray(t) * 0.9 for name, t in net.state_dict().items()})
        if i % 8 == 7:
            net[3].weight.data = net[3].weight.detach() * 1.1
    assert replays(look) > 10


def test_a_replay_writes_to_weights_that_another_mode_keeps_packed():
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    other, other_optimiser = linear()
    x = batch(50, 20)[0]
    for i in range(10):
        step(*batch(i))
        train(other, other_optimiser, *batch(i))
        with nc.inference_mode():
            for _ in range(2):
                np.testing.assert_array_equal(net(x).numpy(), other(x).numpy())
    assert replays(step) == 7


def test_moments_that_are_replaced_or_gone():
    def world(wrap):
        net, optimiser = linear()
        step = wrap(lambda x, y: train(net, optimiser, x, y))

        def call(i):
            if i == 5:
                optimiser.load_state_dict(optimiser.state_dict())
            if i == 8:
                optimiser.state.clear()
            if i == 12:
                optimiser.state[net.weight]["momentum_buffer"] = nc.ones(3, 4)
            if i == 16:
                optimiser.param_groups[0] = {**optimiser.param_groups[0], "lr": 0.01}
            if i == 20:
                optimiser.param_groups[0]["params"].pop()
            if i == 24:
                optimiser.add_param_group({"params": [net.bias], "lr": 1.0})
            return step(*batch(i))

        return call, net, step

    assert replays(alike(world, 30)) >= 6


@pytest.mark.parametrize("kind", ["schedule", "by hand"])
def test_rates_that_change_within_a_step_have_no_plan(kind):
    def world(wrap):
        net, optimiser = linear()
        schedule = nc.optim.StepLR(optimiser, 1, 0.9)

        @wrap
        def step(x, y):
            loss = train(net, optimiser, x, y)
            if kind == "schedule":
                schedule.step()
            else:
                optimiser.param_groups[0]["lr"] *= 0.9
            return loss

        return lambda i: step(*batch(i)), net, step

    assert plans(alike(world)) == 0


def test_every_rate_of_an_optimiser_may_change_between_steps():
    def world(wrap):
        nc.manual_seed(3)
        net = nn.Linear(4, 3)
        optimiser = nc.optim.AdamW(net.parameters(), lr=0.1)
        sgd = nc.optim.SGD([net.bias], lr=0.1)

        @wrap
        def step(x, y):
            optimiser.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimiser.step()
            sgd.step()
            return loss

        def call(i):
            group = optimiser.param_groups[0]
            group["lr"] *= 0.9
            group["betas"], group["eps"], group["weight_decay"] = (0.9 - 0.01 * i, 0.99 - 0.001 * i), 1e-8 * (i + 1), 0.01 * i
            sgd.param_groups[0].update(momentum=0.5 if i > 6 else 0.0, weight_decay=0.1 * i)
            return step(*batch(i))

        return call, net, step

    assert replays(alike(world, 12)) >= 5


def test_moving_averages_and_tied_weights():
    def world(wrap):
        nc.manual_seed(1)
        net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
        net[1].weight = net[0].weight
        average = [nc.nn.Parameter(p.detach().clone(), requires_grad=False) for p in net.parameters()]
        optimiser = nc.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        @wrap
        def step(x, y):
            loss = train(net, optimiser, x, y)
            with nc.no_grad():
                for a, p in zip(average, net.parameters()):
                    a.mul_(0.9).add_(p * 0.1)
            return loss

        return lambda i: (step(*batch(i)), *average), net, step

    assert replays(alike(world)) == 5


def test_a_moving_average_that_is_bound_anew_has_no_plan():
    net, optimiser = linear()
    averages = {"weight": net.weight.detach().clone()}

    def step(x, y):
        loss = train(net, optimiser, x, y)
        with nc.no_grad():
            averages["weight"] = 0.9 * averages["weight"] + 0.1 * net.weight
        return loss

    compiled = nc.compile(step)
    for i in range(8):
        compiled(*batch(i))
    assert plans(compiled) == 0


def test_what_is_kept_beyond_the_step_has_no_plan():
    net, optimiser = linear()
    kept = Hidden([])

    def step(x, y):
        loss = train(net, optimiser, x, y)
        kept.value.append(loss.detach())
        return loss

    compiled = nc.compile(step)
    for i in range(8):
        compiled(*batch(i))
    assert (plans(compiled), len(kept.value)) == (0, 8)
    assert "a tensor is kept beyond the step that was made in " in nc.explain(compiled)


def _gradient(w: nn.Parameter, x: nc.Tensor) -> nc.Tensor:
    w.grad = None
    (w * x).sum().backward()
    return w.grad


def _two_gradients(w: nn.Parameter, x: nc.Tensor) -> nc.Tensor:
    x.requires_grad_().grad = _gradient(w, x).detach()
    return x * 2.0


class Scaled(nc.Function):
    """Keeps both arguments for its backward."""

    recordable = True

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return w * grad, x * grad


def _saved(w: nn.Parameter, x: nc.Tensor) -> tuple[nc.Tensor, nc.Tensor]:
    return Scaled.apply(y := x * 2.0, w), y


IN_STEP = "a tensor is kept beyond the step that was made in "
RETURNED: dict[str, tuple[Callable[..., Any], str]] = {
    "a result": (lambda w, x, keep: keep(x * 2.0), IN_STEP),
    "one of two": (lambda w, x, keep: (x * 3.0, [keep(x * 2.0)]), IN_STEP),
    "one that comes twice": (lambda w, x, keep: (y := x * 2.0, keep(y)), IN_STEP),
    "a tuple": (lambda w, x, keep: keep((x * 2.0, x * 3.0)), IN_STEP),
    "a dictionary in a tuple": (lambda w, x, keep: (1.0, keep({"a": x, "b": x * 3.0})), IN_STEP),
    "another of its memory": (lambda w, x, keep: (y := x * 2.0, keep(y.detach()))[0], IN_STEP),
    "the base of a view": (lambda w, x, keep: keep(x * 2.0)[1:], IN_STEP),
    "its gradient's": (lambda w, x, keep: keep(_gradient(w, x).detach()), IN_STEP),
    "a gradient": (lambda w, x, keep: _gradient(w, x), IN_STEP),
    "a view of an argument": (lambda w, x, keep: keep(x[1:]), "a tensor is kept beyond the step that shows memory from outside"),
    "two gradients": (lambda w, x, keep: _two_gradients(w, x), "two gradients are set to the same memory"),
    "nobody's": (lambda w, x, keep: (y := x * 2.0, {"again": y, "in": [y, y * 2.0]}, y[1:]), ""),
    "one list twice": (lambda w, x, keep: (some := [x * 2.0], some), ""),
    "owners'": (lambda w, x, keep: (x, w, x[1:], x.reshape(2, 2), x * w, w.detach()[1:]), ""),
    "owners' in a list": (lambda w, x, keep: (x * w, keep([x, w])), "a tensor is kept beyond the step that shows memory from outside"),
    "what a gradient lies in": (lambda w, x, keep: _gradient(w, x).detach(), ""),
    "a part of that": (lambda w, x, keep: (_gradient(w, x).detach()[1:], w.grad.detach() * 2.0), ""),
    "a sum in a gradient": (lambda w, x, keep: ((w * x).sum().backward(), w.grad.detach())[1], ""),
    "with a way back": (lambda w, x, keep: (w * x).exp(), ""),
    "what the way back has": (lambda w, x, keep: _saved(w, x), ""),
    "a gradient on the way back": (lambda w, x, keep: w * _gradient(w, x).detach(), ""),
}


def returned_both_ways(name: str, tensor: Callable[[Any], nc.Tensor]) -> Any:
    """What a step returns, and what it leaves, eager and compiled; each result is kept by the caller, and half of them are written to."""
    function, reason = RETURNED[name]
    found = []
    for wrap in (lambda f: f, nc.compile):
        w = nn.Parameter(tensor([1.0, 2.0, 3.0, 4.0]))
        hidden = Hidden([])

        def keep(value, hidden=hidden):
            hidden.value.append(value)
            return value

        def step(x, w=w, keep=keep):
            return function(w, x, keep)

        step = wrap(step)
        kept, seen = [], []
        for i in range(5 if reason else 8):
            x = tensor([i, i + 1.0, -i, 0.5])
            value = step(x)
            results = _tensors(value)
            kept.append(results)
            if i % 2 and not results[0].requires_grad:
                results[0].mul_(2.0)
            if i % 3 == 2:  # of this call, and of one before
                for t in (results[0], kept[i - 1][0]):
                    if t._node is not None and t._node.op is not None:
                        t.sum().backward()
            same = [[a is b for b in results] for a in (*results, x, w, w.grad)]
            grad = None if w.grad is None else w.grad
            seen.append([np.array(t.detach()).tobytes() for t in (*results, x, w, *_tensors(grad))] + [same, len(hidden.value)])
        last = [np.array(t.detach()).tobytes() for results in (*kept, _tensors(hidden.value)) for t in results]
        found.append((seen, last))
        kept.clear()
    assert found[0] == found[1]
    return step, reason


def _tensors(value: Any) -> list[nc.Tensor]:
    if isinstance(value, dict):
        value = list(value.values())
    return [t for v in value for t in _tensors(v)] if isinstance(value, (tuple, list)) else [value] * isinstance(value, nc.Tensor)


@pytest.mark.parametrize(
    "name", [name if name in ("a result", "a gradient") else pytest.param(name, marks=pytest.mark.long) for name in RETURNED]
)
def test_what_is_returned_and_kept(name):
    """A plan is refused where somebody else has what is returned, who would wait for more; else each has his own."""
    step, reason = returned_both_ways(name, lambda values: nc.tensor(values, dtype="float32"))
    assert reason in nc.explain(step), nc.explain(step)
    assert (replays(step) > 3) == (not reason), nc.explain(step)


def test_a_gradient_that_somebody_holds_is_not_written_over():
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    held, values, arrays = [], [], []
    for i in range(10):
        step(*batch(i))
        if i % 3 == 0:
            held.append(net.weight.grad)
        elif i % 3 == 1:
            arrays.append(net.weight.grad.numpy()[1:])
        values.append(net.weight.grad.numpy().copy())
    assert replays(step) == 7
    for found, wanted in zip(held, values[::3]):
        np.testing.assert_array_equal(found.numpy(), wanted)
    for found, wanted in zip(arrays, values[1::3]):
        np.testing.assert_array_equal(found, wanted[1:])


def test_results_are_the_callers_own():
    net, optimiser = linear()

    def step(x, y):
        return train(net, optimiser, x, y), x, net.weight, None

    compiled = nc.compile(step)
    losses, values = [], []
    for i in range(8):
        x, y = batch(i)
        loss, same, weight, nothing = compiled(x, y)
        assert same is x and weight is net.weight and nothing is None
        losses.append(loss)
        values.append(loss.item())
    assert [loss.item() for loss in losses] == values
    assert replays(compiled) == 5
    with pytest.raises(RuntimeError, match="one that was freed"):
        loss.backward()


def test_labels_out_of_range_raise_as_ever_and_leave_what_eager_leaves():
    def world(wrap):
        nc.manual_seed(1)
        net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
        optimiser = nc.optim.Adam(net.parameters())
        step = wrap(lambda x, y: train(net, optimiser, x, y))

        def call(i):
            x, y = batch(i)
            if i in (5, 7):
                y.numpy()[2] = 3 if i == 5 else -1
                with pytest.raises(ValueError, match="labels between 0 and 2"):
                    step(x, y)
                return None
            return step(x, y)

        return call, net, step

    assert replays(alike(world, 10)) == 5


@pytest.mark.parametrize("kind", ["labels", "index", "slice", "several"])
def test_values_made_in_a_step_are_judged_where_eager_judges_them(kind):
    """The error is eager's, and what came before it is done: running statistics, the generator, gradients that are gone."""
    said: list[str] = []

    def world(wrap):
        nc.manual_seed(1)
        net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
        optimiser = nc.optim.Adam(net.parameters())

        @wrap
        def step(x, y):
            optimiser.zero_grad()
            scores = net(x)
            if kind == "labels":
                loss = F.cross_entropy(scores, y + 0)
            elif kind == "slice":
                loss = F.cross_entropy(scores[1:], (y * 1)[1:])
            elif kind == "index":
                loss = scores.T[y].mean()
            else:
                loss = scores[nc.arange(5), y].mean()
            loss.backward()
            optimiser.step()
            return loss

        def call(i):
            x, y = batch(i)
            if i in (5, 7):
                y.numpy()[2] = 3 if i == 5 else -4
                with pytest.raises(ValueError if kind in ("labels", "slice") else IndexError) as found:
                    step(x, y)
                said.append(str(found.value))
                return None
            return step(x, y)

        return call, net, step

    assert replays(alike(world, 10)) == 7
    assert said[:2] == said[2:]


def test_values_that_are_judged_too_late_have_no_plan():
    net, optimiser = linear()

    def twice(x, y):
        train(net, optimiser, x, y)
        return F.cross_entropy(net(x), y + 0).detach()

    def dropped(x, y):
        return F.cross_entropy(net(x), y + 0).detach() * F.dropout(x, 0.5).sum()

    for function, reason in (
        (twice, "values are judged behind a backward, which would have to be undone"),
        (dropped, "values are judged before random numbers are drawn, which would have to be put back"),
    ):
        compiled = nc.compile(function)
        for i in range(5):
            with nc.no_grad() if function is dropped else contextlib.nullcontext():
                compiled(*batch(i))
        assert plans(compiled) == 0
        assert reason in nc.explain(compiled)


@pytest.mark.parametrize("index", ["mask", "mixed", "list", "number"])
def test_indices_that_have_no_plan(index):
    def pick(x, y):
        return {"mask": lambda: x[x > 0], "mixed": lambda: x[:, y], "list": lambda: x[[0, 2]], "number": lambda: blank(x, y.max())}[index]()

    def blank(x, k):
        x = x * 1
        x[k].fill_(0)
        return x

    compiled = nc.compile(pick)
    for i in range(5):
        x = batch(i)[0]
        y = nc.tensor([1, 0])
        assert compiled(x, y).tolist() == pick(x, y).tolist()
    reason = {
        "mask": "values are read",
        "mixed": "an index holds a mask, or arrays beside slices or numbers",
        "list": "a tensor or array is used that was made outside the step: pass it as an argument",
        "number": "an index is a Tensor of one number, which Python reads",
    }[index]
    assert plans(compiled) == 0
    assert reason in nc.explain(compiled)


def test_a_view_from_outside_gets_no_history_in_a_plan():
    def world(wrap):
        net = nn.Linear(2, 1, bias=False)

        @wrap
        def step(v):
            v += net.weight[0]
            return (v * v).sum()

        def call(i):
            y = batch(i)[0][:3, :2] * 2
            loss = step(y[0])
            (loss + y.sum()).backward()
            return loss

        return call, net, step

    step = alike(world, 6)
    assert plans(step) == 0 and "a tensor from outside gets a history" in nc.explain(step)


def test_a_function_of_numpys_reads_values():
    compiled = nc.compile(lambda x: np.exp(x) * 2)
    for i in range(5):
        x = batch(i)[0]
        assert compiled(x).tolist() == (np.exp(x) * 2).tolist()
    assert plans(compiled) == 0 and "values are read" in nc.explain(compiled)


def test_windows_of_unequal_sizes_are_replayed():
    """Their places are an index that never changes."""

    def world(wrap):
        x = nn.Parameter(nc.ones(2, 3, 7, 8))
        step = wrap(lambda w, x=x: F.adaptive_max_pool2d(x * w, (3, 5)).sum().backward())
        holder = nn.ParameterList([x])
        return (lambda i: step(nc.tensor(np.random.default_rng(i).integers(-3, 4, (2, 3, 7, 8)).astype(np.float32)))), holder, step

    step = alike(world, 6)
    assert replays(step) == 3, nc.explain(step)


def test_inputs_are_written_to():
    def scale(x):
        x.mul_(2.0)
        x[0] = 7.0
        return x.sum()

    compiled = nc.compile(scale)
    with nc.no_grad():
        for i in range(6):
            x = nc.full((3,), float(i))
            version = x._version.count
            assert compiled(x).item() == 7.0 + 4 * i
            assert (x.tolist(), x._version.count - version) == ([7.0, 2.0 * i, 2.0 * i], 2)
    assert replays(compiled) == 3


@pytest.mark.parametrize("draw", [lambda: np.random.rand(), lambda: random.random()])
def test_random_numbers_of_others_have_no_plan(draw):
    noisy = nc.compile(lambda x: x * float(draw()))
    found = {noisy(nc.ones(1)).item() for _ in range(8)}
    assert (len(found), plans(noisy)) == (8, 0)


def test_random_numbers_of_the_library_are_drawn_anew():
    def world(wrap):
        net, optimiser = linear()

        @wrap
        def step(x, y):
            return train(net, optimiser, F.dropout(x, 0.3, True) + nc.rand(5, 4) * nc.randn(4), y)

        return lambda i: step(*batch(i)), net, step

    assert replays(alike(world)) == 5


@pytest.mark.parametrize("read", [
    lambda x: x.item(), lambda x: bool(x > 0), lambda x: x.tolist(), lambda x: float(x), lambda x: repr(x), lambda x: np.asarray(x),
    lambda x: x.numpy(), lambda x: x.reshape(1)[x.reshape(1) > 0], lambda x: f"{x}",
])  # fmt: skip
def test_values_that_are_read_have_no_plan(read):
    def world(wrap):
        net, optimiser = linear()

        @wrap
        def step(x, y):
            loss = train(net, optimiser, x, y)
            read(loss.detach())
            return loss

        return lambda i: step(*batch(i)), net, step

    compiled = alike(world)
    assert plans(compiled) == 0
    assert " read, in " in nc.explain(compiled) or "made outside" in nc.explain(compiled)


@pytest.mark.parametrize("kind", ["step", "look", "momentum"])
def test_a_rate_that_is_returned_has_no_plan(kind):
    net, optimiser = linear()
    functions = {
        "step": lambda x, y: (train(net, optimiser, x, y), optimiser.param_groups[0]["lr"])[1],
        "look": lambda x, y: (net(x), optimiser.param_groups[0]["lr"])[1],
        "momentum": lambda x, y: [net(x).detach(), (1, optimiser.param_groups[0]["momentum"])][1][1],
    }
    compiled = nc.compile(functions[kind])
    for i in range(12):
        if i >= 6:
            optimiser.param_groups[0].update(lr=0.2, momentum=0.7)
        assert compiled(*batch(i)) == optimiser.param_groups[0]["momentum" if kind == "momentum" else "lr"]
    assert "it returns a number that an optimiser or a schedule may change" in nc.explain(compiled)


@pytest.mark.parametrize(
    "use", [lambda loss, rate: rate, lambda loss, rate: loss * rate, lambda loss, rate: loss if rate > 0.05 else -loss]
)
def test_a_rate_that_a_schedule_gives_has_no_plan(use):
    net, optimiser = linear()
    schedule = nc.optim.StepLR(optimiser, 1, 0.5)
    compiled = nc.compile(lambda x, y: use(F.cross_entropy(net(x), y).detach(), schedule.get_last_lr()[0]))
    for i in range(12):
        if i >= 6:
            schedule.step()
        assert float(compiled(*batch(i))) == float(compiled.function(*batch(i)))
    assert "a rate is read, which may change" in nc.explain(compiled)


def test_attributes_of_a_parameter_have_no_plan():
    net, _ = linear()
    net.weight.scale = 3.0
    look = nc.compile(lambda x: net(x) * net.weight.scale)
    for i in range(10):
        net.weight.scale = 3.0 + i // 5
        assert (look(batch(i)[0]) == net(batch(i)[0]) * net.weight.scale).all()
    assert "a parameter has attributes, which may change" in nc.explain(look)


def test_numbers_and_text_are_returned_as_they_are():
    look = nc.compile(lambda x, k: {"scores": x * 2.0, "k": k, "all": (1, 2.5, True, "name", None, -0.0)})
    for i in range(12):
        found = look(nc.full((2,), float(i)), i % 2)
        assert found["scores"].tolist() == [2.0 * i] * 2 and found["k"] == i % 2
        assert str(found["all"]) == "(1, 2.5, True, 'name', None, -0.0)"
    assert replays(look) == 6
    times = nc.compile(lambda x: complex(1, 2))
    for _ in range(4):
        times(nc.ones(1))
    assert "it returns a complex; only Tensors, numbers, text, None and tuples" in nc.explain(times)


def test_a_global_that_is_assigned_has_no_plan():
    count = 0

    def step(x):
        nonlocal count
        count += 1
        return x * 2.0

    compiled = nc.compile(step)
    for _ in range(8):
        compiled(nc.ones(2))
    assert (count, plans(compiled)) == (8, 0)
    assert "count is changed" in nc.explain(compiled)


def test_what_can_not_be_seen_is_found_by_comparing_again():
    """Then the function is eager, with other signatures too."""
    box = Hidden(1.0)
    times = nc.compile(lambda x: x * box.value)
    for _ in range(5):
        times(nc.ones(2))
        times(nc.ones(3))
    box.value = 2.0
    text = r"does not do the same in each call: its calls differ in .*test_plan.py:\d+; earlier calls may"
    with pytest.warns(RuntimeWarning, match=text) as warned:
        for _ in range(12):
            found = times(nc.ones(2))
    assert found.tolist() == [2.0, 2.0] and [w.filename for w in warned] == [__file__]
    assert plans(times) == 0
    for size in (3, 4) * 12:
        assert times(nc.ones(size)).tolist() == [2.0] * size
    assert plans(times) == 0 and "runs eagerly: it does not do the same in each call: its calls differ in " in nc.explain(times)


def test_a_step_is_compared_again_after_10_100_and_1000_replays():
    double = nc.compile(lambda x: x * 2.0)
    x, when, before = nc.ones(2), [], structure.recordings
    for i in range(1110):
        double(x)
        if structure.recordings != before:
            when, before = [*when, i], structure.recordings
    assert when == [1, 2, 12, 102, 1002]


def test_lazy_layers():
    def world(wrap):
        net = nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(3))
        optimiser = nc.optim.SGD(net.parameters(), lr=0.1)
        step = wrap(lambda x, y: train(net, optimiser, x, y))
        return lambda i: step(*batch(i)), net, step

    assert replays(alike(world)) == 5


def test_the_switches(monkeypatch):
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    monkeypatch.setattr(nc.config, "compile", False)
    for i in range(6):
        step(*batch(i))
    assert len(step._entries) == 0

    def plain(x):
        return x

    assert nc.compile(plain, disable=True) is plain
    strict = nc.compile(fullgraph=True)(lambda x: x.item())
    monkeypatch.setattr(nc.config, "compile", True)
    with pytest.raises(RuntimeError, match=r"\[compile\] expected a function of which there is a plan; received a value is read, in "):
        for _ in range(10):
            strict(nc.ones(1))


REFUSED = [
    ({"backend": "eager"}, ValueError, "[compile] expected backend as 'numbacnn' or 'inductor'; received 'eager'."),
    ({"mode": "fast"}, ValueError, "[compile] expected mode as "),
    ({"mode": "default", "options": {}}, RuntimeError, "[compile] expected mode or options; received both."),
    ({"fullgraph": "yes"}, TypeError, "[compile] expected fullgraph as True or False; received "),
]


@pytest.mark.parametrize("options, error, text", REFUSED)
def test_arguments_are_judged(options, error, text):
    with pytest.raises(error) as found:
        nc.compile(lambda x: x, **options)
    assert str(found.value).startswith(text)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError) as found:
        nc.compile(3)
    assert str(found.value) == "[compile] expected a function or a Module; received 3."
    with pytest.raises(TypeError) as found:
        nc.explain(len)
    assert str(found.value).startswith("[explain] expected what nc.compile gave; received ")


def test_a_module_is_compiled_in_place():
    nc.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    keys = list(net.state_dict())
    assert nc.compile(net) is net
    x = nc.tensor(np.random.default_rng(0).standard_normal((2, 1, 8, 8), dtype=np.float32))
    with nc.no_grad():
        wanted = net.forward(x).numpy().copy()
        for _ in range(6):
            np.testing.assert_array_equal(net(x).numpy(), wanted)
    compiled = net.__dict__["_compiled"]
    assert replays(compiled) == 3
    assert list(net.state_dict()) == keys and isinstance(net[0], nn.Conv2d)
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert plans(copied.__dict__["_compiled"]) == 0
        with nc.no_grad():
            copied[4].bias.add_(1.0)
            for _ in range(5):
                np.testing.assert_array_equal(copied(x).numpy(), copied.forward(x).numpy())
    assert "numpy" not in nc.explain(net)


def test_threads_share_a_compiled_function():
    nc.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3)).eval()
    look = nc.compile(lambda x: net(x))
    inputs = [batch(i)[0] for i in range(8)]
    with nc.inference_mode():
        wanted = [net(x).numpy().copy() for x in inputs]
        for _ in range(4):
            look(inputs[0])

    def work(k):
        with nc.inference_mode():
            return all((look(inputs[k]).numpy() == wanted[k]).all() for _ in range(50))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert replays(look) > 20  # while one thread records, others run eagerly


STEPS = int(os.environ.get("NUMBACNN_PLAN_STEPS", "2000"))


def _own_memory() -> int:
    """Bytes of memory that this process wrote; 0 where the system does not say. Pages of files, such as libraries, come and go with what
    other processes do."""
    try:
        with open("/proc/self/statm") as file:
            _, resident, of_files, *_ = map(int, file.read().split())
            return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def growth() -> tuple[int, int, int]:
    """Replayed calls, and bytes by which this process and Python's objects grew in so many steps."""
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    data = [batch(i) for i in range(5)]

    def run(steps: int) -> None:
        for i in range(steps):
            step(*data[i % 5])
        gc.collect()

    run(200)
    before, replayed = _own_memory(), replays(step)
    run(STEPS)
    grown, replayed = _own_memory() - before, replays(step) - replayed
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    run(2000)
    return replayed, grown, tracemalloc.get_traced_memory()[0] - before


def test_memory_does_not_grow():
    """In a process of its own, without large arrays: Linux makes huge pages of their memory when it has time, and a process grows by up to
    2 MB each time, though nobody asked for memory."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        replayed, grown, traced = alone.submit(growth).result()
    assert replayed == STEPS
    assert grown <= 1 << 20
    assert traced < 20_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc, which Windows and macOS lack")
def test_memory_that_nobody_keeps_goes_back_to_the_system():
    """The C library kept what lay between blocks in use, and a plan's memory came on top of it."""
    nc.ones(1)  # loads the backend
    blocks = [np.ones(100_000, np.uint8) for _ in range(600)]
    del blocks[::2], blocks[1::2], blocks[::2]
    before = _own_memory()
    nc.empty_cache()
    assert before - _own_memory() > 20_000_000 and len(blocks) < 100


def test_memory_of_plans_that_none_runs_in_is_given_back():
    net = deep()
    net.compile()

    def gradients():
        net.zero_grad()
        nc.manual_seed(0)
        net(inputs(1)).sum().backward()
        return [p.grad.tolist() for p in net.parameters()]

    wanted = [gradients() for _ in range(5)]
    arena, waiting = net._compiled._arena, net(inputs(4))
    held = arena.size
    with arena.lock:  # of a replay
        nc.empty_cache()
    assert arena.size == held > 1000
    nc.empty_cache()
    assert arena.size == held  # all of it is the result's
    waiting.sum().backward()
    del waiting
    gc.collect()
    nc.empty_cache()
    assert arena.size < 1000
    assert [gradients() for _ in range(5)] == wanted and replays(net) == 8


def test_a_plan_takes_no_more_memory_than_eager():
    """Recordings kept all that their steps had made, plans took what recordings had, and large gradients lay in memory twice."""

    def world() -> Any:
        nc.manual_seed(0)
        layers = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)]
        net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 225, 60), nn.ReLU(), nn.Linear(60, 3))
        optimiser = nc.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        return lambda x, y: train(net, optimiser, x, y)

    x, y = nc.rand(16, 3, 32, 32), batch(0, 16)[1]
    peaks: list[list[int]] = []
    for wrap in (lambda f: f, nc.compile):
        wrap(world())(x, y)  # what is made once
        gc.collect()
        nc.empty_cache()
        tracemalloc.start()
        try:
            step = wrap(world())
            peaks.append([])
            for _ in range(7):
                tracemalloc.reset_peak()
                step(x, y)
                peaks[-1].append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    eager, compiled = max(peaks[0]), peaks[1]
    assert max(compiled[1:3]) < 1.1 * eager  # recordings
    assert max(compiled[4:]) < 1.1 * eager
    assert replays(step) == 4


def test_a_compiled_function_lets_the_network_go():
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    for i in range(5):
        step(*batch(i))
    gone = weakref.ref(net.weight)
    net = optimiser = step = None  # type: ignore[assignment]
    gc.collect()
    assert gone() is None


# -- networks that only answer ---------------------------------------------------------------------------------------------------------
def learnt(net: nn.Module, x: nc.Tensor) -> nn.Module:
    """With running statistics that are not those of the beginning."""
    net.train()
    with nc.no_grad():
        for _ in range(3):
            net(x * 2.0 + 1.0)
    return net.eval()


@pytest.mark.parametrize("name, shape", [("resnet18", (2, 3, 32, 32)), ("small-resnet", (2, 1, 20, 20)), ("lenet-modern", (3, 1, 28, 28))])
def test_a_network_that_is_optimised_for_inference(name, shape):
    nc.manual_seed(0)
    x = nc.tensor(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    net = learnt(nc.models.get(name)(10, shape[1]), x)
    before = {key: np.array(t) for key, t in net.state_dict().items()}
    fast = nc.optimize_for_inference(net, x)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fast.modules())
    with nc.inference_mode():
        wanted, found = net(x).numpy(), [fast(x).numpy().copy() for _ in range(5)]
    np.testing.assert_allclose(found[0], wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    assert all((f == found[0]).all() for f in found)
    assert (0 < fast.deviation < 1e-5) if "resnet" in name else fast.deviation == 0
    assert replays(fast.__dict__["_compiled"]) == 2
    assert all((np.array(t) == before[key]).all() for key, t in net.state_dict().items())


@pytest.mark.parametrize("name, size", [("lenet", 28), ("small_resnet", 32), ("resnet18", 32)])
def test_a_network_is_optimised_without_an_example(name, size):
    """To the same copy, which does not say how far it is off."""
    nc.manual_seed(0)
    x = nc.rand(2, 3, size, size)
    net = learnt(nc.models.get(name)(10, 3), x)
    fast, wanted = nc.optimize_for_inference(net), nc.optimize_for_inference(net, x)
    assert fast.deviation is None and not any(isinstance(m, nn.BatchNorm2d) for m in fast.modules())
    with nc.inference_mode():
        np.testing.assert_array_equal(fast(x).numpy(), wanted(x).numpy())
    assert "_compiled" in fast.__dict__


def test_a_network_that_takes_no_picture_wants_an_example():
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2 * 39 * 39, 2))
    text = (
        "[optimize_for_inference] expected an example, for the network takes no picture of 3 channels and one of the usual sizes; "
        "received None; pass an input of the network."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        nc.optimize_for_inference(net)
    assert len(nc.optimize_for_inference(net, nc.rand(1, 3, 41, 41))) == 3


def test_an_optimised_network_is_read_only():
    x = nc.ones(1, 1, 6, 6)
    fast = nc.optimize_for_inference(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 2)), x)
    wanted = fast(x).tolist()
    text = r"expected a parameter that can be written to; received one of a network that was optimised for inference; write to the network"
    for write in (
        lambda: fast[0].weight.zero_(),
        lambda: fast[0].weight.add_(1.0),
        lambda: fast.load_state_dict({name: np.asarray(t) for name, t in fast.state_dict().items()}),
        lambda: setattr(fast[0].weight, "data", nc.zeros(2, 1, 3, 3)),
    ):
        with nc.no_grad(), pytest.raises(RuntimeError, match=text):
            write()
    with pytest.raises(ValueError, match="read-only"):
        fast[0].weight.numpy()[...] = 0
    fast[0].weight.data.zero_()
    assert fast(x).tolist() == wanted


@pytest.mark.parametrize("compile", [False, True])
def test_an_optimised_network_answers_wherever_a_network_does(compile, tmp_path):
    """Arrays, a folder of pictures, and one picture at a time; many batches, so that calls are replayed."""
    image = pytest.importorskip("PIL.Image", reason='needs pillow: pip install "numbacnn[demo]"')
    nc.manual_seed(0)
    rng = np.random.default_rng(0)
    for name in ("ape", "bee"):
        (tmp_path / name).mkdir()
        for i in range(12):
            image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(tmp_path / name / f"{i}.png")
    pictures, _ = nc.data.pictures(tmp_path, 12, 3)
    X = pictures.images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    net = learnt(nc.models.small_resnet(2), nc.tensor(X))
    fast = nc.optimize_for_inference(net, nc.tensor(X[:1]))
    for data in (X, pictures):
        wanted = nc.predict(net, data, batch_size=2)
        found = nc.predict(fast, data, batch_size=2, compile=compile)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert nc.evaluate(fast, pictures, batch_size=2, compile=compile).loss == pytest.approx(nc.evaluate(net, pictures).loss, rel=1e-4)
    predictor = nc.Predictor.of(fast, pictures.classes, nc.checkpoint.Preprocessing.of(pictures))
    answers = [predictor(picture) for picture in [*pictures.images[:6], tmp_path / "ape" / "0.png"]]
    np.testing.assert_allclose([a.probabilities for a in answers[:6]], nc.predict(net, pictures)[:6], atol=1e-5)
    assert answers[6].classes == ("ape", "bee") and replays(predictor.network.__dict__["_compiled"]) > 0
    with pytest.raises(RuntimeError, match="optimised for inference"):
        predictor.network[-1].weight.zero_()


def test_layers_that_are_used_otherwise_are_not_folded():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.twice = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y + self.norm(self.twice(y))

    fast = nc.optimize_for_inference(Both(), nc.rand(1, 1, 6, 6))
    assert isinstance(fast.norm, nn.BatchNorm2d)
    assert fast.deviation == 0


def test_a_convolution_and_a_batch_normalisation_as_one():
    conv, norm = nn.Conv2d(2, 4, 3, groups=2).eval(), nn.BatchNorm2d(4)
    x = nc.rand(2, 2, 7, 7)
    learnt(nn.Sequential(conv, norm), x)
    fused = nn.utils.fuse_conv_bn_eval(conv, norm)
    with nc.no_grad():
        np.testing.assert_allclose(fused(x).numpy(), norm(conv(x)).numpy(), rtol=1e-4, atol=1e-5)
    for wrong, error, text in (
        (lambda: (conv.train(), norm), ValueError, "expected layers in evaluation mode; received training mode; call eval()."),
        (lambda: (conv.eval(), nn.BatchNorm2d(3).eval()), nc.ShapeError, "expected 4 channels, as the convolution gives; received 3."),
        (
            lambda: (conv, nn.BatchNorm2d(4, track_running_stats=False).eval()),
            ValueError,
            "expected a batch normalisation with running statistics",
        ),
        (lambda: (conv, conv), TypeError, "expected a Conv2d and a BatchNorm2d; received Conv2d and Conv2d."),
    ):
        with pytest.raises(error) as found:
            nn.utils.fuse_conv_bn_eval(*wrong())
        assert str(found.value).startswith(f"[fuse_conv_bn_eval] {text}")


# -- networks in training, whose backward somebody else starts ---------------------------------------------------------------------------
def deep(seed: int = 0) -> nn.Sequential:
    """With statistics, draws, and values that the way back reads."""
    nc.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3), nn.Tanh())


def inputs(i: int, n: int = 5) -> nc.Tensor:
    return batch(i, n)[0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0,), (1,)])
def test_two_results_await_their_backward(order):
    """Each has memory of its own; one may never be used."""

    def world(wrap):
        net = wrap(deep())
        optimiser = nc.optim.SGD(net.parameters(), lr=0.1)

        def call(i):
            results = net(inputs(i)), net(inputs(i + 50))
            if i % 3:
                optimiser.zero_grad()
            for k in order:
                (results[k] * float(k + 2)).sum().backward()
            optimiser.step()
            return tuple(r.detach() for r in results)

        return call, net, net

    assert replays(alike(world)) == 13


def test_arguments_that_lie_backwards_in_memory():
    double = nc.compile(lambda x: x * 2.0)
    for i in range(5):
        values = np.arange(4, dtype=np.float32) + 10 * i
        assert double(nc.from_array(values[::-1])).tolist() == (values[::-1] * 2).tolist()
    assert replays(double) == 2


def test_more_results_than_there_is_memory_for():
    def world(wrap):
        net = wrap(deep())

        def call(i):
            results = [net(inputs(k)) for k in range(i % 8)]
            sum([r.mean() for r in results], nc.zeros(1, requires_grad=True)).sum().backward()
            return None

        return call, net, net

    net = alike(world, 16)
    assert 30 < replays(net) < 50  # the fifth and later ones run eagerly
    assert len(net.__dict__["_compiled"]._arena._rooms["cpu"]) == 5
    assert "runs eagerly: more than 4 results wait for their backward" in nc.explain(net)


def test_a_function_may_go_back_from_what_it_has_returned_before():
    """Where too many of its results wait it runs eagerly, and nobody keeps it from that."""
    found = []
    for wrap in (lambda f: f, nc.compile):
        net, before = deep(), Hidden([])

        def step(x, net=net, before=before):
            if before.value:
                before.value.pop().sum().backward()
            return net(x)

        look = wrap(step)
        results = [look(inputs(i)) for i in range(9)]
        before.value.append(results[5])
        results.append(look(inputs(9)))
        found.append([net[0].weight.grad.tolist(), [r.tolist() for r in results]])
    assert replays(look) == 4
    assert found[0] == found[1]


def test_results_that_are_dropped_give_their_memory_back():
    net = deep()
    net.compile()
    for i in range(4):
        net(inputs(i)).sum().backward()
    for i in range(10):
        net(inputs(i))
    kept = [net(inputs(i)) for i in range(4)]
    assert replays(net) == 15
    net(inputs(0))
    assert replays(net) == 15
    del kept[0]
    net(inputs(0))
    assert replays(net) == 16
    gone = weakref.ref(kept[0]._node.op.room)
    kept[0].sum().backward()
    assert gone() is not None and kept[0]._node.op is None  # the arena's again
    net(inputs(0))
    assert replays(net) == 17


ACTIONS = st.tuples(
    st.sampled_from(["call", "call", "call", "back", "back", "again", "drop", "step", "write", "data", "freeze"]), st.integers(0, 3)
)


@settings(max_examples=DRAWS // 2 + 1)
@given(layers=st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=3), actions=st.lists(ACTIONS, min_size=10, max_size=40))
def test_results_await_and_go_back_in_any_order(layers, actions):
    """Some are dropped, some go back twice, and weights change meanwhile: values, gradients and errors are those of eager."""
    network(layers, 4, 1)(nc.ones(3, 3, 9, 9)).sum().backward()  # compiled while a call is recorded, a kernel takes several times as long
    found = []
    for compiled in (False, True):
        net = network(layers, 4, 1)
        optimiser = nc.optim.SGD(net.parameters(), lr=0.01)
        if compiled:
            net.compile()
        nc.manual_seed(5)
        rng, waiting, seen = np.random.default_rng(0), [], []
        for name, k in actions * 2:
            i = k % max(len(waiting), 1)
            if name == "call":
                x = nc.tensor(rng.standard_normal((3 + k % 2, 3, 9, 9), dtype=np.float32), requires_grad=k > 1)
                waiting.append((x, net(x)))
                seen.append(waiting[-1][1].detach().numpy().tobytes())
            elif name in ("back", "again") and waiting:
                x, y = waiting[i] if name == "again" else waiting.pop(i)
                try:
                    (y * y).sum().backward(retain_graph=name == "again")
                    seen += [None if t.grad is None else t.grad.numpy().tobytes() for t in (x, *net.parameters())]
                except RuntimeError as error:
                    seen.append(str(error).partition(" received ")[2])
                    net.zero_grad()  # eager may have left some
                    x.grad = None
                del x, y
            elif name == "drop" and waiting:
                del waiting[i]
            elif name == "step":
                optimiser.step()
                optimiser.zero_grad(set_to_none=k > 1)
            elif name == "write" and waiting:
                with nc.no_grad():
                    waiting[i][k % 2].mul_(0.5)
            elif name == "data":
                net[0].weight.data = net[0].weight.detach() * 0.9
            elif name == "freeze":
                net[0].requires_grad_(k > 1)
        found.append(([*seen, str(nc.get_rng_state())], [np.asarray(t).tobytes() for t in net.state_dict().values()]))
    assert found[0] == found[1]


def raised(function: Callable[[], Any]) -> str:
    with pytest.raises(RuntimeError) as found:
        function()
    return str(found.value)


def test_a_backward_twice_and_a_retained_graph():
    def world(wrap):
        net = wrap(deep())

        def call(i):
            loss = net(inputs(i)).sum()
            loss.backward(retain_graph=True)
            loss.backward()
            seen = raised(loss.backward)
            assert seen == raised(loss.backward) and "a graph that was not walked yet; received one that was freed" in seen
            return loss.detach()

        return call, net, net

    assert replays(alike(world)) == 5


@pytest.mark.parametrize("kind", ["leaf", "history", "both", "shared leaf", "same", "chain"])
def test_gradients_of_inputs(kind):
    """Into the leaf, or on into what the input was made of, which may be the result of another compiled network."""

    def world(wrap):
        net, first = deep(), wrap(nn.Sequential(nn.Linear(4, 4), nn.Tanh()))
        other = nn.Parameter(nc.full((5, 4), 0.5))

        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = net

            def forward(self, x, y):
                return self.inner(x) + self.inner(x * y)

        both = wrap(Two())

        def call(i):
            x = inputs(i)
            leaf = x.requires_grad_() if kind in ("leaf", "both", "shared leaf", "same") else x
            a = {"history": lambda: leaf * other, "chain": lambda: first(leaf)}.get(kind, lambda: leaf)()
            b = {"both": lambda: leaf * other, "same": lambda: a, "chain": lambda: first(a)}.get(kind, lambda: inputs(i + 9))()
            loss = (both(a, b) * 3.0).mean() + (a.mean() if kind != "leaf" else 0.0)
            loss.backward()
            found = (loss.detach(), other.grad, first[0].weight.grad, leaf.grad)
            return found

        return call, both, both

    assert replays(alike(world)) == 5


def test_parameters_that_are_frozen_and_thawed():
    found = []
    for compiled in (False, True):
        net = deep()
        if compiled:
            net.compile()
        grads = []
        for i in range(40):  # weights are not looked at: what is frozen stays packed
            net[0].requires_grad_(i % 8 < 4)
            net[4].weight.requires_grad = i % 16 < 8
            x = inputs(i)
            x.requires_grad = i % 4 == 3
            net(x).sum().backward()
            grads.append([None if t.grad is None else t.grad.tolist() for t in (x, *net.parameters())])
        found.append(grads)
    assert found[0] == found[1]
    assert replays(net) > 10


def test_gradients_are_added_up_in_the_order_of_eager():
    """A layer that is used twice adds to its gradient twice: rounding depends on it."""

    def world(wrap):
        nc.manual_seed(1)
        shared = nn.Linear(4, 4)
        net = wrap(nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), shared, nn.Tanh()))

        def call(i):
            net(inputs(i)).sum().backward()
            if i % 5 == 4:
                net.zero_grad(set_to_none=i % 2 == 0)
            return shared.weight.grad

        return call, net, net

    assert replays(alike(world, 20)) == 17


def test_modes_in_between():
    def world(wrap):
        net = wrap(deep())

        def call(i):
            y = net(inputs(i))
            net.eval()
            with nc.no_grad():
                seen = net(inputs(i + 1))
            z = net(inputs(i + 2)).detach()
            net.train()
            assert y.requires_grad and not y.is_leaf and not seen.requires_grad and not z.requires_grad
            (y * y).sum().backward()
            return y.detach(), seen, z

        return call, net, net

    assert replays(alike(world, 12)) == 0  # the mode is changed in each call
    net = deep().eval()
    net.compile()
    for i in range(8):
        with nc.no_grad():
            wanted = net(inputs(i))
        y = net(inputs(i))
        assert y.tolist() == wanted.tolist() and y.requires_grad
    assert replays(net) == 10


@pytest.mark.parametrize("between", ["pickle", "copy", "error", "switch", "fork", "load", "free"])
def test_what_happens_between_forward_and_backward(between, monkeypatch):
    def world(wrap):
        net = wrap(deep())

        def broken():
            raise ValueError("a loss that fails")

        def call(i):
            y = net(inputs(i))
            copies = None
            if between == "pickle":
                copies = pickle.loads(pickle.dumps(net))
            elif between == "copy":
                copies = copy.deepcopy(net)
            elif between == "error":
                with pytest.raises(ValueError):
                    broken()
                del y
                y = net(inputs(i))
            elif between == "load":
                net(inputs(i, 9))
            elif between == "free":
                nc.empty_cache() if hasattr(nc, "empty_cache") else nc.backends.get("cpu").empty_cache()
            if copies is not None:
                copies(inputs(i)).sum().backward()
                raised(lambda: copy.deepcopy(y))
            with monkeypatch.context() as patch:
                if between == "switch":
                    patch.setattr(nc.config, "compile", False)
                if between == "fork":  # as in a child, where the threads are gone
                    patch.setattr(running.launch, "can_replay", lambda: False)
                y.sum().backward()
            return y.detach()

        return call, net, net

    assert replays(alike(world)) >= 5


def test_values_that_were_written_to_before_the_backward():
    """Weights, the input or the result: an error where the way back reads them; nothing else matters."""

    def world(wrap):
        net = wrap(deep())

        def call(i):
            x = inputs(i)
            y = net(x)
            with nc.no_grad():
                writes = (
                    lambda: net[4].weight.mul_(1.0), lambda: x.mul_(1.0), lambda: y.mul_(1.0), lambda: net[4].bias.mul_(1.0),
                    lambda: net[1].running_mean.mul_(0.5), lambda: net[1].weight.add_(0.0), lambda: net[1].bias.add_(1.0),
                )  # fmt: skip
                writes[i % 7]()
            if i % 7 in (0, 1, 2, 5):
                assert "saved; received values changed by an in-place write" in raised(lambda: y.sum().backward())
                net.zero_grad()  # eager has left some
            else:
                y.sum().backward()
            return y.detach()

        return call, net, net

    assert replays(alike(world, 20)) > 5  # errors hold results for a while


def test_a_buffer_that_learns():
    """Setting that it does is seen, as nobody else is told."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", nc.ones(4))

        def forward(self, x):
            return x * self.scale

    net = Scaled()
    net.compile()
    x = nc.ones(2, 4, requires_grad=True)
    for i in range(24):
        net.scale.requires_grad = i % 12 > 5
        net(x).sum().backward()
        wanted = 2.0 * (i // 12 * 6 + max(i % 12 - 5, 0))
        assert (None if net.scale.grad is None else net.scale.grad.tolist()) == ([wanted] * 4 if wanted else None)
    assert replays(net) > 10


def test_a_call_that_is_recorded_before_the_backward_of_another():
    """What it has looked for already is not what the other reads."""

    def world(wrap):
        net = wrap(deep())

        def call(i):
            y = net(inputs(i))
            if i == 6:
                net[4].weight.data = net[4].weight.detach() * 2.0
                net(inputs(i + 50))
            y.sum().backward()
            return y.detach()

        return call, net, net

    assert replays(alike(world)) == 5


@pytest.mark.parametrize("change", ["data", "dtype", "frozen", "dropped"])
def test_parameters_that_change_before_the_backward(change):
    """What the forward has read is what the backward reads; gradients go to the parameters as they are now."""

    def world(wrap):
        net = wrap(deep().eval())

        def call(i):
            y = net(inputs(i))
            if change == "data" and i % 4 == 3:
                net[4].weight.data = net[4].weight.detach() * 2.0
            elif change == "dtype" and i % 4 == 3:
                net.to(nc.float64)
            elif change == "frozen":
                net[4].bias.requires_grad = False
            elif change == "dropped" and i % 4 == 3:
                net[4] = nn.Linear(6, 3)
            y.sum().backward()
            found = [None if p.grad is None else p.grad.detach() for p in net.parameters()]
            if change == "dtype" and i % 4 == 3:
                net.to(nc.float32)
            net.zero_grad()
            net[4].bias.requires_grad = True
            return tuple(found)

        return call, net, net

    net = alike(world, 16)
    assert (replays(net) > 0) == (change != "frozen")  # which is a change in each call


def test_compiled_networks_inside_a_compiled_network():
    def world(wrap):
        inner = wrap(deep())
        net = wrap(nn.Sequential(inner, nn.Linear(3, 2), wrap(nn.Sequential(nn.Tanh(), nn.Linear(2, 2)))))

        def call(i):
            net(inputs(i)).sum().backward()
            y = inner(inputs(i + 1))
            (y * y).sum().backward()
            return y.detach()

        return call, net, net

    net = alike(world)
    assert replays(net) == 5 and replays(net[0]) > 3


def test_a_result_that_is_written_to():
    def world(wrap):
        net = wrap(nn.Sequential(nn.Linear(4, 3)))

        def call(i):
            y = net(inputs(i))
            y.mul_(2.0)
            y[0] = 0.0
            y.sum().backward()
            return y.detach()

        return call, net, net

    assert replays(alike(world)) == 5


class Product(nn.Module):
    """Ends in an operation that is given the gradient as it comes."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.weight = kind, nn.Parameter(nc.rand(2, 4, 6) if kind == "batched" else nc.rand(4, 6))
        self.scale = nn.Parameter(nc.rand(6))

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        if self.kind == "batched":
            return nc.stack([x, x * 2.0]) @ self.weight
        return x @ self.weight if self.kind == "product" else (x @ self.weight) * self.scale


ARRIVALS = {
    "sum": lambda y: y.sum(),
    "turned": lambda y: (y.transpose(-1, -2).contiguous() * nc.arange(y.numel()).reshape(y.transpose(-1, -2).shape).float()).sum(),
    "part": lambda y: (y[..., ::2] * 3.0).sum() + y[0].mean(),
    "backwards": lambda y: (y.flip(-1) * nc.arange(6).float()).sum(),
    "row": lambda y: (y.sum(0) * nc.arange(6).float()).sum(),
    "double": lambda y: (y.double() * 0.1).sum(),
}


@pytest.mark.parametrize("kind", ["product", "batched", "scaled"])
@pytest.mark.parametrize("n", [3, 70])
def test_gradients_arrive_from_memory_of_any_order(kind, n):
    def world(wrap):
        nc.manual_seed(1)
        net = wrap(Product(kind))
        ways = list(ARRIVALS.values())

        def call(i):
            x = inputs(i, n).requires_grad_()
            ways[i % len(ways)](net(x)).backward()
            return x.grad

        return call, net, net

    assert replays(alike(world, 15)) == 12


ENDS = {
    **LAYERS,
    "linear": lambda c: nn.Linear(9, 5),
    "matmul": lambda c: Product("product"),
    "softmax": lambda c: nn.Softmax(1),
    "log softmax": lambda c: nn.LogSoftmax(-1),
    "adaptive": lambda c: nn.AdaptiveAvgPool2d(2),
    "flatten": lambda c: nn.Flatten(2),
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("n", [2, 40])
def test_no_bit_depends_on_how_a_gradient_lies_in_memory(name, n):
    """A plan takes it in one way."""
    found = []
    for order in range(5):
        nc.manual_seed(0)
        net = ENDS[name](8)
        x = nc.rand(n, 4) if name == "matmul" else nc.rand(n, 8, 9, 9)
        leaf = x.requires_grad_()
        y = net(leaf)
        values = np.random.default_rng(0).standard_normal(y.shape, dtype=np.float32)
        values[...] = values[:1]  # as one that repeats has
        arranged = [
            values, np.asfortranarray(values), values[..., ::-1].copy()[..., ::-1], np.broadcast_to(values[:1], values.shape),
            np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1),
        ][order]  # fmt: skip
        y.backward(nc.Tensor(arranged))
        found.append([t.grad.numpy().tobytes() for t in (leaf, *net.parameters()) if t.grad is not None])
    assert all(grads == found[0] for grads in found)


def test_a_loss_of_its_own_is_a_function_with_a_backward():
    def world(wrap):
        net, loss_of = wrap(deep()), wrap(lambda scores, y: F.cross_entropy(scores, y, label_smoothing=0.1))

        def call(i):
            x, y = batch(i)
            if i == 7:
                y.numpy()[0] = 5
                with pytest.raises(ValueError, match="labels between 0 and 2"):
                    loss_of(net(x), y)
                return None
            loss = loss_of(net(x), y)
            loss.backward()
            return loss.detach()

        return call, net, loss_of

    assert replays(alike(world, 10)) == 6


class Kept(nn.Module):
    """Keeps what it should not, returns what it may not, or calls what is not seen."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner, self.hidden = kind, nn.Linear(4, 3), Hidden([])
        self.square = RecordableSquare if kind == "function" else Square
        if kind == "hook":
            self.register_forward_hook(lambda *_: None)

    def forward(self, x: nc.Tensor) -> Any:
        y = self.inner(x)
        if self.kind == "kept":
            self.hidden.value.append(y)
            return y * 2.0
        if self.kind == "several":
            return y, y * 2.0
        if self.kind in ("function", "unseen"):
            return self.square.apply(y)
        return y


WHY = {
    "kept": "a tensor is kept beyond the step that was made in ",
    "several": "it returns several tensors whose backward is still to come",
    "unseen": "Square is a Function without `recordable = True`",
    "hook": "a hook of Kept is called",
    "function": "",
}


@pytest.mark.parametrize("kind", WHY)
def test_networks_in_training_that_have_no_plan(kind):
    def world(wrap):
        nc.manual_seed(0)
        net = wrap(Kept(kind))

        def call(i):
            y = net(inputs(i))
            for t in y if isinstance(y, tuple) else (y,):
                t.sum().backward(retain_graph=True)
            return None

        return call, net, net

    net = alike(world)
    assert replays(net) == (0 if WHY[kind] else 5)
    assert WHY[kind] in nc.explain(net)


def test_a_step_that_goes_back_beyond_its_argument_has_no_plan():
    def world(wrap):
        w, net = nn.Parameter(nc.ones(5, 4)), deep()

        @wrap
        def step(x):
            loss = net(x).sum()
            loss.backward()
            return loss.detach()

        def call(i):
            return step(w.reshape(5, 4) if i % 2 else w * 2.0), w.grad

        return call, net, step

    step = alike(world, 12)
    assert replays(step) == 0
    assert "a backward goes on where an argument comes from" in nc.explain(step)


def test_threads_have_results_of_their_own():
    net = deep().eval().requires_grad_(False)
    wanted = {}
    for i in range(8):
        x = inputs(i).requires_grad_()
        net(x).sum().backward()
        wanted[i] = x.grad.tolist()
    net.compile()
    for i in range(5):
        net(inputs(i).requires_grad_()).sum().backward()

    def work(i):
        for _ in range(30):
            x, z = inputs(i).requires_grad_(), inputs(i + 1).requires_grad_()
            y = net(x)
            net(z)
            y.sum().backward()
            if x.grad.tolist() != wanted[i]:
                return False
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert replays(net) > 20


def test_memory_does_not_grow_in_training():
    net = deep()
    net.compile()
    data = [inputs(i) for i in range(5)]
    for i in range(300):
        net(data[i % 5]).sum().backward()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(1500):
            net(data[i % 5]).sum().backward()
            if i % 7 == 0:
                net.zero_grad()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


# -- results that share memory -------------------------------------------------------------------------------------------------------------
def stale(x: nc.Tensor) -> nc.Tensor:
    """A view from before a write that is recorded, which can't be used any more."""
    y = x * 2.0
    view = y[0]
    y[1] = 0.0
    return view


SHARING = {
    "stale": lambda x, w: stale(x),
    "reshape": lambda x, w: x.reshape(-1),
    "item": lambda x, w: x[0],
    "turned": lambda x, w: x.T,
    "detach": lambda x, w: x.detach(),
    "data": lambda x, w: x.data,
    "of a parameter": lambda x, w: w.reshape(-1)[1:],
    "and detached": lambda x, w: (lambda y: (y, y.detach()))(x * 2.0),
    "twice": lambda x, w: (lambda y: (y, y, x))(x * 2.0),
    "view first": lambda x, w: (lambda y: (y[0], y, y.reshape(-1)))(x * 2.0),
    "view of gone": lambda x, w: (x * 2.0)[0],
    "expanded": lambda x, w: x[0].expand(3, 4),
}


@pytest.mark.parametrize("kind", SHARING)
@pytest.mark.parametrize("grad", ["none", "parameter", "input"])
def test_results_that_share_memory(kind, grad):
    """Writes are seen by all, counted for all, and gradients flow as they do in eager."""

    def world(wrap):
        net = nn.Linear(4, 5)
        net.weight.requires_grad = grad == "parameter"
        make = SHARING[kind]
        look = wrap(lambda x: make(x, net.weight))

        def call(i):
            x = inputs(i)
            x.requires_grad = grad == "input"
            found = look(x)
            results = found if isinstance(found, tuple) else (found,)
            said: list[Any] = [(r.requires_grad, r.is_leaf, r._version.count, r is x, [r is other for other in results]) for r in results]
            for k, r in enumerate(results):
                try:
                    if k or i % 2:
                        with nc.no_grad():
                            r.mul_(0.5)
                    else:
                        r.mul_(0.5)
                    if r.requires_grad:
                        r.sum().backward()
                except RuntimeError as error:
                    said.append(str(error))
                said += [[t.tolist() for t in (x, net.weight, *results)], [t._version.count for t in (x, net.weight, *results)]]
            told.append(repr(said))
            return (*[r.detach() for r in results], x.grad)

        told: list[str] = []
        tolds.append(told)
        return call, net, look

    tolds: list[list[str]] = []
    look = alike(world)
    assert tolds[0] == tolds[1]
    assert replays(look) == (0 if (kind, grad) == ("view first", "input") else 5)  # three that have a history


def test_parameters_that_are_made_in_a_function_have_no_plan():
    make = nc.compile(lambda x: nn.Parameter(x * 2.0))
    with nc.no_grad():
        assert all(type(make(nc.ones(2))) is nn.Parameter for _ in range(6))
    assert "it returns a Parameter that is made in it" in nc.explain(make)


def test_a_view_of_an_argument_with_gaps_has_no_plan():
    look = nc.compile(lambda x: x[1:])
    x = nc.arange(12).float().reshape(3, 4)[:, :2]
    for _ in range(5):
        assert look(x).tolist() == x[1:].tolist()
    assert "it returns a view of a tensor that has gaps in memory" in nc.explain(look)


# -- training and evaluating by themselves ------------------------------------------------------------------------------------------------
def test_fit_is_the_same_with_and_without_plans():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((90, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 90)
    found = []
    for compile in (False, True):
        nc.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 3))
        history = nc.fit(net, data, data, epochs=3, batch_size=8, clip_grad=0.5, progress=False, compile=compile)
        judged = nc.evaluate(net, data, batch_size=8, compile=compile)
        answers = nc.predict(net, data[0], batch_size=8, compile=compile)
        weights = [np.asarray(t).tobytes() for t in net.state_dict().values()]
        found.append((weights, [(e.train_loss, e.val_loss, e.val_accuracy) for e in history], judged.loss, answers.tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("compile", [False, True])
def test_fit_looks_at_the_loss_before_weights_move(compile):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 4), dtype=np.float32), rng.integers(0, 3, 64)
    x[40] = np.nan
    nc.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.1))
    with pytest.raises(FloatingPointError, match="received nan in epoch 1"):
        nc.fit(net, (x, y), epochs=2, batch_size=4, progress=False, compile=compile)
    assert all(np.isfinite(np.asarray(p)).all() for p in net.parameters())
    after = [np.asarray(t).tobytes() for t in net.state_dict().values()], [t._version.count for t in net.buffers()], str(nc.get_rng_state())
    STOPPED.setdefault(0, after)
    assert STOPPED[0] == after


STOPPED: dict[int, Any] = {}


# -- what takes turns ------------------------------------------------------------------------------------------------------------------
def test_a_step_that_does_one_thing_or_another_has_two_plans():
    """Gradients are added up over some steps: a number that the code names says when the weights move."""
    last = False

    def world(wrap):
        nonlocal last
        net, optimiser = linear()

        @wrap
        def step(x, y):
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            if last:
                optimiser.step()
                optimiser.zero_grad()
            return loss

        def call(i):
            nonlocal last
            last = i % 3 == 2
            return step(*batch(i))

        return call, net, step

    compiled = alike(world, 24)
    assert plans(compiled) >= 2
    assert replays(compiled) > 10


def test_globals_that_only_share_a_name_with_an_attribute_do_not_count():
    def world(wrap):
        net, optimiser = linear()

        @wrap
        def step(x, y):
            loss = train(net, optimiser, x, y)
            return loss.detach().reshape(1)

        def call(i):
            globals()["reshape"] = i  # a name of an attribute, and of a variable of somebody else's
            return step(*batch(i))

        return call, net, step

    try:
        assert replays(alike(world)) == 5
    finally:
        del globals()["reshape"]


def test_layers_that_average_all_batches():
    """A batch normalisation's momentum is None: its share is 1 / count, which a plan reads from memory."""

    def world(wrap):
        net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, momentum=None), nn.Linear(6, 3))
        optimiser = nc.optim.SGD(net.parameters(), lr=0.1)
        step = wrap(lambda x, y: train(net, optimiser, x, y))

        def call(i):
            if i == 6:
                net[1].reset_running_stats()
            return step(*batch(i))

        return call, net, step

    assert replays(alike(world, 12)) >= 7


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint8"])
def test_indices_of_any_dtype(dtype):
    """Those of uint8 are masks, as PyTorch has them; as labels they are numbers."""
    kinds: dict[str, Callable[[nc.Tensor, nc.Tensor], nc.Tensor]] = {
        "labels": lambda x, y: F.cross_entropy(x, y),
        "rows": lambda x, y: x[y],
        "places": lambda x, y: x[nc.arange(5), y],
    }
    for name, function in kinds.items():
        mask = dtype == "uint8" and name != "labels"
        compiled = nc.compile(function)
        for i in range(5):
            x, y = batch(i)
            y = nc.tensor(y.numpy().astype(dtype))
            if mask and name == "places":
                with pytest.raises(IndexError):
                    compiled(x, y)
            else:
                assert compiled(x, y).tolist() == function(x, y).tolist()
        assert replays(compiled) == (0 if mask else 2)
        assert ("values are read" in nc.explain(compiled)) == (mask and name == "rows")


def test_the_flags_of_arguments_are_part_of_the_signature():
    """Arrays that can't be written to, and such as do not lie on borders of their elements, as files have them."""
    double = nc.compile(lambda x: nc.from_array(x) * 2.0)
    for i in range(5):
        whole = np.arange(4, dtype=np.float32) + i
        fixed = whole.copy()
        fixed.flags.writeable = False
        apart = np.zeros(17, np.uint8)[1:].view(np.float32)
        apart[...] = whole
        for x in (whole, fixed, apart):
            assert double(x).tolist() == (whole * 2).tolist()
    assert len(double._entries) == 3


def test_data_classes_as_arguments_have_no_plan():
    @dataclasses.dataclass
    class Batch:
        x: nc.Tensor
        y: nc.Tensor

    net, optimiser = linear()
    step = nc.compile(lambda batch: train(net, optimiser, batch.x, batch.y))
    for i in range(5):
        step(Batch(*batch(i)))
    assert plans(step) == 0 and "an argument is a Batch: pass Tensors" in nc.explain(step)


def test_values_that_are_not_finite():
    """No kernel is chosen by values, but within: statistics are summed up again, and zeros are multiplied or not."""

    def world(wrap):
        nc.manual_seed(1)
        layers = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.MaxPool2d(2)]
        net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 16, 3))
        optimiser = nc.optim.Adam(net.parameters())
        step = wrap(lambda x, y: train(net, optimiser, x, y))

        def call(i):
            x = np.random.default_rng(i).standard_normal((4, 3, 8, 8), dtype=np.float32)
            if i > 4:
                x[i % 4, i % 3, i % 8, 0] = (np.inf, -np.inf, np.nan, 3e38)[i % 4]
            if i % 4 == 3:
                net.load_state_dict({key: nc.ones(*t.shape, dtype=t.dtype) * 0.1 for key, t in net.state_dict().items()})
            return step(nc.tensor(x), batch(i, 4)[1])

        return call, net, step

    assert replays(alike(world, 12)) >= 4


def test_another_threads_inference_mode():
    """It makes weights read-only, and keeps them packed, while a replay writes to them by address."""
    net, optimiser = linear()
    other, other_optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    x, over = batch(50, 20)[0], threading.Event()

    def look() -> int:
        calls = 0
        while not over.is_set():
            with nc.inference_mode():
                for _ in range(3):
                    net(x)
                    calls += 1
        return calls

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        seen = pool.submit(look)
        try:
            for i in range(60):
                step(*batch(i))
                train(other, other_optimiser, *batch(i))
        finally:
            over.set()
        assert seen.result() > 0
    assert replays(step) > 20
    for a, b in zip(net.parameters(), other.parameters()):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    with nc.inference_mode():
        np.testing.assert_array_equal(net(x).numpy(), other(x).numpy())


def test_the_switch_between_calls(monkeypatch):
    """``config.compile`` counts at once, in both directions."""

    def world(wrap):
        net, optimiser = linear()
        step = wrap(lambda x, y: train(net, optimiser, x, y))

        def call(i):
            with monkeypatch.context() as patch:
                patch.setattr(nc.config, "compile", i not in (4, 5, 8))
                return step(*batch(i))

        return call, net, step

    assert replays(alike(world, 10)) == 4


SCRIPT = """
import numpy as np
import numbacnn as nc

nc.manual_seed(0)
net = nc.nn.Sequential(nc.nn.Linear(4, 6), nc.nn.ReLU(), nc.nn.Linear(6, 3))
optimiser = nc.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
x, y = nc.tensor(np.random.default_rng(0).standard_normal((5, 4), dtype=np.float32)), nc.tensor([0, 1, 2, 0, 1])

@nc.compile
def step(x, y):
    optimiser.zero_grad()
    loss = nc.nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimiser.step()
    return loss
"""
"""A compiled step, as the start of a program."""

UNCOMPILED = f"""{SCRIPT}
net.compile()
losses = [step(x, y).item() for _ in range(5)]
with nc.no_grad():
    scores = [net(x).tolist() for _ in range(5)]
print(losses == sorted(losses, reverse=True), all(s == scores[0] for s in scores), nc.explain(step))
"""


def test_without_numba_it_runs_eagerly():
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    found = subprocess.run([sys.executable, "-c", UNCOMPILED], capture_output=True, text=True, timeout=300, env=env)
    assert found.stdout == "True True step: 0 signatures\n", found.stderr[-2000:]


def test_a_compiled_run_that_is_resumed_has_the_bits_of_an_eager_one(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.standard_normal((44, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 44)

    def run(folder: Any, epochs: int, compile: bool, resume: bool = False) -> list[bytes]:
        nc.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 3)]
        net = nn.Sequential(*layers)
        options: dict[str, Any] = {"optimizer": "adam", "batch_size": 5, "progress": False, "seed": 3, "schedule": None}
        nc.fit(net, data, epochs=epochs, out=folder, resume=resume, compile=compile, **options)
        return [np.asarray(t).tobytes() for t in net.state_dict().values()]

    whole = run(tmp_path / "whole", 4, compile=False)
    run(tmp_path / "run", 2, compile=True)
    assert run(tmp_path / "run", 4, compile=True, resume=True) == whole


def test_functions_inside_a_step_may_use_its_variables():
    def world(wrap):
        net, optimiser = linear()

        @wrap
        def step(x, y):
            optimiser.zero_grad()
            scores = net(x)

            def scaled(factor):
                return scores * factor

            loss = sum(F.cross_entropy(scaled(k), y) for k in (1.0, 2.0))
            loss.backward()
            optimiser.step()
            return loss

        return lambda i: step(*batch(i)), net, step

    assert replays(alike(world)) == 5


def test_what_changes_in_each_call_runs_eagerly_in_the_end():
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    for i in range(20):
        net.note = i  # an attribute that nobody reads, for all that is known
        step(*batch(i))
    assert replays(step) == 0
    assert "changes from call to call" in nc.explain(step)


def test_methods_that_are_replaced_are_seen():
    class Doubled(nn.Module):
        def forward(self, x):
            return x * 2.0

    double, calls = Doubled(), []
    look = nc.compile(lambda x: double(x))
    for _ in range(6):
        assert look(nc.ones(1)).item() == 2
    Doubled.forward = lambda self, x: x * 3.0
    for _ in range(6):
        assert look(nc.ones(1)).item() == 3
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    update = nc.optim.SGD.step
    with pytest.MonkeyPatch.context() as patch:
        for i in range(10):
            if i == 5:
                patch.setattr(nc.optim.SGD, "step", lambda self: (calls.append(1), update(self)))
            step(*batch(i))
    assert len(calls) == 5


def test_an_optimiser_of_the_users_own():
    class Every(nc.optim.SGD):
        count = 0

        def step(self):
            self.count += 1
            if self.count % 2:
                super().step()

    def world(wrap):
        net, _ = linear()
        optimiser = Every(net.parameters(), lr=0.1)
        step = wrap(lambda x, y: train(net, optimiser, x, y))
        return lambda i: step(*batch(i)), net, step

    assert replays(alike(world, 12)) == 0


# -- interrupts and forks --------------------------------------------------------------------------------------------------------------
def test_an_interrupt_leaves_a_whole_step(monkeypatch):
    """It is raised when the kernels have run: then the step counts, as what they have written does."""

    def world():
        nc.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
        optimiser = nc.optim.Adam(net.parameters())
        return net, optimiser

    (net, optimiser), (other, other_optimiser) = world(), world()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    run = running.launch.replay

    def interrupted(function: Any, *args: Any, **options: Any) -> Any:
        found = run(function, *args, **options)
        if getattr(function, "__name__", "") == "_run_segments":
            raise KeyboardInterrupt
        return found

    for i in range(8):
        train(other, other_optimiser, *batch(i))
        with monkeypatch.context() as patch:
            if i == 5:
                patch.setattr(running.launch, "replay", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    step(*batch(i))
            else:
                step(*batch(i))
    assert replays(step) == 5
    assert str(optimiser.state_dict()) == str(other_optimiser.state_dict())
    for (name, a), b in zip(net.state_dict().items(), other.state_dict().values()):
        assert (np.asarray(a) == np.asarray(b)).all() and a._version.count == b._version.count, name


FORKED = f"""{SCRIPT}
import os, sys
for _ in range(6):
    step(x, y)
read, write = os.pipe()
if not os.fork():
    os.write(write, repr([step(x, y).item() for _ in range(3)]).encode())
    os._exit(0)
os.wait()
print(os.read(read, 1000).decode() == repr([step(x, y).item() for _ in range(3)]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which Windows lacks")
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_forked_child_goes_on(layer):
    env = {**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBACNN_QUIET": "1"}
    found = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=300, env=env)
    assert found.stdout.strip() == "True", found.stderr[-2000:]


# -- where the time goes ---------------------------------------------------------------------------------------------------------------
def test_a_profile_names_passes_and_layers():
    def world():
        nc.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
        return net, nc.optim.Adam(net.parameters())

    (net, optimiser), (other, other_optimiser) = world(), world()
    step, (x, y) = nc.compile(lambda x, y: train(net, optimiser, x, y)), batch(0)
    found = nc.profile(step, x, y, repeat=3)
    assert [*found.layers()] == [
        *(("forward", layer) for layer in ("0 Linear", "1 BatchNorm1d", "2 ReLU", "3 Linear", "")),
        *(("backward", layer) for layer in ("", "3 Linear", "2 ReLU", "1 BatchNorm1d", "0 Linear")),
        ("optimizer", "Adam"),
    ]
    assert all(row.seconds > 0 for row in found.rows)
    for _ in range(profiling.CALLS + 3):  # it has trained
        train(other, other_optimiser, x, y)
    assert str(optimiser.state_dict()) == str(other_optimiser.state_dict())


def test_a_profile_times_the_plan_as_it_runs():
    """All runs with as many threads: the plan has made up its mind before."""
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    found = nc.profile(step, *batch(0))
    (plan,) = next(iter(step._entries.values())).plans
    assert found.threads == plan.threads == plan.forward._threads[nc.get_num_threads()]


def test_the_text_of_a_profile():
    rows = [
        ("forward", "0", "contract", 1.0),
        ("forward", "", "fill", 0.5),
        ("backward", "0", "contract", 2.0),
        ("optimizer", "SGD", "sgd", 0.5),
    ]
    found = nc.Profile(tuple(profiling.Timed(*row[:3], 1e-3 * row[3]) for row in rows), 1)
    assert str(found) == found.text() and found.text().splitlines() == [
        "pass       layer         ms   share",
        "forward    0          1.000   25.0%",
        "forward    other      0.500   12.5%",
        "backward   0          2.000   50.0%",
        "optimizer  SGD        0.500   12.5%",
        "all                   4.000",
    ]
    assert found.text("kernel").splitlines() == [
        "calls      kernel           ms   share",
        "2          contract      3.000   75.0%",
        "1          fill          0.500   12.5%",
        "1          sgd           0.500   12.5%",
        "all                      4.000",
    ]
    assert found.kernels() == {"contract": (2, 0.003), "fill": (1, 0.0005), "sgd": (1, 0.0005)}


def test_what_has_no_profile(monkeypatch):
    def refused(error, text, *args):
        with pytest.raises(error) as found:
            nc.profile(*args, repeat=1)
        assert re.fullmatch(rf"\[profile\] expected {text}\.", str(found.value))

    refused(TypeError, "what nc.compile gave; received .*", len)
    none = "a step of which there is a plan; received one without"
    refused(RuntimeError, rf"{none}: a value is read, in .*test_plan.py:\d+", nc.compile(lambda x: x.item()), nc.ones(1))
    monkeypatch.setattr(nc.config, "compile", False)
    refused(RuntimeError, rf"{none}: nc\.config\.compile is False", nc.compile(lambda x: x * 2), nc.ones(1))


def test_a_profile_of_a_network_in_training_has_its_backward():
    net = deep()
    net.compile()
    found = nc.profile(net, inputs(0), repeat=3)
    layers = ["0 Linear", "1 BatchNorm1d", "2 ReLU", "3 Dropout", "4 Linear"]
    assert [*found.layers()] == [
        *(("forward", layer) for layer in layers),  # the last takes its activation with it
        *(("backward", layer) for layer in reversed(layers)),
    ]
    assert all(p.grad is None for p in net.parameters())
    assert nc.explain(net).startswith("Sequential: 1 signature\n") and "    backward, when it is called:\n" in nc.explain(net)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("x * RATES[0]", "no plan: RATES changes from call to call: its calls differ in "),
        ("x * (2 + 0 * len(RATES))", "recorded anew: RATES changes from call to call\n    a plan of 1 calls"),
    ],
)
def test_explain_names_what_changes_between_calls(body, said):
    """It said that calls differ, or nothing, and went on to say that the step runs eagerly where it was replayed again."""
    names = {"RATES": [0.0], "__doc__": "x"}
    exec(f"def step(x): return {body}", names)
    step = nc.compile(names["step"])
    for i in range(5):
        names["RATES"][0] = float(i)
        step(nc.ones(3))
    assert said in nc.explain(step) and "runs eagerly" not in nc.explain(step)
    for _ in range(3):
        step(nc.ones(3))
    assert "    a plan of 1 calls" in nc.explain(step) and replays(step) > 0
    for i in range(20):
        names["RATES"][0] = float(i)
        step(nc.ones(3))
    assert "    no plan: RATES changes from call to call" in nc.explain(step) and plans(step) == 0


def test_explain_says_how_many_calls_a_plan_takes():
    """A signature that was called once or twice has no plan, and had no reason."""
    net = nn.Linear(2, 2).eval()
    step = nc.compile(lambda x: net(x) * 2)
    for i in range(4):
        with nc.no_grad():
            step(nc.ones(3, 2))
        said = f"no plan yet: called {i + 1} of the 3 times that a plan takes"
        assert (said in nc.explain(step)) == (i < 2) == (plans(step) == 0)
    assert "3,): 1 call, 0" not in nc.explain(step) and "(3, 2): 4 calls, 1 replayed" in nc.explain(step)


def test_explain_says_that_another_profiler_runs():
    step = nc.compile(lambda x: x * 2)
    sys.setprofile(lambda *event: None)
    try:
        for _ in range(4):
            step(nc.ones(3))
    finally:
        sys.setprofile(None)
    assert "no plan: another profiler runs" in nc.explain(step)
    for _ in range(3):
        step(nc.ones(3))
    assert "no plan" not in nc.explain(step) and replays(step) == 1


def test_what_runs_eagerly_is_printed(monkeypatch, capsys):
    """It was told of arguments that have no plan alone, and of no step that can't be recorded."""
    monkeypatch.setattr(nc.config, "explain", True)
    step = nc.compile(lambda x: x * x.sum().item())
    for _ in range(14):
        step(nc.ones(3))
    assert capsys.readouterr().err.count("] runs eagerly: a value is read, in ") == 1


def test_explain_lists_the_calls_of_a_plan():
    net, optimiser = linear()
    step = nc.compile(lambda x, y: train(net, optimiser, x, y))
    for i in range(5):
        step(*batch(i))
    lines = nc.explain(step).splitlines()
    rows, room = 6_000 * len(next(iter(step._entries.values())).plans[0].tape.rows), step._arena.size
    assert lines[:2] == ["<lambda>: 1 signature", f"plans of {rows:,} bytes, of at most 134,217,728, that run in {room:,}"]
    assert lines[2:4] == ["", "float32 (5, 4), int64 (5,): 5 calls, 2 replayed"]
    assert lines[4].startswith("    a plan of ") and lines[4].endswith(" bytes")
    assert lines[-1].split()[0] == "sgd_step" and "test_plan.py:" in lines[-1]


def test_modules_that_are_made_in_between_or_inside_change_nothing():
    def world(wrap):
        net, optimiser = linear()

        @wrap
        def step(x, y):
            optimiser.zero_grad()
            loss = nn.CrossEntropyLoss()(nn.Sequential(net, nn.Identity())(x), y)
            loss.backward()
            optimiser.step()
            return loss

        def call(i):
            nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).append(nn.ReLU()).eval()
            return step(*batch(i))

        return call, net, step

    assert replays(alike(world)) == 5


def test_methods_of_a_class():
    class Trainer:
        def __init__(self):
            self.net, self.optimiser = linear()
            self.scale = 1.0

        @nc.compile
        def step(self, x, y):
            self.optimiser.zero_grad()
            loss = F.cross_entropy(self.net(x), y) * self.scale
            loss.backward()
            self.optimiser.step()
            return loss

    class Plain(Trainer):
        def step(self, x, y):
            return Trainer.step.function(self, x, y)

    trainer, plain = Trainer(), Plain()
    copied = None
    for i in range(12):
        if i == 7:
            trainer.scale = plain.scale = 2.0
        assert trainer.step(*batch(i)).item() == plain.step(*batch(i)).item()
        if i == 5:
            copied = copy.copy(trainer)
    assert replays(trainer.step) > 3
    assert copied.step is not trainer.step and copied.step.function.__self__ is copied


def test_what_a_compilation_prints_is_no_part_of_a_step(monkeypatch):
    """It passes the code of whoever stands in for stderr, as pytest or Jupyter do."""

    class Lines:
        def __init__(self):
            self.lines = []

        def write(self, text):
            self.lines.append(text)

        def flush(self):
            self.lines.append("")

    @nc.compile
    def step(x):
        with nc.kernels.cpu.launch.recording.pausing():
            print("compiling", file=sys.stderr)
        return x * 2

    monkeypatch.setattr(sys, "stderr", Lines())
    for _ in range(6):
        step(nc.ones(2))
    assert replays(step) == 3, nc.explain(step)


def test_what_a_compilation_imports_is_no_part_of_a_step():
    """The body of SciPy's modules ran while a kernel was compiled, and set their names: a recording was lost."""
    names = Hidden({"counted": 0})

    @nc.compile
    def step(x):
        with global_compiler_lock:
            exec(compile("counted = counted + 1", "another.py", "exec"), names.value)
        return x * 2

    for _ in range(6):
        step(nc.ones(2))
    assert replays(step) == 3, nc.explain(step)


def test_an_import_within_a_step_is_no_part_of_it(tmp_path, monkeypatch):
    (tmp_path / "imported_within.py").write_text('"""A module sets its names, this one among them."""\n')
    monkeypatch.syspath_prepend(tmp_path)

    @nc.compile
    def step(x):
        sys.modules.pop("imported_within", None)
        __import__("imported_within")
        return x * 2

    for _ in range(6):
        step(nc.ones(2))
    assert replays(step) == 3, nc.explain(step)


WHOLE = """
import numbacnn as nc

class Hidden:
    __slots__ = ("value",)

def factor():
    return scale

hidden = Hidden()
hidden.value = factor
step = nc.compile(lambda x: x * hidden.value())
found = []
for i in range(12):
    scale = float(i // 6)
    found.append(step(nc.ones(1)).item())
"""


def test_nobody_is_asked_while_numba_compiles() -> None:
    """A profile that is called for each of Numba's calls takes longer than compiling does."""
    from numba.core.compiler_lock import global_compiler_lock

    from numbacnn.plan.reached import Reached

    with Reached().watching():
        outside = sys.getprofile()
        with global_compiler_lock, global_compiler_lock:
            inside = sys.getprofile()
        again = sys.getprofile()
    assert outside is not None and inside is None and again is outside and sys.getprofile() is None


def test_a_step_within_an_import_is_watched(tmp_path, monkeypatch):
    (tmp_path / "imported_whole.py").write_text(WHOLE)
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("imported_whole")
    assert module.found == [0.0] * 6 + [1.0] * 6
    assert replays(module.step) > 3
