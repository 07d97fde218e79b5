"""Takes back what ``numbacnn.compat`` changes in tensors and modules, so that other tests of a process see them as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numbacnn as nc


@contextlib.contextmanager
def unadapted() -> Iterator[None]:
    """Within, ``compat`` may be imported."""
    modules = (nc.nn, nc.optim, nc.optim.lr_scheduler)
    classes = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    before = [(kind, dict(vars(kind))) for kind in (nc.Tensor, *classes)]
    try:
        yield
    finally:
        from numbacnn.compat.adapt import adapt

        adapt.cache_clear()
        for kind, members in before:
            for name in {*vars(kind)} - {*members}:
                delattr(kind, name)
            for name, value in members.items():
                if vars(kind)[name] is not value:
                    setattr(kind, name, value)
