"""The library's generator: one stream of random numbers, drawn on the host in logical order, so that devices and layouts do not matter."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from . import recording
from .arguments import integer
from .errors import message
from .locks import watch
from .signatures import judged, shown

__all__ = [
    "Generator",
    "check_generator",
    "draw",
    "drawing_from",
    "generator",
    "get_rng_state",
    "initial_seed",
    "key",
    "manual_seed",
    "permutation",
    "set_rng_state",
]

_seed = secrets.randbits(63)
_generator = np.random.Generator(np.random.PCG64(_seed))
watch(_generator.bit_generator.lock)  # type: ignore[attr-defined]


_local = threading.local()


def _stream() -> np.random.Generator:
    found = getattr(_local, "stream", None)
    if callable(found):
        found = _local.stream = found()
    return _generator if found is None else found


class drawing_from:
    """Within, this thread draws from ``stream`` instead of the library's generator. A loader makes each example so.

    A function is called at the first draw: most examples draw nothing, and to make a generator takes longer than to make some of them.
    """

    def __init__(self, stream: np.random.Generator | Callable[[], np.random.Generator]) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        self.before = getattr(_local, "stream", None)
        _local.stream = self.stream

    def __exit__(self, *exc: object) -> None:
        _local.stream = self.before


def generator() -> np.random.Generator:
    """The generator that initialisers and ``nc.rand`` draw from."""
    recording.refuse("the random generator itself is asked for")
    return _stream()


def draw(make: Callable[[np.random.Generator], np.ndarray], generator: Generator | None = None) -> np.ndarray:
    """An array that is drawn from a generator, by default the library's; in each replay of a recorded step, drawn anew."""
    return recording.live(lambda: make(_stream() if generator is None else generator.numpy), "draw")


def permutation(n: int, generator: np.random.Generator | None = None) -> np.ndarray:
    """0 .. n - 1 in random order, drawn from a generator, by default the one that this thread draws from.

    Made from the generator's raw words, whose values never change; those of ``Generator.permutation`` may with NumPy's version.
    """
    words = (_stream() if generator is None else generator).bit_generator.random_raw(n)  # type: ignore[attr-defined]
    return np.argsort(words, kind="stable")


def key() -> np.ndarray:
    """Two uint32 from the library's generator, for kernels that draw their own numbers from a counter."""
    return draw(lambda generator: generator.integers(0, 1 << 32, 2, np.uint32))


@judged
def manual_seed(seed: int) -> None:
    """Start the library's stream of random numbers anew from ``seed``; for code that a loader calls, the stream that it draws from.

    >>> import numbacnn as nc
    >>> nc.manual_seed(0); a = nc.rand(3); nc.manual_seed(0); bool((a == nc.rand(3)).all())
    True
    """
    global _seed
    recording.refuse("the random generator is set")
    seed, source = integer("manual_seed", "seed", seed, 0), _stream().bit_generator
    if source is _generator.bit_generator:
        _seed = seed
    source.state = type(source)(seed).state  # type: ignore[call-arg]


def initial_seed() -> int:
    """The number that the library's stream was started from: that of :func:`manual_seed`, or one that the system drew.

    >>> manual_seed(3)
    >>> initial_seed()
    3
    """
    return _seed


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
    _go_on("set_rng_state", _generator, state)


def _go_on(op: str, stream: np.random.Generator, state: dict[str, Any]) -> None:
    try:
        recording.refuse("the random generator is set")
        trial: Any = np.random.PCG64()
        trial.state = state  # one that fits half is not half taken over
        stream.bit_generator.state = state
    except (TypeError, ValueError, LookupError, OverflowError, AttributeError) as error:
        raise ValueError(message(op, "a state that get_rng_state gave", shown(state), str(error))) from None


def check_generator(op: str, generator: Any) -> None:
    """TypeError for what is neither a Generator nor None."""
    if not isinstance(generator, (Generator, type(None))):
        raise TypeError(message(op, "generator as a Generator or None", shown(generator)))


class Generator:
    """A stream of random numbers of one's own, for functions that take ``generator=``. It starts from a number that the system draws.

    Numbers are drawn on the host, whatever device they go to; ``numpy`` is the NumPy generator behind it.

    >>> a, b = Generator().manual_seed(3), Generator().manual_seed(3)
    >>> a.initial_seed(), a.get_state() == b.get_state()
    (3, True)
    """

    def __init__(self) -> None:
        self.seed()

    @judged
    def manual_seed(self, seed: int) -> Generator:
        """Start the stream anew from ``seed``."""
        recording.refuse("a random generator is set")
        self._seed = integer("Generator.manual_seed", "seed", seed, 0)
        self.numpy = np.random.Generator(np.random.PCG64(self._seed))
        watch(self.numpy.bit_generator.lock)  # type: ignore[attr-defined]
        return self

    def seed(self) -> int:
        """Start anew from a number that the system draws, and return it."""
        return self.manual_seed(secrets.randbits(63)).initial_seed()

    def initial_seed(self) -> int:
        """The number that the stream was started from."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """The state, as plain numbers and strings."""
        recording.refuse("a random generator's state is read")
        return dict(self.numpy.bit_generator.state)

    @judged
    def set_state(self, state: dict[str, Any]) -> Generator:
        """Go on from a state that ``get_state`` or ``get_rng_state`` gave; ValueError for anything else."""
        _go_on("Generator.set_state", self.numpy, state)
        return self
