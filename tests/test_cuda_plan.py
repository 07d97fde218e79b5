"""Compiled functions on the device have the bits of eager ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_plan import LAYERS, OPTIMISERS, RETURNED, SCHEDULES, RecordableSquare, Run, plans, replays, returned_both_ways
from test_plan import memory_is_filled_with_nan as memory_is_filled_with_nan  # a fixture for these tests too

import numbacnn as nc
from numbacnn import cuda, nn, recording
from numbacnn.backends import choice
from numbacnn.plan.memory import place_of

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
F = nn.functional


@pytest.fixture(autouse=True)
def few_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The simulator starts a thread of Python's for each of a block whose threads wait for each other."""
    from numbacnn.kernels.cuda import driver, fast
    from numbacnn.kernels.cuda.simt import loss, norm, reduce, softmax

    if driver.SIMULATED:
        few = {"THREADS": 4, "COLUMNS": 4, "LANES": 2}
        for module in (driver, loss, norm, reduce, softmax, fast.dense, fast.loss, fast.norm, fast.reduce, fast.softmax):
            for name in few.keys() & vars(module).keys():
                monkeypatch.setattr(module, name, few[name])
    with choice.only("general"), np.errstate(all="ignore"):
        yield


def tensor(values: Any) -> nc.Tensor:
    return nc.tensor(values, device="cuda")


def bits(t: Any) -> Any:
    return None if t is None else np.asarray(t.detach()).tobytes()


SHOWN = ("conv", "norm", "relu", "dropout", "max", "residual", "gated", "chosen", "joined", "turned", "average of all")


def small(layers: list[str]) -> nn.Sequential:
    nc.manual_seed(1)
    made = [nn.Conv2d(2, 2, 1), *(LAYERS[name](2) for name in layers), nn.Conv2d(2, 4, 1)]
    return nn.Sequential(*made, nn.AdaptiveAvgPool2d(1), nn.Flatten()).to("cuda")


EXAMPLES = 20 if os.environ.get("NUMBACNN_LONG") else 6


@settings(max_examples=EXAMPLES, phases=[Phase.generate])  # a smaller example would take the simulator minutes to find
@given(
    layers=st.lists(st.sampled_from(SHOWN), min_size=1, max_size=2),
    optimiser=st.sampled_from(sorted(OPTIMISERS)),
    schedule=st.sampled_from(sorted(SCHEDULES)),
    loss_of=st.sampled_from(["labels", "smoothed", "guesses"]),
    accumulate=st.booleans(),
    change=st.sampled_from(["", "lr", "mode", "shape", "load", "data", "freeze", "attribute", "moments", "hold", "drop"]),
    way=st.sampled_from(["step", "module"]),
)
def test_a_compiled_run_has_the_bits_of_an_eager_one(layers, optimiser, schedule, loss_of, accumulate, change, way):
    found = []
    for compiled in ("", way):
        rng = np.random.default_rng(0)
        run = Run(small(layers), optimiser, schedule, loss_of, accumulate, False, compiled)
        nc.manual_seed(5)
        states: list[Any] = []
        for i in range(5):
            n = 1 if change == "shape" and i == 4 else 2
            loss, scores = run.step(tensor(rng.standard_normal((n, 2, 2, 2), dtype=np.float32)), tensor(rng.integers(0, 4, n)))
            states.append((bits(loss), loss.requires_grad, bits(scores), run.state()))
            if run.schedule is not None:
                run.schedule.step()
            if i == 3:
                run.change(change, i)
        found.append(states)
    for i, (eager, replayed) in enumerate(zip(*found)):
        assert eager == replayed, i


