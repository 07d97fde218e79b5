"""Modules that hold modules in a row."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import count, groupby
from typing import Any, Self, overload

from ..errors import message
from ..signatures import judged
from . import fusion
from .module import Module

__all__ = ["ModuleList", "Sequential"]


class _Container(Module):
    """Submodules in a row, named 0, 1, ... or as an OrderedDict names them."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._modules.values()))  # type: ignore[arg-type]

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    @judged
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._slice(list(self._modules.items())[index])
        return self._modules[self._name(index)]

    def _slice(self, items: list[tuple[str, Any]]) -> Self:
        raise NotImplementedError

    @judged
    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def _name(self, index: int) -> str:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(message(type(self).__name__, f"an index from {-len(self)} to {len(self) - 1}", str(index)))
        return list(self._modules)[position]

    @judged
    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        return self.extend([module])

    @judged
    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end, all or none, under numbers from the length on that are free: a slice keeps its names."""
        free = (name for name in map(str, count(len(self))) if name not in self._modules)
        added = dict(zip(free, list(modules)))
        for name, module in added.items():
            self._check_child(name, module)
        self._tell()
        self._modules.update(added)
        return self


@judged
class Sequential(_Container):
    """Modules called one after the other, each on the output of the one before.

    Takes the modules, or one OrderedDict of names and modules. Supports indexing, slicing, ``len``, iteration and ``append``.
    A convolution or linear layer applies the ReLU, Sigmoid or Tanh behind it itself, a convolution the AvgPool2d behind that, and a linear
    layer the Flatten before it, to the same bits, where none of them has hooks; ``nc.config.fuse = False`` calls them one by one.

    >>> import numbacnn as nc
    >>> net = nc.nn.Sequential(nc.nn.Flatten(), nc.nn.Linear(4, 2))
    >>> net(nc.ones(3, 1, 2, 2)).shape
    (3, 2)
    """

    def __init__(self, *modules: Module | OrderedDict[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], OrderedDict):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self.extend(modules)  # type: ignore[arg-type]

    def _slice(self, items: list[tuple[str, Any]]) -> Self:
        return type(self)(OrderedDict(items))

    @judged
    def forward(self, x: Any) -> Any:
        return fusion.run(list(self._modules.values()), x)


@judged
class ModuleList(_Container):
    """Modules in a list, registered; it has no ``forward`` of its own.

    >>> import numbacnn as nc
    >>> len(nc.nn.ModuleList([nc.nn.ReLU(), nc.nn.Tanh()]))
    2
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _slice(self, items: list[tuple[str, Any]]) -> Self:
        return type(self)(module for _, module in items)

    def _child_lines(self) -> list[str]:  # equal neighbours are printed once, as PyTorch does
        lines, start = [], 0
        for text, group in groupby(map(repr, self)):
            count = len(list(group))
            lines.append(f"({start}): {text}" if count == 1 else f"({start}-{start + count - 1}): {count} x {text}")
            start += count
        return lines
