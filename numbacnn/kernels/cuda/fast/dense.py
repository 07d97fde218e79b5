"""The way back through an activation, with the gradient of the bias before it."""

from numba import uint32

from ..driver import cuda, kernel
from ..simt.reduce import COLUMNS, LANES
from .activation import slope

U = uint32

BANDS = 4  # slices of the rows that a block may sum at once: 1024 threads
LINES = BANDS * LANES


@cuda.jit(device=True, inline=True)
def add_lanes(part, band, lane, k):
    """part[band * LANES] = the sum of the band's lanes, by a tree."""
    cuda.syncthreads()
    half = U(LANES // 2)
    while half > U(0):
        if lane < half:
            at = U(U(band * U(LANES)) + lane)
            part[at, k] += part[U(at + half), k]
        cuda.syncthreads()
        half = U(half >> U(1))


@kernel
def channel_sums(op, grad, y, before, sums, one, rows, cols, chunk):
    """before (rows, cols) = the gradient ahead of the activation ``op`` of y, and its sums (slices, cols) over the rows from s * chunk.

    Without an activation (0) ``before`` stays as it is. The slices are those of ``simt.reduce.reduce_columns``, and their sums have its
    order. A block of several bands sums a slice by each and then adds them, as a second launch of that kernel would: sums (1, cols).
    ``one`` is 1: what is multiplied by it and added was rounded before, as what is stored.
    """
    part = cuda.shared.array((LINES, COLUMNS), grad.dtype)
    t = U(cuda.threadIdx.x)
    line = U(t // U(COLUMNS))
    k = U(t - U(line * U(COLUMNS)))
    band = U(line // U(LANES))
    lane = U(line - U(band * U(LANES)))
    c = U(U(U(cuda.blockIdx.x) * U(COLUMNS)) + k)
    first = U(U(U(cuda.blockIdx.y) + band) * chunk)
    last = U(first + chunk)
    if last > rows:
        last = rows
    zero = grad.dtype.type(0)
    value = zero
    if c < cols:
        r = U(first + lane)
        while r < last:
            i = U(U(r * cols) + c)
            v = grad[i]
            if op:
                v = slope(op, v, y[i])
                before[i] = v
            value = cuda.fma(v, one, value)
            r = U(r + U(LANES))
    part[line, k] = value
    add_lanes(part, band, lane, k)
    bands = U(U(cuda.blockDim.x) // U(COLUMNS * LANES))
    if bands > U(1):
        value = zero
        b = lane
        while b < bands:
            value += part[U(b * U(LANES)), k]
            b = U(b + U(LANES))
        cuda.syncthreads()
        if band == U(0):
            part[lane, k] = value
        add_lanes(part, band, lane, k)
    if line == U(0) and c < cols:
        sums[U(U(U(cuda.blockIdx.y) * cols) + c)] = part[U(0), k]
