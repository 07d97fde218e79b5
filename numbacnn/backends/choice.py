"""Which implementation takes a convolution. A device has an ordered list of them: special ones first, the general one last.

The first that does not decline takes a pass of a geometry; with ``config.explain`` it is printed, and why the others declined. Inside
``only`` there is one of them, so that each can be judged by itself; ``in_front`` puts another before them. Both hold for the thread (or
the asyncio task) that entered them, as ``no_grad`` does, and may be nested.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Generator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np

from .. import config
from ..errors import message
from ..geometry import ConvGeometry

__all__ = ["Algorithm", "DType", "Declined", "chooser", "in_front", "only"]

DType: TypeAlias = str | np.dtype
"""A dtype or its name: a cache's key. Asking NumPy for a dtype's name costs a microsecond."""


class Declined(ValueError):
    """The one algorithm that may be used does not take this pass of a convolution."""


class Algorithm:
    """One way to convolve."""

    name = ""

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        """Why it does not take this geometry; empty where it does."""
        raise NotImplementedError

    def declines_grad_input(self, g: ConvGeometry, dtype: DType) -> str:
        """The same for the input gradient."""
        return self.declines(g, dtype)

    def costs_more(self, op: str, g: ConvGeometry, dtype: DType) -> str:
        """Why another is quicker though this one takes it; empty where it is not. Nobody asks inside ``only``."""
        return ""

    def reason(self, op: str, g: ConvGeometry, dtype: DType) -> str:
        """Why it does not take a pass, one of "forward", "grad_input" and "grad_weight"."""
        return self.declines_grad_input(g, dtype) if op == "grad_input" else self.declines(g, dtype)


# -- what a thread has changed ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Rule:
    only: str = ""
    front: tuple[tuple[str, str, Any], ...] = ()
    """(device, operation, algorithm), the last one entered first."""

    def before(self, device: str, op: str) -> tuple[Any, ...]:
        return tuple(algorithm for where, what, algorithm in self.front if (where, what) == (device, op))


_PLAIN = _Rule()
_rule: ContextVar[_Rule | None] = ContextVar("rule", default=None)
"""None nearly always: a key that costs nothing."""


@contextlib.contextmanager
def _ruled(rule: _Rule) -> Generator[None, None, None]:
    token = _rule.set(rule)
    try:
        yield
    finally:
        _rule.reset(token)


def only(name: str) -> contextlib.AbstractContextManager[None]:
    """Let this algorithm alone convolve, also where another would be quicker; ``backends.get(device).algorithms`` names them.

    A pass that it does not take raises ``Declined``, which says why.

    >>> import numbacnn as nc
    >>> with only("direct"):
    ...     y = nc.nn.functional.conv2d(nc.ones(1, 1, 3, 3), nc.ones(1, 1, 2, 2))
    """
    return _ruled(replace(_rule.get() or _PLAIN, only=name))


def in_front(device: str, op: str, algorithm: Any) -> contextlib.AbstractContextManager[None]:
    """Ask this algorithm of a device before those on its list; ``op`` is an operation, such as "conv2d"."""
    rule = _rule.get() or _PLAIN
    return _ruled(replace(rule, front=((device, op, algorithm), *rule.front)))


# -- the choice ------------------------------------------------------------------------------------------------------------
A = TypeVar("A", bound=Algorithm)


def chooser(device: str, listed: Sequence[A]) -> Callable[[str, ConvGeometry, DType], A]:
    """``choose(op, geometry, dtype)``: the first of these that takes ``op``, one of "forward", "grad_input" and "grad_weight"."""

    @functools.lru_cache(maxsize=1024)
    def first(op: str, g: ConvGeometry, dtype: DType, winograd: bool, explain: bool, ruled: _Rule | None) -> A:
        rule = ruled or _PLAIN
        conv = f"conv{len(g.axes)}d"
        algorithms = (*rule.before(device, conv), *listed)
        title, declined = f"{conv} {op}", []
        what = f"{g.input_shape} * {g.weight_shape}, stride {g.stride}, padding {g.padding}"
        for algorithm in _allowed(title, algorithms, rule.only):
            reason = algorithm.reason(op, g, dtype) or ("" if rule.only else algorithm.costs_more(op, g, dtype))
            if not reason:
                break
            declined.append(f"{algorithm.name}: {reason}")
        else:
            raise Declined(message(title, f"a convolution that {rule.only!r} takes", what, declined[-1]))
        if explain:
            print(f"[{title}] {what}: {algorithm.name}" + "".join(f"\n    not {line}" for line in declined), file=sys.stderr)
        return algorithm

    def choose(op: str, g: ConvGeometry, dtype: DType) -> A:
        return first(op, g, dtype, config.winograd, config.explain, _rule.get())  # what decides is part of the key

    return choose


def _allowed(title: str, algorithms: Sequence[A], only: str) -> Sequence[A]:
    """Those with the one name that may be used, if there is one."""
    found = [algorithm for algorithm in algorithms if only in ("", algorithm.name)]
    if not found:
        raise Declined(message(title, f"one of {', '.join(algorithm.name for algorithm in algorithms)}", repr(only)))
    return found
