"""Class indices, judged where they lie."""

from numba import int64

from .driver import cuda, kernel


@kernel
def judge(labels, classes, out, fault, n):
    """out = labels, and 0 in place of one that is no class; ``fault[0]`` becomes 1 where there is such a label."""
    i = cuda.grid(1)
    if i < n:
        label = labels[i]
        if label < 0 or label >= classes:
            fault[0] = 1
            out[i] = 0
        else:
            out[i] = int64(label)
