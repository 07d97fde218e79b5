"""LeNet-5 for 28x28 images, after LeCun et al. (1998), in the form of "Dive into Deep Learning", section 6.6."""

from __future__ import annotations

from .. import nn

__all__ = ["lenet", "lenet_modern"]


def lenet(classes: int = 10, in_channels: int = 1) -> nn.Sequential:
    """The book's net: sigmoids and average pooling; (N, in_channels, 28, 28) -> (N, classes).

    Weights of convolutions and linear layers start with Xavier's uniform values, biases with PyTorch's default.

    >>> import numbacnn as nc
    >>> sum(p.numel() for p in nc.models.lenet().parameters())
    61706
    """

    def start(module: nn.Module) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)

    return _net(nn.Sigmoid, nn.AvgPool2d, classes, in_channels).apply(start)


def lenet_modern(classes: int = 10, in_channels: int = 1) -> nn.Sequential:
    """The same layers with rectifiers, maximum pooling and PyTorch's default initial values; (N, in_channels, 28, 28) -> (N, classes)."""
    return _net(nn.ReLU, nn.MaxPool2d, classes, in_channels)


def _net(activation: type[nn.Module], pool: type[nn.AvgPool2d] | type[nn.MaxPool2d], classes: int, in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, kernel_size=5, padding=2),
        activation(),
        pool(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5),
        activation(),
        pool(kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        activation(),
        nn.Linear(120, 84),
        activation(),
        nn.Linear(84, classes),
    )
