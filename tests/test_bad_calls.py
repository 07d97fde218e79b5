"""Whatever a user passes, a public function takes it or says in the house's form what is wrong: no bare error of Python or NumPy."""

from __future__ import annotations

import collections
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import bad_calls
import numpy as np
import pytest

import numbacnn as nc
from numbacnn.errors import in_form, message
from numbacnn.signatures import described, fits, judged, shown

CALLS = 2000  # python tests/bad_calls.py draws more


def test_no_bad_call_ends_in_a_bare_error() -> None:
    outcomes: collections.Counter[str] = collections.Counter()
    raw = []
    for found in bad_calls.draw(CALLS, seed=0):
        outcomes[found.outcome] += 1
        if found.outcome == "raw":
            raw.append(f"{found.said}\n        {type(found.error).__name__}: {found.error}")
    assert not raw, "\n".join(raw)
    assert outcomes["refused"] > CALLS / 2  # else the calls are not bad


def test_a_right_call_of_each_row_is_taken() -> None:
    missing = set()
    for name, row in bad_calls.ROWS.items():
        function, args, options = row()
        try:
            function(*args, **options)
        except (OSError, nc.FormatError, RuntimeError):  # the last: of data sets that are not there and not to be downloaded
            missing.add(name)
    no_such_file = {"checkpoint.load", "checkpoint.load_weights", "image_folder", "load", "pictures", "read_idx", "read_image"}
    no_such_file |= {"CIFAR10", "CIFAR100", "DatasetFolder", "EMNIST", "KMNIST", "STL10", "SVHN", "vision.ImageFolder"}
    assert missing == no_such_file


RECORDS = set(
    """
    Checkpoint Preprocessing Evaluation History Function Module Optimizer Schedule Field Row Summary UninitializedParameter Normalize
    RemovableHandle Prediction Profile LoadReport Reduction ImageFolder Reading HyperParameters DataModule Classifier Timer
    InterpolationMode LRScheduler Dataset Generator IterableDataset Sampler WorkerInfo
    """.split()  # noqa: SIM905
)
"""Public names of types that a user does not call, or makes a subclass of; the second name of a class."""

FREE = set(
    """
    no_grad inference_mode is_grad_enabled empty_cache get_rng_state get_num_threads cache_folder mnist fashion_mnist registry save
    save_weights write_atomically DTypeError DeviceError FormatError ShapeError resnet18 vgg11 vgg11_bn
    FashionMNIST MNIST enable_grad load_data_fashion_mnist cpu gpu num_gpus try_all_gpus use_svg_display add_to_class
    get_worker_info initial_seed
    """.split()  # noqa: SIM905
)
"""Functions without arguments to draw, those that write files, errors, and networks that take long to make."""


def test_every_public_function_has_a_row() -> None:
    rows = {part for name in bad_calls.ROWS for part in (name.split("(")[0], name.split("(")[0].split(".")[-1])}
    assert sorted(bad_calls.public() - rows - RECORDS - FREE) == []


# -- the mechanism ---------------------------------------------------------------------------------------------------------
@judged
def example(
    number: float,
    sizes: Sequence[int] = (),
    how: Literal["mean", "sum"] = "mean",
    then: Callable[[int], int] | None = None,
    *rest: int,
    flag: bool = False,
    names: Mapping[str, float] | None = None,
) -> float:
    """Fails in one of NumPy's ways."""
    return float(np.ones(3)[5])


