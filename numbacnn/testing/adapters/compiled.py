"""numbacnn's compiled steps: the laws see what is replayed."""

from __future__ import annotations

from typing import Any

from . import numbacnn

__all__ = ["implementations"]


def implementations() -> list[Any]:
    """The library as it is called, each call recorded and replayed."""
    users, *_ = numbacnn.implementations()
    users.name = "numbacnn, compiled"
    users.set_compiled(True)
    del users.set_compiled
    return [users]
