"""The kernels of the devices, and what only kernels need.

Short names of types: ``u8``, ``i4``, ``f4`` are NumPy's on the CPU (by bytes), ``U`` and ``I`` Numba's uint32 and int32 on CUDA. An index
that is cast to an unsigned type spares Numba's test for a negative one.
"""
