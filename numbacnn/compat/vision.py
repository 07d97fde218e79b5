"""``torchvision`` beside what the library has: its networks under torchvision's argument lists, and names of old."""

from __future__ import annotations

import enum
import functools
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import models, nn
from ..arguments import one_of
from ..data.download import RemoteFile, fetch
from ..errors import ShapeError, message
from ..extras import import_extra
from ..ptfile import load
from ..tensor import Tensor, tensor
from ..version import __version__ as VERSION
from ..vision import transforms
from ..vision.transforms import functional
from ..vision.transforms.transform import Transform

__all__ = ["get_image_backend"]

__version__ = f"0.28.0+numbacnn{VERSION}"


def get_image_backend() -> str:
    return "PIL"


PAGES = "https://download.pytorch.org/models/"


class _Weights(enum.Enum):
    """The file of trained weights that torchvision publishes for a network."""

    @property
    def url(self) -> str:
        return PAGES + self.value

    def transforms(self) -> Callable[..., Any]:
        """What pictures must go through before the network: resized, cut to 224, normalised."""
        t, size = transforms, 232 if self.name == "IMAGENET1K_V2" else 256
        return t.Compose([t.Resize(size), t.CenterCrop(224), t.ToTensor(), t.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])

    def get_state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:
        return load_state_dict_from_url(self.url)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """The weights behind a URL, downloaded once into ``model_dir``, by default where PyTorch's hub keeps them.

    ``name-0123abcd.pth`` has the beginning of its SHA-256 in its name; that is always checked.

    Raises:
        ConnectionError: it can't be downloaded; the message says where to put it.
    """
    cache = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "torch")
    folder = Path(model_dir) if model_dir else Path(cache, "hub", "checkpoints")
    base, _, name = url.rpartition("/")
    digest = re.search(r"-([0-9a-f]{8,})\.", name)
    path = folder / (file_name or name)
    if not path.exists():
        fetched = fetch(RemoteFile(name, None, digest[1] if digest else ""), [f"{base}/"], folder)
        if fetched != path:
            shutil.copyfile(fetched, path)
    return load(path, map_location)


def _network(name: str, make: Callable[[int], nn.Module], kind: Any) -> Callable[..., nn.Module]:
    def network(weights: Any = None, progress: bool = True, *, pretrained: bool = False, num_classes: int = 1000) -> nn.Module:
        if isinstance(weights, bool):  # resnet18(True), as until torchvision 0.13
            weights, pretrained = None, weights
        weights = kind.IMAGENET1K_V1 if pretrained else kind.__members__.get(weights, weights)
        if weights is not None and not isinstance(weights, kind):
            raise ValueError(message(name, f"weights of {kind.__name__}", repr(weights)))
        if weights is not None and num_classes != 1000:
            hint = "replace the last layer afterwards"
            raise ValueError(message(name, "1000 classes with trained weights", f"{num_classes}", hint))
        state = None if weights is None else weights.get_state_dict()
        net = make(num_classes)
        if state is not None:
            net.load_state_dict(state)
        return net

    network.__name__ = network.__qualname__ = name
    network.__doc__ = f"torchvision's {name}: (N, 3, H, W) -> (N, num_classes); ``weights`` names a file of trained ones."
    return network


