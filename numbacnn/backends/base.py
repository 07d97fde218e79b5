"""The complete list of array operations that a device must have.

A device is one class with these methods, made of a class for each family of them, in a file that has the same name on every device.
Arrays are the device's own (``numpy.ndarray`` on the CPU, ``backends.cuda.CudaArray`` on CUDA); every array has ``.shape``, ``.dtype``,
``.ndim`` and ``.size``, logical axes (N, C, ...), and memory that is channels-last where the backend made it. Inputs may have any
strides. Shapes and dtypes were judged by the caller: a backend checks nothing, allocates the result, picks a kernel and launches it.

Pointwise operations take arrays of one dtype, or Python scalars that are already of that kind, and broadcast like NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..errors import message
from ..geometry import AdaptivePoolGeometry, ConvGeometry, PoolGeometry
from .own import Kernel

__all__ = ["Array", "Backend", "NotFinite", "bad_labels"]

Array: TypeAlias = Any
"""An array of the backend's own kind."""


def bad_labels(op: str, classes: int, labels: np.ndarray) -> ValueError:
    """The error of class indices that are out of range."""
    return ValueError(message(op, f"labels between 0 and {classes - 1}", f"labels between {labels.min()} and {labels.max()}"))


class NotFinite(FloatingPointError):
    """A value that must be finite is not."""


