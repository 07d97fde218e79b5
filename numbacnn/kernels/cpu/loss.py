"""Cross entropy of logits (N, K) with labels (N,), its gradient, and what judges labels and losses."""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import ROUNDED, inline, kernel
from .pointwise import block, blocks
from .softmax import scale_row, softmax_row

__all__ = ["class_indices", "cross_entropy_backward", "cross_entropy_forward", "require_finite"]


@inline(fastmath=ROUNDED)
def _forward(logits, label, smoothing, softmax):
    """The loss of one example: -sum(q * log_softmax(logits)), where q = (1 - smoothing) * onehot(label) + smoothing / K; 0 at -1."""
    one = logits.dtype.type(1)
    m, total = softmax_row(logits, softmax)
    scale_row(softmax, one / total)
    if label < 0:
        return logits.dtype.type(0)
    log_total = np.log(total)
    loss = log_total - (logits[label] - m)
    if smoothing > 0:
        mean = logits.dtype.type(0)
        for k in range(logits.size):
            mean += log_total - (logits[k] - m)
        loss = (one - smoothing) * loss + smoothing * (mean / logits.dtype.type(logits.size))
    return loss


@inline(fastmath=ROUNDED)
def _backward(grad, softmax, label, smoothing, dlogits):
    if label < 0:
        for k in range(softmax.size):
            dlogits[k] = 0
        return
    one = softmax.dtype.type(1)
    even = smoothing / softmax.dtype.type(softmax.size)
    for k in range(softmax.size):
        dlogits[k] = grad * (softmax[k] - even)
    dlogits[label] = grad * (softmax[label] - even - (one - smoothing))


@inline
def _judge(labels, classes, ignores, ignored):
    for n in range(labels.size):
        if (labels[n] < 0 or labels[n] >= classes) and not (ignores and labels[n] == ignored):
            raise ValueError("a label is out of range")


@inline
def _indices(labels, ignores, ignored, indices):
    for n in range(labels.size):
        indices[n] = -1 if ignores and labels[n] == ignored else np.int64(labels[n])


@kernel
def class_indices(labels, classes, ignores, ignored, indices):
    """indices = labels, flat, as int64; -1 in place of ``ignored``, where it ``ignores`` one.

    Raises:
        ValueError: another is not in [0, classes); nothing is written then.
    """
    _judge(labels, classes, ignores, ignored)
    for b in prange(blocks(labels)):
        _indices(block(labels, b), ignores, ignored, block(indices, b))


@inline
def _count_not_finite(x):
    count = 0
    for i in range(x.size):
        count += not np.isfinite(x[i])
    return count


@inline
def _judge_finite(counts):
    for count in counts:
        if count:
            raise ValueError("a number is not finite")


@kernel
def require_finite(x, counts):
    """Count the numbers of each block of flat x that are not finite.

    Raises:
        ValueError: there are any.
    """
    for b in prange(counts.size):
        counts[b] = _count_not_finite(block(x, b))
    _judge_finite(counts)


@kernel
def cross_entropy_forward(logits, labels, smoothing, losses, softmax):
    """losses (2, N) and softmax (N, K), which the backward pass needs; smoothing as in PyTorch's ``label_smoothing``.

    The second row of the losses says which there are: 1, or 0 where the label is -1.
    """
    for n in prange(logits.shape[0]):
        losses[0, n] = _forward(logits[n], labels[n], logits.dtype.type(smoothing), softmax[n])
        losses[1, n] = labels[n] >= 0


@kernel
def cross_entropy_backward(grad, softmax, labels, smoothing, dlogits):
    """dlogits (N, K) = grad (N, 1) * (softmax - q); grad (N,) is that of the losses, or (1,) that of each."""
    for n in prange(softmax.shape[0]):
        _backward(grad[np.int64(n) % grad.size], softmax[n], labels[n], softmax.dtype.type(smoothing), dlogits[n])
