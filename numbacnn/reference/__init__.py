"""What each operation means, in plain NumPy: the oracle that the kernels are tested against.

The functions mirror the methods of ``backends.base.Backend``: one loop over the taps of the kernel, in the dtype of the inputs. So small
integers are exact, and float64 is an oracle for the rest.
"""

from .conv import conv2d_forward, conv2d_grad_input, conv2d_grad_weight
from .norm import batch_norm
from .pool import (
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool2d_forward,
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)

__all__ = [
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm",
    "conv2d_forward",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "max_pool2d_backward",
    "max_pool2d_forward",
]
