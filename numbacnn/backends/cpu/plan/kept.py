"""Plans that were made are kept, up to so many bytes of tables."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["PLAN_BYTES", "forget", "kept"]

PLAN_BYTES = 1 << 27
"""What all plans together may occupy. Where one passes it, all are forgotten: they are soon made again."""

F = TypeVar("F", bound=Callable[..., Any])

_caches: list[Any] = []
_held = 0  # bytes of the plans made since all were forgotten


def forget() -> None:
    """Forget all plans."""
    global _held
    for cache in _caches:
        cache.cache_clear()
    _held = 0


def kept(make: F) -> F:
    """A cache of plans: what ``make`` returns has ``nbytes``, or is a sequence of pairs whose second has."""

    @functools.lru_cache(maxsize=256)
    @functools.wraps(make)
    def call(*key: Any) -> Any:
        global _held
        found = make(*key)
        plans = [plan for _, plan in found] if isinstance(found, tuple) else [found]
        _held += sum(plan.nbytes for plan in plans)
        if _held > PLAN_BYTES:
            forget()
        return found

    _caches.append(call)
    return call  # type: ignore[return-value]
