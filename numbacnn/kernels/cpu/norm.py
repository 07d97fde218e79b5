"""Batch normalisation of channels-last memory: x (P, C), P pixels of C channels.

One pass over the data for the statistics and one for the result; the gradient likewise. Sums are taken around a value of each channel's
own, so that nothing cancels however far a mean lies from zero, and held in float64; four numbers at a time are added in their own type,
for conversions would take longer than memory does.

Data are taken ``width`` elements at a time: whole pixels, and whole vectors, however few the channels. What belongs to a channel comes
repeated to that width. The slices of a sum are as many as the shape says and are added in order; the four numbers come from the four
quarters of a slice, each read from its beginning to its end, as processors expect it.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import ROUNDED, inline, kernel
from .reduce import lanes_of_whole_pixels

__all__ = [
    "affine",
    "batch_factors",
    "grad_factors",
    "grad_input",
    "grad_moments",
    "moments",
    "running_factors",
    "scratch",
]

SLICE = 1 << 14  # elements of a slice, at least
SLICES = 64
TASK = 1 << 14  # elements of a task that sums nothing, about
u8 = np.uint64  # an index that Numba does not test for being negative
f8 = np.float64


def scratch(pixels: int, channels: int) -> tuple[int, int, int]:
    """The shape (slices, 2, width) of the scratch of sums over (P, C)."""
    width = lanes_of_whole_pixels(channels)
    slices = min(SLICES, pixels * channels // SLICE, pixels * channels // (16 * width))
    return max(1, slices), 2, width


@inline(fastmath=ROUNDED)
def _slice(s, slices, size, width):
    """Where slice s begins and ends, in elements; a whole number of widths but for the data's end."""
    step = (size // width // slices + 1) * width
    return min(size, s * step), min(size, (s + 1) * step)


@inline(fastmath=ROUNDED)
def _moments_slice(x, center, part, s):
    """part[s] (2, width) = the sums of x - center and of its square."""
    width = center.size
    flat, total, square = x.reshape(x.size), part[s, 0], part[s, 1]
    o, end = _slice(s, part.shape[0], x.size, width)
    for j in range(width):
        total[j] = square[j] = 0
    quarter = (end - o) // (4 * width) * width
    for i in range(o, o + quarter, width):
        for j in range(width):
            k = center[j]
            a, b = flat[u8(i + j)] - k, flat[u8(i + quarter + j)] - k
            c, d = flat[u8(i + 2 * quarter + j)] - k, flat[u8(i + 3 * quarter + j)] - k
            total[j] += f8((a + b) + (c + d))
            square[j] += f8((a * a + b * b) + (c * c + d * d))
    o += 4 * quarter
    while o < end:
        for j in range(min(width, end - o)):
            a = flat[u8(o + j)] - center[j]
            total[j] += f8(a)
            square[j] += f8(a * a)
        o += width


@inline(fastmath=ROUNDED)
def _grad_moments_slice(grad, x, center, part, s):
    """part[s] (2, width) = the sums of grad and of grad * (x - center)."""
    width = center.size
    g, flat, total, product = grad.reshape(x.size), x.reshape(x.size), part[s, 0], part[s, 1]
    o, end = _slice(s, part.shape[0], x.size, width)
    for j in range(width):
        total[j] = product[j] = 0
    quarter = (end - o) // (4 * width) * width
    for i in range(o, o + quarter, width):
        for j in range(width):
            k = center[j]
            a, b, c, d = g[u8(i + j)], g[u8(i + quarter + j)], g[u8(i + 2 * quarter + j)], g[u8(i + 3 * quarter + j)]
            p, q = a * (flat[u8(i + j)] - k), b * (flat[u8(i + quarter + j)] - k)
            r, t = c * (flat[u8(i + 2 * quarter + j)] - k), d * (flat[u8(i + 3 * quarter + j)] - k)
            total[j] += f8((a + b) + (c + d))
            product[j] += f8((p + q) + (r + t))
    o += 4 * quarter
    while o < end:
        for j in range(min(width, end - o)):
            a = g[u8(o + j)]
            total[j] += f8(a)
            product[j] += f8(a * (flat[u8(o + j)] - center[j]))
        o += width


@inline(fastmath=ROUNDED)
def _fold(part, out):
    """out (2, C) = the sums of part (slices, 2, pixels * C), slice after slice and pixel after pixel."""
    channels = out.shape[1]
    for k in range(2):
        total = part[0, k]
        for s in range(1, part.shape[0]):
            row = part[s, k]
            for j in range(total.size):
                total[j] += row[j]
        for c in range(channels):
            out[k, c] = total[c]
            for j in range(c + channels, total.size, channels):
                out[k, c] += total[j]


@inline(fastmath=ROUNDED)
def _repair(grad, around, x, center, out):
    """Sums of a channel that are not finite once more, in float64 alone: a product of float32 numbers may be beyond them.

    They are those of grad, or of grad - center where ``around``, and of that times x - center.
    """
    for c in range(out.shape[1]):
        if not np.isfinite(out[0, c] + out[1, c]):
            out[0, c] = out[1, c] = 0
            k = f8(center[c])
            for p in range(x.shape[0]):
                g = f8(grad[p, c]) - (k if around else 0.0)
                out[0, c] += g
                out[1, c] += g * (f8(x[p, c]) - k)


@inline(fastmath=ROUNDED)
def _around(values, center):
    """center (width,) = the values of the channels, over and over."""
    for o in range(0, center.size, values.size):
        for c in range(values.size):
            center[o + c] = center.dtype.type(values[c])


@inline(fastmath=ROUNDED)
def _finite(center):
    """0 for what is not finite: around it, the mean of numbers too would be NaN."""
    for j in range(center.size):
        if not np.isfinite(center[j]):
            center[j] = 0


@kernel
def moments(x, center, part, out):
    """out (2, C) = the sums over the pixels of x - center (P, C) and of its square, in float64; center (width,) = the first pixel."""
    _around(x[0], center)
    _finite(center)
    for s in prange(part.shape[0]):
        _moments_slice(x, center, part, np.int64(s))
    _fold(part, out)
    _repair(x, True, x, center, out)


@kernel
def grad_moments(grad, x, mean, center, part, out):
    """out (2, C) = the sums over the pixels of grad (P, C) and of grad * (x - center); center (width,) = the mean of each channel."""
    _around(mean, center)
    for s in prange(part.shape[0]):
        _grad_moments_slice(grad, x, center, part, np.int64(s))
    _fold(part, out)
    _repair(grad, False, x, center, out)


# -- what is worked out for each channel, in float64, and repeated to the width of the passes over the data ---------------------------
@inline(fastmath=ROUNDED)
def _repeat(value, out, channels, c):
    """out[c :: channels] = value."""
    for j in range(c, out.size, channels):
        out[j] = out.dtype.type(value)


@inline(fastmath=ROUNDED)
def _move(running, value, share):
    """running (1,) moves towards the value, as NumPy would have it: the part of float32 that stays is rounded."""
    running[0] = running.dtype.type(f8(running.dtype.type(1 - share) * running[0]) + share * value)


@inline(fastmath=ROUNDED)
def _channel_factors(c, mean, var, weight, bias, eps, saved, rows):
    invstd = 1 / np.sqrt(var + eps)
    saved[0, c], saved[1, c] = mean, invstd
    channels = saved.shape[1]
    _repeat(mean, rows[0], channels, c)
    _repeat(invstd * f8(weight[c]) if weight.size else invstd, rows[1], channels, c)
    _repeat(bias[c] if bias.size else bias.dtype.type(0), rows[2], channels, c)


@kernel(fastmath=ROUNDED)
def batch_factors(center, sums, pixels, weight, bias, running_mean, running_var, tracked, momentum, eps, saved, rows):
    """saved (2, C) = the mean and 1 / sqrt(variance + eps) of each channel, of the ``sums`` that ``moments`` took around ``center``.

    rows (3, width) = the mean, weight / sqrt(variance + eps) and the bias, as ``affine`` takes them. Running statistics that are given
    move by the share ``momentum``; where that is negative, to the average of all batches, of which there were ``tracked[0]``. That is
    counted up where it is given. All that is not given is empty.
    """
    share = momentum if momentum >= 0 else 1 / (tracked[0] + 1)
    for i in prange(saved.shape[1]):
        c = np.int64(i)
        total, square = sums[0, c] / pixels, sums[1, c] / pixels
        mean, var = f8(center[c]) + total, square - total * total
        var = f8(0) if var < 0 else var
        if running_mean.size:
            _move(running_mean[c : c + 1], mean, share)
            _move(running_var[c : c + 1], var * pixels / (pixels - 1), share)
        _channel_factors(c, mean, var, weight, bias, eps, saved, rows)
    if tracked.size:
        tracked[0] += 1


@kernel(fastmath=ROUNDED)
def running_factors(running_mean, running_var, weight, bias, eps, saved, rows):
    """The same of the running statistics."""
    for i in prange(saved.shape[1]):
        c = np.int64(i)
        _channel_factors(c, f8(running_mean[c]), f8(running_var[c]), weight, bias, eps, saved, rows)


@kernel(fastmath=ROUNDED)
def grad_factors(center, sums, pixels, weight, means, invstds, batch, rows, dw, db):
    """What the gradient of a batch normalisation needs, of the ``sums`` that ``grad_moments`` took around ``center``.

    rows (4, width): the factor of the gradient, the mean, the slope and the shift, as ``grad_input`` takes them; the last two are 0 where
    not ``batch``: for running statistics. dw and db (C,) are those of weight and bias.
    """
    for i in prange(means.size):
        c = np.int64(i)
        mean, invstd, total = means[c], invstds[c], sums[0, c]
        product = sums[1, c] + (f8(center[c]) - mean) * total  # around the mean itself
        scale = invstd * f8(weight[c]) if weight.size else invstd
        channels = means.size
        _repeat(scale, rows[0], channels, c)
        _repeat(mean, rows[1], channels, c)
        _repeat(-scale * invstd * invstd * product / pixels if batch else f8(0), rows[2], channels, c)
        _repeat(-scale * total / pixels if batch else f8(0), rows[3], channels, c)
        dw[c] = dw.dtype.type(product * invstd)
        db[c] = db.dtype.type(total)


@inline(fastmath=ROUNDED)
def _step(width):
    """Elements of a task: whole widths."""
    return max(1, TASK // width) * width


@inline(fastmath=ROUNDED)
def _affine_task(x, center, scale, shift, y, t):
    step = _step(scale.size)
    end = min(x.size, (t + 1) * step)
    for o in range(t * step, end, scale.size):
        for j in range(min(scale.size, end - o)):
            y[u8(o + j)] = (x[u8(o + j)] - center[u8(j)]) * scale[u8(j)] + shift[u8(j)]


@kernel
def affine(x, center, scale, shift, y):
    """y = (x - center) * scale + shift, all flat; the middle three (width,) repeat the values of the channels."""
    for t in prange((x.size + _step(scale.size) - 1) // _step(scale.size)):
        _affine_task(x, center, scale, shift, y, np.int64(t))


@inline(fastmath=ROUNDED)
def _grad_input_task(grad, x, scale, center, slope, shift, dx, t):
    step = _step(scale.size)
    end = min(x.size, (t + 1) * step)
    for o in range(t * step, end, scale.size):
        for j in range(min(scale.size, end - o)):
            dx[u8(o + j)] = grad[u8(o + j)] * scale[u8(j)] + ((x[u8(o + j)] - center[u8(j)]) * slope[u8(j)] + shift[u8(j)])


@kernel
def grad_input(grad, x, scale, center, slope, shift, dx):
    """dx = grad * scale + (x - center) * slope + shift, all flat; the middle four (width,) repeat the values of the channels."""
    for t in prange((x.size + _step(scale.size) - 1) // _step(scale.size)):
        _grad_input_task(grad, x, scale, center, slope, shift, dx, np.int64(t))
