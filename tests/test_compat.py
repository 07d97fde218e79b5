"""``torch`` and ``torchvision`` made from the library, what runs with them, and what is said to be missing."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import io
import itertools
import pickle
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mirror import serving
from unadapted import unadapted

import numbacnn as nc
from numbacnn import cli, nn
from numbacnn.compat import adapt
from numbacnn.compat.check import check, everywhere
from numbacnn.compat.modules import Missing, find, mirror
from numbacnn.compat.table import ABSENT, DIFFERENT, LEFT_OUT, METHODS, MODULES, RENAMED
from numbacnn.tensor import text


@pytest.fixture(autouse=True, scope="module")
def adapted() -> Iterator[None]:
    with unadapted():
        adapt.adapt()
        yield


@pytest.mark.parametrize("module", MODULES)
def test_every_name_that_a_module_lists_is_there(module: str) -> None:
    for name in dir(mirror(module)):
        getattr(mirror(module), name)


def test_tables_name_what_is_there() -> None:
    for old, new in RENAMED.items():
        assert find(old) is find(new)
    for name in DIFFERENT:
        assert name == "torch.nn.init.kaiming_normal" or find(name)
    here = [name for name in LEFT_OUT if name not in MODULES and name not in ("torch.onnx", "torch.distributed")]
    for name in here:
        with pytest.raises(Missing):
            find(name)
    assert METHODS.isdisjoint(everywhere()) and {"is_complex", "resize_"} <= everywhere()


MISSING = {
    "torch.nn.Conv2D": "the nearest is torch.nn.Conv2d.",
    "torch.sparse": "left out for good: tensors are dense.",
    "torch.nn.FractionalMaxPool2d": "numbacnn check lists all that a script misses.",
    "torch.optim.SGD.foo": "numbacnn check lists all that a script misses.",
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_name_says_what_is_nearest(name: str) -> None:
    with pytest.raises(
        Missing, match="^" + re.escape(f"[compat] expected a name that numbacnn has; received {name}; {MISSING[name]}") + "$"
    ):
        find(name)


def test_schedules_of_ones_own_ask_whether_they_are_within_a_step() -> None:
    """As those copied from PyTorch since 1.4 do, to warn."""
    from numbacnn.compat.torch.optim.lr_scheduler import _LRScheduler
    from numbacnn.compat.torch.optim.sgd import SGD

    class Halves(_LRScheduler):  # type: ignore[misc, valid-type]
        def get_lr(self) -> list[float]:
            assert self._get_lr_called_within_step
            return [base / 2**self.last_epoch for base in self.base_lrs]

    optimizer = SGD([nc.zeros(1)], lr=1.0)
    schedule = Halves(optimizer)
    schedule.step()
    assert schedule._last_lr == schedule.get_last_lr() == [0.5] and "_last_lr" not in schedule.state_dict()
    schedule.load_state_dict(schedule.state_dict())
    plateau, chain = nc.optim.ReduceLROnPlateau(optimizer), nc.optim.ChainedScheduler([schedule])
    assert schedule._last_lr == plateau._last_lr == chain._last_lr == [0.5] and not hasattr(chain, "base_lrs")
    sequence = nc.optim.SequentialLR(optimizer, [Halves(optimizer), Halves(optimizer)], [1])
    sequence.step()
    optimizer.param_groups[0]["lr"] = 3.0
    assert sequence._last_lr == [1.0]


def test_a_missing_class_may_be_named() -> None:
    """As in ``isinstance``, and in tables of optimisers; making one of it fails."""
    import numbacnn.compat.torch as torch

    assert not isinstance(nn.Linear(1, 1), (torch.nn.GroupNorm, torch.nn.modules.conv.ConvTranspose2d))
    for module, names in ABSENT.items():
        for name in names.split():
            kind = getattr(mirror(module), name)
            with pytest.raises(Missing, match=rf"^\[compat\] expected a name that numbacnn has; received {module}\.{name}; "):
                kind(2, lr=0.1)
            with pytest.raises(Missing):
                find(f"{module}.{name}")
            assert name not in dir(mirror(module)) and name in mirror(module).__all__
            assert pickle.loads(pickle.dumps(kind)) is kind

    class Own(torch.nn.GroupNorm):  # type: ignore[misc]
        def __init__(self) -> None:
            nn.Module.__init__(self)

    for wrong in (Own, lambda: torch.nn.Embedding.from_pretrained(nc.ones(2, 2))):
        with pytest.raises(Missing, match=r"received torch\.nn\.(GroupNorm|Embedding\.from_pretrained);"):
            wrong()


def test_a_missing_name_is_an_attribute_error_and_an_import_error() -> None:
    import numbacnn.compat.torch as torch

    assert not hasattr(torch, "hpu") and hasattr(torch.nn, "Conv2d")
    with pytest.raises(ImportError, match=r"received torch\.nn\.Conv2D; the nearest is torch\.nn\.Conv2d"):
        from numbacnn.compat.torch.nn import Conv2D  # noqa: F401
    with pytest.raises(ImportError, match=r"received torch\.quantum"):
        import numbacnn.compat.torch.quantum  # noqa: F401
    with pytest.raises(AttributeError, match=r"received torch\.Tensor\.histc;"):
        nc.ones(2).histc
    with pytest.raises(AttributeError, match=r"received torch\.nn\.Module\.half; the library computes in float32 and float64"):
        nn.Linear(1, 1).half
    with pytest.raises(AttributeError, match=r"received torch\.nn\.Module\.share_memory;"):
        nn.Linear(1, 1).share_memory
    for name in ("shape", "mode"):
        with pytest.raises(AttributeError, match=rf"^'Linear' object has no attribute '{name}'$"):
            getattr(nn.Linear(1, 1), name)


@pytest.mark.parametrize(
    ("module", "names", "others"),
    [
        ("torch", ("nn", "sigmoid", "float32", "device"), ("say_once", "OurTensor")),
        ("torch.utils.data", ("Dataset", "random_split", "get_worker_info"), ("Compose", "digits", "length")),
        ("torchvision.transforms", ("Compose", "ToTensor"), ()),
        ("torchvision.datasets.folder", ("IMG_EXTENSIONS", "make_dataset"), ()),
    ],
)
def test_all_names_of_a_module_are_imported(module: str, names: tuple[str, ...], others: tuple[str, ...]) -> None:
    """By ``from torch.nn import *``: what the module offers, and none of what it is made with."""
    space: dict[str, object] = {}
    exec(f"from numbacnn.compat.{module} import *", space)
    assert {*names} <= {*space} and not {*others} & {*space}


def test_switches_of_backends() -> None:
    import numbacnn.compat.torch as torch

    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    with pytest.raises(AttributeError, match=r"torch\.backends\.cudnn\.bench;"):
        torch.backends.cudnn.bench = True
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.mps.is_available()
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("high")
    with pytest.raises(
        ValueError, match=r"^\[set_default_dtype\] expected one of float32; received float64; the library does nothing else"
    ):
        torch.set_default_dtype(torch.float64)
    torch.set_default_tensor_type("torch.FloatTensor")
    for kind in (torch.cuda.FloatTensor, "torch.cuda.FloatTensor"):
        with pytest.raises(ValueError, match=r"expected one of <class 'torch.FloatTensor'>; received <class 'torch.cuda.FloatTensor'>"):
            torch.set_default_tensor_type(kind)
    torch.set_default_device("cpu")
    with pytest.raises(ValueError, match=r"^\[set_default_device\] expected 'cpu'; received 'cuda'; pass device="):
        torch.set_default_device("cuda")
    assert not torch.xpu.is_available() and not torch.distributed.is_available() and not torch.distributed.is_initialized()
    with pytest.raises(AttributeError, match=r"received torch\.distributed\.init_process_group; the library runs on one device"):
        torch.distributed.init_process_group("nccl")
    with pytest.raises(AttributeError, match=r"received torch\.onnx\.export; left out"):
        torch.onnx.export
    with pytest.warns(UserWarning, match="backward does not look for NaN here"), torch.autograd.set_detect_anomaly(True):
        pass
    with warnings.catch_warnings(), torch.autograd.detect_anomaly(False):
        warnings.simplefilter("error")
        torch.autograd.set_detect_anomaly(False)


def test_devices_are_strings_with_a_type() -> None:
    import numbacnn.compat.torch as torch

    assert [(str(d), d.type, d.index) for d in map(torch.device, ("cpu", "cuda:0", 1))] == [
        ("cpu", "cpu", None), ("cuda", "cuda", 0), ("cuda", "cuda", 1)]  # fmt: skip
    assert (
        repr(torch.device(type="cuda", index=0)) == repr(torch.device("cuda", 0)) == "device(type='cuda', index=0)"
        and torch.device("cpu") == nc.ones(1).device
    )
    x = torch.randn(2).to(torch.device("cpu"), non_blocking=True).contiguous(memory_format=torch.channels_last)
    assert torch.randn(2).is_contiguous(memory_format=torch.contiguous_format)
    assert x.device.type == "cpu" and isinstance(x.device, torch.device) and isinstance(nc.ones(1).device, str)
    assert torch.zeros(2, device="cpu:0", layout=torch.strided).device == torch.tensor([1], device="cpu:0", pin_memory=True).device == "cpu"
    assert x.to("cpu", torch.float64, True).dtype == torch.float64 and x.to("cpu") is x and x.to(torch.float32, copy=True) is not x
    if not nc.cuda.is_available():
        for place in (lambda: torch.zeros(2, device="cuda:0"), lambda: torch.ones_like(x, device=0), lambda: x.to(0)):
            with pytest.raises(nc.DeviceError, match="expected a CUDA device; received none"):
                place()
    assert nn.Linear(2, 2).to("cpu", memory_format=torch.channels_last).weight.device == "cpu"
    with pytest.raises(nc.DeviceError):
        torch.device("abacus")


def test_constructors_of_old() -> None:
    import numbacnn.compat.torch as torch

    assert torch.Tensor(2, 3).shape == (2, 3) and torch.Tensor().shape == (0,) and torch.FloatTensor(torch.Size((4,))).shape == (4,)
    assert torch.Tensor([1, 2]).dtype == nc.float32 and torch.LongTensor([1.5, 2]).tolist() == [1, 2]
    assert torch.Tensor(np.ones((2, 2), np.int64)).dtype == nc.float32 and torch.ByteTensor(nc.ones(2)).dtype == nc.uint8
    x = torch.DoubleTensor([1])
    assert isinstance(x, torch.Tensor) and isinstance(x, torch.DoubleTensor) and not isinstance(x, torch.FloatTensor)
    assert not isinstance(x, torch.cuda.DoubleTensor) and not isinstance(1.0, torch.Tensor) and issubclass(nn.Parameter, torch.Tensor)
    assert x.type() == "torch.DoubleTensor" and x.type("torch.LongTensor").dtype == x.type(torch.LongTensor).dtype == nc.int64
    assert x.type(torch.float32).dtype == nc.float32
    with pytest.raises(TypeError, match=r"^\[FloatTensor\] expected sizes, or one list, array or tensor; received 2 arguments"):
        torch.FloatTensor([1], [2])


def test_a_shape_is_a_size() -> None:
    """So that ``Tensor(x.size())`` is of that size, and not of its numbers."""
    import numbacnn.compat.torch as torch

    x = nc.ones(2, 3)
    assert isinstance(x.shape, torch.Size) and x.size() == (2, 3) and x.shape.numel() == 6 and str(x.shape) == "torch.Size([2, 3])"
    assert x.shape[1:].numel() == 3 and (x.shape[:1] + (4,)).numel() == 8 and x.shape[1] == 3
    assert ((4,) + x.shape[:1]).numel() == (2 * x.shape[:1] + (2,)).numel() == 8 and (x.shape[:1] * 3).numel() == 8
    with pytest.raises(TypeError):
        x.shape + [1]
    assert torch.Tensor(x.size()).shape == torch.FloatTensor(x.shape).shape == x.new(x.size()).shape == (2, 3)
    y = nc.arange(6.0)
    assert y.resize_(2, 3) is y and y.resize_(x.shape).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert y.resize_(7)[:6].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] and y.resize_(2, 2).tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert y.resize_as_(x).shape == (2, 3) and y.fill_(2).sum().item() == 12
    with pytest.raises(nc.ShapeError, match=r"^\[resize_\] expected as many elements as there are: 2; received \(7,\); another tensor"):
        y[0, :2].resize_(7)
    for sizes in ((3, 2), (7,)):
        with pytest.raises(RuntimeError, match=r"^\[resize_\] expected a tensor without a history"):
            (nc.ones(2, 3, requires_grad=True) * 1).resize_(*sizes)
    assert torch.Tensor(np.int64(2), 3).shape == x.new(2, 3).shape == (2, 3) and x.long().new([1.5]).tolist() == [1]
    file = io.BytesIO()
    torch.save({"size": x.size()}, file)
    file.seek(0)
    assert torch.load(file) == {"size": (2, 3)}


def test_the_largest_along_an_axis_by_numpys_name() -> None:
    x = nc.tensor([[1.0, 5.0], [3.0, 2.0]])
    assert x.max(axis=0).values.tolist() == [3.0, 5.0] and x.min(axis=1).indices.tolist() == [0, 1]
    assert nc.max(x, axis=0).indices.tolist() == [1, 0]


def test_the_type_of_tensors() -> None:
    """The class is compared, and never made another of; a class of the GPU moves tensors there."""
    import numbacnn.compat.torch as torch

    x = nc.ones(2)
    kind = type(x)
    assert kind == torch.Tensor and kind != torch.FloatTensor and torch.Tensor != torch.FloatTensor and len({torch.Tensor}) == 1
    assert {torch.Tensor: 1, torch.FloatTensor: 2}[kind] == 1
    numbers = functools.singledispatch(lambda x: None)
    numbers.register(torch.Tensor, lambda x: x.numel())
    assert numbers(nc.ones(3)) == numbers(nn.Parameter(nc.ones(3))) == 3 and numbers(3) is None
    with pytest.raises(TypeError, match="^" + re.escape("[compat] expected tensors as they are; received a subclass Mine of Tensor")):
        type("Mine", (torch.Tensor,), {})
    assert nn.Linear(1, 1).type(torch.DoubleTensor).weight.type() == "torch.DoubleTensor"
    torch.Tensor.doubled = lambda self: self + self
    assert nc.ones(1).doubled().item() == 2
    with pytest.raises(TypeError, match="colour"):
        x.cuda(0, colour="red")
    if not nc.cuda.is_available():
        for kind in (torch.cuda.FloatTensor, "torch.cuda.FloatTensor"):
            with pytest.raises(nc.DeviceError):
                x.type(kind)


def test_how_tensors_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    import numbacnn.compat.torch as torch

    for name in ("DIGITS", "LIMIT", "EDGE", "WIDTH"):
        monkeypatch.setattr(text, name, getattr(text, name))
    x = nc.zeros(1200)
    assert "..." in str(x)
    for whole in ({"threshold": np.inf}, {"profile": "full"}):
        torch.set_printoptions(**whole, sci_mode=False)
        assert "..." not in str(x)
        torch.set_printoptions(profile="short")
        assert str(x) == "tensor([0., 0.,  ..., 0., 0.])"
    with pytest.raises(ValueError, match=r"^\[set_printoptions\] expected threshold as an integer of at least 0; received -1"):
        torch.set_printoptions(threshold=-1)
    with pytest.raises(ValueError, match=r"expected profile as 'default', 'short' or 'full'; received 'long'"):
        torch.set_printoptions(profile="long")


def test_the_seed_of_a_worker() -> None:
    """``initial_seed`` as PyTorch's documents use it: in a worker it is the worker's own."""
    import numbacnn.compat.torch as torch

    torch.manual_seed(5)
    seeds: dict[int, int] = {}
    loader = torch.utils.data.DataLoader(range(6), num_workers=2, worker_init_fn=lambda i: seeds.update({i: torch.initial_seed()}))
    list(loader)
    assert torch.initial_seed() == 5 and sorted(seeds) == [0, 1] and len({5, *seeds.values()}) == 3
    numbers = []
    for _ in range(2):
        list(torch.utils.data.DataLoader(range(6), num_workers=2, worker_init_fn=lambda i: torch.manual_seed(7)))
        numbers.append(torch.rand(1).item())
    assert torch.initial_seed() == 5 and numbers[0] != numbers[1]


def test_a_seed_in_an_example_is_that_examples() -> None:
    import numbacnn.compat.torch as torch

    class Noise(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, i: int) -> nc.Tensor:
            generator = torch.manual_seed(i)
            return torch.stack([torch.rand(()), torch.rand((), generator=generator)])

    torch.manual_seed(5)
    first, second = (next(iter(torch.utils.data.DataLoader(Noise(), 2, num_workers=workers))).tolist() for workers in (0, 2))
    assert first == second and first[0] != first[1] and torch.initial_seed() == 5


def test_what_peoples_own_initialisers_and_layers_look_up() -> None:
    import numbacnn.compat.torch as torch

    assert torch.nn.init._calculate_fan_in_and_fan_out(nc.ones(6, 3, 5, 5)) == (75, 150)
    assert torch.nn.init._calculate_correct_fan(nc.ones(6, 3, 5, 5), "fan_out") == 150
    assert isinstance(nn.BatchNorm2d(2), torch.nn.modules.batchnorm._BatchNorm)
    assert "rand" not in dir(torch.autograd) and torch.autograd.no_grad is nc.no_grad


def test_a_variable_is_a_tensor_without_a_history() -> None:
    from numbacnn.compat.torch.autograd import Variable

    x = nc.ones(2, requires_grad=True)
    plain, leaf = Variable(x * 2), Variable(nc.ones(2), requires_grad=True)
    assert not plain.requires_grad and leaf.requires_grad and leaf.is_leaf and isinstance(x, Variable) and not isinstance(2, Variable)
    with pytest.raises(TypeError, match=r"^\[Variable\] expected data as a Tensor; received \[1\.0\]"):
        Variable([1.0])


def test_half_precision_is_float32_and_says_so_once() -> None:
    import numbacnn.compat.torch as torch

    weight = nn.Parameter(nc.ones(2))
    optimizer, scaler = nc.optim.SGD([weight], lr=1.0), torch.amp.GradScaler("cuda")
    with pytest.warns(UserWarning, match="half precision is not used"), torch.autocast("cpu", dtype=torch.bfloat16):
        loss = (weight * 2).sum()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    for dtype in (torch.half, torch.bfloat16):
        with pytest.raises(nc.DTypeError, match=r"^\[to\] expected one of the dtypes float32, float64"):
            weight.to(dtype)
    assert weight.tolist() == [-1.0, -1.0] and scaler.get_scale() == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.cuda.amp.autocast(False), torch.autocast("cpu"):
            pass


def test_losses_take_size_average_and_reduce() -> None:
    """As PyTorch reads them: no reduction goes before the sum."""
    import numbacnn.compat.torch as torch

    x, y = nc.tensor([[1.0, 2.0], [3.0, 5.0]]), nc.zeros(2, 2)
    each = (x * x).numpy()
    mean, total = each.mean(), each.sum()
    for average, reduce in itertools.product((True, False, None), repeat=2):
        wanted = each if reduce is False else total if average is False else mean
        loss = torch.nn.MSELoss(size_average=average, reduce=reduce)
        for result in (loss(x, y), torch.nn.functional.mse_loss(x, y, size_average=average, reduce=reduce)):
            assert np.array_equal(result.numpy(), wanted)
        assert isinstance(loss, torch.nn.modules.loss._Loss) and not isinstance(torch.nn.ReLU(), torch.nn.modules.loss._Loss)
    assert torch.nn.modules.loss._Loss(None, None, "sum").reduction == torch.nn.modules.loss._Loss(False).reduction == "sum"
    weight, labels = nc.ones(2), nc.tensor([0, 1])
    assert torch.nn.CrossEntropyLoss(weight, False).reduction == torch.nn.BCELoss(None, False).reduction == "sum"
    for result in (torch.nn.CrossEntropyLoss(weight, False)(x, labels), torch.nn.functional.cross_entropy(x, labels, weight, False)):
        assert result.item() == nn.functional.cross_entropy(x, labels, reduction="sum").item()
    assert torch.nn.MSELoss(False).reduction == "sum" and torch.nn.MSELoss(reduction="none").reduction == "none"
    assert (
        torch.nn.CrossEntropyLoss(weight, None, 1, None, "sum").ignore_index == 1 and torch.nn.MSELoss(None, None, "sum").reduction == "sum"
    )
    assert torch.nn.functional.kl_div(x, x, None, None, "none", True).shape == (2, 2)
    triplet = torch.nn.TripletMarginLoss(1.0, 2.0, 1e-6, True)
    assert torch.nn.HuberLoss("sum", 0.5).reduction == "sum"
    assert triplet.swap and triplet.reduction == "mean" and torch.nn.PoissonNLLLoss(True, False, False).reduction == "sum"
    assert issubclass(torch.nn.MSELoss, torch.nn.modules.loss._Loss)
    mine = torch.nn.modules.loss._WeightedLoss(weight, reduction="sum")
    assert [*mine.state_dict()] == ["weight"] and mine.reduction == "sum"
    for loss in (torch.nn.functional.mse_loss, torch.nn.MSELoss()):
        with pytest.raises(TypeError, match=r"^\[mse_loss\] expected target as a Tensor; received 3\.0"):
            loss(x, 3.0)
    with pytest.raises(TypeError, match=r"^\[compat\] expected size_average as True, False or None; received 'sum'; reduction= is a word"):
        torch.nn.MSELoss("sum")
    kept = pickle.loads(pickle.dumps(torch.nn.CrossEntropyLoss(size_average=False)))
    assert kept.reduction == "sum" and isinstance(kept, nn.CrossEntropyLoss)


def test_losses_of_pairs_repeat_one_for_the_other() -> None:
    """As PyTorch's, which warn too; a loss of other shapes is refused in the loss's own words."""
    import numbacnn.compat.torch as torch

    x, y = nc.tensor([[1.0], [3.0]], requires_grad=True), nc.tensor([1.0, 2.0])
    for loss in (torch.nn.MSELoss(), torch.nn.functional.mse_loss):
        with pytest.warns(UserWarning, match=r"input \(2, 1\) and target \(2,\), which are repeated to \(2, 2\)"):
            assert loss(x, y).item() == 1.5
        with pytest.raises(nc.ShapeError, match=r"^\[mse_loss\]"):
            loss(x, nc.ones(3, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.nn.L1Loss(size_average=False)(x, nc.zeros(2, 1)).item() == 4.0
    with pytest.warns(UserWarning, match="repeated"):
        torch.nn.functional.l1_loss(x, target=nc.tensor(0.0)).backward()
    assert x.grad.tolist() == [[0.5], [0.5]]


def test_a_sampler_for_one_process_of_one() -> None:
    from numbacnn.compat.torch.utils.data.distributed import DistributedSampler

    sampler = DistributedSampler(range(20), seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    assert sorted(first) == sorted(sampler) == list(range(20)) == list(DistributedSampler(range(20), shuffle=False))
    assert first != list(sampler) and len(sampler) == 20
    with pytest.raises(ValueError, match=r"^\[DistributedSampler\] expected num_replicas = 1; received 2; there is one process"):
        DistributedSampler(range(20), 2, 0)


@pytest.mark.parametrize(("dims", "dim"), [(1, 0), (2, 1), (3, 0), (4, 1)])
def test_softmax_without_an_axis_takes_pytorchs(dims: int, dim: int) -> None:
    import numbacnn.compat.torch as torch

    x = nc.randn(*range(2, 2 + dims))
    for name in ("softmax", "log_softmax"):
        layer = getattr(torch.nn, {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[name])
        with pytest.warns(UserWarning, match=f"the axis is {dim} here"):
            results = getattr(torch.nn.functional, name)(x), layer()(x)
        for result in (*results, layer(dim)(x), getattr(torch.nn.functional, name)(x, dim=dim)):
            assert np.array_equal(result.numpy(), getattr(x, name)(dim).numpy())


def test_initialisers_without_an_underscore() -> None:
    import numbacnn.compat.torch as torch

    with pytest.warns(UserWarning, match="constant_ since"):
        assert torch.nn.init.constant(nc.zeros(2), 3.0).tolist() == [3.0, 3.0]
    assert torch.nn.init.ones_(nc.zeros(2)).tolist() == [1.0, 1.0]


def test_layers_take_the_device_and_the_dtype_of_their_parameters() -> None:
    import numbacnn.compat.torch as torch

    options = {"device": torch.device("cpu"), "dtype": torch.float64}
    layers = [torch.nn.Conv2d(1, 2, 3, **options), torch.nn.BatchNorm2d(2, **options), torch.nn.Linear(2, 3, bias=False, **options)]
    assert all(p.dtype == torch.float64 and p.device == "cpu" for layer in layers for p in layer.parameters())
    assert torch.nn.Linear(2, 3, device=None).weight.dtype == torch.float32 and not torch.ones(1).is_xpu
    assert torch.nn.Linear(2, 3, False, "cpu", torch.float64).weight.dtype == torch.float64
    assert torch.nn.Conv2d(1, 2, 3, padding_mode="zeros").padding == (0, 0)
    assert torch.nn.Conv2d(1, 2, 3, 1, 0, 1, 1, True, "zeros", "cpu", torch.float64).weight.dtype == torch.float64
    assert torch.nn.BatchNorm2d(2, 1e-5, 0.1, True, True, None, torch.float64).weight.dtype == torch.float64
    conv, x = torch.nn.Conv2d(1, 2, 3, 2, 1), nc.rand(1, 1, 5, 5)
    assert conv.padding_mode == "zeros" and bool((conv._conv_forward(x, conv.weight, conv.bias) == conv(x)).all())
    lazy = torch.nn.LazyBatchNorm2d(**options)
    assert lazy(nc.ones(1, 2, 3, 3).double()).dtype == lazy.weight.dtype == lazy.running_mean.dtype == torch.float64
    with pytest.raises(TypeError, match="too many positional arguments"):
        torch.nn.Linear(2, 3, True, "cpu", torch.float64, "red")
    with pytest.raises(ValueError, match=r"^\[Conv2d\] expected padding_mode 'zeros'; received 'circular'"):
        torch.nn.Conv2d(1, 2, 3, padding_mode="circular")
    with pytest.raises(TypeError, match="padding_mode"):
        torch.nn.Linear(2, 3, padding_mode="zeros")
    with pytest.raises(nc.DTypeError, match="a device or a floating-point dtype; received int64"):
        torch.nn.Linear(2, 3, dtype=torch.int64)


OTHER_NAMES = {  # of arguments, in PyTorch's stubs of functions that are here
    "addmm": {"out_dtype"}, "baddbmm": {"out_dtype"}, "bmm": {"out_dtype"}, "mm": {"out_dtype"},
    "bernoulli": {"p"}, "broadcast_to": {"size"}, "clone": {"memory_format"}, "from_numpy": {"ndarray"}, "full": {"names"},
    "gather": {"sparse_grad"}, "max": {"other"}, "min": {"other"}, "normal": {"dtype"},
    "rand_like": {"generator"}, "randn_like": {"generator"}, "randint_like": {"generator", "requires_grad"},
    "randperm": {"requires_grad"}, "repeat_interleave": {"output_size"}, "reshape": {"shape"},
    "result_type": {"other", "scalar", "scalar1", "scalar2", "tensor"}, "set_num_threads": {"num"}, "swapaxes": {"axis0", "axis1"},
    "tensor_split": {"indices", "sections", "tensor_indices_or_sections"},
}  # fmt: skip


def test_arguments_have_pytorchs_names() -> None:
    """Those of the functions whose signatures PyTorch gives to type checkers; it is not imported."""
    torch = importlib.util.find_spec("torch")
    if torch is None:
        pytest.skip("needs PyTorch: pip install torch==2.13.0")
    stubs = ast.parse(Path(torch.origin).parent.joinpath("_C", "_VariableFunctions.pyi").read_text())
    found: dict[str, set[str]] = {}
    for stub in stubs.body:
        function = getattr(mirror("torch"), stub.name, None) if isinstance(stub, ast.FunctionDef) and stub.name[0] != "_" else None
        if function is None or isinstance(function, type):
            continue
        ours = inspect.signature(function).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in ours.values()):
            wanted = {a.arg for a in (*stub.args.args, *stub.args.kwonlyargs)} - {"self", "*", "out", "layout", "pin_memory"}
            found.setdefault(stub.name, set()).update(wanted - {*ours})
    assert len(found) > 150 and {name: lacking for name, lacking in found.items() if lacking} == OTHER_NAMES


def test_arguments_that_change_nothing_here(tmp_path: Path) -> None:
    import numbacnn.compat.torch as torch

    x = torch.zeros_like(nc.ones(2), memory_format=torch.preserve_format)
    torch.save({"x": x}, tmp_path / "x.pt", _use_new_zipfile_serialization=False, pickle_protocol=4)
    with torch.serialization.safe_globals([dict]):
        assert torch.load(tmp_path / "x.pt", map_location="cpu", encoding="latin1")["x"].tolist() == [0.0, 0.0]
    optimizer = torch.optim.AdamW(nn.Linear(1, 1).parameters(), lr=0.1, foreach=True, fused=False)
    assert "foreach" not in optimizer.param_groups[0] and isinstance(optimizer, nc.optim.AdamW)
    assert torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", verbose=True).mode == "min"
    for schedule, value in (("StepLR", 3), ("LambdaLR", lambda epoch: 1.0)):
        getattr(torch.optim.lr_scheduler, schedule)(optimizer, value, verbose=False)
    with pytest.raises(TypeError, match="colour"):
        torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, colour="red")
    y = nc.ones(2, requires_grad=True)
    assert torch.autograd.grad((y * y).sum(), y, create_graph=False, only_inputs=True)[0].tolist() == [2.0, 2.0]
    for walk in (lambda: (y * y).sum().backward(create_graph=True), lambda: torch.autograd.grad((y * y).sum(), y, create_graph=True)):
        with pytest.raises(NotImplementedError, match=r"expected create_graph=False; received True; gradients of gradients are not"):
            walk()


def test_results_go_where_out_says() -> None:
    import numbacnn.compat.torch as torch

    x, out = nc.tensor([[3.0, 1.0], [2.0, 5.0]]), nc.zeros(2, 2)
    assert torch.add(x, x, out=out) is out and out.tolist() == [[6.0, 2.0], [4.0, 10.0]]
    assert torch.ones(2, 2, out=out) is out and out.sum().item() == 4 and torch.stack([x[0], x[1]], out=out)[1].tolist() == [2.0, 5.0]
    assert torch.add(x, x, out=out)[0].tolist() == [6.0, 2.0]
    assert torch.max(out, x * 3, out=out)[0].tolist() == [9.0, 3.0]
    assert torch.sqrt_(out) is out and torch.relu_(out.neg_()).sum().item() == 0
    places = nc.zeros(2), nc.zeros(2, dtype=nc.int64)
    assert torch.max(x, 1, out=places).values is places[0] and places[0].tolist() == [3.0, 5.0] and places[1].tolist() == [0, 1]
    assert torch.add(input=x, other=x, out=torch.Tensor()).tolist() == [[6.0, 2.0], [4.0, 10.0]]
    with pytest.raises(nc.ShapeError, match=r"^\[add\] expected out of shape \(2, 2\); received shape \(3,\)"):
        torch.add(x, x, out=nc.zeros(3))
    with pytest.raises(nc.DTypeError, match=r"^\[add\] expected out of a dtype that float32 fits in; received int64\.$"):
        torch.add(x, x, out=nc.zeros(2, 2, dtype=nc.int64))
    for function, wrong, wanted in ((torch.add, [1.0], "a Tensor"), (torch.max, places[:1], "2 Tensors"), (torch.split, out, "None")):
        with pytest.raises(TypeError, match=rf"^\[{function.__name__}\] expected out as {wanted}; received"):
            function(x, x if function is torch.add else 1, out=wrong)


def test_what_is_written_is_cast() -> None:
    x = nc.zeros(3, dtype="int64")
    x[:2] = nc.tensor([1.5, -2.5])
    x[nc.tensor([False, False, True])] = nc.tensor(True)
    assert x.tolist() == [1, -2, 1]
    y, z = nc.zeros(2), nc.ones(1, dtype="float64", requires_grad=True)
    y[1:] = z * 2
    y.sum().backward()
    assert y.tolist() == [0, 2] and z.grad is not None and z.grad.tolist() == [2.0]


def test_a_factor_may_stand_first() -> None:
    """As until PyTorch 1.5."""
    import numbacnn.compat.torch as torch

    x, y = nc.tensor([1.0, 2.0]), nc.tensor([3.0, 4.0])
    assert torch.add(x, 2, y).tolist() == x.clone().add_(2, y).tolist() == x.add(y, alpha=2).tolist() == [7.0, 10.0]
    assert x.sub(2, y).tolist() == [-5.0, -6.0] and x.clone().addcmul_(2, y, y).tolist() == [19.0, 34.0]
    assert torch.addcdiv(x, -1, y, x).tolist() == [-2.0, 0.0] and x.add(1).tolist() == [2.0, 3.0]
    with pytest.raises(TypeError):
        x.sub(2, 99, y)
    z, a, b = nc.ones(1, 1), nc.tensor([[1.0, 2.0]]), nc.tensor([[3.0], [4.0]])
    assert z.clone().addmm_(1, -2, a, b).item() == torch.addmm(1, z, -2, a, b).item() == torch.addmm(z, a, b, alpha=-2).item() == -21
    assert z.addmm(2, a, b).item() == 13 and z[0].addmv(2, 3, a, b[:, 0]).item() == z[None].baddbmm(2, 3, a[None], b[None]).item() == 35


def test_a_function_that_may_write_in_place() -> None:
    from numbacnn.compat.torch.autograd.function import InplaceFunction

    class Sign(InplaceFunction):
        @staticmethod
        def forward(ctx: object, x: nc.Tensor, inplace: bool = False) -> nc.Tensor:
            return x.sign()

        @staticmethod
        def backward(ctx: object, g: nc.Tensor) -> tuple[nc.Tensor, None]:
            return g, None

    x = nc.tensor([-2.0, 3.0], requires_grad=True)
    Sign.apply(x, False).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_gradients_of_several_tensors() -> None:
    import numbacnn.compat.torch as torch

    x = nc.ones(2, requires_grad=True)
    y = x * 2
    torch.autograd.backward([y.sum(), y], [None, nc.tensor([1.0, 10.0])])
    assert x.grad.tolist() == [4.0, 22.0]
    torch.autograd.backward((x * x).sum())
    assert x.grad.tolist() == [6.0, 24.0]


def test_the_seed_gives_the_stream_itself() -> None:
    import numbacnn.compat.torch as torch

    numbers = [torch.rand(2, generator=torch.manual_seed(3)).tolist(), torch.rand(2).tolist()]
    torch.manual_seed(3)
    assert [torch.rand(2).tolist(), torch.rand(2).tolist()] == numbers and torch.manual_seed(4).initial_seed() == 4


def test_the_graph_is_walked_by_grad_fn() -> None:
    import numbacnn.compat.torch as torch

    x = nc.ones(2, requires_grad=True)
    y = (x * 2).sum()
    assert x.grad_fn is None and "Sum" in y.grad_fn.name() and y.grad_fn == y.grad_fn and len({y.grad_fn, y.grad_fn}) == 1
    before = y.grad_fn.next_functions[0][0]
    assert torch.zeros(1).add(x * 2).grad_fn.next_functions[1] == (None, 0)
    assert "Multiply" in repr(before) and before.next_functions[0][0].name() == "AccumulateGrad"
    assert before.next_functions[0][0].next_functions == () and before.next_functions[0][0].variable is x
    assert not hasattr(before, "variable")
    y.backward()
    assert y.grad_fn.name() == "Backward" and not torch.ones(1).is_sparse and not x.is_complex() and x.is_cpu


def test_programs_and_checkpoints_are_functions_as_they_are() -> None:
    import numbacnn.compat.torch as torch
    from numbacnn.compat.torch.jit.annotations import List, Optional  # noqa: F401
    from numbacnn.compat.torch.utils.checkpoint import checkpoint
    from numbacnn.compat.torch.utils.hooks import RemovableHandle

    x = nc.ones(2, requires_grad=True)
    checkpoint(torch.jit.script(lambda a, b: a * b), x, x, use_reentrant=False).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0] and isinstance(x.register_hook(lambda g: None), RemovableHandle)
    with pytest.raises(AttributeError, match=r"received torch\.jit\.script; left out for good"):
        torch.jit.script(nn.Linear(1, 1))
    assert isinstance(nn.Conv2d(1, 1, 1), torch.nn.modules.conv._ConvNd) and torch.nn.parameter.is_lazy(nn.LazyLinear(2).weight)
    with pytest.raises(AttributeError, match=r"received torch\.jit\.ScriptModule; left out for good"):
        torch.jit.ScriptModule()
    assert torch.optim.optimizer.required is not None and nn.ReLU()._get_name() == "ReLU" and torch.ger is torch.outer
    y = nc.arange(4.0)
    assert y.data_ptr() == y.view(2, 2).data_ptr() == y[1:].data_ptr() - 4
    torch.multiprocessing.set_sharing_strategy("file_system")


def test_a_picture_is_read(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    from numbacnn.compat import torchvision

    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(torchvision.io.read_image(str(tmp_path / "a.png")).numpy(), pixels.transpose(2, 0, 1))
    assert torchvision.io.read_image(tmp_path / "a.png", torchvision.io.ImageReadMode.GRAY).shape == (1, 2, 4)
    assert torchvision.get_image_backend() == "PIL"
    v2 = importlib.import_module("numbacnn.compat.torchvision.transforms.v2")
    change = v2.Compose([v2.ToImage(), v2.ToDtype(nc.float32, scale=True)])
    for image in (Image.fromarray(pixels), pixels, nc.tensor(pixels).permute(2, 0, 1)):
        assert np.array_equal(change(image).numpy(), (pixels.transpose(2, 0, 1) / np.float32(255)).astype(np.float32))
    assert v2.ToDtype(nc.float32)(nc.tensor(pixels)).max().item() == 23
    assert np.array_equal(v2.ToImage()(pixels[..., 0]).numpy(), pixels[None, ..., 0])
    with pytest.raises(nc.ShapeError, match=r"^\[ToImage\] expected an array \(H, W, C\) or \(H, W\); received shape \(1, 2, 4, 3\)"):
        v2.ToImage()(pixels[None])


def test_data_parallel_is_the_module_on_one_device() -> None:
    import numbacnn.compat.torch as torch

    net = torch.nn.DataParallel(nn.Linear(2, 3), device_ids=[0, 1])
    assert net.device_ids == [0, 1]
    assert list(net.state_dict()) == ["module.weight", "module.bias"] and net(nc.ones(1, 2)).shape == (1, 3)
    assert torch.nn.parallel.data_parallel(net.module, nc.ones(1, 2)).shape == (1, 3)


def test_networks_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its argument lists; a file of weights where the hub keeps it, or where the user says."""
    import numbacnn.compat.torchvision as torchvision

    net = torchvision.models.vgg11(weights=None, num_classes=7)
    assert net.state_dict()["classifier.6.weight"].shape[0] == 7
    with pytest.raises(ValueError, match="replace the last layer afterwards"):
        torchvision.models.resnet18(weights="DEFAULT", num_classes=3)
    with pytest.raises(ValueError, match=r"expected weights of ResNet18_Weights; received 'BEST'"):
        torchvision.models.resnet18(weights="BEST")
    weights = torchvision.models.ResNet50_Weights
    assert pickle.loads(pickle.dumps(weights.DEFAULT)) is weights.DEFAULT
    assert weights.DEFAULT is weights.IMAGENET1K_V2 and weights.IMAGENET1K_V1.url.endswith("models/resnet50-0676ba61.pth")
    with nn.init.skipped():
        assert sum(p.numel() for p in torchvision.models.resnet50().parameters()) == 25_557_032
    assert type(torchvision.models.get_model("resnet18", num_classes=2)) is torchvision.models.ResNet
    with pytest.raises(ValueError, match=r"^\[get_model\] expected name as 'resnet18', 'resnet34', "):
        torchvision.models.get_model("alexnet")
    assert torchvision.models.resnet18(False, num_classes=2).fc.out_features == 2
    with nn.init.skipped():
        small = torchvision.models.resnet.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=10)
    assert small.fc.in_features == 2048 and small.layer4[0].downsample is not None

    class Block(nn.Module):  # one's own, as in SE-ResNet
        expansion = 2

        def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
            super().__init__()
            self.conv, self.downsample = nn.Conv2d(inplanes, planes * self.expansion, 3, stride, 1), downsample

        def forward(self, x: nc.Tensor) -> nc.Tensor:
            return self.conv(x) + (x if self.downsample is None else self.downsample(x))

    assert torchvision.models.ResNet(Block, [1, 2, 1, 1], num_classes=3)(nc.zeros(2, 3, 32, 32)).shape == (2, 3)
    for kind in torchvision.models.resnet.BasicBlock, torchvision.models.resnet.Bottleneck:
        way = torchvision.models.resnet.conv1x1(2, 2 * kind.expansion, 2)
        assert kind(2, 2, 2, way).downsample is way
        assert len(kind(2, 2, stride=2, downsample=nn.Sequential()).downsample) == 0  # which is false, and yet one's own
    assert "vgg16_bn" in torchvision.models.__dict__ and not hasattr(torchvision.models, "vit_b_16")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    made = torchvision.models.resnet18()
    nc.save(made.state_dict(), tmp_path / "hub/checkpoints/resnet18-f37072fd.pth")
    for options in (
        {"weights": torchvision.models.ResNet18_Weights.IMAGENET1K_V1},
        {"pretrained": True},
        {"weights": "DEFAULT"},
        {"weights": True},
    ):
        read = torchvision.models.resnet18(**options)
        assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(made.state_dict().values(), read.state_dict().values()))


