"""An activation applied by the layer before it: the same bits, and only where nobody could tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import launches
import numpy as np
import pytest

import numbacnn as nc
from numbacnn import nn
from numbacnn.backends.cpu import CpuBackend
from numbacnn.backends.cpu.conv import choose
from numbacnn.kernels.cpu.launch import launch
from numbacnn.nn import functional as F


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    nc.config.fuse = True


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The activations that convolutions and linear layers were told to apply, and those that ran alone."""
    seen: list[str] = []

    def watch(name: str) -> None:
        original = getattr(CpuBackend, name)
        monkeypatch.setattr(CpuBackend, name, lambda self, *args, **options: (seen.append(args[-1]), original(self, *args, **options))[1])

    watch("conv_forward")
    watch("linear_forward")
    unary = CpuBackend.unary
    monkeypatch.setattr(CpuBackend, "unary", lambda self, name, x: (seen.append(f"{name} alone"), unary(self, name, x))[1])
    return seen


def net(activation: type[nn.Module]) -> nn.Sequential:
    """A layer for each algorithm: superpixels, Winograd, direct with ragged channels, depthwise, grouped, linear."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        activation(),
        nn.Conv2d(6, 32, 3, stride=2),
        activation(),
        nn.Conv2d(32, 64, 3, padding=1),
        activation(),
        nn.Conv2d(64, 64, 3, groups=64),
        activation(),
        nn.Conv2d(64, 64, 3, groups=16),
        activation(),
        nn.Flatten(),
        nn.Linear(64 * 9 * 9, 21),
        activation(),
        nn.Linear(21, 10),
    )


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.Tanh])
@pytest.mark.parametrize("dtype", [nc.float32, nc.float64])
def test_the_same_bits(activation: type[nn.Module], dtype: Any) -> None:
    found = []
    for fuse in (True, False):
        nc.config.fuse = fuse
        nc.manual_seed(0)
        model = net(activation).to(dtype)
        x = nc.randn(20, 1, 28, 28).to(dtype).requires_grad_()
        loss = F.cross_entropy(model(x), nc.tensor(np.arange(20) % 10))
        loss.backward()
        found.append([loss.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())])
    for fused, apart in zip(*found):
        np.testing.assert_array_equal(fused, apart)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.Tanh])
@pytest.mark.parametrize("dtype", [nc.float32, nc.float64])
def test_few_pixels_give_the_same_bits(activation: type[nn.Module], dtype: Any) -> None:
    """An algorithm that takes no layer of the net above."""
    model = nn.Sequential(nn.Conv2d(64, 48, 3, padding=1), activation()).to(dtype)
    x, found = nc.randn(3, 64, 2, 2).to(dtype), []
    assert choose("forward", model[0].geometry(x.shape), str(dtype)).name == "few pixels"
    for fuse in (True, False):
        nc.config.fuse = fuse
        found.append(model(x).detach().numpy())
    np.testing.assert_array_equal(*found)


POOLS = [(2,), (2, 2), ((3, 1),), ((1, 2),), (3, 2), (2, 2, 1), (2, 3, 0, True), (3, 1, 1, False, False)]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("channels", [1, 6, 35])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.Tanh, None])
def test_a_convolution_averages_to_the_same_bits(pool: tuple[Any, ...], channels: int, activation: Any) -> None:
    """Windows side by side, whose gradient is the activation's too, and others."""
    found = []
    for fuse in (True, False):
        nc.config.fuse = fuse
        nc.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, channels, 3), *([activation()] if activation else []), nn.AvgPool2d(*pool))
        for count in (1, 7, 90):
            x = nc.randn(count, 2, 14, 8).requires_grad_()
            y = model(x)
            (y * nc.randn(*y.shape)).sum().backward()
            found.append([y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())])
            model.zero_grad()
    for fused, apart in zip(found[:3], found[3:]):
        for a, b in zip(fused, apart):
            np.testing.assert_array_equal(a, b)


def test_what_a_convolution_averages(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    backward: list[str] = []
    for name in ("average_backward", "avg_pool_backward", "activation_backward", "channel_sum"):
        original = getattr(CpuBackend, name)
        monkeypatch.setattr(CpuBackend, name, lambda self, *args, name=name, f=original: (backward.append(name), f(self, *args))[1])
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Sigmoid(), nn.AvgPool2d(2))
    for height in (8, 9):  # of 9 rows the last is in no window
        model(nc.randn(3, 1, height, 8)).sum().backward()
        model(nc.randn(1, height, 8)).sum().backward()
    assert backward == ["average_backward"] * 2 + ["average_backward", "avg_pool_backward", "activation_backward"] * 2
    backward.clear()
    nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2))(nc.randn(1, 1, 6, 6)).sum().backward()  # nothing to keep the output for
    assert backward == ["avg_pool_backward", "channel_sum"]
    assert calls == ["sigmoid"] * 4 + ["none"]
    with pytest.raises(ValueError, match=r"^\[avg_pool2d\] expected a padded input of at least the window's extent"):
        model(nc.randn(1, 1, 1, 1))


