"""Modules that hold modules in a row."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import count, groupby
from typing import Any, Self, overload

from ..errors import message
from ..signatures import judged, shown
from . import fusion
from .module import Module
from .parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


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
    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._name(index)]
        self._put([item for item in self._modules.items() if item[0] not in names])

    def _put(self, items: Iterable[tuple[str, Any]]) -> None:
        """Take these in place of all, as 0, 1, ... where the names are numbers."""
        new: dict[str, Any] = {}
        for name, module in items:
            new[str(len(new)) if name.isdigit() else name] = module
        self._tell()
        self._modules.clear()
        self._modules.update(new)

    @judged
    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        return self.extend([module])

    @judged
    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at ``index``.

        >>> import numbacnn as nc
        >>> net = nc.nn.Sequential(nc.nn.Flatten(), nc.nn.Tanh())
        >>> net.insert(1, nc.nn.Linear(4, 2))[1]
        Linear(in_features=4, out_features=2, bias=True)
        """
        if not -len(self) <= operator.index(index) <= len(self):
            raise IndexError(message(type(self).__name__, f"an index from {-len(self)} to {len(self)}", str(index)))
        if not isinstance(module, Module):
            raise TypeError(message(type(self).__name__, "a Module", shown(module)))
        items = list(self._modules.items())
        items.insert(index, ("0", module))
        self._put(items)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take a module away, and give it."""
        module = self[index]
        del self[index]
        return module

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, modules: Iterable[Module]) -> Self:
        return self._slice(list(self._modules.items())).extend(modules)

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


class _ByName(Module):
    """Modules or parameters by name, in a table of the module's own."""

    _table: str

    def _given(self, values: Any) -> None:
        if not isinstance(values, Mapping):
            try:
                values = dict(values)
            except (TypeError, ValueError):
                raise TypeError(message(type(self).__name__, "a mapping of names", type(values).__name__)) from None
        for name, value in values.items():
            self[name] = value

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, self._table)[name]
        except (KeyError, TypeError):
            raise KeyError(message(type(self).__name__, f"one of {', '.join(self.keys()) or 'no names'}", repr(name))) from None

    def __delitem__(self, name: str) -> None:
        del getattr(self, self._table)[self._known(name)]
        self._tell()

    def _known(self, name: str) -> str:
        self[name]
        return name

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __len__(self) -> int:
        return len(getattr(self, self._table))

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.keys()))

    def keys(self) -> Any:
        """The names."""
        return getattr(self, self._table).keys()

    def values(self) -> Any:
        """What stands under the names."""
        return getattr(self, self._table).values()

    def items(self) -> Any:
        """Pairs of both."""
        return getattr(self, self._table).items()

    def update(self, values: Any) -> None:
        """Take over a mapping, or pairs."""
        self._given(values)

    def pop(self, name: str) -> Any:
        """Take what stands under a name away, and give it."""
        value = self[name]
        del self[name]
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        raise NotImplementedError


@judged
class ModuleDict(_ByName):
    """Modules by name, registered; it has no ``forward`` of its own.

    >>> import numbacnn as nc
    >>> layers = nc.nn.ModuleDict({"conv": nc.nn.Conv2d(3, 8, 3), "act": nc.nn.ReLU()})
    >>> list(layers), layers["act"]
    (['conv', 'act'], ReLU())
    """

    _table = "_modules"

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self._given({} if modules is None else modules)

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)


@judged
class ParameterDict(_ByName):
    """Parameters by name, registered; a Tensor becomes one.

    >>> import numbacnn as nc
    >>> [name for name, _ in nc.nn.ParameterDict({"scale": nc.ones(1)}).named_parameters()]
    ['scale']
    """

    _table = "_parameters"

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self._given({} if parameters is None else parameters)

    def __setitem__(self, name: str, parameter: Any) -> None:
        self.register_parameter(name, parameter if parameter is None or isinstance(parameter, Parameter) else Parameter(parameter))


@judged
class ParameterList(Module):
    """Parameters in a list, registered; a Tensor becomes one.

    >>> import numbacnn as nc
    >>> len(nc.nn.ParameterList([nc.ones(1), nc.zeros(2)]))
    2
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(() if values is None else values)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._parameters.values()))

    @judged
    def __getitem__(self, index: int) -> Any:
        return self._parameters[self._name(index)]

    @judged
    def __setitem__(self, index: int, parameter: Any) -> None:
        self.register_parameter(self._name(index), parameter if isinstance(parameter, Parameter) else Parameter(parameter))

    def _child_lines(self) -> list[str]:
        return [f"  ({name}): Parameter containing: [{p.dtype} of size {'x'.join(map(str, p.shape))}]" for name, p in enumerate(self)]

    def _name(self, index: int) -> str:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(message(type(self).__name__, f"an index from {-len(self)} to {len(self) - 1}", str(index)))
        return str(position % len(self))

    @judged
    def append(self, parameter: Any) -> Self:
        """Add a parameter at the end."""
        return self.extend([parameter])

    @judged
    def extend(self, parameters: Iterable[Any]) -> Self:
        """Add several at the end, all or none."""
        made = [p if isinstance(p, Parameter) else Parameter(p) for p in parameters]
        for p in made:
            self.register_parameter(str(len(self)), p)
        return self
