"""Hold an implementation to the laws: Hypothesis draws cases and makes the one that breaks a law as small as it can.

>>> from types import SimpleNamespace
>>> mine = SimpleNamespace(name="mine", pad=lambda x, pad, mode: np.pad(x, [(0, 0)] * 2 + list(zip(pad[-2::-2], pad[::-2])), mode))
>>> for verdict in judge(mine, examples=20):
...     print(verdict.law.name, verdict.finding.text)  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import message
from ..locks import lock
from .cases import Case, from_data
from .finding import Finding
from .laws import LAWS, Law
from .trial import LawBroken, Trial, attribute, name_of

__all__ = ["Verdict", "choose_laws", "hold", "judge", "merged", "offered_axes"]


SHRINKING = 20.0
"""Seconds for which a broken case is made smaller."""


class _Enough(BaseException):
    """They are over. Hypothesis lets go of what is no Exception at once."""


@dataclass
class Verdict:
    """What a law found of an implementation.

    Attributes:
        cases: how many it was held to.
        refused: how many of those the implementation refused.
        reason: what it said of the first of these.
        error: the largest error among the others, relative to the largest number of the result.
        seconds: the time that this took.
        finding: the smallest case that breaks the law, if one does.
    """

    law: Law
    name: str
    cases: int = 0
    refused: int = 0
    reason: str = ""
    error: float = 0.0
    seconds: float = 0.0
    finding: Finding | None = None


def offered_axes(law: Law, implementation: Any) -> tuple[int, ...]:
    """The numbers of axes with which an implementation offers all that a law needs."""
    offers = lambda name: callable(getattr(implementation, name, None))  # noqa: E731
    return tuple(n for n in law.axes if all(offers(attribute(name, n)) for name in law.needs))


def choose_laws(ops: Iterable[str] = ()) -> list[Law]:
    """The laws of these families ("conv", "max_pool", ...; "pool" is all whose names have it), or all.

    Raises:
        ValueError: where a name fits none.

    >>> sorted({law.family for law in choose_laws(["max_pool"])})
    ['adaptive_max_pool', 'max_pool']
    """
    ops = list(ops)
    for op in ops:
        if not any(op and op in law.family for law in LAWS):
            raise ValueError(message("selftest", f"ops among {', '.join(dict.fromkeys(law.family for law in LAWS))}", repr(op)))
    return [law for law in LAWS if not ops or any(op in law.family for op in ops)]


def judge(
    implementation: Any,
    laws: Sequence[Law] | None = None,
    *,
    examples: int = 25,
    seed: int | None = 0,
) -> Iterator[Verdict]:
    """Hold an implementation to laws, all by default.

    Args:
        implementation: an object as ``trial`` describes it.
        examples: cases for each law.
        seed: the same seed draws the same cases; None draws new ones each time.

    Yields:
        a verdict for each law of which the implementation offers the operations.

    Raises:
        ImportError: without Hypothesis.
    """
    for law in LAWS if laws is None else laws:
        axes = offered_axes(law, implementation)
        if axes:
            yield hold(law, implementation, axes, examples, seed)


def merged(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict for each law and implementation: what several rounds found."""
    found: dict[tuple[str, str], Verdict] = {}
    for verdict in verdicts:
        first = found.setdefault((str(verdict.law), verdict.name), Verdict(verdict.law, verdict.name))
        first.cases += verdict.cases
        first.refused += verdict.refused
        first.reason = first.reason or verdict.reason
        first.seconds += verdict.seconds
        first.error = max(first.error, verdict.error)
        first.finding = first.finding or verdict.finding
    return list(found.values())


_ALONE = lock(reentrant=True)
"""One thread judges at a time: Hypothesis's folder, and Python's filters of warnings, are the process's."""


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """Hypothesis leaves its notes in a folder that goes, and not in the user's; warnings about odd cases are no concern."""
    from hypothesis import configuration

    with _ALONE, tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = configuration.__hypothesis_home_directory
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(before)


def hold(
    law: Law,
    implementation: Any,
    axes: tuple[int, ...],
    examples: int,
    seed: int | None,
    prepare: Callable[[Case], Case | None] | None = None,
    until: float = math.inf,
    shrinking: float = SHRINKING,
) -> Verdict:
    """Hold an implementation to one law.

    Args:
        prepare: makes the cases of those that are drawn; None is one that is passed over.
        until: the ``time.perf_counter()`` after which no more are drawn; one that was broken before is still made smaller.
        shrinking: seconds for that.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import Unsatisfiable

    from .strategies import cases

    verdict = Verdict(law, name_of(implementation))
    broken: dict[str, Finding] = {}
    start = time.perf_counter()
    enough = math.inf

    def prepared(case: Case) -> Case | None:
        if time.perf_counter() > enough:
            raise _Enough
        return prepare(case) if prepare else case

    ranges = getattr(implementation, "ranges", {}).get(law.family, {})
    drawn = cases(law.family, axes, **ranges).map(prepared).filter(lambda case: case is not None)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=drawn)
    def all_hold(case: Case) -> None:
        nonlocal enough
        key = repr(case)
        if key not in broken and (broken or time.perf_counter() < until):
            first, trial = not broken, Trial(implementation)
            if found := Finding.of(law, trial, case):
                broken[key] = found
                enough = time.perf_counter() + shrinking if first else enough
            verdict.cases += first
            if first and trial.refused:
                verdict.refused += 1
                verdict.reason = verdict.reason or trial.refused
            verdict.error = max(verdict.error, trial.error)
        if key in broken:
            raise LawBroken(key)

    try:
        with _away(), contextlib.suppress(Unsatisfiable):  # where all are passed over
            (seeded(seed) if seed is not None else lambda f: f)(all_hold)()
    except (Exception, _Enough) as error:
        finding = broken.get(str(error)) or min(broken.values(), key=lambda found: len(found.code), default=None)
        if finding is None:
            raise
        if Finding.of(law, Trial(implementation), from_data(finding.case)) is None:
            finding = replace(finding, difference=f"{finding.difference}; not every time: the law held when the case was tried again")
        verdict.finding = finding
    verdict.seconds = time.perf_counter() - start
    return verdict
