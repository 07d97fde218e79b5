"""Summaries and receptive fields."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import nn
from numbacnn.inspect import Field, receptive_field, summary
from numbacnn.tensor.tape import mode, watching

TABLE = """\
input (1, 1, 28, 28)
-----------------------------------------------------------------------------------
layer  type       output shape     parameters  multiply-adds  receptive field  jump
-----------------------------------------------------------------------------------
0      Conv2d     (1, 6, 28, 28)          156        117,600                5     1
1      Sigmoid    (1, 6, 28, 28)            0              0                5     1
2      AvgPool2d  (1, 6, 14, 14)            0              0                6     2
3      Conv2d     (1, 16, 10, 10)       2,416        240,000               14     2
4      Sigmoid    (1, 16, 10, 10)           0              0               14     2
5      AvgPool2d  (1, 16, 5, 5)             0              0               16     4
6      Flatten    (1, 400)                  0              0                -     -
7      Linear     (1, 120)             48,120         48,000                -     -
8      Sigmoid    (1, 120)                  0              0                -     -
9      Linear     (1, 84)              10,164         10,080                -     -
10     Sigmoid    (1, 84)                   0              0                -     -
11     Linear     (1, 10)                 850            840                -     -
-----------------------------------------------------------------------------------
parameters 61,706, multiply-adds 416,520"""


def exactly(kind: type[Exception], text: str) -> Any:
    return pytest.raises(kind, match="^" + re.escape(text) + "$")


def test_summary_of_lenet() -> None:
    table = summary(nc.models.lenet(), (1, 28, 28))
    assert str(table) == TABLE
    assert (table.parameters, table.trainable, table.macs, len(table.rows)) == (61706, 61706, 416520, 12)
    assert table.rows[3].type == "Conv2d" and table.rows[3].field == Field((14, 14), (2, 2), (-2, -2))
    batch = summary(nc.models.lenet(), (256, 1, 28, 28))
    assert batch.macs == 256 * table.macs and batch.rows[-1].output_shape == (256, 10)


def test_summary_changes_nothing() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Dropout(0.5), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2), nn.LazyBatchNorm1d())
    model[1].eval()
    calls: list[int] = []
    model[1].register_forward_hook(lambda *_: calls.append(1))
    before, generator = repr(model), nc.get_rng_state()
    table = summary(model, (2, 8, 8))
    names = ["Conv2d", "Dropout", "BatchNorm2d", "Flatten", "Linear", "BatchNorm1d"]
    assert [row.type for row in table.rows] == names and table.lazy and not calls
    assert str(table).endswith("\nlazy layers took their sizes from this input, in a copy; the model itself is still lazy")
    assert repr(model) == before and nc.get_rng_state() == generator
    assert model.training and not model[1].training and len(model[1]._forward_hooks) == 1


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 4, (1, 3), padding=(0, 1))
        self.right = nn.MaxPool2d(3, stride=1, padding=1)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        x = self.stem(x)
        return self.head(self.left(x) + self.right(x))


def test_summary_follows_branches_up_to_where_they_join() -> None:
    model = Branches()
    model.stem.requires_grad_(False)
    table = summary(model, (1, 8, 8))
    sizes = {row.name: row.field and row.field.size for row in table.rows}
    assert sizes == {"stem": (3, 3), "left": (3, 5), "right": (5, 5), "head": None}
    assert "3x5" in str(table) and f"({4 * 9 + 4} frozen)" in str(table)


def test_summary_of_a_perceptron_and_shared_layers() -> None:
    shared = nn.Linear(8, 8)
    table = summary(nn.Sequential(shared, nn.ReLU(), shared), (8,))
    assert table.parameters == 72 and len(table.rows) == 3 and table.macs == 128 and table.rows[0].field is None
    assert summary(nn.Sequential(shared), (5, 8)).rows[0].output_shape == (5, 8)
    assert summary(nn.Linear(8, 2), (8,)).rows[0].name == ""
    assert summary(nn.Conv2d(1, 2, 3).to(nc.float64), (1, 5, 5)).macs == 2 * 9 * 9


def test_receptive_field_formulas() -> None:
    assert receptive_field(nn.Conv2d(1, 1, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(2, 1))) == [
        ("", Field((5, 5), (2, 1), (0, -2)))
    ]
    assert receptive_field(nn.Conv2d(1, 1, 4, padding="same"))[0][1] == Field((4, 4), (1, 1), (-1, -1))
    net = nn.Sequential(
        nn.Sequential(nn.LazyConv2d(8, 3, groups=2), nn.ReLU()), nn.MaxPool2d(2), nn.Sequential(nn.Conv2d(8, 8, 3)), nn.Flatten()
    )
    names = [(name, field.size[0], field.jump[0], field.start[0]) for name, field in receptive_field(net)]
    assert names == [("0.0", 3, 1, 0), ("1", 4, 2, 0), ("2.0", 8, 2, 0)]
    deep = nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(10)))
    assert receptive_field(deep)[-1][1].size == (21, 21)


def test_a_softmax_of_channels_sees_its_pixel_and_any_other_a_whole_axis() -> None:
    for layer, fields in ((nn.Softmax(1), 2), (nn.LogSoftmax(-3), 2), (nn.Softmax(2), 1), (nn.LogSoftmax(-1), 1)):
        assert len(receptive_field(nn.Sequential(nn.Conv2d(1, 2, 3), layer, nn.Conv2d(2, 2, 3)))) == fields


def test_receptive_field_is_where_the_gradient_is() -> None:
    nc.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(2, 1, 3, stride=2, dilation=2))
    field = receptive_field(net)[-1][1]
    x = nc.randn(1, 1, 24, 20, requires_grad=True)
    y = net(x)
    unit = (1, 2)
    y[0, 0, unit[0], unit[1]].backward()
    rows, columns = np.nonzero(x.grad.numpy()[0, 0])
    for axis, found in enumerate((rows, columns)):
        first = field.start[axis] + unit[axis] * field.jump[axis]
        assert (found.min(), found.max()) == (first, first + field.size[axis] - 1)


class Shift(nn.Module):
    """A user's layer, which answers for itself."""

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return x + 1

    def receptive_field(self, field: Field) -> Field:
        return field

    def macs(self, input_shape: tuple[int, ...]) -> int:
        return input_shape[-1]


