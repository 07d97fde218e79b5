"""The networks of the benchmarks as a user of PyTorch writes them: plain modules, parameters in the order of ``numbacnn.models``."""

from __future__ import annotations

import torch
from torch import nn

LENETS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "lenet": (nn.Sigmoid, nn.AvgPool2d),
    "lenet-modern": (nn.ReLU, nn.MaxPool2d),
}


def lenet(model: str = "lenet") -> nn.Module:
    """(N, 1, 28, 28) -> (N, 10)."""
    act, pool = LENETS[model]
    features = [nn.Conv2d(1, 6, 5, padding=2), act(), pool(2, 2), nn.Conv2d(6, 16, 5), act(), pool(2, 2), nn.Flatten()]
    return nn.Sequential(*features, nn.Linear(400, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, 10))


class Block(nn.Module):
    """Two 3x3 convolutions around which the input is added."""

    def __init__(self, c: int, oc: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, oc, 3, stride, 1, bias=False), nn.BatchNorm2d(oc)
        self.conv2, self.bn2 = nn.Conv2d(oc, oc, 3, 1, 1, bias=False), nn.BatchNorm2d(oc)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or c != oc:
            self.downsample = nn.Sequential(nn.Conv2d(c, oc, 1, stride, bias=False), nn.BatchNorm2d(oc))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet18(stem: str, classes: int = 10) -> nn.Module:
    """(N, 3, H, W) -> (N, classes); the stem "cifar" is 3x3, "imagenet" 7x7 with stride 2 and a 3x3 maximum pooling."""
    small = stem == "cifar"
    first = nn.Conv2d(3, 64, 3, 1, 1, bias=False) if small else nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    layers = [first, nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.Identity() if small else nn.MaxPool2d(3, 2, 1)]
    for c, oc, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [Block(c, oc, stride), Block(oc, oc, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


def vgg11_bn(head: str, classes: int = 10) -> nn.Module:
    """(N, 3, 32, 32) -> (N, classes), with the "cifar" head: one linear layer."""
    if head != "cifar":
        raise ValueError(f"expected head 'cifar'; received {head!r}")
    layers: list[nn.Module] = []
    c = 3
    for oc in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if oc:
            layers += [nn.Conv2d(c, oc, 3, padding=1), nn.BatchNorm2d(oc), nn.ReLU(inplace=True)]
            c = oc
        else:
            layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))
