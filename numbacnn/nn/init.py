"""Initial values, PyTorch's names and formulas. Each function fills its tensor in place and returns it.

The numbers come from the library's generator as float32, in logical order, so that device, dtype and memory layout do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from statistics import NormalDist
from typing import Any

import numpy as np

from ..arguments import integer, number, one_of, probability
from ..errors import ShapeError, message
from ..random import generator
from ..signatures import judged
from ..tensor import Tensor, from_array, no_grad

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "fan_in_and_fan_out",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_GAINS = {
    **dict.fromkeys(("linear", *(f"conv{kind}{axes}d" for kind in ("", "_transpose") for axes in (1, 2, 3))), 1.0),
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "leaky_relu": 0.0,
    "selu": 0.75,
}


_skipped: ContextVar[bool] = ContextVar("skipped", default=False)


@contextmanager
def skipped() -> Iterator[None]:
    """Leave tensors as they are, and draw nothing: for a network whose weights come from elsewhere."""
    token = _skipped.set(True)
    try:
        yield
    finally:
        _skipped.reset(token)


def _fill(tensor: Tensor, values: Callable[[], np.ndarray]) -> Tensor:
    if _skipped.get():
        return tensor
    with no_grad():
        return tensor.copy_(from_array(values()).to(tensor.device).to(tensor.dtype))


@judged
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Numbers from U(a, b).

    >>> import numbacnn as nc
    >>> nc.nn.init.uniform_(nc.zeros(2, 3), -1.0, 1.0).shape
    (2, 3)
    """
    if not (a <= b and math.isfinite(b - a)):
        raise ValueError(message("uniform_", "finite bounds a <= b", f"a = {a!r} and b = {b!r}"))
    return _fill(tensor, lambda: generator().random(tensor.shape, dtype=np.float32) * np.float32(b - a) + np.float32(a))


@judged
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Numbers from N(mean, std^2)."""
    number("normal_", "mean", mean, math.isfinite, "that is finite")
    number("normal_", "std", std)
    return _fill(tensor, lambda: generator().standard_normal(tensor.shape, dtype=np.float32) * np.float32(std) + np.float32(mean))


@judged
def constant_(tensor: Tensor, val: float) -> Tensor:
    """``val`` everywhere."""
    return _fill(tensor, lambda: np.full(tensor.shape, val, np.float64))


@judged
def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


@judged
def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


@judged
def fan_in_and_fan_out(op: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs an output of a weight (out, in, ...) has, and how many outputs an input.

    The second is PyTorch's, which ignores groups: with g groups it is g times too large.

    >>> fan_in_and_fan_out("init", (6, 3, 5, 5))
    (75, 150)
    """
    if len(shape) < 2 or math.prod(shape) == 0:
        raise ShapeError(message(op, "a weight (out, in, ...) with at least two axes and one element", f"shape {shape}"))
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


@judged
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """What keeps the variance through a nonlinearity; ``param`` is the negative slope of 'leaky_relu' (0.01).

    >>> calculate_gain("tanh")
    1.6666666666666667
    """
    one_of("calculate_gain", "nonlinearity", nonlinearity, _GAINS)
    number("calculate_gain", "param", 0.01 if param is None else param, math.isfinite, "that is finite")
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + (0.01 if param is None else param) ** 2))
    return _GAINS[nonlinearity]


@judged
def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U(-b, b) with b = gain * sqrt(6 / (fan_in + fan_out)), after Glorot and Bengio (2010).

    Raises:
        ShapeError: where the tensor has fewer than two axes.
    """
    number("xavier_uniform_", "gain", gain)
    bound = gain * math.sqrt(6.0 / sum(fan_in_and_fan_out("xavier_uniform_", tensor.shape)))
    return uniform_(tensor, -bound, bound)


@judged
def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """N(0, s^2) with s = gain * sqrt(2 / (fan_in + fan_out)), after Glorot and Bengio (2010)."""
    number("xavier_normal_", "gain", gain)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fan_in_and_fan_out("xavier_normal_", tensor.shape))))


def _kaiming_std(op: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    one_of(op, "mode", mode, ("fan_in", "fan_out"))
    number(op, "a", a, math.isfinite, "that is finite")
    fan = fan_in_and_fan_out(op, tensor.shape)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


@judged
def kaiming_uniform_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """U(-b, b) with b = gain * sqrt(3 / fan), after He et al. (2015); ``a`` is the slope of 'leaky_relu'.

    The fan_out of a weight with groups is as :func:`kaiming_normal_` says.
    """
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


@judged
def kaiming_normal_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """N(0, s^2) with s = gain / sqrt(fan), after He et al. (2015); ``a`` is the slope of 'leaky_relu'.

    As in PyTorch, ``mode="fan_out"`` ignores groups: for a weight with g groups, as a depthwise one, s is sqrt(g) times too
    small. Use "fan_in", or multiply the weight by sqrt(g).

    >>> import numbacnn as nc
    >>> depthwise = kaiming_normal_(nc.zeros(512, 1, 3, 3), mode="fan_out", nonlinearity="relu")  # s = sqrt(2 / (512 * 9)) = 0.02
    >>> depthwise = kaiming_normal_(nc.zeros(512, 1, 3, 3), mode="fan_in", nonlinearity="relu")  # s = sqrt(2 / 9) = 0.47
    """
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity))


@judged
def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Numbers from N(mean, std^2) that lie in [a, b]: others are drawn anew.

    >>> import numbacnn as nc
    >>> bool((nc.nn.init.trunc_normal_(nc.zeros(100), b=0.0) <= 0).all())
    True
    """
    number("trunc_normal_", "mean", mean, math.isfinite, "that is finite")
    number("trunc_normal_", "std", std, lambda v: v > 0, "above 0")
    if not a < b:
        raise ValueError(message("trunc_normal_", "bounds a < b", f"a = {a!r} and b = {b!r}"))
    low, high = ((1 + math.erf((v - mean) / std / math.sqrt(2))) / 2 for v in (a, b))
    if not low < high:
        raise ValueError(message("trunc_normal_", "bounds between which normal numbers lie", f"a = {a!r} and b = {b!r}"))
    inverse = NormalDist().inv_cdf

    def values() -> np.ndarray:
        shares = np.clip(low + (high - low) * generator().random(tensor.shape), 1e-300, 1 - 1e-16)
        return np.clip(np.vectorize(inverse, otypes=[np.float64])(shares) * std + mean, a, b).astype(np.float32)

    return _fill(tensor, values)


