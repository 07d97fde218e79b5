"""The book's helpers: data, training in both styles, curves, blocks."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import d2l, nn
from numbacnn.d2l.data import _Resize
from numbacnn.data import idx

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _figures_are_closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


# -- the module ------------------------------------------------------------------------------------------------------------
def test_it_is_imported_when_asked_for() -> None:
    heavy = ["numbacnn.d2l", "matplotlib", "matplotlib.pyplot", "IPython", "torch", "sklearn"]
    code = f"""
import json, sys, numbacnn as nc
first = [m for m in {heavy} if m in sys.modules]
nc.d2l.train_ch6, nc.d2l.Trainer
print(json.dumps([first, [m for m in {heavy} if m in sys.modules]]))
"""
    assert json.loads(run(code)) == [[], ["numbacnn.d2l"]]


def test_names() -> None:
    assert d2l.plt is pyplot and "plt" in dir(d2l)
    assert d2l.corr2d is nc.corr2d
    with pytest.raises(AttributeError, match=r"^module 'numbacnn.d2l' has no attribute 'RNN'$"):
        _ = d2l.RNN


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    data = d2l.Digits()
    for call in (lambda: d2l.plt, lambda: d2l.Animator(), lambda: d2l.Trainer(1).fit(d2l.LeNet(), data)):
        with pytest.raises(ImportError, match=r'^\[d2l\] expected matplotlib to be installed; .*; run: pip install "numbacnn\[demo\]"\.$'):
            call()
    assert type(d2l.LeNet().net[0]) is nn.LazyConv2d  # nothing ran before


# -- devices ---------------------------------------------------------------------------------------------------------------
def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert d2l.cpu() == "cpu"
    assert d2l.try_gpu(99) == d2l.try_gpu(-1) == "cpu"
    monkeypatch.setattr("numbacnn.cuda.is_available", lambda: False)
    assert d2l.num_gpus() == 0
    assert d2l.try_gpu() == "cpu" and d2l.try_all_gpus() == ["cpu"]
    assert d2l.Trainer(1, num_gpus=1).gpus == []
    with pytest.raises(nc.DeviceError, match=r"^\[gpu\] expected one of 'cpu' and 'cuda'; received 'cuda:9'\.$"):
        d2l.gpu(9)


# -- data ------------------------------------------------------------------------------------------------------------------
def test_digits_as_batches() -> None:
    train, test = d2l.load_data_digits(100)
    assert len(train) == 15 and len(test) == 4
    X, y = next(iter(test))
    assert X.shape == (100, 1, 28, 28) and X.dtype == nc.float32 and y.dtype == nc.int64
    assert X.min().item() == 0 and X.max().item() == 1
    first, second = (next(iter(train))[1].tolist() for _ in range(2))
    assert first != second
    assert next(iter(test))[1].tolist() == y.tolist()


def test_another_size() -> None:
    X, _ = next(iter(d2l.load_data_digits(8, resize=(32, 40))[1]))
    assert X.shape == (8, 1, 32, 40)
    plain, _ = next(iter(d2l.load_data_digits(8)[1]))
    np.testing.assert_allclose(X.mean((1, 2, 3)).numpy(), plain.mean((1, 2, 3)).numpy(), atol=5e-3)
    for resize in (0, "big", (1, 2, 3)):
        with pytest.raises((ValueError, TypeError), match=r"resize"):
            d2l.load_data_digits(8, resize=resize)


@pytest.mark.parametrize(("source", "target"), [((28, 28), (96, 96)), ((28, 28), (28, 224)), ((30, 20), (7, 64)), ((9, 9), (4, 3))])
def test_sizes_as_pillow_makes_them(source: Any, target: Any) -> None:
    image = pytest.importorskip("PIL.Image")
    batch = np.random.default_rng(0).integers(0, 256, (2, *source, 3), np.uint8)
    made = _Resize(source, target)(batch, np.random.default_rng(0))
    assert made.dtype == np.uint8 and made.shape == (2, *target, 3)
    for mine, picture in zip(made, batch):
        other = np.asarray(image.fromarray(picture).resize(target[::-1], image.Resampling.BILINEAR))
        assert np.abs(mine.astype(int) - other).max() <= 1  # Pillow rounds between the two axes


def test_fashion_mnist_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = tuple(
        nc.data.ImageDataset(np.full((n, 28, 28, 1), 51, np.uint8), np.arange(n) % 10, idx.FASHION_MNIST.classes) for n in (20, 10)
    )
    monkeypatch.setattr("numbacnn.d2l.data.fashion_mnist", lambda: sets)
    train, test = d2l.load_data_fashion_mnist(8, resize=32)
    assert (len(train), len(test)) == (3, 2)
    X, y = next(iter(test))
    assert X.shape == (8, 1, 32, 32) and (X == 0.2).all() and y.tolist() == list(range(8))
    data = d2l.FashionMNIST(batch_size=8, resize=(32, 32))
    assert next(iter(data.val_dataloader()))[0].shape == next(iter(data.train_dataloader()))[0].shape == (8, 1, 32, 32)
    assert data.text_labels([0, 9]) == d2l.get_fashion_mnist_labels(nc.tensor([0, 9])) == ["T-shirt/top", "Ankle boot"]
    assert data.hparams == {"batch_size": 8, "resize": (32, 32)}
    data.visualize((X, y))
    assert [axes.get_title() for axes in pyplot.gcf().axes] == data.text_labels(range(8))


def test_fashion_mnist_that_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ConnectionError("no way out.")

    monkeypatch.setattr("numbacnn.d2l.data.fashion_mnist", missing)
    text = (
        "[load_data_fashion_mnist] expected Fashion-MNIST in the folder NUMBACNN_DATA, in the cache, or by download; received no way out; "
        "put its four files into a folder and set NUMBACNN_DATA to it, or take the digits, which need no download: "
        "d2l.load_data_digits(batch_size, resize), d2l.Digits(batch_size, resize)."
    )
    for call in (lambda: d2l.load_data_fashion_mnist(8), lambda: d2l.FashionMNIST(8)):
        with pytest.raises(ConnectionError) as error:
            call()
        assert str(error.value) == text


# -- measuring -------------------------------------------------------------------------------------------------------------
def test_sums_and_times() -> None:
    metric = d2l.Accumulator(2)
    metric.add(1, nc.tensor(2.5))
    metric.add(True, 1.0)
    assert (metric[0], metric[1]) == (2.0, 3.5)
    metric.reset()
    assert metric.data == [0.0, 0.0]
    timer = d2l.Timer()
    timer.times = [1.0, 2.0, 6.0]
    assert (timer.sum(), timer.avg(), timer.cumsum()) == (9.0, 3.0, [1.0, 3.0, 9.0])
    timer.start()
    assert 0 <= timer.stop() == timer.times[3]


def test_accuracy() -> None:
    y = nc.tensor([2, 0, 1])
    scores = nc.tensor([[0.1, 0.2, 0.7], [0.9, 0.05, 0.05], [0.5, 0.2, 0.3]])
    assert d2l.accuracy(scores, y) == d2l.accuracy(nc.tensor([2, 0, 0]), y) == 2.0
    assert isinstance(d2l.accuracy(scores, y), float)
    model = d2l.Classifier()
    assert model.accuracy(scores, y).item() == pytest.approx(2 / 3)
    assert model.accuracy(scores, y, averaged=False).tolist() == [1, 1, 0]
    assert model.loss(scores, y, averaged=False).shape == (3,)


def test_evaluation_leaves_the_mode_alone() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 2))
    batches = [(nc.ones(3, 1, 2, 2), nc.tensor([0, 1, 1])), (nc.ones(1, 1, 2, 2), nc.tensor([0]))]
    best = net.eval()(batches[0][0]).argmax(1)[0].item()
    net.train()
    assert d2l.evaluate_accuracy(net, batches) == d2l.evaluate_accuracy_gpu(net, batches, d2l.cpu()) == 0.5
    assert net.training and net[1].training
    assert d2l.evaluate_accuracy(lambda X: nc.tensor([[1.0, 0.0]]).expand(len(X), 2), batches) == 0.5
    assert best in (0, 1)


# -- training --------------------------------------------------------------------------------------------------------------
def test_an_epoch_with_an_optimiser_and_by_hand() -> None:
    batches = [(nc.tensor([[1.0], [2.0]]), nc.tensor([[2.0], [4.0]])), (nc.tensor([[3.0]]), nc.tensor([[6.0]]))]
    w = [nc.zeros(1).requires_grad_(), nc.zeros(1).requires_grad_()]
    counts = []

    def update(n: int) -> None:
        counts.append(n)
        with nc.no_grad():
            w[1] -= 0.1 * w[1].grad / n
            w[1].grad.zero_()

    def squares(y_hat: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
        return (y_hat - y) ** 2

    found = [
        d2l.train_epoch_ch3(lambda X: X * w[0], batches, squares, nc.optim.SGD([w[0]], lr=0.1)),
        d2l.train_epoch_ch3(lambda X: X * w[1], batches, squares, update),
    ]
    assert counts == [2, 1] and found[0] == found[1]
    assert w[0].item() == pytest.approx(w[1].item()) == pytest.approx(1 + 0.1 * 18)  # 0 -> 1 -> 2.8
    assert found[0][0] == pytest.approx((4 + 16 + 9) / 3)


def test_the_functions_train(capsys: pytest.CaptureFixture[str]) -> None:
    nc.manual_seed(0)
    train, test = d2l.load_data_digits(64)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    assert d2l.train_ch6(net, train, test, 1, 0.1, d2l.cpu()) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training on cpu"
    assert lines[2].endswith(" examples/sec on cpu")
    accuracy = float(lines[1].split()[-1])
    assert accuracy > 0.75 and accuracy == round(d2l.evaluate_accuracy(net, test), 3)
    axes = pyplot.gcf().axes[0]  # the figure that plt.show() would show
    points = {line.get_label(): np.asarray(line.get_xydata()) for line in axes.lines}
    assert {name: len(p) for name, p in points.items()} == {"train loss": 6, "train acc": 6, "test acc": 1}
    assert points["train loss"][-1, 0] == 1 and axes.get_xlim() == (0, 1)
    d2l.train_ch6(net, d2l.load_data_digits(1000)[0], test, 1, 0.1)  # fewer than five batches


def test_train_ch6_changes_nothing_before_its_arguments_are_judged() -> None:
    net, batches = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), [(nc.ones(3, 1, 2, 2), nc.tensor([0, 1, 1]))]
    before = net[1].weight.tolist()
    for epochs, lr, device, text in [
        ("3", 0.1, None, "[train_ch6] expected num_epochs as an integer of at least 1; received '3'."),
        (1, -0.1, None, "[SGD] expected lr as a number of at least 0; received -0.1."),
        (1, 0.1, "tpu", "[to] expected one of 'cpu' and 'cuda'; received 'tpu'."),
    ]:
        with pytest.raises((ValueError, RuntimeError)) as error:
            d2l.train_ch6(net, batches, batches, epochs, lr, device)  # type: ignore[arg-type]
        assert str(error.value) == text and net[1].weight.tolist() == before
    with pytest.raises(ValueError, match=r"^\[train_ch6\] expected at least one batch; received none\.$"):
        d2l.train_ch6(net, [], batches, 1, 0.1)  # type: ignore[arg-type]


def test_the_classes_train() -> None:
    nc.manual_seed(0)

    class Softmax(d2l.Classifier):
        def __init__(self, lr: float = 0.1, num_classes: int = 10) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))

    model, data = Softmax(lr=0.5), d2l.Digits(batch_size=64)
    model.apply_init([next(iter(data.get_dataloader(True)))[0]], d2l.init_cnn)
    bound = (6 / 794) ** 0.5
    assert 0.9 * bound < abs(model.net[1].weight).max().item() <= bound
    trainer = d2l.Trainer(max_epochs=2)
    trainer.fit(model, data)
    assert (trainer.train_batch_idx, trainer.val_batch_idx, trainer.epoch) == (46, 12, 1)
    points = {line.get_label(): np.asarray(line.get_xydata()) for line in pyplot.gcf().axes[0].lines}
    assert {name: len(p) for name, p in points.items()} == {"train_loss": 4, "val_loss": 2, "val_acc": 2}
    assert points["val_acc"][1, 1] > 0.85 and points["val_acc"][:, 0].tolist() == [1, 2]
    right = sum(float(model.accuracy(model(X), y, averaged=False).sum()) for X, y in data.val_dataloader())
    assert points["val_acc"][1, 1] == pytest.approx(right / len(data.val), abs=0.02)  # a mean of batches
    assert model.hparams == {"lr": 0.5, "num_classes": 10} and model.lr == 0.5
    trainer.fit(model, data)  # as when a cell is run again: curves of its own, and a figure in the new output
    assert len(pyplot.get_fignums()) == 2
    assert {line.get_label(): len(line.get_xydata()) for line in pyplot.gcf().axes[0].lines} == {name: len(p) for name, p in points.items()}


def test_an_optimiser_of_ones_own() -> None:
    class Descent(d2l.HyperParameters):
        def __init__(self, params: list[nn.Parameter], lr: float) -> None:
            self.save_hyperparameters()

        def zero_grad(self) -> None:
            for p in self.params:
                p.grad = None

        def step(self) -> None:
            for p in self.params:
                p -= self.lr * p.grad

    class Net(d2l.Classifier):
        def __init__(self, by_hand: bool) -> None:
            super().__init__()
            self.save_hyperparameters()
            nc.manual_seed(0)
            self.net, self.lr, self.board.display = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), 0.1, False

        def configure_optimizers(self) -> Any:
            return Descent(list(self.parameters()), self.lr) if self.by_hand else super().configure_optimizers()

    found = [Net(by_hand) for by_hand in (True, False)]
    for model in found:
        nc.manual_seed(1)
        d2l.Trainer(1).fit(model, d2l.Digits(batch_size=512))
    np.testing.assert_allclose(*(model.net[1].weight.detach().numpy() for model in found), rtol=1e-6)


def test_a_trainer_judges_its_arguments_before_it_trains() -> None:
    for options, text in [
        ({"max_epochs": "3"}, "max_epochs as an integer of at least 1; received '3'."),
        ({"max_epochs": 1, "num_gpus": -1}, "num_gpus as an integer of at least 0; received -1."),
        ({"max_epochs": 1, "gradient_clip_val": "1"}, "gradient_clip_val as a number of at least 0; received '1'."),
    ]:
        with pytest.raises(ValueError) as error:
            d2l.Trainer(**options)  # type: ignore[arg-type]
        assert str(error.value) == f"[Trainer] expected {text}"


def test_gradients_are_clipped() -> None:
    model, trainer = nn.Linear(2, 1), d2l.Trainer(1, gradient_clip_val=1)
    model.weight.grad, model.bias.grad = nc.tensor([[3.0, 0.0]]), nc.tensor([4.0])
    trainer.clip_gradients(10, model)
    assert model.weight.grad.tolist() == [[3, 0]]
    trainer.clip_gradients(1, model)
    np.testing.assert_allclose([*model.weight.grad.tolist()[0], model.bias.grad.item()], [0.6, 0, 0.8], rtol=1e-6)

    class Steep(d2l.Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.lr, self.net = 1.0, nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
            self.board.display = False

    steep, data = Steep(), d2l.Digits(batch_size=1437)
    before = [np.array(p.detach()) for p in steep.parameters()]
    d2l.Trainer(1, gradient_clip_val=0.01).fit(steep, data)
    moved = sum(float(((p.detach().numpy() - b) ** 2).sum()) for p, b in zip(steep.parameters(), before)) ** 0.5
    assert moved == pytest.approx(0.01, rel=1e-3)
    assert not pyplot.get_fignums() and list(steep.board._points) == ["train_loss", "val_loss", "val_acc"]


def test_what_a_subclass_has_to_define() -> None:
    for call, text in [
        (lambda: d2l.DataModule().train_dataloader(), "[DataModule] expected a method get_dataloader; received none; define it."),
        (lambda: d2l.Module()(nc.ones(1)), "[Module] expected an attribute net, or a method forward; received neither; define one."),
        (lambda: d2l.Module().loss(1, 2), "[Module] expected a method loss; received none; define it."),
        (lambda: d2l.LeNet().plot("loss", 1, True), "[LeNet] expected a Trainer; received none; call Trainer.fit with the network."),
    ]:
        with pytest.raises((NotImplementedError, RuntimeError)) as error:
            call()
        assert str(error.value) == text


def test_methods_that_come_later() -> None:
    class Net(d2l.Classifier):
        def width(self) -> int:
            return 3

    net_class: Any = Net

    @d2l.add_to_class(net_class)
    def __init__(self: Any, lr: float, *rest: int, _hidden: int = 0, **options: int) -> None:
        super(net_class, self).__init__()
        self.save_hyperparameters(ignore=["rest"])
        self.net = nn.Sequential(nn.LazyLinear(self.width()))

    net = net_class(0.3, 1, 2, _hidden=3, more=4)
    assert net.hparams == {"lr": 0.3, "options": {"more": 4}} and not hasattr(net, "rest")
    assert net(nc.ones(2, 5)).shape == (2, 3)


def test_an_object_that_keeps_its_arguments_is_kept_by_no_cycle() -> None:
    gc.disable()
    try:
        model = d2l.LeNet()
        kept = weakref.ref(model)
        del model
        assert kept() is None
    finally:
        gc.enable()


# -- blocks ----------------------------------------------------------------------------------------------------------------
def test_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    X = nc.rand(2, 4, 6, 6)
    assert d2l.Residual(4, 4)(X).shape == d2l.Residual(4)(X).shape == (2, 4, 6, 6)
    assert d2l.Residual(4, 6, use_1x1conv=True, strides=2)(X).shape == (2, 6, 3, 3)
    block = d2l.ResNeXtBlock(8, 2, 0.5, use_1x1conv=True, strides=2)
    assert block(X).shape == (2, 8, 3, 3) and block.conv2.groups == 2 and block.conv2.in_channels == 4
    assert d2l.ResNeXtBlock(4, 4, 1)(X).shape == X.shape
    with pytest.raises(TypeError, match=r"^\[Residual\] expected num_channels, or input_channels and num_channels; received \(\)\.$"):
        d2l.Residual()
    d2l.LeNet().layer_summary((1, 1, 28, 28))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12 and lines[3] == "Conv2d output shape:\t(1, 16, 10, 10)"


def test_a_residual_block_computes_what_it_says() -> None:
    block, X = d2l.Residual(3, 5, use_1x1conv=True, strides=2), nc.randn(2, 3, 6, 6)
    Y = block.bn2(block.conv2(block.bn1(block.conv1(X)).relu()))
    np.testing.assert_allclose(block(X).detach().numpy(), (Y + block.conv3(X)).relu().detach().numpy(), rtol=1e-6)


# -- pictures --------------------------------------------------------------------------------------------------------------
def test_curves_outside_a_notebook_wait_for_show(capsys: pytest.CaptureFixture[str]) -> None:
    animator = d2l.Animator(xlabel="x", ylabel="y", legend=["a", "b"], ylim=[1, 9], yscale="log")
    animator.add(1, (2.0, None))
    animator.add((2, 3), (4.0, nc.tensor(8.0)))
    axes = pyplot.gcf().axes[0]
    assert [(line.get_label(), line.get_xydata().tolist()) for line in axes.lines] == [("a", [[1, 2], [2, 4]]), ("b", [[3, 8]])]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale(), axes.get_ylim()[1]) == ("x", "y", "log", 9)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    d2l.Animator().add(0, 1.0)
    assert pyplot.gcf().axes[0].get_legend() is None
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ValueError, match=r"^\[Animator\] expected an x for each of 2 curves; received 3\.$"):
        animator.add((1, 2, 3), (1, 2))


def test_a_board_draws_means() -> None:
    board = d2l.ProgressBoard("x", colors=["C3"], ls=["--"])
    board.yscale = "log"
    for x in range(5):
        board.draw(x, nc.tensor(float(10**x)), "power", every_n=2)
    board.draw(1, 2, "other")
    lines = pyplot.gcf().axes[0].lines
    assert lines[0].get_xydata().tolist() == [[0.5, 5.5], [2.5, 550]]
    assert (lines[0].get_color(), lines[0].get_linestyle(), lines[1].get_label()) == ("C3", "--", "other")
    assert pyplot.gcf().axes[0].get_yscale() == "log"


def test_curves_in_a_notebook_are_replaced_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a notebook's shell put in; ``display`` gives a handle, and pyplot keeps no figure that it would show again."""
    calls: list[Any] = []

    class Handle:
        def update(self, figure: Any) -> None:
            calls.append(("update", figure))

    class IPython:
        @staticmethod
        def get_ipython() -> Any:
            return type("Shell", (), {"kernel": True})

        class display:
            @staticmethod
            def display(figure: Any, display_id: bool) -> Handle:
                calls.append(("display", figure))
                return Handle()

    monkeypatch.setitem(sys.modules, "IPython", IPython)
    inline = type("inline", (), {"set_matplotlib_formats": staticmethod(lambda kind: calls.append(kind))})
    monkeypatch.setitem(sys.modules, "matplotlib_inline.backend_inline", inline)
    monkeypatch.setitem(sys.modules, "matplotlib_inline", type("package", (), {"backend_inline": inline, "__path__": []}))
    animator = d2l.Animator(legend=["a"])
    for x in range(3):
        animator.add(x, x)
    assert [call if isinstance(call, str) else call[0] for call in calls] == ["svg", "display", "update", "update"]
    assert len({id(call[1]) for call in calls[1:]}) == 1 and not pyplot.get_fignums()


def test_plot_and_pictures() -> None:
    x = nc.arange(3.0)
    d2l.plot(x, [x * x, x.numpy()], "x", "y", legend=["f", "g"], figsize=(4, 3))
    axes = pyplot.gcf().axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0, 1, 4], [0, 1, 2]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["f", "g"] and axes.get_xlabel() == "x"
    d2l.plot([5.0, 6.0], axes=axes)
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0, 5], [1, 6]]]
    with pytest.raises(ValueError, match=r"^\[plot\] expected an X, or one for each of 3 curves; received 2\.$"):
        d2l.plot([x, x], [x, x, x])
    grid = d2l.show_images(nc.zeros(3, 4, 5), 2, 2, titles=["a", "b", "c"])
    assert [g.get_title() for g in grid] == ["a", "b", "c", ""]
    assert [len(g.images) for g in grid] == [1, 1, 1, 0]
    with pytest.raises(ValueError, match=r"^\[show_images\] expected rows and columns for 3 pictures; received \(1, 2\)\.$"):
        d2l.show_images(nc.zeros(3, 4, 5), 1, 2)
    d2l.set_figsize((6, 5))
    assert pyplot.rcParams["figure.figsize"] == [6, 5]
