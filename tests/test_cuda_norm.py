"""Batch normalisation of the fast path: two launches a pass, with what follows it in them, to the bits of separate launches."""

from __future__ import annotations

import ctypes
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_cuda_plan import few_threads as few_threads  # a fixture for these tests too
from test_plan import replays

import numbacnn as nc
from numbacnn import backends, cuda, nn
from numbacnn.models.resnet import BasicBlock

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
F = nn.functional


@pytest.fixture(autouse=True)
def fast(few_threads: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The backend, with blocks of several columns and lanes. New memory is full of NaN, not of what an equal run has left there."""
    from numbacnn.kernels.cuda import driver
    from numbacnn.kernels.cuda.fast import norm

    if driver.SIMULATED:
        monkeypatch.setattr(norm, "THREADS", 8)
    found: Any = backends.get("cuda")
    allocate = found.allocate

    def spoilt(size: int, dtype: np.dtype) -> Any:
        made = allocate(size, dtype)
        ctypes.memset(driver.interface(made)["data"][0], 0xFF, size * dtype.itemsize)
        return made

    if driver.SIMULATED:
        monkeypatch.setattr(found, "allocate", spoilt)
    monkeypatch.setattr(found, "_lent", [])
    found._operand(0, np.int64)  # made once
    yield found
    found.synchronize()


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that are launched, in order; those of the fast path's batch normalisation by their names alone."""
    from numbacnn.kernels.cuda import driver

    names: list[str] = []
    configured = driver._configured

    def noted(kernel: Any, grid: Any, block: Any) -> Any:
        function = kernel.fn if driver.SIMULATED else kernel.py_func
        *_, room, module = function.__module__.split(".")
        name = re.sub(r"^wide_(\w+?)_\d+$", r"\1", function.__name__)  # of four elements a thread
        names.append(name if (room, module) == ("fast", "norm") else f"{module}.{name}")
        return configured(kernel, grid, block)

    monkeypatch.setattr(driver, "_configured", noted)
    return names


def drawn(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * 2 + 3).astype(dtype)


def tensor(values: Any, grad: bool = False) -> nc.Tensor:
    """On the device, channels last."""
    array = np.asarray(values)
    if array.ndim == 4:
        array = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return nc.from_array(array, device="cuda", requires_grad=grad)


def bits(t: Any) -> Any:
    return None if t is None else np.asarray(t.detach()).tobytes()


def reference(x: np.ndarray, w: np.ndarray, b: np.ndarray, g: np.ndarray, eps: float) -> list[np.ndarray]:
    """y, mean, variance, and the gradients of x, weight and bias, in float64."""
    x, w, b, g = (a.astype(np.float64) for a in (x, w, b, g))
    axes, along = (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))
    mean, var = x.mean(axes), x.var(axes)
    normal = (x - mean.reshape(along)) / np.sqrt(var + eps).reshape(along)
    dw, db, n = (g * normal).sum(axes), g.sum(axes), x.size // len(w)
    dx = (w / np.sqrt(var + eps)).reshape(along) * (g - db.reshape(along) / n - normal * dw.reshape(along) / n)
    return [normal * w.reshape(along) + b.reshape(along), mean, var * n / (n - 1), dx, dw, db]


