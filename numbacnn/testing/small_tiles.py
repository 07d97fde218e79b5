"""CUDA kernels with tiny tiles: the simulator runs one OS thread per CUDA thread, so a production block is hundreds of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.cuda import conv as convolve
from ..backends.cuda import reduce as reductions
from ..kernels.cuda import driver
from ..kernels.cuda.fast import activation, depthwise
from ..kernels.cuda.fast import conv as fast_conv
from ..kernels.cuda.fast import dense as fast_dense
from ..kernels.cuda.fast import loss as fast_loss
from ..kernels.cuda.fast import matmul as fast_matmul
from ..kernels.cuda.fast import norm as fast_norm
from ..kernels.cuda.fast import reduce as fast_reduce
from ..kernels.cuda.fast import softmax as fast_softmax
from ..kernels.cuda.simt import conv, loss, matmul, norm, reduce, softmax, tile

_TILE = {"BM": 4, "BN": 4, "TM": 2, "TN": 2, "THREADS": 4, "BMP": 5, "BNP": 5, "LOADS": 8, "ACROSS": 2}
_ROWS = {"THREADS": 4, "COLUMNS": 4, "LANES": 2, "DEEP": 2}
_BACKEND = {"WANTED_BLOCKS": 4, "ROW_CHUNK": 8, "COLUMN_CHUNK": 4, "SHORT_ROW": 3}


def shrink(change: Callable[[Any, str, int], None] = setattr) -> None:
    """Shrink every block. Right in the simulator only: a compiled kernel has its constants inside."""
    change(driver, "THREADS", 16)
    for module in (tile, conv, matmul, activation, fast_conv, fast_matmul):
        for name in _TILE.keys() & vars(module).keys():
            change(module, name, _TILE[name])
    rows = (
        (module, _ROWS) for module in (reduce, norm, softmax, loss, fast_dense, fast_norm, depthwise, fast_reduce, fast_softmax, fast_loss)
    )
    for module, constants in (*rows, (reductions, _BACKEND), (convolve, _BACKEND)):
        for name in constants.keys() & vars(module).keys():
            change(module, name, constants[name])
