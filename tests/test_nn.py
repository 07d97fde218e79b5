"""Modules, layers, initial values and models."""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from philox import WORD, dropped, philox
from scipy import stats

import numbacnn as nc
from numbacnn import nn
from numbacnn.nn import functional as F

TORCH = "needs PyTorch: pip install torch==2.13.0"

LENET = """Sequential(
  (0): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
  (1): Sigmoid()
  (2): AvgPool2d(kernel_size=2, stride=2, padding=0)
  (3): Conv2d(6, 16, kernel_size=(5, 5), stride=(1, 1))
  (4): Sigmoid()
  (5): AvgPool2d(kernel_size=2, stride=2, padding=0)
  (6): Flatten(start_dim=1, end_dim=-1)
  (7): Linear(in_features=400, out_features=120, bias=True)
  (8): Sigmoid()
  (9): Linear(in_features=120, out_features=84, bias=True)
  (10): Sigmoid()
  (11): Linear(in_features=84, out_features=10, bias=True)
)"""


def exactly(kind: type[Exception], text: str) -> Any:
    return pytest.raises(kind, match="^" + re.escape(text) + "$")


class Tied(nn.Module):
    """Two names for one parameter, and buffers of both sorts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("count", nc.zeros(2))
        self.register_buffer("cache", nc.zeros(2), persistent=False)
        self.register_parameter("nothing", None)

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return self.second(self.first(x))


def values(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: t.numpy().copy() for name, t in module.state_dict().items()}


# -- the tree ----------------------------------------------------------------------------------------------------------
def test_registration_order_and_names() -> None:
    net = Tied()
    assert [name for name, _ in net.named_parameters()] == ["first.weight", "first.bias", "second.bias"]
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == []
    assert [name for name, _ in net.first.named_parameters("p")] == ["p.weight", "p.bias"]
    assert [name for name, _ in net.named_buffers()] == ["count", "cache"]
    assert len(list(net.buffers())) == 2
    assert [name for name, _ in net.named_modules()] == ["", "first", "second"]
    assert [name for name, _ in net.named_children()] == ["first", "second"]
    assert list(net.children()) == [net.first, net.second] and next(iter(net.modules())) is net
    assert list(net.state_dict()) == ["count", "first.weight", "first.bias", "second.weight", "second.bias"]
    assert net.nothing is None and {"first", "count", "nothing"} <= set(dir(net))


def test_a_part_says_itself_what_training_means() -> None:
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self[1].eval()
            return self

    net = nn.Sequential(nn.Sequential(Frozen(nn.Dropout(), nn.BatchNorm2d(2))), nn.BatchNorm2d(2))
    for step in (net.train, net.eval, net.train):
        step()
        assert [module.training for module in net.modules()] == [net.training] * 4 + [False, net.training]


def test_a_parameter_has_attributes_of_ones_own() -> None:
    """A binarised network's real weights, as many keep them."""
    layer = nn.Linear(2, 1)
    assert not hasattr(layer.weight, "org")
    layer.weight.org = layer.weight.data.clone()
    assert [hasattr(p, "org") for p in layer.double().parameters()] == [True, False] and list(layer.state_dict()) == ["weight", "bias"]


def test_attributes_move_between_the_tables() -> None:
    net = nn.Module()
    net.x = 3
    net.x = nn.Parameter(nc.ones(2))
    assert "x" not in net.__dict__ and len(list(net.parameters())) == 1
    with exactly(TypeError, "[Module] expected attribute 'x' as a Parameter or None; received ReLU."):
        net.x = nn.ReLU()
    assert len(list(net.parameters())) == 1
    del net.x
    net.x = nn.ReLU()
    assert not list(net.parameters()) and isinstance(net.x, nn.ReLU)
    net.x = nn.Parameter(nc.ones(2))
    assert not list(net.children()) and list(net.state_dict()) == ["x"]
    del net.x
    assert not hasattr(net, "x")
    net.register_buffer("b", nc.zeros(1), persistent=False)
    net.b = nc.ones(1)
    assert net.b.item() == 1 and not net.state_dict()
    del net.b
    net.plain = 1
    del net.plain
    assert not hasattr(net, "plain") and not hasattr(net, "b")
    net.w = nn.Parameter(nc.ones(1))
    net.w = None
    assert net.w is None and not list(net.parameters())


def test_modes_apply_and_gradients() -> None:
    net = Tied()
    order: list[nn.Module] = []
    assert net.apply(order.append) is net and order == [net.first, net.second, net]
    assert net.eval() is net and not any(module.training for module in net.modules())
    assert net.train() is net and all(module.training for module in net.modules())
    net(nc.ones(2, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(p.grad is not None and not p.grad.numpy().any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters()) and not net(nc.ones(2, 3)).requires_grad


def test_hooks() -> None:
    net = nn.Sequential(nn.Identity(), nn.ReLU())
    calls: list[str] = []
    first = net[0].register_forward_hook(lambda module, args, output: calls.append(type(module).__name__))
    second = net[0].register_forward_hook(lambda module, args, output: output + args[0])
    assert net(nc.ones(1)).item() == 2 and calls == ["Identity"]
    first.remove()
    first.remove()
    assert net(nc.ones(1)).item() == 2 and calls == ["Identity"]
    second.remove()
    assert net(nc.ones(1)).item() == 1


def test_what_is_told_of_a_state_that_is_loaded() -> None:
    net = nn.Linear(2, 1)
    state = net.state_dict()
    assert str(net.load_state_dict(state)) == "<All keys matched successfully>"
    state["more"] = state.pop("bias")
    assert repr(net.load_state_dict(state, strict=False)) == "LoadReport(missing_keys=['bias'], unexpected_keys=['more'])"


@pytest.mark.parametrize(
    ("replaces", "grad", "kind", "text"),
    [
        (lambda gradients: gradients * 2, True, nc.ShapeError, "[Linear] expected 1 gradients from a backward hook; received 2."),
        (
            lambda gradients: nc.ones(3),
            True,
            nc.ShapeError,
            "[Linear] expected a gradient of shape (2, 3) on cpu from a backward hook; received shape (3,) on cpu.",
        ),
        (lambda gradients: 5, True, nc.DTypeError, "[Linear] expected gradients as Tensors from a backward hook, or None; received 5."),
        (
            lambda gradients: nc.ones(2, 3),
            False,
            RuntimeError,
            "[Linear] expected None from the backward hook of a module whose inputs have no gradient; received a gradient.",
        ),
    ],
)
def test_backward_hooks_that_give_nonsense(replaces: Any, grad: bool, kind: type[Exception], text: str) -> None:
    layer = nn.Linear(3, 4)
    layer.register_full_backward_hook(lambda module, given, gradients: replaces(given))
    y = layer(nc.ones(2, 3, requires_grad=grad)).sum()
    with pytest.raises(kind) as error:
        y.backward()
    assert str(error.value) == text


def test_a_module_with_backward_hooks_gives_tensors() -> None:
    class Named(nn.Module):
        def forward(self, x: nc.Tensor) -> dict[str, nc.Tensor]:
            return {"out": x}

    layer = Named()
    layer.register_full_backward_hook(lambda *_: None)
    with pytest.raises(TypeError) as error:
        layer(nc.ones(2))
    assert str(error.value) == "[Named] expected a Tensor or a tuple of them from forward, for its backward hooks; received dict."
    with nc.no_grad():
        assert layer(nc.ones(2))["out"].tolist() == [1, 1]


def test_to_keeps_the_parameters() -> None:
    net = Tied()
    net.register_buffer("labels", nc.tensor([1, 2]))
    parameters = list(net.parameters())
    net(nc.ones(2, 3)).sum().backward()
    assert net.to("cpu", dtype=nc.float64) is net
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))
    assert {str(p.dtype) for p in parameters} == {str(p.grad.dtype) for p in parameters} == {str(net.count.dtype)} == {"float64"}
    assert str(net.labels.dtype) == "int64"
    assert str(net(nc.ones(2, 3, dtype=nc.float64)).dtype) == "float64"
    assert str(nn.LazyLinear(2).to(nc.float64)(nc.ones(1, 3, dtype=nc.float64)).dtype) == "float64"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_independent_and_keep_sharing(copied: Any) -> None:
    net = Tied()
    net(nc.ones(2, 3)).sum().backward()
    twin = copied(net)
    assert twin.second.weight is twin.first.weight is not net.first.weight
    assert isinstance(twin.first.weight, nn.Parameter) and twin.first.weight.requires_grad
    assert len(list(twin.parameters())) == 3
    np.testing.assert_array_equal(twin.first.weight.grad.numpy(), net.first.weight.grad.numpy())
    before = values(net)
    with nc.no_grad():
        twin.first.weight.fill_(7.0)
    np.testing.assert_array_equal(values(net)["first.weight"], before["first.weight"])
    assert not copied(nn.Parameter(nc.ones(2), requires_grad=False)).requires_grad
    lazy = copied(nn.Sequential(nn.LazyLinear(2)))
    assert lazy(nc.ones(1, 3)).shape == (1, 2)


