"""CUDA kernels: sets of ``@cuda.jit`` functions over flat arrays and plain integers, which ``backends/cuda`` launches.

``driver`` is the door to Numba and to the device, ``views`` the arithmetic of strides, ``simt`` holds the kernels.

Rules (each learned from a measurement or a bug):

- every step of an index is cast (``U(U(n * H) + h)``): Numba widens int32 + int32 to int64, and 64-bit division is slow;
- constants come from the array's dtype (``x.dtype.type(0)``): a bare ``0.5`` would drag float64 into a float32 kernel;
- a thread block owns what it writes, sums have a fixed order, and there are no atomics: the same input gives the same bits;
- tile extents are module constants, each ``cuda.shared.array`` stands on a line of its own, and ``cuda`` comes from ``driver``: the
  simulator needs all three;
- no warp shuffles: the simulator has none. No ``min`` and ``max``: the simulator has them, but Numba 0.68 cannot compile them for a GPU.
"""
