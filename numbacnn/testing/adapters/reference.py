"""The library's reference, in plain NumPy."""

from __future__ import annotations

from typing import Any

from ... import reference
from ._passes import from_passes

__all__ = ["implementations"]


def implementations() -> list[Any]:
    """The reference as an implementation."""
    return [from_passes(reference, "reference")]
