"""A copy of a network that only answers: batch normalisation folded into convolutions, weights packed once, calls replayed."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, TypeVar

import numpy as np

from ..errors import message
from ..nn import BatchNorm2d, Conv2d, Identity, Module, ModuleList, Sequential
from ..nn.parameter import FrozenParameter
from ..nn.utils import fuse_conv_bn_eval
from ..signatures import judged, shown
from ..tensor import Tensor, inference_mode, zeros
from ..tensor.tape import watching

__all__ = ["optimize_for_inference"]

M = TypeVar("M", bound=Module)

SIZES = (28, 32, 64, 96, 128, 224, 256, 299, 512)
"""Heights and widths of pictures that networks are made for."""


@judged
def optimize_for_inference(net: M, example: Tensor | tuple[Tensor, ...] | None = None) -> M:
    """A copy of a network that answers faster: each batch normalisation behind a convolution is folded into it, and calls are compiled.

    Call it without a gradient: in ``nc.inference_mode()``, by ``predict``, ``evaluate`` or ``Predictor.of``. Its results are not those of
    ``net`` bit for bit: its attribute ``deviation`` tells how far they are off on the example (None: there was none). The copy is
    read-only.

    Args:
        net: stays as it is; what it has learnt later is not in the copy.
        example: an input, or a tuple of them, with which the network is run to see which layer follows which, and how far the copy is off.
            None: a black picture of the first of the usual sizes that the network takes, to see the former only.

    Raises:
        TypeError: where ``net`` is no Module, or the example no Tensor.
        ValueError: without an example, where the network takes no such picture.
        RuntimeError: by the copy, where somebody writes to its parameters.

    >>> import numbacnn as nc
    >>> net = nc.nn.Sequential(nc.nn.Conv2d(1, 4, 3), nc.nn.BatchNorm2d(4), nc.nn.ReLU())
    >>> fast = nc.optimize_for_inference(net, nc.rand(1, 1, 8, 8))
    >>> len(fast), fast.deviation < 1e-5
    (2, True)
    """
    given = example if isinstance(example, tuple) else () if example is None else (example,)
    if not isinstance(net, Module) or not all(isinstance(x, Tensor) for x in given):
        raise TypeError(message("optimize_for_inference", "a Module and a Tensor", f"{shown(net)} and {shown(example)}"))
    made = copy.deepcopy(net).eval().requires_grad_(False)
    with inference_mode():
        inputs = _picture(made) if example is None else given
        before = _arrays(made(*inputs))
        for conv, norm in _pairs(made, inputs):
            _replace(made, conv, fuse_conv_bn_eval(conv, norm))
            _replace(made, norm, None)
        after = _arrays(made(*inputs))
    for p in made.parameters():
        p.__class__ = FrozenParameter  # type: ignore[assignment]
    found = max((_deviation(a, b) for a, b in zip(before, after)), default=0.0)
    made.deviation = None if example is None else found  # type: ignore[assignment]
    made.compile()
    return made


def _picture(net: Module) -> tuple[Tensor, ...]:
    """A picture that the network takes."""
    channels = next((m.in_channels for m in net.modules() if isinstance(m, Conv2d)), 1)
    like = next(net.parameters(), None)
    place: dict[str, Any] = {} if like is None else {"dtype": like.dtype, "device": like.device}
    reason: Exception | None = None
    for size in SIZES:
        picture = zeros(1, channels, size, size, **place)
        try:
            net(picture)
        except Exception as error:  # whatever the network says to such a picture
            reason = error
        else:
            return (picture,)
    expected = f"an example, for the network takes no picture of {channels} channels and one of the usual sizes"
    raise ValueError(message("optimize_for_inference", expected, "None", "pass an input of the network")) from reason


def _pairs(net: Module, inputs: tuple[Tensor, ...]) -> list[tuple[Conv2d, BatchNorm2d]]:
    """The convolutions whose results go to a batch normalisation and nowhere else, each called once."""
    results: dict[int, tuple[Conv2d, Tensor]] = {}
    taken: list[tuple[BatchNorm2d, Tensor]] = []
    calls: Counter[Module] = Counter()
    used: Counter[int] = Counter()

    def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
        calls[module] += 1
        if isinstance(module, BatchNorm2d):
            taken.append((module, args[0]))
        else:
            results[id(output)] = module, output

    def watch(op: Any, args: Any, result: Any) -> None:
        used.update(map(id, args))
        used[id(result)] = 0  # another tensor, gone by now, may have had its id

    handles = [m.register_forward_hook(hook) for m in net.modules() if type(m) in (Conv2d, BatchNorm2d)]
    try:
        with watching(watch):
            net(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    pairs = [(results[id(x)][0], norm) for norm, x in taken if id(x) in results and used[id(x)] == 1]
    return [(conv, norm) for conv, norm in pairs if calls[conv] == calls[norm] == 1 and norm.running_mean is not None]


def _replace(net: Module, old: Module, new: Module | None) -> None:
    """Put another module, or none, in the place of one."""
    for parent in net.modules():
        for name, child in list(parent._modules.items()):
            if child is not old:
                continue
            if new is None and isinstance(parent, (Sequential, ModuleList)):
                delattr(parent, name)
            else:
                setattr(parent, name, Identity() if new is None else new)


def _arrays(output: Any) -> list[np.ndarray]:
    parts = output if isinstance(output, tuple) else (output,)
    return [np.array(t, np.float64) for t in parts if isinstance(t, Tensor)]


def _deviation(a: np.ndarray, b: np.ndarray) -> float:
    """The root of the mean square of the differences, relative to that of the values."""
    return float(np.sqrt(((a - b) ** 2).sum() / max((a**2).sum(), np.finfo(np.float64).tiny)))