@pytest.mark.parametrize("shape", [(3, 5, 2, 3), (70, 3), (300, 3), (2, 1, 41), (2, 9, 3, 3), (5, 2, 2, 1, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ragged_shapes_against_float64(shape, dtype):
    c = shape[1]
    x, g, (w, b) = drawn(*shape, dtype=dtype), drawn(*shape, seed=1, dtype=dtype) - 3, drawn(2, c, seed=2, dtype=dtype)
    at, weight, bias = tensor(x, True), tensor(w, True), tensor(b, True)
    mean, var = tensor(np.zeros(c, dtype)), tensor(np.zeros(c, dtype))
    y = F.batch_norm(at, mean, var, weight, bias, training=True, momentum=1.0, eps=1e-3)
    y.backward(tensor(g))
    found = [np.asarray(t.detach()) for t in (y, mean, var, at.grad, weight.grad, bias.grad)]
    unit = np.finfo(dtype).eps
    for name, value, wanted in zip(("y", "mean", "var", "dx", "dw", "db"), found, reference(x, w, b, g, 1e-3)):
        size = np.abs(g).sum() if name in ("dw", "db") else np.abs(wanted).max()
        assert np.abs(value - wanted).max() <= 8 * unit * size, name


def test_nothing_cancels_and_large_values_are_no_infinities():
    x = (drawn(64, 2) * np.array([1e-3, 1e14]) + np.array([1e3, 0])).astype(np.float32)
    mean, var = tensor(np.zeros(2, np.float32)), tensor(np.zeros(2, np.float32))
    y = F.batch_norm(tensor(x), mean, var, training=True, momentum=1.0)
    y.sum().item()
    assert np.allclose(np.asarray(var), x.astype(np.float64).var(0, ddof=1), rtol=1e-4)
    assert np.isnan(np.asarray(F.batch_norm(tensor(np.where(x > x[0], np.nan, x)), None, None, training=True))).any()


def separately(monkeypatch: pytest.MonkeyPatch, run: Callable[[], Any]) -> Any:
    """Without waiting."""
    with monkeypatch.context() as patch:
        patch.setattr(type(backends.get("cuda")), "_may_wait", lambda self: False)
        return run()


class Block(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3, **options)
        with nc.no_grad():
            for p in self.parameters():
                p.copy_(nc.tensor([0.5, -1.0, 2.0]))


FORMS: dict[str, tuple[Callable[[Any, Any, Any], Any], list[str]]] = {
    # what is done, and the launches behind those of the statistics and the normalisation
    "alone": (lambda bn, x, s: bn(x), []),
    "relu": (lambda bn, x, s: F.relu(bn(x)), []),
    "residual": (lambda bn, x, s: F.relu(bn(x) + s), []),
    "residual first": (lambda bn, x, s: F.relu(s + bn(x)), []),
    "added": (lambda bn, x, s: bn(x) + s, []),
    "twice": (lambda bn, x, s: F.relu(bn(bn(x)) + s), ["moments", "normalise"]),
    "itself": (lambda bn, x, s: (lambda h: F.relu(h + h))(bn(x)), ["pointwise.binary", "pointwise.unary"]),
    "kept": (lambda bn, x, s: (lambda h: (F.relu(h), h.detach())[0])(bn(x)), []),
    "sigmoid": (lambda bn, x, s: F.sigmoid(bn(x)), ["pointwise.unary"]),
    "broadcast": (lambda bn, x, s: F.relu(bn(x) + s[:, :1]), ["pointwise.binary", "pointwise.unary"]),
    "another layout": (lambda bn, x, s: bn(x) + s.permute(0, 1, 3, 2), ["pointwise.binary"]),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("training", [True, False])
def test_what_follows_is_done_by_the_same_launch_to_the_same_bits(name, training, launched, monkeypatch):
    form, behind = FORMS[name]

    def run() -> list[Any]:
        block = Block().to("cuda").train(training)
        x, s = tensor(drawn(2, 3, 3, 3), True), tensor(drawn(2, 3, 3, 3, seed=1) - 3)
        launched.clear()
        y = form(block.bn, x, s)
        backends.get("cuda").synchronize()
        found.append([*launched])
        launched.clear()
        y.backward(tensor(drawn(2, 3, 3, 3, seed=2) - 3))
        backends.get("cuda").synchronize()
        found.append([*launched])
        return [bits(t) for t in (y, x.grad, *(p.grad for p in block.parameters()), *block.buffers())]

    found: list[Any] = []
    one = run()
    wanted = ["moments", "normalise", *behind]
    assert found[0] == (wanted if training else [kernel for kernel in wanted if kernel != "moments"])
    if name in ("alone", "relu", "residual", "residual first", "added"):
        assert found[1] == ["grad_moments", "grad_input"]
    assert one == separately(monkeypatch, run)


def test_a_residual_block_has_two_launches_a_pass_for_each_normalisation(launched, monkeypatch):
    def run() -> list[Any]:
        nc.manual_seed(1)
        block = nn.Sequential(*(BasicBlock(2, 2) for _ in range(2)), nn.Conv2d(2, 1, 1)).to("cuda")
        x = tensor(drawn(2, 2, 3, 3))
        launched.clear()
        y = block(x)
        y.backward(tensor(drawn(2, 1, 3, 3, seed=2)))
        counts.append({name: launched.count(name) for name in launched})
        return [bits(t) for t in (y, *(p.grad for p in block.parameters()), *block.buffers())]

    counts: list[dict[str, int]] = []
    one, other = run(), separately(monkeypatch, run)
    more = {"pointwise.unary": 4, "pointwise.binary": 3, "pointwise.activation_backward": 4}
    assert counts[0] | more == counts[1], counts
    assert all(counts[0][kernel] == 4 for kernel in ("moments", "normalise", "grad_moments", "grad_input")), counts
    assert not more.keys() & counts[0].keys() and one == other


def batch() -> tuple[nn.BatchNorm2d, nc.Tensor]:
    return Block().to("cuda").bn, tensor(drawn(2, 3, 3, 3))


def test_statistics_are_read_without_a_launch_and_without_a_result():
    bn, x = batch()
    bn(x)
    found = [bits(t) for t in bn.buffers()]
    again, x = batch()
    again(x).sum().item()
    assert found == [bits(t) for t in again.buffers()]
    assert np.asarray(bn.running_mean).any() and bn.num_batches_tracked.item() == 1


@pytest.mark.parametrize("change", ["input", "weight", "statistics"])
def test_writes_come_after_what_was_to_read(change):
    bn, x = batch()
    bn.eval()
    wanted = bits(bn(x))
    y = F.relu(bn(x)) if change == "input" else bn(x)
    wanted = bits(F.relu(bn(x))) if change == "input" else wanted
    with nc.no_grad():
        y = F.relu(bn(x)) if change == "input" else bn(x)
        {"input": x, "weight": bn.weight, "statistics": bn.running_mean}[change].mul_(0.0)
    assert bits(y) == wanted


@pytest.mark.parametrize("kept", ["tensor", "view", "detached", "consumer", "hook", "retained"])
def test_what_is_in_between_is_made_where_somebody_has_it(kept, monkeypatch):
    """Before the ReLU, forward and, by a hook or a retained gradient, backward."""

    def run() -> list[Any]:
        bn, x = batch()
        seen: list[Any] = []
        x.requires_grad_()
        h = bn(x)
        if kept == "view":
            other = h.permute(0, 2, 3, 1)
        elif kept == "detached":
            other = h.detach()
        elif kept == "consumer":
            other = h * 2.0
        else:
            other = h
        if kept == "hook":
            h.register_hook(lambda g: seen.append(bits(g)))
        if kept == "retained":
            h.retain_grad()
        s = h + x
        y = F.relu(s)
        if kept != "retained":
            del h, s
        loss = (y * y).sum() + (other * other).sum()
        loss.backward()
        return [bits(t) for t in (y, other, x.grad, *(p.grad for p in bn.parameters()))] + seen

    assert run() == separately(monkeypatch, run)


def test_branches_that_join_are_added_by_the_reduction(launched, monkeypatch):
    """Also where somebody has the sum, who reads it at once or later."""

    def run(kept: str) -> list[Any]:
        bn, x = batch()
        x.requires_grad_()
        y = F.relu(bn(x))
        sums: list[nc.Tensor] = []
        if kept == "retained":
            y.retain_grad()
        elif kept == "hook":
            y.register_hook(sums.append)
        a, b = (y * tensor(drawn(2, 3, 3, 3, seed=i) - 3) for i in (1, 2))
        loss = (a + b).sum()
        launched.clear()
        loss.backward()
        return [bits(t) for t in (x.grad, y.grad if kept == "retained" else None, *sums, *(p.grad for p in bn.parameters()))]

    for kept in ("", "retained", "hook"):
        one = run(kept)
        assert launched.count("pointwise.binary") == 2 + bool(kept) and "pointwise.activation_backward" not in launched
        assert one == separately(monkeypatch, lambda kept=kept: run(kept))


def test_a_plan_that_is_launched_at_once_comes_behind_what_waits():
    from numbacnn.kernels.cuda import held
    from numbacnn.kernels.cuda.graph import Launches

    class Waiting(held.Held):
        def run(self) -> None:
            order.append("waited")

    class Launcher:
        def launch_again(self, rooms: Any, handles: Any) -> None:
            order.append("plan")

    order: list[str] = []
    held.hold(Waiting())
    launches: Any = Launches
    launches(Launcher(), 0, False).run()
    assert order == ["waited", "plan"]


def test_nothing_waits_while_another_library_has_memory(launched):
    bn, x = batch()
    shown = x.numba("nhwc", copy=False)
    launched.clear()
    y = F.relu(bn(x))
    assert launched == ["moments", "normalise", "pointwise.unary"]
    del shown, x, y
    bn, x = batch()
    launched.clear()
    y = F.relu(bn(x))
    assert launched == ["moments"]
    bits(y)
    assert launched == ["moments", "normalise"]
    h = bn(x)
    launched.clear()
    h.detach().numba("nhwc", copy=False)
    assert launched == ["normalise"]


def test_an_error_ends_the_waiting(launched, monkeypatch):
    from numbacnn.kernels.cuda import held
    from numbacnn.kernels.cuda.fast import norm

    bn, x = batch()
    with monkeypatch.context() as patch:
        patch.setattr(norm, "normalise", None)
        bn(x)
        with pytest.raises((TypeError, AttributeError)):
            x + 1.0
        assert held.now.held is None
    assert np.asarray(x + 1.0).any()
    assert np.isfinite(np.asarray(F.relu(bn(x)))).all()


def test_an_interrupt_does_not(launched, monkeypatch):
    from numbacnn.kernels.cuda import driver

    bn, x = batch()
    wanted = bits(bn(x))
    y = bn(x)
    with monkeypatch.context() as patch:
        patch.setattr(driver, "_configured", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            x + 1.0
    assert bits(y) == wanted


def in_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_threads_launch_for_each_other(launched):
    bn, x = batch()
    wanted = bits(F.relu(bn(x)))
    y = F.relu(bn(x))
    assert in_thread(lambda: bits(y)) == wanted
    z = in_thread(lambda: bn(x))
    launched.clear()
    y = F.relu(z)  # what another thread's launch makes is not taken in
    assert launched == ["normalise", "pointwise.unary"]
    assert bits(y) == wanted


def test_a_recording_is_not_disturbed_by_other_threads(launched):
    bn, x = batch()
    found: list[Any] = []

    def step(x: nc.Tensor) -> nc.Tensor:
        h = bn(x)
        found.append(in_thread(lambda: bits(F.relu(bn2(x2)))))
        return F.relu(h)

    bn2, x2 = batch()
    wanted = bits(F.relu(bn(x)))
    compiled, orders = nc.compile(step), []
    for _ in range(2):  # the first runs as it did, the second is recorded
        launched.clear()
        assert bits(compiled(x)) == wanted
        orders.append(launched[:5])
    assert orders[0] == ["moments", "normalise", "moments", "normalise", "pointwise.unary"]  # launched by the other thread, ours is apart
    assert orders[1] == ["moments", "moments", "normalise", "pointwise.unary", "normalise"]  # the other's is, which may not wait
    assert len(set(found)) == 1


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2, momentum=None)

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return F.relu(self.bn(self.conv(x)) + x)


def test_an_error_in_a_recording_leaves_nothing_that_waits(launched):
    bn, x = batch()
    wanted = bits(bn(x))
    kept: list[nc.Tensor] = []

    @nc.compile
    def step(x: nc.Tensor) -> None:
        kept.append(bn(x))
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            step(x)
    assert in_thread(lambda: bits(kept[-1])) == wanted


def test_a_plan_names_the_lines_that_waited():
    bn, x = batch()

    @nc.compile
    def step(x: nc.Tensor) -> nc.Tensor:
        y = F.relu(bn(x))
        return y * 2.0

    for _ in range(3):
        step(x)
    (plan,) = (plan for entry in step._entries.values() for plan in entry.plans)
    lines = [int(row.line.rpartition(":")[2]) for row in plan.tape.rows]
    assert [line - lines[0] for line in lines[:3]] == [0, 0, 1], nc.explain(step)


def test_a_plan_has_the_bits_of_eager_steps_and_their_launches():
    found = []
    for wrap in (lambda f: f, nc.compile):
        nc.manual_seed(1)
        net = nn.Sequential(nn.Conv2d(2, 2, 1), Residual(), Residual()).to("cuda")
        optimiser = nc.optim.SGD(net.parameters(), lr=0.1)

        def step(x: nc.Tensor, net: Any = net, optimiser: Any = optimiser) -> nc.Tensor:
            optimiser.zero_grad()
            y = net(x)
            loss = (y * y).sum()
            loss.backward()
            optimiser.step()
            return loss

        step = wrap(step)
        said = [bits(step(tensor(drawn(2, 2, 1, 3, seed=i)))) for i in range(5)]
        found.append((said, [bits(t) for t in net.state_dict().values()]))
    assert found[0] == found[1]
    assert replays(step) == 2, nc.explain(step)
    (plan,) = (plan for entry in step._entries.values() for plan in entry.plans)
    names = [row.kernel.__name__ for row in plan.tape.rows]
    assert [names.count(name) for name in ("moments", "normalise", "grad_moments", "unary", "activation_backward")] == [2, 2, 2, 0, 0]


def test_the_average_of_all_batches_is_not_read_by_the_host(monkeypatch):
    bn = nn.BatchNorm2d(3, momentum=None).to("cuda")
    xs = [drawn(2, 3, 3, 3, seed=i) for i in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(type(backends.get("cuda")), "to_numpy", None)
        for x in [tensor(x) for x in xs]:
            bn(x)
    assert np.allclose(np.asarray(bn.running_mean), np.mean([x.mean((0, 2, 3)) for x in xs], 0), rtol=1e-5)
    assert bn.num_batches_tracked.item() == 3


@pytest.mark.parametrize("missing", ["bias", "weight", "both"])
def test_without_a_weight_or_a_bias(missing, launched, monkeypatch):
    def run() -> Any:
        bn, x = batch()
        for name in ("weight", "bias"):
            if missing in (name, "both"):
                setattr(bn, name, None)
        launched.clear()
        return bits(F.relu(bn(x) - 1.0)), bits(F.relu(bn(x) + x))

    one = run()
    assert launched[-2:] == ["moments", "normalise"]
    assert one == separately(monkeypatch, run)


def test_running_statistics_that_do_not_lie_dense_move():
    both = tensor(np.zeros((3, 2), np.float32))
    F.batch_norm(tensor(drawn(4, 3)), both[:, 0], both[:, 1], training=True, momentum=1.0)
    assert np.allclose(np.asarray(both), np.stack([drawn(4, 3).mean(0), drawn(4, 3).var(0, ddof=1)], 1), rtol=1e-5)


@pytest.mark.skipif(
    not backends.get("cuda").simulated if cuda.is_available() else True,
    reason="needs NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated",
)
def test_threads_of_a_simulated_block_that_come_at_once_share_memory(monkeypatch):
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    shared, both, empty = FakeCUDAShared(0), threading.Barrier(2), np.empty

    def slow(*args: Any) -> np.ndarray:
        both.wait()
        return empty(*args)

    found: list[np.ndarray] = []
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", slow)
        threads = [threading.Thread(target=lambda: found.append(shared.array((2, 3), np.dtype(np.float32)))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found[0] is found[1] and found[0].shape == (2, 3) and found[0].dtype == np.float32


def test_what_waits_is_no_part_of_the_account_of_memory():
    _, x = batch()
    used = nc.cuda.memory_allocated()
    y = x + x
    del y
    assert nc.cuda.memory_allocated() == used
    y = x + x
    del y
    backends.empty_cache()
    assert nc.cuda.memory_reserved() == nc.cuda.memory_allocated()


def test_nothing_is_kept_for_longer_than_it_waits():
    bn, x = batch()
    y = F.relu(bn(x))
    known = weakref.ref(y.array)
    bits(y)
    del y
    assert known() is None
