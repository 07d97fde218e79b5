"""What each operation means, in plain NumPy: the oracle that the kernels are tested against.

The functions mirror the methods of ``backends.base.Backend``, for any number of axes: one loop over the taps of the kernel, or over the
windows, in the dtype of the inputs. So small integers are exact, and float64 is an oracle for the rest.
"""

from .conv import conv_forward, conv_grad_input, conv_grad_weight
from .norm import batch_norm
from .pool import (
    adaptive_avg_pool_backward,
    adaptive_avg_pool_forward,
    avg_pool_backward,
    avg_pool_forward,
    max_pool_backward,
    max_pool_forward,
)

__all__ = [
    "adaptive_avg_pool_backward",
    "adaptive_avg_pool_forward",
    "avg_pool_backward",
    "avg_pool_forward",
    "batch_norm",
    "conv_forward",
    "conv_grad_input",
    "conv_grad_weight",
    "max_pool_backward",
    "max_pool_forward",
]
