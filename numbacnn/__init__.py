"""Convolutional networks on NumPy and Numba: readable kernels, CPU or CUDA, no PyTorch.

Names and semantics are PyTorch's, so a listing of the book runs with ``import numbacnn as torch; from numbacnn import nn``.
Importing the package compiles and imports no kernel; a device's kernels come with its first operation.
"""

import pkgutil as _pkgutil
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import config, cuda, nn, optim
from . import recording as _recording
from .backends import device, empty_cache, launch
from .chapter import convolve2d, corr2d, corr2d_multi_in, corr2d_multi_in_out, pool2d
from .dtypes import bool_, float32, float64, int8, int16, int32, int64, uint8
from .errors import DeviceError, DTypeError, FormatError, ShapeError
from .random import Generator, get_rng_state, manual_seed, set_rng_state
from .tensor import (
    Function,
    Tensor,
    arange,
    cat,
    empty,
    eye,
    from_array,
    from_dlpack,
    full,
    inference_mode,
    is_grad_enabled,
    maximum,
    minimum,
    no_grad,
    normal,
    ones,
    ones_like,
    rand,
    randn,
    stack,
    tensor,
    where,
    zeros,
    zeros_like,
)
from .tensor.function import pointwise
from .version import __version__

if _TYPE_CHECKING:
    from . import checkpoint, data, inspect, models, vision
    from .plan import Profile, compile, explain, optimize_for_inference, profile
    from .predictor import Prediction, Predictor
    from .ptfile import load, save
    from .testing.own import use_kernel
    from .training import Evaluation, History, evaluate, fit, predict

_METHODS = """
    abs argmax argmin clamp erf exp flatten flip log log1p log_softmax matmul max mean min mm norm permute relu reshape roll sigmoid
    softmax sqrt squeeze std sum tanh transpose unsqueeze var
""".split()  # noqa: SIM905


_MODULES = """
    checkpoint cli d2l data dlpack extras files inspect kernels layout models pickles plan plots predictor ptfile recording reference
    testing training vision
""".split()  # noqa: SIM905
_ELSEWHERE = {
    **{module: f"{module}:" for module in _MODULES},
    **{name: f"training:{name}" for name in ("Evaluation", "History", "evaluate", "fit", "predict")},
    **{name: f"plan:{name}" for name in ("Profile", "compile", "explain", "optimize_for_inference", "profile")},
    **{name: f"predictor:{name}" for name in ("Prediction", "Predictor")},
    **{name: f"ptfile:{name}" for name in ("load", "save")},
    "use_kernel": "testing.own:use_kernel",
    **{name: f"kernels.cpu.launch:{name}" for name in ("get_num_threads", "set_num_threads")},
    **{name: f"tensor:Tensor.{name}" for name in _METHODS},  # torch.abs(x) is x.abs()
    "bool": "dtypes:bool_",
    "short": "dtypes:int16",
    "int": "dtypes:int32",
    "long": "dtypes:int64",
    "float": "dtypes:float32",
    "double": "dtypes:float64",
}
"""Names that are imported when they are first asked for, and where each is found below ``numbacnn``: "module:" or "module:name"."""

_SHOWN = """
    checkpoint d2l data inspect models plots testing training vision
    Evaluation History Prediction Predictor Profile compile evaluate explain fit load optimize_for_inference predict profile save
    use_kernel
""".split()  # noqa: SIM905
__all__ = [*(name for name in globals() if not name.startswith("_")), *_SHOWN]  # what the pages of the API show


def __getattr__(name: str) -> _Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, _pkgutil.resolve_name(f"{__name__}.{_ELSEWHERE[name]}"))


_recording.compiler.append(lambda: __getattr__("compile"))


def __dir__() -> list[str]:
    return sorted({*globals(), *_ELSEWHERE})
