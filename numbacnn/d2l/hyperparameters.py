"""Arguments that become attributes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

__all__ = ["HyperParameters"]


class HyperParameters:
    """The base of classes that keep the arguments of their constructor.

    >>> class Net(HyperParameters):
    ...     def __init__(self, lr, width=8):
    ...         self.save_hyperparameters(ignore=["width"])
    >>> net = Net(0.1); net.lr, net.hparams, hasattr(net, "width")
    (0.1, {'lr': 0.1}, False)
    """

    hparams: dict[str, Any]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # what was kept
        def __setattr__(self, name: str, value: Any) -> None: ...

    def save_hyperparameters(self, ignore: Sequence[str] = ()) -> None:
        """Keep the arguments of the function that calls this as attributes, and all of them in ``hparams``."""
        # a frame in one of its own variables would be a cycle, and keep the object
        names, rest, options, values = inspect.getargvalues(inspect.currentframe().f_back)  # type: ignore[union-attr,arg-type]
        kept = [name for name in (*names[1:], rest, options) if name and name not in ignore and not name.startswith("_")]
        self.hparams = {name: values[name] for name in kept}
        for name, value in self.hparams.items():
            setattr(self, name, value)
