"""Kernels for any GPU, one thread a result or a small tile of them, in plain arithmetic: what faster forms fall back to."""