# -- state -------------------------------------------------------------------------------------------------------------
def test_state_round_trip() -> None:
    net, twin = nc.models.lenet(), nc.models.lenet()
    parameters = list(twin.parameters())
    assert twin.load_state_dict(net.state_dict()) == ([], [])
    assert all(a is b for a, b in zip(parameters, twin.parameters(), strict=True))
    x = nc.rand(2, 1, 28, 28)
    np.testing.assert_array_equal(net(x).detach().numpy(), twin(x).detach().numpy())
    arrays = {name: np.asarray(t).astype(np.float64) for name, t in net.state_dict().items()}
    third = nc.models.lenet()
    third.load_state_dict(arrays)
    assert str(third[0].weight.dtype) == "float32"
    np.testing.assert_array_equal(net(x).detach().numpy(), third(x).detach().numpy())
    assert not any(t.requires_grad for t in net.state_dict().values())


def test_keys_of_wrapped_modules_are_taken_as_the_names_inside() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 1)))
    state = {name: np.full(t.shape, i, np.float32) for i, (name, t) in enumerate(net.state_dict().items())}
    keys = ["_orig_mod.0.weight", "_orig_mod.0.bias", "_orig_mod.1._orig_mod.0.weight", "_orig_mod.1._orig_mod.0.bias"]
    assert net.load_state_dict(dict(zip(keys, state.values()))) == ([], [])
    assert all((array == i).all() for i, array in enumerate(values(net).values()))
    both = {"0.weight": state["0.weight"] + 5, "_orig_mod.0.weight": state["0.weight"]}
    assert net.load_state_dict(both, strict=False).unexpected_keys == ["_orig_mod.0.weight"]
    assert (values(net)["0.weight"] == 5).all()
    wrapped = nn.Module()
    wrapped._orig_mod = nn.Linear(2, 3)
    assert wrapped.load_state_dict(wrapped.state_dict()) == ([], [])


def test_a_state_of_old_does_not_count_batches() -> None:
    """PyTorch's did not before 0.4.1; torchvision's weights are such."""
    net = nn.Sequential(nn.BatchNorm2d(2))
    net(nc.ones(3, 2, 4, 4))
    state = nn.Sequential(nn.BatchNorm2d(2)).state_dict()
    del state["0.num_batches_tracked"]
    assert net.load_state_dict(state) == ([], []) and net[0].num_batches_tracked.item() == 1
    assert net[0].running_mean.tolist() == [0.0, 0.0]
    del state["0.running_mean"]
    with pytest.raises(ValueError, match=r"received missing 0\.running_mean; nothing was loaded"):
        net.load_state_dict(state)


def test_loading_is_all_or_nothing() -> None:
    net = Tied()
    before = values(net)
    state: dict[str, Any] = {name: nc.ones(*t.shape) for name, t in net.state_dict().items()}
    del state["count"], state["first.bias"]
    state |= {"more": nc.ones(1), "second.bias": nc.ones(4), "first.weight": np.ones((3, 2), np.float32)}
    shapes = "first.weight (3, 2) in place of (3, 3), second.bias (4,) in place of (3,)"
    text = "[load_state_dict] expected the names and shapes of Tied; received "
    with exactly(ValueError, text + f"missing count, missing first.bias, unexpected more, {shapes}; nothing was loaded."):
        net.load_state_dict(state)
    with exactly(RuntimeError, text + f"{shapes}; nothing was loaded."):  # what code for PyTorch waits for
        net.load_state_dict(state, strict=False)
    for name, array in values(net).items():
        np.testing.assert_array_equal(array, before[name])
    del state["second.bias"], state["first.weight"]
    assert net.load_state_dict(state, strict=False) == (["count", "first.weight", "first.bias", "second.bias"], ["more"])
    assert (values(net)["second.weight"] == 1).all()
    state = {f"module.{name}": t for name, t in nn.Linear(2, 3).state_dict().items()}
    text = "[load_state_dict] expected the names and shapes of Linear; received missing weight, missing bias, unexpected module.weight, "
    advice = 'the keys are those of DataParallel; pass {key.removeprefix("module."): value for key, value in state_dict.items()}'
    with exactly(ValueError, f"{text}unexpected module.bias; nothing was loaded: {advice}."):
        nn.Linear(2, 3).load_state_dict(state)
    with exactly(TypeError, "[load_state_dict] expected a mapping of names to tensors; received list."):
        net.load_state_dict([])  # type: ignore[arg-type]


# -- lazy layers -------------------------------------------------------------------------------------------------------
def test_lazy_layers_become_ordinary() -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3, padding=1, groups=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5, bias=False))
    assert repr(net[0]) == "LazyConv2d(0, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=2)"
    assert repr(net[3]) == "LazyLinear(in_features=0, out_features=5, bias=False)"
    assert repr(net[0].weight) == "<UninitializedParameter>"
    optimizer = nc.optim.SGD(net.parameters(), lr=0.5)
    text = "[UninitializedParameter] expected a parameter that has a shape; "
    text += "received one of a lazy layer before its first forward; run one batch first."
    for ask in (lambda p: p.shape, lambda p: p.ndim, lambda p: p.data, lambda p: p.numel()):
        with exactly(RuntimeError, text):
            ask(net[0].weight)
    text = "[state_dict] expected parameters that have a shape; received uninitialized 0.weight, 0.bias, 3.weight; run one batch first."
    with exactly(RuntimeError, text):
        net.state_dict()
    net.zero_grad()
    optimizer.step()
    assert net(nc.rand(2, 6, 4, 4)).shape == (2, 5)
    assert type(net[0]) is nn.Conv2d and type(net[3]) is nn.Linear and type(net[0].weight) is nn.Parameter
    assert net[0].weight.shape == (4, 3, 3, 3) and net[3].weight.shape == (5, 64) and net[0].in_channels == 6
    before = values(net)
    net(nc.rand(2, 6, 4, 4)).sum().backward()
    optimizer.step()
    assert (values(net)["3.weight"] != before["3.weight"]).any()
    assert nn.LazyConv2d(2, 3)(nc.rand(3, 5, 5)).shape == (2, 3, 3)


def test_lazy_layers_draw_as_ordinary_ones() -> None:
    nc.manual_seed(5)
    ready = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 4))
    nc.manual_seed(5)
    lazy = nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten(), nn.LazyLinear(4))
    lazy(nc.zeros(1, 2, 4, 4))
    for name, array in values(lazy).items():
        np.testing.assert_array_equal(array, values(ready)[name])


