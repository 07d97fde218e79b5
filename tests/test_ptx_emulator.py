"""The CUDA kernels' PTX, run by ``ptx_emulator.py``: the library's own launches over a driver without a GPU, against the CPU's results.

All that happens on a device happens here but for its arithmetic units: arguments packed for the driver, memory, compiled kernels.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import fake_driver
import numpy as np
import pytest
from fake_driver import Driver, unnumbered
from ptx_emulator import AccessError, Device, Kernel, Memory, arithmetic
from test_fake_driver import driver as driver  # fixtures for these tests too
from test_ptx import cuda_home as cuda_home
from test_ptx import kernels, own_functions, toolkit

Case = tuple[Callable[..., Any], tuple[Any, ...]]
CLOSE = 2e-6
"""Of the largest number: a sum in another order, and exponentials, which a device rounds otherwise."""

IN_ANOTHER_ORDER = {"batch norm", "batch norm of many", "residuals"}
"""Cases whose sums the fast path adds in another order than the safe one."""


# -- the child ----------------------------------------------------------------------------------------------------------------
def whole(*shape: int, low: int = -3, high: int = 4, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Numbers whose sums are exact in any order."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def real(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def volumes(where: str) -> list[np.ndarray]:
    """Convolution and pooling along three axes, in all directions."""
    import numbacnn as nc
    from numbacnn.testing import AdaptiveCase, ConvCase, PoolCase

    xp = nc.backends.get(where)
    conv = ConvCase.of((1, 2, 3, 4, 5), (3, 2, 2, 3, 2), padding=(1, 0, 1))
    pool, parts = PoolCase.of((1, 2, 5, 4, 4), 2, stride=2), AdaptiveCase.of((1, 2, 3, 4, 3), 2)
    x, w, grad = map(xp.from_numpy, (conv.x, conv.w, conv.grad))
    found = [xp.conv_forward(x, w, None, conv.geometry), xp.conv_grad_input(grad, w, conv.geometry)]
    found.append(xp.conv_grad_weight(grad, x, conv.geometry))
    x, grad, few, back = map(xp.from_numpy, (8 * pool.x, 8 * pool.grad, 8 * parts.x, 8 * parts.grad))
    highest, place = xp.max_pool_forward(x, pool.geometry)
    found += [highest, place, xp.max_pool_backward(grad, place, pool.geometry)]
    found += [xp.avg_pool_forward(x, pool.geometry), xp.avg_pool_backward(grad, pool.geometry)]
    found += [xp.adaptive_avg_pool_forward(few, parts.geometry), xp.adaptive_avg_pool_backward(back, parts.geometry)]
    return [xp.to_numpy(a) for a in found]


def pictures(where: str) -> list[np.ndarray]:
    """Bytes that become floats, by a table of each channel."""
    import numbacnn as nc

    xp, data, table = nc.backends.get(where), whole(2, 3, 5, 4, low=0, high=256, dtype=np.uint8), real(256, 3)
    if not hasattr(xp, "scaled"):
        return [np.stack([table[data[:, c], c] for c in range(3)], 1)]
    return [xp.to_numpy(xp.scaled(xp.from_numpy(data), table))]


def many_channels(x: Any) -> Any:
    """Pooling of a number of channels that is a multiple of four."""
    from numbacnn.nn import functional as F

    x = x * 36
    return F.max_pool2d(x, 2).sum() + F.avg_pool2d(x, 3, 3).sum() + F.adaptive_avg_pool2d(x, (3, 2)).sum()


def layers(where: str) -> Any:
    """Linear layers whose parameters are small integers, with activations that are done in the layers' kernels."""
    import numbacnn as nc
    from numbacnn import nn

    net = nn.Sequential(nn.Linear(20, 7), nn.ReLU(), nn.Linear(7, 3), nn.ReLU()).to(where)
    for p in net.parameters():
        p.detach()[:] = nc.from_array(whole(*p.shape, seed=7)).to(where)
    return net


def residuals(x: Any) -> Any:
    """What batch normalisation's launches do besides, forward and backward: additions, ReLUs, gradients that come from two sides."""
    from numbacnn import nn
    from numbacnn.nn import functional as F

    first, second = (nn.BatchNorm2d(x.shape[1]).to(x.device) for _ in range(2))
    y = F.relu(first(x) + x)
    return F.relu(second(F.relu(first.train(False)(y))) + y)


