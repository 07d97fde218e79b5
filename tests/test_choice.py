"""The choice among a device's ways to convolve, and how a thread narrows it to one or puts another in front."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import reference
from numbacnn.backends import Backend, choice
from numbacnn.backends.choice import Declined, in_front, only
from numbacnn.backends.cpu import conv
from numbacnn.geometry import ConvGeometry
from numbacnn.testing import ConvCase

PASSES = ("forward", "grad_input", "grad_weight")
CASES = [
    ConvCase.of((2, 16, 7, 9), (16, 1, 3, 3), groups=16, padding=1, stride=2),
    ConvCase.of((2, 16, 7, 9), (16, 2, 3, 3), groups=8, padding=1),
    ConvCase.of((2, 16, 5, 6), (20, 16, 3, 3), padding=1),
    ConvCase.of((1, 16, 3, 4), (16, 16, 3, 3), padding=1),
    ConvCase.of((2, 3, 8, 9), (4, 3, 2, 3), padding=2, stride=(2, 1)),
    ConvCase.of((2, 2, 9), (3, 2, 3), padding=1),
    ConvCase.of((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), dilation=(1, 2, 1)),
]


def run(xp: Backend, op: str, case: ConvCase) -> np.ndarray:
    x, w, grad, g = *map(xp.from_numpy, (case.x, case.w, case.grad)), case.geometry
    found = {
        "forward": lambda: xp.conv_forward(x, w, None, g),
        "grad_input": lambda: xp.conv_grad_input(grad, w, g),
        "grad_weight": lambda: xp.conv_grad_weight(grad, x, g),
    }
    return xp.to_numpy(found[op]())


def wanted(op: str, case: ConvCase) -> np.ndarray:
    x, w, grad, g = case.x, case.w, case.grad, case.geometry
    found = {
        "forward": lambda: reference.conv_forward(x, w, None, g),
        "grad_input": lambda: reference.conv_grad_input(grad, w, g),
        "grad_weight": lambda: reference.conv_grad_weight(grad, x, g),
    }
    return found[op]()


def test_each_algorithm_by_itself(backend: Backend) -> None:
    """On all that it takes, tiny sizes too, where another would be chosen; each takes something."""
    for name in backend.algorithms:
        taken = 0
        for case in CASES:
            for op in PASSES:
                try:
                    with only(name):
                        found = run(backend, op, case)
                except Declined:
                    continue
                taken += 1
                tolerance = 1e-4 if name == "winograd" else 0
                np.testing.assert_allclose(found, wanted(op, case), rtol=tolerance, atol=100 * tolerance)
        assert taken, name
    with only(backend.algorithms[-1]):
        for case in CASES:
            for op in PASSES:
                np.testing.assert_array_equal(run(backend, op, case), wanted(op, case))


SMALL = ConvGeometry.of((1, 16, 5, 6), (16, 16, 3, 3), padding=1)


def test_one_that_would_not_pay_runs_where_it_is_alone() -> None:
    ops = ("forward", "grad_input", "grad_weight")
    assert "winograd" not in [conv.choose(op, SMALL, "float32").name for op in ops]
    with only("winograd"):
        assert [conv.choose(op, SMALL, "float32").name for op in ops] == ["winograd"] * 3
    assert "winograd" not in [conv.choose(op, SMALL, "float32").name for op in ops]
    strips = ConvGeometry.of((1, 64, 9), (64, 64, 3))
    with only("column sum"):
        assert conv.choose("grad_input", strips, "float32").name == "column sum"
    assert conv.choose("grad_input", strips, "float32").name != "column sum"


def test_of_several_the_first_on_the_list_takes_a_pass() -> None:
    strided = ConvGeometry.of((1, 16, 7, 7), (16, 16, 3, 3), stride=2)
    with only("direct", "winograd"):
        assert [conv.choose("forward", g, "float32").name for g in (SMALL, strided)] == ["winograd", "direct"]
    with only("winograd", "depthwise"), pytest.raises(Declined, match="expected a convolution that 'winograd' or 'depthwise' takes; "):
        conv.choose("forward", strided, "float32")


def test_the_one_that_declines_says_why() -> None:
    x, w = nc.ones(1, 1, 28, 28), nc.ones(6, 1, 5, 5)
    with only("winograd"), pytest.raises(Declined) as error:
        nc.nn.functional.conv2d(x, w, padding=2)
    assert str(error.value) == (
        "[conv2d forward] expected a convolution that 'winograd' takes; received (1, 1, 28, 28) * (6, 1, 5, 5), stride (1, 1), "
        "padding ((2, 2), (2, 2)); winograd: not a plain 3x3 convolution of stride 1 in float32."
    )
    with only("fft"), pytest.raises(Declined) as error:
        conv.choose("forward", SMALL, "float32")
    assert str(error.value) == (
        "[conv2d forward] expected one of depthwise, grouped, few pixels, winograd, column sum, superpixels, direct; received 'fft'."
    )
    assert nc.nn.functional.conv2d(x, w, padding=2).shape == (1, 6, 28, 28)


class Mine(choice.Algorithm):
    name = "mine"

    def declines(self, g: ConvGeometry, dtype: Any) -> str:
        return "" if g.stride == (1, 1) else "a stride"


def test_another_stands_in_front_of_the_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    strided = ConvGeometry.of((1, 2, 7, 7), (3, 2, 3, 3), stride=2)
    signal = ConvGeometry.of((1, 2, 7), (3, 2, 3))
    mine, other = Mine(), Mine()
    other.name = "other"
    with in_front("cpu", "conv2d", mine):
        assert conv.choose("forward", SMALL, "float32") is mine
        assert conv.choose("forward", signal, "float32").name != "mine"  # another operation
        monkeypatch.setattr(nc.config, "explain", True)
        assert conv.choose("forward", strided, "float32").name == "superpixels"
        assert "    not mine: a stride\n    not depthwise: " in capsys.readouterr().err
        monkeypatch.setattr(nc.config, "explain", False)
        with in_front("cpu", "conv2d", other), in_front("cuda", "conv2d", mine):
            assert conv.choose("forward", SMALL, "float32") is other
            with only("mine"):
                assert conv.choose("forward", SMALL, "float32") is mine
                with pytest.raises(Declined, match="mine: a stride"):
                    conv.choose("forward", strided, "float32")
        with only("direct"):
            assert conv.choose("forward", SMALL, "float32").name == "direct"
        assert conv.choose("forward", SMALL, "float32") is mine
    assert conv.choose("forward", SMALL, "float32") is not mine


def test_the_rule_is_the_threads_own_and_ends_with_an_error() -> None:
    seen = []
    with pytest.raises(ZeroDivisionError), only("winograd"):
        thread = threading.Thread(target=lambda: seen.append(conv.choose("forward", SMALL, "float32").name))
        thread.start()
        thread.join()
        seen.append(conv.choose("forward", SMALL, "float32").name)
        1 / 0
    seen.append(conv.choose("forward", SMALL, "float32").name)
    assert seen[1] == "winograd" and seen[0] == seen[2] != "winograd"