class World:
    """A network, and a step that returns its loss and its scores."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self.net = small(["dropout", "conv"])
        self.optimiser = nc.optim.AdamW(self.net.parameters(), lr=0.01)
        nc.manual_seed(5)
        self.rng = np.random.default_rng(0)

        def step(x: nc.Tensor, y: nc.Tensor) -> tuple[nc.Tensor, nc.Tensor]:
            self.optimiser.zero_grad()
            scores = self.net(x)
            loss = F.cross_entropy(scores, y)
            loss.backward()
            self.optimiser.step()
            return loss, scores.detach()

        self.step = wrap(step)

    def __call__(self, labels: Any = None) -> tuple[nc.Tensor, nc.Tensor]:
        x = tensor(self.rng.standard_normal((2, 2, 2, 2), dtype=np.float32))
        return self.step(x, tensor(self.rng.integers(0, 4, 2) if labels is None else np.array(labels)))

    def state(self) -> list[Any]:
        return [bits(p) for p in self.net.state_dict().values()] + [str(nc.get_rng_state())]


def test_a_step_is_replayed_and_its_results_are_the_callers():
    found = []
    for wrap in (lambda f: f, nc.compile):
        world = World(wrap)
        kept = [world() for _ in range(6)]
        found.append(([(bits(loss), bits(scores)) for loss, scores in kept], world.state()))
    assert found[0] == found[1]
    assert replays(world.step) == 3 and plans(world.step) == 1, nc.explain(world.step)
    (plan,) = (plan for entry in world.step._entries.values() for plan in entry.plans)
    made = [region.size for region in plan.tape.regions if region.key[0] == "made"]
    assert plan.size < sum(-(-size // 64) * 64 for size in made) / 2  # memory is used again
    assert "adam_step" in nc.explain(world.step)


def test_labels_out_of_range_are_an_error_where_a_result_is_read():
    found = []
    for wrap in (lambda f: f, nc.compile):
        world, said = World(wrap), []
        for labels in (None, None, None, None, [1, 7], None, [-1, 2]):
            loss, _ = world(labels)
            if labels == [1, 7]:
                loss, _ = world()  # the error of an earlier step is not lost
            try:
                said.append(bits(loss))
            except ValueError as error:
                said.append(str(error))
                said.append(bits(loss))
        found.append((said, world.state()))
    assert found[0] == found[1]
    assert "[cross_entropy] expected labels between 0 and 3; received labels between 1 and 7." in found[1][0]
    assert replays(world.step) == 5


def test_labels_that_are_ignored_are_no_error_in_a_plan():
    found = []
    for wrap in (lambda f: f, nc.compile):
        world = World(wrap)
        losses = [bits(world(labels)[0]) for labels in (None, None, None, [1, -100], None, [-100, -100])]
        found.append((losses, world.state()))
    assert found[0] == found[1]
    assert np.isnan(np.frombuffer(losses[-1], np.float32)) and replays(world.step) == 3


def test_labels_that_a_step_makes_are_shown_as_they_were():
    @nc.compile
    def loss(scores: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
        return F.cross_entropy(scores, (y * 2).long())

    scores = tensor(np.zeros((2, 4), np.float32))
    for _ in range(4):
        loss(scores, tensor([0, 1]))
    found = loss(scores, tensor([0, 3]))
    loss(scores, tensor([0, 1]))
    with pytest.raises(ValueError, match="received labels between 0 and 6"):
        found.item()
    assert replays(loss) == 3


def test_a_state_that_is_loaded_between_steps_counts():
    found = []
    for wrap in (lambda f: f, nc.compile):
        world = World(wrap)
        for i in range(7):
            world()
            if i == 4:
                world.net.load_state_dict({key: np.asarray(t) * 0.5 for key, t in world.net.state_dict().items()})
                world.optimiser.load_state_dict(world.optimiser.state_dict())
        found.append(world.state())
    assert found[0] == found[1]
    assert replays(world.step) >= 2


def test_a_network_is_replayed_in_inference_and_in_training():
    found = []
    for compiled in (False, True):
        net = small(["dropout", "conv"])
        nc.manual_seed(5)
        if compiled:
            net.compile()
        said: list[Any] = []
        for i in range(5):
            x = tensor(np.full((2, 2, 2, 2), i + 1.0, np.float32)).requires_grad_()
            first, second = net(x), net(x)  # two that wait for their backward
            loss = (first * second).sum()
            loss.backward(retain_graph=True)
            loss.backward()  # nothing that the first has used is written over
            said.append([bits(t) for t in (first, second, x.grad, *(p.grad for p in net.parameters()))])
        net.eval()
        with nc.no_grad():
            said.append([bits(y) for y in [net(tensor(np.full((2, 2, 2, 2), i + 1.0, np.float32))) for i in range(5)]])
        found.append(said)
    assert found[0] == found[1]
    assert replays(net) == 7 + 2, nc.explain(net)


kept: deque[nc.Tensor] = deque()


def _own_kernel(x: nc.Tensor) -> nc.Tensor:
    out = nc.empty(2, device="cuda")
    nc.launch(doubles(), x.numba(copy=False), out.numba(copy=False), grid=1, block=2)
    return out


def doubles() -> Any:
    return DOUBLES


if cuda.is_available():
    from numbacnn.kernels.cuda.driver import cuda as numba_cuda

    @numba_cuda.jit
    def DOUBLES(x, y):
        i = numba_cuda.grid(1)
        y[i] = 2 * x[i]


def test_a_kernel_of_ones_own_is_replayed():
    step = nc.compile(_own_kernel)
    for i in range(5):
        assert step(tensor(np.array([i, 2.0 * i], np.float32))).tolist() == [2.0 * i, 4.0 * i]
    assert replays(step) == 2, nc.explain(step)


class Doubled(nc.Function):
    """A kernel of one's own, with a backward of another."""

    recordable = True

    @staticmethod
    def forward(ctx, x):
        return _own_kernel(x)

    @staticmethod
    def backward(ctx, grad):
        return _own_kernel(grad)


