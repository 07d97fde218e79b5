"""Training and measuring with functions, in the style of the edition of 2021."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

from .. import nn, optim
from ..arguments import integer
from ..data import DataLoader
from ..errors import message
from ..signatures import judged, shown
from ..tensor import Tensor, no_grad
from ..training.modes import evaluating
from .devices import try_gpu
from .draw import Animator
from .nets import init_cnn

__all__ = ["Accumulator", "Timer", "accuracy", "evaluate_accuracy", "evaluate_accuracy_gpu", "train_ch6", "train_epoch_ch3"]


class Timer:
    """Takes times, in seconds: it runs from when it is made, and from :meth:`start`, to :meth:`stop`.

    >>> timer = Timer()
    >>> timer.stop() >= 0, len(timer.times)
    (True, 1)
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.start()

    def start(self) -> None:
        """Begin to take a time."""
        self._begin = time.perf_counter()

    def stop(self) -> float:
        """Keep the time since the start, and give it."""
        self.times.append(time.perf_counter() - self._begin)
        return self.times[-1]

    def sum(self) -> float:
        """All times together."""
        return sum(self.times)

    def avg(self) -> float:
        """The mean of the times."""
        return self.sum() / len(self.times)

    def cumsum(self) -> list[float]:
        """The times after each stop, added up."""
        return np.cumsum(self.times).tolist()


@judged
class Accumulator:
    """Sums of ``n`` quantities.

    >>> metric = Accumulator(2)
    >>> metric.add(1, 0.5); metric.add(2, 0.5); metric[0], metric[1]
    (3.0, 1.0)
    """

    def __init__(self, n: int) -> None:
        self.data = [0.0] * integer("Accumulator", "n", n)

    def add(self, *args: Any) -> None:
        """Add a number, or a Tensor of one element, to each sum."""
        try:
            self.data = [total + float(value) for total, value in zip(self.data, args, strict=True)]
        except (TypeError, ValueError, OverflowError):
            wanted, received = f"{len(self.data)} numbers, or Tensors of one element", ", ".join(map(shown, args))
            raise ValueError(message("Accumulator", wanted, received or "none")) from None

    def reset(self) -> None:
        """Begin at 0 again."""
        self.data = [0.0] * len(self.data)

    def __getitem__(self, i: int) -> float:
        return self.data[i]


@judged
def accuracy(y_hat: Tensor, y: Tensor) -> float:
    """How many predictions are right: of scores (N, K) the class with the highest, or of classes (N,), beside labels (N,).

    >>> import numbacnn as nc
    >>> accuracy(nc.tensor([[0.1, 0.9], [0.8, 0.2]]), nc.tensor([1, 1]))
    1.0
    """
    classes = y_hat.argmax(1) if y_hat.ndim > 1 and y_hat.shape[1] > 1 else y_hat
    return float((classes.to(y.dtype) == y).sum())


def _batches(op: str, data_iter: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches, at least one, judged."""
    empty = True
    try:
        batches = iter(data_iter)
    except TypeError:
        raise TypeError(message(op, "batches (X, y) of Tensors", shown(data_iter))) from None
    for batch in batches:
        empty = False
        if not isinstance(batch, (tuple, list)) or len(batch) != 2 or not all(isinstance(part, Tensor) for part in batch):
            raise TypeError(message(op, "batches (X, y) of Tensors", shown(batch)))
        yield batch[0], batch[1]
    if empty:
        raise ValueError(message(op, "at least one batch", "none"))


@judged
def evaluate_accuracy_gpu(net: Callable[..., Any], data_iter: Iterable[Any], device: str | None = None) -> float:
    """The share of right predictions over all batches, which are moved to ``device``, by default the network's.

    A module is in evaluation mode meanwhile, and as it was afterwards.
    """
    metric = Accumulator(2)
    with evaluating(net) if isinstance(net, nn.Module) else nullcontext() as own, no_grad():
        where = device or own
        for X, y in _batches("evaluate_accuracy", data_iter):
            X, y = (X, y) if where is None else (X.to(where), y.to(where))
            metric.add(accuracy(net(X), y), y.numel())
    return metric[0] / metric[1]


@judged
def evaluate_accuracy(net: Callable[..., Any], data_iter: Iterable[Any]) -> float:
    """As :func:`evaluate_accuracy_gpu`, on the device that the network is on."""
    return evaluate_accuracy_gpu(net, data_iter)


@judged
def train_epoch_ch3(
    net: Callable[..., Any], train_iter: Iterable[Any], loss: Callable[..., Tensor], updater: optim.Optimizer | Callable[[int], Any]
) -> tuple[float, float]:
    """Train for one epoch; gives the mean loss and the share of right predictions.

    Args:
        loss: of the outputs and labels of a batch: one for each example, or their mean.
        updater: an optimiser, or a function of the number of examples that changes the weights.
    """
    if isinstance(net, nn.Module):
        net.train()
    metric = Accumulator(3)
    for X, y in _batches("train_epoch_ch3", train_iter):
        y_hat = net(X)
        l = loss(y_hat, y)
        if isinstance(updater, optim.Optimizer):
            updater.zero_grad()
            l.mean().backward()
            updater.step()
        else:
            l.sum().backward()
            updater(len(X))
        metric.add(l.detach().mean() * y.numel(), accuracy(y_hat, y), y.numel())
    return metric[0] / metric[2], metric[1] / metric[2]


@judged
def train_ch6(
    net: nn.Module, train_iter: DataLoader, test_iter: Iterable[Any], num_epochs: int, lr: float, device: str | None = None
) -> None:
    """Train a classifier with SGD from Xavier's initial values; draws loss and accuracy, and prints the last of them.

    Args:
        device: where; by default the GPU if there is one.

    Raises:
        ImportError: without matplotlib.
    """
    device, num_epochs = device or try_gpu(), integer("train_ch6", "num_epochs", num_epochs)
    optimizer, loss = optim.SGD(net.parameters(), lr=lr), nn.CrossEntropyLoss()
    animator = Animator(xlabel="epoch", xlim=[0, num_epochs], legend=["train loss", "train acc", "test acc"])
    net.to(device).apply(init_cnn)
    print("training on", device)
    timer, batches = Timer(), len(train_iter)
    trained, test_acc = Accumulator(3), 0.0
    for epoch in range(num_epochs):
        trained.reset()
        net.train()
        for i, (X, y) in enumerate(_batches("train_ch6", train_iter), 1):
            timer.start()
            X, y = X.to(device), y.to(device)
            y_hat = net(X)
            l = loss(y_hat, y)
            optimizer.zero_grad()
            l.backward()
            optimizer.step()
            trained.add(l.detach() * len(X), accuracy(y_hat, y), len(X))
            timer.stop()
            if i % max(batches // 5, 1) == 0 or i == batches:
                animator.add(epoch + i / batches, (trained[0] / trained[2], trained[1] / trained[2], None))
        test_acc = evaluate_accuracy_gpu(net, test_iter, device)
        animator.add(epoch + 1, (None, None, test_acc))
    print(f"loss {trained[0] / trained[2]:.3f}, train acc {trained[1] / trained[2]:.3f}, test acc {test_acc:.3f}")
    print(f"{trained[2] * num_epochs / timer.sum():.1f} examples/sec on {device}")