def test_lazy_layers_load() -> None:
    ready = nn.Sequential(nn.Conv2d(4, 2, 3, groups=2), nn.Flatten(), nn.Linear(8, 3))
    lazy = nn.Sequential(nn.LazyConv2d(2, 3, groups=2), nn.Flatten(), nn.LazyLinear(3))
    state: dict[str, Any] = dict(ready.state_dict())
    text = "[load_state_dict] expected the names and shapes of Sequential; received "
    with exactly(ValueError, text + "missing 0.weight, 0.bias of a lazy layer without its weight; nothing was loaded."):
        lazy.load_state_dict({name: t for name, t in state.items() if name != "0.weight"})
    with exactly(
        ValueError, text + "0.weight (2, 2, 5, 5) in place of (2, 2, 3, 3), 2.weight (8,) in place of (3, 1); nothing was loaded."
    ):
        lazy.load_state_dict(state | {"0.weight": nc.ones(2, 2, 5, 5), "2.weight": nc.ones(8)})
    with exactly(ValueError, text + "2.weight (3, 0) in place of (3, 1); nothing was loaded."):
        lazy.load_state_dict(state | {"2.weight": nc.ones(3, 0)})
    with exactly(ValueError, text + "0.weight (2, 0, 3, 3) in place of (2, 1, 3, 3); nothing was loaded."):
        lazy.load_state_dict(state | {"0.weight": nc.ones(2, 0, 3, 3)})
    assert type(lazy[0]) is nn.LazyConv2d and type(lazy[2]) is nn.LazyLinear
    generator = nc.get_rng_state()
    lazy.load_state_dict(state)
    assert nc.get_rng_state() == generator and repr(lazy) == repr(ready)
    for name, array in values(lazy).items():
        np.testing.assert_array_equal(array, values(ready)[name])


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"track_running_stats": False}, {"bias": False}], ids=str)
def test_lazy_batch_norm_loads(options: dict[str, bool]) -> None:
    ready, lazy = nn.BatchNorm2d(3, **options), nn.LazyBatchNorm2d(**options)
    ready(nc.rand(4, 3, 2, 2))
    twin = copy.deepcopy(lazy)
    assert repr(lazy) == repr(twin) == "Lazy" + repr(ready).replace("(3, ", "(0, ")
    names = ", ".join(ready.state_dict())
    with exactly(RuntimeError, f"[state_dict] expected parameters that have a shape; received uninitialized {names}; run one batch first."):
        lazy.state_dict()
    first = next(iter(ready.state_dict()))
    with pytest.raises(ValueError, match=rf"of a lazy layer without its {first}"):
        lazy.load_state_dict({name: t for name, t in ready.state_dict().items() if name != first})
    for shape in ((2, 2), (0,)):
        with pytest.raises(ValueError, match=rf"{first} {re.escape(str(shape))} in place of \(1,\)"):
            lazy.load_state_dict(ready.state_dict() | {first: nc.ones(shape)})
    assert type(lazy) is nn.LazyBatchNorm2d
    lazy.load_state_dict(ready.state_dict())
    assert repr(lazy) == repr(ready) and type(lazy) is nn.BatchNorm2d
    for name, array in values(lazy).items():
        np.testing.assert_array_equal(array, values(ready)[name])
    twin.load_state_dict({first: ready.state_dict()[first]}, strict=False)  # what is missing has its first values
    fresh = values(nn.BatchNorm2d(3, **options)) | {first: values(ready)[first]}
    assert {name: array.tolist() for name, array in values(twin).items()} == {name: array.tolist() for name, array in fresh.items()}


def test_lazy_batch_norm_in_another_dtype_and_its_errors() -> None:
    layer = nn.LazyBatchNorm1d().to("float64")
    optimizer = nc.optim.SGD(layer.parameters(), lr=1.0)
    with exactly(nc.ShapeError, "[LazyBatchNorm1d] expected input (N, C) or (N, C, L); received input (2, 3, 4, 5)."):
        layer(nc.zeros(2, 3, 4, 5))
    with exactly(ValueError, "[LazyBatchNorm1d] expected channels C of the input as an integer of at least 1; received 0."):
        layer(nc.zeros(2, 0))
    assert type(layer) is nn.LazyBatchNorm1d
    layer(nc.rand(4, 3, dtype=nc.float64)).sum().backward()
    assert {str(t.dtype) for t in (layer.weight, layer.running_mean, layer.running_var)} == {"float64"}
    optimizer.step()
    assert layer.bias.tolist() == [-4, -4, -4]


def test_lazy_errors_leave_the_layer_lazy() -> None:
    layer = nn.LazyConv2d(4, 3, groups=2)
    with exactly(nc.ShapeError, "[LazyConv2d] expected input channels C that groups = 2 divide; received C = 3."):
        layer(nc.zeros(1, 3, 5, 5))
    with exactly(nc.ShapeError, "[LazyConv2d] expected input (N, C, H, W) or (C, H, W); received input (5, 5)."):
        layer(nc.zeros(5, 5))
    with exactly(nc.ShapeError, "[LazyLinear] expected input (..., features) with at least one feature; received input ()."):
        nn.LazyLinear(2)(nc.tensor(1.0))
    assert layer(nc.zeros(1, 2, 5, 5)).shape == (1, 4, 3, 3)


# -- containers and printing -------------------------------------------------------------------------------------------
def test_repr_is_pytorchs() -> None:
    assert repr(nc.models.lenet()) == LENET
    assert repr(nn.Conv2d(4, 8, (3, 5), 2, (1, 2), 2, 2, False)) == (
        "Conv2d(4, 8, kernel_size=(3, 5), stride=(2, 2), padding=(1, 2), dilation=(2, 2), groups=2, bias=False)"
    )
    assert repr(nn.Conv2d(1, 2, 3, padding="same")) == "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=same)"
    assert repr(nn.MaxPool2d((2, 3), padding=1, ceil_mode=True)) == (
        "MaxPool2d(kernel_size=(2, 3), stride=(2, 3), padding=1, dilation=1, ceil_mode=True)"
    )
    assert repr(nn.Dropout(0.2)) == "Dropout(p=0.2, inplace=False)"
    assert repr(nn.ReLU(inplace=True)) == "ReLU(inplace=True)"
    assert repr(nn.BatchNorm1d(3, momentum=None, affine=False)) == (
        "BatchNorm1d(3, eps=1e-05, momentum=None, affine=False, bias=False, track_running_stats=True)"
    )
    assert [repr(m) for m in (nn.AdaptiveAvgPool2d((1, None)), nn.GELU(), nn.GELU("tanh"))] == [
        "AdaptiveAvgPool2d(output_size=(1, None))",
        "GELU(approximate='none')",
        "GELU(approximate='tanh')",
    ]
    assert [repr(m) for m in (nn.Tanh(), nn.Identity(1), nn.Softmax(1), nn.LogSoftmax(dim=1))] == [
        "Tanh()",
        "Identity()",
        "Softmax(dim=1)",
        "LogSoftmax(dim=1)",
    ]
    assert repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Sequential(nn.Tanh())])) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Sequential(\n    (0): Tanh()\n  )\n)"
    )
    assert [repr(m) for m in (nn.Sequential(), nn.CrossEntropyLoss(), nn.NLLLoss(), nn.MSELoss(), nn.BCEWithLogitsLoss())] == [
        "Sequential()",
        "CrossEntropyLoss()",
        "NLLLoss()",
        "MSELoss()",
        "BCEWithLogitsLoss()",
    ]

    class Told(nn.Module):
        def extra_repr(self) -> str:
            return "two\nlines"

    assert repr(nn.Sequential(Told())) == "Sequential(\n  (0): Told(\n    two\n    lines\n  )\n)"
    assert repr(nn.ParameterList([nc.ones(2, 3)])) == "ParameterList(\n    (0): Parameter containing: [float32 of size 2x3]\n)"
    assert repr(nn.ParameterList()) == "ParameterList()"
    assert repr(nn.Parameter(nc.ones(2))).startswith("Parameter containing:\ntensor([1., 1.]")


def test_a_function_in_place_of_a_layer() -> None:
    """As guided backpropagation puts one: by the table of modules, past what ``add_module`` judges."""
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Flatten())
    net._modules["1"] = nc.negative  # type: ignore[assignment]
    x = nc.ones(1, 2)
    assert net(x).tolist() == (-net[0](x)).tolist()


