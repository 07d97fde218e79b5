"""Data sets, samplers, collation and the loader over examples: beside PyTorch, in threads and processes, left early, killed and resumed."""

from __future__ import annotations

import collections
import contextlib
import itertools
import multiprocessing
import os
import random as python_random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numbacnn as nc
from numbacnn.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    ImageDataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    get_worker_info,
    random_split,
)
from numbacnn.errors import DTypeError, ShapeError
from numbacnn.tensor import from_array

CASES = int(os.environ.get("NUMBACNN_LOADER_DRAWS", "60"))
"""Drawn cases beside PyTorch of each kind."""

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # Python 3.12 on forks beside threads
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # PyTorch on few processors
]
FORK = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork, which Windows lacks")
WAYS: list[Any] = [
    {},
    {"prefetch": 3},
    {"num_workers": 1},
    {"num_workers": 3, "prefetch_factor": 1},
    pytest.param({"num_workers": 2, "multiprocessing_context": "fork"}, marks=FORK),
]
"""Who makes the batches."""


@contextlib.contextmanager
def raises(kind: type[BaseException], text: str) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """The block raises exactly this kind with exactly this text."""
    with pytest.raises(kind) as caught:
        yield caught
    assert type(caught.value) is kind
    assert str(caught.value) == text


def plain(batch: Any) -> Any:
    """A batch of ours or PyTorch's as lists, dtypes and the types of its containers."""
    if hasattr(batch, "numpy"):
        array = batch.numpy()
        return str(array.dtype), array.shape, array.tolist()
    if isinstance(batch, dict):
        return type(batch).__name__, {key: plain(value) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch).__name__, [plain(member) for member in batch]
    return batch


class Numbers(Dataset[Any]):
    """Random pictures, which draw from the library's generator, and their numbers."""

    def __init__(self, n: int = 20, fails: int | None = None) -> None:
        self.n, self.fails = n, fails

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[nc.Tensor, int]:
        if index == self.fails:
            raise ZeroDivisionError("of the user's own")
        return nc.rand(2, 3) + index, index


class Shared(IterableDataset[int]):
    """0 .. n - 1, of which each worker takes its share."""

    def __init__(self, n: int = 10) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        return iter(range(self.n) if worker is None else range(worker.id, self.n, worker.num_workers))


def workers() -> list[Any]:
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("numbacnn-")]
    return threads + multiprocessing.active_children()


def wait_for_no_workers() -> None:
    deadline = time.monotonic() + 10
    while workers() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not workers()


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    yield
    wait_for_no_workers()


# -- data sets ---------------------------------------------------------------------------------------------------------------------
def test_data_sets_made_of_others() -> None:
    both = ConcatDataset([range(3), "ab"]) + [7]
    assert [both[i] for i in range(-6, 6)] == [0, 1, 2, "a", "b", 7] * 2 and len(both) == 6
    stacked = StackDataset(Subset("abcd", [2, 0]), [5, 6])
    assert stacked[1] == ("a", 6) and stacked.__getitems__([1, 0]) == [("a", 6), ("c", 5)] and len(stacked) == 2
    assert StackDataset(x="ab", y="cd").__getitems__([0]) == [{"x": "a", "y": "c"}]
    assert list(ChainDataset([Shared(2), Shared(1)])) == [0, 1, 0]
    data = TensorDataset(nc.arange(3), np.arange(6).reshape(3, 2))
    assert data[2][0].item() == 2 and data[2][1].tolist() == [4, 5] and len(data) == 3


class OnceAsked(Dataset[int]):
    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return 6

    def __getitems__(self, indices: list[int]) -> list[int]:
        self.asked.append(indices)
        return [10 * i for i in indices]


@pytest.mark.parametrize("wrapped", [lambda d: d, lambda d: Subset(d, range(6)), lambda d: StackDataset(d, range(6))])
def test_a_data_set_is_asked_for_a_batch_at_once(wrapped: Any) -> None:
    data = OnceAsked()
    list(DataLoader(wrapped(data), 4))
    assert data.asked == [[0, 1, 2, 3], [4, 5]]


def test_a_subset_with_its_own_getitem_needs_its_own_getitems() -> None:
    class Own(Subset[Any]):
        def __getitem__(self, index: Any) -> Any:
            return 0

    text = "[Own] expected __getitems__ beside a __getitem__ of its own; received none; "
    with raises(NotImplementedError, text + "write def __getitems__(self, indices): return [self[i] for i in indices]."):
        Own("ab", [0])


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: TensorDataset(), ValueError, "[TensorDataset] expected at least one tensor; received none."),
        (
            lambda: TensorDataset(np.zeros((3, 2)), np.zeros(2)),
            ShapeError,
            "[TensorDataset] expected tensors (N, ...) with one N; received shapes (3, 2), (2,).",
        ),
        (lambda: TensorDataset([1]), TypeError, "[TensorDataset] expected Tensors or arrays; received [1]."),
        (lambda: StackDataset(), ValueError, "[StackDataset] expected data sets, either by place or by name; received 0 and 0."),
        (lambda: StackDataset("a", "bc"), ValueError, "[StackDataset] expected data sets of one length; received lengths 1, 2."),
        (lambda: ConcatDataset([]), ValueError, "[ConcatDataset] expected at least one data set; received none."),
        (
            lambda: ConcatDataset([Shared()]),
            TypeError,
            "[ConcatDataset] expected data sets with an index; received an IterableDataset; take a ChainDataset.",
        ),
        (lambda: ConcatDataset(["ab"])[2], IndexError, "[ConcatDataset] expected an index from -2 to 1; received 2."),
        (lambda: list(ChainDataset(["a"])), TypeError, "[ChainDataset] expected iterable data sets; received 'a'; take a ConcatDataset."),
        (
            lambda: random_split("abc", [1, 1]),
            ValueError,
            "[random_split] expected lengths that add up to 3, or shares that add up to 1; received [1, 1].",
        ),
        (lambda: random_split("abc", [4, -1]), ValueError, "[random_split] expected lengths of at least 0; received [4, -1]."),
        (
            lambda: len(ChainDataset([Shared()])),
            TypeError,
            "[ChainDataset] expected a data set that says its length; received a Shared, which has no __len__.",
        ),
    ],
)
def test_data_set_errors(make: Any, kind: type[Exception], text: str) -> None:
    with raises(kind, text):
        make()


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("arrays", [False, True])
def test_a_list_is_a_data_set_of_its_members(members: int, arrays: bool) -> None:
    """Two of them are no pair (X, y), as they were."""
    torch = pytest.importorskip("torch")
    values = [np.full((3, 2), i, np.float32) for i in range(members)]
    ours, theirs = ([m(v) for v in values] for m in ((np.copy, np.copy) if arrays else (nc.tensor, torch.tensor)))
    expected = [plain(batch) for batch in torch.utils.data.DataLoader(theirs, 2)]
    assert [plain(batch) for batch in DataLoader(ours, 2)] == expected


