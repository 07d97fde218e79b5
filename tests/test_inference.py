"""Without a gradient a layer packs its weights once, as long as they are unchanged, and nothing is ever stale."""

from __future__ import annotations

import gc
import inspect
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import launches
import numpy as np
import pytest

import numbacnn as nc
from numbacnn import nn
from numbacnn.backends.cpu import packs
from numbacnn.backends.cpu.conv import choose
from numbacnn.backends.cpu.conv.depthwise import Depthwise
from numbacnn.backends.cpu.plan.linear import FEW_ROWS
from numbacnn.kernels.cpu import conv, winograd
from numbacnn.kernels.cpu.launch import launch

REFUSED = "[{}] expected memory that can be written to; received a view that repeats elements; write to a clone()."
MANY = FEW_ROWS + 1  # images of which a linear layer packs its weights
READ_ONLY = "assignment destination is read-only"


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch):
    """What is kept of a weight goes with it; what networks of other files keep is out of sight."""
    monkeypatch.setattr(packs, "_locked", {})
    yield
    gc.collect()
    assert not packs._locked


PACKS = list(inspect.signature(conv.contract.py_func).parameters).index("w")


@pytest.fixture
def packed(monkeypatch):
    """One entry for each time that weights are packed."""
    found = []

    def counting(driver, *args):
        if driver in (conv.pack, winograd.weights) or (driver is conv.contract and args[PACKS].size):
            found.append(driver)
        launch(driver, *args)

    def depthwise(w, p):
        found.append("depthwise")
        return pack(w, p)

    pack = Depthwise._pack
    launches.through(monkeypatch, counting)
    monkeypatch.setattr(Depthwise, "_pack", staticmethod(depthwise))
    return found