def test_sequential_and_module_list() -> None:
    net = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU()))
    assert net.append(nn.Linear(3, 1)) is net and [name for name, _ in net.named_children()] == ["a", "b", "2"]
    assert net[0] is net.a and net[-1] is net[2] and len(net) == 3 and list(net) == [net[0], net[1], net[2]]
    part = net[:2]
    assert isinstance(part, nn.Sequential) and part.a is net.a and len(part) == 2
    net[1] = nn.Tanh()
    assert isinstance(net.b, nn.Tanh)
    modules = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(list(modules.parameters())) == 6 and isinstance(modules[1:], nn.ModuleList) and modules[1:][0] is modules[1]
    twice = nn.ReLU()
    assert len(nn.Sequential(twice, twice)) == 2 and len(list(nn.Sequential(twice, twice).children())) == 1
    with exactly(IndexError, "[Sequential] expected an index from -3 to 2; received 3."):
        net[3]


# -- errors ------------------------------------------------------------------------------------------------------------
class Late(nn.Module):
    def __init__(self, x: Any) -> None:
        self.x = x
        super().__init__()


def test_module_errors() -> None:
    net = Tied()
    with exactly(AttributeError, "'Tied' object has no attribute 'weight'"):
        net.weight
    with exactly(NotImplementedError, "[Module] expected a method forward; received none; define forward in Module."):
        nn.Module()(1)
    text = (
        "[Late] expected super().__init__() before parameters and modules are assigned; received 'x' first; call it at the top of __init__."
    )
    for late in (nn.Parameter(nc.ones(1)), nn.ReLU()):
        with exactly(AttributeError, text):
            Late(late)
    assert Late(1).x == 1
    text = "[Linear] expected attribute 'weight' as a Parameter or None; received Tensor; wrap it in nn.Parameter, or assign to .data."
    with exactly(TypeError, text):
        net.first.weight = nc.ones(3, 3)
    with exactly(TypeError, "[Tied] expected attribute 'first' as a Module or None; received int."):
        net.first = 3
    with exactly(TypeError, "[Tied] expected buffer 'count' as a Tensor or None; received int."):
        net.count = 3
    with exactly(TypeError, "[Tied] expected buffer 'b' as a Tensor or None; received int."):
        net.register_buffer("b", 3)  # type: ignore[arg-type]
    with exactly(TypeError, "[Tied] expected parameter 'p' as a Parameter or None; received Tensor."):
        net.register_parameter("p", nc.ones(1))  # type: ignore[arg-type]
    with exactly(TypeError, "[Sequential] expected submodule '0' as a Module or None; received function."):
        nn.Sequential(lambda x: x)  # type: ignore[arg-type]
    with exactly(ValueError, "[Tied] expected the name of a module as a string without dots; received 'a.b'."):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(KeyError) as caught:
        net.register_buffer("first", nc.ones(1))
    assert caught.value.args == ("[Tied] expected a name for the buffer that is not taken; received 'first'.",)
    with exactly(nc.DTypeError, "[to] expected a device or a floating-point dtype; received int64; parameters have gradients."):
        net.to(nc.int64)
    for name in ("mps", "cuda:1"):
        with exactly(nc.DeviceError, f"[to] expected one of 'cpu' and 'cuda'; received '{name}'."):
            net.to(nc.float64, name)
        assert {str(p.dtype) for p in net.parameters()} == {"float32"}
    with exactly(TypeError, "[Parameter] expected data as a Tensor; received list; wrap it in nc.tensor."):
        nn.Parameter([1.0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Conv2d(0, 1, 3), "[Conv2d] expected in_channels as an integer of at least 1; received 0."),
        (lambda: nn.Conv2d(1, 2.5, 3), "[Conv2d] expected out_channels as an integer of at least 1; received 2.5."),
        (lambda: nn.Conv2d(1, 1, 0), "[Conv2d] expected kernel_size as an integer or a pair (height, width) of at least 1; received 0."),
        (lambda: nn.Conv2d(1, 1, 3, 0), "[Conv2d] expected stride as an integer or a pair (height, width) of at least 1; received 0."),
        (
            lambda: nn.Conv2d(1, 1, 3, 1, -1),
            "[Conv2d] expected padding as an integer or a pair (height, width) of at least 0; received -1.",
        ),
        (lambda: nn.Conv2d(1, 1, 3, 1, "some"), "[Conv2d] expected padding as an integer, a pair, 'same' or 'valid'; received 'some'."),
        (
            lambda: nn.Conv2d(1, 1, 3, 2, "same"),
            "[Conv2d] expected stride 1 with padding='same'; received stride (2, 2); give the padding as numbers.",
        ),
        (
            lambda: nn.Conv2d(1, 1, 3, dilation=(1, 2, 3)),
            "[Conv2d] expected dilation as an integer or a pair (height, width) of at least 1; received (1, 2, 3).",
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "[Conv2d] expected groups that divide C = 3 and OC = 4; received groups = 2."),
        (lambda: nn.LazyConv2d(3, 3, groups=2), "[LazyConv2d] expected groups that divide C = 2 and OC = 3; received groups = 2."),
        (lambda: nn.LazyConv2d(0, 3), "[LazyConv2d] expected out_channels as an integer of at least 1; received 0."),
        (lambda: nn.Conv2d(3, 4, 3, groups=0), "[Conv2d] expected groups as an integer of at least 1; received 0."),
        (lambda: nn.Linear(-1, 2), "[Linear] expected in_features as an integer of at least 1; received -1."),
        (lambda: nn.LazyLinear("2"), "[LazyLinear] expected out_features as an integer of at least 1; received '2'."),
        (lambda: nn.Flatten(1.5), "[Flatten] expected start_dim and end_dim as integers; received 1.5 and -1."),
        (lambda: nn.MaxPool2d(0), "[MaxPool2d] expected kernel_size as an integer or a pair (height, width) of at least 1; received 0."),
        (
            lambda: nn.MaxPool2d(2, padding=2),
            "[MaxPool2d] expected padding of at most half the kernel (2, 2); received padding (2, 2).",
        ),
        (lambda: nn.AvgPool2d(2, 0), "[AvgPool2d] expected stride as an integer or a pair (height, width) of at least 1; received 0."),
        (lambda: nn.Softmax(None), "[Softmax] expected dim as an integer; received None; dim=1 is the classes' axis of (N, K)."),
        (lambda: nn.GELU("erf"), "[GELU] expected approximate as 'none' or 'tanh'; received 'erf'."),
        (
            lambda: nn.AdaptiveAvgPool2d(0),
            "[AdaptiveAvgPool2d] expected output_size as an integer of at least 1, None, or a pair (height, width) of such; received 0.",
        ),
        (lambda: nn.BatchNorm2d(0), "[BatchNorm2d] expected num_features as an integer of at least 1; received 0."),
        (lambda: nn.BatchNorm2d(3)(nc.ones(2, 3)), "[BatchNorm2d] expected input (N, C, H, W); received input (2, 3)."),
        (lambda: nn.BatchNorm1d(3)(nc.ones(2, 3, 1, 1)), "[BatchNorm1d] expected input (N, C) or (N, C, L); received input (2, 3, 1, 1)."),
        (
            lambda: nn.BatchNorm2d(3)(nc.ones(2, 4, 1, 1)),
            "[BatchNorm2d] expected input with C = 3 channels; received input (2, 4, 1, 1).",
        ),
        (lambda: nc.models.resnet18(stem="mnist"), "[resnet18] expected stem as 'imagenet' or 'cifar'; received 'mnist'."),
        (lambda: nc.models.vgg11(head="mnist"), "[vgg11] expected head as 'imagenet' or 'cifar'; received 'mnist'."),
        (lambda: nn.Dropout(1.5), "[Dropout] expected p as a number from 0 to 1; received 1.5."),
        (lambda: nn.MSELoss(reduction="max"), "[MSELoss] expected reduction as 'mean', 'sum' or 'none'; received 'max'."),
        (
            lambda: nn.CrossEntropyLoss(label_smoothing=2),
            "[CrossEntropyLoss] expected label_smoothing as a number from 0 to 1; received 2.",
        ),
        (lambda: nn.init.uniform_(nc.zeros(1), 2, 1), "[uniform_] expected finite bounds a <= b; received a = 2 and b = 1."),
        (lambda: nn.init.uniform_(nc.zeros(1), 0, math.inf), "[uniform_] expected finite bounds a <= b; received a = 0 and b = inf."),
        (lambda: nn.init.normal_(nc.zeros(1), 0, -1), "[normal_] expected std as a number of at least 0; received -1."),
        (lambda: nn.init.normal_(nc.zeros(1), math.inf), "[normal_] expected mean as a number that is finite; received inf."),
        (
            lambda: nn.init.xavier_uniform_(nc.zeros(2, 3), math.inf),
            "[xavier_uniform_] expected gain as a number of at least 0; received inf.",
        ),
        (
            lambda: nn.init.xavier_normal_(nc.zeros(2, 3), math.nan),
            "[xavier_normal_] expected gain as a number of at least 0; received nan.",
        ),
        (
            lambda: nn.init.kaiming_normal_(nc.zeros(2, 3), math.nan),
            "[kaiming_normal_] expected a as a number that is finite; received nan.",
        ),
        (
            lambda: nn.init.calculate_gain("leaky_relu", math.inf),
            "[calculate_gain] expected param as a number that is finite; received inf.",
        ),
        (
            lambda: nn.init.xavier_uniform_(nc.zeros(3)),
            "[xavier_uniform_] expected a weight (out, in, ...) with at least two axes and one element; received shape (3,).",
        ),
        (
            lambda: nn.init.kaiming_normal_(nc.zeros(3, 2), mode="fan"),
            "[kaiming_normal_] expected mode as 'fan_in' or 'fan_out'; received 'fan'.",
        ),
        (
            lambda: nn.init.calculate_gain("cos"),
            "[calculate_gain] expected nonlinearity as 'linear', 'conv1d', 'conv2d', 'conv3d', 'conv_transpose1d', 'conv_transpose2d', "
            "'conv_transpose3d', 'sigmoid', 'tanh', 'relu', 'leaky_relu' or 'selu'; "
            "received 'cos'.",
        ),
        (
            lambda: nc.models.get("vgg"),
            "[models] expected the name of a network, one of lenet, lenet-modern, resnet18, small-resnet, vgg11, vgg11-bn; received 'vgg'.",
        ),
    ],
)
def test_argument_errors(make: Any, text: str) -> None:
    with exactly(ValueError, text):
        make()