@given(st.integers(1, 40), st.lists(st.integers(1, 6), min_size=1, max_size=5), st.booleans())
@settings(max_examples=CASES, deadline=None)
def test_random_split_beside_pytorch(n: int, weights: list[int], shares: bool) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    if shares:
        lengths: list[Any] = [weight / sum(weights) for weight in weights]
    else:
        cuts = sorted(min(weight, n) for weight in weights)
        lengths = [after - before for before, after in itertools.pairwise([0, *cuts, n])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a part may be empty
        ours = random_split(range(n), lengths)
        if not shares or sum(lengths) <= 1:  # PyTorch refuses shares that rounding makes a little more than 1
            assert [len(part) for part in ours] == [len(part) for part in torch_data.random_split(range(n), lengths)]
    assert sorted(i for part in ours for i in part.indices) == list(range(n))


def test_random_split_draws_from_a_generator() -> None:
    def split(generator: nc.Generator | None = None) -> list[int]:
        return list(random_split(range(50), [50], generator)[0].indices)

    nc.manual_seed(1)
    first = split()
    nc.manual_seed(1)
    assert split() == first != split()
    assert split(nc.Generator().manual_seed(2)) == split(nc.Generator().manual_seed(2)) != split(nc.Generator().manual_seed(3))
    with pytest.warns(UserWarning, match=r"^\[random_split\] expected a length above 0 at index 2; received 0: that part is empty\.$"):
        assert [len(part) for part in random_split(range(2), [0.4, 0.4, 0.2])] == [1, 1, 0]


# -- samplers ----------------------------------------------------------------------------------------------------------------------
@given(st.integers(1, 30), st.integers(1, 9), st.booleans(), st.booleans(), st.integers(1, 70))
@settings(max_examples=CASES, deadline=None)
def test_samplers_beside_pytorch(n: int, size: int, drop_last: bool, replacement: bool, samples: int) -> None:
    theirs = pytest.importorskip("torch.utils.data")
    assert list(SequentialSampler(range(n))) == list(theirs.SequentialSampler(range(n)))
    ours, other = (module.BatchSampler(range(n), size, drop_last) for module in (nc.data, theirs))
    assert list(ours) == list(other) and len(ours) == len(other)
    pairs = [(m.RandomSampler(range(n), replacement, samples), m.SubsetRandomSampler(list(range(5, 5 + n)))) for m in (nc.data, theirs)]
    for ours, other in zip(*pairs):
        mine = list(ours)
        assert len(mine) == len(ours) == len(other) and set(map(type, mine)) == {int}
        if not replacement:  # whole rounds, then a part of one
            assert all(len(set(mine[i : i + n])) == len(mine[i : i + n]) for i in range(0, len(mine), n))
    assert sorted(SubsetRandomSampler(range(5, 5 + n))) == list(range(5, 5 + n))
    weights = [float(i % 3) for i in range(n + 1)]
    above = sum(weight > 0 for weight in weights)
    drawn = list(WeightedRandomSampler(weights, min(samples, above) if not replacement else samples, replacement))
    assert all(weights[i] for i in drawn) and (replacement or len(set(drawn)) == len(drawn))


def test_samplers_follow_their_weights_and_generators() -> None:
    weights = [0.0, 1.0, 3.0, 4.0]
    counts = np.bincount(list(WeightedRandomSampler(weights, 40_000, generator=nc.Generator().manual_seed(0))), minlength=4)
    assert counts[0] == 0 and np.abs(counts / 40_000 - np.array(weights) / 8).max() < 0.01
    nc.manual_seed(0)
    first = [next(iter(WeightedRandomSampler(weights, 1, False))) for _ in range(4_000)]
    assert np.abs(np.bincount(first, minlength=4) / 4_000 - np.array(weights) / 8).max() < 0.03
    counts = np.bincount(list(RandomSampler(range(5), True, 20_000)), minlength=5)
    assert np.abs(counts / 20_000 - 0.2).max() < 0.015
    for make in (lambda g: RandomSampler(range(30), generator=g), lambda g: SubsetRandomSampler(range(30), g)):
        a, b = (list(make(nc.Generator().manual_seed(seed))) for seed in (4, 4))  # type: ignore[no-untyped-call]
        sampler = make(nc.Generator().manual_seed(4))  # type: ignore[no-untyped-call]
        assert a == b == list(sampler) != list(sampler)


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (
            lambda: RandomSampler("ab", False, 0),
            ValueError,
            "[RandomSampler] expected num_samples as an integer of at least 1; received 0.",
        ),
        (lambda: RandomSampler("ab", 1), TypeError, "[RandomSampler] expected replacement as True or False; received 1."),
        (lambda: BatchSampler("ab", 0, False), ValueError, "[BatchSampler] expected batch_size as an integer of at least 1; received 0."),
        (
            lambda: WeightedRandomSampler([0.0, 1.0], 2, False),
            ValueError,
            "[WeightedRandomSampler] expected 2 weights above 0; received 1; draw fewer samples, or with replacement.",
        ),
        (
            lambda: WeightedRandomSampler([1.0, -1.0], 2),
            ValueError,
            "[WeightedRandomSampler] expected finite weights of at least 0, not all 0; received [1.0, -1.0].",
        ),
        (
            lambda: WeightedRandomSampler([[1.0]], 2),
            ShapeError,
            "[WeightedRandomSampler] expected weights (N,) of numbers; received [[1.0]].",
        ),
        (
            lambda: len(BatchSampler(iter("ab"), 1, False)),
            TypeError,
            "[BatchSampler] expected a data set that says its length; received a str_ascii_iterator, which has no __len__.",
        ),
    ],
)
def test_sampler_errors(make: Any, kind: type[Exception], text: str) -> None:
    with raises(kind, text):
        make()


