"""Sums and maxima of rows and columns, four elements a load, eight loads in flight.

A thread does the work of four of a block of ``kernels.cuda.simt.reduce``, whose sums keep their order: what was one thread there is a
*lane* here. Of a row each thread has whole quads of memory: every ``THREADS // 4``-th from the one in which the row begins, so the row may
begin and end anywhere. Where its first quad begins before the row, its lanes are counted from there, round the block.
"""

from numba import uint32

from ..driver import cuda, kernel
from ..simt.reduce import COLUMNS, LANES, MAX, THREADS, combine
from .wide import load4, store4

U = uint32

DEEP = 8


@cuda.jit(device=True, inline=True)
def four(v):
    return v, v, v, v


@cuda.jit(device=True, inline=True)
def combine4(op, s, v):
    return combine(op, s[0], v[0]), combine(op, s[1], v[1]), combine(op, s[2], v[2]), combine(op, s[3], v[3])


@cuda.jit(device=True, inline=True)
def inside(q, begin, end):
    """Which of the places q to q + 3 lie between these."""
    p, r, s = U(q + U(1)), U(q + U(2)), U(q + U(3))
    return q >= begin and q < end, p >= begin and p < end, r >= begin and r < end, s >= begin and s < end


@cuda.jit(device=True, inline=True)
def some4(x, q, begin, end):
    """x[q : q + 4]; in the place of what does not lie between these what lies at ``begin``."""
    if q >= begin and U(q + U(4)) <= end:
        return load4(x, q)
    m = inside(q, begin, end)
    return (
        x[q] if m[0] else x[begin],
        x[U(q + U(1))] if m[1] else x[begin],
        x[U(q + U(2))] if m[2] else x[begin],
        x[U(q + U(3))] if m[3] else x[begin],
    )


@cuda.jit(device=True, inline=True)
def either4(m, a, b):
    """Those of a where m, else those of b."""
    return a[0] if m[0] else b[0], a[1] if m[1] else b[1], a[2] if m[2] else b[2], a[3] if m[3] else b[3]


@cuda.jit(device=True, inline=True)
def first_quad(t, begin):
    """Where a thread's first quad lies, of a row that begins here."""
    return U(U(begin & U(0xFFFFFFFC)) + U(t * U(4)))


@cuda.jit(device=True, inline=True)
def tree(op, part, s, t, begin):
    """Combine the values of all lanes; every thread gets the result."""
    lane = U(first_quad(t, begin) - begin)
    part[U(lane & U(THREADS - 1))] = s[0]
    part[U(U(lane + U(1)) & U(THREADS - 1))] = s[1]
    part[U(U(lane + U(2)) & U(THREADS - 1))] = s[2]
    part[U(U(lane + U(3)) & U(THREADS - 1))] = s[3]
    cuda.syncthreads()
    half = U(THREADS // 2)
    while half > U(0):
        i = t
        while i < half:
            part[i] = combine(op, part[i], part[U(i + half)])
            i = U(i + U(THREADS // 4))
        cuda.syncthreads()
        half = U(half >> U(1))
    result = part[U(0)]
    cuda.syncthreads()  # nobody overwrites part[0] before all have read it
    return result


@cuda.jit(device=True, inline=True)
def fold(op, x, s, t, begin, end):
    """s and what a thread has of x[begin : end], combined."""
    deep = cuda.local.array((DEEP, 4), x.dtype)
    q = first_quad(t, begin)
    if q < begin and q < end:
        s = either4(inside(q, begin, end), combine4(op, s, some4(x, q, begin, end)), s)
        q = U(q + U(THREADS))
    while U(q + U(THREADS * (DEEP - 1) + 4)) <= end:
        for k in range(DEEP):
            deep[k, 0], deep[k, 1], deep[k, 2], deep[k, 3] = load4(x, U(q + U(k * THREADS)))
        for k in range(DEEP):
            s = combine4(op, s, (deep[k, 0], deep[k, 1], deep[k, 2], deep[k, 3]))
        q = U(q + U(DEEP * THREADS))
    while q < end:
        s = either4(inside(q, begin, end), combine4(op, s, some4(x, q, begin, end)), s)
        q = U(q + U(THREADS))
    return s


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
    begin = U(base + first)
    value = x.dtype.type(0)
    if op == MAX:
        value = x[begin]
    value = tree(op, part, fold(op, x, four(value), t, begin, U(base + last)), t, begin)
    if t == U(0):
        y[block] = value


@kernel
def reduce_columns(op, x, y, rows, cols, chunk):
    """x (rows, cols) -> y (slices, cols); slice s = blockIdx.y covers the rows from s * chunk. ``cols`` is a multiple of 4."""
    part = cuda.shared.array((LANES, COLUMNS), x.dtype)
    deep = cuda.local.array((DEEP, 4), x.dtype)
    t = U(cuda.threadIdx.x)
    lane = U(t // U(COLUMNS // 4))
    k = U(U(t - U(lane * U(COLUMNS // 4))) * U(4))
    c = U(U(U(cuda.blockIdx.x) * U(COLUMNS)) + k)
    first = U(U(cuda.blockIdx.y) * chunk)
    last = U(first + chunk)
    if last > rows:
        last = rows
    s = four(x.dtype.type(0))
    if c < cols:
        if op == MAX:
            s = load4(x, U(U(first * cols) + c))
        r = U(first + lane)
        while U(r + U(LANES * (DEEP - 1))) < last:
            for d in range(DEEP):
                deep[d, 0], deep[d, 1], deep[d, 2], deep[d, 3] = load4(x, U(U(U(r + U(d * LANES)) * cols) + c))
            for d in range(DEEP):
                s = combine4(op, s, (deep[d, 0], deep[d, 1], deep[d, 2], deep[d, 3]))
            r = U(r + U(DEEP * LANES))
        while r < last:
            s = combine4(op, s, load4(x, U(U(r * cols) + c)))
            r = U(r + U(LANES))
    for j in range(4):
        part[lane, U(k + U(j))] = s[j]
    cuda.syncthreads()
    half = U(LANES // 2)
    while half > U(0):
        if lane < half:
            for j in range(4):
                i = U(k + U(j))
                part[lane, i] = combine(op, part[lane, i], part[U(lane + half), i])
        cuda.syncthreads()
        half = U(half >> U(1))
    if lane == U(0) and c < cols:
        a, b, d, e = part[U(0), k], part[U(0), U(k + U(1))], part[U(0), U(k + U(2))], part[U(0), U(k + U(3))]
        store4(y, U(U(U(cuda.blockIdx.y) * cols) + c), a, b, d, e)
