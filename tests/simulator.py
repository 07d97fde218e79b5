"""Blocks in CUDA's simulator whose threads take turns: each runs to where it waits for the others, or to its end, before the next runs.

The simulator's own way lets them run at once, and asks without a pause whether all of them wait: three quarters of its time. In turns, the
first thread comes too early to what another should have written: a barrier that is missing is seen each time, and not by chance.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import numpy as np
from numba.cuda.simulator import kernel


class Turn:
    """In the place of the event that a thread waits for at a barrier."""

    def __init__(self, back: SimpleQueue[None]) -> None:
        self.back, self.turn = back, SimpleQueue[None]()

    def wait(self) -> None:
        self.back.put(None)
        self.turn.get()

    def set(self) -> None:
        self.turn.put(None)

    def clear(self) -> None:
        """A turn that is taken is over."""


def run(block: Any, place: Any, *args: Any) -> None:
    """In the place of ``BlockManager.run``. A kernel without shared memory runs in this thread, where a barrier would be an error."""
    if {"shared", "syncthreads"} & {*block._f.__code__.co_names}:
        take_turns(block, place, args)
        return
    this: Any = threading.current_thread()
    this.blockIdx = kernel.Dim3(*place)
    for thread in np.ndindex(*block._block_dim):
        this.threadIdx = kernel.Dim3(*thread)
        block._f(*args)


def take_turns(block: Any, place: Any, args: Any) -> None:
    back: SimpleQueue[None] = SimpleQueue()

    def whole() -> None:
        try:
            block._f(*args)
        finally:
            back.put(None)

    waiting = [kernel.BlockThread(whole, block, place, thread, False) for thread in np.ndindex(*block._block_dim)]
    for thread in waiting:
        thread.syncthreads_event = Turn(back)
    go = kernel.BlockThread.start
    while waiting:
        for thread in waiting:
            thread.syncthreads_blocked = False
            go(thread)
            back.get()
            if not thread.syncthreads_blocked:  # it ran to its end
                thread.join()
            if thread.exception:
                for other in waiting:
                    other.abort = True
                    other.syncthreads_event.set()
                raise thread.exception[0].with_traceback(thread.exception[1])
        waiting = [thread for thread in waiting if thread.syncthreads_blocked]
        go = lambda thread: thread.syncthreads_event.set()