def apart(x: Any) -> Any:
    """0: in launches apart there come the same bits, forward and backward."""
    import numbacnn as nc

    made = []
    for waits in (False, True):
        with mock.patch.object(nc.backends.get(x.device), "_may_wait", lambda waits=waits: waits, create=True):
            y = residuals(x)
            made.append(nc.cat([y.detach(), *nc.grad(y, x, y.detach())]))
    return made[0] - made[1]


def exact_cases() -> dict[str, Case]:
    """What small integers tell exactly: name -> (function, arrays)."""
    import numbacnn as nc
    from numbacnn.nn import functional as F

    x, w = whole(2, 5, 7, 6), whole(6, 5, 3, 3, seed=1)
    labels, pixels = whole(7, low=0, high=5, dtype=np.int64), whole(3, 5, high=200, low=0, dtype=np.uint8)
    return {
        "binary": (lambda x, y: x * y + x.maximum(y) - y, (x, whole(5, 1, 6, seed=2))),
        "turned": (lambda x: x.permute(3, 1, 0, 2).contiguous() * 2, (x,)),
        "eight axes": (lambda x: x.reshape(1, 2, 5, 1, 7, 1, 6, 1).permute(7, 4, 2, 3, 0, 1, 5, 6).contiguous() + 1, (x,)),
        "compared": (lambda x: nc.where(x > 0, x, x * 3).to(np.float32), (x,)),
        "floored": (lambda x: x.detach() // 2 + x % 2, (x,)),
        "whole numbers": (lambda p: p // 3 + p % 4, (pixels,)),
        "types": (lambda p: p.to(np.float32).to(np.int64).to(np.uint8), (pixels,)),
        "relu": (lambda x: F.relu(x) - F.relu6(-x), (x,)),
        "largest": (lambda x: x.reshape(-1, 6).argmax(1), (x,)),
        "sum of rows": (lambda x: x.reshape(-1, 6).sum(1), (x,)),
        "sum of columns": (lambda x: x.reshape(-1, 6).sum(0) + x.reshape(-1, 6).max(0)[0], (x,)),
        "sum of long rows": (lambda x: x.sum(1) + x.max(1)[0] + x.argmax(1), (whole(3, 701),)),
        "sum of long columns": (lambda x: x.sum(0), (whole(701, 6),)),
        "product": (lambda a, b: a @ b, (whole(35, 17), whole(17, 9, seed=1))),
        "product of turned ones": (lambda a, b: a.T @ b.T, (whole(17, 35), whole(9, 17, seed=1))),
        "layer": (lambda x, w, b: F.linear(x, w, b), (whole(9, 20), whole(7, 20, seed=1), whole(7, seed=2))),
        "fused layers": (lambda x: layers(x.device)(x), (whole(9, 20),)),
        "convolution": (lambda x, w, b: F.conv2d(x, w, b, padding=1), (x, w, whole(6))),
        "strided convolution": (lambda x, w: F.conv2d(x, w, stride=2, padding=(1, 2), dilation=(1, 2)), (x, w)),
        "grouped convolution": (lambda x, w: F.conv2d(x, w, groups=5), (x, whole(10, 1, 3, 3, seed=1))),
        "convolution of each channel": (lambda x, w: F.conv2d(x, w, padding=1, groups=8), (whole(2, 8, 6, 7), whole(8, 1, 3, 3, seed=1))),
        "sum of many columns": (lambda x: x.reshape(-1, 8).sum(0), (whole(2, 8, 6, 7),)),
        "many channels": (many_channels, (whole(2, 8, 6, 7),)),
        "maximum pooling": (lambda x: F.max_pool2d(x, 3, 2, 1), (x,)),
        "average pooling": (lambda x: F.avg_pool2d(x * 4, 2), (x,)),
        "volumes": (volumes, ()),
        "pictures": (pictures, ()),
        "launches apart": (apart, (real(4, 33, 5, 5),)),
        "labels": (lambda x, y: F.one_hot(y, 6).to(np.float32) * x, (whole(7, 6), labels)),
    }


def close_cases() -> dict[str, Case]:
    import numbacnn as nc
    from numbacnn import nn
    from numbacnn.nn import functional as F

    x, labels = real(2, 5, 7, 6), whole(10, low=0, high=7, dtype=np.int64)
    activations = (F.sigmoid, F.tanh, F.gelu, F.silu, F.hardswish, F.softplus, F.elu, lambda t: F.gelu(t, "tanh"))
    unary = (nc.exp, nc.erf, lambda t: (t * t + 1).log(), lambda t: (t * t + 1).sqrt(), lambda t: (t * t).log1p(), abs, nc.sin, nc.cos)

    def normed(x: Any, training: bool) -> Any:
        net = nn.BatchNorm2d(5).to(x.device)
        net.weight.detach()[:] = nc.from_array(real(5, seed=3)).to(x.device)
        return net.train(training)(x)

    def stepped(kind: str) -> Any:
        def step(x: Any) -> Any:
            nc.manual_seed(0)
            net = nn.Linear(6, 3).to(x.device)
            made = {"sgd": nc.optim.SGD, "adam": nc.optim.Adam}[kind]
            options = {"momentum": 0.9, "weight_decay": 0.01} if kind == "sgd" else {"weight_decay": 0.01}
            optimiser = made(net.parameters(), lr=0.1, **options)
            for _ in range(2):
                optimiser.zero_grad()
                (net(x.detach().reshape(-1, 6)) ** 2).mean().backward()
                optimiser.step()
            return net.weight.detach() * x.reshape(-1, 6).sum(0)

        return step

    def dropped(x: Any) -> Any:
        nc.manual_seed(0)
        return F.dropout(x, 0.4)

    own = nc.pointwise(lambda x: x * x * x, lambda x: 3 * x * x)
    return {
        "activations": (lambda x: sum((f(x) for f in activations), 0.0 * x), (x,)),
        "functions": (lambda x: sum((f(x) for f in unary), 0.0 * x), (x,)),
        "a user's function": (lambda x: own(x), (x,)),
        "remainder": (lambda x: x % 0.75, (x,)),
        "softmax": (lambda x: F.softmax(x, 3), (x,)),
        "softmax of long rows": (lambda x: F.softmax(x, 1), (real(2, 701),)),
        "log of softmax": (lambda x: F.log_softmax(x, 1), (x,)),
        "cross entropy": (lambda x, y: F.cross_entropy(x.reshape(10, 42)[:, :7], y, label_smoothing=0.1), (x, labels)),
        "batch norm": (lambda x: normed(x, True), (x,)),
        "batch norm of many": (lambda x: normed(x, True), (real(6, 5, 13, 11),)),
        "batch norm, evaluated": (lambda x: normed(x, False), (x,)),
        "residuals": (residuals, (real(4, 33, 5, 5),)),
        "average of all": (lambda x: F.adaptive_avg_pool2d(x, 1), (x,)),
        "average of parts": (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), (x,)),
        "sgd": (stepped("sgd"), (x,)),
        "adam": (stepped("adam"), (x,)),
        "dropout": (dropped, (x,)),
        "variance": (lambda x: x.var((0, 2, 3)), (x,)),
    }


def compared(device: Device, function: Any, arrays: tuple[Any, ...]) -> tuple[float | str, str]:
    """The largest difference between two devices' results, gradients included, of the largest number, or the error; what stands for the
    bits of the second's results."""
    import numbacnn as nc

    found: list[list[np.ndarray]] = []
    for where in ("cpu", "cuda"):
        given = [nc.from_array(a).to(where) for a in arrays]
        wanted = [t.requires_grad_(True) for t in given if t.dtype == np.float32]
        try:
            if not given:
                found.append(function(where))
                continue
            y = function(*given)
            if y.requires_grad:
                (y * nc.from_array(whole(*y.shape, seed=5)).to(where)).sum().backward()
            found.append([y.detach().numpy(), *(t.grad.numpy() for t in wanted if t.grad is not None)])
        except Exception as error:
            said = f"{where}: {device.error or f'{type(error).__name__}: {error}'}"
            device.error = ""
            return said, ""
    bits = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in found[1])).hexdigest()
    if [a.shape for a in found[0]] != [a.shape for a in found[1]]:
        return "other shapes", bits
    scale = [np.abs(a.astype(np.float64)).max(initial=1e-30) for a in found[0]]
    return max(float(np.abs(a.astype(np.float64) - b).max(initial=0) / s) for a, b, s in zip(*found, scale)), bits


