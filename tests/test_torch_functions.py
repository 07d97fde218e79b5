"""The functions of tensors beside PyTorch: values, dtypes, shapes and gradients of drawn tensors; and what only this library promises."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from function_rows import ROWS, names

import numbacnn as nc

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch==2.13.0")

DRAWS = 24 if os.environ.get("NUMBACNN_LONG") else 4


def verdict(row: str, known: dict[str, Any]) -> Any:
    try:
        return eval(row, known)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return error


def parts(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def told(value: Any) -> tuple[Any, ...]:
    """What is compared: the kind of a value, and its numbers."""
    if isinstance(value, (torch.Tensor, nc.Tensor)):
        return str(value.dtype).removeprefix("torch."), np.asarray(value.detach())
    if isinstance(value, (torch.dtype, np.dtype)):
        return ("dtype", np.asarray(str(value).removeprefix("torch.")))
    return "plain", np.asarray(value)


def close(found: np.ndarray, wanted: np.ndarray, where: str) -> None:
    assert found.shape == wanted.shape, where
    if wanted.dtype.kind == "f":
        tight = wanted.dtype == np.float64
        np.testing.assert_allclose(found, wanted, rtol=1e-10 if tight else 2e-5, atol=1e-12 if tight else 2e-6, err_msg=where)
    else:
        np.testing.assert_array_equal(found, wanted, err_msg=where)


OTHERWISE_OF_NOTHING = ("median()", "unique(dim", "bincount(p")
"""What PyTorch gives of tensors without elements: NaN or a number from nowhere, an error where there are none, other dtypes."""


def check(row: str, seed: int) -> None:
    mine, theirs = names(nc, seed), names(torch, seed)
    if not theirs["x"].numel() and any(part in row for part in OTHERWISE_OF_NOTHING):
        return
    found, wanted = verdict(row, mine), verdict(row, theirs)
    where = f"{row}, seed {seed}, shape {tuple(theirs['x'].shape)}: ours {found!r}; PyTorch's {wanted!r}"
    assert isinstance(found, Exception) == isinstance(wanted, Exception), where
    if isinstance(wanted, Exception):
        return
    assert len(parts(found)) == len(parts(wanted)), where
    pairs = list(zip(parts(found), parts(wanted)))
    for a, b in pairs:
        assert told(a)[0] == told(b)[0], where
        close(told(a)[1], told(b)[1], where)
    rng = np.random.default_rng(seed)
    losses: Any = 0, 0
    for a, b in pairs:
        if isinstance(b, torch.Tensor):
            assert a.requires_grad == b.requires_grad, where
            if b.requires_grad:
                g = rng.standard_normal(tuple(b.shape)).astype(str(b.dtype).removeprefix("torch."))
                losses = losses[0] + (a * nc.tensor(g)).sum(), losses[1] + (b * torch.from_numpy(np.asarray(g))).sum()
    if not isinstance(losses[0], nc.Tensor):
        return
    for loss in losses:
        loss.backward()
    for name, leaf in theirs.items():
        if isinstance(leaf, torch.Tensor) and leaf.grad is not None:
            assert mine[name].grad is not None, f"{where}: no gradient of {name}"
            close(mine[name].grad.numpy(), leaf.grad.numpy(), f"gradient of {name} in {where}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", ROWS)
def test_beside_pytorch(row: str) -> None:
    for seed in range(DRAWS):
        check(row, seed)
