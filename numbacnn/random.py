"""The library's generator: one stream of random numbers, drawn on the host in logical order, so that devices and layouts do not matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import recording
from .arguments import integer
from .errors import message
from .locks import watch
from .signatures import judged, shown

__all__ = ["draw", "generator", "get_rng_state", "key", "manual_seed", "set_rng_state"]

_generator = np.random.Generator(np.random.PCG64())
watch(_generator.bit_generator.lock)  # type: ignore[attr-defined]


def generator() -> np.random.Generator:
    """The generator that initialisers and ``nc.rand`` draw from."""
    recording.refuse("the random generator itself is asked for")
    return _generator


def draw(make: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
    """An array that is drawn from the library's generator; in each replay of a recorded step, drawn anew."""
    return recording.live(lambda: make(_generator), "draw")


def key() -> np.ndarray:
    """Two uint32 from the library's generator, for kernels that draw their own numbers from a counter."""
    return draw(lambda generator: generator.integers(0, 1 << 32, 2, np.uint32))


@judged
def manual_seed(seed: int) -> None:
    """Start the library's stream of random numbers anew from ``seed``.

    >>> import numbacnn as nc
    >>> nc.manual_seed(0); a = nc.rand(3); nc.manual_seed(0); bool((a == nc.rand(3)).all())
    True
    """
    recording.refuse("the random generator is set")
    _generator.bit_generator.state = np.random.PCG64(integer("manual_seed", "seed", seed, 0)).state


def get_rng_state() -> dict[str, Any]:
    """The generator's state, as plain numbers and strings (JSON can hold it)."""
    recording.refuse("the random generator's state is read")
    return dict(_generator.bit_generator.state)


@judged
def set_rng_state(state: dict[str, Any]) -> None:
    """Go on from a state that :func:`get_rng_state` gave.

    Raises:
        ValueError: it is no such state; the generator is then as it was.
    """
    try:
        recording.refuse("the random generator is set")
        trial: Any = np.random.PCG64()
        trial.state = state  # one that fits half is not half taken over
        _generator.bit_generator.state = state
    except (TypeError, ValueError, LookupError, OverflowError, AttributeError) as error:
        raise ValueError(message("set_rng_state", "a state that get_rng_state gave", shown(state), str(error))) from None
