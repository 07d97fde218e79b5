"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import optim

TORCH = "needs PyTorch: pip install torch==2.13.0"

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {}),
    ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.02}),
    ("AdamW", {"lr": 0.02, "betas": (0.5, 0.9), "weight_decay": 0.3}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "maximize": True}),
    ("AdamW", {"lr": 0.02, "maximize": True}),
    ("Adam", {"lr": 0.02, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.02, "amsgrad": True, "maximize": True}),
    ("NAdam", {"lr": 0.02}),
    ("NAdam", {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1, "momentum_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.8, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.8, "eps": 1e-3, "centered": True, "momentum": 0.5, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "eps": 1e-3, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "weight_decay": 0.1, "maximize": True}),
]


def exactly(kind: type[Exception], text: str) -> Any:
    return pytest.raises(kind, match="^" + re.escape(text) + "$")


def parameters(seed: int = 0) -> list[nc.Tensor]:
    rng = np.random.default_rng(seed)
    params = [nc.tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True) for shape in ((5, 3, 2, 2), (37,), (4, 3))]
    turned = nc.from_array(rng.standard_normal((2, 3, 4, 5)).astype(np.float32).transpose(0, 3, 1, 2), requires_grad=True)
    return [*params, turned]  # the last lies channels-last in memory


def gradients(params: list[Any], step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(100 + step)
    return [rng.standard_normal(tuple(p.shape)).astype(np.float32) for p in params]


def advance(optimizer: Any, params: list[nc.Tensor], steps: range) -> None:
    for step in steps:
        for p, g in zip(params, gradients(params, step), strict=True):
            p.grad = nc.tensor(g)
        optimizer.step()


def one(lr: float = 1.0, **options: Any) -> optim.SGD:
    return optim.SGD([nc.zeros(1, requires_grad=True)], lr=lr, **options)


# -- optimisers --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "options"), CASES)
def test_trajectories_equal_pytorchs(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    ours = parameters()
    theirs = [torch.tensor(p.detach().numpy().copy(), requires_grad=True) for p in ours]
    mine, other = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(20):
        for p, q, g in zip(ours, theirs, gradients(ours, step), strict=True):
            p.grad, q.grad = nc.tensor(g), torch.tensor(g)
        mine.step()
        other.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6, atol=1e-6)


def _expected(name: str, w: np.ndarray, grads: list[np.ndarray], lr: float) -> np.ndarray:
    """The published formulas in float64."""
    w, v, m, s = w.astype(np.float64), 0.0, 0.0, 0.0
    for step, g in enumerate(grads, 1):
        if name == "SGD":
            v = 0.9 * v + g
            w = w - lr * v
        else:
            w = w * (1 - lr * 0.01) if name == "AdamW" else w
            m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
            w = w - lr * (m / (1 - 0.9**step)) / (np.sqrt(s / (1 - 0.999**step)) + 1e-8)
    return w


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_trajectories_follow_the_formulas(name: str) -> None:
    params = parameters()
    start = [p.detach().numpy().copy() for p in params]
    optimizer = getattr(optim, name)(params, lr=0.02, **({"momentum": 0.9} if name == "SGD" else {}))
    advance(optimizer, params, range(20))
    for index, p in enumerate(params):
        wanted = _expected(name, start[index], [gradients(params, step)[index] for step in range(20)], 0.02)
        np.testing.assert_allclose(p.detach().numpy(), wanted, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_saved_optimizer_goes_on_with_the_same_bits(name: str, options: dict[str, Any]) -> None:
    straight = parameters()
    advance(getattr(optim, name)(straight, **options), straight, range(12))
    broken = parameters()
    first = getattr(optim, name)(broken, **options)
    advance(first, broken, range(5))
    state = first.state_dict()
    assert all(isinstance(array, np.ndarray) for moments in state["state"].values() for array in moments.values())
    groups = json.loads(json.dumps(state["param_groups"]))
    kept = {str(index): {key: array.copy() for key, array in moments.items()} for index, moments in state["state"].items()}
    weights = [p.data.clone() for p in broken]
    advance(first, broken, range(5, 6))  # what goes on in the old one does not reach into the saved state
    for index, moments in state["state"].items():
        for key, array in moments.items():
            np.testing.assert_array_equal(array, kept[str(index)][key])
    for p, w in zip(broken, weights, strict=True):
        p.data = w
    second = getattr(optim, name)(broken, **{**options, "lr": 123.0})
    second.load_state_dict({"state": kept, "param_groups": groups})
    assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"]
    advance(second, broken, range(5, 12))
    for p, q in zip(straight, broken, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_groups_zero_grad_and_parameters_without_gradients() -> None:
    a, b, c, _ = parameters()
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.0)
    optimizer.add_param_group({"params": [c], "momentum": 0.9})
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.5, 0.0]
    before = [p.detach().numpy().copy() for p in (a, b, c)]
    a.grad, b.grad = nc.ones(*a.shape), nc.ones(*b.shape)
    optimizer.step()
    np.testing.assert_array_equal(a.detach().numpy(), before[0])
    np.testing.assert_allclose(b.detach().numpy(), before[1] - 0.5, rtol=1e-6)
    np.testing.assert_array_equal(c.detach().numpy(), before[2])
    assert not optimizer.state[c]
    optimizer.zero_grad(set_to_none=False)
    assert not a.grad.numpy().any() and c.grad is None
    optimizer.zero_grad()
    assert a.grad is None
    assert [group["params"] for group in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_parameters_that_share_memory_move_one_after_the_other(name: str) -> None:
    """Large enough for several tasks: all at once, each would overwrite what the others have written."""
    ends = []
    for _ in range(20):
        memory = np.zeros(100_000, np.float32)
        params = [nc.nn.Parameter(nc.from_array(memory[i : 80_000 + i])) for i in (0, 10_000)] + [nc.nn.Parameter(nc.from_array(memory))]
        optimizer = getattr(optim, name)(params, lr=1.0)
        for p in params:
            p.grad = nc.ones(*p.shape)
        optimizer.step()
        ends.append(memory)
    wanted = np.full(100_000, -1, np.float32)
    wanted[:80_000] -= 1
    wanted[10_000:90_000] -= 1
    np.testing.assert_allclose(ends, np.broadcast_to(wanted, (20, 100_000)), rtol=1e-6)


def test_a_matrix_and_its_transpose_both_move() -> None:
    memory = np.zeros((3, 4), np.float32)
    params = [nc.nn.Parameter(nc.from_array(a)) for a in (memory, memory.T)]
    for p in params:
        p.grad = nc.ones(*p.shape)
    optim.SGD(params, lr=1.0).step()
    np.testing.assert_array_equal(memory, np.full((3, 4), -2))


@pytest.mark.parametrize(("name", "options"), [("SGD", {"lr": 0.05, "momentum": 0.9}), ("Adam", {"lr": 0.02}), ("AdamW", {"lr": 0.02})])
def test_moments_follow_their_parameters(name: str, options: dict[str, Any]) -> None:
    """To another dtype, by ``Module.to`` or by other data: as an optimiser that takes the state up in that dtype."""
    module = nc.nn.Module()
    for index, p in enumerate(parameters()):
        setattr(module, f"p{index}", nc.nn.Parameter(p.detach()))
    params = list(module.parameters())
    optimizer = getattr(optim, name)(params, **options)
    advance(optimizer, params, range(4))
    module.to(nc.float64)
    copies = [nc.tensor(p.detach(), requires_grad=True) for p in params]
    other = getattr(optim, name)(copies, **options)
    other.load_state_dict(optimizer.state_dict())
    for step in range(4, 8):
        if step == 6:
            for p in params:
                p.data = p.data.clone()
        for ps, moved in ((params, optimizer), (copies, other)):
            for p, g in zip(ps, gradients(ps, step), strict=True):
                p.grad = nc.tensor(g.astype(np.float64))
            moved.step()
    for p, q in zip(params, copies, strict=True):
        assert p.dtype == nc.float64
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    assert all(m.dtype == nc.float64 for state in optimizer.state.values() for m in state.values() if isinstance(m, nc.Tensor))


def test_a_step_is_a_write_that_backward_notices() -> None:
    w = nc.ones(3, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    loss = (w * w).sum()
    w.grad = nc.ones(3)
    optimizer.step()
    with pytest.raises(RuntimeError):
        loss.backward()


def test_repr() -> None:
    assert repr(one(0.5)) == (
        "SGD (\nParameter Group 0\n    dampening: 0.0\n    lr: 0.5\n    maximize: False\n    momentum: 0.0\n"
        "    nesterov: False\n    weight_decay: 0.0\n)"
    )


W = nc.zeros(2, requires_grad=True)


@pytest.mark.parametrize(
    ("kind", "make", "text"),
    [
        (TypeError, lambda: optim.SGD(W), "[SGD] expected an iterable of parameters; received Tensor; wrap it in a list."),
        (ValueError, lambda: optim.SGD([]), "[SGD] expected at least one parameter; received none."),
        (ValueError, lambda: optim.Adam([W, W]), "[Adam] expected each parameter once; received one that is there already."),
        (
            ValueError,
            lambda: optim.Adam([{"params": W}, {"params": [W]}]),
            "[Adam] expected each parameter once; received one that is there already.",
        ),
        (TypeError, lambda: optim.SGD(3), "[SGD] expected an iterable of parameters; received int."),
        (TypeError, lambda: optim.SGD([{"params": 3}]), "[SGD] expected an iterable of parameters; received int."),
        (TypeError, lambda: optim.SGD(np.array(1.0)), "[SGD] expected an iterable of parameters; received ndarray."),
        (TypeError, lambda: optim.SGD([{"params": np.array(1.0)}]), "[SGD] expected an iterable of parameters; received ndarray."),
        (
            TypeError,
            lambda: optim.SGD({W, nc.zeros(2)}),
            "[SGD] expected parameters in a fixed order; received a set; "
            "pass a list: a set has no order, and the saved state goes by order.",
        ),
        (
            TypeError,
            lambda: optim.SGD([{"params": frozenset([W])}]),
            "[SGD] expected parameters in a fixed order; received a frozenset; "
            "pass a list: a set has no order, and the saved state goes by order.",
        ),
        (TypeError, lambda: optim.SGD([3]), "[SGD] expected parameters that are Tensors; received int."),
        (TypeError, lambda: optim.SGD([{"params": W}, W]), "[SGD] expected all groups as dicts with 'params'; received Tensor."),
        (
            ValueError,
            lambda: optim.SGD([W * 2]),
            "[SGD] expected parameters that are leaves; received the result of an operation; call detach() first.",
        ),
        (ValueError, lambda: optim.SGD([W], lr=-1), "[SGD] expected lr as a number of at least 0; received -1."),
        (ValueError, lambda: optim.SGD([W], lr=10**400), f"[SGD] expected lr as a number of at least 0; received {10**400}."),
        (ValueError, lambda: optim.SGD([W], nesterov=1), "[SGD] expected nesterov as True or False; received 1."),
        (ValueError, lambda: optim.SGD([W], lr="1"), "[SGD] expected lr as a number of at least 0; received '1'."),
        (ValueError, lambda: optim.SGD([W], momentum=float("nan")), "[SGD] expected momentum as a number of at least 0; received nan."),
        (
            ValueError,
            lambda: optim.SGD([W], nesterov=True),
            "[SGD] expected a momentum above 0 and no dampening with nesterov=True; received momentum = 0.0 and dampening = 0.0.",
        ),
        (ValueError, lambda: optim.AdamW([W], betas=0.9), "[AdamW] expected betas as a pair of numbers; received 0.9."),
        (ValueError, lambda: optim.Adam([W], betas=(0.9, 1.0)), "[Adam] expected each of betas as a number in [0, 1); received 1.0."),
        (ValueError, lambda: optim.Adam([W], eps=-1), "[Adam] expected eps as a number of at least 0; received -1."),
        (TypeError, lambda: optim.StepLR(3, 1), "[StepLR] expected an Optimizer; received int."),
        (ValueError, lambda: optim.StepLR(one(), 0), "[StepLR] expected step_size as an integer of at least 1; received 0."),
        (ValueError, lambda: optim.StepLR(one(), 1, -1), "[StepLR] expected gamma as a number of at least 0; received -1."),
        (
            ValueError,
            lambda: optim.CosineAnnealingLR(one(), 1.5),
            "[CosineAnnealingLR] expected T_max as an integer of at least 1; received 1.5.",
        ),
        (
            ValueError,
            lambda: optim.CosineAnnealingLR(one(), 2, None),
            "[CosineAnnealingLR] expected eta_min as a number of at least 0; received None.",
        ),
        (
            ValueError,
            lambda: optim.OneCycleLR(one(), 1.0, epochs=2),
            "[OneCycleLR] expected total_steps, or epochs and steps_per_epoch; received epochs = 2 and steps_per_epoch = None.",
        ),
        (ValueError, lambda: optim.OneCycleLR(one(), 1.0, 0), "[OneCycleLR] expected total_steps as an integer of at least 1; received 0."),
        (ValueError, lambda: optim.OneCycleLR(one(), -1.0, 5), "[OneCycleLR] expected max_lr as a number of at least 0; received -1.0."),
        (
            ValueError,
            lambda: optim.OneCycleLR(one(), [1.0, 2.0], 5),
            "[OneCycleLR] expected max_lr for each of 1 groups; received 2 values.",
        ),
        (
            ValueError,
            lambda: optim.OneCycleLR(one(), 1.0, 5, cycle_momentum=None),
            "[OneCycleLR] expected cycle_momentum as True or False; received None.",
        ),
        (
            ValueError,
            lambda: optim.OneCycleLR(one(), 1.0, 5, anneal_strategy="sin"),
            "[OneCycleLR] expected anneal_strategy as 'cos' or 'linear'; received 'sin'.",
        ),
        (
            ValueError,
            lambda: optim.OneCycleLR(one(), 1.0, 5, max_momentum=1.0),
            "[OneCycleLR] expected max_momentum as a number in [0, 1); received 1.0.",
        ),
        (
            ValueError,
            lambda: optim.OneCycleLR(one(), 1.0, 5, pct_start=2.0),
            "[OneCycleLR] expected pct_start as a number from 0 to 1; received 2.0.",
        ),
        (
            ValueError,
            lambda: optim.OneCycleLR(one(), 1.0, 5, div_factor=0),
            "[OneCycleLR] expected div_factor as a number above 0; received 0.",
        ),
        (
            ValueError,
            lambda: optim.LinearLR(one(), 0.0),
            "[LinearLR] expected start_factor as a number above 0 and at most 1; received 0.0.",
        ),
        (
            ValueError,
            lambda: optim.LinearLR(one(), end_factor=1.5),
            "[LinearLR] expected end_factor as a number from 0 to 1; received 1.5.",
        ),
        (
            ValueError,
            lambda: optim.LinearLR(one(), total_iters=0),
            "[LinearLR] expected total_iters as an integer of at least 1; received 0.",
        ),
        (
            ValueError,
            lambda: optim.StepLR(one(), 2, last_epoch=3),
            "[StepLR] expected initial_lr in each group, to go on after last_epoch steps; received a group without it; "
            "load the optimiser's state first.",
        ),
        (ValueError, lambda: optim.StepLR(one(), 2).step(-1), "[StepLR] expected epoch as an integer of at least 0; received -1."),
        (ValueError, lambda: optim.ConstantLR(one(), 0.0), "[ConstantLR] expected factor as a number above 0 and at most 1; received 0.0."),
        (TypeError, lambda: optim.LambdaLR(one(), 0.5), "[LambdaLR] expected lr_lambda as a function, or a list of them; received 0.5."),
        (
            ValueError,
            lambda: optim.LambdaLR(one(), [abs, abs]),
            "[LambdaLR] expected lr_lambda for each of 1 groups; received 2 functions.",
        ),
        (
            ValueError,
            lambda: optim.LambdaLR(one(), str),
            "[LambdaLR] expected what lr_lambda gives as a number that is finite; received '0'.",
        ),
        (
            TypeError,
            lambda: optim.ReduceLROnPlateau(one()).step("bad"),
            "[ReduceLROnPlateau] expected metrics as a number; received 'bad'.",
        ),
        (
            ValueError,
            lambda: optim.ReduceLROnPlateau(one(), factor=1),
            "[ReduceLROnPlateau] expected factor as a number in [0, 1); received 1.",
        ),
        (TypeError, lambda: optim.ChainedScheduler([]), "[ChainedScheduler] expected a list of schedules; received []."),
        (
            ValueError,
            lambda: optim.ChainedScheduler([optim.StepLR(one(), 1), optim.StepLR(one(), 1)]),
            "[ChainedScheduler] expected schedules of one optimiser; received of several.",
        ),
        (
            ValueError,
            lambda: optim.ChainedScheduler([optim.ReduceLROnPlateau(one())]),
            "[ChainedScheduler] expected schedules whose steps take no measure; received a ReduceLROnPlateau; step it by itself.",
        ),
        (
            TypeError,
            lambda: optim.WarmUp(optim.ReduceLROnPlateau(one()), 3),
            "[WarmUp] expected a schedule to go on with; received ReduceLROnPlateau.",
        ),
        (TypeError, lambda: optim.WarmUp(one(), 3), "[WarmUp] expected a schedule to go on with; received SGD."),
        (
            ValueError,
            lambda: optim.WarmUp(optim.StepLR(one(), 1), 0),
            "[WarmUp] expected steps as an integer of at least 1; received 0.",
        ),
        (
            ValueError,
            lambda: optim.WarmUp(stepped(optim.StepLR(one(), 1), 2), 3),
            "[WarmUp] expected a schedule after 0 steps; received one after 2.",
        ),
    ],
)
def test_argument_errors(kind: type[Exception], make: Callable[[], Any], text: str) -> None:
    with exactly(kind, text):
        make()


def test_step_judges_all_gradients_before_it_moves_any() -> None:
    a, b = nc.zeros(2, requires_grad=True), nc.zeros(3, requires_grad=True)
    optimizer = optim.SGD([a, b], lr=1.0)
    a.grad, b.grad = nc.ones(2), nc.ones(4)
    with exactly(nc.ShapeError, "[SGD] expected a gradient (3,) for parameter 1; received (4,)."):
        optimizer.step()
    b.grad = nc.ones(3, dtype=nc.float64)
    with exactly(nc.DTypeError, "[SGD] expected a gradient in float32 on cpu for parameter 1; received float64 on cpu."):
        optimizer.step()
    assert not a.detach().numpy().any()
    b.grad = nc.ones(3)
    optimizer.param_groups[0]["momentum"] = 0.9
    optimizer.step()
    a.data, b.array = nc.zeros(2), np.zeros(4, np.float32)  # as no one should
    b.grad = nc.ones(4)
    with exactly(nc.ShapeError, "[SGD] expected momentum_buffer (4,) for parameter 1; received (3,)."):
        optimizer.step()
    assert not a.detach().numpy().any()


# -- moments belong to parameters --------------------------------------------------------------------------------------
def pair(**options: Any) -> tuple[nc.Tensor, nc.Tensor, optim.SGD]:
    """Two parameters in groups of their own, with momenta 1 and 100."""
    a, b = nc.zeros(1, requires_grad=True), nc.zeros(1, requires_grad=True)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], lr=1.0, momentum=0.9, **options)
    a.grad, b.grad = nc.tensor([1.0]), nc.tensor([100.0])
    optimizer.step()
    optimizer.zero_grad()
    return a, b, optimizer


def moved(optimizer: optim.Optimizer, p: nc.Tensor) -> float:
    """How far a step with no gradient moves a parameter: by its momentum."""
    p.grad = nc.zeros(1)
    before = p.item()
    optimizer.step()
    return before - p.item()


def test_moments_stay_with_their_parameters() -> None:
    _, b, optimizer = pair()
    optimizer.param_groups.pop(0)
    assert moved(optimizer, b) == pytest.approx(90)
    a, b, optimizer = pair()
    optimizer.param_groups.reverse()
    assert moved(optimizer, b) == pytest.approx(90)
    assert moved(optimizer, a) == pytest.approx(0.9)
    for change in ("append", "insert", "replace"):
        a, b, optimizer = pair()
        c = nc.zeros(1, requires_grad=True)
        group = optimizer.param_groups[0]["params"]
        group[:] = {"append": [a, c], "insert": [c, a], "replace": [c]}[change]
        assert moved(optimizer, c) == 0, change
        assert moved(optimizer, b) == pytest.approx(90), change


def test_parameters_that_have_left_are_not_saved_and_keep_their_moments() -> None:
    a, b, optimizer = pair()
    gone = optimizer.param_groups.pop(0)
    state = optimizer.state_dict()
    assert list(state["state"]) == [0]
    assert state["state"][0]["momentum_buffer"].item() == 100
    fresh = optim.SGD([b], lr=1.0, momentum=0.9)
    fresh.load_state_dict(state)
    assert fresh.state[b]["momentum_buffer"].item() == 100
    optimizer.param_groups.append(gone)
    assert moved(optimizer, a) == pytest.approx(0.9)
    del optimizer.state[a]
    assert moved(optimizer, a) == 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["deepcopy", "pickle"])
