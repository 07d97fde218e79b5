"""The laws can fail: each catches a fault that no other law catches. And they do not fail where nothing is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from planted_faults import FAULTS, ONLY, SOUND, caught, implementation, laws_of

from numbacnn.geometry import ConvGeometry, PoolGeometry
from numbacnn.testing import LAWS, Law
from numbacnn.testing.laws.pool import holds_data_everywhere
from numbacnn.testing.strategies import avg_pool_cases, conv_cases, max_pool_cases

EXAMPLES = 60  # python -m benchmarks.laws draws more


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_each_law_catches_its_fault_and_says_what_differs(law: Law) -> None:
    name = ONLY[law.name].format(family=law.family)
    faulty = FAULTS[name].implementation(name)
    (axes,) = (axes for each, axes in laws_of(faulty) if each is law)
    _, error = caught(law, faulty, axes, EXAMPLES)
    assert error is not None
    assert re.match(r"expected .*; received ", str(error), re.DOTALL)


@pytest.mark.parametrize("name", dict.fromkeys(law.name for law in LAWS))
def test_each_law_catches_a_fault_that_no_other_law_catches(name: str) -> None:
    (family, *_) = (law.family for law in LAWS if law.name == name)
    fault = ONLY[name].format(family=family)
    faulty = FAULTS[fault].implementation(fault)
    others = [(law, axes) for law, axes in laws_of(faulty) if law.name != name]
    assert [str(law) for law, axes in others if caught(law, faulty, axes, 10)[1]] == []


def test_a_sound_implementation_keeps_all_laws() -> None:
    sound = implementation(SOUND)
    judged = laws_of(sound)
    assert [law for law, _ in judged] == LAWS
    assert {str(law): error for law, axes in judged if (error := caught(law, sound, axes, 8)[1])} == {}


def test_there_are_faults_of_every_kind() -> None:
    assert len(FAULTS) > 250
    assert set(ONLY) == {law.name for law in LAWS}
    for name, fault in FAULTS.items():
        assert fault.sentence.endswith("."), name
        assert laws_of(fault.implementation(name)), name


@pytest.mark.parametrize("name", ["conv: kernel flipped", "avg_pool: full window", "max_pool_with_indices: padded column"])
def test_a_fault_of_the_reports_is_caught_by_the_law_that_speaks_of_it(name: str) -> None:
    faulty = FAULTS[name].implementation(name)
    found = {law.name for law, axes in laws_of(faulty) if caught(law, faulty, axes, EXAMPLES)[1]}
    named = {
        "conv: kernel flipped": {"convolution_is_correlation_with_the_flipped_kernel"},
        "avg_pool: full window": {"average_is_the_sum_over_the_divisor"},
        "max_pool_with_indices: padded column": {"indices_point_to_the_maxima", "of_equal_maxima_the_index_is_in_the_window"},
    }
    assert found == named[name]


# -- what the strategies draw -------------------------------------------------------------------------------------------------------
CONV_KINDS: dict[str, Callable[[ConvGeometry], bool]] = {
    "one pixel": lambda g: set(g.sizes) == {1},
    "asymmetric padding": lambda g: g.axes[0].before != g.axes[0].after,
    "groups of several channels": lambda g: g.groups > 1 and g.c // g.groups > 1,
    "a depthwise convolution of several outputs a channel": lambda g: 1 < g.groups == g.c < g.oc,
    "a stride beyond the kernel": lambda g: g.stride[0] > g.kernel[0],
    "a dilation beyond the image": lambda g: g.dilation[0] > g.sizes[0] and g.kernel[0] > 1,
    "an odd size": lambda g: g.sizes[0] != g.sizes[-1] and g.sizes[0] % 2 == 1,
    "pixels behind the last window": lambda g: any((a.padded - a.extent) % a.stride > a.after for a in g.axes),
    "stride, dilation and groups at once": lambda g: max(g.stride) > 1 and max(g.dilation) > 1 and g.groups > 1,
}
POOL_KINDS: dict[str, Callable[[PoolGeometry], bool]] = {
    "one pixel": lambda g: set(g.sizes) == {1},
    "a window that sticks out": lambda g: g.outputs != g.along(ceil=False).outputs,
    "a window that sticks out beyond padding": lambda g: g.outputs != g.along(ceil=False).outputs and all(g.before),
    "windows that overlap": lambda g: any(a.stride < a.kernel and a.outputs > 1 for a in g.axes),
}
MAX_KINDS = POOL_KINDS | {"a window in padding only": lambda g: not holds_data_everywhere(g)}
AVG_KINDS = POOL_KINDS | {"padding that does not count": lambda g: any(g.before) and not g.count_include_pad}


@pytest.mark.parametrize(
    ("strategy", "kinds"),
    [(conv_cases(), CONV_KINDS), (max_pool_cases(), MAX_KINDS), (avg_pool_cases(), AVG_KINDS)],
    ids=["conv", "max", "avg"],
)
def test_strategies_draw_the_awkward_cases(strategy: Any, kinds: dict[str, Callable[[Any], bool]]) -> None:
    """Each kind of case that the strategies promise does come up."""
    seen: set[str] = set()

    @settings(max_examples=300)
    @given(case=strategy)
    def look(case: Any) -> None:
        seen.update(kind for kind, met in kinds.items() if met(case.geometry))

    look()
    assert seen == set(kinds)
