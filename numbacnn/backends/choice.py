"""Which implementation takes a convolution. A device has an ordered list of them: special ones first, the general one last.

The first that does not decline takes a pass of a geometry; with ``config.explain`` it is printed, and why the others declined. Inside
``only`` there are few of them, so that each can be judged by itself; ``in_front`` puts another before them. Both hold for the thread (or
the asyncio task) that entered them, as ``no_grad`` does, and may be nested.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Hashable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np

from .. import config
from ..errors import message
from ..geometry import ConvGeometry, PoolGeometry

__all__ = ["Algorithm", "Changed", "DType", "Declined", "chooser", "first_in_front", "in_front", "only", "ruled"]

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

    def costs_more(self, op: str, g: ConvGeometry, dtype: DType, kept: bool) -> str:
        """Why another is quicker though this one takes it; empty where it is not. Nobody asks inside ``only``.

        ``kept``: what the forward pass makes of the weights is kept for later calls.
        """
        return ""

    def reason(self, op: str, g: ConvGeometry, dtype: DType) -> str:
        """Why it does not take a pass, one of "forward", "grad_input" and "grad_weight"."""
        return self.declines_grad_input(g, dtype) if op == "grad_input" else self.declines(g, dtype)


# -- what a thread has changed ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Rule:
    only: tuple[str, ...] = ()
    front: tuple[tuple[str, str, Any], ...] = ()
    """(device, operation, algorithm), the last one entered first."""
    outer: _Rule | None = field(default=None, compare=False, repr=False)

    def before(self, device: str, op: str) -> tuple[Any, ...]:
        return tuple(algorithm for where, what, algorithm in self.front if (where, what) == (device, op))


_PLAIN = _Rule()
_rule: ContextVar[_Rule | None] = ContextVar("rule", default=None)
"""None nearly always: a key that costs nothing."""


def ruled() -> Hashable:
    """What this thread has changed: equal where the same algorithms are asked."""
    return _rule.get()


class Changed(contextlib.ContextDecorator):
    """A change of the rule; it can be entered again, inside itself too, and by many threads."""

    def __init__(self, change: Callable[[_Rule], _Rule], made_by: str) -> None:
        self.change, self.made_by = change, made_by

    def __repr__(self) -> str:
        return self.made_by

    def __enter__(self) -> None:
        outer = _rule.get()
        _rule.set(replace(self.change(outer or _PLAIN), outer=outer))

    def __exit__(self, *exc: object) -> None:
        _rule.set((_rule.get() or _PLAIN).outer)


def only(*names: str) -> Changed:
    """Let these algorithms alone convolve, also where another would be quicker; ``backends.get(device).algorithms`` names them.

    Of several the first on the list that takes a pass does it. A pass that none takes raises ``Declined``, which says why.

    >>> import numbacnn as nc
    >>> with only("direct"):
    ...     y = nc.nn.functional.conv2d(nc.ones(1, 1, 3, 3), nc.ones(1, 1, 2, 2))
    """
    return Changed(lambda rule: replace(rule, only=names), f"only({', '.join(map(repr, names))})")


def in_front(device: str, op: str, algorithm: Any, made_by: str = "") -> Changed:
    """Ask this algorithm of a device before those on its list; ``op`` is an operation with its axes, such as "conv2d".

    ``made_by``: the call that asks for it, as the user wrote it.
    """
    change = lambda rule: replace(rule, front=((device, op, algorithm), *rule.front))  # noqa: E731
    return Changed(change, made_by or f"in_front({device!r}, {op!r}, {algorithm.name})")


def first_in_front(device: str, op: str, which: str, g: PoolGeometry, dtype: DType) -> Any | None:
    """Of those that ``in_front`` put before a pooling, which has no list: the first that takes a pass of it. None nearly always."""
    rule = _rule.get()
    if rule is None:
        return None
    return next((found for found in rule.before(device, f"{op}{len(g.axes)}d") if not found.reason(which, g, dtype)), None)


# -- the choice ------------------------------------------------------------------------------------------------------------
A = TypeVar("A", bound=Algorithm)


def chooser(device: str, listed: Sequence[A]) -> Callable[..., A]:
    """``choose(op, geometry, dtype, kept=False)``: the first of these that takes ``op``, one of "forward", "grad_input" and "grad_weight".

    ``kept`` is said to ``costs_more``. Whoever asks must know it from what the pass is for, not from what happens to be kept: another
    algorithm gives other last bits.
    """

    @functools.lru_cache(maxsize=1024)
    def first(op: str, g: ConvGeometry, dtype: DType, kept: bool, winograd: bool, explain: bool, ruled: _Rule | None) -> A:
        rule = ruled or _PLAIN
        conv = f"conv{len(g.axes)}d"
        algorithms = (*rule.before(device, conv), *listed)
        title, declined = f"{conv} {op}", []
        what = f"{g.input_shape} * {g.weight_shape}, stride {g.stride}, padding {g.padding}"
        for algorithm in _allowed(title, algorithms, rule.only):
            reason = algorithm.reason(op, g, dtype) or ("" if rule.only else algorithm.costs_more(op, g, dtype, kept))
            if not reason:
                break
            declined.append(f"{algorithm.name}: {reason}")
        else:
            raise Declined(message(title, f"a convolution that {_either(rule.only)} takes", what, declined[-1]))
        if explain:
            print(f"[{title}] {what}: {algorithm.name}" + "".join(f"\n    not {line}" for line in declined), file=sys.stderr)
        return algorithm

    def choose(op: str, g: ConvGeometry, dtype: DType, kept: bool = False) -> A:
        return first(op, g, dtype, kept, config.winograd, config.explain, _rule.get())  # what decides is part of the key

    return choose


def _allowed(title: str, algorithms: Sequence[A], only: tuple[str, ...]) -> Sequence[A]:
    """Those with the names that may be used, if there are such."""
    found = [algorithm for algorithm in algorithms if not only or algorithm.name in only]
    if not found:
        raise Declined(message(title, f"one of {', '.join(algorithm.name for algorithm in algorithms)}", _either(only)))
    return found


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(map(repr, names))
