"""Sums, maxima, softmax and cross-entropy: a thread block per row (or per band of columns), combined by a tree in shared memory.

The order of every sum depends on the shape alone.
"""

from numba import int32, uint32

from .driver import cuda, exp, log

I = int32
U = uint32

THREADS = 128  # of a block that reduces a row; a power of two
COLUMNS, LANES = 32, 8  # a block that reduces columns: a warp's width, and how many rows it reads at once (a power of two)

SUM, MAX = 0, 1


@cuda.jit(device=True, inline=True)
def combine(op, a, b):
    if op == SUM:
        return a + b
    return a if a > b or a != a else b  # a NaN on either side wins


@cuda.jit(device=True, inline=True)
def tree(op, part, value, t):
    """Combine the values of all threads; every thread gets the result."""
    part[t] = value
    cuda.syncthreads()
    half = U(THREADS // 2)
    while half > U(0):
        if t < half:
            part[t] = combine(op, part[t], part[U(t + half)])
        cuda.syncthreads()
        half = U(half >> U(1))
    result = part[U(0)]
    cuda.syncthreads()  # nobody overwrites part[0] before all have read it
    return result


@cuda.jit
def reduce_rows(op, x, y, cols, chunk, slices):
    """x (rows, cols) -> y (rows, slices); slice s covers the columns from s * chunk."""
    part = cuda.shared.array(THREADS, x.dtype)
    t = U(cuda.threadIdx.x)
    block = U(cuda.blockIdx.x)
    row = U(block // slices)
    first = U(U(block - U(row * slices)) * chunk)
    last = U(first + chunk)
    if last > cols:
        last = cols
    base = U(row * cols)
    value = x.dtype.type(0)
    if op == MAX:
        value = x[U(base + first)]
    i = U(first + t)
    while i < last:
        value = combine(op, value, x[U(base + i)])
        i = U(i + U(THREADS))
    value = tree(op, part, value, t)
    if t == U(0):
        y[block] = value


@cuda.jit
def reduce_columns(op, x, y, rows, cols, chunk):
    """x (rows, cols) -> y (slices, cols); slice s = blockIdx.y covers the rows from s * chunk."""
    part = cuda.shared.array((LANES, COLUMNS), x.dtype)
    t = U(cuda.threadIdx.x)
    lane = U(t // U(COLUMNS))
    k = U(t - U(lane * U(COLUMNS)))
    c = U(U(U(cuda.blockIdx.x) * U(COLUMNS)) + k)
    first = U(U(cuda.blockIdx.y) * chunk)
    last = U(first + chunk)
    if last > rows:
        last = rows
    value = x.dtype.type(0)
    if c < cols:
        if op == MAX:
            value = x[U(U(first * cols) + c)]
        r = U(first + lane)
        while r < last:
            value = combine(op, value, x[U(U(r * cols) + c)])
            r = U(r + U(LANES))
    part[lane, k] = value
    cuda.syncthreads()
    half = U(LANES // 2)
    while half > U(0):
        if lane < half:
            part[lane, k] = combine(op, part[lane, k], part[U(lane + half), k])
        cuda.syncthreads()
        half = U(half >> U(1))
    if lane == U(0) and c < cols:
        y[U(U(U(cuda.blockIdx.y) * cols) + c)] = part[U(0), k]


@cuda.jit(device=True, inline=True)
def beats(a, i, b, j):
    """Whether element (a, i) goes before (b, j) as the maximum: NaN first, then the greater, then the earlier."""
    if a != a and b != b:
        return i < j
    return a > b or (a != a) or (a == b and i < j)


@cuda.jit
def argmax_rows(x, y, cols):
    """x (rows, cols) -> y (rows,) int64: where each row's maximum lies."""
    best = cuda.shared.array(THREADS, x.dtype)
    where = cuda.shared.array(THREADS, I)
    t = U(cuda.threadIdx.x)
    base = U(U(cuda.blockIdx.x) * cols)
    best[t] = x[base]
    where[t] = I(0)
    i = t
    while i < cols:
        if beats(x[U(base + i)], I(i), best[t], where[t]):
            best[t] = x[U(base + i)]
            where[t] = I(i)
        i = U(i + U(THREADS))
    cuda.syncthreads()
    half = U(THREADS // 2)
    while half > U(0):
        if t < half:
            o = U(t + half)
            if beats(best[o], where[o], best[t], where[t]):
                best[t] = best[o]
                where[t] = where[o]
        cuda.syncthreads()
        half = U(half >> U(1))
    if t == U(0):
        y[U(cuda.blockIdx.x)] = where[U(0)]


@cuda.jit(device=True, inline=True)
def row_max(part, x, base, cols, t):
    value = x[base]
    i = t
    while i < cols:
        value = combine(MAX, value, x[U(base + i)])
        i = U(i + U(THREADS))
    return tree(MAX, part, value, t)


@cuda.jit(device=True, inline=True)
def row_exp_sum(part, x, top, base, cols, t):
    value = x.dtype.type(0)
    i = t
    while i < cols:
        value += exp(x[U(base + i)] - top)
        i = U(i + U(THREADS))
    return tree(SUM, part, value, t)


@cuda.jit
def softmax_rows(logarithm, x, y, cols):
    """x (rows, cols) -> y: softmax of each row, or its logarithm."""
    part = cuda.shared.array(THREADS, x.dtype)
    t = U(cuda.threadIdx.x)
    base = U(U(cuda.blockIdx.x) * cols)
    top = row_max(part, x, base, cols, t)
    total = row_exp_sum(part, x, top, base, cols, t)
    i = t
    while i < cols:
        v = x[U(base + i)] - top
        if logarithm:
            y[U(base + i)] = v - log(total)
        else:
            y[U(base + i)] = exp(v) / total
        i = U(i + U(THREADS))


@cuda.jit
def softmax_backward_rows(logarithm, grad, y, out, cols):
    """grad, y (rows, cols) -> out: y (g - sum(g y)), or of the logarithm g - exp(y) sum(g)."""
    part = cuda.shared.array(THREADS, y.dtype)
    t = U(cuda.threadIdx.x)
    base = U(U(cuda.blockIdx.x) * cols)
    value = y.dtype.type(0)
    i = t
    while i < cols:
        g = grad[U(base + i)]
        value += g if logarithm else g * y[U(base + i)]
        i = U(i + U(THREADS))
    total = tree(SUM, part, value, t)
    i = t
    while i < cols:
        g = grad[U(base + i)]
        v = y[U(base + i)]
        if logarithm:
            out[U(base + i)] = g - exp(v) * total
        else:
            out[U(base + i)] = v * (g - total)
        i = U(i + U(THREADS))


@cuda.jit
def cross_entropy_forward(x, labels, smoothing, losses, softmax, cols):
    """Logits x (rows, cols), labels (rows,) -> losses (rows,), softmax (rows, cols). The target is (1 - s) onehot + s / cols."""
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
        true = x[U(base + U(labels[row]))] - top
        loss = log(total) - true
        if smoothing > x.dtype.type(0):  # else a logit of -inf would make NaN of zero
            loss += smoothing * (true - even / x.dtype.type(cols))
        losses[row] = loss


@cuda.jit
def cross_entropy_backward(grad, softmax, labels, smoothing, out, cols, n):
    """grad (rows,), softmax (rows, cols) -> out = grad (softmax - target); one thread per element."""
    i = U(cuda.grid(1))
    if i < n:
        row = U(i // cols)
        one = softmax.dtype.type(1)
        target = smoothing / softmax.dtype.type(cols)
        if U(i - U(row * cols)) == U(labels[row]):
            target += one - smoothing
        out[i] = grad[row] * (softmax[i] - target)