class Halved(nc.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 0.5

    @staticmethod
    def backward(ctx, grad):
        return grad * 0.5


@pytest.mark.parametrize("function", [Doubled, Halved, RecordableSquare])
def test_functions_of_the_users_own(function):
    """They are replayed where they say that they may be, forward and backward; else a reason says what is missing."""
    found = []
    for wrap in (lambda f: f, nc.compile):
        w = nn.Parameter(tensor(np.array([0.5, -2.0], np.float32)))

        def step(x, w=w):
            loss = (function.apply(w * x) * x).sum()
            loss.backward()
            return loss

        step = wrap(step)
        found.append([(bits(step(tensor(np.array([i, 3.0], np.float32)))), bits(w.grad)) for i in range(6)])
    assert found[0] == found[1]
    assert replays(step) == (3 if function.recordable else 0), nc.explain(step)
    assert ("Halved is a Function without `recordable = True`" in nc.explain(step)) == (not function.recordable)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16"])
def test_indices_of_any_dtype(dtype):
    """Labels are replayed; an index is read by the host."""
    kinds: dict[str, Callable[[nc.Tensor, nc.Tensor], nc.Tensor]] = {
        "": lambda x, y: F.cross_entropy(x, y),
        "an index is an array, which the host reads": lambda x, y: x[y],
    }
    for reason, function in kinds.items():
        compiled = nc.compile(function)
        for i in range(5):
            x, y = tensor(np.arange(6, dtype=np.float32).reshape(2, 3) * i), tensor(np.array([1, i % 2]).astype(dtype))
            assert bits(compiled(x, y)) == bits(function(x, y))
        assert replays(compiled) == (0 if reason else 2) and reason in nc.explain(compiled), nc.explain(compiled)


def test_arguments_that_are_written_to_are_written():
    @nc.compile
    def step(x: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
        with nc.no_grad():
            x.mul_(2.0)
            x[1:] += y
        return x.reshape(-1)

    y = tensor(np.array([[1.0]], np.float32))
    for i in range(5):
        whole = tensor(np.full((4, 1), i, np.float32))
        shown = step(whole[2:], y)
        assert np.asarray(whole).reshape(-1).tolist() == [i, i, 2 * i, 2 * i + 1]
        shown += 1.0  # a view of the argument
        assert np.asarray(whole).reshape(-1).tolist() == [i, i, 2 * i + 1, 2 * i + 2]
    assert replays(step) == 2, nc.explain(step)


UNFIT: dict[str, tuple[Callable[[nc.Tensor], Any], str]] = {
    "read": (lambda x: x * float(x.sum().item()), "values are read"),
    "brought": (lambda x: x + nc.tensor([1.0, 2.0], device="cuda"), "values are brought to the device"),
    "both": (lambda x: (x * 2, nc.zeros(2)), "memory of two devices"),
    "moved": (lambda x: (x * 2).cpu(), "values are read"),
    "waits": (lambda x: (x * 2, nc.cuda.synchronize())[0], "the device is waited for"),
    "kept": (lambda x: kept.append(x * 2), "kept beyond the step"),
    "shown": (lambda x: (x * 2, x.__cuda_array_interface__["version"])[0], "shown to another library"),
}


@pytest.mark.parametrize("name", sorted(UNFIT))
def test_what_runs_as_it_did_says_why(name):
    function, reason = UNFIT[name]
    step = nc.compile(function)
    for _ in range(4):
        step(tensor(np.ones(2, np.float32)))
    kept.clear()
    assert plans(step) == 0 and reason in nc.explain(step), nc.explain(step)
    with pytest.raises(RuntimeError, match=reason):
        compiled = nc.compile(function, fullgraph=True)
        for _ in range(12):
            compiled(tensor(np.ones(2, np.float32)))
    kept.clear()


@pytest.mark.parametrize("name", RETURNED)
def test_what_is_returned_and_kept(name):
    """As on the CPU: what is returned stays where it was made, and yet somebody else who has it shows."""
    step, reason = returned_both_ways(name, lambda values: tensor(np.array(values, np.float32)))
    assert reason in nc.explain(step), nc.explain(step)
    assert (replays(step) > 3) == (not reason), nc.explain(step)


def test_memory_that_is_anothers_by_now_is_not_the_steps():
    """What the step has made and let go is known by its address no longer: what is made there behind its back is not taken for it."""
    place = place_of("cuda")

    def step(x):
        first = place.address((x * 2.0).array)
        with recording.pausing():
            others = [x + 1.0]
            while place.address(others[-1].array) != first and len(others) < 64:
                others.append(x + 1.0)
        return x * others[-1]

    step = nc.compile(step)
    for i in range(4):
        x = tensor(np.array([i, 1.0], np.float32))
        assert bits(step(x)) == bits(x * (x + 1.0))
    assert "was made outside the step" in nc.explain(step), nc.explain(step)


def test_a_step_without_work_that_returns_what_it_is_not_given():
    w = tensor(np.ones(2, np.float32))
    for function in (lambda: w, lambda: nn.Parameter(w), lambda: w.detach()[1:], lambda x: (w, x)):
        step = nc.compile(function)
        for _ in range(4):
            step(*[nc.ones(1)] * function.__code__.co_argcount)
        assert plans(step) == 0 and "no plan" in nc.explain(step)


def test_kernels_are_timed():
    step = nc.compile(lambda x: x * 2 + 1)
    profile = nc.profile(step, tensor(np.ones(2, np.float32)), repeat=1)
    assert [row.kernel for row in profile.rows] == ["wide_binary_2", "wide_binary_0"]
