"""The library's generator: one stream of random numbers, drawn on the host in logical order, so that devices and layouts do not matter."""

from __future__ import annotations

from typing import Any

import numpy as np

from .locks import watch

__all__ = ["generator", "get_rng_state", "manual_seed", "set_rng_state"]

_generator = np.random.Generator(np.random.PCG64())
watch(_generator.bit_generator.lock)  # type: ignore[attr-defined]


def generator() -> np.random.Generator:
    """The generator that initialisers, dropout and ``nc.rand`` draw from."""
    return _generator


def manual_seed(seed: int) -> None:
    """Start the library's stream of random numbers anew from ``seed``.

    >>> import numbacnn as nc
    >>> nc.manual_seed(0); a = nc.rand(3); nc.manual_seed(0); bool((a == nc.rand(3)).all())
    True
    """
    _generator.bit_generator.state = np.random.PCG64(seed).state


def get_rng_state() -> dict[str, Any]:
    """The generator's state, as plain numbers and strings (JSON can hold it)."""
    return dict(_generator.bit_generator.state)


def set_rng_state(state: dict[str, Any]) -> None:
    """Go on from a state that :func:`get_rng_state` gave."""
    _generator.bit_generator.state = state
