"""Cross entropy of logits and labels: a thread block per row, and its gradient, a thread per element."""

from numba import int32, uint32

from ..driver import cuda, exp, kernel, log
from .reduce import SUM, THREADS, tree
from .softmax import row_exp_sum, row_max

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
    base = U(row * cols)
    top = row_max(part, x, base, cols, t)
    total = row_exp_sum(part, x, top, base, cols, t)
    even = x.dtype.type(0)
    i = t
    while i < cols:
        v = x[U(base + i)] - top
        softmax[U(base + i)] = exp(v) / total
        even += v
        i = U(i + U(THREADS))
    even = tree(SUM, part, even, t)
    if t == U(0):
        # log p = v - log(total): the log leaves the weighted sum of the v because the targets add up to one
        label = I(labels[row])
        loss, count = x.dtype.type(0), x.dtype.type(0)
        if label >= I(0):
            count = x.dtype.type(1)
            true = x[U(base + U(label))] - top
            loss = log(total) - true
            if smoothing > x.dtype.type(0):  # else a logit of -inf would make NaN of zero
                loss += smoothing * (true - even / x.dtype.type(cols))
        losses[row] = loss
        losses[U(U(cuda.gridDim.x) + row)] = count


@kernel
def cross_entropy_backward(grad, softmax, labels, smoothing, out, cols, n):
    """grad (rows,), softmax (rows, cols) -> out = grad (softmax - target), 0 where the label is -1; one thread per element."""
    i = U(cuda.grid(1))
    if i < n:
        row = U(i // cols)
        one = softmax.dtype.type(1)
        target = smoothing / softmax.dtype.type(cols)
        label = I(labels[row])
        if U(i - U(row * cols)) == U(label):
            target += one - smoothing
        out[i] = grad[row] * (softmax[i] - target) if label >= I(0) else softmax.dtype.type(0)
