"""The CUDA backend's views are NumPy's; and what is said where there is no GPU. Host only: no simulator needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numbacnn.backends import cuda as backend
from numbacnn.errors import DeviceError, ShapeError
from numbacnn.kernels.cuda import driver, views
from numbacnn.kernels.cuda.views import View


def view_of(a: np.ndarray, base: np.ndarray) -> View:
    """The view that ``a`` is of the flat array ``base``."""
    start = (a.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // a.itemsize
    return View(start, a.shape, tuple(s // a.itemsize for s in a.strides))


def elements(view: View, base: np.ndarray) -> np.ndarray:
    """What the view shows, element by element."""
    steps = np.meshgrid(*(np.arange(n) * s for n, s in zip(view.shape, view.strides)), indexing="ij")
    return base[view.start + sum(steps, np.zeros(view.shape, int))]


@st.composite
def arrays(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """A transposed, indexed array and the flat base that it is a view of."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    base = np.arange(max(int(np.prod(shape)), 1))
    a = base[: int(np.prod(shape))].reshape(shape).transpose(draw(st.permutations(range(len(shape)))))
    index = draw(hnp.basic_indices(shape=a.shape, allow_newaxis=True, allow_ellipsis=True))
    items = index if isinstance(index, tuple) else (index,)
    return a[items if ... in items else (*items, ...)], base  # the Ellipsis keeps it an array where only integers were drawn


@given(arrays(), st.data())
def test_indexing(drawn: Any, data: Any) -> None:
    a, base = drawn
    index = data.draw(hnp.basic_indices(shape=a.shape, allow_newaxis=True, allow_ellipsis=True))
    items = index if isinstance(index, tuple) else (index,)
    assert all(map(views.is_basic, items))
    found = views.index(view_of(a, base), items)
    np.testing.assert_array_equal(elements(found, base), a[index])


@given(arrays(), st.data())
def test_transposing_and_broadcasting(drawn: Any, data: Any) -> None:
    a, base = drawn
    axes = data.draw(st.permutations(range(a.ndim)))
    np.testing.assert_array_equal(elements(views.transpose(view_of(a, base), axes), base), a.transpose(axes))
    sizes = st.integers(0, 3)
    shape = (*data.draw(st.lists(sizes, max_size=2)), *(data.draw(sizes) if n == 1 else n for n in a.shape))
    np.testing.assert_array_equal(elements(views.broadcast(view_of(a, base), shape), base), np.broadcast_to(a, shape))


@given(arrays(), st.data())
def test_reshaping_without_a_copy_where_numpy_can(drawn: Any, data: Any) -> None:
    a, base = drawn
    sizes = [1, 1, *(n for n in a.shape if n != 1)]
    joined = int(np.prod(sizes[2:4])) if len(sizes) > 3 else 1
    shape = data.draw(st.sampled_from([tuple(sizes), (a.size,), (joined, *sizes[4:]) if len(sizes) > 3 else a.shape, (*sizes[2:], 1)]))
    found = views.reshape(view_of(a, base), shape)
    shared = a.size == 0 or np.may_share_memory(a.reshape(shape), base)
    assert (found is not None) == shared
    if found is not None:
        np.testing.assert_array_equal(elements(found, base), a.reshape(shape))


@given(arrays())
def test_collapsing_keeps_elements_and_order(drawn: Any) -> None:
    a, base = drawn
    view = view_of(a, base)
    shape, strides = views.collapse(view.shape, view.strides)
    assert len(shape) == len(strides) and len(shape) in views.RANKS
    np.testing.assert_array_equal(elements(View(view.start, shape, strides), base).ravel(), a.ravel())


@given(arrays())
def test_dense_memory(drawn: Any) -> None:
    a, base = drawn
    view = view_of(a, base)
    order = views.memory_order(view)
    assert views.is_dense(views.dense(a.shape, order), order)
    # NumPy's own judgement, which disregards axes of one element too
    assert views.is_dense(view, order) == (a.transpose(order).flags.c_contiguous or a.size == 0)


@pytest.mark.parametrize("item", [True, False, np.True_, np.array([0]), [0], np.array([True]), "a", 1.0], ids=repr)
def test_what_is_not_a_basic_index(item: Any) -> None:
    assert not views.is_basic(item)


def test_a_shape_that_does_not_broadcast() -> None:
    text = r"^\[broadcast_to\] expected a shape that broadcasts to \(2, 4\); received shape \(3, 4\)\.$"
    with pytest.raises(ShapeError, match=text):
        views.broadcast(views.dense((3, 4), (0, 1)), (2, 4))


def test_without_a_gpu_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "why_unavailable", lambda: "CUDA driver library cannot be found")
    text = (
        "[device] expected a CUDA device; received none (CUDA driver library cannot be found); "
        'install an NVIDIA driver and run: pip install "numbacnn[cuda]" (or set NUMBA_ENABLE_CUDASIM=1 to simulate one, slowly).'
    )
    with pytest.raises(DeviceError) as raised:
        backend.create()
    assert str(raised.value) == text


def test_the_reason_is_one_line() -> None:
    reason = driver.why_unavailable()
    assert "\n" not in reason and not reason.endswith(".")
    assert bool(reason) != backend.is_available()
