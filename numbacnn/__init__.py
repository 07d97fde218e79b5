"""Convolutional networks on NumPy and Numba: readable kernels, CPU or CUDA, no PyTorch.

Names and semantics are PyTorch's, so a listing of the book runs with ``import numbacnn as torch; from numbacnn import nn``.
Importing the package compiles and imports no kernel; a device's kernels come with its first operation.
"""

import importlib as _importlib
from typing import Any as _Any

from . import checkpoint, config, cuda, data, inspect, models, nn, optim
from .backends import device, empty_cache
from .chapter import convolve2d, corr2d, corr2d_multi_in, corr2d_multi_in_out, pool2d
from .dtypes import bool_, float32, float64, int8, int16, int32, int64, uint8
from .errors import DeviceError, DTypeError, FormatError, ShapeError
from .random import get_rng_state, manual_seed, set_rng_state
from .tensor import (
    Function,
    Tensor,
    arange,
    cat,
    from_array,
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
from .training import Evaluation, History, evaluate, fit, predict
from .version import __version__

_METHODS = """
    abs argmax argmin clamp erf exp flatten log log1p log_softmax matmul max mean min mm norm permute relu reshape sigmoid softmax sqrt
    squeeze std sum tanh transpose unsqueeze var
""".split()  # noqa: SIM905


_DTYPES = {"bool": bool_, "short": int16, "int": int32, "long": int64, "float": float32, "double": float64}


def __getattr__(name: str) -> _Any:
    if name in _DTYPES:
        return _DTYPES[name]
    if name == "testing":  # it needs Hypothesis
        return _importlib.import_module(".testing", __name__)
    if name in _METHODS:  # torch.abs(x) is x.abs()
        return getattr(Tensor, name)
    if name in ("get_num_threads", "set_num_threads"):  # they live beside the kernels, which are not imported before they are needed
        return getattr(_importlib.import_module(".kernels.cpu.launch", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
