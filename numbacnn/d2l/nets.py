"""Layers, blocks and the network that later sections take over from earlier ones."""

from __future__ import annotations

from .. import nn
from ..arguments import integer
from ..errors import message
from ..nn.functional import relu
from ..signatures import judged, shown
from ..tensor import Tensor
from .classes import Classifier

__all__ = ["LeNet", "ResNeXtBlock", "Residual", "init_cnn"]


def init_cnn(module: nn.Module) -> None:
    """Xavier's uniform values for the weights of a linear layer or a convolution; other layers stay as they are.

    >>> _ = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU()).apply(init_cnn)
    """
    if type(module) in (nn.Linear, nn.Conv2d):  # a lazy layer has no weights yet
        nn.init.xavier_uniform_(module.weight)


@judged
class Residual(nn.Module):
    """ReLU(X + two 3x3 convolutions of X): (N, C, H, W) -> (N, num_channels, H / strides, W / strides).

    Args:
        channels: ``num_channels``, or as in the edition of 2021 the channels of the input and ``num_channels``.
        use_1x1conv: whether a 1x1 convolution brings X to the size of what is added to it.

    >>> import numbacnn as nc
    >>> X = nc.rand(4, 3, 6, 6)
    >>> Residual(3)(X).shape, Residual(3, 6, use_1x1conv=True, strides=2)(X).shape
    ((4, 3, 6, 6), (4, 6, 3, 3))
    """

    def __init__(self, *channels: int, use_1x1conv: bool = False, strides: int = 1) -> None:
        super().__init__()
        if len(channels) not in (1, 2):
            raise TypeError(message("Residual", "num_channels, or input_channels and num_channels", shown(channels)))
        n = channels[-1]
        self.conv1 = _conv(channels[:-1], n, kernel_size=3, padding=1, stride=strides)
        self.conv2 = nn.Conv2d(n, n, kernel_size=3, padding=1)
        self.conv3 = _conv(channels[:-1], n, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn1, self.bn2 = nn.BatchNorm2d(n), nn.BatchNorm2d(n)

    def forward(self, X: Tensor) -> Tensor:
        Y = self.bn2(self.conv2(relu(self.bn1(self.conv1(X)))))
        return relu(Y + (X if self.conv3 is None else self.conv3(X)))


def _conv(inputs: tuple[int, ...], outputs: int, **options: int) -> nn.Conv2d:
    """A convolution of so many channels, or a lazy one."""
    return nn.Conv2d(inputs[0], outputs, **options) if inputs else nn.LazyConv2d(outputs, **options)  # type: ignore[arg-type]


@judged
class ResNeXtBlock(nn.Module):
    """ReLU(X + a grouped 3x3 convolution of X between two of 1x1): (N, C, H, W) -> (N, num_channels, H / strides, W / strides).

    Args:
        groups: channels in each group of the middle convolution.
        bot_mul: how many channels that one has, as a multiple of ``num_channels``.

    >>> import numbacnn as nc
    >>> ResNeXtBlock(32, 16, 1, use_1x1conv=True, strides=2)(nc.rand(2, 8, 6, 6)).shape
    (2, 32, 3, 3)
    """

    def __init__(self, num_channels: int, groups: int, bot_mul: float, use_1x1conv: bool = False, strides: int = 1) -> None:
        super().__init__()
        n, middle = num_channels, round(num_channels * bot_mul)
        self.conv1 = nn.LazyConv2d(middle, kernel_size=1)
        self.conv2 = nn.Conv2d(
            middle, middle, kernel_size=3, stride=strides, padding=1, groups=middle // integer("ResNeXtBlock", "groups", groups)
        )
        self.conv3 = nn.Conv2d(middle, n, kernel_size=1)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(middle), nn.BatchNorm2d(middle), nn.BatchNorm2d(n)
        self.conv4 = nn.LazyConv2d(n, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn4 = nn.BatchNorm2d(n) if use_1x1conv else nn.Identity()

    def forward(self, X: Tensor) -> Tensor:
        Y = relu(self.bn1(self.conv1(X)))
        Y = self.bn3(self.conv3(relu(self.bn2(self.conv2(Y)))))
        return relu(Y + (X if self.conv4 is None else self.bn4(self.conv4(X))))


class LeNet(Classifier):
    """LeNet-5 with sigmoids and average pooling: (N, C, 28, 28) -> (N, num_classes).

    >>> LeNet().layer_summary((1, 1, 28, 28))  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    Conv2d output shape: (1, 6, 28, 28)
    ...
    Linear output shape: (1, 10)
    """

    def __init__(self, lr: float = 0.1, num_classes: int = 10) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.LazyConv2d(6, kernel_size=5, padding=2),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.LazyConv2d(16, kernel_size=5),
            nn.Sigmoid(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.Flatten(),
            nn.LazyLinear(120),
            nn.Sigmoid(),
            nn.LazyLinear(84),
            nn.Sigmoid(),
            nn.LazyLinear(num_classes),
        )
