"""Every CUDA kernel, compiled to PTX and assembled, without a GPU: types, float64 by accident, 64-bit division, spills, registers.

The simulator sees none of this. A kernel without a row in ``signatures`` fails the test. Run as a script, this file compiles:

    python tests/test_ptx.py FOLDER 9 0
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_driver import parameters

REGISTERS = {"float32": 64, "float64": 80}  # 64: four blocks of 256 threads share a multiprocessor
TILE_REGISTERS = {"float32": 144, "float64": 255}  # 144: three blocks of 128 threads; in float64 it only has to fit
TILED = {"conv.gather", "conv.grad_weight", "matmul.matmul", "fast-conv.gather", "fast-conv.grad_weight", "fast-matmul.matmul"}
SHARED = 48 * 1024
OF_QUADS = {
    f"fast-{name}" for name in ("depthwise", "dropout", "loss", "pointwise", "pool", "reduce", "softmax")
}  # kernels of 16-byte accesses
NARROW = {"fast-pointwise.fill": "ld", "fast-reduce.reduce_rows": "st", "fast-pointwise.wide_compare_2": "st"}  # but not these ones'


# -- the child: compiles with Numba's own CUDA target, which needs NVVM and no driver ------------------------------------------
def signatures() -> dict[str, list[tuple[Any, ...]]]:
    """kernel -> the argument types it is compiled for. What mixes in integers shows that they type at all."""
    from numba import boolean, float32, float64, int32, int64, uint8, uint32, uint64
    from numba.types import UniTuple

    from numbacnn.backends.cuda.fast.optim import GROUPS

    u, s = uint32, int32
    flat, wide = UniTuple(int32, 1), UniTuple(int32, 4)
    rows: dict[str, list[tuple[Any, ...]]] = {}

    def row(kernel: str, *arguments: Any) -> None:
        rows.setdefault(kernel, []).append(arguments)

    def strided(tail: tuple[Any, ...], rank: Any, *dtypes: Any) -> tuple[Any, ...]:
        return (rank, *(part for d in dtypes for part in (d[::1], s, rank)), *tail)

    for t in (float32, float64, int64, uint8):
        x = t[::1]
        for rank in (flat, wide, UniTuple(int32, 8)) if t is float32 else (flat,):
            row("copy.copy", *strided((u,), rank, t, t))
            row("pointwise.unary", u, *strided((x, u), rank, t))
            row("pointwise.binary", u, *strided((x, u), rank, t, t))
            row(f"pointwise.floor_{'real' if t in (float32, float64) else 'whole'}", u, *strided((x, u), rank, t, t))
            row("pointwise.compare", u, *strided((boolean[::1], u), rank, t, t))
            row("pointwise.where", *strided((x, u), rank, boolean, t, t))
        row("copy.copy", *strided((u,), flat, t, boolean))
        row("copy.copy", *strided((u,), flat, boolean, t))
        row("copy.copy", *strided((u,), flat, t, int64))
        row("copy.copy", *strided((u,), flat, int64, t))
        row("copy.fill", x, t, u)
        row("reduce.reduce_rows", u, x, x, u, u, u)
        row("reduce.reduce_columns", u, x, x, u, u, u)
        row("reduce.argmax_rows", x, int64[::1], u)
    for t in (float32, float64, int64, uint8):
        x = t[::1]
        for rank in (flat, wide) if t is float32 else (flat,):
            row("fast-pointwise.copy", *strided((u,), rank, t, t))
        row("fast-pointwise.copy", *strided((u,), flat, t, boolean))
        row("fast-pointwise.fill", x, t, u)
        row("fast-reduce.reduce_rows", u, x, x, u, u, u)
        row("fast-reduce.reduce_columns", u, x, x, u, u, u)
    for t in (int64, uint8):
        row("labels.judge", t[::1], u, u, int64, int64[::1], int32[::1], u)
    row("pointwise.unary", u, *strided((boolean[::1], u), flat, float32))
    row("pointwise.unary", u, *strided((boolean[::1], u), flat, uint8))
    row("pointwise.where", *strided((boolean[::1], u), flat, boolean, boolean, boolean))
    row("copy.copy", *strided((u,), flat, boolean, boolean))
    row("copy.fill", boolean[::1], boolean, u)
    row("matmul.matmul", *(int64[::1], u, u, u) * 2, int64[::1], u, int64[::1], u, u, u)
    for t in (float32, float64):
        x = t[::1]
        row("pointwise.activation_backward", u, *strided((x, u), flat, t, t))
        row("pointwise.activation_backward", u, *strided((x, u), wide, t, t))
        row("softmax.softmax_rows", u, x, x, u)
        row("softmax.softmax_backward_rows", u, x, x, x, u)
        row("loss.cross_entropy_forward", x, int64[::1], t, x, x, u)
        row("loss.cross_entropy_backward", x, x, int64[::1], t, x, u, u)
        row("matmul.matmul", *(x, u, u, u) * 2, x, u, x, u, u, u)
        row("conv.gather", x, x, x, u, x, *(u,) * 10, u, u, *(s,) * 4, u, u, u)
        row("conv.grad_weight", x, x, x, *(u,) * 19)
        row("fast-conv.gather", x, x, *(u,) * 6, x, u, u, x, *(u,) * 10, u, u, *(s,) * 4, u, u, u)
        row("fast-matmul.matmul", *(x, u, u, u) * 2, x, u, u, x, u, u, u)
        row("fast-pictures.scaled", uint8[::1], x, x, u, u)
        row("fast-dense.channel_sums", u, x, x, x, x, t, u, u, u)
        row("fast-conv.grad_weight", x, x, x, *(u,) * 19)
        row("conv.add_slices", x, x, u, u)
        row("pool.max_forward", x, x, int32[::1], *(u,) * 14)
        row("pool.max_backward", x, int32[::1], x, *(u,) * 14)
        row("pool.avg_forward", x, x, *(u,) * 13)
        row("pool.avg_backward", x, x, *(u,) * 13)
        row("adaptive.adaptive_avg_forward", x, x, *(u,) * 6)
        row("adaptive.adaptive_avg_backward", x, x, *(u,) * 6)
        axes = UniTuple(int32, 18)
        row("volume-conv.forward", x, x, x, u, x, axes, u, u, u, u)
        row("volume-conv.grad_input", x, x, x, axes, u, u, u, u)
        row("volume-conv.grad_weight", x, x, x, axes, *(u,) * 6)
        row("volume-pool.max_forward", x, x, int32[::1], axes, u, u)
        row("volume-pool.max_backward", x, int32[::1], x, axes, u, u)
        row("volume-pool.avg_forward", x, x, axes, u, u, u)
        row("volume-pool.avg_backward", x, x, axes, u, u, u)
        row("volume-pool.adaptive_avg_forward", x, x, UniTuple(int32, 6), u, u)
        row("volume-pool.adaptive_avg_backward", x, x, UniTuple(int32, 6), u, u)
        row("fast-pool.max_forward", x, x, int32[::1], axes, u, u)
        row("fast-pool.max_backward", x, int32[::1], x, axes, u, u)
        row("fast-pool.avg_forward", x, x, axes, u, u, u)
        row("fast-pool.avg_backward", x, x, axes, u, u, u)
        row("fast-pool.adaptive_avg_forward", x, x, UniTuple(int32, 6), u, u)
        row("fast-pool.adaptive_avg_backward", x, x, UniTuple(int32, 6), u, u)
        row("fast-depthwise.forward", x, x, x, u, u, x, axes, u, u)
        row("fast-depthwise.grad_input", x, x, x, axes, u, u)
        row("fast-depthwise.grad_weight", x, x, x, axes, *(u,) * 5)
        row("fast-softmax.softmax_rows", u, x, x, u)
        row("fast-softmax.softmax_backward_rows", u, x, x, x, u)
        row("fast-loss.cross_entropy_forward", x, int64[::1], t, x, x, u)
        row("fast-loss.cross_entropy_backward", x, x, int64[::1], t, x, u, u)
        row("fast-dropout.dropout", x, u, u, u, t, x, u, u)
        row("dropout.dropout", x, u, u, u, t, x, u, u)
        row("pointwise.gelu", u, *strided((x, u), flat, t))
        row("pointwise.gelu_backward", u, *strided((x, u), flat, t, t))
        for name in made("forward", t):
            row(f"rows.{name}_forward", *strided((x, u), flat, t))
        for name in made("backward", t):
            row(f"rows.{name}_backward", *strided((x, u), flat, t, t))
        row("norm.moments", x, x, x, u, u, u)
        row("norm.statistics", x, x, u, u, u, t, x, x, x, x, t, u, u)
        row("norm.inverse", x, t, x, u)
        row("norm.normalise", x, x, x, x, u, x, u, x, u, u)
        row("norm.grad_moments", x, x, x, x, x, u, u, u)
        row("norm.grad_input", x, x, x, x, x, u, x, x, u, u, x, u, u)
        row("fast-norm.moments", x, x, x, int64[::1], *(u,) * 5)
        factors = (x, x, u, t, x, x, x, x, u, t, int64[::1], x, u, x, u)
        row("fast-norm.normalise", x, *factors, x, u, u, x, *(u,) * 4)
        row("fast-norm.grad_moments", x, x, u, x, u, *(x,) * 5, *(u,) * 4)
        row("fast-norm.grad_input", x, x, x, x, x, u, x, x, u, u, x, u, x, x, *(u,) * 4)
        row("optim.sgd_step", x, x, x, *(t,) * 4, *(u,) * 4)
        row("optim.adam_step", x, x, x, x, *(t,) * 9, u)
        for n in GROUPS:
            pointers, counts, reals = UniTuple(uint64, n), UniTuple(int32, n), UniTuple(t, n)
            row("fast-optim.sgd_steps", *(pointers,) * 3, counts, counts, *(t,) * 4, u, u)
            row("fast-optim.adam_steps", *(pointers,) * 4, counts, reals, reals, *(t,) * 7)
    for name, (*_, operands) in of_quads().items():
        made_of = (boolean if name == "wide_compare_2" else float32)[::1]
        row(f"fast-pointwise.{name}", *strided((made_of, u), flat, *(boolean, float32, float32)[-operands:]))
    return rows


def made(part: str, real: Any = None) -> list[str]:
    """The functions of the table whose kernels are made from their rows; others are an older kernel's. A user's has a row for each type."""
    from numbacnn.backends.cuda.pointwise import GELU
    from numbacnn.formulas import UNARY
    from numbacnn.kernels.cuda.simt.pointwise import BACKWARD
    from numbacnn.names import UNARY as BY_PLACE

    older = {"forward": BY_PLACE, "backward": BACKWARD}[part]
    other = {"float32": False, "float64": True}.get(str(real))
    rows = {name: row for name, row in UNARY.items() if row.saves and name not in (*older, *GELU)}
    return [name for name, row in rows.items() if not row.title or name.endswith("_single") is not other]


def of_quads() -> dict[str, tuple[Any, tuple[int, ...], int]]:
    """Some elementwise kernels whose threads make four neighbours, as others do: name -> kernel, code, number of operands."""
    from numbacnn.kernels.cuda.simt import pointwise, rows

    coded = [(pointwise.unary, 8, 1), (pointwise.unary, 11, 1), (pointwise.gelu, 0, 1)]  # relu, erf
    coded += [(pointwise.binary, 0, 2), (pointwise.binary, 4, 2), (pointwise.floor_real, 1, 2), (pointwise.compare, 2, 2)]  # sum, power
    coded += [(pointwise.activation_backward, 0, 2), (pointwise.gelu_backward, 0, 2)]
    found = {f"wide_{kernel.__name__}_{code}": (kernel, (code,), operands) for kernel, code, operands in coded}
    made = [(rows.forward("silu"), 1), (rows.backward("silu"), 2), (pointwise.where, 3)]
    return found | {f"wide_{kernel.__name__}": (kernel, (), operands) for kernel, operands in made}


def own_functions() -> None:
    """Rows of a user's functions: numbers, ``math``, a closure, the table's functions, and one that is written in y."""
    import math

    import numbacnn as nc
    from numbacnn.formulas import sigmoid

    def leaky(rate: float) -> Any:
        return nc.pointwise(lambda x: x if x > 0 else rate * x, lambda x: 1 if x > 0 else rate)

    leaky(0.1)
    nc.pointwise(lambda x: x / (1 + math.exp(-2 * x)), lambda x: 2 * x**2 + sigmoid(0.5 * x))
    nc.pointwise(math.tanh, lambda y: 1 - y * y, of="y")


def kernels() -> dict[str, Any]:
    """Every kernel of ``numbacnn.kernels.cuda.simt``, as module.name, of ``fast``, as fast-module.name, for volumes, and newer ones."""
    import pkgutil

    from numba.cuda.dispatcher import CUDADispatcher

    import numbacnn.kernels.cuda.fast as fast
    import numbacnn.kernels.cuda.simt as package

    places = {info.name: f"{package.__name__}.{info.name}" for info in pkgutil.iter_modules(package.__path__)}
    places |= {f"fast-{info.name}": f"{fast.__name__}.{info.name}" for info in pkgutil.iter_modules(fast.__path__)}
    places |= {f"volume-{name}": f"numbacnn.kernels.cuda.{name}" for name in ("conv", "pool")}
    places |= {name: f"numbacnn.kernels.cuda.{name}" for name in ("dropout", "labels")}
    found = {}
    for short, place in places.items():
        module = importlib.import_module(place)
        for name, value in vars(module).items():
            if isinstance(value, CUDADispatcher) and not value.targetoptions["device"] and value.py_func.__module__ == module.__name__:
                found[f"{short}.{name}"] = value
    for part in ("forward", "backward"):
        found |= {f"rows.{name}_{part}": getattr(package.rows, part)(name) for name in made(part)}
    from numbacnn.kernels.cuda.fast.pointwise import wide

    return found | {f"fast-pointwise.{name}": wide(kernel, *code) for name, (kernel, code, _) in of_quads().items()}


def compile_all(folder: Path, cc: tuple[int, int]) -> None:
    gc.set_threshold(20_000, 20, 20)  # to look for garbage more often takes a sixth of the time
    # Without numba-cuda, where it is installed: it needs NVRTC too. And without a device, whose model device functions would ask for.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "NumbaCudaFinder"]
    import numba.cuda.dispatcher
    from numba import cuda

    numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=cc)
    own_functions()
    rows, found = signatures(), kernels()
    if rows.keys() != found.keys():
        sys.exit(f"kernels without a row in signatures(), or rows without a kernel: {sorted(rows.keys() ^ found.keys())}")
    for name, variants in rows.items():
        for i, arguments in enumerate(variants):
            kinds = {str(getattr(a, "dtype", a)) for a in arguments}
            kind = next((k for k in ("float64", "float32") if k in kinds), "other")
            function = found[name].py_func
            ptx, _ = cuda.compile_ptx(function, arguments, cc=cc)
            (folder / f"{name}.{i}.{kind}.ptx").write_text(ptx)
            described = {"function": f"{function.__module__}.{function.__qualname__}", "types": typed(arguments), **packed(arguments)}
            (folder / f"{name}.{i}.{kind}.json").write_text(json.dumps(described))


def typed(arguments: Any) -> list[str]:
    """The types of arguments: an array's with brackets, those of a tuple in brackets."""
    return [f"{t.dtype}[]" if hasattr(t, "layout") else f"[{', '.join(map(str, t))}]" if hasattr(t, "count") else str(t) for t in arguments]