FILES = {  # the beginnings of the SHA-256 of trained weights, by network
    "resnet18": ("f37072fd",),
    "resnet34": ("b627a593",),
    "resnet50": ("0676ba61", "11ad3fa6"),
    "resnet101": ("63fe2227", "cd907fc2"),
    "resnet152": ("394f9c45", "f82ba261"),
    "vgg11": ("8a719046",),
    "vgg11_bn": ("6002323d",),
    "vgg13": ("19584684",),
    "vgg13_bn": ("abd245e5",),
    "vgg16": ("397923af",),
    "vgg16_bn": ("6c64b313",),
    "vgg19": ("dcbb9e9d",),
    "vgg19_bn": ("c79401a0",),
}
DEPTHS: dict[str, tuple[int, ...]] = {"18": (2, 2, 2, 2), "34": (3, 4, 6, 3), "50": (3, 4, 6, 3)}
DEPTHS |= {"101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}
DEPTHS |= {"11": (1, 1, 2, 2, 2), "13": (2, 2, 2, 2, 2), "16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}


class ResNet(models.resnet.ResNet):
    """A ResNet of so many blocks in each of its four layers."""

    def __init__(self, block: Any, layers: Sequence[int], num_classes: int = 1000) -> None:
        super().__init__(block, tuple(layers), num_classes, 3, "imagenet")  # type: ignore[arg-type]


def _make(name: str, classes: int) -> nn.Module:
    depth = re.sub(r"\D", "", name)
    if name.startswith("vgg"):
        return models.vgg.VGG(classes, 3, "imagenet", name.endswith("_bn"), DEPTHS[depth])
    return ResNet(models.resnet.BasicBlock if int(depth) < 50 else models.resnet.Bottleneck, DEPTHS[depth], classes)


networks = SimpleNamespace(ResNet=ResNet, VGG=models.vgg.VGG)
for _name in "BasicBlock", "Bottleneck", "conv1x1", "conv3x3":
    setattr(networks, _name, getattr(models.resnet, _name))
for _name, _hashes in FILES.items():
    _kind = _name.replace("resnet", "ResNet").replace("vgg", "VGG").replace("_bn", "_BN") + "_Weights"
    _members = {f"IMAGENET1K_V{i}": f"{_name}-{digest}.pth" for i, digest in enumerate(_hashes, 1)}
    _weights: Any = _Weights(_kind, {**_members, "DEFAULT": f"{_name}-{_hashes[-1]}.pth"})  # type: ignore[call-arg]
    globals()[_kind] = _weights  # where pickle looks for it
    setattr(networks, _kind, _weights)
    setattr(networks, _name, _network(_name, functools.partial(_make, _name), _weights))


class ToImage(Transform):
    """Pillow's picture, or an array (H, W, C) or (H, W), as a Tensor of the same dtype (C, H, W); a Tensor as it is."""

    def forward(self, image: Any) -> Tensor:
        if isinstance(image, Tensor):
            return image
        if not isinstance(image, np.ndarray):
            return functional.pil_to_tensor(image)
        if image.ndim not in (2, 3):
            raise ShapeError(message("ToImage", "an array (H, W, C) or (H, W)", f"shape {image.shape}"))
        return tensor(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))


class ToDtype(Transform):
    """A Tensor in another dtype; ``scale`` brings bytes to floats from 0 to 1, and back."""

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        self.dtype, self.scale = dtype, scale

    def forward(self, image: Tensor) -> Tensor:
        return functional.convert_image_dtype(image, self.dtype) if self.scale else image.to(self.dtype)


v2 = SimpleNamespace(ToImage=ToImage, ToDtype=ToDtype)


def get_model(name: str, **options: Any) -> nn.Module:
    """A network by its name."""
    one_of("get_model", "name", name.lower(), FILES)
    return getattr(networks, name.lower())(**options)  # type: ignore[no-any-return]


networks.get_model = get_model


def read_image(path: str | os.PathLike[str], mode: str = "") -> Any:
    """A file's picture as bytes (C, H, W), converted to Pillow's ``mode`` if one is given."""
    with import_extra("read_image", "PIL.Image", "pillow").open(path) as picture:
        return functional.pil_to_tensor(picture.convert(mode) if mode else picture)


io = SimpleNamespace(
    read_image=read_image, ImageReadMode=SimpleNamespace(UNCHANGED="", GRAY="L", GRAY_ALPHA="LA", RGB="RGB", RGB_ALPHA="RGBA")
)
hub = SimpleNamespace(load_state_dict_from_url=load_state_dict_from_url, load_url=load_state_dict_from_url)
