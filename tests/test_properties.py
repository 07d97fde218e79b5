"""The properties of the operations, on the reference and on every device. In the simulator: ``test_cuda_properties.py``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import testing
from numbacnn.geometry import ConvGeometry, PoolGeometry
from numbacnn.testing import AdaptiveCase, ConvCase, Operations, PoolCase, PropertyError, properties
from numbacnn.testing.strategies import LAYOUTS, adaptive_cases, conv_cases, images, pool_cases, relayout

name = lambda f: f.__name__


def by_axes(cases: Callable[..., Any], **options: Any) -> Any:
    """Cases of one to three axes; volumes are small."""
    return st.one_of(cases(axes=1, **options), cases(axes=2, **options), cases(axes=3, size=5, batch=2, **options))


CONVS, POOLS, AVERAGES = by_axes(conv_cases, kernel=3), by_axes(pool_cases, kernel=3), by_axes(pool_cases, kernel=3, dilation=1)


@pytest.mark.parametrize("holds", properties.CONV_PROPERTIES, ids=name)
@given(case=CONVS)
def test_convolution(implementation: Operations, holds: Callable[..., None], case: ConvCase) -> None:
    holds(implementation.conv, case)


@given(case=CONVS)
def test_convolution_is_adjoint_to_its_gradients(implementation: Operations, case: ConvCase) -> None:
    properties.input_gradient_is_adjoint(implementation.conv, implementation.conv_grad_input, case)
    properties.weight_gradient_is_adjoint(implementation.conv, implementation.conv_grad_weight, case)


@pytest.mark.parametrize("holds", properties.POOL_PROPERTIES, ids=name)
@given(case=POOLS)
def test_max_pooling(implementation: Operations, holds: Callable[..., None], case: PoolCase) -> None:
    holds(implementation.max_pool, case)


@pytest.mark.smoke
@given(case=POOLS)
def test_max_pooling_keeps_the_mass_of_its_gradient(implementation: Operations, case: PoolCase) -> None:
    properties.max_gradient_keeps_its_mass(implementation.max_pool_grad, case)


@pytest.mark.parametrize("holds", properties.POOL_PROPERTIES, ids=name)
@given(case=AVERAGES)
def test_average_pooling(implementation: Operations, holds: Callable[..., None], case: PoolCase) -> None:
    holds(implementation.avg_pool, case)


@pytest.mark.smoke
@given(case=AVERAGES)
def test_average_pooling_of_constants_and_its_adjoint(implementation: Operations, case: PoolCase) -> None:
    properties.average_of_a_constant_is_the_constant(implementation.avg_pool, case)
    properties.average_pooling_is_adjoint_to_its_gradient(implementation.avg_pool, implementation.avg_pool_grad, case)


@given(case=by_axes(adaptive_cases))
def test_adaptive_average_pooling(implementation: Operations, case: AdaptiveCase) -> None:
    ops = implementation
    properties.adaptive_average_of_a_constant_is_the_constant(ops.adaptive_avg_pool, case)
    properties.adaptive_windows_that_divide_are_plain_windows(ops.adaptive_avg_pool, ops.avg_pool, case)
    properties.adaptive_pooling_is_adjoint_to_its_gradient(ops.adaptive_avg_pool, ops.adaptive_avg_pool_grad, case)


@pytest.mark.parametrize("holds", properties.NORM_PROPERTIES, ids=name)
@given(x=images())
def test_batch_normalisation(implementation: Operations, holds: Callable[..., None], x: np.ndarray) -> None:
    holds(implementation.batch_norm, x)


# -- the properties themselves: each must be able to fail ------------------------------------------------------------------
def _case(axes: int = 2, **options: object) -> ConvCase:
    """Sizes and strides that differ from axis to axis, the last ones of these."""
    sizes, kernel = (6, 7, 9)[-axes:], (2, 3, 2)[-axes:]
    fitting = {name: value[-axes:] if isinstance(value, tuple) else value for name, value in options.items()}
    return ConvCase.of((2, 4, *sizes), (6, 2, *kernel), groups=2, **fitting)


REFERENCE = testing.of_reference()


def _unpadded(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    """The first pixels of each row are wrong."""
    y = REFERENCE.conv(x, w, g).copy()
    y[..., 0] += 1
    return y


def _flipped(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    return REFERENCE.conv(x, w[..., ::-1], g)


def _squared(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    return REFERENCE.conv(x, w, g) ** 2


def _mixed(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    y = REFERENCE.conv(x, w, g)
    return y + y.sum(0, keepdims=True) if len(y) > 1 else y


def _positional(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    return REFERENCE.conv(x, w, g) * np.arange(1, g.outputs[-1] + 1, dtype=x.dtype)


def _in_memory_order(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    return REFERENCE.conv(np.asarray(x.ravel("K").reshape(x.shape)), w, g)


def _one_short(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    return REFERENCE.conv(x, w, g)[..., 1:]


def _ignores(**fixed: int) -> Callable[..., np.ndarray]:
    """A convolution that takes no notice of some of its geometry."""

    def conv(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
        y = REFERENCE.conv(x, w, g.along(**fixed))
        return np.resize(y, g.output_shape)

    return conv


def _rolled_groups(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    return REFERENCE.conv(np.roll(x, g.c // g.groups, 1) if g.groups > 1 else x, w, g)


def _first_channel_twice(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    if g.c == 1:
        return REFERENCE.conv(x, w, g)
    one = REFERENCE.conv(x[:, :1], w[:, :1], replace(g, c=1, groups=1))
    return REFERENCE.conv(x, w, g) + one


BROKEN: list[tuple[Callable[..., None], Callable[..., np.ndarray]]] = [
    (properties.conv_counts_windows, _one_short),
    (properties.convolution_is_correlation_with_the_flipped_kernel, _flipped),
    (properties.translation_equivariant, _positional),
    (properties.linear_in_the_input, _squared),
    (properties.linear_in_the_weight, _squared),
    (properties.delta_is_the_identity, _flipped),
    (properties.pointwise_is_a_matrix_product, _unpadded),
    (properties.stride_is_subsampling, _ignores(stride=1)),
    (properties.dilation_is_a_zero_stuffed_kernel, _ignores(dilation=1)),
    (properties.groups_are_a_block_diagonal_weight, _rolled_groups),
    (properties.channels_add_up, _first_channel_twice),
    (properties.conv_batches_are_independent, _mixed),
    (properties.conv_ignores_the_layout, _in_memory_order),
]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(("holds", "conv"), BROKEN, ids=[name(b[0]) for b in BROKEN])
def test_each_convolution_property_can_fail(holds: Callable[..., None], conv: Callable[..., np.ndarray], axes: int) -> None:
    case = _case(axes, stride=(2, 2, 3), padding=1, dilation=2)
    case = ConvCase(case.geometry, relayout(case.x, "channels_last"), case.w, case.grad)
    holds(REFERENCE.conv, case)
    with pytest.raises(PropertyError, match=r"^\[" + holds.__name__ + r"\] expected .*; received "):
        holds(conv, case)


def test_every_convolution_property_has_a_broken_convolution() -> None:
    assert [b[0] for b in BROKEN] == list(properties.CONV_PROPERTIES)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_each_pooling_property_can_fail(axes: int) -> None:
    case = PoolCase.of((2, 3, *(5, 7, 7)[-axes:]), 3, padding=1, stride=2)
    case = PoolCase(case.geometry, relayout(case.x, "channels_last"), case.grad)
    ops = REFERENCE

    def mixed(axis: int) -> Callable[[np.ndarray, PoolGeometry], np.ndarray]:
        return lambda x, g: ops.max_pool(x, g) + x.sum() * (x.shape[axis] > 1)

    with pytest.raises(PropertyError, match=r"^\[pool_counts_windows"):
        properties.pool_counts_windows(lambda x, g: ops.max_pool(x, g)[:, :, 1:], case)
    with pytest.raises(PropertyError, match=r"^\[pooling_leaves_channels_alone"):
        properties.pooling_leaves_channels_alone(mixed(1), case)
    with pytest.raises(PropertyError, match=r"^\[pool_batches_are_independent"):
        properties.pool_batches_are_independent(mixed(0), case)
    with pytest.raises(PropertyError, match=r"^\[pool_ignores_the_layout"):
        properties.pool_ignores_the_layout(lambda x, g: ops.max_pool(x.ravel("K").reshape(x.shape), g), case)
    with pytest.raises(PropertyError, match=r"^\[average_of_a_constant_is_the_constant"):
        properties.average_of_a_constant_is_the_constant(lambda x, g: ops.avg_pool(x, g) + np.float32(1e-6), case)
    with pytest.raises(PropertyError, match=r"^\[max_gradient_keeps_its_mass"):
        properties.max_gradient_keeps_its_mass(ops.avg_pool_grad, case)
    with pytest.raises(PropertyError, match=r"^\[average_pooling_is_adjoint_to_its_gradient"):
        properties.average_pooling_is_adjoint_to_its_gradient(ops.avg_pool, ops.max_pool_grad, case)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_each_adjoint_can_fail(axes: int) -> None:
    case = _case(axes)
    ops = REFERENCE
    with pytest.raises(PropertyError, match=r"^\[input_gradient_is_adjoint"):
        properties.input_gradient_is_adjoint(ops.conv, lambda grad, w, g: ops.conv_grad_input(grad, w[:, :, ::-1], g), case)
    with pytest.raises(PropertyError, match=r"^\[weight_gradient_is_adjoint"):
        properties.weight_gradient_is_adjoint(ops.conv, lambda grad, x, g: ops.conv_grad_weight(grad, x[:, :, ::-1], g), case)
    size = case.x.shape
    shape, pool = re.escape(f"expected shape {size}; received shape {(*size[:-1], size[-1] - 1)}."), PoolCase.of(size, 3)
    with pytest.raises(PropertyError, match=r"^\[input_gradient_is_adjoint\] " + shape):
        properties.input_gradient_is_adjoint(ops.conv, lambda grad, w, g: ops.conv_grad_input(grad, w, g)[..., 1:], case)
    with pytest.raises(PropertyError, match=r"^\[max_gradient_keeps_its_mass\] " + shape):
        properties.max_gradient_keeps_its_mass(lambda x, grad, g: ops.max_pool_grad(x, grad, g)[..., 1:], pool)


def test_pooling_properties_judge_one_window_and_leave_out_none() -> None:
    """One window is judged; an image that is smaller than the window where nothing pads it has no means."""
    one, none = PoolCase.of((2, 2, 3, 3), 3), PoolCase.of((1, 1, 1, 9), 3, padding=1, stride=1)
    wrong = lambda x, g: REFERENCE.avg_pool(x, g) + 1
    for holds, extra in (
        (properties.average_of_a_constant_is_the_constant, ()),
        (properties.average_pooling_is_adjoint_to_its_gradient, (REFERENCE.avg_pool_grad,)),
    ):
        holds(REFERENCE.avg_pool, *extra, none)
        with pytest.raises(PropertyError, match=r"^\[" + holds.__name__):
            holds(wrong, *extra, one)


def test_properties_of_exact_operations_are_exact() -> None:
    """Small integers: whoever gives no tolerance asks for equality."""
    for holds in (*properties.CONV_PROPERTIES, *properties.POOL_PROPERTIES, properties.input_gradient_is_adjoint):
        assert inspect.signature(holds).parameters["rtol"].default == 0


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_each_adaptive_property_can_fail(axes: int) -> None:
    case = AdaptiveCase.of((2, 3, *(4, 7, 5)[-axes:]), (2, 3, 4)[-axes:])
    ops = REFERENCE
    wrong = lambda x, g: ops.adaptive_avg_pool(x, g) + np.float32(1e-5)
    with pytest.raises(PropertyError, match=r"^\[adaptive_average_of_a_constant_is_the_constant"):
        properties.adaptive_average_of_a_constant_is_the_constant(wrong, case)
    with pytest.raises(PropertyError, match=r"^\[adaptive_windows_that_divide_are_plain_windows"):
        properties.adaptive_windows_that_divide_are_plain_windows(wrong, ops.avg_pool, case)
    turned = lambda grad, g: ops.adaptive_avg_pool_grad(grad, g)[:, :, ::-1]
    with pytest.raises(PropertyError, match=r"^\[adaptive_pooling_is_adjoint_to_its_gradient"):
        properties.adaptive_pooling_is_adjoint_to_its_gradient(ops.adaptive_avg_pool, turned, case)


NORM = REFERENCE.batch_norm
BROKEN_NORMS: list[tuple[Callable[..., None], Callable[[np.ndarray, float], np.ndarray]]] = [
    (properties.normalised_channels_have_mean_0_and_variance_1, lambda x, eps: NORM(x, eps) * np.float32(1.001)),
    (properties.normalisation_ignores_shift_and_scale, lambda x, eps: NORM(x, eps) + x * np.float32(0.001)),
    (properties.normalisation_leaves_channels_alone, lambda x, eps: NORM(x, eps) * x.shape[1]),
    (properties.normalisation_mixes_the_batch_evenly, lambda x, eps: np.concatenate([NORM(image[None], eps) for image in x])),
    (properties.normalisation_ignores_the_layout, lambda x, eps: NORM(x.ravel("K").reshape(x.shape), eps)),
]


@pytest.mark.parametrize(("holds", "norm"), BROKEN_NORMS, ids=[name(b[0]) for b in BROKEN_NORMS])
def test_each_normalisation_property_can_fail(holds: Callable[..., None], norm: Callable[..., np.ndarray]) -> None:
    x = relayout(np.random.default_rng(0).integers(-4, 5, (2, 3, 4, 5)).astype(np.float32), "channels_last")
    x[0] *= 2  # so that the images differ in what their statistics are
    holds(NORM, x)
    with pytest.raises(PropertyError, match=r"^\[" + holds.__name__ + r"\] expected .*; received "):
        holds(norm, x)


def test_every_normalisation_property_has_a_broken_one() -> None:
    assert [b[0] for b in BROKEN_NORMS] == list(properties.NORM_PROPERTIES)


def test_a_failure_says_where_and_by_how_much() -> None:
    case = _case(padding=1)

    def off(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
        y = REFERENCE.conv(x, w, g).copy()
        y[1, 2, 3, 4] = np.nan
        return y

    wanted = REFERENCE.conv(case.x, case.w, case.geometry)[1, 2, 3, 4]
    with pytest.raises(PropertyError) as error:
        properties._same("conv", off(case.x, case.w, case.geometry), REFERENCE.conv(case.x, case.w, case.geometry))
    assert str(error.value) == f"[conv] expected {wanted} at (1, 2, 3, 4); received nan; 1 of {6 * 2 * 7 * 10} elements differ."


@pytest.mark.parametrize("layout", LAYOUTS)
def test_relayout_keeps_the_values(layout: str) -> None:
    a = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(relayout(a, layout), a)


def test_relayout_rejects_an_unknown_layout() -> None:
    with pytest.raises(ValueError) as error:
        relayout(np.zeros(3), "striped")
    assert str(error.value) == (
        "[relayout] expected one of C, channels_last, fortran, reversed, every_other, cropped, readonly; received 'striped'."
    )


CONV_KINDS: dict[str, Callable[[ConvGeometry], bool]] = {
    "no image": lambda g: g.n == 0,
    "one pixel": lambda g: set(g.sizes) == {1} and g.n > 0,
    "asymmetric padding": lambda g: g.axes[0].before != g.axes[0].after,
    "groups of several channels": lambda g: g.groups > 1 and g.c // g.groups > 1,
    "a stride beyond the kernel": lambda g: g.stride[0] > g.kernel[0],
    "a dilation beyond the image": lambda g: g.dilation[0] > g.sizes[0] and g.kernel[0] > 1,
    "an odd size": lambda g: g.sizes[0] != g.sizes[-1] and g.sizes[0] % 2 == 1,
}
POOL_KINDS: dict[str, Callable[[PoolGeometry], bool]] = {
    "no image": lambda g: g.n == 0,
    "one pixel": lambda g: set(g.sizes) == {1} and g.n > 0,
    "a window that sticks out": lambda g: g.outputs != g.along(ceil=False).outputs,
    "a window in padding only": lambda g: not properties.holds_data_everywhere(g),
    "padding that does not count": lambda g: any(g.before) and not g.count_include_pad,
}


def test_strategies_draw_the_awkward_cases() -> None:
    """Each kind of case that the strategies promise does come up."""
    seen: set[str] = set()

    @settings(max_examples=200)
    @given(conv=conv_cases(), pool=pool_cases())
    def look(conv: ConvCase, pool: PoolCase) -> None:
        seen.update(f"conv: {kind}" for kind, met in CONV_KINDS.items() if met(conv.geometry))
        seen.update(f"pool: {kind}" for kind, met in POOL_KINDS.items() if met(pool.geometry))

    look()
    assert seen == {f"conv: {kind}" for kind in CONV_KINDS} | {f"pool: {kind}" for kind in POOL_KINDS}
