"""Families of operations in fewer launches than those beside this folder, on the kernels of ``kernels.cuda.fast``."""
