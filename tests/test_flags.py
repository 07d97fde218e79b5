"""What a CUDA device finds wrong, kept until a result is read; the driver is played here."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from numbacnn.kernels.cuda import api
from numbacnn.kernels.cuda.flags import Flags


@pytest.mark.parametrize("bad", [0, 3, 255, 400, 599])
def test_the_first_flag_that_is_set_is_told_however_many_follow(bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(name: str, *args: Any) -> None:
        if name == "cuMemcpyDtoHAsync_v2":
            ctypes.c_int32.from_address(args[0]).value = args[1]

    for name, played in {"call": call, "event": int, "is_over": bool, "wait_for": int}.items():
        monkeypatch.setattr(api, name, played)
    monkeypatch.setattr(api, "page_locked", lambda size: np.zeros(size, np.uint8))
    flags: Flags[int] = Flags(256)
    for i in range(600):
        flags.add(SimpleNamespace(address=int(i == bad)), i)  # type: ignore[arg-type]
    assert flags.first_set() == bad and flags.first_set() is None