@pytest.mark.parametrize(("args", "options", "kind", "text"), [
    (("1",), {}, TypeError, "[example] expected number as a number; received '1'."),
    ((True,), {}, TypeError, "[example] expected number as a number; received True."),
    ((1, 2), {}, TypeError, "[example] expected sizes as a sequence of integers; received 2."),
    ((1, [2, None]), {}, TypeError, "[example] expected sizes as a sequence of integers; received [2, None]."),
    ((1, "ab"), {}, TypeError, "[example] expected sizes as a sequence of integers; received 'ab'."),
    ((1, [], "max"), {}, ValueError, "[example] expected how as one of 'mean', 'sum'; received 'max'."),
    ((1, [], 0), {}, TypeError, "[example] expected how as one of 'mean', 'sum'; received 0."),
    ((1, [], "sum", 5), {}, TypeError, "[example] expected then as a function or None; received 5."),
    ((1, [], "sum", None, 1, 2.5), {}, TypeError, "[example] expected rest as a sequence of integers; received (1, 2.5)."),
    ((1,), {"flag": 1}, TypeError, "[example] expected flag as True or False; received 1."),
    ((1,), {"names": {"a": "b"}}, TypeError, "[example] expected names as a mapping or None; received dict."),
    ((np.zeros(2),), {}, TypeError, "[example] expected number as a number; received an array of shape (2,) and dtype float64."),
    ((1,), {"nose": 1}, TypeError, None),
    ((1, [2], "sum", len, 3), {"flag": True, "names": {}}, IndexError, None),  # all fit: the error is the library's own
])  # fmt: skip
def test_the_argument_that_does_not_fit_is_named(args: tuple, options: dict, kind: type, text: str | None) -> None:
    with pytest.raises(kind) as error:
        example(*args, **options)
    assert text is None or str(error.value) == text
    assert in_form(error.value) == (text is not None or "nose" in options)


def test_an_error_in_the_house_s_form_passes() -> None:
    @judged
    def refuses(x: float) -> None:
        raise KeyError(message("refuses", "nothing", "something"))

    with pytest.raises(KeyError, match="expected nothing"):
        refuses("1")  # type: ignore[arg-type]


def test_sizes_beyond_all_memory() -> None:
    for make in (lambda: nc.nn.Linear(2**63, 3), lambda: nc.nn.Linear(10**12, 10**6), lambda: nc.nn.Conv2d(2**40, 2**20, 3)):
        with pytest.raises(ValueError, match="sizes of arrays that fit in memory") as error:
            make()
        assert in_form(error.value)


def test_a_judged_function_keeps_its_signature() -> None:
    assert list(inspect.signature(nc.nn.functional.conv2d).parameters)[:3] == ["input", "weight", "bias"]
    assert nc.nn.functional.conv2d.__doc__.startswith("Cross-correlation")
    assert list(inspect.signature(nc.nn.Conv2d).parameters)[:2] == ["in_channels", "out_channels"]


@pytest.mark.parametrize(("value", "hint", "right"), [
    (1, int, True), (np.int64(1), int, True), (True, int, False), (1.0, int, False), (1, float, True), (1j, float, False),
    (None, None, True), (0, None, False), ("a", str, True), ((1, 2), tuple[int, int], True), ((1,), tuple[int, int], False),
    ([1], list[int], True), (["a"], list[int], False), (range(3), Sequence[int], True), ("ab", Sequence[str], False),
    (np.zeros(2), np.ndarray, True), ([0], np.ndarray, False), (np.zeros(2), Iterable[str], False), (len, Callable, True),
    (int, type, True),
    ({"a": 1}, Mapping[str, int], True), ({1: 1}, Mapping[str, int], False), (object(), Any, True), (2, int | str, True),
    (2.5, int | str, False),
])  # fmt: skip
def test_fits(value: Any, hint: Any, right: bool) -> None:
    assert fits(value, hint) is right


def test_words() -> None:
    assert described(int | Sequence[float] | None) == "an integer, a sequence of numbers or None"
    assert described(nc.Tensor) == "a Tensor"
    assert shown([1, "a"]) == "[1, 'a']" and shown(nc.Tensor) == "type Tensor" and shown(object()) == "object"


def test_a_dtype_of_the_name_of_a_python_type_does_not_hide_it() -> None:
    """``nc.float`` is float32 from its first use on; an argument annotated ``float`` is a number all the same."""
    assert nc.float == nc.float32

    def half(x: float) -> float:
        return x / 2

    half.__module__ = "numbacnn.random"
    with pytest.raises(TypeError, match=r"^\[half\] expected x as a number; received '1'\.$"):
        judged(half)("1")  # type: ignore[arg-type]
