"""Modules: trees of layers that know their parameters. The classes and their behaviour are PyTorch's."""

from __future__ import annotations

import textwrap
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from .. import backends
from ..arguments import flag
from ..dtypes import as_dtype, is_floating, names_device
from ..errors import DTypeError, ShapeError, message
from ..recording import RemovableHandle, changed, compiler, now, refuse, structure
from ..signatures import judged, shown
from ..tensor import Tensor, from_array, no_grad
from ..tensor.core import as_parameter
from .hooks import BackwardHooks
from .lazy import LazyModule
from .parameter import Parameter

__all__ = ["LoadReport", "Module", "RemovableHandle"]

Hook = Callable[["Module", tuple[Any, ...], Any], Any]


TABLES = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""A module's own dictionaries."""


class LoadReport(NamedTuple):
    """The keys that ``load_state_dict(strict=False)`` did not find, or had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return f"LoadReport(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module:
    """The base of all layers and networks. Assigned attributes that are parameters or modules are registered.

    >>> import numbacnn as nc
    >>> class Scale(nc.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = nc.nn.Parameter(nc.ones(1))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    training: bool
    _may_lack: ClassVar[tuple[str, ...]] = ()
    """Its own names that a state need not have."""
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _transient: set[str]
    _modules: dict[str, Module | None]
    _forward_hooks: dict[int, Hook]
    _forward_pre_hooks: dict[int, Callable[..., Any]]
    _backward_hooks: dict[int, Callable[..., Any]]
    _backward_pre_hooks: dict[int, Callable[..., Any]]

    def __init__(self) -> None:
        for name in TABLES:
            object.__setattr__(self, name, {})
        object.__setattr__(self, "_transient", set())
        object.__setattr__(self, "training", True)
        object.__setattr__(self, "_made", structure.recordings)

    def _tell(self) -> None:
        """Say that this module changes: to whoever has recorded a step in which it may take part."""
        if self.__dict__.get("_made") != structure.recordings:
            changed()

    # -- calling -------------------------------------------------------------------------------------------------------
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; each subclass writes its own."""
        raise NotImplementedError(message(type(self).__name__, "a method forward", "none", f"define forward in {type(self).__name__}"))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        compiled = self.__dict__.get("_compiled")
        return self._run(*args, **kwargs) if compiled is None else compiled(self, *args, **kwargs)

    def compile(self, **options: Any) -> None:
        """Have calls of this module replayed as plans, as ``nc.compile(module)`` does, which says what ``options`` there are.

        >>> import numbacnn as nc
        >>> net = nc.nn.Linear(4, 2).eval()
        >>> net.compile()
        >>> with nc.no_grad():
        ...     found = [net(nc.ones(1, 4)).shape for _ in range(4)]
        >>> found[3]
        (1, 2)
        """
        compiler[0]()(self, **options)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        if self._forward_pre_hooks:
            refuse(f"a hook of {type(self).__name__} is called")
            for before in tuple(self._forward_pre_hooks.values()):
                replaced = before(self, args)
                args = args if replaced is None else replaced if isinstance(replaced, tuple) else (replaced,)
        backward = None
        if self._backward_hooks or self._backward_pre_hooks:
            refuse(f"a hook of {type(self).__name__} is called")
            backward = BackwardHooks(self)
            args = backward.inputs(args)
        if now.tape is None:
            output = self.forward(*args, **kwargs)
        else:
            with now.tape.within(self):
                output = self.forward(*args, **kwargs)
        if self._forward_hooks:
            refuse(f"a hook of {type(self).__name__} is called")
            for hook in tuple(self._forward_hooks.values()):
                replaced = hook(self, args, output)
                output = output if replaced is None else replaced
        return output if backward is None else backward.outputs(output)

    @judged
    def register_forward_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; what it returns, if not None, replaces the output."""
        return RemovableHandle(self._forward_hooks, hook)

    @judged
    def register_forward_pre_hook(self, hook: Callable[[Module, tuple[Any, ...]], Any]) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns, if not None, replaces the arguments."""
        return RemovableHandle(self._forward_pre_hooks, hook)

    @judged
    def register_full_backward_hook(self, hook: Callable[[Module, tuple[Any, ...], tuple[Any, ...]], Any]) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` in each backward, when all gradients of the module's arguments have come.

        Both are tuples: a gradient for each positional argument and for each output, None for what has none. What the hook returns, if not
        None, takes the place of ``grad_input``; it must not write into the gradients. Nothing is fused over a module with hooks, and a
        step in which it is called is not compiled by ``nc.compile``.

        >>> import numbacnn as nc
        >>> layer, found = nc.nn.Linear(2, 3), []
        >>> handle = layer.register_full_backward_hook(lambda module, grad_input, grad_output: found.append(grad_output[0].shape))
        >>> layer(nc.ones(1, 2)).sum().backward(); handle.remove(); found
        [(1, 3)]
        """
        return RemovableHandle(self._backward_hooks, hook)

    @judged
    def register_full_backward_pre_hook(self, hook: Callable[[Module, tuple[Any, ...]], Any]) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` in each backward before the module's own; what it returns, if not None, replaces these."""
        return RemovableHandle(self._backward_pre_hooks, hook)

    # -- attributes ----------------------------------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        if "_modules" not in self.__dict__:
            if isinstance(value, (Parameter, Module)):
                expected = "super().__init__() before parameters and modules are assigned"
                raise AttributeError(message(type(self).__name__, expected, f"{name!r} first", "call it at the top of __init__"))
            object.__setattr__(self, name, value)
            return
        table: dict[str, Any] | None = None
        if isinstance(value, Parameter):
            table = self._parameters
        elif isinstance(value, Module) and name not in self._parameters:
            table = self._modules
        elif name in self._parameters or name in self._modules:
            if value is not None:
                kind = "Parameter" if name in self._parameters else "Module"
                hint = "wrap it in nn.Parameter, or assign to .data" if kind == "Parameter" and isinstance(value, Tensor) else ""
                raise TypeError(message(type(self).__name__, f"attribute {name!r} as a {kind} or None", type(value).__name__, hint))
            table = self._parameters if name in self._parameters else self._modules
        elif name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(message(type(self).__name__, f"buffer {name!r} as a Tensor or None", type(value).__name__))
            table = self._buffers
        if (self.__dict__ if table is None else table).get(name, self) is not value:
            self._tell()
        if table is None:
            object.__setattr__(self, name, value)
            return
        for other in (self.__dict__, self._parameters, self._buffers, self._modules):
            if other is not table:
                other.pop(name, None)
        if table is not self._buffers:
            self._transient.discard(name)  # what is a parameter now belongs to the state
        table[name] = value

    def __getattr__(self, name: str) -> Any:  # reached only where the ordinary look-up found nothing
        tables = self.__dict__
        if now.tape is not None and "_modules" in tables:
            now.tape.sees_module(self)
        try:
            return tables["_parameters"][name]  # most often
        except KeyError:
            pass
        for table in ("_buffers", "_modules"):
            if table in tables and name in tables[table]:
                return tables[table][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        self._tell()
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._transient.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _check_name(self, kind: str, name: str, table: Mapping[str, Any]) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(message(type(self).__name__, f"the name of a {kind} as a string without dots", repr(name)))
        if name not in table and hasattr(self, name):
            raise KeyError(message(type(self).__name__, f"a name for the {kind} that is not taken", repr(name)))

    @judged
    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; None keeps the place free, as a layer without bias does."""
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(message(type(self).__name__, f"parameter {name!r} as a Parameter or None", type(param).__name__))
        self._tell()
        self._parameters[name] = param

    @judged
    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the module but not trained. ``persistent``: it appears in ``state_dict()``."""
        persistent = flag("register_buffer", "persistent", persistent)
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(message(type(self).__name__, f"buffer {name!r} as a Tensor or None", type(tensor).__name__))
        self._tell()
        self._buffers[name] = tensor
        (self._transient.discard if persistent else self._transient.add)(name)

    @judged
    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under ``name``."""
        self._check_child(name, module)
        self._tell()
        self._modules[name] = module

    def _check_child(self, name: str, module: Module | None) -> None:
        self._check_name("module", name, self._modules)
        if module is not None and not isinstance(module, Module):
            raise TypeError(message(type(self).__name__, f"submodule {name!r} as a Module or None", type(module).__name__))

    # -- walking the tree ----------------------------------------------------------------------------------------------
    @judged
    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, parents first, each once, with dotted names."""
        _check_prefix("named_modules", prefix)
        return self._walk(prefix, set())

    def _walk(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        if now.tape is not None:
            now.tape.sees_module(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child._walk(_join(prefix, name), seen)

    @judged
    def get_submodule(self, target: str) -> Module:
        """The module below this one that has this dotted name; "" is this one.

        Raises:
            AttributeError: where there is none.

        >>> import numbacnn as nc
        >>> nc.nn.Sequential(nc.nn.Sequential(nc.nn.ReLU())).get_submodule("0.0")
        ReLU()
        """
        found: Any = self
        for name in target.split(".") if target else ():
            found = found._modules.get(name)
            if found is None:
                raise AttributeError(message("get_submodule", f"the name of a module in {type(self).__name__}", repr(target)))
        return found

    @judged
    def get_parameter(self, target: str) -> Parameter:
        """The parameter that has this dotted name.

        Raises:
            AttributeError: where there is none.

        >>> import numbacnn as nc
        >>> nc.nn.Sequential(nc.nn.Linear(2, 3)).get_parameter("0.bias").shape
        (3,)
        """
        return self._member("get_parameter", "_parameters", "parameter", target)

    @judged
    def get_buffer(self, target: str) -> Tensor:
        """The buffer that has this dotted name.

        Raises:
            AttributeError: where there is none.

        >>> import numbacnn as nc
        >>> nc.nn.Sequential(nc.nn.BatchNorm2d(3)).get_buffer("0.running_mean").shape
        (3,)
        """
        return self._member("get_buffer", "_buffers", "buffer", target)

    def _member(self, op: str, table: str, kind: str, target: str) -> Any:
        """A parameter or a buffer by its dotted name."""
        path, _, name = target.rpartition(".")
        try:
            found = getattr(self.get_submodule(path), table).get(name)
        except AttributeError:
            found = None
        if found is None:
            raise AttributeError(message(op, f"the name of a {kind} in {type(self).__name__}", repr(target)))
        return found

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules, each once, with their names."""
        return _unique((name, child) for name, child in self._modules.items())

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        return (child for _, child in self.named_children())

    @judged
    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """The parameters with dotted names; one that is shared appears once, under its first name."""
        owners = self._owners("named_parameters", prefix, recurse)
        return _unique((_join(path, name), p) for path, module in owners for name, p in module._parameters.items())

    def _owners(self, op: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Module]]:
        """The modules whose tensors are listed: this one, or all."""
        _check_prefix(op, prefix)
        return self._walk(prefix, set()) if flag(op, "recurse", recurse) else iter([(prefix, self)])

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The buffers with dotted names, each once."""
        owners = self._owners("named_buffers", prefix, recurse)
        return _unique((_join(path, name), b) for path, module in owners for name, b in module._buffers.items())

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    # -- acting on the tree --------------------------------------------------------------------------------------------
    @judged
    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module below this one, children first, and on this one last; returns the module.

        >>> import numbacnn as nc
        >>> net = nc.nn.Sequential(nc.nn.Linear(2, 2))
        >>> _ = net.apply(lambda m: nc.nn.init.xavier_uniform_(m.weight) if isinstance(m, nc.nn.Linear) else None)
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    @judged
    def train(self, mode: bool = True) -> Self:
        """Set training mode, which dropout and batch normalisation heed, for all modules.

        Raises:
            TypeError: ``mode`` is neither True nor False.
        """
        mode = flag("train", "mode", mode)
        self._set_mode(mode)
        for child in self.children():
            child.train(mode)  # which may be the user's own, as that of a part whose batch normalisation is frozen
        return self

    def _set_mode(self, training: bool) -> None:
        """The mode of this module alone."""
        if self.__dict__["training"] is not training:
            self._tell()
            object.__setattr__(self, "training", training)

    def eval(self) -> Self:
        """Set evaluation mode for all modules."""
        return self.train(False)

    @judged
    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train the parameters, or freeze them."""
        requires_grad = flag("requires_grad_", "requires_grad", requires_grad)
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    @judged
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        set_to_none = flag("zero_grad", "set_to_none", set_to_none)
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    @judged
    def to(self, *targets: Any, device: str | None = None, dtype: Any = None) -> Self:
        """Move all parameters, their gradients and buffers to a device, or convert the floating ones to a dtype, or both.

        The parameters stay the same objects, and the moments of an optimiser follow them with its next step.

        >>> import numbacnn as nc
        >>> str(nc.nn.Linear(2, 3).to(nc.float64).weight.dtype)
        'float64'
        """
        wanted = [target for target in (*targets, device, dtype) if target is not None]
        devices = [backends.device(target, "to") for target in wanted if names_device(target)]
        dtypes = [as_dtype("to", target) for target in wanted if not names_device(target)]
        if not all(map(is_floating, dtypes)):
            raise DTypeError(message("to", "a device or a floating-point dtype", ", ".join(map(str, dtypes)), "parameters have gradients"))

        def convert(t: Tensor) -> Tensor:
            for target in [*devices, *(dtypes if is_floating(t.dtype) else [])]:
                t = t.to(target)
            return t

        self._tell()
        with no_grad():
            for module in self.modules():
                for parameter in module._parameters.values():
                    if parameter is not None:
                        moved = convert(parameter.detach())
                        if moved.array is not parameter.array:
                            parameter.array, parameter.device = as_parameter(moved).array, moved.device
                        parameter.grad = None if parameter.grad is None else convert(parameter.grad)
                for name, buffer in module._buffers.items():
                    module._buffers[name] = None if buffer is None else convert(buffer)
        return self

    def cpu(self) -> Self:
        """Move all parameters and buffers to the CPU."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """Move all parameters and buffers to the GPU."""
        return self.to("cuda")

    def float(self) -> Self:
        """Convert the floating parameters and buffers to float32."""
        return self.to("float32")

    def double(self) -> Self:
        """Convert the floating parameters and buffers to float64."""
        return self.to("float64")

    # -- state ---------------------------------------------------------------------------------------------------------
    def _entries(self) -> Iterator[tuple[str, Module, str, Tensor]]:
        """Dotted name, owner, local name and tensor of what ``state_dict`` holds; shared tensors under each of their names."""
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            path, module = stack.pop()
            for name, t in (*module._parameters.items(), *module._buffers.items()):
                if t is not None and name not in module._transient:
                    yield _join(path, name), module, name, t
            stack += [(_join(path, name), child) for name, child in reversed(module._modules.items()) if child is not None]

    def state_dict(self, *, prefix: str = "") -> OrderedDict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, detached; they share the module's memory.

        Args:
            prefix: what each name begins with, its dot included.

        Raises:
            RuntimeError: where a lazy layer has not seen its first batch.

        >>> import numbacnn as nc
        >>> {name: t.shape for name, t in nc.nn.Linear(2, 3).state_dict().items()}
        {'weight': (3, 2), 'bias': (3,)}
        """
        _check_prefix("state_dict", prefix)
        entries = list(self._entries())
        lazy = [name for name, module, _, _ in entries if isinstance(module, LazyModule)]
        if lazy:
            received = f"uninitialized {', '.join(lazy)}"
            raise RuntimeError(message("state_dict", "parameters that have a shape", received, "run one batch first"))
        return OrderedDict((prefix + name, t.detach()) for name, _, _, t in entries)

    @judged
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadReport:
        """Copy the tensors or NumPy arrays of ``state_dict`` into the parameters and buffers: all of them, or none.

        A lazy layer takes its sizes from the state. Without ``strict``, missing and unexpected keys are only reported. The keys that
        PyTorch's compiled modules have, which begin with ``_orig_mod.``, are accepted.

        Raises:
            ShapeError: listing each key that is missing, unexpected or misshapen; the module is then as it was.
            RuntimeError: a parameter is a view that repeats elements; likewise.

        >>> import numbacnn as nc
        >>> net = nc.nn.Linear(2, 3)
        >>> net.load_state_dict(nc.nn.Linear(2, 3).state_dict())
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(message("load_state_dict", "a mapping of names to tensors", type(state_dict).__name__))
        entries = list(self._entries())
        names = dict.fromkeys(name for name, *_ in entries)
        given = {_unwrapped(name, names, state_dict): _loaded(name, value) for name, value in state_dict.items()}
        wanted = dict.fromkeys(name for name, module, local, _ in entries if local not in module._may_lack)
        report = LoadReport([name for name in wanted if name not in given], [name for name in given if name not in names])
        faults = []
        if flag("load_state_dict", "strict", strict):
            faults += [f"missing {name}" for name in report.missing_keys] + [f"unexpected {name}" for name in report.unexpected_keys]
        sizes: dict[LazyModule, int] = {}
        for name, module, local, t in entries:
            if name not in given:
                continue
            if isinstance(module, LazyModule):
                known = given.get(name.removesuffix(local) + module.size_from)
                if known is None:
                    faults.append(f"{name} of a lazy layer without its {module.size_from}")
                    continue
                sizes[module] = module.size_of(known.shape) or module.size_of(())  # of 0 inputs, as of other axes: a fault
                expected = module.parameter_shapes(sizes[module])[local]
            else:
                expected = t.shape
            if given[name].shape != expected:
                faults.append(f"{name} {given[name].shape} in place of {expected}")
        if faults:
            names_and_shapes = f"the names and shapes of {type(self).__name__}"
            raise ShapeError(message("load_state_dict", names_and_shapes, ", ".join(faults), f"nothing was loaded{_advice(names, given)}"))
        for name, _, _, t in entries:
            if name in given:
                t.check_writable("load_state_dict")
        for lazy, size in sizes.items():
            lazy.materialize(size, reset=False)
        with no_grad():
            for name, _, _, t in entries:
                if name in given:
                    t.copy_(given[name].to(t.device).to(t.dtype))
        return report

    # -- printing ------------------------------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What stands between the parentheses when the module is printed."""
        return ""

    def _child_lines(self) -> list[str]:
        return [f"({name}): {child!r}" for name, child in self._modules.items()]

    def __repr__(self) -> str:
        extra, children = self.extra_repr(), self._child_lines()
        if not children and "\n" not in extra:
            return f"{type(self).__name__}({extra})"
        inner = "\n".join([*([extra] if extra else []), *children])
        return f"{type(self).__name__}(\n{textwrap.indent(inner, '  ')}\n)"


def _loaded(name: str, value: Any) -> Tensor:
    """A value of a state as a Tensor."""
    if isinstance(value, Tensor):
        return value
    try:
        return from_array(np.asarray(value))
    except (ValueError, TypeError):  # lists of unequal lengths, or no numbers
        raise TypeError(message("load_state_dict", f"{name} as a Tensor or an array of numbers", shown(value))) from None


def _unwrapped(name: Any, names: Mapping[str, None], state_dict: Mapping[str, Any]) -> Any:
    """A key of a state without what PyTorch's wrapper of a compiled module adds, if that makes it a name of ours which is not there."""
    parts = name.split(".") if isinstance(name, str) else []
    bare = ".".join(part for part in parts if part != "_orig_mod")
    return bare if name not in names and bare in names and bare not in state_dict else name


def _advice(names: Mapping[str, None], given: Mapping[Any, Any]) -> str:
    """What to do about keys that have all been given one more name in front."""
    if any(f"module.{name}" in given for name in names) and not any(name in given for name in names):
        return ': the keys are those of DataParallel; pass {key.removeprefix("module."): value for key, value in state_dict.items()}'
    return ""


def _check_prefix(op: str, prefix: Any) -> None:
    if not isinstance(prefix, str):
        raise TypeError(message(op, "prefix as a string", shown(prefix)))


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _unique(pairs: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The pairs whose value is not None, each value once, under its first name."""
    seen: set[int] = set()
    for name, value in pairs:
        if value is not None and id(value) not in seen:
            seen.add(id(value))
            yield name, value
