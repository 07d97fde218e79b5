"""Values of the host brought to the device while it works: nobody waits, and the copy runs beside the kernels.

A copy from ordinary memory waits for the device. So values go through page-locked memory first, two pieces of it in turn, and from there
by a stream of its own to blocks that no kernel has used since the upload before. Two events keep the order: the copy begins when the
kernels that were launched before the last upload have ended, and the next kernel begins when the copy has.
"""

from __future__ import annotations

import ctypes

import numpy as np

from ...locks import lock
from . import api, memory

__all__ = ["PIECE", "Uploads"]

PIECE = 4 << 20
"""Bytes of a piece of page-locked memory. What is larger goes in several."""
NON_BLOCKING = 1


class _Piece:
    """Page-locked memory, and the event that is over when it has been copied."""

    def __init__(self) -> None:
        self.values, self.copied = api.page_locked(PIECE), api.event()


class Uploads:
    """Brings arrays to the device."""

    def __init__(self) -> None:
        self._pool, self._lock, self._turn = memory.Pool(turns=True), lock(), 0
        self._pieces: list[_Piece] = []

    def _start(self) -> None:
        self._stream, self._launched = ctypes.c_void_p(), api.event()
        api.call("cuStreamCreate", ctypes.byref(self._stream), NON_BLOCKING)
        self._pieces = [_Piece(), _Piece()]

    def __call__(self, values: np.ndarray) -> memory.Buffer:
        """A flat array in C order, as a Buffer."""
        with self._lock:
            if not self._pieces:
                self._start()
            made = memory.allocate(values.size, values.dtype, self._pool)
            api.call("cuStreamWaitEvent", self._stream, self._launched, 0)
            bytes_ = values.view(np.uint8)
            for start in range(0, bytes_.size, PIECE):
                self._copy(made.address + start, bytes_[start : start + PIECE])
            self._pool.turn()
            api.call("cuEventRecord", self._launched, None)
            return made

    def _copy(self, address: int, values: np.ndarray) -> None:
        self._turn = 1 - self._turn
        piece = self._pieces[self._turn]
        api.wait_for(piece.copied)  # that is long over, mostly
        piece.values[: values.size] = values
        api.call("cuMemcpyHtoDAsync_v2", address, piece.values.ctypes.data, values.size, self._stream)
        api.call("cuEventRecord", piece.copied, self._stream)
        api.call("cuStreamWaitEvent", None, piece.copied, 0)
