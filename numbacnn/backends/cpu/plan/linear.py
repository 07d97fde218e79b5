"""Plans for matrix products and linear layers."""

from __future__ import annotations

import functools

import numpy as np

from .contract import Contraction, contraction, pixel_stride_for
from .correlate import Correlation, correlation
from .tables import TapSet, in_memory, one_run
from .tiles import sum_tile

__all__ = ["FEW_ROWS", "THIN", "batched_matmul_plan", "matmul_plan", "matmul_t_plan", "rows_grad_plan"]

FEW_ROWS = 8
"""Rows of a matrix product up to which the weights are read as they lie: to pack them would take longer than to multiply."""

THIN = 4
"""Columns of a batch's second matrices below which most of a tile, and of the packed matrices, would be empty."""


@functools.lru_cache(maxsize=256)
def matmul_plan(m: int, k: int, n: int, row_stride: int, column_stride: int, dtype: str | np.dtype, channels: int = 1) -> Contraction:
    """(M, K) @ (K, N), element (k, n) of the second at k * row_stride + n * column_stride: m pixels, one run of k channels.

    If the first is images of so many channels, each of their elements is a run, in logical order: the same sums in the same order.
    """
    stride = pixel_stride_for(k, n, dtype)
    inputs, outputs = np.arange(m) * (stride or k), np.arange(m) * n
    images = channels > 1
    rows = TapSet(inputs, outputs, in_memory(k // channels, channels), np.arange(k), 1) if images else one_run(inputs, outputs, k)
    return contraction(
        [rows],
        dtype,
        images=1,
        x_image=m * (stride or k),
        y_image=m * n,
        x_group=k,
        y_group=n,
        groups=1,
        offsets=np.arange(k) * row_stride,
        group_stride=0,
        lane_stride=column_stride,
        pixel_stride=stride,
    )


@functools.lru_cache(maxsize=256)
def batched_matmul_plan(batch: int, m: int, k: int, n: int, row_stride: int, column_stride: int, dtype: str | np.dtype) -> Contraction:
    """(B, M, K) @ (B, K, N) -> (M, B, N), a group for each product; the elements of the second as in ``matmul_plan``."""
    return contraction(
        [one_run(np.arange(m) * k, np.arange(m) * batch * n, k)],
        dtype,
        images=1,
        x_image=batch * m * k,
        y_image=batch * m * n,
        x_group=m * k,
        y_group=n,
        groups=batch,
        offsets=np.arange(k) * row_stride,
        group_stride=k * n,
        lane_stride=column_stride,
    )


@functools.lru_cache(maxsize=256)
def rows_grad_plan(n: int, c: int, pixels: int, o: int, dtype: str | np.dtype) -> Contraction:
    """(N, O) @ (O, C * pixels) into images (N, pixels, C): lanes in the images' order, each pixel with weights of its own."""
    return contraction(
        [one_run(np.arange(n) * o, np.arange(n) * pixels * c, o)],
        dtype,
        images=1,
        x_image=n * o,
        y_image=n * pixels * c,
        x_group=o,
        y_group=pixels * c,
        groups=1,
        offsets=np.add.outer(np.arange(pixels), np.arange(o) * c * pixels),
        group_stride=0,
        lane_stride=pixels,
    )


@functools.lru_cache(maxsize=256)
def matmul_t_plan(m: int, i: int, o: int, dtype: str | np.dtype, channels: int = 1) -> Correlation:
    """(M, I)^T, (M, O) -> (O, I): the weight gradient of a linear layer, whose input may be images of so many channels."""
    return correlation(
        sum_tile(o, i, dtype),
        line_offsets=np.zeros(1, np.int64),
        line=m,
        step=i,
        window_offsets=np.arange(i),
        images=1,
        x_image=m * i,
        x_group=i,
        y_group=o,
        groups=1,
        itemsize=np.dtype(dtype).itemsize,
        offsets=in_memory(channels, i // channels),
        group_stride=0,
        lane_stride=i,
    )
