"""The laws can fail: each catches a fault that no other law catches. And they do not fail where nothing is wrong."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from planted_faults import FAULTS, ONLY, SOUND, caught, drawn, implementation, laws_of

from numbacnn.geometry import ConvGeometry, PoolGeometry
from numbacnn.testing import LAWS, Law, LawBroken, Trial, Verdict, judge
from numbacnn.testing.finding import as_python
from numbacnn.testing.judge import hold
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


# -- what implementations may give, and refuse ---------------------------------------------------------------------------------------
def held(name: str, **operations: Any) -> Verdict:
    """What a law finds of the sound operations, and of these."""
    law = next(law for law in LAWS if str(law) == name)
    sound = {op: SOUND[op] for op in ("conv", "max_pool", "pad")}
    (verdict,) = judge(implementation(sound | operations), [law], examples=30)
    return verdict


def refuses(*args: Any, **options: Any) -> Any:
    raise NotImplementedError


def gradients(*chosen: int | None) -> Callable[..., Any]:
    """A convolution's gradients: these of (dx, dw), None where there is none."""

    def conv_grad(*args: Any, **options: Any) -> Any:
        found = SOUND["conv_grad"](*args, **options)
        return tuple(None if i is None else found[i] for i in chosen)

    return conv_grad


@pytest.mark.parametrize("name", ["input_gradient_is_adjoint", "weight_gradient_is_adjoint", "bias_gradient_is_the_sum"])
def test_gradients_may_be_left_out(name: str) -> None:
    """A lone array is the first array's gradient, and None one that is lacked: neither breaks a law."""

    def lone(*args: Any, **options: Any) -> Any:
        return gradients(0)(*args, **options)[0]

    for some in (lone, gradients(0), gradients(0, None), gradients(None, 1), gradients(None, None)):
        assert held(f"conv: {name}", conv_grad=some).finding is None


def test_gradients_of_nothing_break_a_law() -> None:
    finding = held("conv: input_gradient_is_adjoint", conv_grad=gradients(0, 1, 1, 1)).finding
    assert finding is not None and finding.difference == "expected at most 3 gradients, one for each array; received 4"


def test_what_comes_out_is_judged_where_gradients_are_refused() -> None:
    calls = itertools.count()

    def unstable(*args: Any, **options: Any) -> Any:
        return SOUND["pad"](*args, **options) + next(calls)

    assert held("pad: calls_repeat_bit_for_bit", pad=unstable, pad_grad=refuses).finding
    assert held("pad: padding_is_adjoint_to_its_gradient", pad_grad=refuses).refused == 30


def test_the_same_bits_are_those_of_zero_too() -> None:
    """-0 is equal to 0, and has other bits; so has one NaN than another."""
    signs = itertools.cycle((1, -1))

    def signed(x: np.ndarray, *args: Any, **options: Any) -> Any:
        return np.copysign(np.full_like(SOUND["pad"](x, *args, **options), number), next(signs))

    for number in (0, np.nan):
        finding = held("pad: calls_repeat_bit_for_bit", pad=signed).finding
        assert finding is not None, number


def test_a_rounding_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"^\[mine\] expected rounding as 'exact', 'sums', 'winograd' or 'fft'; received 'sum'\.$"):
        Trial(SimpleNamespace(name="mine", rounding="sum"))


def test_threads_that_can_not_be_set_are_refused() -> None:
    def takes_no_zero(number: int) -> None:
        if number < 1:
            raise RuntimeError("expects a positive number of threads")

    verdict = held("pad: threads_change_nothing", set_num_threads=takes_no_zero)
    assert (verdict.finding, verdict.refused) == (None, 30)


def test_a_maximum_of_no_pixels_may_be_the_lowest_number_in_float16() -> None:
    """That it is -inf says a law of its own."""

    def lowest(x: np.ndarray, *args: Any, **options: Any) -> Any:
        return np.maximum(SOUND["max_pool"](x, *args, **options), np.finfo(x.dtype).min)

    assert held("max_pool: float16_gives_what_float32_gives", max_pool=lowest).finding is None


def test_making_a_case_smaller_ends_in_time() -> None:
    """What was drawn on the way was prepared for minutes where a kernel takes few sizes; what was found is told all the same."""
    law = next(law for law in LAWS if str(law) == "pad: padding_modes_are_numpys")
    seen: list[Any] = []

    def prepare(case: Any) -> Any:
        seen.append(case)
        return case

    wrong = implementation({"pad": lambda *args, **options: SOUND["pad"](*args, **options) + 1})
    whole, cut = (hold(law, wrong, (2,), 30, 0, prepare, **rest).finding for rest in ({}, {"shrinking": 0.0}))
    assert whole is not None and cut is not None and len(whole.code) <= len(cut.code)
    seen.clear()
    assert hold(law, wrong, (2,), 30, 0, prepare, shrinking=0.0).finding and len(seen) < 5


@pytest.mark.parametrize("name", ["max_pool: max_gradient_keeps_its_mass", "conv: channels_add_up", "max_pool: nan_is_the_largest"])
def test_large_arrays_are_short_lines_that_make_them(name: str) -> None:
    """They were written out, up to 400 numbers, or left out; the results are shown around the first place that differs."""
    law = next(law for law in LAWS if str(law) == name)
    case = next(case for case in drawn(law.family, (2,), 200, 0) if math.prod(case.geometry.sizes) > 60)
    trial = Trial(implementation(SOUND))
    law(trial, case)
    code = as_python(trial.calls, "sound", case)
    names: dict[str, Any] = {}
    lines = [line for line in code.splitlines() if not line.startswith("y")]
    assert max(map(len, lines)) < 4200
    exec("\n".join(lines), names)
    made = {array.tobytes() for key, array in names.items() if re.fullmatch(r"a\d+", key) and array is not ...}
    given = [array for call in trial.calls for array in call.arrays if array is not None]
    assert {array.tobytes() for array in given if array.size < 4000} <= made and max(array.size for array in given) > 60


def test_results_are_shown_around_the_first_difference() -> None:
    def wrong(*args: Any, **options: Any) -> Any:
        y = SOUND["pad"](*args, **options).copy()
        y[..., 50:] += 1
        return y

    finding = held("pad: padding_modes_are_numpys", pad=wrong).finding
    assert finding is not None and finding.found.startswith("at [0, 0, ") and max(len(finding.found), len(finding.wanted)) < 100
    assert finding.found.split(":")[1] == finding.wanted.split(":")[1] and finding.found != finding.wanted


def test_a_law_of_ones_own_is_judged() -> None:
    """A finding is tried again by its law, which need not be in the list."""

    def never(trial: Trial, case: Any) -> None:
        """Nothing holds."""
        raise LawBroken("expected nothing; received a pad")

    law = Law("never", "pad", never, ("pad",))
    (verdict,) = judge(SimpleNamespace(pad=SOUND["pad"]), [law], examples=5)
    assert verdict.finding is not None and verdict.finding.difference == "expected nothing; received a pad"


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