def images(*shape):
    return nc.tensor(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


def plain(net, x):
    """What the net gives outside the mode."""
    with nc.no_grad():
        return net(x).numpy().copy()


NETS = {
    "lenet": (lambda: nc.models.get("lenet")(), (1, 28, 28), 5),
    "lenet-modern": (lambda: nc.models.get("lenet-modern")(), (1, 28, 28), 5),
    "direct": (lambda: nn.Conv2d(3, 20, 3, stride=2, padding=1), (3, 11, 10), 1),
    "groups": (lambda: nn.Conv2d(6, 12, 3, groups=3), (6, 9, 9), 1),
    "depthwise": (lambda: nn.Conv2d(32, 32, 3, groups=32), (32, 9, 9), 1),
    "grouped": (lambda: nn.Conv2d(32, 32, 3, groups=8), (32, 9, 9), 1),
    "winograd": (lambda: nn.Conv2d(32, 32, 3, padding=1), (32, 32, 32), 1),
    "superpixels": (lambda: nn.Conv2d(1, 4, 5), (1, 20, 20), 1),
}


@pytest.mark.parametrize("name", NETS)
def test_the_same_bits_and_packed_once(name, packed):
    make, shape, layers = NETS[name]
    net = make()
    wanted = {n: net(images(n, *shape)).detach().numpy().copy() for n in (4, MANY, MANY + 1)}  # recorded: packed each time
    gc.collect()  # Numba's compilation leaves frames that refer to the weight, in cycles
    packed.clear()
    with nc.inference_mode():
        for n in (4, MANY, MANY + 1, MANY, 4):
            np.testing.assert_array_equal(net(images(n, *shape)).numpy(), wanted[n])
        assert len(packed) == layers
    np.testing.assert_array_equal(plain(net, images(MANY, *shape)), wanted[MANY])  # and from mode to mode
    assert len(packed) == layers


def test_few_rows_copy_a_weight_once(monkeypatch):
    """Kernels take no array that is read-only, as a frozen weight is."""
    seen = []
    launches.through(monkeypatch, lambda driver, *args: (seen.append(args[1]), launch(driver, *args)))
    net, x = nn.Linear(30, 20), images(3, 30)
    with nc.inference_mode():
        y = [net(x).numpy() for _ in range(3)]
    assert len(seen) == 3
    assert len({a.ctypes.data for a in seen}) == 1
    np.testing.assert_array_equal(y[2], plain(net, x))


def test_the_algorithms_above_are_the_ones_named():
    for name in ("direct", "depthwise", "grouped", "winograd", "superpixels"):
        make, shape, _ = NETS[name]
        assert choose("forward", make().geometry((MANY, *shape)), "float32").name == name


def test_it_records_nothing_and_leaves_the_tape_as_it_was():
    net = nn.Linear(3, 2)
    x = nc.ones(1, 3)
    with nc.inference_mode():
        assert not nc.is_grad_enabled()
        assert not net(x).requires_grad
    assert nc.is_grad_enabled()
    net(x).sum().backward()
    assert net.weight.grad is not None
    with nc.no_grad():
        with nc.inference_mode():
            net(x)
        assert not nc.is_grad_enabled()


# -- writes ----------------------------------------------------------------------------------------------------------------
def of_tensors(net, optimizer):
    w = net.weight
    return {
        "write": [
            lambda: w.fill_(0),
            lambda: w.zero_(),
            lambda: w.copy_(nc.zeros(4, 3)),
            lambda: w.__setitem__(0, 1.0),
            lambda: w.__iadd__(1),
            lambda: w.data.__setitem__(slice(None), 0.0),
            lambda: w.detach().mul_(2),
            lambda: w[1].fill_(0),
            lambda: nn.init.zeros_(w),
        ],
        "Adam": [optimizer.step],
        "load_state_dict": [lambda: net.load_state_dict({"bias": nc.ones(4), "weight": nc.ones(4, 3)})],
    }


def of_arrays(w):
    return [
        lambda: w.detach().numpy().__setitem__(0, 1),
        lambda: w.data.numpy()[1:].__setitem__(..., 1),
        lambda: np.asarray(w).reshape(-1).__setitem__(0, 1),
    ]


@pytest.mark.parametrize("mode", [nc.no_grad, nc.inference_mode])
def test_every_write_is_seen(mode, packed):
    """Each way to write, after the weight was packed, by a reference that is dropped at once."""
    net = nn.Linear(3, 4)
    x = images(MANY, 3)
    optimizer = nc.optim.Adam(net.parameters(), lr=0.1)
    net(x).sum().backward()
    writes = [*(write for some in of_tensors(net, optimizer).values() for write in some), *of_arrays(net.weight)]
    for write in writes:
        with mode():
            net.weight.copy_(images(4, 3) + 1)
            net(x)
            packed.clear()
            before = net(x).numpy().copy()
            assert not packed and not net.weight.array.flags.writeable
            write()
            found = net(x).numpy()
        assert (found != before).any()
        np.testing.assert_array_equal(found, net(x).detach().numpy())


def test_arrays_from_while_it_was_packed_can_be_written_to_afterwards():
    net = nn.Linear(3, 2, bias=False)
    with nc.no_grad():
        net(nc.ones(MANY, 3))
        row, same = net.weight.detach()[0], net.weight.detach().expand(2, 3)  # views of a read-only array
        net.weight.fill_(1)
        net(nc.ones(MANY, 3))
        row.fill_(2)
        assert net(nc.ones(MANY, 3))[0].tolist() == [6, 3]
        same.fill_(3)
        assert net(nc.ones(MANY, 3))[0].tolist() == [9, 9]


def test_a_weight_that_learns_is_not_kept(packed):
    net = nn.Linear(3, 2)
    with nc.no_grad():
        net(nc.ones(MANY, 3))
    packed.clear()
    for _ in range(3):
        net(nc.ones(MANY, 3)).sum().backward()
    assert len(packed) >= 3
    assert net.weight.array.flags.writeable


def test_a_frozen_weight_is_packed_once_in_training(packed):
    net = nn.Sequential(nn.Conv2d(3, 20, 3), nn.Flatten(), nn.Linear(20 * 36, 2))
    net[0].requires_grad_(False)
    with nc.no_grad():
        net(images(MANY, 3, 8, 8))
    for _ in range(3):
        packed.clear()
        net(images(MANY, 3, 8, 8)).sum().backward()
        assert len(packed) == 1  # the linear layer's


def test_a_weight_can_be_written_before_its_first_use():
    with nc.inference_mode():
        net = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
        net(images(1, 2, 6, 6))
        again = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(64, 2))
        again.load_state_dict(net.state_dict())
        np.testing.assert_array_equal(net(images(1, 2, 6, 6)).numpy(), again(images(1, 2, 6, 6)).numpy())


