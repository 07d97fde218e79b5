"""A tensor's memory in other hands: kernels of a user's own, and arrays of other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import launches
import numba
import numpy as np
import pytest
from numba import njit, prange

import numbacnn as nc
from numbacnn import dlpack, nn
from numbacnn.kernels.cpu import launch as door
from numbacnn.testing import gradcheck

COMPILED = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]
LAYOUTS = {"nchw": (0, 1, 2, 3), "nhwc": (0, 2, 3, 1)}
X = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)


def in_order(layout: Any, device: str) -> nc.Tensor:
    """X in this order of memory."""
    x = nc.empty(X.shape, layout=layout, device=device)
    return x.copy_(nc.tensor(X, device=device))


def on_host(array: Any) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.copy_to_host()


def shares(array: Any, x: nc.Tensor) -> bool:
    """Whether a write to the array is seen in the tensor."""
    before = x.numpy().copy()
    nc.launch(add_one, array.reshape(-1)) if isinstance(array, np.ndarray) else fill_on_cuda(array)
    return bool((x.numpy() != before).any())


@njit(parallel=True)
def add_one(x: Any) -> None:
    for i in prange(x.size):
        x[i] += 1


def fill_on_cuda(array: Any) -> None:
    from numbacnn.kernels.cuda.driver import cuda

    @cuda.jit
    def fill(x: Any) -> None:
        i = cuda.grid(1)
        if i < x.size:
            x[i] = -7

    nc.launch(fill, array.reshape(array.size), grid=1, block=128)


# -- what Numba takes -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("asked", LAYOUTS)
@pytest.mark.parametrize("lies", LAYOUTS)
def test_the_array_for_a_kernel(lies: str, asked: Any, device: str) -> None:
    x = in_order(lies, device)
    array = x.numba(asked)
    assert array.shape == tuple(X.shape[axis] for axis in LAYOUTS[asked]) and array.dtype == np.float32
    found = on_host(array)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, X.transpose(LAYOUTS[asked]))
    assert shares(array, x) == (lies == asked)
    assert not shares(x.numba(asked, copy=True), x)
    if lies != asked:
        with pytest.raises(ValueError) as error:
            x.numba(asked, copy=False)
        hint = f"make it by empty(..., layout='{asked}')"
        assert str(error.value) == f"[numba] expected memory in the order {asked!r}; received memory in another order; {hint}."


def test_where_nothing_is_copied(device: str) -> None:
    net = nn.Conv2d(2, 4, 3).to(device)
    y = net(nc.rand(1, 2, 5, 5, device=device)).detach()
    y.numba("nhwc", copy=False)
    net.weight.detach().numba(copy=False)
    for x in (nc.zeros(3, device=device), nc.zeros(3, 2, device=device), nc.zeros((), device=device), nc.zeros(0, 3, 2, 2, device=device)):
        for layout in ("nchw", "nhwc"):
            assert x.numba(layout, copy=None if x.numel() == 0 else False).size == x.numel()


def test_a_view_is_copied(device: str) -> None:
    x = nc.tensor(X, device=device)
    for view in (x[:, :, ::2], x.flip(3), x[:1].expand(2, 3, 4, 5), x.permute(0, 1, 3, 2)):
        np.testing.assert_array_equal(on_host(view.numba("nhwc")), view.numpy().transpose(0, 2, 3, 1))


def test_a_packed_weight_is_not_served_after_a_kernel_wrote_to_it() -> None:
    layer, x = nn.Linear(64, 64, bias=False), nc.ones(16, 64)
    with nc.no_grad():
        before = layer(x).numpy().copy()
        nc.launch(add_one, layer.weight.numba(copy=False).reshape(-1))
        np.testing.assert_allclose(layer(x).numpy(), before + 64, rtol=1e-5)


# -- launches ---------------------------------------------------------------------------------------------------------------------
def test_a_launch_goes_through_the_one_door(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    launches.through(monkeypatch, lambda driver, *args: (seen.append(driver), door.launch(driver, *args)))
    x = nc.zeros(5)
    nc.launch(add_one, x.numba())
    assert seen == [add_one] and x.tolist() == [1] * 5


@njit(parallel=True, fastmath=True, error_model="python")
def quotients(x: Any, y: Any) -> None:
    for i in prange(x.size):
        y[i] = 1 / x[i]


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_the_serial_twin_has_the_users_options() -> None:
    """A forked child, and small work under ``workqueue``, take it."""
    twin = door._serial(quotients)
    assert twin.targetoptions == {**quotients.targetoptions, "parallel": False}
    x, y = np.array([2.0]), np.zeros(1)
    twin(x, y)
    assert y[0] == 0.5
    with pytest.raises(ZeroDivisionError):
        twin(np.zeros(1), y)


def test_integers_reach_a_cuda_kernel_as_they_are(device: str) -> None:
    if device == "cpu":
        return
    from numbacnn.kernels.cuda.driver import cuda

    @cuda.jit
    def shifted(x: Any, shift: int, y: Any) -> None:
        i = cuda.grid(1)
        if i < y.size:
            y[i] = x[i] + shift

    x, y = nc.arange(3.0, device=device), nc.empty(3, device=device)
    nc.launch(shifted, x.numba(), -5, y.numba(copy=False), grid=(1, 1), block=(32, 1))
    nc.launch(shifted, x.numba(), 1, y.numba(copy=False), grid=0, block=32)  # no work
    assert y.tolist() == [-5, -4, -3]


class Scaled(nc.Function):
    """2 x by a kernel, with a gradient by the same kernel."""

    recordable = True

    @staticmethod
    def forward(ctx: Any, x: nc.Tensor) -> nc.Tensor:
        return twice(x)

    @staticmethod
    def backward(ctx: Any, grad: nc.Tensor) -> nc.Tensor:
        return twice(grad)


@njit(parallel=True)
def double(x: Any, y: Any) -> None:
    for i in prange(x.size):
        y.flat[i] = 2 * x.flat[i]


def twice(x: nc.Tensor) -> nc.Tensor:
    y = nc.empty(x.shape, dtype=x.dtype, layout="nhwc")
    nc.launch(double, x.numba("nhwc"), y.numba("nhwc", copy=False))
    return y


def test_a_function_of_kernels() -> None:
    x = nc.tensor(X.astype(float), requires_grad=True)
    assert gradcheck(Scaled.apply, x, directions=3)
    assert Scaled.recordable and not nc.Function.recordable
    with pytest.raises(RuntimeError) as error:
        x.numba()
    text = "[numba] expected a tensor without a gradient; received one that requires it; call detach().numba()."
    assert str(error.value) == text


WRONG = [
    (lambda: nc.launch(len, np.zeros(2)), TypeError,
     "[launch] expected a function under @numba.njit; received builtin_function_or_method; a @cuda.jit kernel needs grid and block."),
    (lambda: nc.launch(add_one, nc.zeros(2)), TypeError,
     "[launch] expected arrays, numbers and tuples; received Tensor; x.numba() is the array of a Tensor."),
    (lambda: nc.launch(add_one, np.zeros(2), grid=3), nc.ShapeError, "[launch] expected both grid and block, or neither; received grid."),
    (lambda: nc.launch(add_one, np.zeros(2), grid=3, block=(32, 64)), nc.ShapeError,
     "[launch] expected a block of at most 1024 threads; received (32, 64)."),
    (lambda: nc.launch(add_one, grid=-1, block=2), nc.ShapeError,
     "[launch] expected grid as an integer or a tuple (length,) of at least 0; received -1."),
    (lambda: nc.launch(add_one, np.zeros(2), grid=1, block=1), TypeError,
     "[launch] expected arrays on 'cuda'; received one on 'cpu'; grid and block are for @cuda.jit kernels."),
    (lambda: nc.launch(add_one, [1.0]), TypeError,
     "[launch] expected arrays, numbers and tuples; received [1.0]; x.numba() is the array of a Tensor."),
    (lambda: nc.from_dlpack(np.array(["a"])), nc.DTypeError,
     "[from_dlpack] expected an array that its library can lend; received DLPack only supports signed/unsigned integers, float and complex "
     "dtypes."),
    (lambda: nc.from_dlpack(np.zeros(2, complex)), nc.DTypeError,
     "[from_dlpack] expected one of the dtypes float32, float64, int8, int16, int32, int64, uint8, bool; received complex128."),
    (lambda: nc.zeros(2).numba("hwc"), ValueError, "[numba] expected layout as 'nchw' or 'nhwc'; received 'hwc'."),
    (lambda: nc.empty(2, layout="hwc"), ValueError, "[empty] expected layout as 'nchw' or 'nhwc'; received 'hwc'."),
    (lambda: nc.from_dlpack([1.0]), TypeError, "[from_dlpack] expected an array that offers __dlpack__; received [1.0]."),
    (lambda: nc.from_dlpack(Lender(X, device=7)), nc.DeviceError,
     "[from_dlpack] expected memory of the host or of a CUDA device; received DLPack's device type 7."),
    (lambda: np.from_dlpack(nc.zeros(2, requires_grad=True)), BufferError,
     "[__dlpack__] expected a tensor without a gradient; received one that requires it; call detach() first."),
    (lambda: nc.zeros(2).__dlpack__(dl_device=(2, 0)), BufferError,
     "[__dlpack__] expected dl_device (1, 0); received (2, 0); move the tensor with .to()."),
    (lambda: nc.zeros(2).__dlpack__(stream=3), BufferError, "[__dlpack__] expected no stream for memory of the host; received stream 3."),
    (lambda: nc.zeros(1).expand(2).__dlpack__(), BufferError,
     "[__dlpack__] expected memory that can be written to; received a view that repeats elements; give a clone()."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), WRONG, ids=[text for _, _, text in WRONG])
def test_errors(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_what_numba_refuses_and_what_a_kernel_raises() -> None:
    wanted = "[launch] expected arguments for which Numba compiles the kernel; received {}."
    for value, received in ((iter([1]), "list_iterator, which Numba does not know"), (3, "Unknown attribute 'size' of type int64")):
        with pytest.raises(TypeError) as error:
            nc.launch(add_one, value)
        assert str(error.value).startswith(wanted.format(received)[:-1])
    with pytest.raises(ZeroDivisionError):
        nc.launch(divided, np.zeros(1))


@njit
def divided(x: Any) -> None:
    x[0] = 1 / x[0]


# -- arrays of other libraries --------------------------------------------------------------------------------------------------------
class Lender:
    """Lends the memory of a NumPy array by our own capsules, also as an older library."""

    def __init__(self, array: np.ndarray, versioned: bool = True, device: int = 1) -> None:
        self.array, self.versioned, self.device = array, versioned, device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 0

    def capsule(self) -> Any:
        found = {**self.array.__array_interface__, "strides": self.array.strides}
        return dlpack.lend(self.array, found, (self.device, 0), self.versioned, False)

    def __dlpack__(self, **options: Any) -> Any:
        if not self.versioned and "max_version" in options:
            raise TypeError("unexpected keyword argument 'max_version'")
        return self.capsule()


DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_reads_our_capsules(dtype: str, versioned: bool) -> None:
    for array in (X.astype(dtype), X.astype(dtype)[:, ::2, :, ::-1], X.astype(dtype).T, np.zeros((), dtype), np.zeros((0, 3), dtype)):
        lent = len(dlpack._lent)
        found = np.from_dlpack(Lender(array, versioned))
        np.testing.assert_array_equal(found, array)
        assert (found.dtype == dtype and found.strides == array.strides) or array.size < 2
        assert array.size == 0 or np.shares_memory(found, array)
        assert len(dlpack._lent) == lent + 1
        del found
        unused = Lender(array, versioned).capsule()
        assert len(dlpack._lent) == lent + 1
        del unused
        assert len(dlpack._lent) == lent  # given back, and forgotten


@pytest.mark.parametrize("dtype", DTYPES)
def test_we_read_numpys_capsules(dtype: str) -> None:
    for array in (X.astype(dtype), X.astype(dtype)[:, ::2, :, ::-1], np.zeros((), dtype)):
        found = dlpack.Taken(array, None).__cuda_array_interface__
        assert found["typestr"] == array.dtype.str and found["shape"] == array.shape and found["data"] == (array.ctypes.data, False)
        assert found["strides"] in (array.strides, None) and (found["strides"] or array.flags.c_contiguous)
    fixed = X.astype(dtype)
    fixed.flags.writeable = False
    assert dlpack.Taken(fixed, None).__cuda_array_interface__["data"][1]
    with pytest.raises(nc.DTypeError) as error:
        dlpack.Taken(np.zeros(2, complex), None)
    assert str(error.value) == "[from_dlpack] expected integers, floats or bools; received DLPack's type (5, 128, 1)."


@pytest.mark.parametrize("versioned", [True, False])
def test_memory_that_was_taken_is_given_back(versioned: bool) -> None:
    lent = len(dlpack._lent)
    taken = dlpack.Taken(Lender(X, versioned), None)
    assert len(dlpack._lent) == lent + 1
    del taken
    assert len(dlpack._lent) == lent


def test_dlpack_on_the_cpu() -> None:
    x = in_order("nhwc", "cpu")
    found = np.from_dlpack(x)
    np.testing.assert_array_equal(found, X)
    assert found.strides == x.numpy().strides and shares(found.transpose(0, 2, 3, 1), x)
    copied = np.from_dlpack(Copying(x))
    assert not np.shares_memory(copied, x.numpy())
    array = X.copy()
    y = nc.from_dlpack(array)
    assert np.shares_memory(y.numpy(), array) and y.device == "cpu"
    array.flags.writeable = False
    assert not np.shares_memory(nc.from_dlpack(array).numpy(), array)
    assert nc.from_dlpack(x.long()).dtype == nc.int64


class Copying:
    """Asks a tensor for a copy."""

    def __init__(self, x: nc.Tensor) -> None:
        self.x, self.__dlpack_device__ = x, x.__dlpack_device__

    def __dlpack__(self, **options: Any) -> Any:
        return self.x.__dlpack__(**{**options, "copy": True})


def test_a_tensor_on_the_cpu_offers_no_cuda_array() -> None:
    with pytest.raises(AttributeError) as error:
        nc.zeros(2).__cuda_array_interface__
    assert str(error.value) == "[__cuda_array_interface__] expected a tensor on a CUDA device; received one on 'cpu'."
