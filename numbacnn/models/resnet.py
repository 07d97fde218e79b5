"""ResNets, after He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (2015).

``resnet18`` has the names and shapes of torchvision's; ``small_resnet`` is made for a few hundred small pictures and two cores.
"""

from __future__ import annotations

from typing import Literal

from .. import nn
from ..arguments import one_of
from ..tensor import Tensor

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "conv1x1", "conv3x3", "resnet18", "small_resnet"]

Stem = Literal["imagenet", "cifar"]


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution without bias, which keeps the size if the stride is 1."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)


def conv1x1(in_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False)


def _downsample(in_channels: int, channels: int, stride: int) -> nn.Sequential | None:
    """What brings a block's input to the sizes of its output, where they differ."""
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(conv1x1(in_channels, channels, stride), nn.BatchNorm2d(channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a way around them: relu(bn(conv(relu(bn(conv(x))))) + x).

    Where the sizes change, ``downsample``, by default a 1x1 convolution with batch normalisation, brings x to them.
    """

    expansion = 1
    """Its outputs, as a multiple of ``channels``."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _downsample(in_channels, channels, stride) if downsample is None else downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution with a way around them, which ResNets of 50 layers and more are made of.

    The stride is that of the 3x3 convolution, as in torchvision; in the paper it is that of the first one.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        out_channels = self.expansion * channels
        self.conv1 = conv1x1(in_channels, channels)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = conv3x3(channels, channels, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = conv1x1(channels, out_channels)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(in_channels, out_channels, stride) if downsample is None else downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A stem, four stages of blocks (64, 128, 256 and 512 channels), the mean over the pixels, and a linear layer."""

    def __init__(
        self, block: type[BasicBlock | Bottleneck], blocks: tuple[int, int, int, int], classes: int, in_channels: int, stem: Stem
    ) -> None:
        super().__init__()
        one_of("resnet18", "stem", stem, ("imagenet", "cifar"))
        large = stem == "imagenet"
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False) if large else conv3x3(in_channels, 64)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity()
        e = block.expansion
        self.layer1 = _stage(block, 64, 64, blocks[0], 1)
        self.layer2 = _stage(block, 64 * e, 128, blocks[1], 2)
        self.layer3 = _stage(block, 128 * e, 256, blocks[2], 2)
        self.layer4 = _stage(block, 256 * e, 512, blocks[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * e, classes)
        self.apply(_start)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def _stage(block: type[BasicBlock | Bottleneck], in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = block(in_channels, channels, stride, _downsample(in_channels, channels * block.expansion, stride))
    return nn.Sequential(first, *(block(channels * block.expansion, channels) for _ in range(blocks - 1)))


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet18(classes: int = 1000, in_channels: int = 3, stem: Stem = "imagenet") -> ResNet:
    """ResNet-18: (N, in_channels, H, W) -> (N, classes).

    Args:
        classes: outputs.
        in_channels: of the images.
        stem: "imagenet" begins with a 7x7 convolution of stride 2 and a maximum pooling, for images of 96 pixels and more;
            "cifar" with a 3x3 convolution alone, for 32x32.

    Weights of convolutions start with He's normal values, the rest with PyTorch's defaults, as in torchvision, whose names and shapes
    the parameters have: ``load_state_dict`` takes its weights.

    >>> import numbacnn as nc
    >>> sum(p.numel() for p in nc.models.resnet18().parameters())
    11689512
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), classes, in_channels, stem)


def small_resnet(classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """A 3x3 convolution, three residual blocks of 24, 48 and 96 channels, the mean over the pixels, and a linear layer.

    (N, in_channels, H, W) -> (N, classes), for pictures of any size; 16 to 256 pixels are what it is good for.

    >>> import numbacnn as nc
    >>> sum(p.numel() for p in nc.models.small_resnet(8).parameters())
    174080
    """
    stem = (conv3x3(in_channels, 24), nn.BatchNorm2d(24), nn.ReLU(inplace=True))
    blocks = (BasicBlock(24, 24), BasicBlock(24, 48, stride=2), BasicBlock(48, 96, stride=2))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, classes)).apply(_start)