@pytest.mark.parametrize(("given", "shape", "hint"), [
    (np.zeros((28, 28, 1), np.uint8), (28, 28, 1), "(H, W, C) looks like a picture: transpose(2, 0, 1)"),
    (nc.zeros(28, 28, 1), (28, 28, 1), "(H, W, C) looks like a picture: permute(2, 0, 1)"),
    (nc.zeros(2, 28, 28, 1), (2, 28, 28, 1), "(N, H, W, C) looks like a picture: permute(0, 3, 1, 2)"),
])  # fmt: skip
def test_a_picture_with_its_channels_last_is_told_from_a_wrong_weight(given: Any, shape: tuple[int, ...], hint: str) -> None:
    text = f"[conv2d] expected input (N, C, H, W) or (C, H, W) with C = 1; received input {shape}; {hint}."
    with exactly(nc.ShapeError, text):
        nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU())(given)


# -- initial values ----------------------------------------------------------------------------------------------------
def test_init_formulas() -> None:
    nc.manual_seed(1)
    weight = nc.zeros(64, 32, 3, 3)
    fan_in, fan_out = 32 * 9, 64 * 9
    uniform = {
        math.sqrt(6 / (fan_in + fan_out)): lambda: nn.init.xavier_uniform_(weight),
        2 * math.sqrt(6 / (fan_in + fan_out)) + 1e-9: lambda: nn.init.xavier_uniform_(weight, gain=2.0),
        math.sqrt(2) * math.sqrt(3 / fan_in): lambda: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
        math.sqrt(3 / fan_out): lambda: nn.init.kaiming_uniform_(weight, mode="fan_out", nonlinearity="linear"),
        0.5: lambda: nn.init.uniform_(weight, -0.5, 0.5),
    }
    for bound, fill in uniform.items():
        assert fill() is weight
        largest = float(np.abs(weight.numpy()).max())
        assert 0.999 * bound < largest <= bound * 1.0000001 and abs(weight.numpy().mean()) < 0.02 * bound
    normal = {
        math.sqrt(2 / (fan_in + fan_out)): lambda: nn.init.xavier_normal_(weight),
        math.sqrt(2 / (1 + 0.04) / fan_in): lambda: nn.init.kaiming_normal_(weight, a=0.2),
        3.0: lambda: nn.init.normal_(weight, 0.0, 3.0),
    }
    for std, fill in normal.items():
        fill()
        assert abs(weight.numpy().std() / std - 1) < 0.02
    assert (nn.init.constant_(weight, 0.25).numpy() == 0.25).all()
    assert (nn.init.ones_(weight).numpy() == 1).all() and not nn.init.zeros_(weight).numpy().any()


