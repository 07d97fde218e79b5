"""Frameworks as implementations: ``implementations("pytorch")`` imports PyTorch and gives what the laws call.

Each file here is an adapter: a function ``implementations()`` that imports its framework and gives a list of objects as ``testing.trial``
describes them. Yours needs no class of ours either: hand ``testing.judge`` any object with the callables, or write such a function
into a file of your own, for ``numbacnn selftest --framework mine.py``.
"""

from __future__ import annotations

import importlib
import pkgutil
import runpy
from pathlib import Path
from typing import Any

from ...errors import message
from ...signatures import shown

__all__ = ["FRAMEWORKS", "implementations"]

FRAMEWORKS = tuple(sorted(name for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_")))
"""The names of the adapters."""


def implementations(framework: str = "numbacnn", **options: Any) -> list[Any]:
    """What a framework offers: most give one implementation, numbacnn one for each of its ways to convolve.

    Args:
        framework: the name of an adapter, or the path of a Python file with a function ``implementations()``.

    Raises:
        ImportError: the framework is not installed.
        ValueError: there is no such adapter or file, or the file has no such function, or that gives no list of implementations.

    >>> [each.name for each in implementations("reference")]
    ['reference']
    """
    if framework in FRAMEWORKS:
        return importlib.import_module(f".{framework}", __name__).implementations(**options)  # type: ignore[no-any-return]
    if not framework.endswith(".py") or not Path(framework).is_file():
        expected = f"one of {', '.join(FRAMEWORKS)}, or the path of a Python file"
        raise ValueError(message("implementations", expected, repr(framework)))
    found = runpy.run_path(framework).get("implementations")
    if not callable(found):
        raise ValueError(message("implementations", "a function implementations() in the file", repr(framework)))
    given = found(**options)
    if not given or not isinstance(given, (list, tuple)):
        raise ValueError(message("implementations", "a list of implementations", shown(given)))
    return list(given)
