"""Tools for testing: gradients against differences, adjoints, and laws that every convolution and pooling keeps, in any framework.

``gradcheck`` and ``adjoint_check`` take functions of Tensors. ``judge`` holds an implementation, an object of callables on NumPy arrays
(``trial`` says which), to the ``laws`` and gives the smallest case that breaks one; ``adapters`` has some of other frameworks.
``numbacnn selftest`` does so from the command line, and ``nc.use_kernel`` with a kernel of your own, which ``compare`` times beside the
built-in one. Drawing cases needs Hypothesis: ``pip install "numbacnn[test]"``.

>>> import numbacnn as nc
>>> from numbacnn.testing import gradcheck
>>> gradcheck(nc.Tensor.tanh, [nc.randn(3, dtype="float64", requires_grad=True)])
True
"""

from importlib import import_module
from typing import Any

from .cases import AdaptiveCase, ConvCase, NormCase, PadCase, PoolCase
from .comparison import compare
from .finding import Finding
from .gradients import GradientError, adjoint_check, gradcheck
from .judge import Verdict, judge
from .laws import LAWS, Law
from .trial import LawBroken, Trial

__all__ = [
    "LAWS",
    "AdaptiveCase",
    "ConvCase",
    "Finding",
    "GradientError",
    "Law",
    "LawBroken",
    "NormCase",
    "PadCase",
    "PoolCase",
    "Trial",
    "Verdict",
    "adjoint_check",
    "compare",
    "gradcheck",
    "judge",
]


def __getattr__(name: str) -> Any:
    if name in ("adapters", "child", "strategies"):  # imported when first asked for: strategies need Hypothesis
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
