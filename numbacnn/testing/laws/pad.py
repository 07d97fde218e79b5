"""Padding."""

from __future__ import annotations

import numpy as np

from ..cases import PadCase
from ..trial import Trial
from .base import law
from .conv import dot

NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@law("pad")
def padding_modes_are_numpys(trial: Trial, case: PadCase) -> None:
    """constant, reflect, replicate and circular are NumPy's constant, reflect, edge and wrap; rows of 70 pixels and more too."""
    for x in (case.x, np.concatenate([case.x] * -(-70 // case.x.shape[-1]), -1)):
        wanted = np.pad(x, ((0, 0), (0, 0), *case.geometry), mode=NUMPY[case.mode])  # type: ignore[call-overload]
        trial.same(trial.pad(x, case.geometry, case.mode), wanted)


@law("pad", needs=("pad", "pad_grad"))
def padding_is_adjoint_to_its_gradient(trial: Trial, case: PadCase) -> None:
    """<pad(x), g> = <x, the gradient of x from g>."""
    rest = case.geometry, case.mode
    y, dx = trial.pad(case.x, *rest), trial.pad_grad(case.grad, case.x, *rest)
    trial.same(dx.shape, case.x.shape)
    trial.same(dot(case.x, dx), dot(y, case.grad))