def test_copies_of_optimizers_have_their_own_parameters_and_moments(copied: Any) -> None:
    a, b, optimizer = pair()
    schedule = copied(optim.StepLR(optimizer, 1, 0.5))
    other = schedule.optimizer
    c, d = (group["params"][0] for group in other.param_groups)
    schedule.step()
    assert other.param_groups[0]["lr"] == 0.5
    assert moved(other, d) == pytest.approx(45)
    assert (a.item(), b.item(), c.item(), d.item()) == pytest.approx((-1, -100, -1, -145))
    assert optimizer.state[b]["momentum_buffer"].item() == 100


# -- damaged states ----------------------------------------------------------------------------------------------------
def adam_and_state() -> tuple[optim.Adam, dict[str, Any]]:
    params = [nc.zeros(2, requires_grad=True), nc.zeros(3, requires_grad=True)]
    optimizer = optim.Adam([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}])
    for p in params:
        p.grad = nc.ones(*p.shape)
    optim.StepLR(optimizer, 3)
    optimizer.step()
    return optimizer, optimizer.state_dict()


def changed(state: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value there; without the key where the value is ``...``."""
    if not path:
        return value
    found = list(state) if isinstance(state, list) else dict(state)
    if len(path) == 1 and value is ...:
        del found[path[0]]
    else:
        last = len(path) == 1
        found[path[0]] = value if last else changed(found[path[0]], path[1:], value)
    return found


FLOATS = np.ones(2, np.float32)
DAMAGED: list[tuple[tuple[Any, ...], Any, str]] = [
    ((), [], "a mapping with 'state' and 'param_groups'; received list."),
    ((), {"state": {}}, "a mapping with 'state' and 'param_groups'; received state."),
    (("param_groups",), {}, "param_groups as a list of dicts; received dict."),
    (("param_groups", 1), 3, "param_groups as a list of dicts; received list."),
    (("param_groups", 1), ..., "groups of [1, 1] parameters, by positions from 0; received groups of [1]."),
    (("param_groups", 1, "params"), ..., "groups of [1, 1] parameters, by positions from 0; received groups of [1, 'NoneType']."),
    (("param_groups", 1, "params"), [1, 2], "groups of [1, 1] parameters, by positions from 0; received groups of [1, 2]."),
    (("param_groups", 1, "params"), [0], "groups of [1, 1] parameters, by positions from 0; received other positions."),
    (("param_groups", 1, "params"), ["x"], "groups of [1, 1] parameters, by positions from 0; received other positions."),
    (("param_groups", 1, "params"), [FLOATS], "groups of [1, 1] parameters, by positions from 0; received other positions."),
    (("param_groups", 1, "betas"), ..., "groups with lr, betas, eps, weight_decay, amsgrad, maximize; received a group without betas."),
    (("param_groups", 1, "lr"), -1e-17, "lr as a number of at least 0; received -1e-17."),
    (("param_groups", 1, "lr"), float("nan"), "lr as a number of at least 0; received nan."),
    (("param_groups", 1, "eps"), "1", "eps as a number of at least 0; received '1'."),
    (("param_groups", 1, "betas"), [0.9], "betas as a pair of numbers; received (0.9,)."),
    (("param_groups", 1, "betas"), [0.9, 1.0], "each of betas as a number in [0, 1); received 1.0."),
    (("param_groups", 1, "initial_lr"), math.inf, "initial_lr as a number of at least 0; received inf."),
    (("state",), [], "state as a dict that holds a dict for each position; received list."),
    (("state", 1), 3, "state as a dict that holds a dict for each position; received dict."),
    (("state", 2), {}, "positions below 2; received 2."),
    (("state", -1), {}, "positions below 2; received -1."),
    (("state", "x"), {}, "positions below 2; received 'x'."),
    (("state",), {1.0: {}}, "positions below 2; received 1.0."),
    (("state",), {True: {}}, "positions below 2; received True."),
    (("state", "1"), {}, "each position once; received 1 as a number and as a string."),
    (("state", 1, "exp_avg_sq"), ..., "step, exp_avg, exp_avg_sq for parameter 1; received step, exp_avg."),
    (("state", 1, "extra"), FLOATS, "step, exp_avg, exp_avg_sq for parameter 1; received step, exp_avg, exp_avg_sq, extra."),
    (("state", 1), {"momentum_buffer": FLOATS}, "step, exp_avg, exp_avg_sq for parameter 1; received momentum_buffer."),
    (("state", 1, "step"), -1, "step of parameter 1 as an integer of at least 0; received -1."),
    (("state", 1, "step"), np.float32(1.5), "step of parameter 1 as an integer of at least 0; received np.float32(1.5)."),
    (("state", 1, "step"), np.float32(math.inf), "step of parameter 1 as an integer of at least 0; received np.float32(inf)."),
    (("state", 1, "step"), np.float32(math.nan), "step of parameter 1 as an integer of at least 0; received np.float32(nan)."),
    (("state", 1, "step"), np.ones(2, int), "step of parameter 1 as an integer of at least 0; received array([1, 1])."),
    (("state", 1, "exp_avg"), FLOATS, "exp_avg of parameter 1 in the parameter's shape (3,); received shape (2,)."),
    (("state", 1, "exp_avg"), np.ones(3, int), "exp_avg of parameter 1 as an array of floats; received int64."),
    (("state", 1, "exp_avg"), [[1], 2], "exp_avg of parameter 1 as an array of floats; received list."),
    (("state", 1, "exp_avg_sq"), -np.ones(3, np.float32), "exp_avg_sq of parameter 1 of at least 0; received negative values."),
]


def described(optimizer: optim.Optimizer) -> str:
    return repr(optimizer.state_dict()) + repr(list(map(id, optimizer.state)))


@pytest.mark.parametrize(
    ("path", "value", "text"), DAMAGED, ids=[f"{'-'.join(map(str, path))}:{text[-30:-1]}" for path, _, text in DAMAGED]
)
def test_a_damaged_state_changes_nothing(path: tuple[Any, ...], value: Any, text: str) -> None:
    optimizer, state = adam_and_state()
    state = changed(state, ("param_groups", 0, "lr"), 7.0)
    state = changed(state, ("state", 0, "exp_avg"), -FLOATS)
    before = described(optimizer)
    with exactly(ValueError, f"[Adam.load_state_dict] expected {text}"):
        optimizer.load_state_dict(changed(state, path, value))
    assert described(optimizer) == before
    optimizer.load_state_dict(state)
    assert described(optimizer) != before


def test_sgd_judges_the_state_that_it_loads() -> None:
    _, b, optimizer = pair(nesterov=True)
    state = optimizer.state_dict()
    op = "[SGD.load_state_dict] expected "
    with exactly(ValueError, op + "nesterov as True or False; received 'no'."):
        optimizer.load_state_dict(changed(state, ("param_groups", 1, "nesterov"), "no"))
    text = "a momentum above 0 and no dampening with nesterov=True; received momentum = 0 and dampening = 0.0."
    with exactly(ValueError, op + text):
        optimizer.load_state_dict(changed(state, ("param_groups", 1, "momentum"), 0))
    with exactly(ValueError, op + "momentum_buffer for parameter 1; received velocity."):
        optimizer.load_state_dict(changed(state, ("state", 1), {"velocity": np.zeros(1)}))
    optimizer.load_state_dict(changed(state, ("state", 1), {}))
    assert not optimizer.state[b]


PYTORCHS = {"foreach": True, "maximize": False, "amsgrad": False, "capturable": True, "differentiable": False, "fused": None}


def test_pytorch_s_other_options_are_kept_or_refused() -> None:
    """What does not change the steps is kept; what would is refused, in a state and in a group."""
    optimizer, state = adam_and_state()
    for name, value in {**PYTORCHS, "decoupled_weight_decay": False}.items():
        state = changed(state, ("param_groups", 1, name), value)
    optimizer.load_state_dict(state)
    assert PYTORCHS.items() <= optimizer.state_dict()["param_groups"][1].items()
    before = described(optimizer)
    for name in ("differentiable", "decoupled_weight_decay"):
        text = f"expected {name} = False, which is all that Adam has; received True."
        with exactly(ValueError, f"[Adam.load_state_dict] {text}"):
            optimizer.load_state_dict(changed(state, ("param_groups", 1, name), True))
        with exactly(ValueError, f"[Adam] {text}"):
            optim.Adam([{"params": parameters(), name: True}])
    assert described(optimizer) == before
    decoupled = optim.AdamW(parameters())
    with exactly(
        ValueError, "[AdamW.load_state_dict] expected decoupled_weight_decay = True, which is all that AdamW has; received False."
    ):
        decoupled.load_state_dict(changed(decoupled.state_dict(), ("param_groups", 0, "decoupled_weight_decay"), False))
    with exactly(ValueError, "[SGD] expected maximize as True or False; received 1."):
        optim.SGD([{"params": parameters(), "maximize": 1}])


def test_a_state_from_before_an_option_was_there_is_taken_up() -> None:
    optimizer, state = adam_and_state()
    for name in ("maximize", "amsgrad"):
        state = changed(state, ("param_groups", 1, name), ...)
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[1]["maximize"] is optimizer.param_groups[1]["amsgrad"] is False


def test_what_a_state_holds_depends_on_the_group() -> None:
    params = parameters()
    optimizer = optim.RMSprop([{"params": params[:1]}, {"params": params[1:], "momentum": 0.9, "centered": True}])
    advance(optimizer, params, range(2))
    state = optimizer.state_dict()
    assert [list(moments) for moments in state["state"].values()] == [
        ["step", "square_avg"],
        *[["step", "square_avg", "momentum_buffer", "grad_avg"]] * 3,
    ]
    optimizer.load_state_dict(state)
    text = "[RMSprop.load_state_dict] expected step, square_avg for parameter 0; received step, square_avg, momentum_buffer, grad_avg."
    with exactly(ValueError, text):
        optimizer.load_state_dict(changed(state, ("state", 0), state["state"][1]))
    optimizer.load_state_dict(changed(changed(state, ("param_groups", 1, "centered"), False), ("state",), {}))
    advance(optimizer, params, range(1))
    assert list(optimizer.state[params[1]]) == ["step", "square_avg", "momentum_buffer"]
    with exactly(ValueError, "[NAdam.load_state_dict] expected mu_product of parameter 0 as a number of at least 0; received -1.0."):
        nadam = optim.NAdam(params)
        advance(nadam, params, range(1))
        nadam.load_state_dict(changed(nadam.state_dict(), ("state", 0, "mu_product"), np.float32(-1)))


def test_a_closure_works_the_gradients_out() -> None:
    w = nc.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)

    def closure() -> nc.Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert [optimizer.step(closure).item() for _ in range(2)] == [1.0, 0.25]
    assert w.item() == 0.25 and optimizer.step() is None


@pytest.mark.parametrize("step", [3, np.int64(3), np.float32(3), np.array(3.0), nc.tensor(3.0), nc.tensor(3)], ids=repr)
def test_steps_are_taken_as_pytorch_keeps_them(step: Any) -> None:
    optimizer, state = adam_and_state()
    optimizer.load_state_dict(changed(state, ("state", 0, "step"), step))
    kept = optimizer.state_dict()["state"][0]["step"]
    assert kept == 3 and kept.shape == () and kept.dtype == np.float64


def test_momentum_that_pytorch_has_not_begun_is_none() -> None:
    _, b, optimizer = pair()
    state = changed(optimizer.state_dict(), ("state", 1), {"momentum_buffer": None})
    optimizer.load_state_dict(state)
    assert not optimizer.state[b]


def test_moments_that_are_loaded_in_another_order_go_on_moving() -> None:
    found = []
    for order in "CF":
        params = parameters()
        optimizer = optim.Adam(params)
        advance(optimizer, params, range(2))
        state = optimizer.state_dict()
        for moments in state["state"].values():
            moments |= {name: np.array(value, order=order) for name, value in moments.items()}
        optimizer.load_state_dict(state)
        advance(optimizer, params, range(2, 5))
        found.append([p.detach().numpy() for p in params])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_parameter_that_repeats_elements_is_refused() -> None:
    p, q = nc.ones(2, requires_grad=True), nc.ones(1).expand(3).requires_grad_()
    p.grad, q.grad = nc.ones(2), nc.ones(3)
    text = "[SGD] expected memory that can be written to; received a view that repeats elements; write to a clone()."
    with exactly(RuntimeError, text):
        optim.SGD([p, q], 0.1).step()
    assert p.tolist() == [1, 1] and q.tolist() == [1, 1, 1]


def test_moments_that_are_not_finite_are_taken_up() -> None:
    """A square can overflow where training goes on: such a run is resumed too."""
    optimizer, state = adam_and_state()
    optimizer.load_state_dict(changed(state, ("state", 0, "exp_avg_sq"), np.array([math.inf, math.nan], np.float32)))
    np.testing.assert_array_equal(optimizer.state_dict()["state"][0]["exp_avg_sq"], [math.inf, math.nan])


# -- schedules ---------------------------------------------------------------------------------------------------------
def course(schedule: optim.Schedule, steps: int) -> list[float]:
    rates = [schedule.optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
        assert schedule.optimizer.param_groups[0]["lr"] == rates[-1]
    return rates


def stepped(schedule: optim.Schedule, steps: int) -> optim.Schedule:
    course(schedule, steps)
    return schedule


def test_schedules_follow_their_formulas() -> None:
    rates = course(optim.StepLR(one(0.5), 3, 0.1), 9)
    np.testing.assert_allclose(rates, [0.5 * 0.1 ** (t // 3) for t in range(10)], rtol=1e-12)
    rates = course(optim.CosineAnnealingLR(one(0.5), 8, 0.1), 12)
    np.testing.assert_allclose(rates, [0.1 + 0.2 * (1 + math.cos(math.pi * t / 8)) for t in range(13)], rtol=1e-12)
    rates = course(optim.LinearLR(one(0.5), 0.2, total_iters=4), 6)
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5], rtol=1e-12)
    optimizer = one(momentum=0.9)
    schedule = optim.OneCycleLR(optimizer, 0.4, 11, pct_start=4 / 11, anneal_strategy="linear", div_factor=4.0, final_div_factor=10.0)
    momenta, rates = [], []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        schedule.step()
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4] + [0.4 - 0.39 * k / 7 for k in range(1, 8)], rtol=1e-12)
    np.testing.assert_allclose(momenta, [0.95 - 0.1 * k / 3 for k in range(4)] + [0.85 + 0.1 * k / 7 for k in range(1, 8)], rtol=1e-12)
    with exactly(ValueError, "[OneCycleLR] expected at most total_steps = 11 steps; received step 12."):
        schedule.step()
    assert schedule.last_epoch == 11


def test_warm_up_before_another_schedule() -> None:
    rates = course(optim.WarmUp(optim.CosineAnnealingLR(one(), 6), 4, start_factor=0.0), 10)
    np.testing.assert_allclose(rates, [0.0, 0.25, 0.5, 0.75] + [(1 + math.cos(math.pi * t / 6)) / 2 for t in range(7)], atol=1e-12)
    optimizer = one(momentum=0.9)
    rates = course(optim.WarmUp(optim.OneCycleLR(optimizer, 1.0, 5), 2, start_factor=0.5), 7)
    inner = course(optim.OneCycleLR(one(momentum=0.9), 1.0, 5), 5)
    np.testing.assert_allclose(rates, [0.02, 0.03, *inner], rtol=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3, 10])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_one_cycle_is_finite_at_its_corners(total: int, share: float) -> None:
    rates = course(optim.OneCycleLR(one(), 1.0, total, pct_start=share), total - 1)
    assert all(0 <= rate <= 1.0 for rate in rates)


def test_a_chain_in_a_sequence_begins_as_it_does_alone() -> None:
    """PyTorch's makes a step too many of it, and a cosine goes up."""

    def chain(optimizer: Any) -> optim.ChainedScheduler:
        return optim.ChainedScheduler([optim.CosineAnnealingLR(optimizer, 6), optim.MultiplicativeLR(optimizer, lambda step: 0.9)])

    optimizer = one(0.5)
    rates = course(optim.SequentialLR(optimizer, [chain(optimizer), optim.ConstantLR(optimizer, 0.5, 2)], [3]), 5)
    assert rates[:3] == course(chain(one(0.5)), 2) and rates[3:] == [0.25, 0.25, 0.5]


SCHEDULES: dict[str, Callable[[Any], optim.Schedule]] = {
    "milestones": lambda o: optim.MultiStepLR(o, [3, 9]),
    "restarts": lambda o: optim.CosineAnnealingWarmRestarts(o, 3, 2),
    "cyclic": lambda o: optim.CyclicLR(o, 0.1, 0.4, 3, mode="exp_range", gamma=0.9),
    "function": lambda o: optim.LambdaLR(o, lambda step: 1 / (1 + step)),
    "sequence": lambda o: optim.SequentialLR(o, [optim.ConstantLR(o), optim.ExponentialLR(o, 0.9), optim.PolynomialLR(o)], [3, 9]),
    "chained": lambda o: optim.ChainedScheduler([optim.ConstantLR(o), optim.ExponentialLR(o, 0.9)]),
    "step": lambda o: optim.StepLR(o, 3),
    "cosine": lambda o: optim.CosineAnnealingLR(o, 9, 0.01),
    "one-cycle": lambda o: optim.OneCycleLR(o, 0.4, 20),
    "one-cycle-epochs": lambda o: optim.OneCycleLR(o, [0.4], epochs=5, steps_per_epoch=4, cycle_momentum=False),
    "warmup": lambda o: optim.LinearLR(o),
    "chain": lambda o: optim.WarmUp(optim.OneCycleLR(o, 0.4, 20), 5),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_saved_schedule_goes_on_with_the_same_bits(name: str, kind: str) -> None:
    def start() -> tuple[list[nc.Tensor], Any, optim.Schedule]:
        params = parameters()
        optimizer = optim.Adam(params, lr=0.1) if kind == "Adam" else optim.SGD(params, lr=0.1, momentum=0.9)
        return params, optimizer, SCHEDULES[name](optimizer)

    def go(params: list[nc.Tensor], optimizer: Any, schedule: optim.Schedule, steps: range) -> None:
        for step in steps:
            advance(optimizer, params, range(step, step + 1))
            schedule.step()

    straight = start()
    go(*straight, range(12))
    first = start()
    go(*first, range(7))
    second = start()
    for p, q in zip(first[0], second[0], strict=True):
        q.data = p.data.clone()
    second[1].load_state_dict(first[1].state_dict())
    second[2].load_state_dict(json.loads(json.dumps(first[2].state_dict())))
    assert second[2].get_last_lr() == first[2].get_last_lr()
    go(*second, range(7, 12))
    for p, q in zip(straight[0], second[0], strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_a_schedule_does_not_load_anothers_state() -> None:
    schedule = optim.StepLR(one(), 3)
    text = "[StepLR.load_state_dict] expected the names base_lrs, gamma, last_epoch, step_size; "
    with exactly(ValueError, text + "received T_max, base_lrs, eta_min, last_epoch."):
        schedule.load_state_dict(optim.CosineAnnealingLR(one(), 3).state_dict())


BROKEN: list[tuple[str, tuple[Any, ...], Any, str]] = [
    ("step", (), [], "[StepLR.load_state_dict] expected a mapping; received list."),
    (
        "step",
        (3,),
        3,
        "[StepLR.load_state_dict] expected the names base_lrs, gamma, last_epoch, step_size; "
        "received 3, base_lrs, gamma, last_epoch, step_size.",
    ),
    (
        "step",
        ("gamma",),
        ...,
        "[StepLR.load_state_dict] expected the names base_lrs, gamma, last_epoch, step_size; received base_lrs, last_epoch, step_size.",
    ),
    ("step", ("step_size",), 0, "[StepLR.load_state_dict] expected step_size as an integer of at least 1; received 0."),
    ("step", ("gamma",), math.nan, "[StepLR.load_state_dict] expected gamma as a number of at least 0; received nan."),
    ("step", ("last_epoch",), -1, "[StepLR.load_state_dict] expected last_epoch as an integer of at least 0; received -1."),
    ("step", ("last_epoch",), 1.5, "[StepLR.load_state_dict] expected last_epoch as an integer of at least 0; received 1.5."),
    ("step", ("base_lrs",), [0.1, 0.2], "[StepLR.load_state_dict] expected base_lrs for each of 1 groups; received 2 values."),
    ("step", ("base_lrs",), 0.1, "[StepLR.load_state_dict] expected base_lrs for each of 1 groups; received float."),
    ("step", ("base_lrs",), [-0.1], "[StepLR.load_state_dict] expected base_lrs as a number of at least 0; received -0.1."),
    ("cosine", ("T_max",), 0, "[CosineAnnealingLR.load_state_dict] expected T_max as an integer of at least 1; received 0."),
    ("cosine", ("eta_min",), -1, "[CosineAnnealingLR.load_state_dict] expected eta_min as a number of at least 0; received -1."),
    ("warmup", ("total_iters",), None, "[LinearLR.load_state_dict] expected total_iters as an integer of at least 1; received None."),
    (
        "warmup",
        ("start_factor",),
        0,
        "[LinearLR.load_state_dict] expected start_factor as a number above 0 and at most 1; received 0.",
    ),
    ("one-cycle", ("max_lrs",), [], "[OneCycleLR.load_state_dict] expected max_lrs for each of 1 groups; received 0 values."),
    ("one-cycle", ("max_lrs",), ["x"], "[OneCycleLR.load_state_dict] expected max_lrs as a number of at least 0; received 'x'."),
    ("one-cycle", ("last_epoch",), 21, "[OneCycleLR.load_state_dict] expected at most total_steps = 20 steps; received 21."),
    ("one-cycle", ("div_factor",), 0, "[OneCycleLR.load_state_dict] expected div_factor as a number above 0; received 0."),
    (
        "one-cycle",
        ("anneal_strategy",),
        ["cos"],
        "[OneCycleLR.load_state_dict] expected anneal_strategy as 'cos' or 'linear'; received ['cos'].",
    ),
    ("chain", ("schedule",), None, "[OneCycleLR.load_state_dict] expected a mapping; received NoneType."),
    ("chain", ("schedule", "pct_start"), 2, "[OneCycleLR.load_state_dict] expected pct_start as a number from 0 to 1; received 2."),
    ("chain", ("schedule", "last_epoch"), 1, "[WarmUp.load_state_dict] expected a schedule after 2 steps; received one after 1."),
    ("chain", ("steps",), "5", "[WarmUp.load_state_dict] expected steps as an integer of at least 1; received '5'."),
    ("milestones", ("milestones",), 3, "[MultiStepLR.load_state_dict] expected milestones as a list of integers; received 3."),
    (
        "milestones",
        ("milestones",),
        [1.5],
        "[MultiStepLR.load_state_dict] expected each of milestones as an integer of at least 0; received 1.5.",
    ),
    ("restarts", ("T_i",), 0, "[CosineAnnealingWarmRestarts.load_state_dict] expected T_i as an integer of at least 1; received 0."),
    (
        "cyclic",
        ("mode",),
        "sine",
        "[CyclicLR.load_state_dict] expected mode as 'triangular', 'triangular2' or 'exp_range'; received 'sine'.",
    ),
    ("cyclic", ("max_lrs",), [], "[CyclicLR.load_state_dict] expected max_lrs for each of 1 groups; received 0 values."),
    ("sequence", ("_schedulers",), [], "[SequentialLR.load_state_dict] expected the states of 3 schedules; received []."),
    (
        "sequence",
        ("_milestones",),
        [9, 3],
        "[SequentialLR.load_state_dict] expected 2 milestones for 3 schedules, in order; received [9, 3].",
    ),
    ("chained", ("_schedulers",), 3, "[ChainedScheduler.load_state_dict] expected the states of 2 schedules; received 3."),
    ("chain", ("warm_lrs",), [math.inf], "[WarmUp.load_state_dict] expected warm_lrs as a number of at least 0; received inf."),
]


@pytest.mark.parametrize(("name", "path", "value", "text"), BROKEN, ids=[f"{row[0]}-{'-'.join(map(str, row[1]))}" for row in BROKEN])
def test_a_damaged_state_of_a_schedule_changes_nothing(name: str, path: tuple[Any, ...], value: Any, text: str) -> None:
    state = stepped(SCHEDULES[name](one(momentum=0.9)), 7).state_dict()
    schedule = SCHEDULES[name](one(momentum=0.9))
    before = repr((schedule.state_dict(), schedule.optimizer))
    with exactly(ValueError, text):
        schedule.load_state_dict(changed(state, path, value))
    assert repr((schedule.state_dict(), schedule.optimizer)) == before
    schedule.load_state_dict(state)
    assert getattr(schedule, "last_epoch", 7) == 7  # a chain has none, as PyTorch's


def test_a_schedule_that_is_refused_leaves_the_optimizer_as_it_was() -> None:
    for make in (lambda o: optim.OneCycleLR(o, [0.1, -1.0], 5), lambda o: optim.StepLR(o, 0), lambda o: optim.LinearLR(o, 0.5, 2.0)):
        optimizer = optim.SGD([{"params": [nc.zeros(1)]}, {"params": [nc.zeros(1)]}], lr=1.0, momentum=0.9)
        before = repr(optimizer)
        with pytest.raises(ValueError, match="expected"):
            make(optimizer)
        assert repr(optimizer) == before


@pytest.mark.parametrize("start", [0.1, 0.3, 1 / 3, 0.7, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 6, 7, 10])
def test_a_linear_schedule_ends_at_zero_exactly(start: float, steps: int) -> None:
    optimizer = one(0.3)
    rates = course(optim.LinearLR(optimizer, start, 0.0, steps), steps + 2)
    assert min(rates) == 0 and rates[steps:] == [0, 0, 0] and all(rates[:steps])
    one().load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("total", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("strategy", ["linear", "cos"])
def test_one_cycle_leaves_values_that_can_be_loaded(total: int, strategy: str) -> None:
    """Also after its last step, and where it ends near zero."""
    optimizer = one(momentum=0.9)
    rates = course(optim.OneCycleLR(optimizer, 0.4, total, anneal_strategy=strategy, final_div_factor=1e20), total)
    assert min(rates) > 0
    assert 0.85 <= optimizer.param_groups[0]["momentum"] <= 0.95
    one().load_state_dict(optimizer.state_dict())


def test_a_rate_below_the_least_of_a_cosine_does_not_become_negative() -> None:
    optimizer = one()
    schedule = stepped(optim.CosineAnnealingLR(optimizer, 4, 0.1), 5)
    optimizer.param_groups[0]["lr"] = 0.0
    assert min(course(schedule, 8)) == 0


def test_schedules_go_on_from_a_rate_set_by_hand() -> None:
    optimizer = one()
    optim.StepLR(optimizer, 10)
    optimizer.param_groups[0]["lr"] = 1e-4
    schedule = optim.StepLR(optimizer, 10)
    assert schedule.get_last_lr() == [1e-4]
    assert schedule.base_lrs == [1.0]
    rates = course(schedule, 10)
    assert rates[9] == 1e-4 and rates[10] == pytest.approx(1e-5)
    warm = optim.WarmUp(optim.StepLR(one(), 2, 0.5), 4, 0.2)  # factors 0.2, 0.4, 0.6, 0.8, 1
    stepped(warm, 2)
    warm.optimizer.param_groups[0]["lr"] = 0.06
    np.testing.assert_allclose(course(warm, 4), [0.06, 0.08, 0.1, 0.1, 0.05], rtol=1e-12)


def test_the_last_rates_are_those_that_the_schedule_left() -> None:
    """Whoever has moved the optimiser's since: a schedule that warms up, and asks one that it hands over to, counts on it."""
    optimizer = one()
    schedule = optim.ExponentialLR(optimizer, 0.5)
    optimizer.param_groups[0]["lr"] = 8.0
    assert schedule.get_last_lr() == [1.0]
    schedule.get_last_lr().clear()
    schedule.step()
    assert schedule.get_last_lr() == [4.0]
    optimizer.param_groups[0]["lr"] = 2.0  # as loading its state does
    schedule.load_state_dict(schedule.state_dict())
    assert schedule.get_last_lr() == [2.0]


def test_a_schedule_whose_step_does_all_itself_knows_the_first_rates() -> None:
    class Doubles(optim.lr_scheduler.LRScheduler):
        def step(self, epoch: int | None = None) -> None:
            for group, base in zip(self.optimizer.param_groups, self.base_lrs):
                group["lr"] = 2 * base

    schedule = Doubles(one())
    for _ in range(3):
        schedule.step()
    assert schedule.base_lrs == [1.0] and schedule.optimizer.param_groups[0]["lr"] == 2.0


def test_schedules_follow_groups_that_come_and_go() -> None:
    def groups() -> optim.SGD:
        return optim.SGD([{"params": [nc.zeros(1)], "lr": lr} for lr in (1.0, 2.0, 4.0)], momentum=0.9)

    optimizer = groups()
    schedule = optim.CosineAnnealingLR(optimizer, 1)
    schedule.step()
    assert schedule.get_last_lr() == [0, 0, 0]
    optimizer.param_groups.pop(0)
    schedule.step()
    assert schedule.get_last_lr() == schedule.base_lrs == [2.0, 4.0]
    optimizer.add_param_group({"params": [nc.zeros(1)], "lr": 8.0})
    assert schedule.base_lrs == [2.0, 4.0, 8.0]
    assert schedule.state_dict()["base_lrs"] == [2.0, 4.0, 8.0]
    schedule.step()
    schedule.step()
    assert schedule.get_last_lr() == [2.0, 4.0, 8.0]
    optimizer = groups()
    schedule = optim.OneCycleLR(optimizer, [1.0, 2.0, 4.0], 5, pct_start=0.4, div_factor=4.0)
    optimizer.param_groups.pop(1)
    schedule.step()
    assert schedule.get_last_lr() == [1.0, 4.0]
    optimizer.add_param_group({"params": [nc.zeros(1)]})
    text = "[OneCycleLR] expected max_lr in a group that came later; received none; call add_param_group({..., 'max_lr': ...})."
    for call in (schedule.step, schedule.state_dict):
        with exactly(ValueError, text):
            call()
    assert schedule.last_epoch == 1 and schedule.get_last_lr()[:2] == [1.0, 4.0]
    optimizer.param_groups[2]["max_lr"] = 8.0
    schedule.step()
    np.testing.assert_allclose(np.array(schedule.get_last_lr()) / schedule.get_last_lr()[0], [1, 4, 8], rtol=1e-12)
    assert optimizer.param_groups[2]["momentum"] == optimizer.param_groups[0]["momentum"] > 0.85
    assert schedule.base_lrs == [0.25, 1.0, 2.0]


class Averaging(optim.Optimizer):
    """As one writes it for PyTorch: a step of its own, no rate until it is needed, and whatever it likes in its state."""

    def __init__(self, params: list[nc.Tensor]) -> None:
        super().__init__(params, {"lr": None, "shape": [[1, 2], [3]]})

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(step=0, seen=[], total=nc.zeros(2, 3))
                state["step"] += 1
                state["seen"].append(p.grad)
                state["total"] += p.grad
                p.data.sub_(state["total"], alpha=0.5 / state["step"])


def test_the_state_of_an_optimiser_of_ones_own() -> None:
    p = nc.zeros(2, 3, requires_grad=True)
    optimizer = Averaging([p])
    p.grad = nc.ones(2, 3)
    optimizer.step()
    saved = optimizer.state_dict()
    assert type(saved["state"][0]["total"]) is np.ndarray and saved["state"][0]["step"] == 1
    other = Averaging([q := nc.zeros(2, 3, requires_grad=True)])
    other.load_state_dict(saved)
    optimizer.step()  # what was saved is a copy
    assert saved["state"][0]["seen"] is not optimizer.state[p]["seen"]
    state = other.state[q]
    assert type(state["step"]) is int and state["step"] == 1 and state["seen"] is not saved["state"][0]["seen"]
    assert isinstance(state["total"], nc.Tensor) and state["total"].tolist() == [[1.0] * 3] * 2
    q.grad = nc.ones(2, 3)
    other.step()
    assert q.tolist() == [[-0.5] * 3] * 2


def test_the_state_of_a_schedule_of_ones_own() -> None:
    class Halving(optim.Schedule):
        """As one writes it for PyTorch."""

        def __init__(self, optimizer: optim.Optimizer, at: list[int]) -> None:
            self.at = at
            super().__init__(optimizer)

        def get_lr(self) -> list[float]:
            return [group["lr"] / (2 if self.last_epoch in self.at else 1) for group in self.optimizer.param_groups]

    schedule = Halving(one(), [1, 3])
    assert course(schedule, 4) == [1.0, 0.5, 0.5, 0.25, 0.25]
    state = schedule.state_dict()
    assert state == {"base_lrs": [1.0], "at": [1, 3], "last_epoch": 4}
    other = Halving(one(), [])
    other.load_state_dict(state)
    state["at"].append(5)
    assert other.at == schedule.at == [1, 3]


def test_a_step_that_is_refused_leaves_no_state() -> None:
    first, second = (nc.nn.Parameter(nc.ones(2)) for _ in range(2))
    optimizer = nc.optim.Adam([first, second])
    first.grad, second.grad = nc.ones(2), nc.ones(3)
    with pytest.raises(nc.ShapeError):
        optimizer.step()
    assert optimizer.state_dict()["state"] == {}
    assert first.tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "Adadelta"])
def test_a_rate_may_be_a_tensor(kind: str) -> None:
    w = nc.ones(2, requires_grad=True)
    optimizer = getattr(nc.optim, kind)([{"params": w, "weight_decay": nc.tensor(0.25)}], lr=nc.tensor(0.5))
    assert [optimizer.param_groups[0][name] for name in ("lr", "weight_decay")] == [0.5, 0.25]
    assert type(optimizer.param_groups[0]["lr"]) is float and type(optimizer.defaults["lr"]) is float
