"""What a law is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..cases import Case
from ..trial import LawBroken, NotOffered, Refused, Trial

__all__ = ["LAWS", "Law", "law"]

Holds: TypeAlias = Callable[..., None]


@dataclass(frozen=True)
class Law:
    """A law for a family of operations.

    Attributes:
        family: whose cases it judges, a row of ``strategies.STRATEGIES``.
        needs: the operations that an implementation must offer, by their names without the number of axes.
        axes: the numbers of axes that it speaks of.
        kind: what the arrays hold, a row of ``cases.KINDS``.
        layouts: whether the arrays lie in memory as they were drawn, and not in plain order.
    """

    name: str
    family: str
    holds: Callable[..., None]
    needs: tuple[str, ...]
    axes: tuple[int, ...] = (1, 2, 3)
    kind: str = "integers"
    layouts: bool = False

    def __call__(self, trial: Trial, case: Case) -> None:
        """Judge one case. NumPy's warnings about NaN and infinities are no concern; results that can't be compared break the law."""
        if self.kind == "normal":
            trial.rounds()
        case = case if self.layouts else case.with_values(layout="C")
        try:
            with np.errstate(all="ignore"):
                self.holds(trial, case.with_values(kind=self.kind))
        except (LawBroken, NotOffered, Refused):
            raise
        except Exception as error:
            if not trial.calls:  # ours
                raise
            raise LawBroken(f"expected results that can be compared; received {type(error).__name__}: {error}") from error

    @property
    def sentence(self) -> str:
        """The law in one sentence."""
        return (self.holds.__doc__ or "").strip().split("\n")[0]

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


LAWS: list[Law] = []
"""All laws."""


def law(*families: str, needs: Sequence[str] = (), **about: Any) -> Callable[[Holds], Holds]:
    """Enter a function as a law of these families; of several, it takes the family's name last.

    Args:
        needs: what it calls, if not just the family's operation; "" stands for that, "_grad" for its gradients.
        about: the last fields of ``Law``.
    """

    def enter(holds: Holds) -> Holds:
        for family in families:
            names = tuple(family + name if name[:1] in ("", "_") else name for name in needs or ("",))
            judge: Callable[..., None] = holds
            if len(families) > 1:
                judge = _of(family, holds)
            LAWS.append(Law(holds.__name__, family, judge, names, **about))
        return holds

    return enter


def _of(family: str, holds: Callable[..., None]) -> Callable[..., None]:
    def judge(trial: Trial, case: Case) -> None:
        holds(trial, case, family)

    judge.__doc__ = holds.__doc__
    return judge