def test_init_does_not_depend_on_dtype_or_layout() -> None:
    nc.manual_seed(3)
    plain = nn.init.normal_(nc.zeros(4, 3, 2, 2)).numpy().copy()
    nc.manual_seed(3)
    np.testing.assert_array_equal(nn.init.normal_(nc.zeros(4, 3, 2, 2, dtype=nc.float64)).numpy(), plain)
    nc.manual_seed(3)
    turned = nc.from_array(np.zeros((2, 2, 3, 4), np.float32).transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(nn.init.normal_(turned).numpy(), plain)


def test_layers_start_as_pytorchs() -> None:
    conv, linear = nn.Conv2d(8, 64, 3, groups=2), nn.Linear(100, 300)
    for layer, fan_in in ((conv, 36), (linear, 100)):
        for t in (layer.weight, layer.bias):
            largest = float(np.abs(t.detach().numpy()).max())
            assert 0.9 / math.sqrt(fan_in) < largest <= 1 / math.sqrt(fan_in)
    nc.manual_seed(0)
    first = values(nc.models.lenet())
    nc.manual_seed(0)
    second = values(nc.models.lenet())
    assert all((first[name] == second[name]).all() for name in first)
    assert (np.abs(first["7.weight"]) <= math.sqrt(6 / 520)).all() and np.abs(first["7.weight"]).max() > 0.09
    assert all(p.array.flags.c_contiguous and str(p.dtype) == "float32" for p in nc.models.lenet().parameters())


@pytest.mark.parametrize(
    "nonlinearity", ["linear", "conv2d", "conv1d", "conv_transpose2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
)
def test_gain_is_pytorchs(nonlinearity: str) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    assert nn.init.calculate_gain(nonlinearity) == torch.nn.init.calculate_gain(nonlinearity)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_a_name_that_becomes_a_parameter_belongs_to_the_state() -> None:
    module = nn.Module()
    module.register_buffer("w", nc.zeros(2), persistent=False)
    assert list(module.state_dict()) == []
    module.w = nn.Parameter(nc.ones(2))
    assert list(module.state_dict()) == ["w"]
    del module.w
    module.register_buffer("w", nc.zeros(2))
    assert list(module.state_dict()) == ["w"]


def test_a_slice_keeps_its_modules_when_it_grows() -> None:
    layers = [nn.Linear(2, 2), nn.ReLU(), nn.Tanh(), nn.Sigmoid()]
    part = nn.Sequential(*layers[:3])[1:]
    assert list(part._modules) == ["1", "2"]  # as PyTorch names them
    part.append(layers[3]).append(layers[0])
    assert list(part) == [*layers[1:], layers[0]]
    assert len(nn.ModuleList(layers)[2:].append(layers[0])) == 3


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_modules_come_and_go(kind: str) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for library in (torch.nn, nn):
        layers = [library.ReLU(), library.Tanh(), library.Sigmoid(), library.Identity()]
        make = (
            (lambda *given, of=library: getattr(of, kind)(*given))
            if kind == "Sequential"
            else (lambda *given, of=library: of.ModuleList(given))
        )
        row = make(*layers[:3])
        row.insert(1, layers[3])
        row.insert(2, layers[0])
        texts = [str(row)]
        del row[0]
        texts += [str(row), str(row.pop(1)), str(row), str(row + make(layers[0])), str(len(row)), str(list(row._modules))]
        row += make(layers[3])
        del row[1:]
        found.append([*texts, str(row), str(list(row._modules))])
    assert found[0] == found[1]


def test_what_a_container_refuses() -> None:
    row = nn.Sequential(nn.ReLU())
    with exactly(TypeError, "[Sequential] expected a Module; received 3."):
        row.insert(0, 3)  # type: ignore[arg-type]
    with exactly(IndexError, "[Sequential] expected an index from -1 to 1; received 2."):
        row.insert(2, nn.ReLU())
    with exactly(IndexError, "[Sequential] expected an index from -1 to 0; received 1."):
        del row[1]
    assert len(row) == 1


@pytest.mark.parametrize("row", [nn.Sequential(nn.ReLU()), nn.ModuleList([nn.ReLU()])], ids=["Sequential", "ModuleList"])
def test_a_container_takes_all_modules_or_none(row: Any) -> None:
    for wrong, received in ((3, "int"), (nn.ReLU, "type")):
        with exactly(TypeError, f"[{type(row).__name__}] expected submodule '2' as a Module or None; received {received}."):
            row.extend([nn.Tanh(), wrong])
        assert len(row) == 1
    assert len(row.extend(row).extend(iter([nn.Tanh()]))) == 3


@pytest.mark.parametrize(("make", "text"), [
    (lambda: nn.BatchNorm2d(1, eps=-1.0), "[BatchNorm2d] expected eps as a number of at least 0; received -1.0."),
    (lambda: nn.BatchNorm1d(1, momentum=1.5), "[BatchNorm1d] expected momentum as a number from 0 to 1; received 1.5."),
    (lambda: nn.ReLU().train("eval"), "[train] expected mode as True or False; received 'eval'."),
    (
        lambda: nn.MaxPool2d(2, padding=1, dilation=3)(nc.ones(1, 1, 2, 5)),
        "[max_pool2d] expected windows that each see an element of the input; "
        "received kernel (2, 2), padding (1, 1) and dilation (3, 3) on (2, 5); lower padding or dilation.",
    ),
])  # fmt: skip
def test_nonsense_is_refused(make: Any, text: str) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        make()
    assert str(error.value) == text


@pytest.mark.parametrize(("make", "op", "names"), [
    (partial(nn.Conv2d, 1, 1, 3), "Conv2d", ["bias"]),
    (partial(nn.LazyConv2d, 1, 3), "LazyConv2d", ["bias"]),
    (partial(nn.Linear, 1, 1), "Linear", ["bias"]),
    (partial(nn.LazyLinear, 1), "LazyLinear", ["bias"]),
    (nn.LazyBatchNorm2d, "LazyBatchNorm2d", ["affine", "track_running_stats", "bias"]),
    (partial(nn.BatchNorm2d, 1), "BatchNorm2d", ["affine", "track_running_stats", "bias"]),
    (partial(nn.MaxPool2d, 2), "MaxPool2d", ["ceil_mode"]),
    (partial(nn.AvgPool2d, 2), "AvgPool2d", ["ceil_mode", "count_include_pad"]),
    (nn.ReLU, "ReLU", ["inplace"]),
    (nn.Dropout, "Dropout", ["inplace"]),
    (partial(nn.functional.max_pool2d, nc.ones(1, 1, 4, 4), 2), "max_pool2d", ["ceil_mode"]),
    (partial(nn.functional.avg_pool2d, nc.ones(1, 1, 4, 4), 2), "avg_pool2d", ["ceil_mode", "count_include_pad"]),
    (partial(nn.functional.dropout, nc.ones(2)), "dropout", ["training"]),
    (partial(nn.functional.batch_norm, nc.ones(2, 1), None, None), "batch_norm", ["training"]),
    (partial(nn.Module().register_buffer, "b", nc.ones(1)), "register_buffer", ["persistent"]),
    (nn.Module().zero_grad, "zero_grad", ["set_to_none"]),
    (nc.optim.SGD([nc.zeros(1)], 0.1).zero_grad, "zero_grad", ["set_to_none"]),
    (nn.Module().requires_grad_, "requires_grad_", ["requires_grad"]),
    (partial(nn.Module().load_state_dict, {}), "load_state_dict", ["strict"]),
    (nn.Module().named_parameters, "named_parameters", ["recurse"]),
    (nn.Module().named_buffers, "named_buffers", ["recurse"]),
    (partial(nc.data.DataLoader, (np.zeros((2, 1)), np.zeros(2))), "DataLoader", ["shuffle", "drop_last"]),
])  # fmt: skip
def test_a_word_is_no_flag(make: Any, op: str, names: list[str]) -> None:
    for name in names:
        with exactly(TypeError, f"[{op}] expected {name} as True or False; received 'no'."):
            make(**{name: "no"})
        make(**{name: np.True_})


def test_batch_norm_judges_what_it_divides_and_shares_by() -> None:
    x, ones = nc.ones(3, 2), nc.ones(2)
    for eps in (-1.0, float("nan"), None):
        with exactly(ValueError, f"[batch_norm] expected eps as a number of at least 0; received {eps!r}."):
            nn.functional.batch_norm(x, None, None, training=True, eps=eps)  # type: ignore[arg-type]
    for momentum in (1.5, float("nan")):
        with exactly(ValueError, f"[batch_norm] expected momentum as a number from 0 to 1; received {momentum!r}."):
            nn.functional.batch_norm(x, ones, ones, training=True, momentum=momentum)
    assert ones.tolist() == [1, 1]


# -- layers and models -------------------------------------------------------------------------------------------------
def test_dropout() -> None:
    nc.manual_seed(0)
    layer, x = nn.Dropout(0.25), nc.ones(100, 100)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)} and abs((y == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())


@pytest.mark.parametrize(("counter", "key", "wanted"), [  # the known answers of Random123, which comes with the paper
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((WORD, WORD, WORD, WORD), (WORD, WORD), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
])  # fmt: skip
def test_philox(counter: tuple[int, ...], key: tuple[int, int], wanted: tuple[int, ...]) -> None:
    assert philox(counter, key) == wanted


@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (5, 6), (2, 3, 5), (2, 3, 4, 5), (3, 5000)], ids=str)
@pytest.mark.parametrize("p", [0.25, 1.0])
def test_dropout_draws_from_a_counter(shape: tuple[int, ...], p: float) -> None:
    x = nc.randn(*shape, requires_grad=True)
    nc.manual_seed(3)
    key = nc.random.key()
    nc.manual_seed(3)
    y = nn.functional.dropout(x, p)
    np.testing.assert_array_equal(y.detach().numpy(), dropped(x.detach().numpy(), key, p))
    grad = nc.randn(*shape)
    y.backward(grad)
    np.testing.assert_array_equal(x.grad.numpy(), dropped(grad.numpy(), key, p))
    assert nc.random.key().tolist() != key.tolist()  # the next call draws others


def test_dropout_drops_by_place_and_keeps_what_is_not_finite() -> None:
    x = nc.randn(4, 6, 5, 5)
    nc.manual_seed(0)
    y = nn.functional.dropout(x)
    nc.manual_seed(0)
    np.testing.assert_array_equal(nn.functional.dropout(x.permute(0, 2, 3, 1).clone().permute(0, 3, 1, 2)).numpy(), y.numpy())
    infinite = nn.functional.dropout(nc.full((100,), float("inf"))).numpy()
    assert np.isnan(infinite).any() and np.isinf(infinite).any()  # as inf * 0 and inf * 2 are
    with pytest.raises(nc.DTypeError, match="floating-point"):
        nn.functional.dropout(nc.arange(4), 0.5)


def test_models() -> None:
    for name, make in nc.models.registry.items():
        assert nc.models.get(name) is make
        if name not in ("vgg11", "vgg11-bn"):  # half a gigabyte each; test_models.py has them
            assert make(classes=3, in_channels=2)(nc.rand(2, 2, 28, 28)).shape == (2, 3)
    assert set(nc.models.shapes) == set(nc.models.sides) == set(nc.models.registry)
    assert sum(p.numel() for p in nc.models.lenet().parameters()) == 61706
    modern = repr(nc.models.lenet_modern())
    assert modern.count("ReLU()") == 4 and modern.count("MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)") == 2


