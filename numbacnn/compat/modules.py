"""The modules of ``torch`` and ``torchvision``: each is a list of places in which its names are looked up."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Iterable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

from ..errors import message
from .arguments import ignoring
from .table import ABSENT, IGNORED, LEFT_OUT, MODULES, RENAMED

__all__ = ["Missing", "find", "hint", "mirror", "missing", "prefixes"]


class Missing(AttributeError):
    """A name of PyTorch or torchvision that is not here."""


class Absence(type):
    """The kind of classes that are not here: they have no methods of their own."""

    full: str

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Missing(missing(f"{cls.full}.{name}"))


class Absent(metaclass=Absence):
    """What stands for a class that is not here: nothing is one, and none can be made."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        raise Missing(missing(cls.full))


def _absent(module: str) -> SimpleNamespace:
    """Classes that a module lacks; it lists none of them."""
    members = {"__module__": f"{__package__}.{module}"}
    return SimpleNamespace(
        __all__=[], **{name: Absence(name, (Absent,), {**members, "full": f"{module}.{name}"}) for name in ABSENT[module].split()}
    )


absent_layers, absent_sequences, absent_optimizers = map(_absent, ("torch.nn", "torch.nn.utils.rnn", "torch.optim"))


class Mirror(ModuleType):
    """One module. A name is a module below it, or else what the first place that knows it says."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{__package__}.{name}", f"The names of ``{name}``, made from numbacnn.")
        self.__path__: list[str] = []  # a package, so that a name that "from ... import" misses comes to the finder
        self.__file__ = __file__

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return [*dir(self), *ABSENT.get(key(self), "").split()]
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        module = key(self)
        full = f"{module}.{name}"
        if full in MODULES:
            return mirror(full)
        if full in RENAMED:
            return find(RENAMED[full])
        for place in places(module):
            try:
                found = getattr(place, name)
            except AttributeError:
                continue
            if isinstance(place, ModuleType) and (_is_inner(place, name) or _is_inner_module(found)):
                continue  # what a place imports for itself
            if full in IGNORED:
                found = ignoring(found, *IGNORED[full].split())
            super().__setattr__(name, found)
            return found
        raise Missing(missing(full))

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("__") and key(self).startswith("torch.backends"):
            getattr(self, name)  # a switch that nothing reads is refused
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        below = (full.rpartition(".") for full in MODULES)
        names = {name for parent, _, name in below if parent == key(self)}
        return sorted(names.union(*map(public, places(key(self)))))


def key(module: Mirror) -> str:
    """The name that its users know it by."""
    return module.__name__.removeprefix(f"{__package__}.")


def _is_inner(place: ModuleType, name: str) -> bool:
    return place.__name__.startswith(f"{__package__}.") and name in vars(place) and name not in (*place.__all__, "__version__")


def _is_inner_module(found: Any) -> bool:
    return isinstance(found, ModuleType) and found.__name__.startswith("numbacnn") and found.__name__ not in PUBLIC


PUBLIC = ("numbacnn.nn.functional", "numbacnn.nn.init", "numbacnn.nn.utils")
_mirrors: dict[str, Mirror] = {}


def mirror(full: str) -> Mirror:
    """The one object for a module."""
    if full not in _mirrors:
        _mirrors[full] = made = Mirror(full)
        if full == "torchvision.models":  # people look networks up in its __dict__
            for name in dir(made):
                getattr(made, name)
    return _mirrors[full]


def places(module: str) -> Iterator[Any]:
    """Where the names of a module are looked up."""
    return (pkgutil.resolve_name(place) for place in MODULES[module])


def public(place: Any) -> Iterable[str]:
    names = getattr(place, "__all__", None)
    names = [name for name in dir(place) if not name.startswith("_")] if names is None else {*names, *getattr(place, "_ELSEWHERE", ())}
    return (name for name in names if not isinstance(getattr(place, name, None), ModuleType))


def find(full: str) -> Any:
    """What a dotted name of torch or torchvision is here.

    Raises:
        Missing: it is not here.

    >>> find("torch.optim.SGD").__module__
    'numbacnn.optim.sgd'
    """
    first, *rest = full.split(".")
    found: Any = mirror(first)
    for i, name in enumerate(rest):
        try:
            found = getattr(found, name)
        except Missing:
            raise
        except AttributeError:
            raise Missing(missing(".".join([first, *rest[: i + 1]]))) from None
    if isinstance(found, type) and issubclass(found, Absent):
        raise Missing(missing(full))
    return found


def missing(full: str) -> str:
    """The error's text for a name that is not here."""
    return message("compat", "a name that numbacnn has", full, hint(full) or "numbacnn check lists all that a script misses")


def hint(full: str) -> str:
    """Why a name is left out, or which is nearest; nothing where there is nothing to say.

    >>> hint("torch.nn.Conv2D"), hint("torch.sparse.mm")
    ('the nearest is torch.nn.Conv2d', 'left out for good: tensors are dense')
    """
    reason = next((LEFT_OUT[prefix] for prefix in prefixes(full) if prefix in LEFT_OUT), None)
    if reason:
        return reason
    parent, _, name = full.rpartition(".")
    near = difflib.get_close_matches(name, dir(mirror(parent)), 1, 0.75) if parent in MODULES else []
    return f"the nearest is {parent}.{near[0]}" if near else ""


def prefixes(full: str) -> Iterator[str]:
    """A dotted name, and what it lies below: the longest first.

    >>> list(prefixes("torch.jit.script"))
    ['torch.jit.script', 'torch.jit', 'torch']
    """
    while full:
        yield full
        full = full.rpartition(".")[0]
