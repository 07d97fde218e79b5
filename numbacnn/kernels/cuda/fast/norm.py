"""Batch normalisation of channels-last memory (rows, cols) in two launches a pass: sums of slices, and what finishes them.

A block has ``1 << shift`` columns beside each other and as many lanes as threads are left; a lane reads ROWS rows at a time, so that
enough loads are on their way. The rows of a slice are those from ``blockIdx.y * chunk``. Sums are made by lanes, joined by a tree, and
the slices' again by lanes and a tree, in each block that needs them: everyone comes to the same bits, in an order that the shape decides.
Statistics are joined as in Chan, Golub and LeVeque, "Algorithms for computing the sample variance" (1983): nothing cancels.
"""

from numba import uint32

from ..driver import cuda, kernel, sqrt

U = uint32

THREADS = 256  # of a block; a power of two
ROWS = 8  # that a thread reads at once


@cuda.jit(device=True, inline=True)
def least(a, b):
    return a if a < b else b


@cuda.jit(device=True, inline=True)
def join(n, mean, m2, other_n, other_mean, other_m2):
    """(count, mean, sum of squared deviations) of two sets together; the other one is not empty."""
    both = n + other_n
    delta = other_mean - mean
    part = delta * (other_n / both)
    return both, mean + part, m2 + other_m2 + delta * (part * n)


@cuda.jit(device=True, inline=True)
def join_lanes(part_n, part_mean, part_m2, t, shift):
    """Join the sets of all lanes, each at the place of its thread, into those of the first lane."""
    cuda.syncthreads()
    half = U(U(THREADS) >> U(1))
    while half >= U(U(1) << shift):
        o = U(t + half)
        if t < half and part_n[o] > part_n.dtype.type(0):
            part_n[t], part_mean[t], part_m2[t] = join(part_n[t], part_mean[t], part_m2[t], part_n[o], part_mean[o], part_m2[o])
        cuda.syncthreads()
        half = U(half >> U(1))


@cuda.jit(device=True, inline=True)
def add_lanes(part, part_product, t, shift):
    """Add the two sums of all lanes into those of the first lane."""
    cuda.syncthreads()
    half = U(U(THREADS) >> U(1))
    while half >= U(U(1) << shift):
        if t < half:
            part[t] += part[U(t + half)]
            part_product[t] += part_product[U(t + half)]
        cuda.syncthreads()
        half = U(half >> U(1))


@kernel
def moments(x, means, squares, tracked, counts, rows, cols, chunk, shift):
    """x (rows, cols) -> the means and the sums of squared deviations (slices, cols); with ``counts`` one more batch is ``tracked``."""
    part_n = cuda.shared.array(THREADS, x.dtype)
    part_mean = cuda.shared.array(THREADS, x.dtype)
    part_m2 = cuda.shared.array(THREADS, x.dtype)
    group = cuda.local.array(ROWS, x.dtype)
    real = x.dtype.type
    t = U(cuda.threadIdx.x)
    lanes = U(U(THREADS) >> shift)
    lane = U(t >> shift)
    k = U(t - U(lane << shift))
    c = U(U(U(cuda.blockIdx.x) << shift) + k)
    first = U(U(cuda.blockIdx.y) * chunk)
    last = least(U(first + chunk), rows)
    n = real(0)
    mean = real(0)
    m2 = real(0)
    if c < cols:
        r = U(first + lane)
        while r < last:
            for j in range(ROWS):  # behind the last row it is read again: no load waits for a branch
                group[j] = x[U(U(least(U(r + U(U(j) * lanes)), U(last - U(1))) * cols) + c)]
            count = real(0)
            total = real(0)
            for j in range(ROWS):
                if U(r + U(U(j) * lanes)) < last:
                    count += real(1)
                    total += group[j]
            center = total / count
            rest = real(0)
            for j in range(ROWS):
                if U(r + U(U(j) * lanes)) < last:
                    rest += (group[j] - center) * (group[j] - center)
            n, mean, m2 = join(n, mean, m2, count, center, rest)
            r = U(r + U(U(ROWS) * lanes))
    part_n[t] = n
    part_mean[t] = mean
    part_m2[t] = m2
    join_lanes(part_n, part_mean, part_m2, t, shift)
    if lane == U(0) and c < cols:
        i = U(U(U(cuda.blockIdx.y) * cols) + c)
        means[i] = part_mean[t]
        squares[i] = part_m2[t]
    if counts and t == U(0) and U(cuda.blockIdx.x) == U(0) and U(cuda.blockIdx.y) == U(0):
        tracked[U(0)] += 1


