"""Networks, data and training as classes, in the style of the edition of 2023."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .. import nn, optim
from ..arguments import integer, number
from ..data import DataLoader
from ..errors import message
from ..nn.functional import cross_entropy
from ..signatures import judged
from ..tensor import Tensor, no_grad, randn
from ..training.loop import clip_gradients
from . import devices
from .draw import ProgressBoard, pyplot
from .hyperparameters import HyperParameters

__all__ = ["Classifier", "DataModule", "HyperParameters", "Module", "Trainer", "add_to_class"]

T = TypeVar("T")


def add_to_class(Class: type) -> Callable[[T], T]:
    """A decorator that makes a function a method of a class which is there already.

    >>> class Net: pass
    >>> @add_to_class(Net)
    ... def depth(self):
    ...     return 5
    >>> Net().depth()
    5
    """

    def add(function: T) -> T:
        setattr(Class, function.__name__, function)  # type: ignore[attr-defined]
        return function

    return add


class DataModule(HyperParameters):
    """The base of data sets: a subclass defines ``get_dataloader(train)``."""

    def get_dataloader(self, train: bool) -> DataLoader:
        """The batches to train on, or those to validate on."""
        raise NotImplementedError(message(type(self).__name__, "a method get_dataloader", "none", "define it"))

    def train_dataloader(self) -> DataLoader:
        """The batches to train on."""
        return self.get_dataloader(train=True)

    def val_dataloader(self) -> DataLoader:
        """The batches to validate on."""
        return self.get_dataloader(train=False)


class Module(nn.Module, HyperParameters):
    """The base of networks: a subclass sets ``self.net``, or defines ``forward``, and ``loss``.

    Args:
        plot_train_per_epoch: how many points of a training curve to draw in an epoch.
        plot_valid_per_epoch: likewise for validation.
    """

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.board = ProgressBoard()

    def forward(self, X: Any) -> Any:
        """What ``self.net`` makes of a batch."""
        if "net" not in self._modules:
            raise NotImplementedError(message(type(self).__name__, "an attribute net, or a method forward", "neither", "define one"))
        return self.net(X)

    def loss(self, Y_hat: Any, Y: Any) -> Tensor:
        """The loss of outputs; each subclass defines its own."""
        raise NotImplementedError(message(type(self).__name__, "a method loss", "none", "define it"))

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Draw a value over the epochs that the trainer has done."""
        trainer = getattr(self, "trainer", None)
        if trainer is None:
            raise RuntimeError(message(type(self).__name__, "a Trainer", "none", "call Trainer.fit with the network"))
        self.board.xlabel = "epoch"
        if train:
            x, batches, times = trainer.train_batch_idx / trainer.num_train_batches, trainer.num_train_batches, self.plot_train_per_epoch
        else:
            x, batches, times = trainer.epoch + 1, trainer.num_val_batches, self.plot_valid_per_epoch
        self.board.draw(x, float(value), f"{'train' if train else 'val'}_{key}", every_n=batches // times)

    def training_step(self, batch: Sequence[Any]) -> Tensor:
        """The loss of a batch, drawn."""
        loss = self.loss(self(*batch[:-1]), batch[-1])
        self.plot("loss", loss, train=True)
        return loss

    def validation_step(self, batch: Sequence[Any]) -> None:
        """Draw the loss of a batch."""
        self.plot("loss", self.loss(self(*batch[:-1]), batch[-1]), train=False)

    def configure_optimizers(self) -> Any:
        """Stochastic gradient descent with the rate ``self.lr``."""
        return optim.SGD(self.parameters(), lr=self.lr)

    def apply_init(self, inputs: Sequence[Any], init: Callable[[nn.Module], Any] | None = None) -> None:
        """Run a batch, so that lazy layers take their sizes from it, and call ``init`` on every layer of ``self.net``."""
        with no_grad():
            self(*inputs)
        if init is not None:
            self.net.apply(init)


class Classifier(Module):
    """A network whose outputs (N, K) are scores of K classes, and labels (N,)."""

    def loss(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """Cross-entropy, its mean or (N,)."""
        return cross_entropy(Y_hat.reshape(-1, Y_hat.shape[-1]), Y.reshape(-1), reduction="mean" if averaged else "none")

    def accuracy(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """The share of labels that have the highest score; without ``averaged`` 1 or 0 for each, (N,)."""
        right = (Y_hat.reshape(-1, Y_hat.shape[-1]).argmax(1) == Y.reshape(-1)).float()
        return right.mean() if averaged else right

    def validation_step(self, batch: Sequence[Any]) -> None:
        """Draw the loss and the accuracy of a batch."""
        Y_hat = self(*batch[:-1])
        self.plot("loss", self.loss(Y_hat, batch[-1]), train=False)
        self.plot("acc", self.accuracy(Y_hat, batch[-1]), train=False)

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the shape of what each layer of ``self.net`` makes of random numbers of this shape."""
        X = randn(*X_shape)
        with no_grad():
            for layer in self.net:
                X = layer(X)
                print(f"{type(layer).__name__} output shape:\t{X.shape}")


@judged
class Trainer(HyperParameters):
    """Trains a :class:`Module` on a :class:`DataModule`.

    Args:
        num_gpus: how many GPUs to use, of those that there are.
        gradient_clip_val: the largest Euclidean norm that the gradients of a step may have together; 0 sets no limit.

    >>> from numbacnn import d2l
    >>> model, data = d2l.LeNet(lr=0.1), d2l.Digits(batch_size=128)
    >>> d2l.Trainer(max_epochs=10, num_gpus=1).fit(model, data)  # doctest: +SKIP
    """

    def __init__(self, max_epochs: int, num_gpus: int = 0, gradient_clip_val: float = 0) -> None:
        integer("Trainer", "max_epochs", max_epochs)
        number("Trainer", "gradient_clip_val", gradient_clip_val)
        self.save_hyperparameters()
        self.gpus = [devices.gpu(i) for i in range(min(integer("Trainer", "num_gpus", num_gpus, 0), devices.num_gpus()))]

    def fit(self, model: Module, data: DataModule) -> None:
        """Train for ``max_epochs``; loss and accuracy are drawn on ``model.board``, in a new figure.

        Raises:
            ImportError: without matplotlib, where ``model.board.display``.
        """
        self.prepare_data(data)
        self.prepare_model(model)
        self.optim = model.configure_optimizers()
        self.train_batch_idx = self.val_batch_idx = 0
        for epoch in range(self.max_epochs):
            self.epoch = epoch
            self.fit_epoch()

    def prepare_data(self, data: DataModule) -> None:
        """Ask the data for their batches, and count them."""
        self.train_dataloader, self.val_dataloader = data.train_dataloader(), data.val_dataloader()
        self.num_train_batches = len(self.train_dataloader)
        self.num_val_batches = 0 if self.val_dataloader is None else len(self.val_dataloader)

    def prepare_model(self, model: Module) -> None:
        """Let the network know its trainer, and move it to the GPU if there is one."""
        if model.board.display:
            pyplot()  # which may be missing: better now than after half an epoch
        model.board.clear()
        model.trainer = self
        self.model = model.to(self.gpus[0]) if self.gpus else model

    def prepare_batch(self, batch: Sequence[Any]) -> list[Any]:
        """The batch where the network is."""
        return [part.to(self.gpus[0]) for part in batch] if self.gpus else list(batch)

    def fit_epoch(self) -> None:
        """One round over the batches: train, then validate."""
        self.model.train()
        for batch in self.train_dataloader:
            loss = self.model.training_step(self.prepare_batch(batch))
            self.optim.zero_grad()
            loss.backward()
            with no_grad():  # a reader's own optimiser writes to the weights themselves
                if self.gradient_clip_val > 0:
                    self.clip_gradients(self.gradient_clip_val, self.model)
                self.optim.step()
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        self.model.eval()
        with no_grad():
            for batch in self.val_dataloader:
                self.model.validation_step(self.prepare_batch(batch))
                self.val_batch_idx += 1

    def clip_gradients(self, grad_clip_val: float, model: nn.Module) -> None:
        """Scale all gradients so that their Euclidean norm together is at most ``grad_clip_val``."""
        clip_gradients(model, grad_clip_val)
