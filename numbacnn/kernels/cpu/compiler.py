"""Numba's compiler, told to optimise a kernel once and to make machine code only of what is called.

Numba optimises every function by itself and makes machine code of it before it links its module into the caller's: each function that a
kernel inlines, the body of each ``prange``, two wrappers around that. A driver's module holds all of them in the end and is the only one
that runs. Here a module waits until somebody asks for an address in it, and it is the driver's that somebody asks: a first step compiles
in half the time, and LLVM has yet to see a whole kernel that was cut and simplified in pieces.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, CompilerBase

__all__ = ["pipeline"]

LOOP_BODY = "__numba_parfor_gufunc"
"""How the names of the libraries of ``prange`` bodies begin. They have a wrapper for Python, which nobody calls."""

HOOKS = ("_ensure_finalized", "_finalize_final_module", "_optimize_final_module", "get_defined_functions", "get_pointer_to_function")
"""What Numba does not document and ``_Waiting`` builds on."""


class _Waiting(JITCodeLibrary):
    """A library that is optimised and turned into machine code when somebody asks for an address in it."""

    _made = False

    @property
    def codegen(self) -> Any:
        return _Generator(self)

    def _optimize_final_module(self) -> None:
        if self._made:
            passes, builder = self._codegen._module_pass_manager()
            passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        if self._made:
            super()._finalize_final_module()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        if not self._made:
            if self.name.startswith(LOOP_BODY) or all(f.name != name for f in self.get_defined_functions()):
                return 0
            self._made = True
            self._optimize_final_module()
            self._finalize_final_module()
        return super().get_pointer_to_function(name)


class _Generator:
    """The code generator of a library that waits: without machine code there is no place for its environment."""

    def __init__(self, library: _Waiting) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        if self._library._made:
            self._library._codegen.set_env(name, environment)


class _Once(Compiler):
    def compile_extra(self, func: Any) -> Any:
        with _waiting(self.state.targetctx.codegen()):
            return super().compile_extra(func)


@contextlib.contextmanager
def _waiting(codegen: Any) -> Iterator[None]:
    """All libraries that are made meanwhile wait; the compiler's lock keeps other threads out."""
    own = codegen.create_library
    codegen.create_library = lambda name, **options: _Waiting(codegen, name, **options)
    try:
        yield
    finally:
        codegen.create_library = own


def pipeline() -> type[CompilerBase]:
    """The ``pipeline_class`` of drivers: Numba's own where its libraries are not built as they were."""
    return _Once if all(hasattr(JITCodeLibrary, name) for name in HOOKS) else Compiler