class Named(nn.Module):
    """A user's layer, whose attributes mean something else."""

    def __init__(self) -> None:
        super().__init__()
        self.macs, self.receptive_field = 3, nn.Parameter(nc.ones(1))

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return x


def test_a_layer_answers_for_itself() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3), Shift(), nn.MaxPool2d(2))
    assert [(name, field.size) for name, field in receptive_field(net)] == [("0", (3, 3)), ("2", (4, 4))]
    rows = summary(net, (1, 8, 8)).rows
    assert [row.macs for row in rows] == [9 * 36, 6, 0] and rows[-1].field is not None
    (row,) = summary(Named(), (1, 8, 8)).rows
    assert row.macs == 0 and row.field is None
    with pytest.raises(TypeError, match="received Named;"):
        receptive_field(Named())


class Own(nn.Module):
    """Parameters and functions of its own, around a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(nc.ones(4, 1, 3, 3)), nn.Parameter(nc.ones(8, 5))
        self.layer = nn.Linear(16, 8)

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        x = nn.functional.conv2d(x, self.w, groups=2)  # (N, 4, 2, 2)
        return self.layer(x.flatten(1)) @ self.v


class Mixed(Own):
    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return nn.functional.linear(self.layer(x).reshape(-1, 2, 4) @ self.w.reshape(-1, 4, 3)[: len(x)], nc.ones(5, 3))


def test_what_a_forward_does_itself_is_counted() -> None:
    net = nn.Sequential(Own(), nn.ReLU())
    net[0].v.requires_grad_(False)
    table = summary(net, (3, 2, 4, 4))
    own = 3 * (16 * 9 + 5 * 8)
    rows = [("0.layer", 16 * 8 + 8, 3 * 16 * 8), ("0", 4 * 9 + 40, own), ("1", 0, 0)]
    assert [(row.name, row.parameters, row.macs) for row in table.rows] == rows
    assert table.macs == own + 3 * 16 * 8 and table.parameters == sum(row.parameters for row in table.rows)
    assert [row.macs for row in summary(Mixed(), (3, 16)).rows] == [3 * 16 * 8, 3 * (2 * 4 * 3 + 2 * 3 * 5)]


class Heads(nn.Module):
    """Gives several Tensors, by way of a part that does."""

    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(nc.ones(4, 3))

        def forward(self, x: nc.Tensor) -> dict[str, nc.Tensor]:
            return {"y": x @ self.w}

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.part, self.v = nn.Linear(4, 4), self.Part(), nn.Parameter(nc.ones(3, 2))

    def forward(self, x: nc.Tensor) -> tuple[nc.Tensor, nc.Tensor]:
        y = self.part(self.layer(x))["y"]
        return y, y @ self.v


class Scalar(nn.Module):
    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return x.sum()


def test_a_module_that_gives_no_single_tensor_has_its_row() -> None:
    table = summary(Heads(), (5, 4))
    rows = [("layer", (5, 4), 20, 5 * 16), ("part", None, 12, 5 * 12), ("", None, 6, 5 * 6)]
    assert [(row.name, row.output_shape, row.parameters, row.macs) for row in table.rows] == rows
    assert table.macs == 5 * 34 and table.parameters == 38
    part, whole = str(table).splitlines()[5:7]
    assert "Scalar  ()" in str(summary(Scalar(), (3,)))
    assert part.split() == ["part", "Part", "-", "12", "60", "-", "-"] and whole.split() == ["Heads", "-", "6", "30", "-", "-"]


class Twice(nn.Conv2d):
    """A user's kind of a known layer, which does more."""

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return super().forward(super().forward(x)) @ nc.ones(4, 4)


