"""The laws as tests: ``pytest --pyargs numbacnn.testing``, with pytest's reports and Hypothesis's options.

The environment's NUMBACNN_FRAMEWORK names the framework that is judged, in a child process; it is numbacnn where there is none.
A test module of your own judges your implementation so:

    from numbacnn.testing.test_laws import parametrize, test_law  # noqa: F401

    def pytest_generate_tests(metafunc):
        parametrize(metafunc, [mine])
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .child import isolated
from .finding import Finding
from .judge import offered_axes
from .laws import LAWS, Law
from .strategies import cases
from .trial import LawBroken, Trial, name_of

__all__ = ["parametrize", "pytest_generate_tests", "test_law"]


def parametrize(metafunc: pytest.Metafunc, implementations: Sequence[Any]) -> None:
    """A test for each implementation and law of which it offers the operations."""
    pairs = [(each, law, axes) for each in implementations for law in LAWS if (axes := offered_axes(law, each))]
    names = [f"{name_of(each)}-{law.family}-{law.name}".replace(" ", "-") for each, law, *_ in pairs]
    metafunc.parametrize(("implementation", "law", "axes"), pairs, ids=names)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The implementations of the framework."""
    parametrize(metafunc, isolated(os.environ.get("NUMBACNN_FRAMEWORK", "numbacnn")))


@given(data=st.data())
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_law(implementation: Any, law: Law, axes: tuple[int, ...], data: st.DataObject) -> None:
    own = getattr(implementation, "ranges", {}).get(law.family, {})
    if finding := Finding.of(law, Trial(implementation), data.draw(cases(law.family, axes, **own))):
        raise LawBroken(finding.text)