# -- collation ---------------------------------------------------------------------------------------------------------------------
class Point(NamedTuple):
    x: Any
    y: Any


KINDS: dict[str, Any] = {
    "float": lambda draw: draw(st.floats(-9, 9)),
    "int": lambda draw: draw(st.integers(-9, 9)),
    "bool": lambda draw: draw(st.booleans()),
    "str": lambda draw: draw(st.sampled_from("abc")),
    "bytes": lambda draw: b"x",
    "float32": lambda draw: np.float32(draw(st.integers(-9, 9))),
    "uint8": lambda draw: np.uint8(draw(st.integers(0, 9))),
    "scalar array": lambda draw: np.array(draw(st.integers(0, 9))),
    "array": lambda draw: np.full((2, 1), draw(st.integers(0, 9)), np.int32),
    "doubles": lambda draw: np.full(3, draw(st.floats(-9, 9))),
}
FORMS: dict[str, Any] = {
    "tuple": lambda inner: (inner(), inner()),
    "list": lambda inner: [inner(), inner()],
    "named": lambda inner: Point(inner(), inner()),
    "dict": lambda inner: {"a": inner(), "b": inner()},
    "ordered": lambda inner: collections.OrderedDict(b=inner(), a=inner()),
    "alone": lambda inner: inner(),
}


@given(st.data())
@settings(max_examples=CASES * 2, deadline=None)
def test_collation_beside_pytorch(data: st.DataObject) -> None:
    theirs = pytest.importorskip("torch.utils.data")
    outer, inner = (FORMS[data.draw(st.sampled_from(sorted(FORMS)))] for _ in range(2))
    kinds = [KINDS[data.draw(st.sampled_from(sorted(KINDS)))] for _ in range(4)]

    def example() -> Any:
        turn = itertools.cycle(kinds)
        return outer(lambda: inner(lambda: next(turn)(data.draw)))

    batch = [example() for _ in range(data.draw(st.integers(1, 4)))]
    assert plain(default_collate(batch)) == plain(theirs.default_collate(batch))
    assert plain(default_convert(batch[0])) == plain(theirs.default_convert(batch[0]))


def test_collation_of_tensors() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import default_collate as theirs

    for members in ([[1.0], [2.0]], [[1], [2.5]], [[True], [False]], [1, 2.5]):
        assert plain(default_collate(list(map(nc.tensor, members)))) == plain(theirs(list(map(torch.tensor, members))))
        assert plain(default_collate(members)) == plain(theirs(members))
    both = default_collate([nc.ones(2).requires_grad_(), nc.zeros(2)])
    assert both.requires_grad and both.shape == (2, 2)
    hwc = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    batch = default_collate([from_array(hwc.transpose(2, 0, 1))] * 2)
    assert batch.shape == (2, 3, 2, 4) and (batch.numpy()[1] == hwc.transpose(2, 0, 1)).all()
    assert batch.numpy().transpose(0, 2, 3, 1).flags.c_contiguous  # as the examples lie in memory, and layers want it


@pytest.mark.parametrize(
    ("batch", "kind", "text"),
    [
        ([], ValueError, "a list of at least one example; received []."),
        (
            [np.zeros(2), np.zeros(3)],
            ShapeError,
            "examples of one shape; received shapes (2,), (3,); resize them, or pad them in a collate_fn.",
        ),
        ([(1, 2), (1,)], ValueError, "examples of 2 members each; received 2, 1; pad them in a collate_fn."),
        ([{"a": 1}, {"b": 1}], ValueError, "dicts with the key 'a'; received keys 'b'."),
        (
            [None],
            TypeError,
            "Tensors, arrays, numbers, strings, and lists, tuples or dicts of these; or a collate_fn for others; received None.",
        ),
        ([np.zeros(1), 2], TypeError, "Tensors or arrays, as the first example is; received 2."),
        ([1, "a"], DTypeError, "numbers that a Tensor can hold; received [1, 'a']."),
        ([2**70], DTypeError, f"numbers that a Tensor can hold; received [{2**70}]."),
    ],
)
def test_collation_errors(batch: list[Any], kind: type[Exception], text: str) -> None:
    with raises(kind, "[default_collate] expected " + text):
        default_collate(batch)


# -- the loader beside PyTorch -----------------------------------------------------------------------------------------------------
@given(st.data())
@settings(max_examples=CASES, deadline=None)
def test_batches_beside_pytorch(data: st.DataObject) -> None:
    theirs = pytest.importorskip("torch.utils.data")
    n = data.draw(st.integers(1, 12))
    options: dict[str, Any] = {}
    kind = data.draw(st.sampled_from(["plain", "sampler", "batch_sampler", "single", "single lists"]))
    indices = data.draw(st.lists(st.integers(0, n - 1), max_size=9))
    if kind in ("plain", "sampler"):
        options = {"batch_size": data.draw(st.integers(1, 5)), "drop_last": data.draw(st.booleans())}
    if kind == "sampler":
        options["sampler"] = indices
    if kind == "batch_sampler":
        options["batch_sampler"] = [indices[i : i + 3] for i in range(0, len(indices), 3)]
    if kind == "single":
        options["batch_size"] = None
    if kind == "single lists":
        options |= {"batch_size": None, "sampler": [indices]}
    if data.draw(st.booleans()):
        options["collate_fn"] = list if "batch_size" not in options or options["batch_size"] else repr
    examples = [(np.full(2, i, np.float32), i) for i in range(n)]
    sets: list[Any] = [(examples if kind != "single lists" else np.arange(n),) * 2]
    if kind == "plain" and n > 2:
        torch = pytest.importorskip("torch")
        sets.append((TensorDataset(nc.arange(n)), theirs.TensorDataset(torch.arange(n))))
        sets.append((nc.arange(n), torch.arange(n)))
    for mine, other in sets if n > 2 or kind == "single lists" else []:
        ours, reference = DataLoader(mine, **options), theirs.DataLoader(other, **options)
        assert list(map(plain, ours)) == list(map(plain, reference)) and len(ours) == len(reference)
        assert len(iter(ours)) == len(iter(reference))  # type: ignore[arg-type]


