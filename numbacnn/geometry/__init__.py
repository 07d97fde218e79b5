"""Windows: where they lie, how many there are, and which sizes make no sense.

The only place where the shapes of convolution and pooling are judged. Pure integers: no arrays, no devices. A convolution or a pooling is
a batch, channels and one to three axes; an ``Axis`` knows its windows, forward and in the gradient. A geometry is frozen and hashable, so
that kernels can cache what they derive from it.
"""

from .axis import Axis, Taps, in_front, output_size
from .conv import ConvGeometry, Padding
from .pool import AdaptivePoolGeometry, AdaptiveSize, PoolGeometry, adaptive_size

__all__ = [
    "AdaptivePoolGeometry",
    "AdaptiveSize",
    "Axis",
    "ConvGeometry",
    "Padding",
    "PoolGeometry",
    "Taps",
    "adaptive_size",
    "in_front",
    "output_size",
]
