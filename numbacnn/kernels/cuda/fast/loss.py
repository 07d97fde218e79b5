"""Cross entropy of logits and labels, four elements a load: sums in the order of ``simt.loss``."""

from numba import int32, uint32

from ..driver import cuda, kernel, log
from ..simt.reduce import SUM, THREADS
from .reduce import either4, first_quad, four, inside, some4, tree
from .softmax import exp4, less4, over4, row_exp_sum, row_max, write_some4
from .wide import add4, read4, write4

I = int32
U = uint32


@kernel
def cross_entropy_forward(x, labels, smoothing, losses, softmax, cols):
    """Logits x (rows, cols), labels (rows,) -> losses (2, rows), softmax (rows, cols). The target is (1 - s) onehot + s / cols.

    The second row of the losses says which there are: 1, or 0 where the label is -1.
    """
    part = cuda.shared.array(THREADS, x.dtype)
    t = U(cuda.threadIdx.x)
    row = U(cuda.blockIdx.x)
    begin = U(row * cols)
    end = U(begin + cols)
    top = row_max(part, x, t, begin, end)
    total = row_exp_sum(part, x, top, t, begin, end)
    even = four(x.dtype.type(0))
    q = first_quad(t, begin)
    while q < end:
        v = less4(some4(x, q, begin, end), top)
        write_some4(softmax, q, begin, end, over4(exp4(v), total))
        even = either4(inside(q, begin, end), add4(even, v), even)
        q = U(q + U(THREADS))
    mean = tree(SUM, part, even, t, begin) / x.dtype.type(cols)
    if t == U(0):
        label = I(labels[row])
        loss, count = x.dtype.type(0), x.dtype.type(0)
        if label >= I(0):
            count = x.dtype.type(1)
            true = x[U(begin + U(label))] - top
            loss = log(total) - true
            if smoothing > x.dtype.type(0):  # else a logit of -inf would make NaN of zero
                loss += smoothing * (true - mean)
        losses[row] = loss
        losses[U(U(cuda.gridDim.x) + row)] = count


@cuda.jit(device=True, inline=True)
def back(grad, p, labels, smoothing, cols, i):
    """grad (softmax - target) of the i-th element, whose softmax is p; 0 where the label is -1."""
    row = U(i // cols)
    one = grad.dtype.type(1)
    target = smoothing / grad.dtype.type(cols)
    label = I(labels[row])
    if U(i - U(row * cols)) == U(label):
        target += one - smoothing
    return grad[row] * (p - target) if label >= I(0) else grad.dtype.type(0)


@kernel
def cross_entropy_backward(grad, softmax, labels, smoothing, out, cols, n):
    """grad (rows,), softmax (rows, cols) -> out = grad (softmax - target)."""
    i = U(U(cuda.grid(1)) * U(4))
    if i < n:
        left = U(n - i)
        p, q, r, s = read4(softmax, i, 1, left)
        # beyond the end, as read4 has it: what does not exist is made of what does
        p = back(grad, p, labels, smoothing, cols, i)
        q = back(grad, q, labels, smoothing, cols, U(i + U(1)) if left > U(1) else i)
        r = back(grad, r, labels, smoothing, cols, U(i + U(2)) if left > U(2) else i)
        s = back(grad, s, labels, smoothing, cols, U(i + U(3)) if left > U(3) else i)
        write4(out, i, left, p, q, r, s)