@FORK
def test_iterable_data_sets_beside_pytorch() -> None:
    theirs = pytest.importorskip("torch.utils.data")

    class Both(Shared):
        pass

    class Theirs(theirs.IterableDataset):  # type: ignore[name-defined, misc]
        def __iter__(self) -> Iterator[int]:
            worker = theirs.get_worker_info()
            return iter(range(11) if worker is None else range(worker.id, 11, worker.num_workers))

    for options in ({"batch_size": 2}, {"batch_size": 2, "drop_last": True}, {"batch_size": None}):
        assert list(map(plain, DataLoader(Both(11), **options))) == list(map(plain, theirs.DataLoader(Theirs(), **options)))  # type: ignore[arg-type]
    for n in (2, 3):
        reference = [batch.tolist() for batch in theirs.DataLoader(Theirs(), 2, num_workers=n, multiprocessing_context="fork")]
        for way in ({}, {"multiprocessing_context": "fork"}, {"persistent_workers": True}):
            loader = DataLoader(Both(11), 2, num_workers=n, **way)  # type: ignore[arg-type]
            for _ in range(2):
                assert [batch.tolist() for batch in loader] == reference
            loader = None  # type: ignore[assignment]


def test_the_length_of_an_iterable_data_set() -> None:
    class Long(Shared):
        def __len__(self) -> int:
            return 3

    assert (len(DataLoader(Long(), 2)), len(DataLoader(Long(), 2, drop_last=True)), len(DataLoader(Long(), None))) == (2, 1, 3)
    loader = DataLoader(Long(5))
    assert sum(1 for _ in loader) == 5  # list(loader) would ask for the length, and nobody did
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(iter(loader))) == 5
    with pytest.raises(TypeError, match=r"^\[DataLoader\] expected a map-style data set, of which batches are counted; received "):
        len(iter(loader))  # type: ignore[arg-type]
    len(loader)
    text = r"^\[DataLoader\] expected no more batches than examples; received batch 4 of an IterableDataset whose length is 3\.$"
    with pytest.warns(UserWarning, match=text) as warned:
        list(loader)
    assert warned[0].filename == __file__
    with raises(TypeError, "[DataLoader] expected a data set that says its length; received a Shared, which has no __len__."):
        len(DataLoader(Shared()))


# -- workers -----------------------------------------------------------------------------------------------------------------------
def epochs(data: Any, count: int = 2, **options: Any) -> list[Any]:
    nc.manual_seed(7)
    loader = DataLoader(data, 3, shuffle=True, **options)
    return [plain(batch) for _ in range(count) for batch in loader]


@pytest.mark.parametrize("way", WAYS)
def test_who_makes_the_batches_changes_nothing(way: dict[str, Any]) -> None:
    assert epochs(Numbers(), **way) == epochs(Numbers())
    assert epochs(Subset(Numbers(), range(3, 17)), **way) == epochs(Subset(Numbers(), range(3, 17)))
    images = ImageDataset(np.arange(320, dtype=np.uint8).reshape(20, 4, 4, 1), np.arange(20) % 3, ("a", "b", "c"))
    flip = nc.data.RandomFlip()
    assert epochs(images, transform=flip, **way) == epochs(images, transform=flip)


def test_what_an_example_draws_depends_on_its_place_alone() -> None:
    def drawn(size: int, **options: Any) -> list[Any]:
        return [row for x, _ in DataLoader(Numbers(), size, seed=5, **options) for row in x.tolist()]

    assert drawn(3) == drawn(20) == drawn(4, num_workers=2) and len({str(row) for row in drawn(3)}) == 20
    twice = drawn(4, sampler=[1, 1, 1])
    assert len({str(row) for row in twice}) == 3, "an example that comes twice is not drawn alike"
    state = nc.get_rng_state()
    drawn(3)
    assert nc.get_rng_state() == state


@pytest.mark.skipif(sys.platform == "win32", reason="a fresh process each")
def test_processes_that_are_spawned(tmp_path: Path) -> None:
    """A data set that can't be pickled is refused; one that can gives the same batches."""
    text = "[DataLoader] expected a data set, collate_fn and worker_init_fn that can be pickled for 'spawn'; received "
    with pytest.raises(TypeError) as caught:
        list(DataLoader(range(3), num_workers=2, multiprocessing_context="spawn", collate_fn=lambda x: x))
    assert str(caught.value).startswith(text) and "or take threads or multiprocessing_context='fork'" in str(caught.value)
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert done.stdout == "True\n" and not done.stderr, done.stderr


SPAWNED = """
import numpy as np
import numbacnn as nc
from numbacnn.data import DataLoader, Dataset

class Pictures(Dataset):
    def __len__(self):
        return 6
    def __getitem__(self, index):
        return nc.from_array(np.full((40, 60, 3), index, np.float32).transpose(2, 0, 1)) * nc.rand(1), index

if __name__ == "__main__":
    def batches(**options):
        return [[t.tolist() for t in batch] for batch in DataLoader(Pictures(), 4, seed=1, **options)]
    print(batches() == batches(num_workers=1, multiprocessing_context="spawn"))
"""