def _torch_lenet(torch: Any, modern: bool) -> Any:
    t = torch.nn
    act, pool = (t.ReLU, t.MaxPool2d) if modern else (t.Sigmoid, t.AvgPool2d)
    convolutions = [t.Conv2d(1, 6, 5, padding=2), act(), pool(2, 2), t.Conv2d(6, 16, 5), act(), pool(2, 2), t.Flatten()]
    return t.Sequential(*convolutions, t.Linear(400, 120), act(), t.Linear(120, 84), act(), t.Linear(84, 10))


@pytest.mark.parametrize("name", ["lenet", "lenet-modern"])
def test_lenet_equals_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    theirs, ours = _torch_lenet(torch, name == "lenet-modern"), nc.models.get(name)()
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((4, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 4)
    y, their_y = ours(nc.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(y.detach().numpy(), their_y.detach().numpy(), atol=1e-5)
    nn.CrossEntropyLoss(label_smoothing=0.1)(y, nc.tensor(labels)).backward()
    torch.nn.CrossEntropyLoss(label_smoothing=0.1)(their_y, torch.tensor(labels)).backward()
    for (key, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), atol=1e-5, err_msg=key)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_equal_pytorch(reduction: str) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((6, 4)).astype(np.float32), rng.integers(0, 4, 6)
    target = rng.random((6, 4)).astype(np.float32)
    cases = [
        ("CrossEntropyLoss", labels, {}),
        ("CrossEntropyLoss", labels, {"label_smoothing": 0.2}),
        ("NLLLoss", labels, {}),
        ("MSELoss", target, {}),
        ("BCEWithLogitsLoss", target, {}),
    ]
    for name, wanted, options in cases:
        x, their_x = nc.tensor(scores, requires_grad=True), torch.tensor(scores, requires_grad=True)
        loss = getattr(nn, name)(reduction=reduction, **options)(x, nc.tensor(wanted))
        their_loss = getattr(torch.nn, name)(reduction=reduction, **options)(their_x, torch.tensor(wanted))
        np.testing.assert_allclose(loss.detach().numpy(), their_loss.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
        (loss * 2).sum().backward()
        (their_loss * 2).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), their_x.grad.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("size", [1e20, 3e38])
def test_batch_norm_of_numbers_whose_squares_are_infinite(size: float) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (4, 2, 8, 8)).astype(np.float32)
    x[:, 0] *= size
    tensor = nc.from_array(x, requires_grad=True)
    y = nn.BatchNorm2d(2, eps=0.0)(tensor)
    np.testing.assert_allclose(y.detach().numpy().std((0, 2, 3)), 1, rtol=1e-5)
    if size > 1e30:  # its gradient is no number that float32 has
        return
    grad = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    y.backward(nc.from_array(grad))
    z = y.detach().numpy().astype(np.float64)
    sums = [a.sum((0, 2, 3), keepdims=True) / (x.size / 2) for a in (grad.astype(np.float64), grad * z)]
    spread = x.astype(np.float64).std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(tensor.grad.numpy() * spread, grad - sums[0] - z * sums[1], atol=1e-4)


def test_variance_is_not_negative_however_its_sums_are_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = nc.backends.get("cpu")

    def sums(kernel: Any, arrays: Any, center: np.ndarray) -> np.ndarray:
        center[...] = 3.0
        return np.array([[2.0], [1.9999999]])

    monkeypatch.setattr(cpu, "_channel_sums", sums)
    _, mean, invstd = cpu.batch_norm_forward(np.full((2, 1), 3.0), None, None, None, None, True, 0.1, 0.25)
    assert mean.tolist() == [4.0] and invstd.tolist() == [2.0]


def test_batch_norm_gradients_far_from_zero() -> None:
    """The mean is 10,000 deviations, and is no float32: sums around its float32 would be off by it."""
    draw = np.random.default_rng(0)
    x = (draw.standard_normal((64, 3)) * 0.5 + 5000).astype(np.float32)
    grad = (draw.standard_normal(x.shape) + 10).astype(np.float32)
    layer, leaf = nn.BatchNorm1d(3), nc.tensor(x, requires_grad=True)
    layer(leaf).backward(nc.tensor(grad))
    wide, g = x.astype(np.float64), grad.astype(np.float64)
    invstd = 1 / np.sqrt(wide.var(0) + 1e-5)
    z = (wide - wide.mean(0)) * invstd
    np.testing.assert_allclose(layer.weight.grad.numpy(), (g * z).sum(0), rtol=1e-4)
    np.testing.assert_allclose(leaf.grad.numpy(), invstd * (g - g.mean(0) - z * (g * z).mean(0)), atol=1e-3)


def test_batch_norm_takes_an_infinite_gradient_without_a_warning() -> None:
    x = nc.zeros(2, 1, 3, 3, requires_grad=True)
    grad = np.zeros((2, 1, 3, 3), np.float32)
    grad[0, 0, 1, 1] = np.inf
    nn.BatchNorm2d(1)(x).backward(nc.from_array(grad))
    assert np.isnan(x.grad.numpy()).any()


# -- families ----------------------------------------------------------------------------------------------------------------
def test_initialisers_give_what_they_say() -> None:
    nc.manual_seed(0)
    w = nn.init.trunc_normal_(nc.zeros(200, 100), 1.0, 2.0, -1.0, 4.0).numpy()
    assert w.min() >= -1 and w.max() <= 4
    wanted = stats.truncnorm(-1, 1.5, 1, 2)
    np.testing.assert_allclose([w.mean(), w.std()], [wanted.mean(), wanted.std()], atol=0.03)
    for shape in ((4, 7), (7, 4), (6, 2, 3, 3)):
        m = nn.init.orthogonal_(nc.zeros(*shape), 2.0).numpy().reshape(shape[0], -1)
        small = m @ m.T if shape[0] <= m.shape[1] else m.T @ m
        np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-5)
    np.testing.assert_array_equal(nn.init.eye_(nc.ones(2, 3)), np.eye(2, 3))
    s = nn.init.sparse_(nc.ones(10, 300), 0.25, 0.5).numpy()
    assert ((s == 0).sum(0) == 3).all() and s[s != 0].std() == pytest.approx(0.5, abs=0.02)
    x = nc.randn(2, 4, 5, 5)
    y = F.conv2d(x, nn.init.dirac_(nc.ones(6, 2, 3, 3), 2), padding=1, groups=2)
    np.testing.assert_array_equal(y[:, [0, 1, 3, 4]], x)
    assert (y[:, [2, 5]] == 0).all()


