"""Numba's compiler, told to optimise a kernel as a whole and to make machine code only of what can be called.

Numba optimises every function by itself and makes machine code of it before it links its module into the caller's: each function that a
kernel inlines, the body of each ``prange``, two wrappers around that. A driver's module holds all of them in the end and is the only one
that runs. Here a library is lazy: it waits until somebody asks for an address in it, and it is the driver's that somebody asks. A first
step compiles in half the time, and LLVM sees the whole kernel before it decides about any part of it.

All this changes Numba from within. So it is done with the versions that it was tested with, after a small function that is compiled this
way has done what it should; otherwise kernels go through Numba's own compiler.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import numba
from numba import njit
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import Compiler, CompilerBase
from numba.core.compiler_lock import global_compiler_lock

from ... import config

TESTED = {(0, minor) for minor in range(63, 69)}
"""Numba's versions that this was tested with."""

__all__ = ["lazy", "pipeline"]

LOOP_BODY = "__numba_parfor_gufunc"
"""How the names of the libraries of ``prange`` bodies begin. They have a wrapper for Python, which nobody calls."""

PYTHON_WRAPPER = "_ZN7cpython"
"""How the names of wrappers for Python begin."""

HOOKS = {
    JITCodeLibrary: (
        "_ensure_finalized",
        "_finalize_final_module",
        "_get_compiled_object",
        "_optimize_final_module",
        "_set_compiled_object",
        "get_defined_functions",
        "get_pointer_to_function",
    ),
    JITCPUCodegen: ("_module_pass_manager", "create_library", "set_env"),
}
"""What Numba does not document and a lazy library builds on."""


class _LazyLibrary(JITCodeLibrary):
    """A library that is optimised and turned into machine code when somebody asks for an address in it."""

    _made = False

    @property
    def codegen(self) -> Any:
        return _Generator(self)

    def make(self) -> None:
        """Let it be as any other library is once it is finalized."""
        with global_compiler_lock:
            if not self._made:
                self._ensure_finalized()
                self._made = True
                self._optimize_final_module()
                self._finalize_final_module()

    def defines(self, name: str) -> bool:
        """Whether somebody may want the address of this function."""
        self._ensure_finalized()
        return not self.name.startswith(LOOP_BODY) and any(f.name == name for f in self.get_defined_functions())

    def reads(self, variable: str) -> bool:
        """Whether other functions than wrappers read this variable, as code does that calls Python: to print, or to raise with values."""
        functions = (f for f in self.get_defined_functions() if not f.name.startswith(PYTHON_WRAPPER))
        return any(variable in str(f) for f in functions)

    def _optimize_final_module(self) -> None:
        if self._made:
            passes, builder = self._codegen._module_pass_manager()
            with self._recorded_timings.record("Module passes (full optimization)", builder):
                passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        if self._made:
            super()._finalize_final_module()
        self._finalized = True

    def _set_compiled_object(self, value: Any) -> None:
        self._made = True  # machine code from the cache
        super()._set_compiled_object(value)

    def _get_compiled_object(self) -> Any:
        self.make()  # for the cache
        return super()._get_compiled_object()

    def get_pointer_to_function(self, name: str) -> int:
        if not self._made:
            if not self.defines(name):
                return 0
            self.make()
        return super().get_pointer_to_function(name)


class _Generator:
    """The code generator of a lazy library, which has a place for its environment only where there is machine code."""

    def __init__(self, library: _LazyLibrary) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        if self._library._made or self._library.reads(name):
            self._library.make()
            self._library._codegen.set_env(name, environment)


class _LazyCompiler(Compiler):
    def compile_extra(self, func: Any) -> Any:
        if not _trusted():
            return super().compile_extra(func)
        with _lazy_libraries(self.state.targetctx.codegen()):
            return super().compile_extra(func)


@contextlib.contextmanager
def _lazy_libraries(codegen: Any) -> Iterator[None]:
    """All libraries that are made meanwhile are lazy; the compiler's lock keeps other threads out."""
    if "create_library" in vars(codegen):  # a driver is compiled that calls this one
        yield
        return
    codegen.create_library = lambda name, **options: _LazyLibrary(codegen, name, **options)
    try:
        yield
    finally:
        del codegen.create_library


_works: bool | None = None


def _trusted() -> bool:
    """Whether lazy libraries work here: found out at the first compilation, and said where they don't."""
    global _works
    with global_compiler_lock:
        if _works is None:
            _works = True  # the sample asks too
            try:
                _works = _sample_works()
            except Exception:  # whatever another Numba makes of it
                _works = False
            if not _works and not config.quiet:
                text = f"numbacnn: lazy compilation does not work with Numba {numba.__version__}; kernels compile at half the speed"
                print(text, file=sys.stderr, flush=True)
        return _works


def _sample_works() -> bool:
    """Compile a small driver without a loop, whose run would need threads."""
    bare: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

    @njit(**bare)
    def twice(x):
        return x + x

    @njit(pipeline_class=_LazyCompiler)
    def sample(x):
        return twice(x) + 1

    signature = (numba.int64,)
    sample.compile(signature)
    made = sample.overloads[signature]
    # Numba would call an address that it did not get
    return made.library.get_pointer_to_function(made.fndesc.llvm_cpython_wrapper_name) != 0 and sample(3) == 7


def pipeline() -> type[CompilerBase]:
    """The ``pipeline_class`` of drivers: Numba's own where its libraries are not built as they were."""
    known = all(hasattr(owner, name) for owner, names in HOOKS.items() for name in names)
    return _LazyCompiler if known and numba.version_info.short in TESTED else Compiler


def lazy() -> bool:
    """Whether kernels are compiled as this module says."""
    return pipeline() is _LazyCompiler and _trusted()
