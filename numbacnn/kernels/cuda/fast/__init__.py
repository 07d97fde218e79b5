"""Kernels that do in one launch the work of several of ``simt``, or in one thread that of four. Those stay: they have run on a GPU."""
