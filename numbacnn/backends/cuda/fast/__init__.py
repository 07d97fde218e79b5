"""Families of operations in fewer launches and wider accesses than those beside this folder, on the kernels of ``kernels.cuda.fast``."""
