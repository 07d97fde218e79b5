"""Kernels that do the work of several of ``simt`` in one launch or of four threads in one. Those stay: they are the ones that have run on a GPU."""