@judged
def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """An orthogonal matrix (out, in * ...) times ``gain``, drawn evenly from all; after Saxe, McClelland and Ganguli (2014).

    Raises:
        ShapeError: where the tensor has fewer than two axes.

    >>> import numbacnn as nc
    >>> w = nc.nn.init.orthogonal_(nc.zeros(2, 3))
    >>> bool(((w @ w.T - nc.eye(2)).abs() < 1e-6).all())
    True
    """
    number("orthogonal_", "gain", gain, math.isfinite, "that is finite")
    fan_in_and_fan_out("orthogonal_", tensor.shape)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])

    def values() -> np.ndarray:
        q, r = np.linalg.qr(generator().standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))  # else not all orthogonal matrices would be as likely
        return (gain * (q.T if rows < columns else q)).reshape(tensor.shape).astype(np.float32)

    return _fill(tensor, values)


def _matrix(op: str, tensor: Tensor) -> None:
    if tensor.ndim != 2:
        raise ShapeError(message(op, "a matrix", f"shape {tensor.shape}"))


@judged
def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, 0 elsewhere.

    Raises:
        ShapeError: where the tensor is no matrix.
    """
    _matrix("eye_", tensor)
    return _fill(tensor, lambda: np.eye(tensor.shape[0], tensor.shape[1]))


@judged
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The weight (out, in, ...) of a convolution that gives its input's channels as they are, as many as there are, in each group.

    Raises:
        ShapeError: where the tensor has not three to five axes.
        ValueError: where the outputs can't be cut in so many groups.
    """
    if not 3 <= tensor.ndim <= 5:
        raise ShapeError(message("dirac_", "a weight (out, in, ...) of three to five axes", f"shape {tensor.shape}"))
    integer("dirac_", "groups", groups)
    if tensor.shape[0] % groups:
        raise ValueError(message("dirac_", "groups that divide the outputs", f"{groups} groups of {tensor.shape[0]}"))

    def values() -> np.ndarray:
        found, each = np.zeros(tensor.shape), tensor.shape[0] // groups
        middle = tuple(size // 2 for size in tensor.shape[2:])
        for i in range(min(each, tensor.shape[1])):
            at: tuple[Any, ...] = (slice(i, None, each), i, *middle)
            found[at] = 1
        return found

    return _fill(tensor, values)


@judged
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """Numbers from N(0, std^2), and 0 for the share ``sparsity`` of each column of a matrix; after Martens (2010).

    Raises:
        ShapeError: where the tensor is no matrix.
        ValueError: where ``sparsity`` is no share, or ``std`` is below 0.
    """
    _matrix("sparse_", tensor)
    probability("sparse_", "sparsity", sparsity)
    number("sparse_", "std", std)

    def values() -> np.ndarray:
        found = generator().standard_normal(tensor.shape, dtype=np.float32) * np.float32(std)
        order = generator().random(tensor.shape).argsort(0)
        np.put_along_axis(found, order[: math.ceil(sparsity * tensor.shape[0])], 0, 0)
        return found

    return _fill(tensor, values)


def default_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's default for convolutions and linear layers: both from U(-b, b) with b = 1 / sqrt(fan_in)."""
    kaiming_uniform_(weight, math.sqrt(5.0))
    if bias is not None:
        bound = 1.0 / math.sqrt(fan_in_and_fan_out("init", weight.shape)[0])
        uniform_(bias, -bound, bound)
