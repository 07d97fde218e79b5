"""``torch`` beside what the library has: constructors of old, devices as objects, and what old code gives to methods."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import backends, random
from .. import data as ours
from ..arguments import flag, integer, one_of
from ..dtypes import as_dtype, float32
from ..errors import message
from ..signatures import shown
from ..tensor import Function, empty, enable_grad, grad, inference_mode, no_grad, set_grad_enabled, tensor, text
from ..tensor import Tensor as OurTensor
from ..version import __version__ as VERSION

__all__ = """
    Generator Size Tensor Variable are_deterministic_algorithms_enabled bfloat16 channels_last contiguous_format device dtype e float16
    get_default_dtype half inf initial_seed is_tensor manual_seed nan newaxis pi preserve_format set_default_device set_default_dtype
    set_default_tensor_type set_float32_matmul_precision set_printoptions strided use_deterministic_algorithms
    BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor IntTensor LongTensor ShortTensor
""".split()  # noqa: SIM905

__version__ = f"2.13.0+numbacnn{VERSION}"

e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi
channels_last, contiguous_format, preserve_format = "channels_last", "contiguous_format", "preserve_format"
"""Memory formats are accepted and change nothing: layers keep their results channels-last."""
dtype, strided = np.dtype, "strided"
float16 = half = np.dtype("float16")
bfloat16 = "bfloat16"
"""What ``autocast`` is given, and computes in float32; tensors of it are refused."""


class device(str):
    """The name of a device, with its ``type`` and ``index``: ``device("cuda:0")``, ``device("cuda", 0)``, ``device(0)``."""

    type: str
    index: int | None  # type: ignore[assignment]

    def __new__(cls, type: Any = "cpu", index: int | None = None) -> device:
        kind, _, number = (f"cuda:{type}" if isinstance(type, int) else str(type)).partition(":")
        self = super().__new__(cls, kind if kind in backends.names() else backends.device(kind))  # a GPU may be named where there is none
        self.type, self.index = kind, int(number) if number else index
        return self

    def __repr__(self) -> str:
        return f"device(type={self.type!r})" if self.index is None else f"device(type={self.type!r}, index={self.index})"


class Size(tuple[int, ...]):
    """The sizes of a tensor: its ``shape``."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Any:
        return Size(super().__add__(other)) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return Size(other + tuple(self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, count: Any) -> Any:
        return Size(super().__mul__(count))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"torch.Size({[*self]})"

    def numel(self) -> int:
        return math.prod(self)


class TensorType(type):
    """A class that makes tensors of one dtype, and of which all tensors of that dtype are instances."""

    dtype: np.dtype[Any] | None
    device: str | None

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:
        if bases:
            raise TypeError(message("compat", "tensors as they are", f"a subclass {name} of {bases[0].__name__}", "wrap one instead"))
        super().__init__(name, bases, members)

    def __call__(cls, *args: Any, **options: Any) -> OurTensor:
        wanted = {"dtype": cls.dtype or float32, **({"device": cls.device} if cls.device else {}), **options}
        if all(isinstance(arg, (int, np.integer)) and not isinstance(arg, bool) for arg in args) and args:
            return empty(args, **wanted)
        if len(args) > 1:
            raise TypeError(message(cls.__name__, "sizes, or one list, array or tensor", f"{len(args)} arguments"))
        data = args[0] if args else []
        if isinstance(data, Size):
            return empty(data, **wanted)
        return data.to(**wanted) if isinstance(data, OurTensor) else tensor(data, **wanted)

    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, OurTensor) and cls.dtype in (None, x.dtype) and cls.device in (None, x.device)

    def __subclasscheck__(cls, other: type) -> bool:
        return other is cls or issubclass(other, OurTensor)

    def __eq__(cls, other: object) -> bool:
        return other is cls or (cls.dtype is None and other is OurTensor)  # type(x) == torch.Tensor

    def __hash__(cls) -> int:
        return type.__hash__(OurTensor if cls == OurTensor else cls)  # {torch.Tensor: ...}[type(x)]

    def __repr__(cls) -> str:
        return f"<class 'torch.{'cuda.' if cls.device else ''}{cls.__name__}'>"

    def __getattr__(cls, name: str) -> Any:
        return getattr(OurTensor, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        setattr(OurTensor, name, value)  # a method of the user's own


Tensor = TensorType("Tensor", (), {"dtype": None, "device": None})
_OLD = "Float:float32 Double:float64 Long:int64 Int:int32 Short:int16 Char:int8 Byte:uint8 Bool:bool".split()  # noqa: SIM905
_DTYPES = {f"{name}Tensor": np.dtype(kind) for name, kind in (row.split(":") for row in _OLD)}
OLD_TYPES = {name: TensorType(name, (), {"dtype": kind, "device": None}) for name, kind in _DTYPES.items()}
CUDA_TYPES = {name: TensorType(name, (), {"dtype": kind, "device": "cuda"}) for name, kind in _DTYPES.items()}
globals().update(OLD_TYPES)


class VariableType(TensorType):
    """Since PyTorch 0.4 a Tensor is a Variable."""

    def __call__(cls, data: OurTensor, requires_grad: bool = False, volatile: bool = False) -> OurTensor:
        """The same values without a history."""
        if not isinstance(data, OurTensor):
            raise TypeError(message("Variable", "data as a Tensor", shown(data), "make one with tensor()"))
        return data.detach().requires_grad_(requires_grad)


Variable = VariableType("Variable", (), {"dtype": None, "device": None})


class Generator(random.Generator):
    """A stream of random numbers; ``device`` is accepted, numbers are drawn on the host."""

    def __init__(self, device: Any = "cpu") -> None:
        super().__init__()
        self.device = globals()["device"](device)


@functools.cache
def say_once(text: str) -> None:
    warnings.warn(text, stacklevel=3)


class Accepted(contextlib.ContextDecorator):
    """A context that changes nothing."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class set_detect_anomaly(Accepted):
    """Accepted; no NaN is looked for in gradients. It says so once."""

    def __init__(self, mode: bool = True, check_nan: bool = True) -> None:
        if mode:
            say_once("set_detect_anomaly: backward does not look for NaN here; look at the gradients with isfinite()")


class safe_globals(Accepted):
    """Accepted: what a file may name is a closed list, whoever calls it safe."""

    def __init__(self, safe_globals: Any) -> None:
        pass


serialization = SimpleNamespace(safe_globals=safe_globals, add_safe_globals=lambda safe_globals: None)


def unchanged(op: str, *allowed: Any) -> Callable[[Any], None]:
    """A switch that may be set to what the library does anyway."""

    def switch(value: Any) -> None:
        if value not in allowed:
            raise ValueError(message(op, f"one of {', '.join(map(str, allowed))}", str(value), "the library does nothing else"))

    return switch


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Nothing to do: results have the same bits from run to run."""
    flag("use_deterministic_algorithms", "mode", mode)


def are_deterministic_algorithms_enabled() -> bool:
    return True


def get_default_dtype() -> np.dtype[Any]:
    return float32


def set_default_device(device: Any) -> None:
    """Tensors lie on the CPU where they are not told to lie elsewhere."""
    if str(device).partition(":")[0] != backends.DEFAULT:
        raise ValueError(message("set_default_device", repr(backends.DEFAULT), repr(str(device)), "pass device=, or call .to()"))


def set_default_dtype(d: Any) -> None:
    """float32 is the only default."""
    unchanged("set_default_dtype", float32)(as_dtype("set_default_dtype", d))


def set_default_tensor_type(t: Any) -> None:
    """float32 is the only default."""
    unchanged("set_default_tensor_type", OLD_TYPES["FloatTensor"])(old_type(t) or t)


def set_float32_matmul_precision(precision: str) -> None:
    """float32 is computed in float32, whatever less is allowed."""
    unchanged("set_float32_matmul_precision", "highest", "high", "medium")(precision)


PROFILES: dict[str | None, tuple[float | None, ...]] = {None: (None,) * 4, "default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80)}
PROFILES["full"] = (4, math.inf, 3, 80)


def set_printoptions(
    precision: Any = None, threshold: Any = None, edgeitems: Any = None, linewidth: Any = None, profile: Any = None, sci_mode: Any = None
) -> None:
    """How tensors are written: digits behind the point, how many elements are shown whole, how many at either end, and a line's length.

    A ``profile`` says all four: 'default', 'short' or 'full'. ``sci_mode`` changes nothing.
    """
    if profile is not None:
        one_of("set_printoptions", "profile", profile, ("default", "short", "full"))
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for kept, (name, value), usual in zip(("DIGITS", "LIMIT", "EDGE", "WIDTH"), given.items(), PROFILES[profile]):
        value = usual if value is None else value
        if value is not None:
            setattr(text, kept, integer("set_printoptions", name, sys.maxsize if value == math.inf else value, 0))


def is_tensor(obj: object) -> bool:
    return isinstance(obj, OurTensor)


def manual_seed(seed: int) -> random.Generator:
    """Start the library's stream of random numbers anew; the stream as a generator."""
    random.manual_seed(seed)
    found = Generator()
    found.numpy, found._seed = random.generator(), seed
    return found


def initial_seed() -> int:
    """The seed of this process; in a loader's worker, that worker's own."""
    info = ours.get_worker_info()
    return random.initial_seed() if info is None else info.seed


def old_type(kind: Any) -> TensorType | None:
    """The class that "torch.cuda.FloatTensor" names, or that is given; None for anything else."""
    if isinstance(kind, str):
        return (CUDA_TYPES if ".cuda." in kind else OLD_TYPES).get(kind.rpartition(".")[2])
    return kind if isinstance(kind, TensorType) else None


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
    """Add up the gradients of several tensors on the leaves that they were made from."""
    results = [tensors] if isinstance(tensors, OurTensor) else [*tensors]
    given = [grad_tensors] if isinstance(grad_tensors, OurTensor) else [*(grad_tensors or [None] * len(results))]
    for i, (result, gradient) in enumerate(zip(results, given, strict=True), 1):
        result.backward(gradient, bool(retain_graph) or i < len(results), create_graph)


autograd = SimpleNamespace(
    once_differentiable=lambda function: function,
    backward=backward,
    Function=Function, Variable=Variable, detect_anomaly=set_detect_anomaly, enable_grad=enable_grad, grad=grad,
    inference_mode=inference_mode, no_grad=no_grad, set_detect_anomaly=set_detect_anomaly, set_grad_enabled=set_grad_enabled,
)  # fmt: skip

optimizer = SimpleNamespace(required=object())  # what PyTorch's SGD of old had for its learning rate's default
_LOADING = """
    BatchSampler ChainDataset ConcatDataset DataLoader Dataset IterableDataset RandomSampler Sampler SequentialSampler StackDataset Subset
    SubsetRandomSampler TensorDataset WeightedRandomSampler default_collate default_convert get_worker_info random_split
""".split()  # noqa: SIM905
data = SimpleNamespace(**{name: getattr(ours, name) for name in _LOADING})
