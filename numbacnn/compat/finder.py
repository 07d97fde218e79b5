"""What ``import torch`` finds, for those who ask for this library."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from ..errors import message
from .adapt import adapt
from .modules import mirror, missing
from .table import MODULES

__all__ = ["Finder", "offer"]


class Finder(MetaPathFinder, Loader):
    """Imports the modules below a prefix: ``numbacnn.compat.`` always, and none for a process in which ``torch`` means this."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    @classmethod
    def install(cls, package: str = "") -> None:
        """Before all other finders, so that an installed PyTorch is not looked at."""
        prefix = f"{package}." if package else ""
        if not any(isinstance(finder, Finder) and finder.prefix == prefix for finder in sys.meta_path):
            sys.meta_path.insert(0, cls(prefix))

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        name = fullname.removeprefix(self.prefix)
        if not fullname.startswith(self.prefix) or name.partition(".")[0] not in ("torch", "torchvision"):
            return None
        if name not in MODULES:
            raise ImportError(missing(name), name=name)  # a ModuleNotFoundError would lose its text in "from ... import"
        return ModuleSpec(fullname, self, origin=__file__, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return mirror(spec.name.removeprefix(self.prefix))

    def exec_module(self, module: ModuleType) -> None:
        adapt()


def offer() -> None:
    """Let ``import torch`` and ``import torchvision`` mean this library, in this process from now on.

    Raises:
        RuntimeError: one of them is imported already, and is another.
    """
    for name in ("torch", "torchvision"):
        if name in sys.modules and sys.modules[name] is not mirror(name):
            raise RuntimeError(message("compat", f"a process that has not imported {name}", f"one that has {name}", "offer it first"))
    Finder.install()
