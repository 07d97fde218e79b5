"""Names of pointwise operations that kernels are told as a number: the place in its tuple. So a new name goes to the end of one."""

from __future__ import annotations

__all__ = ["ACTIVATIONS", "BINARY", "COMPARISON", "FLOOR", "UNARY"]

UNARY = ("negative", "exp", "log", "log1p", "sqrt", "absolute", "sign", "logical_not", "relu", "sigmoid", "tanh", "erf")

FLOOR = ("floor_divide", "remainder")
"""Those of BINARY that round down."""

BINARY = ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", *FLOOR)

COMPARISON = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")

ACTIVATIONS = ("none", "relu", "sigmoid", "tanh")
"""What a convolution or a linear layer can apply to its result."""
