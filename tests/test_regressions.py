"""Bugs that were found and mended; with the cases that showed them."""

from __future__ import annotations

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import backends, reference
from numbacnn.geometry import ConvGeometry

rng = np.random.default_rng(0)


@pytest.mark.parametrize(("x", "w"), [((1, 1, 2, 28), (128, 1, 2, 2)), ((1, 3, 2, 7), (128, 3, 2, 3)), ((2, 16, 5, 5), (130, 16, 3, 3))])
def test_weight_gradient_of_strips_that_end_in_repeated_rows(x, w):
    """The last strip's repeated offsets may span as much as contiguous ones."""
    g = ConvGeometry.of(x, w)
    image = rng.integers(-3, 4, x).astype(np.float32)
    grad = rng.integers(-3, 4, g.output_shape).astype(np.float32)
    np.testing.assert_array_equal(backends.get("cpu").conv_grad_weight(grad, image, g), reference.conv_grad_weight(grad, image, g))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
def test_minimum_of_integers(dtype):
    x = nc.tensor(np.array([[5, 0], [9, 7]], dtype))
    assert x.min().item() == 0
    assert x.min().dtype == x.dtype
    assert x.min(1).values.tolist() == [0, 7]
    assert nc.tensor([True, False]).min().item() is False


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "int64", "float32", "float64"])
def test_the_least_value_of_a_type(dtype: str, device: str) -> None:
    least = False if dtype == "bool" else -np.inf if dtype.startswith("float") else np.iinfo(dtype).min
    a = np.array([[1, 1, least], [1, least, 1]], dtype)
    x = nc.tensor(a, device=device)
    assert x.min().dtype == x.dtype
    assert x.min().item() == a.min()
    assert x.argmin().item() == 2
    values, indices = x.min(1)
    assert (values.numpy().tolist(), indices.tolist(), x.argmin(0).tolist()) == (a.min(1).tolist(), [2, 1], [0, 1, 0])


def test_mean_of_ones_is_one():
    assert all(nc.ones(n).mean().item() == 1 for n in range(1, 300))


def test_writing_a_value_with_leading_ones():
    v = nc.ones(1, 3).requires_grad_()
    y = nc.zeros(3)
    y[:] = v
    y.sum().backward()
    assert v.grad is not None
    assert v.grad.tolist() == [[1, 1, 1]]


def test_writing_a_value_that_does_not_fit():
    y = nc.zeros(3)
    for write in (lambda: y.__setitem__(slice(2), nc.ones(4)), lambda: y.copy_(nc.ones(2, 3))):
        with pytest.raises(nc.ShapeError) as error:
            write()
        assert str(error.value).startswith("[write] expected values that fit shape (")


def test_backward_sees_the_indices_that_forward_saw():
    x = nc.arange(4.0).requires_grad_()
    i, c, labels = nc.tensor([0, 1]), nc.tensor([True, False, True, False]), nc.tensor([0])
    y = x[i].sum() + nc.where(c, x, 0.0).sum() + nc.nn.functional.cross_entropy(nc.stack([x, x])[:1], labels)
    i[0], c[0], labels[0] = 3, False, 3
    y.backward()
    softmax = np.exp(np.arange(4.0)) / np.exp(np.arange(4.0)).sum()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.array([2, 1, 1, 0]) + softmax - [1, 0, 0, 0], rtol=1e-6)


def test_evaluate_takes_small_integers():
    x = nc.tensor(np.eye(40, dtype=np.float32))
    found = nc.evaluate(nc.nn.Identity(), (x.numpy(), np.arange(40, dtype=np.uint8)))
    assert found.accuracy == 1
    assert found.confusion.trace() == 40


def test_names_of_dtypes_and_devices():
    x = nc.ones(2).to("cpu", nc.double)
    assert x.dtype == nc.float64
    assert x.to(device="cpu", dtype=nc.long).dtype == nc.int64
    assert (nc.bool, nc.float, nc.int, nc.short) == (nc.bool_, nc.float32, nc.int32, nc.int16)
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    with pytest.raises(nc.DTypeError) as error:
        nc.Tensor([1.0])
    assert str(error.value) == "[Tensor] expected an array of a backend; received list; make a Tensor of it with tensor()."