@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (11, 3, 4, 6), (11, 1, 3, 3), (33, 20, 1, 1), (2, 3, 17, 16), (9, 64, 4, 4), (0, 2, 3, 3)])
@pytest.mark.parametrize("dtype", [nc.float32, nc.float64])
def test_a_linear_layer_flattens_images_to_the_same_bits(shape: tuple[int, ...], dtype: Any) -> None:
    found = []
    for fuse in (True, False):
        nc.config.fuse = fuse
        nc.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape[1:])), 7), nn.Tanh()).to(dtype)
        x = nc.randn(*shape).to(dtype).requires_grad_()
        y = model(x)
        (y * nc.randn(*y.shape).to(dtype)).sum().backward()
        found.append([y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())])
    for fused, apart in zip(*found):
        np.testing.assert_array_equal(fused, apart)


def test_flattening_copies_no_images() -> None:
    cpu = nc.backends.get("cpu")
    copies = []
    for fuse in (True, False):
        nc.config.fuse = fuse
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(48, 4))
        x = nc.Tensor(np.random.default_rng(0).random((11, 6, 6, 2), np.float32).transpose(0, 3, 1, 2))
        before = cpu.conversions
        model(x).sum().backward()
        copies.append(cpu.conversions - before)
    assert copies[0] < copies[1]


def test_flatten_is_called_where_it_does_something_else() -> None:
    cases = [
        (nn.Flatten(0, 1), (2, 3, 4, 5), 5),
        (nn.Flatten(2), (2, 3, 4, 5), 20),
        (nn.Flatten(), (2, 3, 4), 12),
        (nn.Flatten(), (2, 3), 3),
    ]
    for flatten, shape, features in cases:
        layer = nn.Linear(features, 2)
        x = nc.randn(*shape)
        np.testing.assert_array_equal(nn.Sequential(flatten, layer)(x).detach().numpy(), layer(flatten(x)).detach().numpy())
    with pytest.raises(ValueError, match=r"^\[linear\] expected input \(\.\.\., I\) with I = 9 .* received input \(2, 8\)"):
        nn.Sequential(nn.Flatten(), nn.Linear(9, 1))(nc.ones(2, 2, 2, 2))
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    assert lazy(nc.ones(2, 2, 2, 2)).shape == (2, 3) and lazy[1].in_features == 8


def test_sequential_fuses(calls: list[str]) -> None:
    net(nn.ReLU)(nc.randn(2, 1, 28, 28))
    assert calls == ["relu"] * 6 + ["none"]


def test_it_can_be_switched_off(calls: list[str]) -> None:
    nc.config.fuse = False
    nn.Sequential(nn.Linear(3, 2), nn.Tanh())(nc.randn(2, 3))
    assert calls == ["none", "tanh alone"]


class Shifted(nn.Sigmoid):
    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return super().forward(x - 1)


class Doubled(nn.Linear):
    def forward(self, x: nc.Tensor) -> nc.Tensor:  # type: ignore[override]
        return 2 * super().forward(x)


@pytest.mark.parametrize("layers", [(nn.Linear(3, 2), Shifted()), (Doubled(3, 2), nn.Sigmoid()), (nn.Flatten(), nn.Sigmoid())])
def test_classes_that_somebody_extended_are_called(layers: tuple[nn.Module, ...], calls: list[str]) -> None:
    x = nc.randn(4, 3)
    found = nn.Sequential(*layers)(x)
    assert calls[-1] == "sigmoid alone"
    np.testing.assert_array_equal(found.detach().numpy(), layers[1](layers[0](x)).detach().numpy())


def test_a_layer_does_the_work_of_its_own_side_only() -> None:
    for first, second, shape in (
        (nn.Sigmoid(), nn.Linear(3, 2), (4, 3)),
        (nn.AvgPool2d(2), nn.Conv2d(1, 2, 3), (2, 1, 8, 8)),
        (nn.Linear(3, 2), nn.Flatten(), (4, 3)),
        (nn.Linear(8, 4), nn.AvgPool2d(2), (2, 3, 6, 8)),
    ):
        x = nc.randn(*shape)
        np.testing.assert_array_equal(nn.Sequential(first, second)(x).detach().numpy(), second(first(x)).detach().numpy())


