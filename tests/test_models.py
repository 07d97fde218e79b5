"""The table of networks; ResNet-18 and VGG-11 beside the same nets in PyTorch: names, shapes, initial values, outputs, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import nn

TORCH = "needs PyTorch: pip install torch==2.13.0"


def torch_resnet18(torch: Any, classes: int, in_channels: int, stem: str) -> Any:
    """As torchvision writes it, with the small stem as an option."""
    t = torch.nn

    class BasicBlock(t.Module):
        def __init__(self, inputs: int, planes: int, stride: int) -> None:
            super().__init__()
            self.conv1 = t.Conv2d(inputs, planes, 3, stride, 1, bias=False)
            self.bn1 = t.BatchNorm2d(planes)
            self.relu = t.ReLU(inplace=True)
            self.conv2 = t.Conv2d(planes, planes, 3, 1, 1, bias=False)
            self.bn2 = t.BatchNorm2d(planes)
            self.downsample = None
            if stride != 1 or inputs != planes:
                self.downsample = t.Sequential(t.Conv2d(inputs, planes, 1, stride, bias=False), t.BatchNorm2d(planes))

        def forward(self, x: Any) -> Any:
            identity = x if self.downsample is None else self.downsample(x)
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += identity
            return self.relu(out)

    class ResNet(t.Module):
        def __init__(self) -> None:
            super().__init__()
            small = stem == "cifar"
            self.conv1 = t.Conv2d(in_channels, 64, 3, 1, 1, bias=False) if small else t.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
            self.bn1 = t.BatchNorm2d(64)
            self.relu = t.ReLU(inplace=True)
            self.maxpool = t.Identity() if small else t.MaxPool2d(3, 2, 1)
            self.layer1 = t.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
            self.layer2 = t.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
            self.layer3 = t.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
            self.layer4 = t.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
            self.avgpool = t.AdaptiveAvgPool2d((1, 1))
            self.fc = t.Linear(512, classes)

        def forward(self, x: Any) -> Any:
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(torch.flatten(self.avgpool(x), 1))

    return ResNet()


def torch_vgg11(torch: Any, classes: int, in_channels: int, batch_norm: bool, head: str = "cifar") -> Any:
    t = torch.nn

    class VGG(t.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[Any] = []
            inputs = in_channels
            for v in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
                if v == "M":
                    layers.append(t.MaxPool2d(2, 2))
                    continue
                layers += [t.Conv2d(inputs, v, 3, padding=1), *([t.BatchNorm2d(v)] if batch_norm else []), t.ReLU(inplace=True)]
                inputs = v
            self.features = t.Sequential(*layers)
            self.avgpool = t.AdaptiveAvgPool2d((7, 7) if head == "imagenet" else 1)
            self.classifier = t.Sequential(t.Linear(512, classes))
            if head == "imagenet":
                first = (t.Linear(512 * 7 * 7, 4096), t.ReLU(True), t.Dropout())
                self.classifier = t.Sequential(*first, t.Linear(4096, 4096), t.ReLU(True), t.Dropout(), t.Linear(4096, classes))

        def forward(self, x: Any) -> Any:
            return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    return VGG()


def torch_bottlenecks(torch: Any) -> Any:
    t = torch.nn

    class Bottleneck(t.Module):
        def __init__(self, before: int, channels: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = t.Conv2d(before, channels, 1, bias=False), t.BatchNorm2d(channels)
            self.conv2, self.bn2 = t.Conv2d(channels, channels, 3, stride, 1, bias=False), t.BatchNorm2d(channels)
            self.conv3, self.bn3 = t.Conv2d(channels, 4 * channels, 1, bias=False), t.BatchNorm2d(4 * channels)
            self.downsample = None
            if stride > 1:
                self.downsample = t.Sequential(t.Conv2d(before, 4 * channels, 1, stride, bias=False), t.BatchNorm2d(4 * channels))

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
            return torch.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))

    return t.Sequential(Bottleneck(3, 4, 2), Bottleneck(16, 4, 1), t.AdaptiveAvgPool2d(1), t.Flatten())


def bottlenecks() -> nn.Module:
    kind = nc.models.resnet.Bottleneck
    return nn.Sequential(kind(3, 4, 2), kind(16, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


NETS = {
    "bottlenecks": (torch_bottlenecks, bottlenecks, 12),
    "resnet18, cifar": (lambda t: torch_resnet18(t, 7, 3, "cifar"), lambda: nc.models.resnet18(7, stem="cifar"), 16),
    "resnet18, imagenet": (lambda t: torch_resnet18(t, 5, 1, "imagenet"), lambda: nc.models.resnet18(5, in_channels=1), 64),
    "vgg11": (lambda t: torch_vgg11(t, 7, 3, False), lambda: nc.models.vgg11(7, head="cifar"), 32),
    "vgg11_bn": (lambda t: torch_vgg11(t, 7, 3, True), lambda: nc.models.vgg11_bn(7, head="cifar"), 32),
}


@pytest.fixture(params=NETS.values(), ids=NETS.keys())
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any, Any, int]:
    """PyTorch, its net, ours with equal weights and statistics, and the side of an image."""
    torch = pytest.importorskip("torch", reason=TORCH)
    torch.manual_seed(0)
    theirs, make, side = request.param[0](torch), request.param[1], request.param[2]
    for name, t in theirs.state_dict().items():  # no statistics or factors that a wrong order would not show
        if name.endswith("running_mean") or ("bn" in name and name.endswith("bias")):
            t.normal_(0, 0.2)
        elif name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            t.uniform_(0.5, 1.5)
    ours = make()
    ours.load_state_dict({name: t.numpy() for name, t in theirs.state_dict().items()})
    return torch, theirs, ours, side


def difference(found: Any, wanted: Any) -> float:
    """The norm of the difference, relative to that of what is wanted, or to 1e-3: a bias before batch normalisation has no gradient."""
    a, b = np.asarray(found, np.float64), wanted.detach().double().numpy()
    assert a.shape == b.shape
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-3))


def compare(torch: Any, theirs: Any, ours: Any, side: int, training: bool) -> None:
    """In float64 outputs, gradients and statistics agree; in float32 outputs are as near to those as twenty times PyTorch's own.

    Gradients are not compared in float32: what a rectifier or a maximum lets pass flips with the last bit of any sum before it, in
    PyTorch too, and one flip moves a gradient by up to some percent.
    """
    import copy

    exact = copy.deepcopy(theirs).double()
    for net in (theirs, exact, ours):
        net.train(training)
    channels = next(iter(theirs.parameters())).shape[1]
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((6, channels, side, side)).astype(np.float32), rng.integers(0, 5, 6)
    single, wanted = copy.deepcopy(ours)(nc.tensor(x)), exact(torch.from_numpy(x).double())
    assert difference(single.detach(), wanted) <= max(1e-5, 20 * difference(theirs(torch.from_numpy(x)).detach().numpy(), wanted))
    torch.nn.functional.cross_entropy(wanted, torch.from_numpy(labels)).backward()
    ours.to(nc.float64)
    y = ours(nc.tensor(x).to(nc.float64))
    nc.nn.functional.cross_entropy(y, nc.tensor(labels)).backward()
    assert difference(y.detach(), wanted) <= 1e-12
    for (name, p), (other, r) in zip(ours.named_parameters(), exact.named_parameters(), strict=True):
        assert name == other
        assert difference(p.grad, r.grad) <= 1e-11, name
    for (name, b), (other, c) in zip(ours.named_buffers(), exact.named_buffers(), strict=True):
        assert name == other
        assert difference(b, c) <= 1e-12, name


def test_training_equals_pytorch(pair: tuple[Any, Any, Any, int]) -> None:
    compare(*pair, training=True)


def test_evaluation_equals_pytorch(pair: tuple[Any, Any, Any, int]) -> None:
    compare(*pair, training=False)


def test_names_and_shapes_are_torchvisions() -> None:
    state = nc.models.resnet18().state_dict()
    assert len(state) == 122
    assert [name for name in state if name.startswith("layer2.0.downsample")] == [
        "layer2.0.downsample.0.weight",
        *(f"layer2.0.downsample.1.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    ]
    assert list(state)[:2] == ["conv1.weight", "bn1.weight"] and list(state)[-2:] == ["fc.weight", "fc.bias"]
    assert state["conv1.weight"].shape == (64, 3, 7, 7) and state["fc.weight"].shape == (1000, 512)
    assert sum(p.numel() for p in nc.models.resnet18().parameters()) == 11_689_512


def test_vgg11_with_the_large_head() -> None:
    """132,868,840 parameters with batch normalisation, as torchvision's; here of one class, on the smallest images."""
    net = nc.models.vgg11_bn(1)
    shapes = {name: p.shape for name, p in net.named_parameters()}
    assert sum(p.numel() for p in net.parameters()) == 132_868_840 - 999 * 4097
    assert shapes["features.0.weight"] == (64, 3, 3, 3) and shapes["features.25.weight"] == (512, 512, 3, 3)
    assert {name: shape for name, shape in shapes.items() if name.startswith("classifier")} == {
        "classifier.0.weight": (4096, 25088),
        "classifier.0.bias": (4096,),
        "classifier.3.weight": (4096, 4096),
        "classifier.3.bias": (4096,),
        "classifier.6.weight": (1, 4096),
        "classifier.6.bias": (1,),
    }
    with nc.no_grad():
        assert net.eval()(nc.rand(1, 3, 33, 40)).shape == (1, 1)
    assert abs(float(net.classifier[0].weight.detach().numpy()[:100].std()) / 0.01 - 1) < 0.01


