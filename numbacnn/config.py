"""The library's few switches, as plain module attributes.

>>> import numbacnn as nc
>>> nc.config.quiet = True      # do not say that a kernel is being compiled
"""

from __future__ import annotations

import os

threads: int | None = None
"""Threads for CPU kernels; None: all that this process may use. Set it with :func:`numbacnn.set_num_threads`."""

quiet: bool = os.environ.get("NUMBACNN_QUIET", "0") == "1"
"""Do not say that kernels are being compiled, or cannot be kept for the next run."""

winograd: bool = True
"""Let 3x3 convolutions of stride 1 take Winograd's algorithm: up to twice as fast, a relative rms error of some 3e-6 instead of 3e-7.

It is chosen where it pays, which depends on the batch too: an image may have other bits in a batch of another size. (So do linear layers,
which take up to eight rows another way.)"""

explain: bool = os.environ.get("NUMBACNN_EXPLAIN", "0") == "1"
"""Print which algorithm takes each convolution on its device, and why the others declined."""

fuse: bool = True
"""Let ``nn.Sequential`` have a layer do the work of its neighbours in fewer passes over memory, to the same bits: the activation behind a
convolution or linear layer, the average pooling behind a convolution, the Flatten before a linear layer."""

cuda_path: str = os.environ.get("NUMBACNN_CUDA_PATH", "auto")
"""How work reaches a CUDA device: "safe" is Numba's own launch and memory, and the kernels that need many launches; "fast" the library's
launcher, its free list of memory, and kernels that need few; "auto" the fast one where it has been found right on this machine. Set it
before the device is first used."""

cuda_graphs: bool = True
"""Let the driver launch the kernels of a plan as one graph; False: the library launches them one by one. The bits are the same."""

compile: bool = True
"""Let functions and modules that went through ``nc.compile`` be replayed as plans; False: they run as they are."""