def operations() -> dict[str, Any]:
    """How far the device's results are from the CPU's, their bits, and which kernels ran."""
    own_functions()
    device = Device(Driver())
    exact, close = ({name: compared(device, *case) for name, case in cases().items()} for cases in (exact_cases, close_cases))
    return {"exact": exact, "close": close, "ran": sorted(device.ran)}


PLANTED = {  # what is changed in each kernel's text, in which case, and what is said
    "no barrier": (r"bar\.sync[^;]*;", "", "batch norm", "no barrier between two warps"),
    "no barrier in a tile": (r"bar\.sync[^;]*;", "", "convolution", "no barrier between two warps"),
    "no end": (r"setp\.(ge|gt)\.u32\s+(%p\d+), (%r\d+), %r\d+;", r"setp.\1.u32 \2, \3, 0x7fffffff;", "relu", "outside of memory"),
    "another start": (r"(ld\.global\.v4[^;]*\[%rd\d+)(?:\+(\d+))?\]", r"\1+4]", "relu", "is not aligned"),
}


def planted() -> dict[str, str]:
    """What is said where a kernel is wrong."""
    cases, told, driver = exact_cases() | close_cases(), {}, Driver()
    for name, (wrong, right, case, _) in PLANTED.items():
        device = Device(driver, lambda ptx, wrong=wrong, right=right: re.sub(wrong, right, ptx))
        told[name] = str(compared(device, *cases[case])[0])
    return told


