"""VGG-11, after Simonyan and Zisserman, "Very Deep Convolutional Networks" (2014); names and shapes as in torchvision."""

from __future__ import annotations

from typing import Literal

from .. import nn
from ..arguments import one_of
from ..tensor import Tensor

__all__ = ["VGG", "vgg11", "vgg11_bn"]

Head = Literal["imagenet", "cifar"]

CHANNELS = (64, 128, 256, 512, 512)  # of the convolutions before each pooling
VGG11 = (1, 1, 2, 2, 2)  # and how many there are


class VGG(nn.Module):
    """``features``: 3x3 convolutions with rectifiers, and five poolings; then ``avgpool`` and the linear layers of ``classifier``.

    ``depths`` says how many convolutions there are before each pooling.
    """

    def __init__(self, classes: int, in_channels: int, head: Head, batch_norm: bool, depths: tuple[int, ...] = VGG11) -> None:
        super().__init__()
        one_of("vgg11", "head", head, ("imagenet", "cifar"))
        self.features = _features(in_channels, batch_norm, depths)
        large = head == "imagenet"
        self.avgpool = nn.AdaptiveAvgPool2d(7 if large else 1)
        self.classifier = _large_head(classes) if large else nn.Sequential(nn.Linear(512, classes))
        self.apply(_start)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _features(in_channels: int, batch_norm: bool, depths: tuple[int, ...]) -> nn.Sequential:
    layers = nn.Sequential()
    for channels, depth in zip(CHANNELS, depths):
        for _ in range(depth):
            layers.append(nn.Conv2d(in_channels, channels, kernel_size=3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU(inplace=True))
            in_channels = channels
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return layers


def _large_head(classes: int) -> nn.Sequential:
    first = (nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout())
    return nn.Sequential(*first, nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, classes))


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
        nn.init.zeros_(module.bias)


def vgg11(classes: int = 1000, in_channels: int = 3, head: Head = "imagenet") -> VGG:
    """VGG-11: (N, in_channels, H, W) -> (N, classes), for H and W of at least 32.

    Args:
        classes: outputs.
        in_channels: of the images.
        head: "imagenet" has torchvision's three linear layers with dropout behind a pooling to 7x7 (123,642,856 of its parameters);
            "cifar" one linear layer behind the mean over the pixels, for 32x32.

    Initial values are torchvision's: He's normal ones for convolutions, N(0, 0.01^2) for linear layers, biases 0.

    >>> import numbacnn as nc
    >>> sum(p.numel() for p in nc.models.vgg11(10, head="cifar").parameters())
    9225610
    """
    return VGG(classes, in_channels, head, batch_norm=False)


def vgg11_bn(classes: int = 1000, in_channels: int = 3, head: Head = "imagenet") -> VGG:
    """:func:`vgg11` with batch normalisation behind each convolution.

    >>> import numbacnn as nc
    >>> nc.models.vgg11_bn(10, head="cifar").features[:3]
    Sequential(
      (0): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
      (2): ReLU(inplace=True)
    )
    """
    return VGG(classes, in_channels, head, batch_norm=True)
