"""Pictures that come to the device as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import backends
from numbacnn.data import DataLoader, ImageDataset
from numbacnn.errors import ShapeError
from numbacnn.kernels.cuda.driver import SIMULATED

pytestmark = pytest.mark.skipif(not SIMULATED, reason="needs NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated")


def pictures(channels: int, mean: Any, std: Any) -> ImageDataset:
    values = np.arange(5 * 3 * 4 * channels, dtype=np.uint8).reshape(5, 3, 4, channels)
    return ImageDataset(values * 7, np.arange(5) % 2, ("a", "b"), mean=mean, std=std)


@pytest.mark.parametrize(("channels", "mean", "std"), [(1, 0.0, 1.0), (1, 0.5, 0.25), (3, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))])
def test_bytes_become_the_floats_that_the_host_makes_of_them(channels: int, mean: Any, std: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data, brought = pictures(channels, mean, std), []
    xp = backends.get("cuda")
    monkeypatch.setattr(xp, "from_numpy", lambda a: brought.append(a.dtype) or type(xp).from_numpy(xp, a))
    batches = list(DataLoader(data, batch_size=2, device="cuda"))
    assert brought == [np.uint8, np.int64] * 3
    for (x, y), (wanted, labels) in zip(batches, DataLoader(data, batch_size=2), strict=True):
        assert x.dtype == np.float32 and np.array_equal(x.numpy(), wanted.numpy()) and np.array_equal(y.numpy(), labels.numpy())


def test_a_transform_may_give_bytes_or_floats() -> None:
    data = pictures(3, 0.5, 0.5)

    def brighter(batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.minimum(batch.astype(np.float32) + 1.5, 255)

    for transform in (lambda batch, generator: batch[:, ::-1], brighter):
        found, wanted = ([x.numpy() for x, _ in DataLoader(data, batch_size=3, transform=transform, device=d)] for d in ("cuda", "cpu"))
        assert all(map(np.array_equal, found, wanted)) and len(found) == len(wanted) == 2


def test_arrays_of_bytes_stay_bytes() -> None:
    x = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert [batch.dtype for batch, _ in DataLoader((x, np.arange(3)), device="cuda")] == [np.uint8] * 3
    assert nc.tensor(x, device="cuda").dtype == np.uint8


def test_a_transform_may_give_other_channels() -> None:
    def repeated(batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.repeat(batch, 3, axis=3)

    found, wanted = ([x.numpy() for x, _ in DataLoader(pictures(1, 0.5, 0.25), 5, transform=repeated, device=d)] for d in ("cuda", "cpu"))
    assert np.array_equal(found, wanted) and found[0].shape == (5, 3, 3, 4)
    with pytest.raises(ShapeError, match="mean with 1 or C = 1 values; received 3 values"):
        next(iter(DataLoader(pictures(3, (0.1, 0.2, 0.3), 1.0), 5, transform=lambda batch, _: batch[..., :1], device="cuda")))
