"""The same bits for any number of threads and any threading layer; threads, forks and caches do no harm."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import numbacnn as nc

STEPS = """
    import hashlib, sys
    import numpy as np
    import numbacnn as nc
    from numbacnn.kernels.cpu import launch

    def wide():
        # a net for the algorithms that LeNet does not take: depthwise, Winograd and few pixels
        nn = nc.nn
        layers = [nn.Conv2d(1, 32, 3, stride=2), nn.Conv2d(32, 32, 3, groups=32), nn.Conv2d(32, 64, 3, padding=1), nn.AvgPool2d(11)]
        return nn.Sequential(*layers, nn.Conv2d(64, 64, 3, padding=1), nn.Flatten(), nn.Linear(64, 10))

    def weights(steps):
        found = hashlib.sha256()
        for make in (nc.models.get("lenet"), nc.models.get("lenet-modern"), wide):
            nc.manual_seed(0)
            rng = np.random.default_rng(0)
            net = make()
            optimizer = nc.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
            for step in range(steps):
                n = 5 if step % 4 == 3 else 37  # linear layers take few rows another way
                x = nc.tensor(rng.standard_normal((n, 1, 28, 28), dtype=np.float32))
                optimizer.zero_grad()
                nc.nn.functional.cross_entropy(net(x), nc.tensor(rng.integers(0, 10, n))).backward()
                optimizer.step()
            for p in net.parameters():
                found.update(np.ascontiguousarray(p.detach().numpy()))
        return found.hexdigest()
"""


def run(code, timeout=300, **env):
    """What a process of its own prints; it shares the cache of compiled kernels."""
    source = textwrap.dedent(STEPS) + textwrap.dedent(code)
    environment = {**os.environ, "NUMBACNN_QUIET": "1", **env}
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=timeout, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout.strip()


def layers():
    """The threading layers that this machine has."""
    found = ["omp", "workqueue"]
    probe = "import numba; numba.config.THREADING_LAYER = 'tbb'; numba.get_num_threads(); print(numba.threading_layer())"
    if subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0:
        found.append("tbb")
    return found


@pytest.fixture(scope="module")
def bits():
    """The weights after 20 steps, for one to four threads in one process: all the same."""
    found = run(
        """
        for threads in (1, 2, 3, 4):
            nc.set_num_threads(threads)
            print(weights(20))
        """,
        NUMBA_NUM_THREADS="4",
    ).split()
    assert len(found) == 4
    assert len(set(found)) == 1
    return found[0]


def test_the_number_of_threads_does_not_matter(bits):
    assert len(bits) == 64


@pytest.mark.parametrize("layer", layers())
def test_the_threading_layer_does_not_matter(bits, layer):
    printed = run("print(launch.layer(), weights(20))", NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="3").split()
    assert printed == [layer, bits]


OPERATIONS = """
        def operations():
            found = hashlib.sha256()
            rng = np.random.default_rng(0)
            F = nc.nn.functional
            for shape in ((5, 6, 31, 33), (9, 64, 14, 14), (3, 512, 5, 5), (4, 3, 60, 60)):
                x = nc.tensor(rng.standard_normal(shape, dtype=np.float32), requires_grad=True)
                w = nc.tensor(rng.standard_normal(shape[1], dtype=np.float32), requires_grad=True)
                mean, var = nc.zeros(shape[1]), nc.ones(shape[1])
                y = F.batch_norm(x, mean, var, w, w, training=True)
                y = F.gelu(y + x) + F.gelu(x, "tanh").erf() + F.batch_norm(y, mean, var)
                z = F.adaptive_avg_pool2d(y, (4, 5)) + F.adaptive_avg_pool2d(y, 1)
                (z * z).sum().backward()
                for t in (y.detach(), z.detach(), mean, var, x.grad, w.grad):
                    found.update(np.ascontiguousarray(t.numpy()))
            return found.hexdigest()
