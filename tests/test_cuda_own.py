"""What a user adds, on CUDA: in the simulator (``test_simulator.py``), or on a GPU."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.errors import NumbaError
from test_exchange import (  # noqa: F401
    add_one,
    test_a_view_is_copied,
    test_integers_reach_a_cuda_kernel_as_they_are,
    test_the_array_for_a_kernel,
    test_where_nothing_is_copied,
)
from test_own import plain, test_a_pointwise_function, test_far_from_zero_it_is_what_a_gpu_gives  # noqa: F401

import numbacnn as nc
from numbacnn import cuda
from numbacnn.kernels.cuda import driver
from numbacnn.testing import gradcheck

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


DTYPES = "float32, float64, int8, int16, int32, int64, uint8, bool"


class Lent:
    """Memory of a device array as another library offers it."""

    def __init__(self, owner: Any, **changed: Any) -> None:
        self.owner = owner
        self.__cuda_array_interface__ = {**driver.interface(owner), "stream": None, **changed}


def at(x: nc.Tensor) -> int:
    return x.__cuda_array_interface__["data"][0]


@pytest.mark.parametrize("index", [(), (slice(None), 1), (slice(None), slice(None, None, 2)), (0, slice(1, 0))], ids=str)
def test_a_device_array_stays_where_it_is(index: Any) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    array = driver.cuda.to_device(values)
    x = nc.from_array(array)
    assert x.device == "cuda" and at(x) == driver.interface(array)["data"][0]
    view = x[index]
    np.testing.assert_array_equal(view.numpy(), values[index])
    again = nc.from_array(Lent(array, **view.__cuda_array_interface__), requires_grad=True)
    np.testing.assert_array_equal(again.detach().numpy(), values[index])
    assert again.requires_grad and (view.numel() == 0 or at(again.detach()) == at(view))


def test_a_device_array_of_any_strides() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    array = driver.cuda.to_device(values)
    place = driver.interface(array)["data"][0]
    backwards = nc.from_array(Lent(array, data=(place + 11 * 4, False), shape=(3, 4), strides=(-16, -4)))
    np.testing.assert_array_equal(backwards.numpy(), values[::-1, ::-1])
    backwards.zero_()
    assert not array.copy_to_host().any()
    fixed = nc.from_array(Lent(array, data=(place, True)))
    assert at(fixed) != place
    assert nc.from_array(array, "cpu").device == "cpu" and nc.from_array(array, "cuda:0").device == "cuda"
    for changed, text in (
        ({"typestr": "<f2"}, f"[from_array] expected one of the dtypes {DTYPES}; received float16."),
        ({"mask": array}, "[from_array] expected an array of whole elements without a mask; received strides (16, 4) of float32."),
        ({"strides": (16, 3)}, "[from_array] expected an array of whole elements without a mask; received strides (16, 3) of float32."),
    ):  # fmt: skip
        with pytest.raises(nc.DTypeError) as error:
            nc.from_array(Lent(array, **changed))
        assert str(error.value) == text


def test_a_tensor_offers_its_memory() -> None:
    x = nc.tensor(np.arange(24, dtype=np.float32).reshape(2, 3, 4), device="cuda")
    found = x[1:, :, ::2].__cuda_array_interface__
    assert (found["shape"], found["strides"], found["typestr"], found["version"]) == ((1, 3, 2), (48, 16, 8), "<f4", 3)
    assert found["data"] == (at(x) + 48, False)
    with pytest.raises(RuntimeError) as error:
        x.requires_grad_().__cuda_array_interface__
    text = "[__cuda_array_interface__] expected a tensor without a gradient; received one that requires it; call detach() first."
    assert str(error.value) == text


def test_dlpack_there_and_back() -> None:
    xp = nc.backends.get("cuda")
    x = nc.tensor(np.arange(24, dtype=np.float32).reshape(2, 3, 4), device="cuda")[:, ::2]
    for version in (None, (1, 0)):
        capsules = [x.__dlpack__(stream=stream, max_version=version) for stream in (None, 2)]
        del capsules
        other = xp.from_dlpack(x)
        assert xp.interface(other)["data"][0] == at(x)
        np.testing.assert_array_equal(xp.to_numpy(other), x.numpy())
    if driver.SIMULATED:  # its memory is the host's, which NumPy reads
        np.testing.assert_array_equal(np.from_dlpack(x), x.numpy())
        assert x.__dlpack_device__() == (1, 0)


def test_the_pooling_of_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernels on both devices, without the training."""
    path = Path(__file__).parent.parent / "examples" / "own_layer.py"
    monkeypatch.syspath_prepend(path.parent)
    example: Any = types.ModuleType("own_layer")
    monkeypatch.setitem(sys.modules, "own_layer", example)
    exec(compile(path.read_text("utf-8").split("# -- judged")[0], str(path), "exec"), vars(example))
    pool, found = example.SoftPool.apply, []
    for device in ("cpu", "cuda"):
        x = nc.tensor(np.linspace(-2, 3, 48).reshape(1, 2, 4, 6) ** 2, device=device, requires_grad=True)
        y = pool(x)
        y.backward(nc.arange(12.0, device=device).reshape(1, 2, 2, 3))
        assert x.grad is not None
        found.append((y.detach().numpy(), x.grad.numpy()))
    for here, there in zip(*found):
        np.testing.assert_allclose(here, there, rtol=1e-12)
    assert gradcheck(pool, x, directions=2)


def test_errors_of_a_launch() -> None:
    array = nc.zeros(2, device="cuda").numba()
    for call, text in (
        (
            lambda: nc.launch(add_one, array, grid=1, block=1),
            "[launch] expected a kernel under @cuda.jit; received CPUDispatcher; one under @numba.njit takes no grid and block.",
        ),
        (
            lambda: nc.launch(add_one, array),
            "[launch] expected grid and block for a kernel on arrays of 'cuda'; received neither.",
        ),
    ):
        with pytest.raises(TypeError) as error:
            call()
        assert str(error.value) == text


def test_a_function_that_cuda_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> None:
        raise NumbaError("no such function\nmore")

    zeros = nc.zeros(2, device="cuda")
    monkeypatch.setattr(driver, "launch", refuses)
    with pytest.raises(TypeError) as error:
        nc.pointwise(plain, plain)(zeros)
    assert str(error.value) == "[plain] expected a function that Numba compiles for CUDA too; received no such function."
