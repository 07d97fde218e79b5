"""A user's ``@cuda.jit`` kernels in place of the built-in ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import cuda as numba_cuda

import numbacnn as nc
from numbacnn import backends, cuda, nn
from numbacnn.kernels.cuda.driver import SIMULATED
from numbacnn.testing import LawBroken
from numbacnn.testing.small_tiles import shrink

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    if SIMULATED:
        shrink(monkeypatch.setattr)


@numba_cuda.jit
def taps(x, w, g, out):  # type: ignore[no-untyped-def]
    """A thread for each output."""
    place = numba_cuda.grid(1)
    if place >= out.size:
        return
    rest, j = divmod(place, out.shape[3])
    rest, i = divmod(rest, out.shape[2])
    n, o = divmod(rest, out.shape[1])
    total = np.float32(0)
    for c in range(w.shape[1]):
        for u in range(w.shape[2]):
            for v in range(w.shape[3]):
                row = i * g.stride_h - g.padding_h + u * g.dilation_h
                column = j * g.stride_w - g.padding_w + v * g.dilation_w
                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                    total += x[n, o // (w.shape[0] // g.groups) * w.shape[1] + c, row, column] * w[o, c, u, v]
    out[n, o, i, j] = total


@numba_cuda.jit
def rows_of_images(x, w, g, out):  # type: ignore[no-untyped-def]
    """A 1x1 kernel in (N, H, W, C): a block for each row of an image, its threads are the columns and the output channels."""
    n, i, j, o = numba_cuda.blockIdx.x, numba_cuda.blockIdx.y, numba_cuda.threadIdx.x, numba_cuda.threadIdx.y
    if j < out.shape[2] and o < out.shape[3]:
        total = np.float32(0)
        for c in range(x.shape[3]):
            total += x[n, i, j, c] * w[o, c, 0, 0]
        out[n, i, j, o] = total


@numba_cuda.jit
def weight_sums(grad, x, g, out):  # type: ignore[no-untyped-def]
    """The weight gradient of a 1x1 kernel, with wrong numbers that show who made them."""
    place = numba_cuda.grid(1)
    if place < out.size:
        out[place // out.shape[1], place % out.shape[1], 0, 0] = 7


@numba_cuda.jit
def corner(x, g, out):  # type: ignore[no-untyped-def]
    place = numba_cuda.grid(1)
    if place < out.size:
        n, c = divmod(place, out.shape[1])
        out[n, c, 0, 0] = x[n, c, 0, 0]


@numba_cuda.jit
def corner_index(x, g, out, index):  # type: ignore[no-untyped-def]
    place = numba_cuda.grid(1)
    if place < out.size:
        n, c = divmod(place, out.shape[1])
        out[n, c, 0, 0], index[n, c, 0, 0] = x[n, c, 1, 0], x.shape[3]


@numba_cuda.jit
def one_everywhere(grad, index, g, out):  # type: ignore[no-untyped-def]
    place = numba_cuda.grid(1)
    if place < out.size:
        rest, j = divmod(place, out.shape[3])
        rest, i = divmod(rest, out.shape[2])
        n, c = divmod(rest, out.shape[1])
        out[n, c, i, j] = 1


def integers(*shape: int) -> nc.Tensor:
    return nc.from_array(np.random.default_rng(len(shape)).integers(-3, 4, shape).astype(np.float32), device="cuda")


def test_a_layer_with_bias_and_activation() -> None:
    layers, x = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.ReLU()), integers(2, 2, 4, 3)
    for p in layers.parameters():
        p.data = nc.from_array(np.random.default_rng(0).integers(-3, 4, p.shape).astype(np.float32))
    layers.to("cuda")
    wanted = layers(x).detach().to("cpu").numpy()
    with nc.use_kernel("conv2d", taps, device="cuda", check=False, block=32):
        np.testing.assert_array_equal(layers(x).detach().to("cpu").numpy(), wanted)


def test_blocks_of_the_users_own_and_a_pass_that_is_left_out() -> None:
    x, w = integers(2, 3, 3, 4).requires_grad_(), integers(5, 3, 1, 1).requires_grad_()
    options: dict[str, Any] = {"device": "cuda", "layout": "nhwc", "block": (4, 5), "grid": lambda shape: shape[:2], "check": False}
    with nc.use_kernel("conv2d", rows_of_images, takes=lambda g: g.kernel == (1, 1), **options):
        y = nn.functional.conv2d(x, w)
    wanted = np.einsum("nchw,oc->nohw", *(t.detach().to("cpu").numpy().reshape(t.shape[: 4 - 2 * (t is w)]) for t in (x, w)))
    np.testing.assert_array_equal(y.detach().to("cpu").numpy(), wanted)
    with nc.use_kernel("conv2d", grad_weight=weight_sums, device="cuda", check=False):
        y.sum().backward()
    assert (w.grad.to("cpu").numpy() == 7).all()
    np.testing.assert_array_equal(x.grad.to("cpu").numpy()[0, :, 0, 0], w.detach().to("cpu").numpy().sum((0, 2, 3)))


def test_pooling() -> None:
    x = integers(2, 3, 2, 2).requires_grad_()
    values = x.detach().to("cpu").numpy()
    with nc.use_kernel("avg_pool2d", corner, device="cuda", check=False):
        np.testing.assert_array_equal(nn.functional.avg_pool2d(x, 2).detach().to("cpu").numpy(), values[:, :, :1, :1])
    with nc.use_kernel("max_pool2d", corner_index, device="cuda", check=False):
        y = nn.functional.max_pool2d(x, 2)
        np.testing.assert_array_equal(y.detach().to("cpu").numpy(), values[:, :, 1:, :1])
    y.sum().backward()  # the built-in way, by the indices
    wanted = np.zeros_like(values)
    wanted[:, :, 1, 0] = 1
    np.testing.assert_array_equal(x.grad.to("cpu").numpy(), wanted)
    x.grad = None
    with nc.use_kernel("max_pool2d", grad_input=one_everywhere, device="cuda", check=False):
        nn.functional.max_pool2d(x, 2).sum().backward()
    assert (x.grad.to("cpu").numpy() == 1).all()


def test_the_judgement() -> None:
    nc.use_kernel("conv2d", taps, device="cuda", block=32)
    with pytest.raises(LawBroken) as error:
        nc.use_kernel("avg_pool2d", corner, device="cuda", block=32, takes=lambda g: g.outputs == (1, 1) and not any(g.before))
    assert "corner to obey 'An output is the sum of its window over the number of its pixels; " in str(error.value)


def test_a_function_is_no_kernel_of_this_device() -> None:
    with pytest.raises(TypeError) as error:
        nc.use_kernel("conv2d", lambda x, w, g, out: None, device="cuda")
    assert str(error.value) == "[use_kernel] expected forward as a @cuda.jit kernel for this device; received <lambda>."
    with pytest.raises(TypeError) as error:
        backends.get("cpu").own(nc.testing.own.Kernel("conv2d", taps))
    assert str(error.value) == (
        "[use_kernel] expected forward as a function or an @njit kernel for this device; "
        "received taps, a @cuda.jit kernel; pass device='cuda'."
    )
