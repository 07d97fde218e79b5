"""Class indices, judged where they lie."""

from numba import int64

from .driver import cuda, kernel


@kernel
def judge(labels, classes, ignores, ignored, out, fault, n):
    """out = labels, -1 in place of ``ignored`` where it ``ignores`` one, and 0 in place of another that is no class.

    ``fault[0]`` becomes 1 where there is such a label.
    """
    i = cuda.grid(1)
    if i < n:
        label = labels[i]
        if ignores and label == ignored:
            out[i] = -1
        elif label < 0 or label >= classes:
            fault[0] = 1
            out[i] = 0
        else:
            out[i] = int64(label)
