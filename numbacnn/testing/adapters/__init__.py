"""Frameworks as implementations: ``implementations("pytorch")`` imports PyTorch and gives what the laws call.

Each file here is an adapter, at most 40 lines: a function ``implementations()`` that imports its framework and gives a list of objects as
``testing.trial`` describes them. Yours needs no class of ours either: hand ``testing.judge`` any object with the callables.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from ...errors import message

__all__ = ["FRAMEWORKS", "implementations"]

FRAMEWORKS = tuple(sorted(name for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_")))
"""The names of the adapters."""


def implementations(framework: str = "numbacnn", **options: Any) -> list[Any]:
    """What a framework offers: most give one implementation, numbacnn one for each of its ways to convolve.

    Raises:
        ImportError: the framework is not installed.
        ValueError: there is no adapter of that name.

    >>> [each.name for each in implementations("reference")]
    ['reference']
    """
    if framework not in FRAMEWORKS:
        raise ValueError(message("implementations", f"one of {', '.join(FRAMEWORKS)}", repr(framework)))
    return importlib.import_module(f".{framework}", __name__).implementations(**options)  # type: ignore[no-any-return]