def training() -> dict[str, Any]:
    """The parameters after each of some steps of a small network, eagerly and compiled: their bytes."""
    import numbacnn as nc
    from numbacnn import nn
    from numbacnn.nn import functional as F

    device, told = Device(Driver()), {}
    x, y = (nc.from_array(a).to("cuda") for a in (real(3, 1, 8, 8), whole(3, low=0, high=4, dtype=np.int64)))
    for way in ("eager", "compiled"):
        nc.manual_seed(0)
        body = (nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2))
        net = nn.Sequential(*body, nn.Flatten(), nn.Linear(64, 4)).to("cuda")
        optimiser = nc.optim.Adam(net.parameters(), lr=0.01)

        def step(x: Any, y: Any, net: Any = net, optimiser: Any = optimiser) -> Any:
            optimiser.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimiser.step()
            return loss

        run = nc.compile(step) if way == "compiled" else step
        device.driver.reset()
        told[way] = []
        for _ in range(6):
            loss = run(x, y).detach().numpy().tobytes()
            told[way].append((loss + b"".join(p.detach().numpy().tobytes() for p in net.parameters())).hex())
        told[f"{way} launches"] = device.driver.counts().get("GraphLaunch", 0)
    return told | {"error": device.error}


def all_kernels() -> dict[str, str]:
    """Each kernel's name, and the name of the pattern that it is made of, which is its own mostly."""
    own_functions()
    functions = [k.py_func for k in kernels().values()]
    return {f"{f.__module__}.{unnumbered(f.__qualname__)}": f"{f.__module__}.{f.__code__.co_name}" for f in functions}


# -- the tests ----------------------------------------------------------------------------------------------------------------
SCALE = """.version 8.0
.target sm_90
.visible .entry scale(.param .u64 x, .param .u64 y, .param .f32 a, .param .u32 n)
{
    .reg .pred %p<2>; .reg .f32 %f<9>; .reg .b32 %r<5>; .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; ld.param.f32 %f1, [a]; ld.param.u32 %r1, [n];
    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;
    mad.lo.s32 %r2, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r2, %r1;
    @%p1 bra $L__BB0_2;
    mul.wide.u32 %rd3, %r2, 16;
    add.s64 %rd1, %rd1, %rd3; add.s64 %rd2, %rd2, %rd3;
    ld.global.v4.f32 {%f2, %f3, %f4, %f5}, [%rd1];
    mul.f32 %f2, %f2, %f1; mul.f32 %f3, %f3, %f1; mul.f32 %f4, %f4, %f1; mul.f32 %f5, %f5, %f1;
    st.global.v4.f32 [%rd2+0], {%f2, %f3, %f4, %f5};
$L__BB0_2:
    ret;
}
"""
TURN = """.version 8.0
.target sm_90
.visible .entry turn(.param .u64 x, .param .u64 y)
{
    .reg .f32 %f<3>; .reg .b32 %r<4>; .reg .b64 %rd<9>;
    .shared .align 4 .b8 held[256];
    ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y];
    mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 4;
    add.s64 %rd4, %rd1, %rd3; ld.global.f32 %f1, [%rd4];
    mov.u64 %rd5, held; add.s64 %rd6, %rd5, %rd3; st.shared.f32 [%rd6], %f1;
    bar.sync 0;
    mov.u32 %r2, 63; sub.s32 %r3, %r2, %r1; mul.wide.u32 %rd7, %r3, 4;
    add.s64 %rd8, %rd5, %rd7; ld.shared.f32 %f2, [%rd8];
    add.s64 %rd4, %rd2, %rd3; st.global.f32 [%rd4], %f2;
    ret;
}
"""