@FORK
def test_large_batches_come_out_of_processes_as_they_were() -> None:
    class Pictures(Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            hwc = np.full((64, 48, 3), index, np.float32)
            return {"x": from_array(hwc.transpose(2, 0, 1)), "raw": hwc, "empty": np.zeros((0, 3)), "name": "a"}

    for batch in DataLoader(Pictures(), 2, num_workers=2, multiprocessing_context="fork"):
        assert batch["x"].shape == (2, 3, 64, 48) and batch["x"].numpy().transpose(0, 2, 3, 1).flags.c_contiguous
        assert (batch["x"].numpy() == batch["raw"].numpy().transpose(0, 3, 1, 2)).all() and batch["empty"].shape == (2, 0, 3)
        batch["x"].numpy()[:] = 1  # it may be written to


class Asking(Dataset[Any]):
    """Says who makes an example, and keeps a file of its own open."""

    def __init__(self) -> None:
        self.handle: object = None

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[int, int, int]:
        self.handle = self.handle or object()
        worker = get_worker_info()
        assert worker is not None and worker.num_workers == 3
        if worker.dataset is self:  # not of a Subset
            assert worker.dataset.handle is self.handle
        time.sleep(0.002)
        return worker.id, id(self.handle), python_random.getrandbits(30)


@pytest.mark.parametrize("way", [{}, pytest.param({"multiprocessing_context": "fork"}, marks=FORK)])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_know_themselves(way: dict[str, Any], persistent: bool) -> None:
    begun: list[int] = []
    options: dict[str, Any] = {"num_workers": 3, "persistent_workers": persistent, "worker_init_fn": begun.append, "seed": 3} | way
    loader = DataLoader(ConcatDataset([Subset(Asking(), range(6)), Asking()]), 2, **options)
    first, second = ([[t.tolist() for t in batch] for batch in loader] for _ in range(2))
    assert [batch[0][0] for batch in first] == [0, 1, 2] * 3  # in turn
    if not way:
        assert sorted(begun) == sorted([0, 1, 2] * (1 if persistent else 2))
        assert len({batch[1][0] for batch in first[:3]}) == 3, "each has a handle of its own"
    else:
        again = DataLoader(ConcatDataset([Subset(Asking(), range(6)), Asking()]), 2, **options)
        assert [batch[2].tolist() for batch in again] == [batch[2] for batch in first], "Python's generator is seeded in each process"
        assert len({batch[2][0] for batch in first}) == 9
    assert get_worker_info() is None and len(second) == 9


def test_a_worker_s_copy_of_an_iterable_data_set_may_be_changed() -> None:
    class Range(IterableDataset[int]):
        start, stop = 3, 7

        def __iter__(self) -> Iterator[int]:
            return iter(range(self.start, self.stop))

    def share(worker: int) -> None:
        info = get_worker_info()
        assert info is not None and info.id == worker
        info.dataset.start, info.dataset.stop = 3 + 2 * worker, 5 + 2 * worker

    assert [x.item() for x in DataLoader(Range(), num_workers=2, worker_init_fn=share)] == [3, 5, 4, 6]


def test_batches_in_any_order() -> None:
    class Slow(Dataset[int]):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> int:
            time.sleep(0.1 if index == 0 else 0.0)
            return index

    got = [x.item() for x in DataLoader(Slow(), num_workers=2, in_order=False)]
    assert sorted(got) == list(range(6)) and got[0] == 1


@pytest.mark.parametrize("way", WAYS)
def test_an_error_names_the_example_and_keeps_its_traceback(way: dict[str, Any]) -> None:
    running = iter(DataLoader(Numbers(fails=13), 4, **way))
    assert [len(next(running)[1]) for _ in range(3)] == [4, 4, 4]
    with raises(ZeroDivisionError, "of the user's own") as caught:
        next(running)
    worker = f", in worker {3 % way['num_workers']}" if "num_workers" in way else ""
    assert caught.value.__notes__ == [f"[DataLoader] It came from example 13 of the data set{worker}."]
    cause = caught.value.__cause__
    assert "__getitem__" in [entry.name for entry in caught.traceback] or (cause is not None and "in __getitem__" in str(cause))


class Awkward(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@FORK
@pytest.mark.parametrize(
    ("example", "kind", "text"),
    [
        (Awkward(1, 2), RuntimeError, "[DataLoader] expected a batch; received Awkward: 1 and 2."),
        (KeyError("gone"), KeyError, "'gone'"),
        (threading.Lock(), TypeError, "[DataLoader] expected batches that can be pickled from a worker's process; received "),
    ],
)
def test_errors_that_do_not_go_through_a_pipe(example: Any, kind: type[Exception], text: str) -> None:
    class One(Dataset[Any]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Any:
            if isinstance(example, Exception):
                raise example
            return example

    with pytest.raises(kind) as caught:
        list(DataLoader(One(), num_workers=1, multiprocessing_context="fork", collate_fn=list))
    assert type(caught.value) is kind and str(caught.value).startswith(text)


@pytest.mark.parametrize("way", WAYS[2:])
def test_what_worker_init_fn_raises_comes_out_of_the_loop(way: dict[str, Any]) -> None:
    def fail(worker: int) -> None:
        raise LookupError(f"worker {worker}")

    with pytest.raises(LookupError, match=r"^worker 0$"):
        list(DataLoader(Numbers(), 4, worker_init_fn=fail, **way))


@FORK
def test_a_process_that_is_killed_is_an_error() -> None:
    class Killed(Numbers):
        def __getitem__(self, index: int) -> Any:
            if index == 9:
                os.kill(os.getpid(), signal.SIGKILL)
            return index

    hint = "a negative code is the signal that killed it, -9 perhaps for want of memory; num_workers=0 runs the same code here"
    with raises(RuntimeError, f"[DataLoader] expected worker 0 to go on; received its end, exit code -9; {hint}."):
        list(DataLoader(Killed(), 2, num_workers=2, multiprocessing_context="fork"))


@pytest.mark.parametrize("way", [{}, pytest.param({"multiprocessing_context": "fork"}, marks=FORK)])
def test_timeout(way: dict[str, Any]) -> None:
    class Slow(Numbers):
        def __getitem__(self, index: int) -> Any:
            time.sleep(0.5 * (index == 2))
            return index

    running = iter(DataLoader(Slow(), num_workers=1, timeout=0.2, **way))
    hint = "raise timeout, or look for what the data set waits for"
    with raises(RuntimeError, f"[DataLoader] expected a batch within timeout = 0.2 seconds; received none; {hint}."):
        list(running)


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_loop_left_early_leaves_nobody(way: dict[str, Any], persistent: bool) -> None:
    options = way | ({"persistent_workers": True} if persistent and "num_workers" in way else {})
    loader = DataLoader(Numbers(500), 2, seed=0, **options)
    for _ in loader:
        break
    running = iter(loader)
    _, labels = next(running)  # of the next epoch, whatever the workers of the last are still at
    assert labels.tolist() == [0, 1]
    if "num_workers" in options:
        assert workers()
    if not persistent:
        del running
        wait_for_no_workers()
    assert len(list(DataLoader(Subset(Numbers(), range(5)), 2, **options))) == 3
    running = loader = None  # type: ignore[assignment]
    wait_for_no_workers()


def test_persistent_workers_stay() -> None:
    loader = DataLoader(Numbers(), 4, num_workers=2, persistent_workers=True)
    list(loader)
    first = set(workers())
    list(loader)
    assert set(workers()) == first and len(first) == 2


CTRL_C = """
import sys, time
from numbacnn.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self):
        return 100
    def __getitem__(self, index):
        time.sleep(0.05 if index < 4 else 1)
        return index

try:
    for batch in DataLoader(Slow(), num_workers=2, multiprocessing_context=sys.argv[1] if len(sys.argv) > 1 else None):
        print("begun", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@FORK
@pytest.mark.parametrize("way", [[], ["fork"]])
def test_ctrl_c_ends_a_loop(way: list[str]) -> None:
    child = subprocess.Popen([sys.executable, "-c", CTRL_C, *way], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None and child.stdout.readline() == b"begun\n"
    time.sleep(0.3)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out, err = child.communicate(timeout=20)
    assert out.endswith(b"interrupted\n") and not err and child.returncode == 0


KILLED = """
import multiprocessing, os, signal
from numbacnn.data import DataLoader

running = iter(DataLoader(range(1000), num_workers=3, multiprocessing_context="fork"))
next(running)
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@FORK
def test_workers_end_with_the_process_that_began_them() -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE)
    assert child.stdout is not None
    pids = [int(pid) for pid in child.stdout.readline().split()]
    try:
        assert len(pids) == 3 and child.wait(20) == -signal.SIGKILL
        ended = threading.Thread(target=child.stdout.read, daemon=True)  # which the workers hold open too
        ended.start()
        ended.join(20)
        assert not ended.is_alive()
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        child.stdout.close()


class Computed(Dataset[Any]):
    """Examples that parallel kernels make."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return (nc.ones(64, 512) * index).relu()


@pytest.mark.parametrize("way", WAYS[1:])
def test_kernels_may_run_in_workers(way: dict[str, Any]) -> None:
    """Beside those of the loop, which go on meanwhile."""
    data = Computed()
    expected = [data[i].numpy() for i in range(12)]
    work = nc.rand(2, 8, 32, 32)
    product = (work @ work).numpy()
    for step, batch in enumerate(DataLoader(data, 2, collate_fn=lambda examples: nc.stack(examples) * 2, **way)):
        assert ((work @ work).numpy() == product).all()
        assert (batch.numpy() == 2 * np.stack(expected[2 * step : 2 * step + 2])).all()


# -- state -------------------------------------------------------------------------------------------------------------------------
class Own(Sampler[int]):
    """A sampler of somebody else's."""

    def __iter__(self) -> Iterator[int]:
        return iter((nc.rand(20) * 20).to(nc.int64).tolist())


ORDERS: dict[str, Any] = {
    "shuffle": lambda: {"batch_size": 3, "shuffle": True},
    "weights": lambda: {"batch_size": 3, "sampler": WeightedRandomSampler(np.arange(20.0), 17)},
    "own": lambda: {"batch_size": 3, "sampler": Own()},
    "batches": lambda: {"batch_sampler": BatchSampler(SubsetRandomSampler(range(20)), 3, True)},
    "single": lambda: {"batch_size": None, "sampler": RandomSampler(range(20), True)},
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("way", [WAYS[0], WAYS[3]])
def test_resume_goes_on_exactly(order: str, way: dict[str, Any]) -> None:
    def make(seed: int = 4) -> DataLoader:
        return DataLoader(Numbers(), seed=seed, **ORDERS[order](), **way)

    whole = make()
    expected = [list(map(plain, whole)) for _ in range(3)]
    assert expected[0] != expected[1]
    first = make()
    list(first)
    running = iter(first)
    begun = [plain(next(running)) for _ in range(4)]
    second = make(seed=0)
    second.load_state_dict(first.state_dict())
    assert begun + list(map(plain, second)) == expected[1] and list(map(plain, second)) == expected[2]


@pytest.mark.parametrize("way", [{}, {"num_workers": 2}])
def test_an_iterable_data_set_resumes_by_reading_what_came_before(way: dict[str, Any]) -> None:
    class Noisy(Shared):
        def __iter__(self) -> Iterator[Any]:
            return ((index, nc.rand(2)) for index in super().__iter__())

    expected = list(map(plain, DataLoader(Noisy(), 2, seed=1, **way)))
    loader = DataLoader(Noisy(), 2, **way)
    loader.load_state_dict({"seed": 1, "epoch": 0, "position": 2})
    assert list(map(plain, loader)) == expected[2:] and loader.state_dict() == {"seed": 1, "epoch": 1, "position": 0}


def test_a_generator_decides_the_order() -> None:
    def order(seed: int) -> list[int]:
        state = nc.get_rng_state()
        loader = DataLoader(range(30), 30, shuffle=True, generator=nc.Generator().manual_seed(seed))
        assert nc.get_rng_state() == state
        return next(iter(loader)).tolist()

    assert order(1) == order(1) != order(2)


def test_a_seed_s_order_is_that_of_arrays() -> None:
    (arrays,), examples = (next(iter(DataLoader(data, 30, shuffle=True, seed=2))) for data in (TensorDataset(np.arange(30)), range(30)))
    assert arrays.tolist() == examples.tolist() == nc.data.images.shuffled(30, (2, 0)).tolist()


# -- arrays ------------------------------------------------------------------------------------------------------------------------
def test_data_sets_of_arrays_give_what_their_examples_collate_to() -> None:
    x, y = np.random.default_rng(0).random((10, 3, 4, 5)).astype(np.float32), np.arange(10)
    whole = TensorDataset(from_array(x), y)
    for data in (whole, Subset(whole, [7, 2, 2, 9]), Subset(Subset(whole, [7, 2, 8, 9]), [3, 1])):
        fast, slow = DataLoader(data, 3, shuffle=True, seed=0), DataLoader(data, 3, shuffle=True, seed=0, collate_fn=default_collate)
        assert list(map(plain, fast)) == list(map(plain, slow)) and type(next(iter(fast))) is list
    images = ImageDataset(np.arange(160, dtype=np.uint8).reshape(10, 4, 4, 1), y % 3, ("a", "b", "c"), mean=0.5)
    part = next(iter(DataLoader(Subset(images, [4, 1]), 2)))
    assert plain(part) == plain(next(iter(DataLoader(images[[4, 1]], 2)))) and type(part) is tuple
    assert next(iter(DataLoader(images, None)))[0].shape == (4, 4, 1)
    grown = nc.ones(4, 2).requires_grad_()
    assert next(iter(DataLoader(TensorDataset(grown), 2)))[0].requires_grad


def test_a_subset_of_a_memory_mapped_array_is_not_copied(tmp_path: Path) -> None:
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (1000, 3, 32, 32))[:] = 1
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for data in (TensorDataset(mapped), Subset(TensorDataset(mapped), range(500)), Subset((mapped, np.arange(1000)), range(500))):
        for way in ({}, {"num_workers": 2}, {"num_workers": 2, "collate_fn": default_collate}):
            if way.get("collate_fn") and isinstance(getattr(data, "dataset", None), tuple):
                continue  # a pair has no examples
            tracemalloc.start()
            try:
                next(iter(DataLoader(data, 10, shuffle=True, **way)))  # type: ignore[arg-type]
                assert tracemalloc.get_traced_memory()[1] < mapped.nbytes / 5
            finally:
                tracemalloc.stop()


class OfOnePicture:
    def __call__(self, picture: Any) -> Any:
        return picture


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"shuffle": True, "sampler": [0]}, ValueError, "a sampler or shuffle; received both; let the sampler shuffle."),
        (
            {"batch_sampler": [[0]], "batch_size": 2, "drop_last": True},
            ValueError,
            "a batch_sampler alone to make the batches; received batch_size, drop_last too.",
        ),
        ({"batch_size": None, "drop_last": True}, ValueError, "batches with drop_last; received batch_size None."),
        (
            {"dataset": Shared(), "shuffle": True},
            ValueError,
            "an IterableDataset alone to decide the order; received shuffle.",
        ),
        ({"timeout": 1}, ValueError, "num_workers above 0 with timeout; received num_workers 0."),
        ({"prefetch_factor": 1}, ValueError, "num_workers above 0 with prefetch_factor; received num_workers 0."),
        ({"persistent_workers": True}, ValueError, "num_workers above 0 with persistent_workers; received num_workers 0."),
        (
            {"multiprocessing_context": "fork"},
            ValueError,
            "num_workers above 0 with multiprocessing_context; received num_workers 0.",
        ),
        ({"multiprocessing_context": 3, "num_workers": 1}, TypeError, "multiprocessing_context as a name, a context or None; received 3."),
        ({"num_workers": -1}, ValueError, "num_workers as an integer of at least 0; received -1."),
        ({"timeout": -1, "num_workers": 1}, ValueError, "timeout as a number of at least 0; received -1."),
        ({"seed": 1, "generator": nc.Generator()}, ValueError, "a seed or a generator; received both."),
        ({"generator": 3}, TypeError, "generator as a Generator or None; received 3."),
        ({"collate_fn": 3}, TypeError, "collate_fn as a function or None; received 3."),
        ({"sampler": 3}, TypeError, "sampler as indices that can be iterated over; received 3."),
        ({"prefetch": 2, "prefetch_factor": 2, "num_workers": 1}, ValueError, "prefetch or prefetch_factor; received both."),
        (
            {"transform": lambda batch, generator: batch},
            TypeError,
            "data in arrays for a transform of batches; received Numbers; let __getitem__ transform each example.",
        ),
        (
            {"dataset": (np.zeros(3), np.zeros(3)), "transform": OfOnePicture()},
            TypeError,
            "a transform of batches, t(batch, generator); received OfOnePicture; one of single pictures belongs into the data set.",
        ),
        (
            {"dataset": (np.zeros(1), np.zeros(1)), "collate_fn": list},
            TypeError,
            "a data set with __getitem__, an IterableDataset, or a pair (X, y) of arrays; received (array([0.]), array([0.])); "
            "examples of a pair are those of TensorDataset(X, y).",
        ),
        (
            {"dataset": iter("ab")},
            TypeError,
            "a data set with __getitem__, an IterableDataset, or a pair (X, y) of arrays; received str_ascii_iterator.",
        ),
        ({"dataset": Dataset()}, TypeError, "a data set that says its length; received a Dataset, which has no __len__."),
    ],
)
def test_argument_errors(arguments: dict[str, Any], kind: type[Exception], text: str) -> None:
    with raises(kind, "[DataLoader] expected " + text):
        DataLoader(**({"dataset": Numbers()} | arguments))


