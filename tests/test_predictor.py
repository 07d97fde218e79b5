"""From a run to an answer: one preprocessing for training and use, drawn digits, threads, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import checkpoint, training
from numbacnn.checkpoint import Checkpoint, Preprocessing
from numbacnn.data.ink import Ink
from numbacnn.kernels.cpu import launch

PIL = pytest.importorskip("PIL.Image", reason='needs pillow: pip install "numbacnn[demo]"')
pytest.importorskip("matplotlib", reason='needs matplotlib: pip install "numbacnn[demo]"')
pytest.importorskip("sklearn", reason='needs scikit-learn: pip install "numbacnn[demo]"')


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> training.History:
    """A run that knows the digits."""
    train, test = nc.data.digits()
    arguments = {**training.recipe("digits", "lenet-modern"), "epochs": 8, "threads": 1}
    return training.fit("lenet-modern", train, test, **arguments, out=tmp_path_factory.mktemp("run") / "digits", progress=False)


@pytest.fixture(scope="module")
def predictor(run: training.History) -> nc.Predictor:
    assert run.folder is not None
    return nc.Predictor(run.folder)


@pytest.fixture(scope="module")
def colour() -> nc.Predictor:
    """A predictor for colour photographs, with random weights."""
    rng = np.random.default_rng(0)
    pictures = nc.data.ImageDataset(
        rng.integers(0, 256, (6, 16, 16, 3), np.uint8), np.arange(6) % 3, ("ape", "bee", "cow"), mean=0.4, std=0.2
    )
    nc.manual_seed(0)
    return nc.Predictor.of(nc.models.small_resnet(classes=3), pictures.classes, Preprocessing.of(pictures))


def refused(error: Any, text: str, call: Any, *args: Any, **options: Any) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        call(*args, **options)


# -- one preprocessing -----------------------------------------------------------------------------------------------------------
def test_pictures_go_through_what_training_pictures_do(predictor: nc.Predictor, colour: nc.Predictor) -> None:
    """Bit for bit: digits of their own size and photographs of any size."""
    _, digits = nc.data.digits()
    photographs = nc.data.ImageDataset(np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), np.uint8), np.zeros(20, int), ("a",))
    for chosen, data in ((predictor, digits[:50]), (colour, photographs)):
        seen = chosen.preprocessing
        assert seen is not None
        for X, _ in nc.data.DataLoader(dataclasses.replace(data, mean=seen.mean, std=seen.std), 50):
            assert np.array_equal(np.stack([chosen.prepared(picture) for picture in data.images]), np.asarray(X))
    large = np.random.default_rng(2).integers(0, 256, (40, 60, 3), np.uint8)
    read = nc.data.read_image(large, 16, 3)
    assert np.array_equal(colour.prepared(large), colour.prepared(read))


def test_answers_are_those_of_predict(predictor: nc.Predictor, run: training.History) -> None:
    _, test = nc.data.digits()
    assert run.folder is not None
    network = checkpoint.load(run.folder).network()
    found = predictor(list(test.images[:70]))  # more than a batch
    wanted = np.concatenate([training.predict(network, test[start : min(start + 32, 70)]) for start in (0, 32, 64)])
    assert np.array_equal(np.stack([answer.probabilities for answer in found]), wanted)
    assert [answer.label for answer in found] == [test.classes[k] for k in wanted.argmax(1)]


def test_every_kind_of_picture(colour: nc.Predictor, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    PIL.fromarray(pixels).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    sources = [str(tmp_path / "a.png"), tmp_path / "a.png", content, io.BytesIO(content), PIL.fromarray(pixels), pixels, pixels / 255]
    first, *others = colour(sources)
    assert all(np.array_equal(other.probabilities, first.probabilities) for other in others)
    assert first.label in colour.classes and first.top(2)[0] == (first.label, first.probability) and len(first.top(9)) == 3
    grey = pixels[..., 0]
    assert np.array_equal(colour.prepared(grey), colour.prepared(np.stack([grey] * 3, 2)))
    assert np.array_equal(colour.prepared(grey > 99), colour.prepared(np.where(grey > 99, 255, 0).astype(np.uint8)))
    assert isinstance(colour(pixels), nc.Prediction) and colour([]) == [] and len(colour((pixels,))) == 1


def test_a_file_object_of_a_drawing(predictor: nc.Predictor) -> None:
    """It is decoded more than once."""
    content = io.BytesIO()
    PIL.fromarray(drawn(4)).save(content, "PNG")
    content.seek(0)
    assert np.array_equal(predictor.prepared(content), predictor.prepared(drawn(4)))


def test_photographs_are_no_drawings() -> None:
    """Neither cropped nor made negative: a thing on a bright table, where all training pictures are dark."""
    dark = nc.data.ImageDataset(np.random.default_rng(0).integers(0, 80, (8, 16, 16, 1), np.uint8), np.zeros(8, int), ("a",))
    seen = Preprocessing.of(dark)
    assert seen.background == "dark" and seen.ink is None
    picture = np.full((64, 64), 240, np.uint8)
    picture[5:9, 5:9] = 0
    assert np.array_equal(seen.apply(picture)[0] * 255, nc.data.read_image(picture, 16)[..., 0])


def test_files_were_no_others_for_training() -> None:
    train, _ = nc.data.digits()
    assert Preprocessing.of(train).ink is not None
    assert Preprocessing.of(dataclasses.replace(train, files=tuple(map(str, range(len(train)))))).ink is None


# -- drawn digits ----------------------------------------------------------------------------------------------------------------
def drawn(
    digit: int, *, side: int = 200, height: int = 140, at: tuple[int, int] | None = None, ink: int = 0, paper: int = 255
) -> np.ndarray:
    """A digit in DejaVu Sans, as grey bytes."""
    import matplotlib
    from PIL import ImageDraw, ImageFont

    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", height / 0.729)
    page = PIL.new("L", (side, side), paper)
    place: dict[str, Any] = {"xy": (side / 2, side / 2), "anchor": "mm"} if at is None else {"xy": at, "anchor": "lt"}
    ImageDraw.Draw(page).text(text=str(digit), font=font, fill=ink, **place)
    return np.asarray(page)


def noisy(page: np.ndarray, deviation: float) -> np.ndarray:
    return (page + np.random.default_rng(0).normal(0, deviation, page.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("options", "deviation"), [
    ({}, 0), ({"ink": 255, "paper": 0}, 0), ({"height": 30, "at": (160, 155)}, 0), ({"height": 40, "at": (12, 14)}, 0),
    ({"ink": 60, "paper": 190}, 12),
], ids=["black on white", "white on black", "30 px in a corner", "40 px in a corner", "grey and noisy"])  # fmt: skip
def test_drawn_digits(predictor: nc.Predictor, options: dict[str, Any], deviation: float) -> None:
    answers = predictor([noisy(drawn(digit, **options), deviation) for digit in range(10)])
    assert sum(answer.label == str(digit) for digit, answer in enumerate(answers)) >= 8


def test_a_picture_is_laid_as_those_of_training(predictor: nc.Predictor) -> None:
    seen = predictor.preprocessing
    assert seen is not None and seen.ink is not None and 1 < seen.ink.blur < 2
    wide = np.full((100, 400), 255, np.uint8)
    wide[20:60, 300:330] = 0
    (laid,) = seen.apply(wide)
    rows, columns = laid.max(1), laid.max(0)
    assert rows.sum() / 28 == pytest.approx(seen.ink.extent, abs=0.06)
    assert columns.sum() / rows.sum() == pytest.approx(30 / 40, abs=0.08)
    centre = [(profile * (np.arange(28) + 0.5)).sum() / profile.sum() / 28 for profile in (rows, columns)]
    assert centre == pytest.approx(seen.ink.centre, abs=0.01)


def test_the_lie_of_the_ink_is_measured() -> None:
    """Sharp characters of 20 pixels around their centre of mass, as MNIST's are, dark on white."""
    as_mnist = Ink(20 / 28, (0.5, 0.5), 0.0)
    pictures = np.stack([as_mnist.laid(drawn(digit), (28, 28)) for digit in range(10)])[..., None]
    for images in (pictures, 255 - pictures):
        found = Ink.of(images)
        assert found is not None and found.blur < 0.6
        assert [found.extent, *found.centre] == pytest.approx([20 / 28, 0.5, 0.5], abs=0.01)
    bright = nc.data.ImageDataset(255 - pictures, np.arange(10), tuple("0123456789"))
    (page,) = Preprocessing.of(bright).apply(drawn(3, ink=255, paper=0))
    assert page[0, 0] == 1 and page.min() < 0.1
    rng = np.random.default_rng(0)
    anywhere = np.zeros((40, 60, 60, 1), np.uint8)
    for image in anywhere:
        height, top = rng.integers(6, 50), rng.integers(2, 8)
        image[top : top + height, 20:24] = 255
    assert Ink.of(anywhere) is None


