"""``torch.utils.tensorboard`` on the ``tensorboardX`` package, which writes what TensorBoard shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from ..errors import message
from ..extras import import_extra
from ..tensor import Tensor
from .modules import mirror
from .tensors import say_once

__all__ = ["SummaryWriter"]


def _plain(value: Any) -> Any:
    """The same with arrays for tensors, in dictionaries and lists too."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _package() -> Any:
    absent = "torch" not in sys.modules
    if absent:
        sys.modules["torch"] = mirror("torch")  # it imports torch where it can, and an installed PyTorch is not looked at
    try:
        return import_extra("SummaryWriter", "tensorboardX", "tensorboardX")
    finally:
        if absent:
            del sys.modules["torch"]


METHODS = """
    add_audio add_custom_scalars add_embedding add_figure add_histogram add_image add_image_with_boxes add_images add_mesh add_pr_curve
    add_scalar add_scalars add_text add_video close flush
""".split()  # noqa: SIM905


class SummaryWriter:
    """Writes scalars, pictures, histograms, figures, texts, hyper-parameters, ...: the methods of tensorboardX, which take tensors too.

    Args:
        log_dir: the folder; by default ``runs/`` with the time and the name of the machine.
        comment: goes to the end of that default.

    Raises:
        ImportError: tensorboardX is not installed.

    >>> with SummaryWriter("runs/one") as writer:  # doctest: +SKIP
    ...     writer.add_scalar("loss", 0.5, 1)
    """

    def __init__(self, log_dir: str | os.PathLike[str] | None = None, comment: str = "", *args: Any, **options: Any) -> None:
        self._writer = _package().SummaryWriter(os.fspath(log_dir) if log_dir else None, comment, *args, **options)
        self.log_dir = self._writer.logdir

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(message("SummaryWriter", f"one of {', '.join(METHODS)}", name))

    def get_logdir(self) -> str:
        """The folder."""
        return str(self.log_dir)

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: Any = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Hyper-parameters and what came of them, in a folder ``run_name`` of their own, by default the time."""
        self._writer.add_hparams(_plain(hparam_dict), _plain(metric_dict), run_name, global_step)

    def add_graph(self, *args: Any, **options: Any) -> None:
        """Left out: it says so once."""
        say_once("add_graph: pictures of modules are left out; numbacnn summary prints what they are made of")

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()


def _method(name: str) -> Callable[..., Any]:
    def method(self: SummaryWriter, *args: Any, **options: Any) -> Any:
        return getattr(self._writer, name)(*_plain(args), **_plain(options))

    method.__name__ = name
    return method


for _name in METHODS:  # of the class, so that one of a user's own can call them
    setattr(SummaryWriter, _name, _method(_name))
