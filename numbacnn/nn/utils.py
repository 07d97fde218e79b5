"""What is done to layers from outside, under PyTorch's names."""

from __future__ import annotations

import copy

import numpy as np

from ..errors import ShapeError, message
from ..signatures import judged
from ..tensor import from_array
from .conv import Conv2d
from .norm import BatchNorm2d
from .parameter import Parameter

__all__ = ["fuse_conv_bn_eval"]


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