"""


def test_normalisation_and_pooling_do_not_depend_on_threads_or_layers():
    code = """
        for threads in (1, 2, 3, 4):
            nc.set_num_threads(threads)
            print(operations())
    """
    found = set()
    for layer in layers():
        printed = run(OPERATIONS + code, NUMBA_NUM_THREADS="4", NUMBA_THREADING_LAYER=layer).split()
        assert len(printed) == 4
        found |= set(printed)
    assert len(found) == 1


@pytest.mark.parametrize("layer", layers())
def test_eight_python_threads_at_once(layer):
    printed = run(
        """
        import concurrent.futures
        rng = np.random.default_rng(0)
        x = nc.tensor(rng.standard_normal((16, 8, 20, 20), dtype=np.float32))
        w = nc.tensor(rng.standard_normal((16, 8, 3, 3), dtype=np.float32))
        wanted = nc.nn.functional.conv2d(x, w).relu().numpy().copy()

        def work(_):
            return all((nc.nn.functional.conv2d(x, w).relu().numpy() == wanted).all() for _ in range(25))

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            print(all(pool.map(work, range(8))))
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert printed == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which Windows lacks")
@pytest.mark.parametrize("layer", layers())
def test_forked_children_work(layer):
    """A child, and its child: OpenMP would kill the one and hang the other."""
    printed = run(
        """
        import os
        x = nc.ones(4, 3, 12, 12)
        w = nc.ones(5, 3, 3, 3)
        nc.nn.functional.conv2d(x, w)

        def child(depth):
            pid = os.fork()
            if pid:
                return os.waitpid(pid, 0)[1]
            ok = (nc.nn.functional.conv2d(x, w).numpy() == 27).all()
            if depth:
                ok = ok and child(depth - 1) == 0
            os._exit(0 if ok else 1)

        print(child(1))
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert printed == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which Windows lacks")
def test_a_child_is_not_kept_waiting_by_the_parents_threads():
    """Each lock of the library is held by another thread while the child is made."""
    printed = run(
        """
        import gc, os, signal, threading
        x, w = nc.ones(8, 16, 32, 32), nc.ones(5, 16, 3, 3, requires_grad=True)
        (x * 1.0).relu()  # the backend, its buffers and its kernels are there
        kinds = type(threading.Lock())
        owned = [v for o in gc.get_objects() if str(type(o).__module__).startswith("numbacnn") for v in getattr(o, "__dict__", {}).values()]
        owned += [v for m in list(sys.modules.values()) if m.__name__.startswith("numbacnn") for v in vars(m).values()]
        found = list({id(v): v for v in owned if isinstance(v, kinds)}.values())
        found.append(nc.random.generator().bit_generator.lock)
        held, done = threading.Event(), threading.Event()

        def hold():
            for lock in found:
                lock.acquire()
            held.set()
            done.wait()

        threading.Thread(target=hold).start()
        held.wait()
        pid = os.fork()
        if not pid:
            signal.alarm(60)
            nc.nn.functional.conv2d(x, w).sum().backward()
            nc.rand(2)
            os._exit(0)
        done.set()
        print(len(found) >= 3, os.waitpid(pid, 0)[1])
        """,
    )
    assert printed == "True 0"


def test_threads_that_share_a_leaf_lose_no_gradient(monkeypatch):
    """Each sum waits, so that threads would read the same old gradient."""
    xp = nc.backends.get("cpu")
    add = xp.binary

    def slow(name, a, b):
        found = add(name, a, b)
        time.sleep(0.002)
        return found

    w = nc.ones(1, requires_grad=True)
    w.grad = nc.zeros(1)
    with monkeypatch.context() as patch, concurrent.futures.ThreadPoolExecutor(8) as pool:
        patch.setattr(xp, "binary", slow)
        list(pool.map(lambda _: w.backward(nc.ones(1)), range(40)))
    assert w.grad.item() == 40


def test_a_second_process_compiles_nothing():
    code = """
        import numba.core.event as event

        class Compilations(event.Listener):
            count = 0
            def on_start(self, event):
                Compilations.count += event.data["dispatcher"] in launch.KERNELS
            def on_end(self, event):
                pass

        event.register("numba:compile", Compilations())
        weights(1)
        print(Compilations.count)
    """
    run(code)
    assert run(code) == "0"


def test_without_a_folder_that_can_be_written(tmp_path):
    """A read-only package and no home folder: everything works, compiled anew each time."""
    if os.geteuid() == 0:
        code = "import numba.core.caching as c\nc.CacheImpl._locator_classes = []\n"  # root may write anywhere: take the folders away
    else:
        code = ""
    code += "import numpy as np\nimport numbacnn as nc\nprint(nc.ones(3).relu().sum().item())"
    env = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME")}
    env |= {"HOME": "/nonexistent", "NUMBACNN_QUIET": "0"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=env)
    assert result.stdout.strip() == "3.0", result.stderr[-2000:]
    assert result.stderr.splitlines() == [
        "numbacnn: kernels cannot be kept (no folder for them can be written): each process compiles them; `numbacnn doctor` says more",
        "numbacnn: compiling kernels for this processor ...",
    ]


def test_a_compilation_says_so(tmp_path):
    code = "import numbacnn as nc; nc.ones(3).relu()"
    for wanted in (1, 0):  # cold, then warm
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBACNN_QUIET": "0"}
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=env)
        assert result.returncode == 0
        assert result.stderr.count("numbacnn: compiling kernels for this processor; they are kept on disk for the next run ...") == wanted


def test_set_num_threads_judges_its_argument():
    limit = int(run("import numba; print(numba.config.NUMBA_NUM_THREADS)"))
    for wrong in (0, limit + 1, 1.5, 1.0, True, "1", nc.ones(2)):
        with pytest.raises(ValueError) as error:
            nc.set_num_threads(wrong)
        hint = "set the environment's NUMBA_NUM_THREADS for more"
        assert str(error.value) == f"[set_num_threads] expected 1 to {limit} threads; received {wrong!r}; {hint}."
    before = nc.config.threads
    nc.set_num_threads(1)
    assert nc.get_num_threads() == 1
    nc.set_num_threads(before)


def test_numbas_own_setting_is_left_alone():
    """It counts for the user's kernels in the same thread, and ours do not trust what they set before."""
    import numba

    before = numba.get_num_threads()
    try:
        for theirs in {1, numba.config.NUMBA_NUM_THREADS}:
            for ours in {1, numba.config.NUMBA_NUM_THREADS}:
                numba.set_num_threads(theirs)
                nc.set_num_threads(ours)
                nc.ones(3).relu()
                nc.ones(1 << 16).relu()
                assert numba.get_num_threads() == theirs
    finally:
        nc.set_num_threads(None)
        numba.set_num_threads(before)


def test_buffers_are_not_reused_while_seen():
    """The free list hands out no memory that a view, a NumPy array or a memoryview still shows."""
    buffers = type(nc.backends.get("cpu").buffers)(limit=1 << 30)
    first = buffers.empty((100, 100), np.float32)
    address = first.ctypes.data
    view = first[5:, ::2]
    del first
    assert buffers.empty((100, 100), np.float32).ctypes.data != address
    keeper = memoryview(view)
    del view
    assert buffers.empty((100, 100), np.float32).ctypes.data != address
    del keeper
    assert buffers.empty((100, 100), np.float32).ctypes.data == address


def test_a_free_buffer_serves_at_least_half_its_size():
    buffers = type(nc.backends.get("cpu").buffers)(limit=1 << 30)
    large, small = (buffers.empty((size,), np.uint8) for size in ((1 << 20) - 64, (3 << 18) - 64))  # and a cache line
    places = large.ctypes.data, small.ctypes.data
    del large, small
    first, second = (buffers.empty((size,), np.uint8) for size in (5 << 17, (1 << 19) - 64))
    assert (second.ctypes.data, first.ctypes.data) == places  # the smaller one that fits first, then what is left
    assert buffers.empty(((1 << 19) - 65,), np.uint8).ctypes.data not in places
    del first, second
    third = buffers.empty(((1 << 19) - (1 << 16),), np.uint8)
    assert third.ctypes.data not in places  # less than half of either would be used
    assert buffers.held == (1 << 20) + (3 << 18) + (1 << 19)


def test_a_larger_buffer_takes_the_place_of_a_free_one():
    """What a smaller buffer served, the larger one serves; one that is in use, or much smaller, stays."""
    buffers = type(nc.backends.get("cpu").buffers)(limit=1 << 30)
    free, much_smaller = (buffers.empty((size,), np.uint8) for size in ((1 << 20) - 64, (1 << 19) - 64))
    used = buffers.empty(((1 << 20) + (1 << 18) - 64,), np.uint8)
    del free, much_smaller
    large = buffers.empty(((1 << 20) + (1 << 19) - 64,), np.uint8)
    assert buffers.held == used.nbytes + large.nbytes + (1 << 19) + 2 * 64
    address = large.ctypes.data
    del large
    assert buffers.empty(((1 << 20) - 64,), np.uint8).ctypes.data == address


def test_the_free_list_is_bounded_and_can_be_emptied():
    buffers = type(nc.backends.get("cpu").buffers)(limit=1 << 20)
    for i in range(20):
        buffers.empty((1 << 16, 1 + i), np.uint8)
    assert buffers.held <= (1 << 20) + (1 << 16) * 20
    buffers.clear()
    assert buffers.held == 0


def test_the_cut_of_tasks_depends_on_the_shape_alone():
    """Machines of 1, 2 and 16 cores make the same plans and the same bits, also of gradients that are cut by channels."""
    code = """
        import numba
        from numbacnn import backends
        from numbacnn.backends.cpu.plan import conv
        from numbacnn.geometry import ConvGeometry

        found = hashlib.sha256()
        for c, oc in ((8, 300), (150, 20)):
            g = ConvGeometry.of((3, c, 9, 9), (oc, c, 3, 3))
            (_, forward), *_ = conv.forward_plans(g, "float32")
            (_, grad_input), *_ = conv.grad_input_plans(g, "float32")
            for plan in (forward, grad_input, conv.grad_weight_plan(g, "float32")):
                for table in plan.tables:
                    found.update(table.tobytes())
            x, grad = (np.random.default_rng(0).standard_normal(shape, dtype=np.float32) for shape in ((3, c, 9, 9), g.output_shape))
            found.update(backends.get("cpu").conv_grad_weight(grad, x, g).tobytes())
        print(numba.config.NUMBA_NUM_THREADS, found.hexdigest())
    """
    found = [run(code, NUMBA_NUM_THREADS=str(cores)).split() for cores in (1, 2, 16)]
    assert [cores for cores, _ in found] == ["1", "2", "16"]
    assert len({digest for _, digest in found}) == 1