def test_weights_are_downloaded_once_and_checked(tmp_path: Path) -> None:
    """By the beginning of the SHA-256 in their name; a server need not say how long they are."""
    import numbacnn.compat.torch as torch

    nc.save({"weight": nc.ones(3)}, tmp_path / "made.pth")
    content = (tmp_path / "made.pth").read_bytes()
    good, bad = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth", "net-00000000.pth"
    with serving({good: content, bad: content}) as server:
        for _ in range(2):
            state = torch.hub.load_state_dict_from_url(f"{server.url}/well/{good}", str(tmp_path / "kept"), progress=False)
            assert state["weight"].tolist() == [1.0, 1.0, 1.0]
        torch.utils.model_zoo.load_url(f"{server.url}/well/{good}", str(tmp_path / "kept"), file_name="mine.pth")
        assert len(server.log) == 1 and sorted(file.name for file in (tmp_path / "kept").glob("[!.]*")) == ["mine.pth", good]
        with pytest.raises(ConnectionError, match="SHA-256 00000000"):
            torch.hub.load_state_dict_from_url(f"{server.url}/well/{bad}", str(tmp_path / "kept"))


def test_tensorboard(tmp_path: Path) -> None:
    """What TensorBoard itself reads out of the files; PyTorch, where it is installed, is not imported to write them."""
    pytest.importorskip("tensorboardX")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from numbacnn.compat.torch.utils.tensorboard import SummaryWriter

    class Writer(SummaryWriter):
        def add_text(self, tag: str, text: str, step: int) -> None:
            super().add_text(tag, text.lower(), step)

    before = sys.modules.get("torch")
    with Writer(tmp_path) as writer:
        writer.add_scalar("loss", nc.tensor(0.5, requires_grad=True) * 1, 3)
        writer.add_scalars("both", {"a": nc.tensor(1.0), "b": 2.0}, 4)
        writer.add_image("picture", nc.ones(3, 4, 5), global_step=1)
        writer.add_image("grey", np.zeros((4, 5), np.uint8), 1, dataformats="HW")
        writer.add_histogram("weights", nc.arange(10.0), 2)
        writer.add_text("note", "some *text*", 2)
        writer.add_hparams({"lr": 0.1}, {"accuracy": nc.tensor(0.9)}, run_name="first")
        with pytest.raises(AttributeError, match=r"^\[SummaryWriter\] expected one of add_audio, .*; received add_smell\."):
            writer.add_smell
        with pytest.warns(UserWarning, match="pictures of modules are left out"):
            writer.add_graph(nn.Linear(1, 1), nc.ones(1))
    assert sys.modules.get("torch") is before and writer.log_dir == writer.get_logdir() == str(tmp_path) and (tmp_path / "first").is_dir()
    found = reader.EventAccumulator(str(tmp_path))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(3, 0.5)]
    assert [(i.width, i.height) for name in ("picture", "grey") for i in found.Images(name)] == [(5, 4)] * 2
    assert found.Histograms("weights")[0].histogram_value.num == 10 and found.Tags()["tensors"] == ["note/text_summary"]
    for name, value in (("a", 1.0), ("b", 2.0)):
        below = reader.EventAccumulator(str(tmp_path / "both" / name))
        below.Reload()
        assert [(e.step, e.value) for e in below.Scalars("both")] == [(4, value)]


