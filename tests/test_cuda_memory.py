"""Device memory that is kept for the next array of its size, and what is said of it."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import backends, cuda
from numbacnn.backends.cuda import CudaBackend
from numbacnn.errors import DeviceError, OutOfMemoryError
from numbacnn.kernels.cuda import memory
from numbacnn.kernels.cuda.driver import SIMULATED

pytestmark = [
    pytest.mark.skipif(not SIMULATED, reason="needs NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    backends.get("cuda")
    gc.collect()
    nc.empty_cache()


def test_a_block_is_used_again_by_an_array_of_its_size_and_by_no_other() -> None:
    x = nc.empty(1000, device="cuda")
    place = x.array.buffer._ary.ctypes.data
    del x
    larger, other = nc.empty(3000, device="cuda"), nc.empty(1010, device="cuda")
    assert other.array.buffer._ary.ctypes.data == place != larger.array.buffer._ary.ctypes.data


def test_a_view_keeps_the_memory_of_what_it_is_a_view_of() -> None:
    x = nc.arange(100.0, device="cuda")
    part = x[10:20]
    del x
    others = [nc.zeros(100, device="cuda") for _ in range(3)]
    assert part.tolist() == list(np.arange(10.0, 20.0)) and len(others) == 3


@pytest.mark.parametrize(("size", "block"), [(0, 512), (1, 512), (512, 512), (513, 1024), (8192, 8192), (8193, 9216), (10**6, 1048576)])
def test_sizes_are_rounded_by_an_eighth_at_most(size: int, block: int) -> None:
    pool = memory.Pool()
    assert pool.take(size).size == block
    assert block - size <= max(512, size / 8)
    pool.empty()
    memory.Pool.all.remove(pool)


def test_what_is_used_kept_and_given_back_is_counted() -> None:
    before = cuda.memory_allocated()
    x = nc.empty((256, 1024), device="cuda")
    assert cuda.memory_allocated() - before == 1 << 20
    cuda.reset_peak_memory_stats()
    nc.empty(x.shape, device="cuda")
    assert (cuda.memory_allocated() - before, cuda.max_memory_allocated() - before) == (1 << 20, 2 << 20)
    assert cuda.memory_reserved() - cuda.memory_allocated() >= 1 << 20
    assert cuda.memory_summary().endswith(" reserved")
    nc.empty_cache()
    assert cuda.memory_reserved() == cuda.memory_allocated()


def test_without_memory_what_is_kept_is_given_back_and_then_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    held = nc.ones(500, device="cuda")
    waits = nc.empty(5000, device="cuda")
    del waits
    left = [1]

    def new(size: int) -> int:
        if memory.account.kept or not left:
            raise MemoryError("CUDA_ERROR_OUT_OF_MEMORY")
        left.pop()
        return original(size)

    original = memory.new
    monkeypatch.setattr(memory, "new", new)
    found = nc.empty(7000, device="cuda")  # when the block that waits is given back
    with pytest.raises(OutOfMemoryError) as raised:
        nc.empty(9000, device="cuda")
    received = "received CUDA_ERROR_OUT_OF_MEMORY with .* in use"
    assert raised.match(rf"\[cuda\] expected 36 KiB of free memory; {received}; make the batch smaller, or drop tensors\.")
    monkeypatch.undo()
    assert nc.empty(9000, device="cuda").shape == (9000,) and held.sum().item() == 500 and found.shape == (7000,)


def test_what_turns_is_free_from_the_next_turn_on() -> None:
    pool = memory.Pool(turns=True)
    address = pool.take(600).address
    second = pool.take(600)
    assert second.address != address
    pool.turn()
    assert pool.take(600).address == address
    del second
    pool.turn()
    pool.empty()
    memory.Pool.all.remove(pool)


def test_the_safe_path_has_numbas_memory_and_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends._loaded, "cuda", CudaBackend())
    with pytest.raises(DeviceError, match=r"\[cuda\] expected the fast path, which keeps an account of memory; received the safe one; "):
        cuda.memory_allocated()