def test_a_parameter_can_be_replaced(packed):
    net = nn.Linear(3, 2, bias=False)
    with nc.inference_mode():
        for value in range(5):
            net.weight.data = nc.full((2, 3), float(value))
            assert net(nc.ones(MANY, 3)).tolist() == [[3 * value] * 2] * MANY
            assert len(packs._locked) == 1  # what it was before is gone
        net(nc.ones(MANY + 1, 3))
    assert len(packed) == 5


def test_repeated_elements_are_refused_outside_too():
    with pytest.raises(RuntimeError) as error:
        nc.ones(1, 3).expand(2, 3).fill_(0)
    assert str(error.value) == REFUSED.format("write")
    net = nn.Linear(3, 2)
    net.weight.data = nc.ones(1, 3).expand(2, 3)
    net(nc.ones(1, 3)).sum().backward()
    for op, write in {
        "SGD": nc.optim.SGD([net.weight], lr=1.0).step,
        "load_state_dict": lambda: net.load_state_dict(nn.Linear(3, 2).state_dict()),
    }.items():
        with pytest.raises(RuntimeError) as error:
            write()
        assert str(error.value) == REFUSED.format(op)


def test_other_tensors_stay_writable():
    weight, x = nc.ones(2, 3), images(4, 3)
    with nc.inference_mode():
        first = nn.functional.linear(x, weight).numpy().copy()
        weight *= 2  # not a parameter: as PyTorch, it is the user's to change
        x.array[...] *= 2
        np.testing.assert_array_equal(nn.functional.linear(x, weight).numpy(), 4 * first)


# -- who else may write ----------------------------------------------------------------------------------------------------

