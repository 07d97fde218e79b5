"""Networks by name, as the command line knows them."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import message
from ..nn import Sequential
from .lenet import lenet, lenet_modern

__all__ = ["get", "lenet", "lenet_modern", "registry"]

registry: dict[str, Callable[..., Sequential]] = {"lenet": lenet, "lenet-modern": lenet_modern}
"""The command line's names for the functions that make a network from ``classes`` and ``in_channels``."""


def get(name: str) -> Callable[..., Sequential]:
    """The function that makes the network of this name.

    Raises:
        ValueError: where there is none.

    >>> get("lenet")(classes=10)[0]
    Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    """
    if name not in registry:
        raise ValueError(message("models", f"the name of a network, one of {', '.join(registry)}", repr(name)))
    return registry[name]