@kernel
def normalise(
    x,
    means,
    squares,
    slices,
    eps,
    mean,
    invstd,
    running_mean,
    running_var,
    moves,
    momentum,
    tracked,
    weight,
    has_weight,
    bias,
    has_bias,
    added,
    has_added,
    rectified,
    y,
    rows,
    cols,
    chunk,
    shift,
):
    """y = (x - mean) * invstd * weight + bias, then plus ``added``, then no less than 0.

    Mean and 1 / sqrt(variance + eps) (cols,) are those of what ``moments`` left; without slices the running ones'. They are written, and
    the running ones move: by ``momentum`` where ``moves`` is 1, by 1 / ``tracked`` where it is 2.
    """
    part_n = cuda.shared.array(THREADS, x.dtype)
    part_mean = cuda.shared.array(THREADS, x.dtype)
    part_m2 = cuda.shared.array(THREADS, x.dtype)
    group = cuda.local.array(ROWS, x.dtype)
    other = cuda.local.array(ROWS, x.dtype)
    real = x.dtype.type
    zero = real(0)
    t = U(cuda.threadIdx.x)
    lanes = U(U(THREADS) >> shift)
    lane = U(t >> shift)
    k = U(t - U(lane << shift))
    c = U(U(U(cuda.blockIdx.x) << shift) + k)
    n = zero
    center = zero
    m2 = zero
    if slices > U(0):
        if c < cols:
            s = lane
            while s < slices:
                for j in range(ROWS):
                    i = U(U(least(U(s + U(U(j) * lanes)), U(slices - U(1))) * cols) + c)
                    group[j] = means[i]
                    other[j] = squares[i]
                for j in range(ROWS):
                    o = U(s + U(U(j) * lanes))
                    if o < slices:
                        size = least(chunk, U(rows - U(o * chunk)))
                        n, center, m2 = join(n, center, m2, real(size), group[j], other[j])
                s = U(s + U(U(ROWS) * lanes))
        part_n[t] = n
        part_mean[t] = center
        part_m2[t] = m2
        join_lanes(part_n, part_mean, part_m2, t, shift)
    if c >= cols:
        return
    if slices > U(0):
        n = part_n[k]
        center = part_mean[k]
        m2 = part_m2[k]
        variance = m2 / n
    else:
        center = running_mean[c]
        variance = running_var[c]
    scale = real(1) / sqrt(variance + eps)
    if lane == U(0) and U(cuda.blockIdx.y) == U(0):
        mean[c] = center
        invstd[c] = scale
        if moves:
            share = momentum
            if moves == U(2):
                share = real(1) / real(tracked[U(0)])
            keep = real(1) - share
            running_mean[c] = keep * running_mean[c] + share * center
            running_var[c] = keep * running_var[c] + share * (m2 / (n - real(1)))
    w = real(1)
    b = real(-0.0)  # which changes no bit where it is added
    if has_weight:
        w = weight[c]
    if has_bias:
        b = bias[c]
    first = U(U(cuda.blockIdx.y) * chunk)
    last = least(U(first + chunk), rows)
    r = U(first + lane)
    while r < last:
        for j in range(ROWS):
            i = U(U(least(U(r + U(U(j) * lanes)), U(last - U(1))) * cols) + c)
            group[j] = x[i]
            if has_added:
                other[j] = added[i]
        for j in range(ROWS):
            row = U(r + U(U(j) * lanes))
            if row < last:
                v = cuda.fma((group[j] - center) * scale, w, b)  # said so: no compiler makes other bits of what follows
                if has_added:
                    v += other[j]
                if rectified:
                    v = zero if v < zero else v  # NaN passes
                y[U(U(row * cols) + c)] = v
        r = U(r + U(U(ROWS) * lanes))