@pytest.mark.parametrize("page", [np.full((50, 50), 200, np.uint8), noisy(np.full((90, 90), 128, np.uint8), 15)], ids=["blank", "noise"])
def test_a_page_without_ink_is_taken_as_it_is(predictor: nc.Predictor, page: np.ndarray) -> None:
    assert np.array_equal(predictor.prepared(page)[0] * np.float32(255), nc.data.read_image(page, 28)[..., 0].astype(np.float32))


def test_a_negative_of_the_training_pictures_size(predictor: nc.Predictor) -> None:
    _, test = nc.data.digits()
    picture = test.images[0]
    assert np.array_equal(predictor.prepared(255 - picture), predictor.prepared(picture))


# -- the predictor ---------------------------------------------------------------------------------------------------------------
def test_threads_give_equal_bits(predictor: nc.Predictor) -> None:
    _, test = nc.data.digits()
    pages = [test.images[0], drawn(5), drawn(7, height=40, at=(9, 9)), test.images[1]]
    wanted = [predictor(page).probabilities for page in pages]
    wrong: list[int] = []
    ready = threading.Barrier(8)

    def ask(number: int) -> None:
        ready.wait()
        for turn in range(12):
            k = (number + turn) % len(pages)
            if not np.array_equal(predictor(pages[k]).probabilities, wanted[k]):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_weights_are_packed_once(predictor: nc.Predictor) -> None:
    page = drawn(2)
    predictor(page)
    locked = [p for p in predictor.network.parameters() if not p.array.flags.writeable]
    assert len(locked) == 5 and not any(p.requires_grad for p in predictor.network.parameters()) and not predictor.network.training