def test_hooks_see_every_layer(calls: list[str]) -> None:
    for hooked in (0, 1):
        model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        seen: list[Any] = []
        model[hooked].register_forward_hook(lambda module, args, output, seen=seen: seen.append(output))
        model(nc.randn(4, 3))
        assert len(seen) == 1
    assert calls == ["none", "relu alone"] * 2


@pytest.mark.parametrize("register", ["register_full_backward_hook", "register_full_backward_pre_hook"])
def test_backward_hooks_see_every_layer(calls: list[str], register: str) -> None:
    for hooked in (0, 1):
        model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        seen: list[Any] = []
        getattr(model[hooked], register)(lambda module, *gradients, seen=seen: seen.append(gradients[-1][0].shape))
        model(nc.randn(4, 3)).sum().backward()
        assert seen == [(4, 2)]
    assert calls == ["none", "relu alone"] * 2


class Average(nn.Module):
    """A user's layer, whose names mean something else."""

    activation = "relu"

    def average(self) -> tuple[int, ...]:
        raise AssertionError("not asked for")

    def flattens(self, x: nc.Tensor) -> bool:
        raise AssertionError("not asked for")

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        return x + 1


def test_names_of_users_classes_mean_nothing() -> None:
    conv, x = nn.Conv2d(1, 2, 3), nc.randn(2, 1, 5, 5)
    np.testing.assert_array_equal(nn.Sequential(conv, Average())(x).detach().numpy(), conv(x).detach().numpy() + 1)
    linear, x = nn.Linear(4, 2), nc.randn(2, 3, 2, 4)
    np.testing.assert_array_equal(nn.Sequential(Average(), linear)(x).detach().numpy(), linear(x + 1).detach().numpy())


def test_hooks_see_flattening_and_pooling(calls: list[str]) -> None:
    for hooked in range(5):
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3))
        seen: list[Any] = []
        model[hooked].register_forward_hook(lambda module, args, output, seen=seen: seen.append(output.shape))
        model(nc.randn(4, 1, 6, 6))
        assert seen == [[(4, 2, 4, 4), (4, 2, 4, 4), (4, 2, 2, 2), (4, 8), (4, 3)][hooked]]


@pytest.mark.parametrize("index", [2, 3])
def test_extended_flattening_and_pooling_is_called(index: int) -> None:
    layers = [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)]
    kind = type(layers[index])
    seen: list[Any] = []
    extended = type("Extended", (kind,), {"forward": lambda self, x: (seen.append(x.shape), kind.forward(self, x))[1]})
    layers[index].__class__ = extended
    nn.Sequential(*layers)(nc.randn(4, 1, 6, 6))
    assert len(seen) == 1
    layers[index].__class__ = kind
    layers[index].forward = lambda x: (seen.append(x.shape), kind.forward(layers[index], x))[1]  # type: ignore[method-assign]
    nn.Sequential(*layers)(nc.randn(4, 1, 6, 6))
    assert len(seen) == 2


def test_an_instance_that_somebody_patched_is_called() -> None:
    model, seen = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []
    model[1].forward = lambda x: (seen.append(x.shape), x)[1]  # type: ignore[method-assign]
    model(nc.ones(1, 2))
    assert seen == [(1, 2)]


def test_a_hook_that_a_hook_adds_is_called_in_the_same_pass() -> None:
    seen: list[str] = []
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.ReLU())
    model[0].register_forward_hook(lambda *_: model[2].register_forward_hook(lambda *_: seen.append("relu")) and None)
    model(nc.ones(1, 3))
    assert seen == ["relu"]


def test_a_module_that_is_none_is_not_the_end() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU())
    setattr(model, "1", None)
    with pytest.raises(TypeError):
        model(nc.ones(1, 4))


def test_a_lenet_step_is_26_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs some microseconds, whatever it does: most of a step of one image."""
    model = nc.models.get("lenet")()
    optimiser = nc.optim.SGD(model.parameters(), lr=0.1)
    seen: list[str] = []
    launches.through(monkeypatch, lambda driver, *args: (seen.append(driver.__name__), launch(driver, *args)))
    F.cross_entropy(model(nc.randn(4, 1, 28, 28)), nc.tensor([1, 2, 3, 4])).backward()
    optimiser.step()
    assert len(seen) == 26, seen
