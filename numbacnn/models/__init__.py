"""Networks by name, as the command line knows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arguments import integer
from ..errors import ShapeError, message
from ..nn import Module
from ..signatures import judged
from .lenet import lenet, lenet_modern
from .resnet import resnet18, small_resnet
from .vgg import vgg11, vgg11_bn

__all__ = [
    "arguments",
    "canonical",
    "check_input",
    "get",
    "lenet",
    "lenet_modern",
    "registry",
    "resnet18",
    "shapes",
    "sides",
    "small_resnet",
    "vgg11",
    "vgg11_bn",
]

registry: dict[str, Callable[..., Module]] = {
    "lenet": lenet,
    "lenet-modern": lenet_modern,
    "resnet18": resnet18,
    "small-resnet": small_resnet,
    "vgg11": vgg11,
    "vgg11-bn": vgg11_bn,
}
"""Names for the functions that make a network from ``classes`` and ``in_channels``."""

shapes: dict[str, tuple[int, int, int]] = {
    "lenet": (1, 28, 28),
    "lenet-modern": (1, 28, 28),
    "resnet18": (3, 224, 224),
    "small-resnet": (3, 40, 40),
    "vgg11": (3, 224, 224),
    "vgg11-bn": (3, 224, 224),
}
"""The images (C, H, W) that each takes unless told otherwise."""

sides: dict[str, tuple[int, int | None]] = {
    "lenet": (28, 31),
    "lenet-modern": (28, 31),
    "resnet18": (1, None),
    "small-resnet": (1, None),
    "vgg11": (32, None),
    "vgg11-bn": (32, None),
}
"""The smallest and the largest height and width, in pixels, that each can take; None where there is no largest."""

_SMALL: dict[str, tuple[int, dict[str, str]]] = {  # the form for pictures with a side below so many pixels
    "resnet18": (64, {"stem": "cifar"}),
    "vgg11": (224, {"head": "cifar"}),  # the large head's pooling to 7x7 would repeat values
    "vgg11-bn": (224, {"head": "cifar"}),
}


@judged
def canonical(name: str) -> str:
    """The name as ``registry`` spells it: small letters and hyphens. It need not be there.

    >>> canonical("VGG11_bn")
    'vgg11-bn'
    """
    return name.lower().replace("_", "-")


@judged
def get(name: str) -> Callable[..., Module]:
    """The function that makes the network of this name, in any of its spellings.

    Raises:
        ValueError: where there is none.

    >>> get("lenet_modern") is get("lenet-modern") is lenet_modern
    True
    """
    if canonical(name) not in registry:
        raise ValueError(message("models", f"the name of a network, one of {', '.join(registry)}", repr(name)))
    return registry[canonical(name)]


@judged
def check_input(name: str, shape: tuple[int, int, int]) -> None:
    """Judge that the network of this name can take pictures of ``shape`` (C, H, W), before it is made.

    Raises:
        ShapeError: it can't; the message says the size that it can take.
        ValueError: there is no such network.

    >>> check_input("vgg11", (3, 28, 40))
    Traceback (most recent call last):
    numbacnn.errors.ShapeError: [vgg11] expected pictures of at least 32 x 32 pixels; received 28 x 40; take size 32.
    """
    get(name)
    name = canonical(name)
    _, height, width = (integer("check_input", "shape", side) for side in shape)
    least, most = sides[name]
    if least <= min(height, width) and (most is None or max(height, width) <= most):
        return
    wanted = f"at least {least} x {least} pixels" if most is None else f"{least} x {least} to {most} x {most} pixels"
    raise ShapeError(message(name, f"pictures of {wanted}", f"{height} x {width}", f"take size {least}"))


@judged
def arguments(name: str, classes: int, shape: tuple[int, int, int]) -> dict[str, Any]:
    """What to call the function of this name with, for pictures of ``shape`` (C, H, W): small pictures get the small form of a network.

    Raises:
        ShapeError, ValueError: as of :func:`check_input`.

    >>> arguments("resnet18", 8, (3, 40, 40))
    {'classes': 8, 'in_channels': 3, 'stem': 'cifar'}
    >>> arguments("small-resnet", 8, (1, 40, 40))
    {'classes': 8, 'in_channels': 1}
    """
    check_input(name, shape)
    side, small = _SMALL.get(canonical(name), (0, {}))
    return {"classes": classes, "in_channels": shape[0], **(small if min(shape[1:]) < side else {})}
