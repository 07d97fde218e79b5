"""Batch normalisation of channels-last memory (rows, cols): a row is a pixel, a column a channel.

Statistics are taken as in Welford, "Note on a method for calculating corrected sums of squares and products" (1962), and joined as in
Chan, Golub and LeVeque (1983): first by the threads of a block, which share a band of columns and a slice of the rows, then by one
thread a channel, slice after slice. Nothing cancels, and the order depends on the shape alone.
"""

from numba import uint32

from ..driver import cuda, kernel, sqrt
from .reduce import COLUMNS, LANES

U = uint32


@cuda.jit(device=True, inline=True)
def join(n, mean, m2, other_n, other_mean, other_m2):
    """(count, mean, sum of squared deviations) of two sets together; the other one is not empty."""
    both = n + other_n
    delta = other_mean - mean
    share = other_n / both
    return both, mean + delta * share, m2 + other_m2 + delta * delta * n * share


@kernel
def moments(x, means, squares, rows, cols, chunk):
    """x (rows, cols) -> the means and the sums of squared deviations (slices, cols) of the rows from blockIdx.y * chunk."""
    part_n = cuda.shared.array((LANES, COLUMNS), x.dtype)
    part_mean = cuda.shared.array((LANES, COLUMNS), x.dtype)
    part_m2 = cuda.shared.array((LANES, COLUMNS), x.dtype)
    t = U(cuda.threadIdx.x)
    lane = U(t // U(COLUMNS))
    k = U(t - U(lane * U(COLUMNS)))
    c = U(U(U(cuda.blockIdx.x) * U(COLUMNS)) + k)
    first = U(U(cuda.blockIdx.y) * chunk)
    last = U(first + chunk)
    if last > rows:
        last = rows
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    n = zero
    mean = zero
    m2 = zero
    if c < cols:
        r = U(first + lane)
        while r < last:
            v = x[U(U(r * cols) + c)]
            n += one
            delta = v - mean
            mean += delta / n
            m2 += delta * (v - mean)
            r = U(r + U(LANES))
    part_n[lane, k] = n
    part_mean[lane, k] = mean
    part_m2[lane, k] = m2
    cuda.syncthreads()
    half = U(LANES // 2)
    while half > U(0):
        o = U(lane + half)
        if lane < half and part_n[o, k] > zero:
            n, mean, m2 = join(part_n[lane, k], part_mean[lane, k], part_m2[lane, k], part_n[o, k], part_mean[o, k], part_m2[o, k])
            part_n[lane, k] = n
            part_mean[lane, k] = mean
            part_m2[lane, k] = m2
        cuda.syncthreads()
        half = U(half >> U(1))
    if lane == U(0) and c < cols:
        i = U(U(U(cuda.blockIdx.y) * cols) + c)
        means[i] = part_mean[U(0), k]
        squares[i] = part_m2[U(0), k]


@kernel
def statistics(means, squares, rows, chunk, slices, eps, mean, invstd, running_mean, running_var, momentum, running, cols):
    """Join the slices of ``moments``: mean and 1 / sqrt(variance + eps) (cols,); ``running``: the running ones move by ``momentum``."""
    c = U(cuda.grid(1))
    if c >= cols:
        return
    real = mean.dtype.type
    n = real(0)
    m = real(0)
    m2 = real(0)
    left = rows
    for s in range(slices):
        count = chunk if chunk < left else left
        i = U(U(U(s) * cols) + c)
        n, m, m2 = join(n, m, m2, real(count), means[i], squares[i])
        left = U(left - count)
    mean[c] = m
    invstd[c] = real(1) / sqrt(m2 / n + eps)
    if running:
        keep = real(1) - momentum
        running_mean[c] = keep * running_mean[c] + momentum * m
        running_var[c] = keep * running_var[c] + momentum * (m2 / (n - real(1)))


@kernel
def inverse(var, eps, invstd, cols):
    """invstd = 1 / sqrt(var + eps)."""
    c = U(cuda.grid(1))
    if c < cols:
        invstd[c] = var.dtype.type(1) / sqrt(var[c] + eps)


@kernel
def normalise(x, mean, invstd, weight, has_weight, bias, has_bias, y, cols, n):
    """y = (x - mean) * invstd * weight + bias; one thread an element."""
    i = U(cuda.grid(1))
    if i >= n:
        return
    c = U(i - U(U(i // cols) * cols))
    v = (x[i] - mean[c]) * invstd[c]
    if has_weight:
        v *= weight[c]
    if has_bias:
        v += bias[c]
    y[i] = v


@kernel
def grad_moments(grad, x, mean, totals, products, rows, cols, chunk):
    """The sums of grad and of grad * (x - mean) (slices, cols) over the rows from blockIdx.y * chunk."""
    part = cuda.shared.array((LANES, COLUMNS), x.dtype)
    part_product = cuda.shared.array((LANES, COLUMNS), x.dtype)
    t = U(cuda.threadIdx.x)
    lane = U(t // U(COLUMNS))
    k = U(t - U(lane * U(COLUMNS)))
    c = U(U(U(cuda.blockIdx.x) * U(COLUMNS)) + k)
    first = U(U(cuda.blockIdx.y) * chunk)
    last = U(first + chunk)
    if last > rows:
        last = rows
    total = x.dtype.type(0)
    product = x.dtype.type(0)
    if c < cols:
        center = mean[c]
        r = U(first + lane)
        while r < last:
            i = U(U(r * cols) + c)
            total += grad[i]
            product += grad[i] * (x[i] - center)
            r = U(r + U(LANES))
    part[lane, k] = total
    part_product[lane, k] = product
    cuda.syncthreads()
    half = U(LANES // 2)
    while half > U(0):
        if lane < half:
            part[lane, k] += part[U(lane + half), k]
            part_product[lane, k] += part_product[U(lane + half), k]
        cuda.syncthreads()
        half = U(half >> U(1))
    if lane == U(0) and c < cols:
        i = U(U(U(cuda.blockIdx.y) * cols) + c)
        totals[i] = part[U(0), k]
        products[i] = part_product[U(0), k]


@kernel
def grad_input(grad, x, mean, invstd, weight, has_weight, total, product, rows, training, dx, cols, n):
    """dx = weight * invstd * (grad - total / rows - (x - mean) * invstd**2 * product / rows); without ``training`` the first term only."""
    i = U(cuda.grid(1))
    if i >= n:
        return
    c = U(i - U(U(i // cols) * cols))
    v = grad[i]
    s = invstd[c]
    if training:
        count = x.dtype.type(rows)
        v -= total[c] / count + (x[i] - mean[c]) * s * s * (product[c] / count)
    v *= s
    if has_weight:
        v *= weight[c]
    dx[i] = v
