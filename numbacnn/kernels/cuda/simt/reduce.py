"""Sums and maxima: a thread block per row (or per band of columns), combined by a tree in shared memory.

The order of every sum depends on the shape alone.
"""

from numba import int32, uint32

from ..driver import cuda, kernel

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


@kernel
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


@kernel
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


@kernel
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