def flat(arguments: Any) -> list[Any]:
    """The types of arguments, those of a tuple one by one."""
    return [u for t in arguments for u in (t if hasattr(t, "count") else (t,))]


def packed(arguments: Any) -> dict[str, Any]:
    """Arguments as the library packs them, 1, 2, 3, ... where a number or an address goes: the bytes; each one's bytes, and the number of
    its parameter."""
    from numbacnn.kernels.cuda.launcher import format_of

    count, places = 0, []
    for t in flat(arguments):
        array = hasattr(t, "layout")  # of one axis: what owns it, elements, bytes of one, address, shape, strides
        dtype = "uint64" if array else str(t).replace("boolean", "bool")
        places.append([count + 4 * array, np.array(len(places) + 1).astype(dtype).tobytes().hex()])
        count += 7 if array else 1
    return {"packed": struct.pack(format_of(arguments), *range(1, len(places) + 1)).hex(), "places": places, "count": count}


# -- the tests ---------------------------------------------------------------------------------------------------------------
def toolkit() -> Path | None:
    """Where the ``ptx`` extra put NVVM and ptxas."""
    spec = importlib.util.find_spec("nvidia")
    roots = [p for place in (spec.submodule_search_locations or [] if spec else []) for p in sorted(Path(place).glob("cu*"), reverse=True)]
    return next((r for r in roots if (r / "bin/ptxas").exists() and list(r.glob("lib/libnvvm.so*"))), None)


