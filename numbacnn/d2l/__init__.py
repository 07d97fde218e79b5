"""The helpers of "Dive into Deep Learning" for its chapters on convolutional networks: ``from numbacnn import d2l``.

The names and arguments are those that the listings call, in both styles: functions as in the edition of 2021 (``train_ch6``), and classes
as in that of 2023 (``Classifier``, ``Trainer``). Curves need matplotlib; in a notebook they grow while a network is trained, elsewhere
``d2l.plt.show()`` shows the last figure.

>>> from numbacnn import d2l, nn
>>> train_iter, test_iter = d2l.load_data_digits(batch_size=128)
>>> net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
>>> d2l.train_ch6(net, train_iter, test_iter, num_epochs=10, lr=0.1, device=d2l.try_gpu())  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any as _Any

from ..chapter import corr2d
from .classes import Classifier, DataModule, HyperParameters, Module, Trainer, add_to_class
from .data import Digits, FashionMNIST, get_fashion_mnist_labels, load_data_digits, load_data_fashion_mnist
from .devices import cpu, gpu, num_gpus, try_all_gpus, try_gpu
from .draw import Animator, ProgressBoard, plot, pyplot, set_axes, set_figsize, show_images, use_svg_display
from .functions import Accumulator, Timer, accuracy, evaluate_accuracy, evaluate_accuracy_gpu, train_ch6, train_epoch_ch3
from .nets import LeNet, Residual, ResNeXtBlock, init_cnn

__all__ = [
    "Accumulator",
    "Animator",
    "Classifier",
    "DataModule",
    "Digits",
    "FashionMNIST",
    "HyperParameters",
    "LeNet",
    "Module",
    "ProgressBoard",
    "ResNeXtBlock",
    "Residual",
    "Timer",
    "Trainer",
    "accuracy",
    "add_to_class",
    "corr2d",
    "cpu",
    "evaluate_accuracy",
    "evaluate_accuracy_gpu",
    "get_fashion_mnist_labels",
    "gpu",
    "init_cnn",
    "load_data_digits",
    "load_data_fashion_mnist",
    "num_gpus",
    "plot",
    "set_axes",
    "set_figsize",
    "show_images",
    "train_ch6",
    "train_epoch_ch3",
    "try_all_gpus",
    "try_gpu",
    "use_svg_display",
]


def __getattr__(name: str) -> _Any:
    if name == "plt":  # imported when first asked for
        return pyplot()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "plt"})
