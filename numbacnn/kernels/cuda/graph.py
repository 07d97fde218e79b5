"""Launches that are repeated: packed once, and launched by the driver as one graph, or one by one.

The graph is a chain with a node a launch. It is made of what the launches are, not captured while they run: so nothing is forbidden
meanwhile, and arguments that have changed are set in their node.
"""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from collections.abc import Sequence
from ctypes import c_uint, c_void_p
from typing import Any

from . import api, held
from .launcher import Launcher, Packed

__all__ = ["Launches"]


class _Node(ctypes.Structure):
    """The driver's ``CUDA_KERNEL_NODE_PARAMS_v2``."""

    _fields_ = (
        ("function", c_void_p),
        ("grid", c_uint * 3),
        ("block", c_uint * 3),
        ("shared", c_uint),
        ("parameters", c_void_p),
        ("extra", c_void_p),
        ("kernel", c_void_p),
        ("context", c_void_p),
    )


class Launches:
    """Launches in order.

    Args:
        launcher: what prepares them.
        count: how many they are; each is :meth:`set` before the first run.
        as_graph: whether the driver launches them as one.
    """

    def __init__(self, launcher: Launcher, count: int, as_graph: bool) -> None:
        self._launcher, self._as_graph = launcher, as_graph
        self._rooms: list[Any] = [None] * count
        self._handles = [0] * count
        self._nodes: list[c_void_p] = []
        self._graph = c_void_p()

    def set(self, i: int, kernel: Any, grid: Sequence[int], block: int, values: Sequence[Any]) -> None:
        """What launch ``i`` is from now on: the kernel, and how many arguments there are, never change."""
        compiled, numbers = self._launcher.prepare(kernel, values)
        room = self._rooms[i]
        if room is None:
            room = self._rooms[i] = Packed(compiled.size)
            self._handles[i] = compiled.handle
        before = room.buffer.raw
        room.write(compiled, grid, block, numbers)
        if self._nodes and room.buffer.raw != before:
            api.call("cuGraphExecKernelNodeSetParams_v2", self._graph, self._nodes[i], ctypes.byref(self._described(i)))

    def run(self) -> None:
        """Launch all, behind what waits."""
        held.settle()
        if not self._as_graph:
            self._launcher.launch_again(self._rooms, self._handles)
            return
        if not self._nodes:
            self._make_graph()
        api.call("cuGraphLaunch", self._graph, None)

    def _described(self, i: int) -> _Node:
        room, (gx, gy, gz, bx, by, bz) = self._rooms[i], self._rooms[i].extent
        return _Node(self._handles[i], (gx, gy, gz), (bx, by, bz), 0, None, room.extra, None, None)

    def _make_graph(self) -> None:
        graph = c_void_p()
        nodes: list[c_void_p] = []
        api.call("cuGraphCreate", ctypes.byref(graph), 0)
        try:
            for i in range(len(self._rooms)):
                before = ctypes.byref(nodes[-1]) if nodes else None
                nodes.append(c_void_p())
                described = ctypes.byref(self._described(i))
                api.call("cuGraphAddKernelNode_v2", ctypes.byref(nodes[-1]), graph, before, int(i > 0), described)
            api.call("cuGraphInstantiateWithFlags", ctypes.byref(self._graph), graph, 0)
        except BaseException:
            with contextlib.suppress(Exception):
                api.call("cuGraphDestroy", graph)
            raise
        self._nodes = nodes
        weakref.finalize(self, _destroy, self._graph, graph)


def _destroy(ready: c_void_p, graph: c_void_p) -> None:
    with contextlib.suppress(Exception):  # at the end of the process the driver may be gone
        api.call("cuGraphExecDestroy", ready)
        api.call("cuGraphDestroy", graph)
