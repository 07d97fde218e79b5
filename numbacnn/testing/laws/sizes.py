"""What the sizes of results are, far beyond what memory holds, and what must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..cases import ConvCase, PoolCase
from ..trial import LawBroken, Refused, Trial, conv_options, pool_options
from .base import law

LARGE = (2**31 - 7, 2**31 + 3, 2**33 + 1)


@law("conv", needs=("output_shape",))
def sizes_of_large_convolutions(trial: Trial, case: ConvCase) -> None:
    """Sizes follow (size + padding - dilation (kernel - 1) - 1) // stride + 1 in whole numbers, beyond 2^31 too."""
    for large in LARGE:
        g = case.geometry.along(size=large)
        found = trial.shape_of(f"conv{len(g.axes)}d", (g.input_shape, g.weight_shape), **conv_options(g))
        trial.same(found, _exact(g, g.oc))


@law("max_pool", "avg_pool", needs=("output_shape",))
def sizes_of_large_poolings(trial: Trial, case: PoolCase, family: str) -> None:
    """Sizes follow the same formula; with ceil_mode it rounds up where that window starts before the image ends."""
    for large in LARGE:
        g = case.geometry.along(size=large)
        found = trial.shape_of(f"{family}{len(g.axes)}d", (g.input_shape,), g.kernel, **pool_options(g, case.divisor))
        trial.same(found, _exact(g, g.c))


def _exact(g: Any, channels: int) -> tuple[int, ...]:
    """The shape by Python's integers, from the definition."""
    sizes = []
    for axis in g.axes:
        room = axis.size + axis.before + axis.after - axis.dilation * (axis.kernel - 1) - 1
        count, rest = divmod(room, axis.stride)
        sizes.append(count + 1 + bool(axis.ceil and rest and (count + 1) * axis.stride < axis.size + axis.before))
    return (g.n, channels, *sizes)


def _refuses(what: str, call: Callable[[], np.ndarray], none: bool = False) -> None:
    """Break the law unless the call raises (``none``: or gives nothing)."""
    try:
        found = call()
    except Refused:
        return
    if not (none and found.size == 0):
        raise LawBroken(f"expected an error for {what}; received shape {found.shape}", found)


@law("conv")
def nonsense_convolutions_are_refused(trial: Trial, case: ConvCase) -> None:
    """What has no meaning is refused: a kernel of other channels, a bias of another length, stride 0, a kernel beyond the image."""
    g, x, w = case.geometry, case.x, case.w
    name, options = f"conv{len(g.axes)}d", conv_options(g)
    zero = (0,) * len(g.axes)
    trial.conv(x, w, g)  # who refuses this too has not looked
    more = np.concatenate([w, w[:, :1]], 1)
    _refuses(f"a weight {more.shape} for an input {x.shape} in {g.groups} groups", lambda: trial.call(name, x, more, **options))
    _refuses("a bias that is one longer", lambda: trial.call(name, x, w, np.resize(case.b, g.oc + 1), **options))
    _refuses("stride 0", lambda: trial.call(name, x, w, **options | {"stride": zero}))
    _refuses("dilation 0", lambda: trial.call(name, x, np.repeat(w, 2, -1), **options | {"dilation": zero}))
    wide = np.resize(w, (*w.shape[:2], *(axis.padded + 1 for axis in g.axes)))
    _refuses("a kernel beyond the padded image", lambda: trial.call(name, x, wide, **conv_options(g.along(dilation=1, stride=1))), True)
    if g.groups > 1:
        fewer = replace(g, groups=1)
        _refuses("a weight for more groups", lambda: trial.call(name, x, w, **conv_options(fewer)))


@law("max_pool", "avg_pool")
def nonsense_poolings_are_refused(trial: Trial, case: PoolCase, family: str) -> None:
    """What has no meaning is refused: windows of no pixels, stride 0, a window beyond the image."""
    g, x = case.geometry, case.x
    name, options = f"{family}{len(g.axes)}d", pool_options(g, case.divisor)
    zero = (0,) * len(g.axes)
    trial.call(name, x, sizes=(g.kernel,), **options)
    _refuses("a window of 0 pixels", lambda: trial.call(name, x, sizes=(zero,), **options))
    _refuses("stride 0", lambda: trial.call(name, x, sizes=(g.kernel,), **options | {"stride": zero}))
    beyond = tuple(axis.size + 2 * axis.before + 1 for axis in g.axes)
    plain = {"padding": g.before} if any(g.before) else {}
    _refuses("a window beyond the padded image", lambda: trial.call(name, x, sizes=(beyond,), stride=(1,) * len(g.axes), **plain), True)


@law("conv_transpose")
def nonsense_transposed_convolutions_are_refused(trial: Trial, case: ConvCase) -> None:
    """What has no meaning is refused: a kernel of other channels, stride 0."""
    g, name = case.geometry, f"conv_transpose{len(case.geometry.axes)}d"
    trial.conv_transpose(case.grad, case.w, g)
    more = np.concatenate([case.w, case.w[:1]])
    _refuses(f"a weight {more.shape} for an input {case.grad.shape}", lambda: trial.call(name, case.grad, more, groups=g.groups))
    _refuses("stride 0", lambda: trial.call(name, case.grad, case.w, groups=g.groups, stride=(0,) * len(g.axes)))