def room(size: int) -> np.ndarray:
    """Zeros at a multiple of 16 bytes."""
    held = np.zeros(size + 4, np.float32)
    return held[-held.ctypes.data % 16 // 4 :][:size]


def scaled(ptx: str = SCALE, size: int = 8, threads: int = 2, shift: int = 0) -> np.ndarray:
    """Twice 0, 1, 2, ..., four a thread; ``shift``: how many bytes behind its beginning the kernel is told that the memory lies."""
    x, y = room(size), room(size)
    x[:] = np.arange(size)
    arguments = struct.pack("@QQfI", x.ctypes.data + shift, y.ctypes.data, 2.0, threads)
    Kernel(ptx).launch((2,), 32, arguments, Memory(sorted((a.ctypes.data, a.nbytes) for a in (x, y))))
    return y


def turned(ptx: str) -> np.ndarray:
    x, y = room(64), room(64)
    x[:] = np.arange(64)
    memory = Memory(sorted((a.ctypes.data, a.nbytes) for a in (x, y)))
    Kernel(ptx).launch((1,), 64, struct.pack("@QQ", x.ctypes.data, y.ctypes.data), memory)
    return y


def test_kernels_that_are_right_run() -> None:
    np.testing.assert_array_equal(scaled(), 2 * np.arange(8))
    np.testing.assert_array_equal(turned(TURN), np.arange(64)[::-1])


def test_an_index_beyond_the_end_is_noticed() -> None:
    with pytest.raises(AccessError, match="outside of memory: 16 bytes"):
        scaled(threads=3)
    with pytest.raises(AccessError, match="outside of 256 bytes of shared memory"):
        turned(TURN.replace("mov.u32 %r2, 63", "mov.u32 %r2, 64"))


def test_an_address_that_is_not_aligned_is_noticed() -> None:
    with pytest.raises(AccessError, match=r"ld.global.v4.f32 is not aligned"):
        scaled(size=16, shift=4)


def test_a_barrier_that_is_missing_is_noticed() -> None:
    with pytest.raises(AccessError, match="no barrier between two warps"):
        turned(TURN.replace("bar.sync 0;", ""))


def test_an_instruction_that_is_not_known_is_noticed() -> None:
    with pytest.raises(NotImplementedError, match=r"bar.red.popc.u32"):
        turned(TURN.replace("bar.sync 0;", "bar.red.popc.u32 %r2, 0;"))


def value(op: str, *operands: Any) -> Any:
    """What an instruction makes of numbers."""
    function, kinds = arithmetic(op, len(operands))
    with np.errstate(all="ignore"):
        return function(*(np.array([v], k) for v, k in zip(operands, kinds)))[0]


def test_a_fused_product_is_rounded_once() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        a, b = (np.float32(v) for v in rng.standard_normal(2))
        c = np.float32(-a * b) * np.float32(1 + rng.integers(-2, 3) * 2.0**-23)
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
        near = value("fma.rn.f32", a, b, c)
        assert all(abs(Fraction(float(near)) - exact) <= abs(Fraction(float(np.nextafter(near, np.float32(to)))) - exact) for to in (-9, 9))
        assert Fraction(float(value("fma.rm.f32", a, b, c))) <= exact
        assert abs(Fraction(float(value("fma.rz.f32", a, b, c)))) <= abs(exact)
    middle = (1 + 2.0**-12, 1 + 2.0**-12, 2.0**-54)  # 1 + 2**-11 + 2**-24 + a little: to even, if that were lost
    assert value("fma.rn.f32", *middle) == np.float32(1 + 2.0**-11 + 2.0**-23)


def test_instructions_are_those_of_the_manual() -> None:
    nan, inf = float("nan"), float("inf")
    wanted = {
        ("cvt.rzi.s32.f32", 3e9): 2**31 - 1,
        ("cvt.rzi.s32.f32", nan): 0,
        ("cvt.rzi.u16.f64", -1.0): 0,
        ("cvt.rni.f32.f32", 2.5): 2,
        ("cvt.sat.f32.f32", -nan): 0,
        ("cvt.u32.u64", 2**32 + 5): 5,
        ("cvt.s64.s32", -1): -1,
        ("div.s32", -7, 2): -3,
        ("rem.s32", -7, 2): -1,
        ("mul.hi.u32", 2**31, 6): 3,
        ("mul.wide.s32", -(2**31), 2): -(2**32),
        ("mad.lo.s32", 2**30, 4, 7): 7,
        ("shl.b32", 1, 33): 0,
        ("shr.s32", -8, 40): -1,
        ("shr.u32", 8, 40): 0,
        ("bfe.u32", 0b110100, 2, 3): 0b101,
        ("bfi.b32", 0b11, 0b10000, 1, 2): 0b10110,
        ("min.f32", nan, 1.0): 1,
        ("max.f32", -inf, nan): -inf,
        ("setp.ltu.f32", nan, 1.0): True,
        ("setp.lt.f32", nan, 1.0): False,
        ("setp.ne.f32", nan, 1.0): False,
        ("setp.neu.f32", nan, 1.0): True,
        ("setp.nan.f32", 0.0, nan): True,
        ("copysign.f32", -1.0, 3.0): -3,
        ("selp.s32", 1, 2, False): 2,
        ("ex2.approx.ftz.f32", -140.0): 0,
    }
    assert {key: value(*key) for key in wanted} == wanted


without_compiler = pytest.mark.skipif(toolkit() is None, reason='no NVVM or ptxas here: pip install "numbacnn[ptx]"')


@pytest.mark.long
@without_compiler
@pytest.mark.parametrize("path", ["fast", "safe"])
def test_a_compiled_step_has_the_bits_of_an_eager_one(path: str, driver: Path, cuda_home: Path) -> None:
    script = "import json\nimport test_ptx_emulator as t\nprint(json.dumps(t.training()))"
    told = fake_driver.run(script, {"NUMBACNN_CUDA_PATH": path}, driver=driver, home=cuda_home)
    assert not told["error"] and told["eager"] == told["compiled"]
    assert len(set(told["eager"])) == 6, "nothing is learnt"
    assert told["eager launches"] == 0 and bool(told["compiled launches"]) == (path == "fast")


@pytest.mark.long
@without_compiler
def test_faults_in_the_librarys_kernels_are_noticed(driver: Path, cuda_home: Path) -> None:
    script = "import json\nimport test_ptx_emulator as t\nprint(json.dumps(t.planted()))"
    told = fake_driver.run(script, {"NUMBACNN_CUDA_PATH": "fast"}, driver=driver, home=cuda_home)
    assert {name: said for name, said in told.items() if PLANTED[name][-1] not in said} == {}


@pytest.mark.long
@without_compiler
def test_kernels_compute_what_the_cpu_does(driver: Path, cuda_home: Path) -> None:
    def child(expression: str, **environment: str) -> Any:
        script = f"import json\nimport test_ptx_emulator as t\nprint(json.dumps(t.{expression}))"
        return fake_driver.run(script, environment, driver=driver, home=cuda_home)

    found = {path: child("operations()", NUMBACNN_CUDA_PATH=path) for path in ("fast", "safe")}
    for path, told in found.items():
        for part, limit in (("exact", 0), ("close", CLOSE)):
            wrong = {name: d for name, (d, _) in told[part].items() if isinstance(d, str) or not d <= limit}
            assert not wrong, f"{path}: {wrong}"
    fast, safe = ({name: bits for part in ("exact", "close") for name, (_, bits) in told[part].items()} for told in found.values())
    assert {name for name in fast if fast[name] != safe[name]} == IN_ANOTHER_ORDER
    ran = set(found["fast"]["ran"]) | set(found["safe"]["ran"])
    patterns = child("all_kernels()")
    missed = set(patterns.values()) - {pattern for name, pattern in patterns.items() if name in ran}
    assert not missed, f"no case runs {sorted(missed)}"
