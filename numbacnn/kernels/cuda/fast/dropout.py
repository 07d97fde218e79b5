"""Dropout of four elements in one access, with the numbers of ``kernels.cuda.dropout``."""

from numba import uint32

from ..driver import cuda, kernel
from ..dropout import draw
from .wide import read4, write4

U = uint32


@kernel
def dropout(x, low, high, threshold, scale, y, size, groups):
    """y = x * scale where an element's number is at least threshold, else x * 0; x and y are flat."""
    group = U(cuda.grid(1))
    if group < groups:
        i = U(U(4) * group)
        left = U(size - i)
        a, b, c, d = draw(group, low, high)
        p, q, r, s = read4(x, i, 1, left)
        zero = x.dtype.type(0)
        p *= scale if U(a) >= threshold else zero
        q *= scale if U(b) >= threshold else zero
        r *= scale if U(c) >= threshold else zero
        s *= scale if U(d) >= threshold else zero
        write4(y, i, left, p, q, r, s)
