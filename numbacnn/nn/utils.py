"""What is done to layers from outside, under PyTorch's names."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import numpy as np

from ..arguments import flag, number
from ..errors import ShapeError, message
from ..signatures import judged
from ..tensor import Tensor, cat, from_array, no_grad, stack
from .conv import Conv2d
from .norm import BatchNorm2d
from .parameter import Parameter

__all__ = ["clip_grad_norm_", "clip_grad_value_", "fuse_conv_bn_eval", "parameters_to_vector", "vector_to_parameters"]


@judged
def fuse_conv_bn_eval(conv: Conv2d, bn: BatchNorm2d) -> Conv2d:
    """A convolution that does what ``bn(conv(x))`` does in evaluation mode, but for rounding; the layers stay as they are.

    Raises:
        ValueError: where one of them is in training mode, or ``bn`` has no running statistics.
        ShapeError: where their channels differ.

    >>> import numbacnn as nc
    >>> conv, bn = nc.nn.Conv2d(3, 8, 3, bias=False).eval(), nc.nn.BatchNorm2d(8).eval()
    >>> fuse_conv_bn_eval(conv, bn).bias.shape
    (8,)
    """
    op = "fuse_conv_bn_eval"
    if not isinstance(conv, Conv2d) or not isinstance(bn, BatchNorm2d):
        raise TypeError(message(op, "a Conv2d and a BatchNorm2d", f"{type(conv).__name__} and {type(bn).__name__}"))
    if conv.training or bn.training:
        raise ValueError(message(op, "layers in evaluation mode", "training mode", "call eval()"))
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError(message(op, "a batch normalisation with running statistics", "track_running_stats=False"))
    if bn.num_features != conv.out_channels:
        raise ShapeError(message(op, f"{conv.out_channels} channels, as the convolution gives", f"{bn.num_features}"))
    mean, var = np.asarray(bn.running_mean, np.float64), np.asarray(bn.running_var, np.float64)
    weight = 1.0 if bn.weight is None else np.asarray(bn.weight, np.float64)
    bias, shift = (0.0 if t is None else np.asarray(t, np.float64) for t in (bn.bias, conv.bias))
    scale = weight / np.sqrt(var + bn.eps)
    moved = (shift - mean) * scale + bias
    fused, dtype = copy.deepcopy(conv), conv.weight.dtype
    kernels = np.asarray(conv.weight, np.float64) * scale.reshape(-1, 1, 1, 1)
    fused.weight = Parameter(from_array(kernels.astype(dtype), conv.weight.device), conv.weight.requires_grad)
    fused.bias = Parameter(from_array(moved.astype(dtype), conv.weight.device), conv.weight.requires_grad)
    return fused


def _tensors(op: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not all(isinstance(p, Tensor) for p in given):
        raise TypeError(message(op, "parameters that are Tensors", ", ".join(type(p).__name__ for p in given)))
    return given


def _gradients(op: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in _tensors(op, parameters) if p.grad is not None]


@judged
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients together, in place, so that their norm is at most ``max_norm``; returns the norm that they had.

    Args:
        parameters: one or several; those without a gradient do not count.
        max_norm: of all gradients as one vector.
        norm_type: p of the p-norm, above 0; infinity for the largest.
        error_if_nonfinite: raise where that norm is not finite, and leave the gradients.

    Raises:
        RuntimeError: ``error_if_nonfinite``, and it is not.

    >>> import numbacnn as nc
    >>> w = nc.zeros(2, requires_grad=True)
    >>> w.grad = nc.tensor([3.0, 4.0])
    >>> clip_grad_norm_(w, 1.0).item(), round(w.grad.norm().item(), 3)
    (5.0, 1.0)
    """
    op = "clip_grad_norm_"
    number(op, "max_norm", max_norm)
    number(op, "norm_type", 1 if norm_type == math.inf else norm_type, lambda v: v > 0, "above 0, or infinity")
    strict, gradients = flag(op, "error_if_nonfinite", error_if_nonfinite), _gradients(op, parameters)
    if not gradients:
        return from_array(np.zeros((), np.float32))
    with no_grad():
        if norm_type == math.inf:
            norm = stack([g.abs().max() for g in gradients]).max()
        elif norm_type == 2:
            norm = stack([(g * g).sum() for g in gradients]).sum().sqrt()
        else:
            norm = stack([(g.abs() ** norm_type).sum() for g in gradients]).sum() ** (1 / norm_type)
        if strict and not norm.isfinite().item():
            raise RuntimeError(message(op, "gradients with a finite norm", f"{norm.item()}"))
        scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        for g in gradients:
            g.mul_(scale)
    return norm


@judged
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Bound each element of the gradients, in place, by ``-clip_value`` and ``clip_value``."""
    number("clip_grad_value_", "clip_value", clip_value)
    with no_grad():
        for g in _gradients("clip_grad_value_", parameters):
            g.copy_(g.clamp(-float(clip_value), float(clip_value)))


@judged
def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector, in their order.

    >>> import numbacnn as nc
    >>> parameters_to_vector(nc.nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    return cat([p.reshape(-1) for p in _tensors("parameters_to_vector", parameters)])


@judged
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write a vector, as :func:`parameters_to_vector` gives it, into the parameters.

    Raises:
        ShapeError: where it has not as many elements as they have; nothing is written then.
    """
    given = _tensors("vector_to_parameters", parameters)
    total = sum(p.numel() for p in given)
    if vec.shape != (total,):
        raise ShapeError(message("vector_to_parameters", f"a vector ({total},)", f"shape {vec.shape}"))
    with no_grad():
        start = 0
        for p in given:
            p.copy_(vec[start : start + p.numel()].reshape(p.shape))
            start += p.numel()