def test_what_is_made_stays_as_it_is() -> None:
    loader = DataLoader(Numbers(), 4)
    with raises(ValueError, "[DataLoader] expected batch_size to stay as it is; received batch_size = 8; make another loader."):
        loader.batch_size = 8
    loader.note = "of the user's"  # type: ignore[attr-defined]


def test_indices_beyond_the_arrays() -> None:
    with pytest.raises(IndexError, match=r"^\[DataLoader\] expected indices from the sampler below 3; received "):
        list(DataLoader(TensorDataset(np.arange(3)), sampler=[7]))
    with raises(IndexError, "[DataLoader] expected a Subset with indices from -3 to 2; received [5]."):
        DataLoader(Subset(TensorDataset(np.arange(3)), [5]))


@pytest.mark.parametrize("arguments", [{"pin_memory": True}, {"pin_memory_device": "cuda"}, {"shuffle": None}])
def test_arguments_that_change_nothing(arguments: dict[str, Any]) -> None:
    assert [batch.tolist() for batch in DataLoader(range(3), 2, **arguments)] == [[0, 1], [2]]


def test_pytorch_s_order_of_arguments() -> None:
    import inspect

    torch_data = pytest.importorskip("torch.utils.data")
    wanted = list(inspect.signature(torch_data.DataLoader).parameters)
    assert list(inspect.signature(DataLoader).parameters)[: len(wanted)] == wanted
    for name in ("RandomSampler", "WeightedRandomSampler", "SubsetRandomSampler", "BatchSampler", "random_split", "Subset"):
        ours, theirs = (list(inspect.signature(getattr(module, name)).parameters) for module in (nc.data, torch_data))
        assert ours == theirs, name