@kernel
def grad_moments(grad, added, has_added, y, rectified, masked, x, mean, totals, products, rows, cols, chunk, shift):
    """The sums of grad and of grad * (x - mean) (slices, cols). Where ``has_added``, grad is the sum of two.

    ``rectified``: grad is that of ``y``, which is no less than 0; where it is 0 nothing flows back. What flows is written to ``masked``.
    """
    part = cuda.shared.array(THREADS, x.dtype)
    part_product = cuda.shared.array(THREADS, x.dtype)
    group = cuda.local.array(ROWS, x.dtype)
    other = cuda.local.array(ROWS, x.dtype)
    output = cuda.local.array(ROWS, x.dtype)
    zero = x.dtype.type(0)
    t = U(cuda.threadIdx.x)
    lanes = U(U(THREADS) >> shift)
    lane = U(t >> shift)
    k = U(t - U(lane << shift))
    c = U(U(U(cuda.blockIdx.x) << shift) + k)
    first = U(U(cuda.blockIdx.y) * chunk)
    last = least(U(first + chunk), rows)
    total = zero
    product = zero
    if c < cols:
        center = mean[c]
        r = U(first + lane)
        while r < last:
            for j in range(ROWS):
                i = U(U(least(U(r + U(U(j) * lanes)), U(last - U(1))) * cols) + c)
                group[j] = grad[i]
                other[j] = x[i]
                if rectified:
                    output[j] = y[i]
            if has_added:
                for j in range(ROWS):
                    group[j] += added[U(U(least(U(r + U(U(j) * lanes)), U(last - U(1))) * cols) + c)]
            for j in range(ROWS):
                row = U(r + U(U(j) * lanes))
                if row < last:
                    g = group[j]
                    if rectified:
                        g = zero if output[j] <= zero else g
                        masked[U(U(row * cols) + c)] = g
                    total += g
                    product = cuda.fma(g, other[j] - center, product)
            r = U(r + U(U(ROWS) * lanes))
    part[t] = total
    part_product[t] = product
    add_lanes(part, part_product, t, shift)
    if lane == U(0) and c < cols:
        i = U(U(U(cuda.blockIdx.y) * cols) + c)
        totals[i] = part[t]
        products[i] = part_product[t]


@kernel
def grad_input(
    grad, x, mean, invstd, weight, has_weight, totals, products, slices, training, dx, has_dx, dweight, dbias, rows, cols, chunk, shift
):
    """The gradients of x, weight and bias of what ``grad_moments`` left; that of x where ``has_dx``.

    dx = weight * invstd * (grad - total / rows - (x - mean) * invstd**2 * product / rows); without ``training`` the first term only.
    """
    part = cuda.shared.array(THREADS, x.dtype)
    part_product = cuda.shared.array(THREADS, x.dtype)
    group = cuda.local.array(ROWS, x.dtype)
    other = cuda.local.array(ROWS, x.dtype)
    real = x.dtype.type
    t = U(cuda.threadIdx.x)
    lanes = U(U(THREADS) >> shift)
    lane = U(t >> shift)
    k = U(t - U(lane << shift))
    c = U(U(U(cuda.blockIdx.x) << shift) + k)
    total = real(0)
    product = real(0)
    if c < cols:
        s = lane
        while s < slices:
            for j in range(ROWS):
                i = U(U(least(U(s + U(U(j) * lanes)), U(slices - U(1))) * cols) + c)
                group[j] = totals[i]
                other[j] = products[i]
            for j in range(ROWS):
                if U(s + U(U(j) * lanes)) < slices:
                    total += group[j]
                    product += other[j]
            s = U(s + U(U(ROWS) * lanes))
    part[t] = total
    part_product[t] = product
    add_lanes(part, part_product, t, shift)
    if c >= cols:
        return
    total = part[k]
    product = part_product[k]
    center = mean[c]
    scale = invstd[c]
    if lane == U(0) and U(cuda.blockIdx.y) == U(0):
        dweight[c] = product * scale
        dbias[c] = total
    if not has_dx:
        return
    w = real(1)
    if has_weight:
        w = weight[c]
    total /= real(rows)
    product /= real(rows)
    first = U(U(cuda.blockIdx.y) * chunk)
    last = least(U(first + chunk), rows)
    r = U(first + lane)
    while r < last:
        for j in range(ROWS):
            i = U(U(least(U(r + U(U(j) * lanes)), U(last - U(1))) * cols) + c)
            group[j] = grad[i]
            other[j] = x[i] - center
        for j in range(ROWS):
            row = U(r + U(U(j) * lanes))
            if row < last:
                v = group[j]
                if training:
                    v -= total + other[j] * scale * scale * product
                dx[U(U(row * cols) + c)] = v * scale * w
        r = U(r + U(U(ROWS) * lanes))