def compilations() -> int:
    return sum(sum(kernel.stats.cache_hits.values()) + sum(kernel.stats.cache_misses.values()) for kernel in launch.KERNELS)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 31, 32, 45])
def test_warmup_leaves_nothing_to_compile(colour: nc.Predictor, count: int) -> None:
    assert colour.warmup() > 0
    before = compilations()
    colour([np.zeros((20, 30, 3), np.uint8)] * count)
    assert compilations() == before


def test_the_same_for_a_run_at_hand(run: training.History, predictor: nc.Predictor) -> None:
    assert np.array_equal(run.predictor(drawn(8)).probabilities, predictor(drawn(8)).probabilities)


def test_a_network_of_your_own(tmp_path: Path) -> None:
    """It is copied, and may go on training; its best weights come from the run."""
    rng = np.random.default_rng(0)
    pictures = nc.data.ImageDataset(rng.integers(0, 256, (24, 6, 6, 1), np.uint8), np.arange(24) % 2, ("no", "yes"))

    def make() -> nc.nn.Module:
        return nc.nn.Sequential(nc.nn.Flatten(), nc.nn.Linear(36, 8), nc.nn.BatchNorm1d(8), nc.nn.Linear(8, 2))

    network = make()
    history = training.fit(network, pictures, epochs=2, out=tmp_path / "run", progress=False)
    given = history.predictor(pictures.images[0])
    with pytest.raises(ValueError, match=r"^\[checkpoint\] expected a network of numbacnn\.models; "):
        nc.Predictor(tmp_path / "run")
    loaded = nc.Predictor(tmp_path / "run", make())
    assert np.array_equal(loaded(pictures.images[0]).probabilities, given.probabilities)
    assert all(p.requires_grad for p in network.parameters())
    of = nc.Predictor.of(network, pictures.classes, Preprocessing.of(pictures))
    before = of(pictures.images[0]).probabilities
    with nc.no_grad():
        for p in network.parameters():
            p.zero_()
    assert np.array_equal(of(pictures.images[0]).probabilities, before)


def test_no_epoch_no_predictor() -> None:
    refused(ValueError, "[History] expected a run with an epoch; received none yet.", lambda: training.History().predictor)