def test_more_than_the_layer_above_is_counted() -> None:
    (row,) = summary(nn.Sequential(Twice(2, 2, 3, padding=1)), (2, 4, 4)).rows
    assert row.macs == 2 * (2 * 2 * 9 * 16) + 2 * 4 * 4 * 4


@pytest.mark.parametrize("shape", [np.array([3]), (np.int64(3),), [3]])
def test_a_shape_of_numpy_s_integers(shape: Any) -> None:
    assert summary(nn.Linear(3, 2), shape).input_shape == (1, 3)


@pytest.mark.parametrize(("layer", "shape", "macs"), [(nn.LazyLinear(2), (3,), 6), (nn.LazyConv2d(2, 3), (3, 4, 4), 2 * 27 * 4)])
def test_a_lazy_layer_alone(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert summary(layer, shape).macs == macs


def test_a_watch_ends_with_a_model_that_fails() -> None:
    seen: list[str] = []
    with watching(lambda op, inputs, result: seen.append(op.label)), pytest.raises(nc.ShapeError):
        summary(nn.Linear(3, 2), (4,))
    before = len(seen)
    nc.ones(2) + 1
    assert len(seen) == before and mode.watch is None


def test_errors() -> None:
    text = "[receptive_field] expected a chain of known layers in Sequential; received Branches at '0'; use summary, which runs it."
    with exactly(TypeError, text):
        receptive_field(nn.Sequential(Branches()))
    text = "[receptive_field] expected a chain of known layers in Sequential; received Branches; use summary, which runs it."
    with exactly(TypeError, text):
        receptive_field(Branches())
    text = "[summary] expected input_shape (C, H, W), (N, C, H, W), (features,) or (N, features); received (1, 0, 3)."
    with exactly(nc.ShapeError, text):
        summary(nn.ReLU(), (1, 0, 3))
    text = "[summary] expected input_shape (C, H, W), (N, C, H, W), (features,) or (N, features); received (True, 3)."
    with exactly(nc.ShapeError, text):
        summary(nn.ReLU(), (True, 3))
