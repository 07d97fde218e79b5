"""Hold an implementation to the laws: Hypothesis draws cases and makes the one that breaks a law as small as it can.

>>> from types import SimpleNamespace
>>> mine = SimpleNamespace(name="mine", pad=lambda x, pad, mode: np.pad(x, [(0, 0)] * 2 + list(zip(pad[-2::-2], pad[::-2])), mode))
>>> for verdict in judge(mine, examples=20):
...     print(verdict.law.name, verdict.finding.text)  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import message
from .cases import Case
from .finding import Finding
from .laws import LAWS, Law
from .trial import Crashed, LawBroken, NotOffered, Refused, Trial, attribute, name_of

__all__ = ["Verdict", "choose_laws", "hold", "judge", "merged", "offered_axes"]


SHRINKING = 20.0
"""Seconds for which a broken case is made smaller."""


@dataclass
class Verdict:
    """What a law found of an implementation.

    Attributes:
        cases: how many it was held to.
        refused: how many of those the implementation refused.
        error: the largest error among the others, relative to the largest number of the result.
        seconds: the time that this took.
        finding: the smallest case that breaks the law, if one does.
    """

    law: Law
    name: str
    cases: int = 0
    refused: int = 0
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
    skip: Container[tuple[str, str]] = (),
) -> Iterator[Verdict]:
    """Hold an implementation to laws, all by default.

    Args:
        implementation: an object as ``trial`` describes it.
        examples: cases for each law.
        seed: the same seed draws the same cases; None draws new ones each time.
        skip: (law, implementation) that are left out, such as those that are known to be broken.

    Yields:
        a verdict for each law of which the implementation offers the operations.

    Raises:
        ImportError: without Hypothesis.
    """
    for law in LAWS if laws is None else laws:
        axes = offered_axes(law, implementation)
        if axes and (str(law), name_of(implementation)) not in skip:
            yield hold(law, implementation, axes, examples, seed)


def merged(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict for each law and implementation: what several rounds found."""
    found: dict[tuple[str, str], Verdict] = {}
    for verdict in verdicts:
        first = found.setdefault((str(verdict.law), verdict.name), Verdict(verdict.law, verdict.name))
        first.cases += verdict.cases
        first.refused += verdict.refused
        first.seconds += verdict.seconds
        first.error = max(first.error, verdict.error)
        first.finding = first.finding or verdict.finding
    return list(found.values())


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """Hypothesis leaves its notes in a folder that goes, and not in the user's."""
    from hypothesis import configuration

    before = configuration.__hypothesis_home_directory
    with tempfile.TemporaryDirectory() as folder:
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
) -> Verdict:
    """Hold an implementation to one law, by cases that ``prepare`` makes of those that are drawn; None is one that is passed over."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import Unsatisfiable

    from .strategies import cases

    verdict = Verdict(law, name_of(implementation))
    broken: dict[str, dict[str, Any]] = {}
    start = time.perf_counter()
    drawn = cases(law.family, axes, **getattr(implementation, "ranges", {}).get(law.family, {}))
    if prepare:
        drawn = drawn.map(prepare).filter(lambda case: case is not None)

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
        key = repr(case)
        if broken and (key in broken or time.perf_counter() > started[0] + SHRINKING):
            if key in broken:
                raise broken[key]["error"]
            return
        trial = Trial(implementation)
        verdict.cases += not broken
        try:
            law(trial, case)
        except LawBroken as error:
            started[:] = started or [time.perf_counter()]
            broken[key] = {"case": case, "trial": trial, "error": error}
            raise
        except Refused:
            verdict.refused += not broken
        except NotOffered:
            pass
        verdict.error = max(verdict.error, trial.error)

    started: list[float] = []
    try:
        with _away(), contextlib.suppress(Unsatisfiable):  # where all are passed over
            (seeded(seed) if seed is not None else lambda f: f)(all_hold)()
    except Exception as error:
        if not broken:
            raise
        smallest = [found for found in broken.values() if found["error"] is error] or [*broken.values()]
        verdict.finding = Finding.of(law, implementation, **smallest[-1])
        if not isinstance(smallest[-1]["error"], Crashed) and verdict.finding.replay(implementation) is None:
            held = f"{verdict.finding.difference}; not every time: the law held when the case was tried again"
            verdict.finding = replace(verdict.finding, difference=held)
    verdict.seconds = time.perf_counter() - start
    return verdict