HOLDERS = {
    "the array": lambda w: (a := w.detach().numpy(), a.fill)[1],
    "a view": lambda w: w.detach().numpy()[...].fill,
    "a part of a view": lambda w: (lambda v: lambda value: v.fill(value))(w.detach().numpy()[:].reshape(-1)[:]),
    "a tensor": lambda w: (lambda d: lambda value: d.fill_(value))(w.detach()),
    "a tensor's part": lambda w: (lambda d: lambda value: d.fill_(value))(w.data[:]),
    "a memoryview": lambda w: (lambda m: lambda value: np.asarray(m).fill(value))(memoryview(w.array)),
    "a state": lambda w: (lambda s: lambda value: s["w"].copy_(nc.full((2, 3), value)))({"w": w.detach()}),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_whoever_holds_the_memory_may_write_and_is_seen(holder):
    net = nn.Linear(3, 2, bias=False)
    write = HOLDERS[holder](net.weight)
    with nc.inference_mode():
        for value in (1, 2, 3):
            write(value)
            assert net(nc.ones(MANY, 3)).tolist() == [[3 * value] * 2] * MANY
        assert not packs._locked


def test_a_weight_is_kept_as_soon_as_nobody_else_holds_it(packed):
    net = nn.Linear(3, 2)
    recorded = net(nc.ones(MANY, 3))  # its backward will want the weight
    with nc.inference_mode():
        net(nc.ones(MANY, 3))
        net(nc.ones(MANY, 3))
        assert not packs._locked
        del recorded
        packed.clear()
        net(nc.ones(MANY, 3))
        net(nc.ones(MANY, 3))
        assert len(packed) == 1


def test_memory_that_another_array_owns():
    owner = np.zeros(6, np.float32)
    net = nn.Linear(3, 2, bias=False)
    net.weight.data = nc.from_array(owner.reshape(2, 3))
    with nc.inference_mode():
        for value in (1, 2):
            owner.fill(value)
            assert net(nc.ones(MANY, 3)).tolist() == [[3 * value] * 2] * MANY
        del owner
        net(nc.ones(1, 3))
        assert len(packs._locked) == 1  # the weight alone shows it now
    net.weight.data.fill_(4)
    assert net(nc.ones(1, 3)).tolist() == [[12, 12]]


def test_memory_that_is_no_array():
    memory = bytearray(24)
    net = nn.Linear(3, 2, bias=False)
    net.weight.data = nc.from_array(np.frombuffer(memory, np.float32).reshape(2, 3))
    with nc.inference_mode():
        assert net(nc.ones(1, 3)).tolist() == [[0, 0]]
        memory[:] = np.ones(6, np.float32).tobytes()
        assert net(nc.ones(1, 3)).tolist() == [[3, 3]]


def test_who_insists_is_not_served_old_weights():
    net = nn.Linear(3, 2, bias=False)
    with nc.inference_mode():
        net(nc.ones(1, 3))
        for value in (1, 2):
            net.weight.array.flags.writeable = True
            net.weight.array.fill(value)
            assert net(nc.ones(MANY, 3)).tolist() == [[3 * value] * 2] * MANY


# -- how long it lasts -----------------------------------------------------------------------------------------------------
def test_what_was_packed_goes_with_a_write():
    net = nn.Conv2d(3, 20, 3)
    with nc.no_grad():
        net(images(1, 3, 8, 8))
        (entry,) = packs._locked.values()
        ((_, packed),) = entry.made.values()
        packed = weakref.ref(packed)
        del entry
        assert packed() is not None
        net.weight.zero_()
    assert packed() is None


def test_a_view_of_a_weight_is_not_served_what_was_made_of_the_whole():
    layer, x = nn.Linear(48, 48, bias=False), images(64, 48)
    w = layer.weight.detach().numpy().copy()
    with nc.no_grad():
        for rows in (x, x[:2]):
            layer(rows)
            for view, values in ((layer.weight.T, w.T), (layer.weight, w)):
                np.testing.assert_allclose(nn.functional.linear(rows, view).numpy(), np.asarray(rows) @ values.T, rtol=1e-4, atol=1e-4)


def test_what_is_kept_does_not_grow_with_the_shapes_of_inputs():
    net = nn.Conv2d(1, 4, 3)
    inputs = [images(1, 1, 9, size) for size in range(8, 30)] + [images(1, 1, 9, 3)]  # which superpixels decline
    wanted = [plain(net, x) for x in inputs]
    with nc.inference_mode():
        for x, y in zip(inputs, wanted):
            np.testing.assert_array_equal(net(x).numpy(), y)
        (entry,) = packs._locked.values()
        assert set(entry.made) == {"superpixels", "direct"}


def test_a_network_that_dies_inside_leaves_nothing():
    with nc.inference_mode():
        nn.Linear(3, 2)(nc.ones(1, 3))
        gc.collect()
        assert not packs._locked


def test_modes_nest():
    net = nn.Linear(3, 2)
    mode = nc.inference_mode()
    with mode:
        with mode, nc.no_grad(), nc.inference_mode():
            net(nc.ones(1, 3))
        assert not nc.is_grad_enabled()
    assert nc.is_grad_enabled()


def test_an_exception_ends_it():
    net = nn.Linear(3, 2)
    with pytest.raises(nc.ShapeError), nc.inference_mode():
        net(nc.ones(1, 3))
        net(nc.ones(1, 4))
    assert nc.is_grad_enabled()


def test_as_a_decorator(packed):
    net = nn.Linear(3, 2)

    @nc.inference_mode()
    def twice(x, depth=2):
        net(x)
        net(x)
        return twice(x, depth - 1) if depth else net(x)

    for _ in range(2):
        assert not twice(nc.ones(MANY, 3)).requires_grad
    assert len(packed) == 1


# -- threads ---------------------------------------------------------------------------------------------------------------
class Other:
    """A thread that is in the mode from ``with`` on; ``do`` runs a function in it."""

    def __enter__(self):
        self.pool = ThreadPoolExecutor(1)
        self.mode = nc.inference_mode()
        self.do(self.mode.__enter__)
        return self

    def __exit__(self, *exc):
        self.do(lambda: self.mode.__exit__(None, None, None))
        self.pool.shutdown()

    def do(self, function, *args):
        return self.pool.submit(function, *args).result()


def test_one_thread_trains_what_another_uses():
    used, trained = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer = nc.optim.SGD(trained.parameters(), lr=0.1)
    x = images(4, 3)
    with Other() as other:
        wanted = other.do(lambda: used(x).numpy().copy())
        assert nc.is_grad_enabled()
        for _ in range(3):
            optimizer.zero_grad()
            (trained(x) * used(x)).sum().backward()
            optimizer.step()
            nc.evaluate(trained, (x.numpy(), np.zeros(4, np.int64)))
        assert used.weight.grad is not None
        np.testing.assert_array_equal(other.do(lambda: used(x).numpy()), wanted)
        nc.optim.SGD(used.parameters(), lr=0.1).step()
        assert (other.do(lambda: used(x).numpy()) != wanted).any()


def test_two_threads_share_what_is_packed(packed):
    net = nn.Linear(3, 2)
    x = nc.ones(MANY, 3)
    with Other() as first, Other() as second:
        for other in (first, second, first):
            other.do(net, x)
        assert len(packed) == 1


def test_a_mode_that_another_thread_leaves_keeps_no_weight():
    """A generator may be closed, or collected, in another thread than the one it was run in."""
    net = nn.Linear(3, 2)

    def served():
        with nc.inference_mode():
            while True:
                yield net(nc.ones(1, 3))

    with Other() as other:
        generator = served()
        other.do(next, generator)
        with pytest.raises(RuntimeError, match="the thread that entered"):
            generator.close()
    net.weight.data.fill_(0)


def test_many_threads_enter_and_leave():
    net = nc.models.get("lenet")()
    x = images(2, 1, 28, 28)
    wanted = plain(net, x)
    start = threading.Barrier(6)

    def work(_):
        start.wait()
        right = True
        for _ in range(30):
            with nc.inference_mode():
                right &= all((net(x).numpy() == wanted).all() for _ in range(3))
        return right

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


def test_a_writer_beside_a_reader_is_seen():
    """While one thread keeps writing, another reads: where the weight is locked, the result is that of the weight as it is."""
    net = nn.Linear(64, 16, bias=False)
    net.weight.data.fill_(1)
    x, done = nc.ones(1, 64), threading.Event()
    turn = threading.Lock()  # a result is compared with the weight as it was
    written = 0

    def write():
        nonlocal written
        while not done.wait(1e-4):
            with turn:
                net.weight.data.fill_(written % 1000)
            written += 1

    def read():
        held = rounds = 0
        while rounds < 100 or (min(held, written) == 0 and rounds < 10000):
            rounds += 1
            time.sleep(1e-4)  # the writer's turn
            with nc.inference_mode():
                net(x)  # beside a write perhaps
                with turn:
                    net(x)
                    held += not net.weight.array.flags.writeable
                    value = 64 * float(net.weight.array[0, 0])
                    assert all(net(x).tolist() == [[value] * 16] for _ in range(3))
        return held

    with ThreadPoolExecutor(2) as pool:
        writer = pool.submit(write)
        try:
            held = pool.submit(read).result()
        finally:
            done.set()
        writer.result()
    assert min(held, written) > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which Windows lacks")
def test_a_forked_child_renews_the_locks():
    code = """
        import os
        import numbacnn as nc
        from numbacnn.backends.cpu import packs
        net = nc.nn.Linear(3, 2)
        with nc.no_grad():
            net.bias.fill_(0.5)  # then the order in which it is added does not matter
            net(nc.ones(1, 3))
            (entry,) = packs._locked.values()
            packs._lock.acquire()  # as if other threads held them
            entry.making.acquire()
            pid = os.fork()
            if not pid:
                net(nc.ones(9, 3))  # packed in another way
                net.weight.fill_(1)
                os._exit(int(net(nc.ones(9, 3))[0].detach().tolist() == (3 + net.bias).tolist()))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "1", run.stderr[-2000:]


# -- around it -------------------------------------------------------------------------------------------------------------
def test_evaluate_and_predict_pack_once_in_all(packed):
    net = nc.models.get("lenet")()
    x, y = images(3 * MANY, 1, 28, 28).numpy(), np.zeros(3 * MANY, np.int64)
    nc.evaluate(net, (x, y), batch_size=MANY)
    nc.predict(net, x, batch_size=MANY)
    assert len(packed) == 5


def test_every_device_takes_it(device):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)).to(device)
    x = nc.ones(1, 1, 4, 4).to(device)
    wanted = net(x).detach().cpu().numpy()
    with nc.inference_mode():
        for _ in range(2):
            found = net(x)
            assert not found.requires_grad
            np.testing.assert_array_equal(found.cpu().numpy(), wanted)
    with nc.no_grad():
        net[2].weight.fill_(0)
        np.testing.assert_array_equal(net(x).cpu().numpy(), net[2].bias.detach().cpu().numpy()[None])
