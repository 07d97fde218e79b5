"""CUDA's host side without a GPU: what a training step asks of a driver, counted, and what happens where the driver fails.

``fake_driver.c`` is the driver: nothing is computed, all values are zeros. ``STEPS`` holds the numbers.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fake_driver
import numpy as np
import pytest
from fake_driver import ILLEGAL_ADDRESS, LAUNCH_FAILED, OUT_OF_MEMORY, WAITS, Driver, Launch
from test_ptx import cuda_home as cuda_home  # a fixture for these tests too
from test_ptx import toolkit

pytestmark = [
    pytest.mark.skipif(toolkit() is None, reason='no NVVM or ptxas here: pip install "numbacnn[ptx]"'),
    pytest.mark.skipif(fake_driver.compiler() is None, reason="no C compiler here"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the driver's library has another form there"),
]

COUNTED = 11
"""Steps that are counted, after some that take memory, compile and are recorded: Numba frees by elevens, so its numbers come out even.
On the safe path what the device finds wrong in a step is kept until a result is read: one array a step is not freed. On the fast one
a flag is copied to page-locked memory, for which nobody waits."""

STEPS: dict[str, dict[str, dict[str, float]]] = {
    # a step of SGD with momentum, its batch on the device: 256 pictures for LeNet-5, 64 of 32 x 32 for ResNet-18
    # kernels: how many run; the others are calls of the driver. The copy is of what the device finds wrong, which nobody waits for.
    "lenet": {
        "eager": {"kernels": 40, "launches": 40, "allocations": 0, "frees": 0, "copies": 1, "waits": 0},
        "compiled": {"kernels": 40, "launches": 1, "allocations": 0, "frees": 0, "copies": 1, "waits": 0},
    },
    "lenet, safe": {
        "eager": {"kernels": 65, "launches": 65, "allocations": 56, "frees": 55, "copies": 0, "waits": 0},
        "compiled": {"kernels": 65, "launches": 65, "allocations": 2, "frees": 1, "copies": 0, "waits": 0},
    },
    "resnet": {
        "eager": {"kernels": 174, "launches": 174, "allocations": 0, "frees": 0, "copies": 1, "waits": 0},
        "compiled": {"kernels": 174, "launches": 1, "allocations": 0, "frees": 0, "copies": 1, "waits": 0},
    },
    "resnet, safe": {
        "eager": {"kernels": 481, "launches": 481, "allocations": 460, "frees": 459, "copies": 0, "waits": 0},
        "compiled": {"kernels": 481, "launches": 481, "allocations": 2, "frees": 1, "copies": 0, "waits": 0},
    },
}
CALLS = {
    "launches": ("LaunchKernel", "LaunchKernelEx", "LaunchCooperativeKernel", "GraphLaunch"),
    "allocations": ("MemAlloc", "MemAllocAsync", "MemAllocFromPoolAsync", "MemAllocManaged", "MemAllocHost", "MemHostAlloc"),
    "frees": ("MemFree", "MemFreeAsync", "MemFreeHost"),
    "copies": tuple(f"Memcpy{way}{how}" for way in ("HtoD", "DtoH", "DtoD") for how in ("", "Async")),
    "waits": tuple(name for name in WAITS if name != "MemFree"),
}


# -- the children -------------------------------------------------------------------------------------------------------------
def network(name: str) -> tuple[Any, Any, Any, Any]:
    """A network on the device, its optimiser, a batch and its labels."""
    import numbacnn as nc

    nc.manual_seed(0)
    if name == "lenet":
        net, shape = nc.models.lenet(), (256, 1, 28, 28)
    else:
        net, shape = nc.models.resnet18(classes=10, stem="cifar"), (64, 3, 32, 32)
    net = net.to("cuda")
    labels = nc.from_array(np.zeros(shape[0], np.int64)).to("cuda")
    return net, nc.optim.SGD(net.parameters(), lr=0.01, momentum=0.9), nc.zeros(shape, device="cuda"), labels


def step_of(net: Any, optimiser: Any) -> Any:
    import numbacnn as nc

    def step(x: Any, y: Any) -> Any:
        optimiser.zero_grad()
        loss = nc.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        return loss

    return step


def counted(driver: Driver, step: Any, x: Any, y: Any, before: int = 3) -> tuple[dict[str, float], list[Launch]]:
    """What one of some steps asks for, on average, and the kernels of one more."""
    for _ in range(before):
        step(x, y)
    driver.reset(log=False)
    for _ in range(COUNTED):
        step(x, y)
    calls = driver.counts()
    driver.reset()
    step(x, y)
    log = driver.log()
    return {name: sum(calls.get(c, 0) for c in of) / COUNTED for name, of in CALLS.items()} | {"kernels": len(log)}, log


def same(eager: list[Launch], compiled: list[Launch]) -> bool:
    """Whether the same kernels are launched with the same numbers, wherever their arrays lie."""
    told = [[(l.name, l.grid, l.block, l.numbers) for l in log] for log in (eager, compiled)]
    return told[0] == told[1]


def steps(name: str) -> dict[str, Any]:
    import numbacnn as nc

    driver = Driver()
    net, optimiser, x, y = network(name)
    step = step_of(net, optimiser)
    eager, log = counted(driver, step, x, y)
    compiled, replayed = counted(driver, nc.compile(step), x, y, 15)  # recorded, then replayed until the plan has been checked
    return {"eager": eager, "compiled": compiled, "same": same(log, replayed), "names": Counter(l.kernel for l in log)}


def outcome(what: Any) -> str:
    """What a call says: the type and text of its error, or that there is none."""
    try:
        what()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def cpu() -> float:
    import numbacnn as nc

    return float((nc.ones((4, 4)) * 2).sum().item())


def without_a_device() -> dict[str, Any]:
    import numbacnn as nc

    return {"said": outcome(lambda: (nc.ones(3, device="cuda") * 2).numpy()), "cpu": cpu()}


def failures() -> dict[str, Any]:
    """What is said where something fails in the middle of work, and whether the work goes on afterwards."""
    import numbacnn as nc

    driver = Driver()
    x = nc.ones((256, 256), device="cuda")
    y, told = x * 2, {}

    def tried(name: str, what: Any) -> None:
        said = outcome(what)
        driver.heal()
        driver.limit(80 << 30)
        told[name] = {"said": said, "after": outcome(lambda: (x * 2).numpy()), "cpu": cpu()}

    def take(megabytes: int) -> Any:
        return nc.zeros((megabytes << 18,), device="cuda")

    def small() -> None:
        for dtype in (nc.int8, nc.int16):
            nc.full((3,), 2, dtype=dtype, device="cuda") + 1

    def by_another_thread() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(y.numpy).result()

    def lent() -> None:
        def launched() -> int:
            return sum(driver.counts().get(name, 0) for name in CALLS["launches"])

        driver.reset()
        normalised = nc.nn.BatchNorm2d(4).to("cuda")(nc.ones((2, 4, 8, 8), device="cuda"))  # waits for a ReLU that may follow
        before = launched()
        normalised.detach().__dlpack__()
        if launched() == before:
            raise RuntimeError("nothing was launched before the memory was shown")

    tried("small integers", small)
    tried("a thread only reads", by_another_thread)
    tried("what waits is lent", lent)
    take(1)  # compiled
    driver.fail("cuMemAlloc", OUT_OF_MEMORY, times=1)
    tried("memory is full once", lambda: take(3))
    kept = [take(16) for _ in range(4)]
    driver.limit(driver.memory()[0])
    kept.clear()  # what the library may keep for later must be given back now
    tried("memory is full of what nobody needs", lambda: take(48))
    driver.limit(driver.memory()[0])
    tried("memory is full", lambda: take(400))
    driver.fail("cuMemAlloc", OUT_OF_MEMORY)
    tried("no allocation succeeds", lambda: take(500))
    for way in ("cuLaunchKernel", "cuLaunchKernelEx"):
        driver.fail(way, LAUNCH_FAILED, at=2)
    tried("the second launch fails", lambda: [x * 2 for _ in range(2)])
    driver.fail("cuMemcpyDtoH", ILLEGAL_ADDRESS)
    driver.fail("cuMemcpyDtoHAsync", ILLEGAL_ADDRESS)
    tried("a result cannot be read", lambda: y.numpy())
    driver.fail("*", ILLEGAL_ADDRESS)
    lost = {
        "launch": lambda: x * 2,
        "read": lambda: y.numpy(),
        "bring": lambda: nc.tensor([1.0], device="cuda"),
        "wait": nc.cuda.synchronize,
    }
    for name, what in lost.items():
        told[f"the device is lost, {name}"] = {"said": outcome(what), "after": "no error", "cpu": cpu()}
    return told


MINI = """.version 8.0
.target sm_90
.visible .entry _ZN4mini5twiceB2v1E(.param .u64 x, .param .align 8 .b8 pair[12], .param .u8 flag, .param .f64 rate)
{ ret; }
"""


def strictness() -> dict[str, Any]:
    """What the driver itself refuses, and a kernel launched in three ways."""
    import ctypes as c

    driver = Driver()
    lib = c.CDLL("libcuda.so.1")
    place, other, handle, module, function = (c.c_void_p() for _ in range(5))
    said = {"no context": lib.cuMemAlloc_v2(c.byref(place), c.c_size_t(8))}
    lib.cuDevicePrimaryCtxRetain(c.byref(handle), 0)
    lib.cuCtxSetCurrent(handle)
    said["memory"] = lib.cuMemAlloc_v2(c.byref(place), c.c_size_t(8))
    said["most memory"] = driver.memory() == (8, 8)
    said["a copy beyond it"] = lib.cuMemcpyHtoD_v2(place, c.create_string_buffer(9), c.c_size_t(9))
    said["a copy"] = lib.cuMemcpyHtoDAsync_v2(place, c.create_string_buffer(8), c.c_size_t(8), None)
    said["pageable"] = driver.counts()["copy of pageable memory"]
    said["freed"] = lib.cuMemFree_v2(place)
    said["freed twice"] = lib.cuMemFree_v2(place)
    driver.limit(100)
    said["too much"] = lib.cuMemAlloc_v2(c.byref(other), c.c_size_t(101))
    lib.cuModuleLoadData(c.byref(module), MINI.encode())
    said["no such kernel"] = lib.cuModuleGetFunction(c.byref(function), module, b"thrice")
    said["kernel"] = lib.cuModuleGetFunction(c.byref(function), module, b"_ZN4mini5twiceB2v1E")

    x, pair, flag, rate = c.c_uint64(5), (c.c_int32 * 3)(1, 2, 3), c.c_bool(True), c.c_double(0.5)
    separate = (c.c_void_p * 4)(*(c.addressof(v) for v in (x, pair, flag, rate)))
    packed = bytes(x) + bytes(pair) + bytes(flag) + bytes(3) + bytes(rate)
    buffer, size = c.create_string_buffer(packed, len(packed)), c.c_size_t(len(packed))
    extra = (c.c_void_p * 5)(1, c.addressof(buffer), 2, c.addressof(size), 0)
    driver.reset()

    def launch(blocks: int, threads: int, *given: Any) -> int:
        return lib.cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, None, *given)

    said["separate"], said["packed"] = launch(2, 32, separate, None), launch(2, 32, None, extra)
    said["no blocks"], said["too many threads"] = launch(0, 32, separate, None), launch(2, 1025, separate, None)
    size.value -= 1
    said["too few bytes"] = launch(2, 32, None, extra)
    size.value += 1

    class Node(c.Structure):
        _fields_ = (("function", c.c_void_p), ("sizes", c.c_uint * 7), ("given", c.c_void_p * 2), ("kernel", c.c_void_p * 2))

    graph, first, second, third, run = (c.c_void_p() for _ in range(5))
    node = Node(function.value, (2, 1, 1, 32, 1, 1, 0), (None, c.addressof(extra)))
    lib.cuGraphCreate(c.byref(graph), 0)
    said["node"] = lib.cuGraphAddKernelNode_v2(c.byref(first), graph, None, c.c_size_t(0), c.byref(node))
    said["next"] = lib.cuGraphAddKernelNode_v2(c.byref(second), graph, c.byref(first), c.c_size_t(1), c.byref(node))
    said["order"] = driver.counts().get("graph node without an order", 0)
    lib.cuGraphAddKernelNode_v2(c.byref(third), graph, c.byref(first), c.c_size_t(1), c.byref(node))
    said["no order"] = driver.counts().get("graph node without an order", 0)
    lib.cuGraphInstantiateWithFlags(c.byref(run), graph, c.c_ulonglong(0))
    buffer[0] = 9  # the driver has copied it
    said["changed"] = lib.cuGraphExecKernelNodeSetParams_v2(run, third, c.byref(node))
    said["graph"] = lib.cuGraphLaunch(run, None)
    log = driver.log()
    said["kernels"] = [l.kernel for l in log]
    said["bytes"] = [l.arguments == packed for l in log]
    said["numbers"] = log[0].numbers == bytes(pair) + bytes(flag)
    said["calls"] = driver.counts()["LaunchKernel"]
    driver.fail("cuGraphLaunch", LAUNCH_FAILED, at=2, times=1)
    said["one in three"] = [lib.cuGraphLaunch(run, None) for _ in range(3)]
    lib.cuGraphExecDestroy(run)
    lib.cuGraphDestroy(graph)
    return said


# -- the tests ----------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_driver.library(tmp_path_factory.mktemp("driver"))


def child(expression: str, driver: Path | None, home: Path, **environment: str) -> Any:
    script = f"import json\nimport test_fake_driver as t\nprint(json.dumps({expression}))"
    return fake_driver.run(script, environment, driver=driver, home=home)


@pytest.fixture(scope="module")
def fast(driver: Path, cuda_home: Path) -> dict[str, Any]:
    """What one process tells of the fast path: kernels are compiled once."""
    return child('{"steps": t.steps("lenet"), "failures": t.failures()}', driver, cuda_home, NUMBACNN_CUDA_PATH="fast")


def test_the_driver_is_strict(driver: Path, cuda_home: Path) -> None:
    assert child("t.strictness()", driver, cuda_home) == {
        "no context": 201,
        "memory": 0,
        "most memory": True,
        "a copy beyond it": 1,
        "a copy": 0,
        "pageable": 1,
        "freed": 0,
        "freed twice": 1,
        "too much": OUT_OF_MEMORY,
        "no such kernel": 500,
        "kernel": 0,
        "separate": 0,
        "packed": 0,
        "no blocks": 1,
        "too many threads": 1,
        "too few bytes": 1,
        "node": 0,
        "next": 0,
        "order": 0,
        "no order": 1,
        "changed": 0,
        "graph": 0,
        "kernels": ["mini.twice"] * 5,
        "bytes": [True, True, True, True, False],
        "numbers": True,
        "calls": 5,
        "one in three": [0, LAUNCH_FAILED, 0],
    }


@pytest.mark.long
@pytest.mark.parametrize("name", ["lenet", "resnet", "lenet, safe", "resnet, safe"])
def test_a_step_asks_the_driver_for(name: str, driver: Path, cuda_home: Path, request: pytest.FixtureRequest) -> None:
    net, _, path = name.partition(", ")
    if name == "lenet":
        found = request.getfixturevalue("fast")["steps"]
    else:
        found = child(f"t.steps({net!r})", driver, cuda_home, NUMBACNN_CUDA_PATH=path or "fast")
    print(f"{name}: {found}")
    assert {way: found[way] for way in ("eager", "compiled")} == STEPS[name]
    assert found["same"], "the plan launches other kernels than the step"


FORM = r"(DeviceError|OutOfMemoryError): \[(cuda|device)\] expected [^;]+; received (?P<received>[^;]+); [^;]+\."
NOTHING = "no error"

ABSENT = {
    "no driver": ({}, r"none \(CUDA driver library cannot be found.*\)"),
    "no device": ({"FAKE_CUDA_FAIL": "cuInit 1 -1 100"}, r"none \(.*NO_DEVICE.*\)"),
    "a driver of another version than its module": ({"FAKE_CUDA_FAIL": "cuInit 1 -1 803"}, r"none \(.*SYSTEM_DRIVER_MISMATCH.*\)"),
    "an old driver": ({"FAKE_CUDA_VERSION": "11000"}, r".*UNSUPPORTED_PTX_VERSION.*"),
    "a device in exclusive use": ({"FAKE_CUDA_FAIL": "cuDevicePrimaryCtxRetain 1 -1 46"}, r".*UNAVAILABLE.*"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", ABSENT)
def test_there_is_no_device(name: str, driver: Path, cuda_home: Path, tmp_path: Path) -> None:
    environment, received = ABSENT[name]
    if name == "an old driver":  # a kernel that is kept would not be linked again
        environment = environment | {"NUMBA_CACHE_DIR": str(tmp_path)}
    told = child("t.without_a_device()", None if name == "no driver" else driver, cuda_home, **environment)
    assert told["cpu"] == 32
    said = re.fullmatch(FORM, told["said"])
    assert said and re.fullmatch(received, said["received"]), told["said"]


FAILURES = {  # what happens -> what was received
    "small integers": NOTHING,
    "a thread only reads": NOTHING,
    "what waits is lent": NOTHING,
    "memory is full once": NOTHING,
    "memory is full of what nobody needs": NOTHING,
    "memory is full": r".*OUT_OF_MEMORY.*",
    "no allocation succeeds": r".*OUT_OF_MEMORY.*",
    "the second launch fails": r".*LAUNCH_FAILED.*",
    "a result cannot be read": r".*(ILLEGAL_ADDRESS|700).*",
    "the device is lost, launch": r".*(ILLEGAL_ADDRESS|700).*",
    "the device is lost, read": r".*(ILLEGAL_ADDRESS|700).*",
    "the device is lost, bring": r".*(ILLEGAL_ADDRESS|700).*",
    "the device is lost, wait": r".*(ILLEGAL_ADDRESS|700).*",
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_device_fails(name: str, fast: dict[str, Any]) -> None:
    told = fast["failures"][name]
    assert told["cpu"] == 32 and told["after"] == NOTHING
    if FAILURES[name] == NOTHING:
        assert told["said"] == NOTHING
        return
    said = re.fullmatch(FORM, told["said"])
    assert said and re.fullmatch(FAILURES[name], said["received"]), told["said"]


def test_every_failure_is_judged(fast: dict[str, Any]) -> None:
    assert fast["failures"].keys() == FAILURES.keys()