def test_without_preprocessing_and_classes() -> None:
    """Arrays go in as the network takes them, and classes are numbered."""
    nc.manual_seed(0)
    network = nc.nn.Sequential(nc.nn.Flatten(), nc.nn.Linear(12, 3)).eval()
    plain = nc.Predictor.of(network)
    X = np.random.default_rng(0).standard_normal((2, 3, 2, 2)).astype(np.float32)
    wanted = training.predict(network, X)
    for given in (list(X), [nc.tensor(x) for x in X], list(X.astype(np.float64))):
        found = plain(given)
        assert np.array_equal(np.stack([answer.probabilities for answer in found]), wanted)
    assert found[0].classes == ("0", "1", "2")
    hint = "train on an ImageDataset, or pass a Preprocessing to Predictor.of"
    text = "an array (C, H, W) as the network takes it, since the checkpoint does not say what pictures go through"
    refused(TypeError, f"[Predictor] expected {text}; received 'cat.jpg'; {hint}.", plain, "cat.jpg")
    refused(
        ValueError,
        "[warmup] expected the shape (C, H, W) of the network's input; received None; the checkpoint does not say it.",
        plain.warmup,
    )
    assert plain.warmup((3, 2, 2)) > 0
    refused(nc.DTypeError, "[Predictor] expected an array of numbers; received dtype <U1.", plain, np.array(["a"]))
    refused(nc.ShapeError, "[Predictor] expected pictures of one shape; received (3, 2, 2), (3, 4).", plain, [X[0], X[0].reshape(3, 4)])


SCORES = "[Predictor] expected scores (N, K) of K classes from the network; received "


def test_what_is_no_picture(colour: nc.Predictor, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no picture")
    white = "divide by the value of white"
    rows: list[tuple[Any, type[Exception], str]] = [
        (tmp_path / "x", FileNotFoundError, f"a picture file {tmp_path / 'x'}; received no such file."),
        (tmp_path / "text", nc.FormatError,
         f"{tmp_path / 'text'} to be a picture; received content of no format that pillow reads by itself; repair or remove the file."),
        (np.zeros((3, 16, 16), np.uint8), nc.ShapeError,
         "an array (H, W) or (H, W, C) with C 1, 3 or 4; received shape (3, 16, 16); write transpose(1, 2, 0)."),
        (np.full((4, 4), 255.0), ValueError, f"floats from 0 to 1; received 255 to 255; {white}."),
        (np.full((4, 4), np.nan), ValueError, f"floats from 0 to 1; received nan to nan; {white}."),
        (np.zeros((4, 4), np.int64), nc.DTypeError, f"an array of uint8, or of floats from 0 to 1; received dtype int64; {white}."),
        (7, TypeError, "a path, bytes, a file opened to read bytes, a Pillow picture or an array (H, W, C); received 7."),
    ]  # fmt: skip
    for source, error, text in rows:
        refused(error, f"[Predictor] expected {text}", colour, source)
        refused(error, f"[Predictor] expected {text}", colour, [np.zeros((4, 4)), source])


def test_pictures_that_are_too_large(tmp_path: Path) -> None:
    seen = Preprocessing((1, 6, 6), (0.0,), (1.0,))
    saved = Checkpoint({}, preprocessing=seen)
    small = nc.Predictor(saved, nc.nn.Flatten(), max_pixels=100)
    PIL.new("L", (11, 10)).save(tmp_path / "a.png")
    text = f"{tmp_path / 'a.png'} to have at most 100 pixels; received 11 x 10; make it smaller, or raise max_pixels"
    refused(nc.FormatError, f"[Predictor] expected {text}.", small, tmp_path / "a.png")


def test_what_is_no_classifier() -> None:
    hint = "call predictor.network, or numbacnn.predict with probabilities=False"
    refused(nc.ShapeError, f"{SCORES}shape (1, 1, 2, 2); {hint}.", nc.Predictor.of(nc.nn.Identity()), np.zeros((1, 2, 2)))
    refused(nc.ShapeError, f"{SCORES}shape (1, 1); {hint}.", nc.Predictor.of(nc.nn.Flatten()), np.zeros((1, 1, 1)))
    two = nc.Predictor.of(nc.nn.Flatten(), ("a", "b"))
    refused(ValueError, "[Predictor] expected 4 classes, as the network has scores; received 2 names.", two, np.zeros((1, 2, 2)))
