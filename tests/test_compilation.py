"""Two compilations of one kernel give the same bits (a twin for forked children, another process, another order of first calls), and
machine code is made of what is called alone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba import njit, prange
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import cpu_target

from numbacnn import config
from numbacnn.kernels.cpu import compiler
from numbacnn.kernels.cpu.launch import inline

CODE = """
    import hashlib
    import numpy as np
    import numbacnn as nc
    from numbacnn.kernels.cpu import launch

    F, rng = nc.nn.functional, np.random.default_rng(0)
    draw = lambda *shape: nc.tensor(rng.standard_normal(shape, dtype=np.float32), requires_grad=True)
    weight, labels, dense = draw(64, 64, 3, 3), nc.tensor(np.arange(9)), draw(21, 12544)
    calls = {
        "gelu": lambda x: F.gelu(x),
        "gelu_tanh": lambda x: F.gelu(x, "tanh"),
        "sigmoid": lambda x: x.sigmoid(),
        "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
        "winograd": lambda x: F.conv2d(x, weight),
        "thin": lambda x: F.linear(x[:3].flatten(1), dense).tanh(),
        "softmax": lambda x: x.flatten(1).softmax(1),
        "loss": lambda x: F.cross_entropy(x.mean((2, 3)), labels, label_smoothing=0.1),
    }
    found = {}
    x = draw(9, 64, 14, 14)
    for name in ORDER(calls):
        x.grad = None
        y = calls[name](x)
        (y * y).sum().backward()
        found[name] = hashlib.sha256(np.ascontiguousarray(x.grad.numpy())).hexdigest()
    sgd = lambda p: nc.optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.01)
    for name, make in {"sgd": sgd, "adam": lambda p: nc.optim.AdamW([p])}.items():
        p = nc.nn.Parameter(nc.ones(5000))
        optimiser = make(p)
        for step in range(3):
            p.grad = nc.tensor(np.random.default_rng(step).standard_normal(5000, dtype=np.float32))
            optimiser.step()
        found[name] = hashlib.sha256(p.detach().numpy()).hexdigest()
    print(sorted(found.items(), key=str))
"""


TWINS = """
    import sys
    nc.backends.get("cpu")
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("numbacnn.backends.cpu") and hasattr(module, "launch"):
            module.launch = lambda driver, *args: launch._serial(driver)(*args)
"""


def run(folder: Path, order: str, before: str = "") -> str:
    code = textwrap.dedent(CODE).replace("ORDER", order)
    code = code.replace("F, rng", f"{textwrap.dedent(before)}\nF, rng", 1)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBACNN_QUIET": "1"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_the_tests_keep_their_kernels_to_themselves() -> None:
    """pytest may import Numba, which reads its settings once, before conftest.py has made them."""
    assert os.environ["NUMBA_CACHE_DIR"] == numba.config.CACHE_DIR


@pytest.mark.long
def test_compilations_agree(tmp_path: Path) -> None:
    assert run(tmp_path / "parallel", "list") == run(tmp_path / "serial", "reversed", TWINS)


@inline
def _twice(x):
    return x + x


def _library() -> object:
    return cpu_target.target_context.codegen().create_library("some")


needs_compiler = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")


@needs_compiler
def test_machine_code_is_made_of_what_is_called() -> None:
    assert compiler.lazy()
    made: list[str] = []

    class Watched(compiler._LazyLibrary):
        def _finalize_specific(self) -> None:
            made.append(self.name)
            super()._finalize_specific()

    @njit
    def square(x):
        return x * x

    def change(x):
        for i in prange(x.size):
            x[i] = _twice(x[i]) + square(x[i])

    x = np.arange(4.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "_LazyLibrary", Watched)
        njit(parallel=True, pipeline_class=compiler.pipeline())(change)(x)
    np.testing.assert_array_equal(x, [0, 3, 8, 15])
    assert [name.rpartition(".")[2] for name in made] == ["square", "change"]  # the first has a wrapper, and so an address
    assert square(3.0) == 9
    assert njit(lambda x: _twice(x) + 1)(2.0) == 5  # a lazy library can be linked into any other
    assert type(_library()) is JITCodeLibrary


@needs_compiler
def test_other_libraries_than_those_we_know_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiler.pipeline() is not Compiler
    with monkeypatch.context() as patch:
        patch.setitem(compiler.HOOKS, JITCodeLibrary, ("renamed",))
        assert compiler.pipeline() is Compiler
    monkeypatch.setattr(numba, "version_info", SimpleNamespace(short=(0, 99)))
    assert compiler.pipeline() is Compiler


def _no_address(library: object, name: str) -> int:
    return 0


def _raises(library: object, name: str) -> int:
    raise AttributeError("renamed")


@needs_compiler
@pytest.mark.parametrize("broken", [_no_address, _raises])
def test_lazy_libraries_that_do_not_work_are_not_used(
    broken: Callable[[object, str], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiler._LazyLibrary, "get_pointer_to_function", broken)
    monkeypatch.setattr(compiler, "_works", None, raising=False)
    monkeypatch.setattr(config, "quiet", False)
    for value in (3.0, 4):
        function = njit(pipeline_class=compiler.pipeline())(lambda x: _twice(x) + 1)
        assert function(value) == 2 * value + 1
        assert type(function.overloads[function.signatures[0]].library) is JITCodeLibrary
    said = f"numbacnn: lazy compilation does not work with Numba {numba.__version__}; kernels compile at half the speed\n"
    assert capsys.readouterr().err == said
    assert not compiler.lazy()


CALLS_PYTHON = """
    import numpy as np
    from numba import njit, objmode, prange
    from numbacnn.kernels.cpu import compiler

    inlined = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)

    @inlined
    def says(x):
        print("x is", x)
        return x

    @inlined
    def refuses(x):
        if x > 100:
            raise ValueError("too large:", x)
        return x

    @inlined
    def asks(x):
        with objmode(y="float64"):
            y = float(x) + 0.5
        return y

    @njit(cache=True)
    def cached(x):
        return x * x

    @njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    def kept(x):
        return x - x

    @njit(parallel=True, pipeline_class=compiler.pipeline())
    def driver(x):
        refuses(x[0])  # Numba does not bring an error out of a prange
        for i in prange(x.size):
            if i == 0:
                print("body", i)
            x[i] += asks(says(x[i])) + cached(x[i]) + kept(x[i])

    x = np.array([1.0, 2.0])
    driver(x)
    print(x, cached(3.0))
    try:
        driver(np.array([101.0]))
    except ValueError as error:
        print(error)
"""


@needs_compiler
def test_code_that_calls_python_and_code_from_the_cache(tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # Numba caches no function that has no file
    script.write_text(textwrap.dedent(CALLS_PYTHON))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": "1"}
    for _ in range(2):  # the second time ``cached`` comes from the cache while the driver is compiled
        result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, env=environment, check=False)
        assert result.returncode == 0, result.stderr[-3000:]
        assert sorted(result.stdout.splitlines()) == sorted(["body 0", "x is 1.0", "x is 2.0", "[3.5 8.5] 9.0", "('too large:', 101.0)"])
