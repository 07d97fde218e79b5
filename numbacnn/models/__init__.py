"""Networks by name, as the command line knows them."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import message
from ..nn import Module
from ..signatures import judged
from .lenet import lenet, lenet_modern
from .resnet import resnet18
from .vgg import vgg11, vgg11_bn

__all__ = ["get", "lenet", "lenet_modern", "registry", "resnet18", "shapes", "vgg11", "vgg11_bn"]

registry: dict[str, Callable[..., Module]] = {
    "lenet": lenet,
    "lenet-modern": lenet_modern,
    "resnet18": resnet18,
    "vgg11": vgg11,
    "vgg11-bn": vgg11_bn,
}
"""Names for the functions that make a network from ``classes`` and ``in_channels``."""

shapes: dict[str, tuple[int, int, int]] = {
    "lenet": (1, 28, 28),
    "lenet-modern": (1, 28, 28),
    "resnet18": (3, 224, 224),
    "vgg11": (3, 224, 224),
    "vgg11-bn": (3, 224, 224),
}
"""The images (C, H, W) that each takes unless told otherwise."""


@judged
def get(name: str) -> Callable[..., Module]:
    """The function that makes the network of this name.

    Raises:
        ValueError: where there is none.

    >>> get("lenet") is lenet
    True
    """
    if name not in registry:
        raise ValueError(message("models", f"the name of a network, one of {', '.join(registry)}", repr(name)))
    return registry[name]
