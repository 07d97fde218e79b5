"""Functions of Tensors: the place where arguments are judged. Names, defaults and semantics are PyTorch's."""

from __future__ import annotations

from .activation import gelu, hardswish, log_softmax, relu, relu6, sigmoid, silu, softmax, softplus, tanh
from .conv import conv2d
from .dense import linear
from .dropout import dropout
from .loss import Reduction, binary_cross_entropy_with_logits, cross_entropy, mse_loss, nll_loss
from .norm import batch_norm
from .pool import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d

__all__ = [
    "Reduction",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "gelu",
    "hardswish",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]