# -- numbacnn run and check ------------------------------------------------------------------------------------------

SCRIPT = """
import sys
import torch
import torch.nn as nn
from torch.utils.data import DataLoader
assert "numbacnn" in torch.__version__ and torch.nn.Conv2d.__module__ == "numbacnn.nn.conv"
assert not [m for m in sys.modules.values() if "site-packages/torch/" in (getattr(m, "__file__", "") or "")]
print(__name__, sys.argv[1:], sys.path[0] == {folder!r}, sys.stdout is sys.__stdout__)
import beside
if sys.argv[1:] == ["fail"]:
    nn.Conv2D(1, 2, 3)
if sys.argv[1:] == ["leave"]:
    sys.exit(5)
"""


def test_run_runs_a_script_in_which_torch_is_this(tmp_path: Path) -> None:
    """PyTorch, where it is installed, is not touched; the script's arguments, exit status and traceback are its own."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(folder=str(tmp_path)))
    (tmp_path / "beside.py").write_text("import torch.nn.functional as F\nF.relu\n")

    def started(*arguments: str, module: str = "numbacnn.compat") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *module.split(), str(script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    done = started("--epochs", "3", module="numbacnn run")
    assert (done.returncode, done.stdout) == (0, "__main__ ['--epochs', '3'] True True\n"), done.stderr
    failed = started("fail")
    assert failed.returncode == 1 and "received torch.nn.Conv2D; the nearest is torch.nn.Conv2d." in failed.stderr
    assert failed.stderr.splitlines()[1] == f'  File "{script}", line 11, in <module>'
    assert started("leave").returncode == 5


def test_run_needs_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "nowhere.py"]) == 1
    assert capsys.readouterr().err == "numbacnn: [run] expected a Python file; received 'nowhere.py'.\n"


def test_check_lists_names_without_running_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.py").write_text(textwrap.dedent("""
        import torch, torch.nn as nn
        import torch.nn.functional as F
        from torch.nn import FractionalMaxPool2d, Linear
        from torchvision.models import *
        import numpy as np
        import re
        from PIL import Image
        raise SystemExit("it is not run")
        layers = nn
        class Net(nn.Module):
            def half_way(self, x):
                return x.histc(1).relu()
            def masked_select_all(self): ...
        layers.Conv2D(1, 2, 3)
        nn.Conv2d(1, 2, kernel_size=3, color="red")
        F.mse_loss(1, 2, size_average=False)
        Net().half_way(1).masked_select_all()
        torch.manual_seed(1)
        resnet18(num_classes=3)
        np.fft.fft(1)
        np.linalg.svd(1), re.compile(1), Image.new("RGB", 1), queue.put(1)
        torch.nn.Linear(1, 1)._new()
        import torch.utils.data as data
        def download(url, layers):
            data = urllib.request.urlopen(url)
            return data.read(), layers.Conv4d, (lambda nn: nn.Conv5d), data.DataLoader
        async def upload(): data.Sampler
    """))  # fmt: skip
    (tmp_path / "bad.py").write_text("def (")
    for folder in (".venv", "site-packages"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "other.py").write_text("import torch\ntorch.nothing()\n")
    (tmp_path / "none.py").write_text("import numpy as np\nnp.zeros(1).histc(1)\n")
    report = check([tmp_path])
    assert set(report.missing) == {".histc", "torch.nn.FractionalMaxPool2d", "torch.nn.Conv2D", "torch.nn.Conv2d(color=)"}
    assert report.missing["torch.nn.Conv2D"] == "the nearest is torch.nn.Conv2d"
    assert set(report.different) == {"torch.manual_seed"} and [Path(file).name for file in report.unread] == ["bad.py"]
    assert "torch.utils.data.Sampler" in report.used and "torch.utils.data.DataLoader" not in report.used  # a variable has that name there
    assert report.used["torch.nn.Conv2D"] == [f"{tmp_path / 'model.py'}:15"] and "torchvision.models.resnet18" in report.used
    assert cli.main(["check", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert f"  torch.nn.Conv2D ({tmp_path / 'model.py'}:15): the nearest is torch.nn.Conv2d\n" in shown
    count = len(report.used)
    assert shown.endswith(f"{count - 4} of {count} names of torch and torchvision are here.\n")
    (tmp_path / "model.py").write_text("import torch\ntorch.ones(2)\n")
    assert cli.main(["check", str(tmp_path / "model.py")]) == 0
    (tmp_path / "a.ipynb").write_text('{"cells": [], "metadata": {}}')
    assert [*check([tmp_path / "a.ipynb"]).unread.values()] == ["a notebook is read when it is saved as a script"]
    assert cli.main(["check", str(tmp_path / "gone")]) == 1 and "expected a file or a folder" in capsys.readouterr().err


def test_check_knows_what_names_mean_where(tmp_path: Path) -> None:
    """Variables, functions and classes of a scope, and those of scopes within it, which are none of its own."""
    (tmp_path / "a.py").write_text(textwrap.dedent("""
        import torch
        from torch import nn, optim
        def a(nets, lr=optim.A): [optim.no for optim in nets], sorted(nets, key=lambda torch: torch.no), optim.B, torch.C
        def b(nn=nn.D):
            try: nn.no
            except ValueError as optim: optim.no
            def torch(): return 1
            torch.no
        class Of:
            nn = nn.functional
            def c(self): self.x = nn.E
        optim = optim.F
    """))  # fmt: skip
    assert {name.rpartition(".")[2] for name in check([tmp_path]).missing} == set("ABCDEF")


def test_check_knows_what_a_star_import_gives(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/__init__.py").write_text("from .vgg import *\n")
    (tmp_path / "models/vgg.py").write_text("import torch\nfrom torch import nn, optim\nimport torch.nn.functional as F\n")
    (tmp_path / "other.py").write_text("import torchvision.transforms.functional as F\n")
    main = "from models import *\ntorch.nowhere(1)\nF.relu\ndef f(nn):\n    nn.nowhere()\nnn.there\noptim = f\noptim.nowhere()\n"
    (tmp_path / "main.py").write_text(main)
    assert check([tmp_path]).missing.keys() == {"torch.nowhere", "torch.nn.there"}
    for first, last in ("other", "models"), ("models", "other"):
        (tmp_path / "main.py").write_text(f"from {first} import *\nfrom {last} import *\nF.hflip, F.relu\n")
        assert check([tmp_path]).missing.keys() == {
            "torch.nn.functional.hflip" if last == "models" else "torchvision.transforms.functional.relu"
        }
    (tmp_path / "main.py").write_text(main.replace("*", "torch"))
    assert not check([tmp_path]).missing