# -- training ----------------------------------------------------------------------------------------------------------------------
class Labelled(Dataset[Any]):
    """Points of two classes, with a little noise that the library's generator draws."""

    def __init__(self, n: int = 24, **attributes: Any) -> None:
        self.n = n
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[nc.Tensor, int]:
        return nc.ones(4) * (1 if index % 2 else -1) + 0.1 * nc.rand(4), index % 2


def points(n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 2
    return np.float32(2 * labels[:, None] - 1 + np.zeros((n, 4))), labels


def net() -> nc.nn.Module:
    nc.manual_seed(3)
    return nc.nn.Linear(4, 2)


def fitted(train: Any, **options: Any) -> tuple[Any, nc.nn.Module]:
    model = net()
    history = nc.fit(model, train, **({"epochs": 3, "batch_size": 5, "lr": 0.1, "progress": False} | options))
    return [(e.train_loss, e.val_loss) for e in history], model


def loader_of(data: Any, **options: Any) -> DataLoader:
    return DataLoader(data, **({"batch_size": 5, "shuffle": True, "seed": 0} | options))


TRAINED: dict[str, Any] = {
    "data set": lambda: Labelled(),
    "loader": lambda: loader_of(Labelled()),
    "workers": lambda: loader_of(Labelled(), num_workers=2),
    "part": lambda: Subset(Labelled(40), range(24)),
    "tensors": lambda: TensorDataset(*points()),
    "part of tensors": lambda: random_split(TensorDataset(*points(30)), [24, 6], nc.Generator().manual_seed(0))[0],
    "batch sampler": lambda: DataLoader(Labelled(), batch_sampler=BatchSampler(RandomSampler(range(24)), 5, False), seed=0),
}


class Killed:
    """A metric that ends a run in the middle of its second epoch."""

    steps = 0

    @classmethod
    def step(cls, output: nc.Tensor, y: nc.Tensor) -> float:
        cls.steps -= 1
        if cls.steps == 0:
            raise RuntimeError("killed")
        return 0.0


@pytest.mark.parametrize("data", TRAINED)
def test_fit_takes_any_data_set_and_resumes_it_to_the_same_bits(data: str, tmp_path: Path) -> None:
    def run(**more: Any) -> Any:
        val = loader_of(Labelled(8), num_workers=1) if data == "loader" else Labelled(8)
        return fitted(TRAINED[data](), val=val, metrics={"step": Killed.step}, compile=False, **more)

    whole, model = run()
    assert whole[-1][0] < whole[0][0]
    Killed.steps = 11  # of the first two trials, five steps and two batches of val, and two steps
    with pytest.raises(RuntimeError, match="killed"):
        run(out=tmp_path / "run", checkpoint_every=1)
    resumed, second = run(out=tmp_path / "run", resume=True)
    assert resumed == whole and all((a == b).all().item() for a, b in zip(model.parameters(), second.parameters()))


def test_workers_train_to_the_same_bits() -> None:
    found = [fitted(TRAINED[data]())[0] for data in ("data set", "loader", "workers")]
    assert found[0] == found[1] == found[2]
    assert fitted(TRAINED["tensors"]())[0] == fitted(points())[0]


def test_what_a_run_knows_of_its_data(tmp_path: Path) -> None:
    fitted(Labelled(), out=tmp_path / "run", epochs=1)
    with pytest.raises(
        ValueError, match="expected the run as it began, with train 'Labelled of 24 examples'; received train 'Labelled of 23"
    ):
        fitted(Labelled(23), out=tmp_path / "run", epochs=1, resume=True)
    text = "[fit] expected val with the classes of train, ('a', 'b'); received ('a', 'c')."
    with raises(ValueError, text):
        fitted(Labelled(classes=["a", "b"]), val=Labelled(classes=["a", "c"]))


def test_a_model_by_name_and_balanced_classes_ask_the_data_set() -> None:
    class Pictures(Labelled):
        def __getitem__(self, index: int) -> Any:
            return nc.rand(1, 28, 28), index % 2

    labels = [i % 2 for i in range(24)]
    for known in ({"classes": ["a", "b"]}, {"targets": labels}, {"targets": np.array(labels)}):
        weight = "balanced" if "targets" in known else None
        model = nc.fit("lenet", Pictures(8, **known), epochs=1, batch_size=8, progress=False, class_weight=weight).model
        assert model is not None and list(model.parameters())[-1].shape == (2,)
    hint = "give the data set .classes or .targets, or make the model yourself"
    with raises(ValueError, f"[fit] expected data that name their classes for lenet; received Pictures; {hint}."):
        nc.fit("lenet", Pictures(8), progress=False)
    text = "[fit] expected data that keep their labels, as .targets, with class_weight; received a data set without them; "
    with raises(ValueError, text + "give a number for each class."):
        fitted(Labelled(), class_weight="balanced")


def test_evaluate_and_predict_take_any_data_set() -> None:
    _, model = fitted(points())
    expected = nc.evaluate(model, points(8))
    exact = TensorDataset(*points(8))
    named = [
        StackDataset(points(8)[0], points(8)[1]),
        Subset(exact, range(8)),
        exact,
        DataLoader(exact, 3),
        loader_of(exact, collate_fn=default_collate),
    ]
    for data in named:
        found = nc.evaluate(model, data)
        assert (
            found.accuracy == expected.accuracy and abs(found.loss - expected.loss) < 1e-6 and (found.confusion == expected.confusion).all()
        )
    assert nc.evaluate(model, Labelled(8, classes=["no", "yes"])).classes == ("no", "yes")
    wanted = nc.predict(model, points(8)[0])
    for data in (exact, DataLoader(points(8)[0], 3), DataLoader(exact, 3, num_workers=1), Subset(exact, range(8))):
        assert np.allclose(nc.predict(model, data), wanted, atol=1e-6)
    with raises(TypeError, "[evaluate] expected batches (x, y); received 3 members; let the data set, or a collate_fn, give pairs."):
        nc.evaluate(model, StackDataset("ab", "cd", "ef"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"transform": lambda batch, generator: batch},
            "transform from the DataLoader; received transform of fit; DataLoader(..., transform=...)",
        ),
        ({"drop_last": True}, "drop_last from the DataLoader; received drop_last of fit; DataLoader(..., drop_last=...)"),
    ],
)
def test_a_loader_decides_what_it_decides(options: dict[str, Any], text: str) -> None:
    with raises(ValueError, f"[fit] expected {text}."):
        fitted(loader_of(Labelled()), **options)


PICTURES = """
import resource
import numpy as np
import numbacnn as nc

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def batch():
    return [np.ones((3, 224, 224), np.float32) for _ in range(64)]

nc.ones(1)
batch()
before = faults()
for _ in range(3):
    batch()
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc, which Windows and macOS lack")
def test_pictures_get_the_memory_of_those_before_them() -> None:
    """A page of memory that comes from the system anew is a fault; each of the three batches of pictures has 9,408."""
    child = subprocess.run([sys.executable, "-c", PICTURES], capture_output=True, text=True, check=True, timeout=60)
    assert int(child.stdout) < 500