def test_initial_values_are_torchvisions() -> None:
    nc.manual_seed(0)
    for net in (nc.models.resnet18(10, stem="cifar"), nc.models.vgg11_bn(10, head="cifar")):
        for name, module in net.named_modules():
            if isinstance(module, nc.nn.Conv2d):
                std = np.sqrt(2 / (module.out_channels * module.kernel_size[0] * module.kernel_size[1]))
                assert abs(module.weight.detach().numpy().std() / std - 1) < 0.05, name
                assert module.bias is None or not module.bias.detach().numpy().any()
            elif isinstance(module, nc.nn.BatchNorm2d):
                assert (module.weight.detach().numpy() == 1).all() and not module.bias.detach().numpy().any()
    assert np.abs(nc.models.resnet18(10).fc.weight.detach().numpy()).max() <= 1 / np.sqrt(512)


def test_activations_stay_channels_last() -> None:
    """One conversion of the images in each direction, of the first convolution; none behind it."""
    cpu = nc.backends.get("cpu")
    net = nc.models.resnet18(3, stem="cifar")
    x = nc.rand(2, 3, 16, 16)
    before = cpu.conversions
    y = net(x)
    forward = cpu.conversions - before
    nc.nn.functional.cross_entropy(y, nc.tensor([0, 2])).backward()
    assert (forward, cpu.conversions - before - forward) == (1, 1)