def test_an_infinity_reaches_its_own_windows_only():
    """Few output channels: neighbouring pixels are computed as one pixel of more channels, with added taps of zero."""
    x = nc.ones(1, 1, 1, 65)
    x[0, 0, 0, 32] = float("inf")
    y = nc.nn.functional.conv2d(x, nc.ones(1, 1, 1, 2)).numpy()[0, 0, 0]
    assert np.flatnonzero(~np.isfinite(y)).tolist() == [31, 32]


@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions_of_a_single_number(keepdim):
    """NumPy's ascontiguousarray makes an axis of none."""
    x = nc.tensor(3.0)
    assert [getattr(x, name)(keepdim=keepdim).shape for name in ("sum", "mean")] == [(), ()]
    assert x.var().shape == ()
    assert (x.softmax(0).item(), x.log_softmax(-1).item()) == (1, 0)


def test_a_mode_is_left_where_it_was_entered():
    modes = [nc.no_grad(), nc.inference_mode()]
    for mode in modes:
        with pytest.raises(RuntimeError) as caught:
            mode.__exit__(None, None, None)
        name = type(mode).__name__
        assert str(caught.value) == f"[{name}] expected the thread that entered the mode to leave it; received another thread."
    with nc.inference_mode():
        assert not nc.is_grad_enabled()
    assert nc.is_grad_enabled()


@pytest.mark.parametrize("axes", [(0, 2, 3), (0,), (0, 2), (1,), (2, 3), (0, 1, 3), (1, 3), (3,)])
def test_sums_along_any_axes_keep_their_digits(axes):
    """NumPy adds pairwise along the end of memory only."""
    x = rng.random((700, 3, 19, 23), dtype=np.float32)
    for a in (x, np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), x[:, :2, ::2]):
        np.testing.assert_allclose(nc.from_array(a).sum(axes).numpy(), a.sum(axes, dtype=np.float64), rtol=4e-7)
        deviation = nc.from_array(a).std(axes).numpy()
        np.testing.assert_allclose(deviation, a.astype(np.float64).std(axes, ddof=1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("rows", "rtol"), [(5000, 0), (200_000, 3e-6)])
def test_gradient_of_a_shared_bias_does_not_stop_at_two_to_24(rows, rtol):
    weights = np.ones((rows, 3), np.float32)
    weights[0] = 2**24
    b = nc.zeros(3, requires_grad=True)
    (nc.tensor(weights) * (nc.zeros(rows, 3) + b)).sum().backward()
    assert b.grad is not None
    np.testing.assert_allclose(b.grad.numpy(), np.float32(2**24 + rows - 1), rtol=rtol)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(300, 4), (20_000, 4), (4, 300)])
def test_sums_of_what_is_not_finite_do_not_warn(shape):
    x = np.full(shape, 3e38, np.float32)
    assert np.isinf(nc.tensor(x).sum(int(shape[1] > 4)).numpy()).all()
    x[0, 0], x[-1, -1], x[1, 0] = np.inf, np.nan, -np.inf
    assert np.isnan(nc.tensor(x).sum().item())
    assert np.isnan(nc.tensor(x).sum(0).numpy()[0])


def test_norm_of_zeros_has_the_gradient_zero():
    x = nc.zeros(3, requires_grad=True)
    x.norm().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 0]
    x = nc.tensor([np.nan, 1.0], requires_grad=True)
    x.norm().backward()
    assert x.grad is not None
    assert np.isnan(x.grad.numpy()).all()


def test_sequences_inside_an_index_are_arrays():
    x = nc.zeros(3, 4, 5, requires_grad=True)
    assert x[0, :, (0, 1)].shape == x[0, :, range(2)].shape == (4, 2)
    x[0, :, (1, 1)].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, 1].item() == 2
    with pytest.raises(IndexError, match="index"):
        x[nc.tensor(0.7), :, [0, 1]]


def test_matrix_products_over_nothing_are_zero():
    assert (nc.ones(2, 0) @ nc.ones(0, 3)).tolist() == [[0, 0, 0]] * 2
    assert (nc.ones(3, 2, 0) @ nc.ones(0, 4)).shape == (3, 2, 4)
    assert (nc.ones(3, 2, 0) @ nc.ones(3, 0, 4)).shape == (3, 2, 4)
    assert (nc.ones(0, 2, 3) @ nc.ones(3, 4)).shape == (0, 2, 4)
    x = nc.ones(0, 2, 3, requires_grad=True)
    y = x @ nc.ones(0, 3, 4)
    assert y.shape == (0, 2, 4)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