class Backend(Protocol):
    """What a device can do. BINARY and COMPARISON of ``names`` are the arguments of the two methods of these names."""

    name: str
    simulated: bool  # kernels run as Python, thread by thread: for small sizes only

    # -- arrays ------------------------------------------------------------------------------------------------------
    def from_numpy(self, a: np.ndarray) -> Array: ...  # may share memory on the CPU
    def to_numpy(self, x: Array) -> np.ndarray: ...  # may share memory on the CPU
    def full(self, shape: Sequence[int], value: float, dtype: Any) -> Array: ...
    def copy(self, x: Array) -> Array: ...  # keeps the layout
    def astype(self, x: Array, dtype: Any) -> Array: ...  # always a copy
    def item(self, x: Array) -> float | int | bool: ...  # of a one-element array

    # -- views: share memory where they can ----------------------------------------------------------------------------
    def reshape(self, x: Array, shape: Sequence[int]) -> Array: ...  # logical C order; copies where the strides demand it
    def transpose(self, x: Array, axes: Sequence[int]) -> Array: ...
    def broadcast_to(self, x: Array, shape: Sequence[int]) -> Array: ...
    def diagonal(self, x: Array, offset: int) -> Array: ...  # of the first two axes, as the last one
    def shares_memory(self, x: Array, y: Array) -> bool: ...
    def is_dense(self, x: Array, order: Sequence[int]) -> bool: ...  # whether the axes lie in memory in this order, without gaps

    # -- what has no kernel: a function of NumPy's that writes into its last argument, a new array; on the host, wherever arrays lie
    def by_numpy(self, function: Callable[..., Any], args: Sequence[Any], shape: Sequence[int], dtype: Any) -> Array: ...

    # -- for kernels and libraries of the user's own: memory as it is -------------------------------------------------------
    def dense(self, shape: Sequence[int], dtype: Any, order: Sequence[int]) -> Array: ...  # uninitialised; the axes lie in this order
    def memory(self, x: Array, order: Sequence[int]) -> Any: ...  # for Numba: C-contiguous, x's axes in this order; else a copy
    def borrow(self, array: Any) -> Array: ...  # another library's array on this device; shares its memory, if that can be written to
    def launch(self, kernel: Any, args: Sequence[Any], grid: tuple[int, ...], block: tuple[int, ...]) -> None: ...  # a user's
    def dlpack_device(self) -> tuple[int, int]: ...
    def dlpack(self, x: Array, stream: int | None, version: tuple[int, int] | None, copied: bool) -> Any: ...  # a capsule
    def from_dlpack(self, source: Any) -> Array: ...  # of what offers __dlpack__ and lies on this device

    # -- parameters, and their moments: the array, or a copy in the order of memory that kernels read a weight in
    def parameter(self, x: Array) -> Array: ...
    def lay(self, x: Array, order: Sequence[int]) -> None: ...  # let a parameter lie in this order, if it can and nobody has a view of it

    # -- weights that a layer uses without a gradient: what kernels make of one may be kept until it is written to ---------
    def lock(self, holder: Any) -> None: ...  # ``holder.array`` is used now, and again later: it may be kept prepared
    def unlock(self, x: Array) -> None: ...  # somebody is about to write to x, a weight or a view of one; all writes call it
    def writable(self, x: Array) -> bool: ...  # False for a view that repeats elements

    def empty_cache(self) -> None: ...  # gives memory that is kept for later back
    def synchronize(self) -> None: ...  # waits for all launched work

    # -- pointwise -----------------------------------------------------------------------------------------------------
    # ``name``: of the table, logical_not, or a ufunc of NumPy's, which CUDA leaves to the host; BINARY of ``names``, or such a ufunc
    def unary(self, name: str, x: Array) -> Array: ...
    def unary_backward(self, name: str, grad: Array, saved: Array) -> Array: ...  # its gradient; ``saved`` is x or y, as the table says
    def binary(self, name: str, a: Array | float, b: Array | float) -> Array: ...
    def compare(self, name: str, a: Array | float, b: Array | float) -> Array: ...  # bool
    def where(self, condition: Array, a: Array | float, b: Array | float) -> Array: ...

    # -- index: ints, slices, None, Ellipsis (a view); integer or boolean arrays as NumPy arrays (a copy) -----------
    def getitem(self, x: Array, index: Any) -> Array: ...
    def setitem(self, x: Array, index: Any, value: Array | float) -> None: ...  # in place; broadcasts value
    def add_at(self, x: Array, index: Any, value: Array) -> None: ...  # in place; repeated indices add up
    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array: ...

    # -- reduce: in a fixed order ------------------------------------------------------------------------------------
    def sum(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array: ...
    def max(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array: ...  # NaN wins
    def min(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array: ...  # NaN wins
    def argmax(self, x: Array, axis: int) -> Array: ...  # int64; the first of equals; NaN wins
    def argmin(self, x: Array, axis: int) -> Array: ...  # the same
    def softmax(self, x: Array, axis: int) -> Array: ...
    def softmax_backward(self, grad: Array, y: Array, axis: int) -> Array: ...
    def log_softmax(self, x: Array, axis: int) -> Array: ...
    def log_softmax_backward(self, grad: Array, y: Array, axis: int) -> Array: ...

    def channel_sum(self, grad: Array) -> Array: ...  # (N, C, ...) -> (C,): the gradient of a bias

    # -- dense -----------------------------------------------------------------------------------------------------------
    def matmul(self, a: Array, b: Array) -> Array: ...  # (M, K) @ (K, N), or (B, M, K) @ (B, K, N)
    # x (N, I), or (N, C, H, W) flattened in logical order; w (O, I)
    def linear_forward(self, x: Array, w: Array, b: Array | None, activation: str = ...) -> Array: ...  # -> (N, O)
    def linear_grad_input(self, grad: Array, w: Array, shape: Sequence[int]) -> Array: ...  # -> x's shape
    def linear_grad_weight(self, grad: Array, x: Array) -> Array: ...  # -> (O, I), C-ordered
    def activation_backward(
        self, activation: str, grad: Array, y: Array
    ) -> tuple[Array, Array]: ...  # the gradient before it; its channel_sum
    def average_backward(
        self, activation: str, grad: Array, y: Array, geometry: PoolGeometry
    ) -> tuple[Array, Array]: ...  # the same, of what avg_pool_forward made of y

    # -- conv: x (N, C, ...), w (OC, C/groups, ...), one to three axes --------------------------------------------------
    algorithms: tuple[str, ...]  # the names of the ways to convolve, special ones first: see ``choice``

    # ``kept``: w is used without a gradient, so what is made of it may be kept
    def conv_forward(
        self, x: Array, w: Array, b: Array | None, geometry: ConvGeometry, activation: str = ..., kept: bool = ...
    ) -> Array: ...
    def conv_grad_input(self, grad: Array, w: Array, geometry: ConvGeometry) -> Array: ...
    def conv_grad_weight(self, grad: Array, x: Array, geometry: ConvGeometry) -> Array: ...  # lies as a parameter

    # -- pool: x (N, C, ...), one to three axes ------------------------------------------------------------------------------
    def max_pool_forward(
        self, x: Array, geometry: PoolGeometry
    ) -> tuple[Array, Array]: ...  # y, and where each maximum is, int32: its place among all pixels
    def max_pool_backward(self, grad: Array, index: Array, geometry: PoolGeometry) -> Array: ...
    def avg_pool_forward(self, x: Array, geometry: PoolGeometry) -> Array: ...
    def avg_pool_backward(self, grad: Array, geometry: PoolGeometry) -> Array: ...

    def adaptive_avg_pool_forward(self, x: Array, geometry: AdaptivePoolGeometry) -> Array: ...
    def adaptive_avg_pool_backward(self, grad: Array, geometry: AdaptivePoolGeometry) -> Array: ...

    # -- own: a user's kernel as what ``choice.in_front`` takes. TypeError where a function is no kernel of this device
    def own(self, kernel: Kernel) -> Any: ...

    # -- norm: x (N, C, ...), all else (C,) -----------------------------------------------------------------------
    def batch_norm_forward(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        running_mean: Array | None,
        running_var: Array | None,
        training: bool,
        momentum: float | None,
        eps: float,
        tracked: Array | None = None,
    ) -> tuple[Array, Array, Array]: ...  # y, mean, 1 / sqrt(var + eps): the batch's where ``training``, and the running ones move
    # by the share momentum; without one to the average of all batches, of which there were ``tracked`` (), counted up where it is given
    def batch_norm_backward(
        self, grad: Array, x: Array, weight: Array | None, mean: Array, invstd: Array, training: bool, needs: tuple[bool, ...]
    ) -> tuple[Array | None, Array | None, Array | None]: ...  # of x, weight and bias, where needed

    # -- dropout: x * scale where an element's number, of Philox 4x32-10 under a key of two uint32, is at least threshold; else x * 0.
    # Elements are numbered as they lie in memory, channels last for three to five axes
    def dropout(self, x: Array, key: np.ndarray, threshold: int, scale: float) -> Array: ...

    # -- class indices (...) of any integer dtype as an int64 copy, in range; -1 in place of the label that is ``ignored``. ValueError in
    # the name of ``op`` where one is out of range: at once, or where waiting for the device would cost, at the next point that reads a
    # result
    def class_indices(self, op: str, labels: Array, classes: int, ignored: int | None = ...) -> Array: ...

    # -- loss: logits (N, K), labels (N,) int64 in range, or -1 for a row that has no loss ------------------------------------
    def cross_entropy_forward(
        self, logits: Array, labels: Array, smoothing: float
    ) -> tuple[Array, Array]: ...  # (2, N): the losses, and 1 where there is one or 0; softmax
    def cross_entropy_backward(self, grad: Array, softmax: Array, labels: Array, smoothing: float) -> Array: ...  # grad (N,) or ()

    # NotFinite, with the value, where one element is not finite; where waiting for the device would cost, who reads it sees that
    def require_finite(self, x: Array) -> None: ...

    # -- optim: in place, on all parameters of one dtype; each has a place in every sequence ------------------------------
    def sgd_step(
        self,
        ws: Sequence[Array],
        grads: Sequence[Array],
        velocities: Sequence[Array] | None,
        firsts: Sequence[bool],
        rates: np.ndarray,
    ) -> None: ...  # as torch.optim.SGD; at its first step a velocity starts as the gradient; without velocities there is no momentum
    # rates, float64: learning rate, momentum, dampening, weight decay, and 1 for Nesterov's momentum
    def adam_step(
        self,
        ws: Sequence[Array],
        grads: Sequence[Array],
        ms: Sequence[Array],
        vs: Sequence[Array],
        steps: np.ndarray,
        rates: np.ndarray,
        decoupled: bool,
    ) -> None: ...  # as torch.optim.Adam, or AdamW where ``decoupled``; ``steps``, int64, count from 1

    # rates, float64: learning rate, beta1, beta2, eps and weight decay