@pytest.mark.parametrize(("kind", "make", "text"), [
    (ValueError, lambda: nn.init.trunc_normal_(W2, a=1.0, b=1.0), "[trunc_normal_] expected bounds a < b; received a = 1.0 and b = 1.0."),
    (nc.ShapeError, lambda: nn.init.eye_(nc.ones(2)), "[eye_] expected a matrix; received shape (2,)."),
    (ValueError, lambda: nn.init.sparse_(W2, 2.0), "[sparse_] expected sparsity as a number from 0 to 1; received 2.0."),
    (nc.ShapeError, lambda: nn.init.dirac_(W2), "[dirac_] expected a weight (out, in, ...) of three to five axes; received shape (2, 3)."),
    (nc.ShapeError, lambda: F.prelu(W2, nc.ones(2)), "[prelu] expected one slope, or 3 for input (2, 3); received weight (2,)."),
    (nc.ShapeError, lambda: F.glu(W2), "[glu] expected an even size along dim; received shape (2, 3)."),
    (ValueError, lambda: F.softshrink(W2, -1.0), "[softshrink] expected lambd as a number of at least 0; received -1.0."),
    (ValueError, lambda: F.rrelu(W2, 1.0, 0.5), "[rrelu] expected lower of at most upper; received 1.0 and 0.5."),
    (ValueError, lambda: nn.RReLU(1.0, 0.5), "[RReLU] expected lower of at most upper; received 1.0 and 0.5."),
    (ValueError, lambda: nn.Hardtanh(1.0, 0.5), "[Hardtanh] expected min_val of at most max_val; received 1.0 and 0.5."),
    (ValueError, lambda: F.hardtanh(W2, 1.0, 0.5), "[hardtanh] expected min_val of at most max_val; received 1.0 and 0.5."),
    (ValueError, lambda: nn.CELU(0.0), "[CELU] expected alpha as a number above 0; received 0.0."),
    (ValueError, lambda: F.celu(W2, -1.0), "[celu] expected alpha as a number above 0; received -1.0."),
    (ValueError, lambda: nn.Softshrink(-1.0), "[Softshrink] expected lambd as a number of at least 0; received -1.0."),
    (
        TypeError,
        lambda: nn.utils.parameters_to_vector({"w": W2}),
        "[parameters_to_vector] expected parameters that are Tensors; received str.",
    ),
    (
        TypeError,
        lambda: nn.utils.vector_to_parameters(nc.ones(6), {"w": W2}),
        "[vector_to_parameters] expected parameters that are Tensors; received str.",
    ),
    (ValueError, lambda: nn.LeakyReLU("x"), "[LeakyReLU] expected negative_slope as a number that is finite; received 'x'."),
    (
        nc.ShapeError,
        lambda: F.cross_entropy(W2, nc.tensor([0, 1]), nc.ones(2)),
        "[cross_entropy] expected weight (3,), one for each class; received weight (2,).",
    ),
    (
        ValueError,
        lambda: F.cross_entropy(W2, nc.tensor([0, 255]), ignore_index=-1),
        "[cross_entropy] expected labels between 0 and 2; received labels between 0 and 255.",
    ),
    (ValueError, lambda: F.one_hot(nc.tensor([3]), 3), "[one_hot] expected labels between 0 and 2; received labels between 3 and 3."),
    (ValueError, lambda: F.pairwise_distance(W2, W2, math.nan), "[norm] expected p as a number, or 'fro'; received nan."),
    (
        nc.ShapeError,
        lambda: nn.Dropout2d()(W2[0]),
        "[Dropout2d] expected input of 3 or 4 axes: channels, and a batch before them; received input (3,).",
    ),
    (
        nc.ShapeError,
        lambda: nn.Unflatten(1, (2, 2))(W2),
        "[Unflatten] expected sizes that make 3, which axis 1 of (2, 3) has; received (2, 2).",
    ),
    (KeyError, lambda: nn.ModuleDict({"a": nn.ReLU()})["b"], "[ModuleDict] expected one of a; received 'b'."),
    (
        AttributeError,
        lambda: nn.Sequential(nn.ReLU()).get_submodule("0.1"),
        "[get_submodule] expected the name of a module in Sequential; received '0.1'.",
    ),
    (
        nc.ShapeError,
        lambda: nn.utils.vector_to_parameters(nc.ones(5), [W2]),
        "[vector_to_parameters] expected a vector (6,); received shape (5,).",
    ),
])  # fmt: skip
def test_errors_of_the_families(kind: type[Exception], make: Callable[[], Any], text: str) -> None:
    with pytest.raises(kind) as error:
        make()
    assert error.value.args[0] == text


W2 = nc.ones(2, 3)


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "dropout3d"])
def test_dropout_takes_inplace_and_leaves_its_input_alone(name: str) -> None:
    x = nc.ones(2, 3, 4, 5, 6)[(0,) * (3 - int(name[7:-1] or 3))]
    assert getattr(nn.functional, name)(x, 0.99, True, True) is not x and (x == 1).all()


def test_dropout_of_channels() -> None:
    nc.manual_seed(0)
    for axes, kind in ((1, nn.Dropout1d), (2, nn.Dropout2d), (3, nn.Dropout3d)):
        layer = kind(0.25)
        for shape in ((20, 30), (30,)):
            x = nc.ones(*shape, *[2] * axes)
            y = layer(x).numpy().reshape(-1, 2**axes)
            assert (y == y[:, :1]).all() and set(np.unique(y)) <= {0, np.float32(1 / 0.75)}
            assert 0 < (y == 0).mean() < 0.5
            assert layer.eval()(x) is x
            layer.train()


def test_dropout_of_channels_behind_a_flatten() -> None:
    """(N, C) of many an old network, PyTorch's own example for MNIST among them: each element is a channel of its own."""
    nc.manual_seed(0)
    for layer in (nn.Dropout2d(0.25), nn.Dropout3d(0.25)):
        y = layer(nc.ones(20, 30)).numpy()
        assert set(np.unique(y)) == {0, np.float32(1 / 0.75)} and 0.1 < (y == 0).mean() < 0.4
        assert layer.eval()(nc.ones(20, 30)).min() == 1


def test_containers_by_name_and_of_parameters() -> None:
    layers = nn.ModuleDict([("a", nn.Linear(2, 3))])
    layers["b"] = nn.ReLU()
    layers.update({"c": nn.Tanh()})
    assert list(layers) == ["a", "b", "c"] and "b" in layers and len(layers) == 3 and isinstance(layers.pop("b"), nn.ReLU)
    assert [name for name, _ in layers.named_parameters()] == ["a.weight", "a.bias"] and list(layers.values())[1] is layers["c"]
    with pytest.raises(TypeError):
        nn.ModuleDict({"a": 3})  # type: ignore[dict-item]
    scales = nn.ParameterDict({"x": nc.ones(1), "y": nn.Parameter(nc.zeros(2))})
    assert [(name, p.requires_grad) for name, p in scales.items()] == [("x", True), ("y", True)]
    listed = nn.ParameterList([nc.ones(1)]).append(nc.zeros(2))
    listed[-1] = nc.full((2,), 3.0)
    assert [p.tolist() for p in listed] == [[1.0], [3.0, 3.0]] and list(listed.state_dict()) == ["0", "1"]


def test_a_hook_before_forward() -> None:
    """What it returns replaces the arguments; a layer that has one is not fused; taken away it is gone."""
    net, seen = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []
    with nc.no_grad():
        net[0].weight.copy_(nc.eye(2)), net[0].bias.zero_()
    handle = net[1].register_forward_pre_hook(lambda module, args: seen.append(args[0].tolist()))
    twice = net[1].register_forward_pre_hook(lambda module, args: args[0] * 2)
    assert net(nc.tensor([-1.0, 1.0])).tolist() == [0.0, 2.0] and seen == [[-1.0, 1.0]]
    handle.remove()
    twice.remove()
    assert net(nc.tensor([-1.0, 1.0])).tolist() == [0.0, 1.0] and len(seen) == 1


def test_gradients_are_clipped() -> None:
    for norm_type, wanted in ((2.0, 5.0), (1.0, 7.0), (math.inf, 4.0), (3.0, 91 ** (1 / 3))):
        a, b = nc.zeros(1, requires_grad=True), nc.zeros(1, requires_grad=True)
        a.grad, b.grad = nc.tensor([-3.0]), nc.tensor([4.0])
        assert nn.utils.clip_grad_norm_([a, b, nc.zeros(1)], 0.5, norm_type).item() == pytest.approx(wanted, rel=1e-6)
        np.testing.assert_allclose([a.grad.item(), b.grad.item()], np.array([-3, 4]) * 0.5 / wanted, rtol=1e-5)
    nn.utils.clip_grad_value_(a, 0.1)
    assert a.grad.item() == pytest.approx(-0.1) and nn.utils.clip_grad_norm_([], 1.0).item() == 0
    layer = nn.Linear(3, 2)
    nn.utils.vector_to_parameters(nc.arange(8).float(), layer.parameters())
    assert nn.utils.parameters_to_vector(layer.parameters()).tolist() == list(range(8)) and layer.bias.tolist() == [6, 7]


def test_weights_of_a_loss_are_part_of_its_state() -> None:
    loss = nn.CrossEntropyLoss(nc.ones(3)).to(nc.float64)
    assert loss.weight is not None and loss.weight.dtype == nc.float64 and list(loss.state_dict()) == ["weight"]
    nc.manual_seed(0)
    y = nn.RReLU(0.2, 0.4)(-nc.ones(1000)).numpy()
    assert -0.4 <= y.min() < -0.39 and -0.21 < y.max() <= -0.2
