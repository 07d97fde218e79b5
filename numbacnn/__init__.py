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
from .dtypes import bool_, finfo, float32, float64, iinfo, int8, int16, int32, int64, uint8
from .errors import DeviceError, DTypeError, FormatError, ShapeError
from .random import Generator, get_rng_state, initial_seed, manual_seed, set_rng_state
from .tensor import (
    Function,
    Tensor,
    arange,
    as_tensor,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    bernoulli,
    cat,
    concat,
    dstack,
    einsum,
    empty,
    empty_like,
    enable_grad,
    eye,
    from_array,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    grad,
    hstack,
    inference_mode,
    is_grad_enabled,
    is_tensor,
    linspace,
    logspace,
    maximum,
    meshgrid,
    minimum,
    multinomial,
    no_grad,
    normal,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    result_type,
    set_grad_enabled,
    stack,
    tensor,
    vstack,
    where,
    zeros,
    zeros_like,
)
from .tensor.function import pointwise
from .version import __version__

if _TYPE_CHECKING:
    from . import checkpoint, data, inspect, models, vision
    from .functions import *  # noqa: F403
    from .plan import Profile, compile, explain, optimize_for_inference, profile
    from .predictor import Prediction, Predictor
    from .ptfile import load, save
    from .testing.own import use_kernel
    from .training import Evaluation, History, evaluate, fit, predict

_METHODS = """
    abs absolute acos acosh add addcdiv addcmul addmm addmv all allclose amax amin aminmax any arccos arccosh arcsin arcsinh arctan
    arctan2 arctanh argmax argmin argsort argwhere asin asinh atan atan2 atanh baddbmm bincount bitwise_and bitwise_not bitwise_or
    bitwise_xor bmm broadcast_to ceil chunk clamp clamp_max clamp_min clip clone cos cosh count_nonzero cumprod cumsum detach diag
    diagonal diff dist div divide dot eq equal erf exp exp2 expm1 fix flatten flip floor floor_divide fmod frac gather ge greater
    greater_equal gt index_add index_copy index_fill index_select inner is_floating_point isclose isfinite isinf isnan kthvalue le
    lerp less less_equal log log10 log1p log2 log_softmax logical_and logical_not logical_or logical_xor logsumexp lt masked_fill
    masked_scatter masked_select matmul max mean median min mm moveaxis movedim mul multiply mv nan_to_num narrow ne neg negative
    nonzero norm not_equal numel outer permute pow prod ravel reciprocal relu remainder repeat_interleave reshape roll rot90 round
    rsqrt scatter scatter_add select sigmoid sign sin sinh softmax sort split sqrt square squeeze std std_mean sub subtract sum
    swapaxes swapdims t take take_along_dim tan tanh tensor_split tensordot tile topk trace transpose tril triu true_divide trunc
    unbind unflatten unique unsqueeze var var_mean
""".split()  # noqa: SIM905


_MODULES = """
    checkpoint children cli compat d2l data dlpack extras files functions inspect kernels layout models pickles plan plots predictor ptfile
    recording reference testing training vision
""".split()  # noqa: SIM905
_ELSEWHERE = {
    **{module: f"{module}:" for module in _MODULES},
    **{name: f"training:{name}" for name in ("Evaluation", "History", "evaluate", "fit", "predict")},
    **{name: f"plan:{name}" for name in ("Profile", "compile", "explain", "optimize_for_inference", "profile")},
    **{name: f"predictor:{name}" for name in ("Prediction", "Predictor")},
    **{name: f"ptfile:{name}" for name in ("load", "save")},
    "use_kernel": "testing.own:use_kernel",
    **{name: f"kernels.cpu.launch:{name}" for name in ("get_num_threads", "set_num_threads")},
    **{name: f"functions:{name}" for name in _METHODS},  # torch.abs(x) is x.abs()
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