pytestmark = pytest.mark.skipif(toolkit() is None, reason='no NVVM or ptxas here: pip install "numbacnn[ptx]"')


@pytest.fixture(scope="module")
def cuda_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels' files in the places where Numba looks for a toolkit."""
    home, root = tmp_path_factory.mktemp("cuda"), toolkit()
    assert root is not None
    (home / "nvvm/lib64").mkdir(parents=True)
    library = next(root.glob("lib/libnvvm.so*")).resolve()
    for name in ("libnvvm.so", library.name):
        (home / "nvvm/lib64" / name).symlink_to(library)
    (home / "nvvm/libdevice").symlink_to(root / "nvvm/libdevice")
    return home


def assemble(ptx: Path, arch: str) -> tuple[int, int, int]:
    """(registers, spilled bytes, shared bytes) of a kernel, from ptxas."""
    command = [str(toolkit() / "bin/ptxas"), "-v", f"-arch={arch}", str(ptx), "-o", os.devnull]  # type: ignore[operator]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers = int(re.search(r"Used (\d+) registers", text)[1])  # type: ignore[index]
    spills = sum(int(n) for n in re.findall(r"(\d+) bytes (?:stack frame|spill)", text))
    shared = re.search(r"(\d+) bytes smem", text)
    return registers, spills, int(shared[1]) if shared else 0


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((9, 0), id="sm_90", marks=pytest.mark.long),
        pytest.param((8, 0), id="sm_80", marks=pytest.mark.long),
        pytest.param((7, 5), id="sm_75", marks=pytest.mark.long),
    ],
)
def compiled(request: pytest.FixtureRequest, cuda_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with every kernel's PTX, and for what processor it is."""
    folder, cc = tmp_path_factory.mktemp("ptx"), request.param
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"} | {"CUDA_HOME": str(cuda_home), "PYTHONPATH": path}
    command = [sys.executable, __file__, str(folder), *map(str, cc)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert child.returncode == 0, child.stdout + child.stderr
    return folder, f"sm_{cc[0]}{cc[1]}"


def test_every_kernel_compiles_well(compiled: tuple[Path, str]) -> None:
    folder, arch = compiled
    wrong = []
    for file in sorted(folder.glob("*.ptx")):
        module, name, i, kind, _ = file.name.split(".")
        text = file.read_text()
        registers, spills, shared = assemble(file, arch)
        print(f"{file.stem:50} {registers:4} registers {spills:4} bytes spilled {shared:6} bytes shared")
        budget = TILE_REGISTERS if f"{module}.{name}" in TILED else REGISTERS
        if spills or shared > SHARED or registers > budget.get(kind, 255):
            wrong.append(f"{file.stem}: {registers} registers, {spills} bytes spilled, {shared} bytes shared")
        if kind == "float32" and ".f64" in text:
            wrong.append(f"{file.stem}: float64 in a float32 kernel")
        if module in OF_QUADS and i == "0":
            kinds = {"ld", "st"} - {NARROW.get(f"{module}.{name}")}
            wrong += [f"{file.stem}: no {k}.global.v4.f32" for k in sorted(kinds) if f"{k}.global.v4.f32" not in text]
        if kind.startswith("float") and re.search(r"\b(div|rem)\.[su]64", text):
            wrong.append(f"{file.stem}: 64-bit division")
    assert not wrong, "\n".join(wrong)


def test_arguments_are_packed_as_kernels_read_them(compiled: tuple[Path, str]) -> None:
    files = sorted(compiled[0].glob("*.ptx"))
    for file in files:
        layout, told = parameters(file.read_text()), json.loads(file.with_suffix(".json").read_text())
        where = [layout[number] for number, _ in told["places"]]
        end, expected = sum(layout[-1]), bytearray(sum(layout[-1]))
        for (at, size), (_, value) in zip(where, told["places"]):
            assert len(value) == 2 * size, f"{file.stem}: an argument of {len(value) // 2} bytes where the kernel has {size}"
            expected[at : at + size] = bytes.fromhex(value)
        assert len(layout) == told["count"] and bytes.fromhex(told["packed"]) == expected, f"{file.stem}: {told['packed']}, {end} bytes"
    assert len(files) > 100


if __name__ == "__main__":
    compile_all(Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3])))
