"""The library's few switches, as plain module attributes.

>>> import numbacnn as nc
>>> nc.config.debug_kernels = True      # print which implementation of an operation was taken, and why
"""

from __future__ import annotations

import os

debug_kernels: bool = os.environ.get("NUMBACNN_DEBUG_KERNELS", "0") == "1"
"""Print each choice of an implementation to stderr."""

threads: int | None = None
"""Threads for CPU kernels; None: all that this process may use. Set it with :func:`numbacnn.set_num_threads`."""

quiet: bool = os.environ.get("NUMBACNN_QUIET", "0") == "1"
"""Do not say that a kernel is being compiled."""