@pytest.mark.parametrize("shape", [(2, 16, 40, 40), (1, 3, 2, 2)], ids=str)
def test_residual_additions(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones are one pass of a kernel, the result lies channels-last, and backward hands the gradient itself to both sides."""
    cpu = nc.backends.get("cpu")
    rng, launched, before = np.random.default_rng(0), [], cpu.conversions
    n, c, h, w = shape
    a, b = (rng.standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2) for _ in range(2))
    one_pass = cpu._map
    monkeypatch.setattr(cpu, "_map", lambda kernel, *arrays: launched.append(kernel.__name__) or one_pass(kernel, *arrays))
    y = cpu.binary("add", a, b)
    np.testing.assert_array_equal(y, a + b)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous and cpu.conversions == before
    assert len(launched) == (y.size >= 1 << 15)
    for other in (np.ascontiguousarray(b), b[:, :1], 1.0):  # what lies otherwise is NumPy's
        np.testing.assert_array_equal(cpu.binary("add", a, other), a + other)
    assert len(launched) == (y.size >= 1 << 15)
    op = nc.ops.elementwise.Add()
    op.needs_grad = (True, True)
    op.forward(cpu, a, b)
    assert all(g is y for g in op.backward(cpu, y))


def test_summaries() -> None:
    table = nc.inspect.summary(nc.models.resnet18(10, stem="cifar"), (3, 32, 32))
    assert (table.parameters, table.macs) == (11_173_962, 555_422_720)
    rows = {row.name: row for row in table.rows}
    assert rows["bn1"].field is not None and rows["bn1"].field.size == (3, 3) and rows["bn1"].parameters == 128
    assert rows["layer1.1.conv1"].field is None and rows["avgpool"].output_shape == (1, 512, 1, 1)
    table = nc.inspect.summary(nc.models.vgg11_bn(10, head="cifar"), (3, 32, 32))
    assert table.parameters == 9_231_114 and table.rows[-1].name == "classifier.0"
    fields = nc.inspect.receptive_field(nc.models.vgg11_bn(10, head="cifar").features)
    assert fields[-1][1].size == (150, 150) and fields[-1][1].jump == (32, 32)


def test_state_survives_a_file(tmp_path: Any) -> None:
    net, twin = nc.models.resnet18(3, stem="cifar"), nc.models.resnet18(3, stem="cifar")
    net(nc.rand(4, 3, 8, 8))
    nc.checkpoint.save_weights(tmp_path / "net.safetensors", net.state_dict())
    twin.load_state_dict(nc.checkpoint.load_weights(tmp_path / "net.safetensors"))
    assert twin.bn1.num_batches_tracked.item() == 1
    x = nc.rand(2, 3, 8, 8)
    with nc.no_grad():
        np.testing.assert_array_equal(net.eval()(x).numpy(), twin.eval()(x).numpy())


def logits(name: str, height: int, width: int, channels: int = 3) -> tuple[int, ...]:
    """The shape of what the network of this name makes of two pictures."""
    net = nc.models.get(name)(**nc.models.arguments(name, 4, (channels, height, width)))
    with nc.no_grad():
        return net.eval()(nc.rand(2, channels, height, width)).shape


@pytest.mark.parametrize("name", nc.models.registry)
def test_the_sizes_that_a_network_takes(name: str) -> None:
    """The table holds what the networks do, and ``check_input`` what the table holds."""
    least, most = nc.models.sides[name]
    assert logits(name, least, least) == logits(name, most or 45, least) == (2, 4)
    assert nc.models.shapes[name][1] >= least
    args = nc.models.arguments(name, 4, (1, least, least))
    for side in [least - 1] * (least > 1) + ([] if most is None else [most + 1]):
        with nc.no_grad(), pytest.raises(nc.errors.ShapeError):
            nc.models.get(name)(**args)(nc.rand(2, 1, least, side))
        sizes = f"at least {least} x {least}" if most is None else f"{least} x {least} to {most} x {most}"
        text = f"[{name}] expected pictures of {sizes} pixels; received {least} x {side}; take size {least}."
        for judge in (nc.models.check_input, lambda n, shape: nc.models.arguments(n, 4, shape)):
            with pytest.raises(nc.errors.ShapeError) as caught:
                judge(name.replace("-", "_"), (1, least, side))
            assert str(caught.value) == text


def test_small_pictures_get_the_small_form() -> None:
    assert nc.models.arguments("ResNet18", 4, (3, 63, 80)) == {"classes": 4, "in_channels": 3, "stem": "cifar"}
    assert nc.models.arguments("resnet18", 4, (3, 64, 64)) == {"classes": 4, "in_channels": 3}
    assert nc.models.arguments("vgg11_bn", 4, (1, 64, 64)) == {"classes": 4, "in_channels": 1, "head": "cifar"}
    assert nc.models.arguments("vgg11", 4, (3, 224, 224)) == {"classes": 4, "in_channels": 3}


@pytest.mark.parametrize("spelling", ["vgg11-bn", "vgg11_bn", "VGG11_BN"])
def test_names_have_one_spelling_and_others_are_taken(spelling: str) -> None:
    assert nc.models.get(spelling) is nc.models.vgg11_bn
    assert nc.models.canonical(spelling) == "vgg11-bn"
    assert all(nc.models.canonical(name) == name for name in nc.models.registry)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (40, 40), (33, 50), (256, 256)], ids=str)
def test_small_resnet_takes_any_size(channels: int, size: tuple[int, int]) -> None:
    assert logits("small-resnet", *size, channels) == (2, 4)
    assert sum(p.numel() for p in nc.models.small_resnet(1000, 3).parameters()) < 500_000
