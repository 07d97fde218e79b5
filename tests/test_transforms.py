"""vision.transforms: values and reprs as torchvision's, what is drawn, and errors."""

from __future__ import annotations

import functools
import json
import math
import os
import pickle
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torchvision_values as values
from PIL import Image

import numbacnn as nc
from numbacnn import nn, random
from numbacnn.errors import in_form
from numbacnn.vision import transforms as T

F = T.functional
STORED = json.loads(values.FILE.read_text())
US = SimpleNamespace(transforms=T, Tensor=nc.Tensor, tensor=nc.from_array, array=np.asarray, dtype=lambda name: getattr(nc, name))
CALLS = list(values.calls())
SHARE = 1 if os.environ.get("NUMBACNN_LONG") else 4  # of the drawn cases, one in so many


def check(found: Any, wanted: Any, case: values.Case, chosen: str) -> None:
    """Checksums are equal. Sums of floats may differ by rounding; in one of rounded integers, four may be rounded the other way."""
    if isinstance(wanted, int):
        assert found == wanted, f"{chosen}: {case}"
    else:
        tolerance = 4 if case.rounded and not case.kind.startswith("float") else 2e-4
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=tolerance, err_msg=f"{chosen}: {case}")


# -- values -----------------------------------------------------------------------------------------------------------
def test_functions_make_what_torchvision_makes() -> None:
    seen = set()
    for n, case in enumerate(values.cases()):
        if n // len(values.ROWS) % SHARE == 0:
            check(values.outcome(values.called(US, case), case.rounded), STORED["cases"][n], case, f"case {n}")
            seen.add((case.name, case.kind))
    assert len(seen) > 150
    assert n + 1 == len(STORED["cases"]) == values.CASES


@pytest.mark.parametrize(("n", "text"), [(n, text) for n, (text, _) in enumerate(CALLS)])
def test_transforms_that_leave_nothing_to_chance(n: int, text: str) -> None:
    case = CALLS[n][1]
    result = values.arrays(US, values.made(US, text)(values.given(US, case)))
    check(values.outcome(result, case.rounded), STORED["calls"][n], case, text)


@pytest.mark.parametrize("text", values.FIXED + values.DRAWN)
def test_reprs_and_pickles(text: str) -> None:
    transform = values.made(US, text)
    assert repr(transform) == STORED["reprs"][text]
    assert repr(pickle.loads(pickle.dumps(transform))) == repr(transform)


def test_tensors_keep_their_device_dtype_and_memory() -> None:
    """Nothing is written into what is given but where ``inplace`` says so."""
    for case in list(values.cases(len(values.ROWS) * 4)):
        if case.kind in values.TENSORS:
            x = values.given(US, case)
            if case.name not in ("get_dimensions", "get_image_size"):
                arguments = {**case.arguments, **({"v": 1} if "v" in case.arguments else {})}
                arguments |= {"interpolation": T.InterpolationMode[arguments["interpolation"]]} if "interpolation" in arguments else {}
                getattr(F, case.name)(x, **arguments)
            assert np.array_equal(np.asarray(x), case.pixels), case


def test_inplace_writes_into_the_tensor() -> None:
    x = nc.ones(3, 4, 4)
    view = x[:, :2]
    assert T.Normalize(0.5, 0.5, inplace=True)(view) is view
    assert F.erase(x, 0, 0, 1, 1, 7, inplace=True) is x
    assert x[:, 0, 0].tolist() == [7, 7, 7]
    assert T.Normalize([1, 1, 1], [2, 2, 2], inplace=True)(x) is x
    assert x[:, 3].max().item() == 0


def test_the_picture_itself_where_nothing_changes() -> None:
    for img in (nc.ones(3, 8, 8), Image.new("RGB", (8, 8))):
        assert F.resize(img, 8) is img
        assert T.RandomHorizontalFlip(0.0)(img) is img
        assert T.Compose([])(img) is img


def test_a_tensor_with_a_gradient_is_taken() -> None:
    x = nc.ones(3, 8, 8).requires_grad_()
    assert not T.Resize(4)(x).requires_grad


@pytest.mark.parametrize("mode", [T.InterpolationMode.BILINEAR, T.InterpolationMode.BICUBIC])
@pytest.mark.parametrize("size", [(1, 1), (20, 1), (1, 7), (4, 30), (9, 5)])
def test_a_tensor_is_resized_as_a_pillow_picture_of_floats(mode: T.InterpolationMode, size: tuple[int, int]) -> None:
    """Also to one column, where PyTorch errs."""
    x = np.random.default_rng(0).random((12, 13), np.float32)
    wanted = np.asarray(F.resize(Image.fromarray(x), size, mode))
    np.testing.assert_allclose(np.asarray(F.resize(nc.from_array(x), size, mode)), wanted, atol=2e-5)


def test_sizes_at_the_edge() -> None:
    assert F.resize(nc.ones(1, 2, 1000), 1, max_size=2).shape == (1, 1, 2)  # torchvision fails: a side of no pixel
    for n in range(2, 40, 2):  # a turn of which the corners come to lie on the edges of pixels, but for rounding
        turned = F.rotate(nc.ones(1, 5 * n, 10 * n), math.degrees(math.atan2(4, 3)), expand=True)
        assert turned.shape == (1, 11 * n, 10 * n)


def test_what_comes_from_nowhere_is_outside() -> None:
    x = nc.ones(1, 5, 5)
    assert F.affine(x, 0, (0, 0), 1e-300, 0).sum().item() == 0
    assert F.affine(x, 0, (1e300, 0), 1.0, 0, T.InterpolationMode.BILINEAR, fill=2).min().item() == 2


def test_a_grey_tensor_keeps_its_saturation() -> None:
    x = nc.from_array(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    for factor in np.linspace(0.1, 1.9, 19):
        assert np.array_equal(np.asarray(F.adjust_saturation(x, factor)), np.asarray(x))


def test_a_part_beside_the_picture_is_zero() -> None:
    """torchvision gives other sizes than those asked for."""
    for top, left in ((-9, 0), (9, 9), (0, -20)):
        part = F.crop(nc.ones(2, 5, 6), top, left, 3, 4)
        assert part.shape == (2, 3, 4)
        assert part.sum().item() == 0


def test_arrays_become_tensors_and_pictures() -> None:
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    assert T.ToTensor()(grey).shape == T.ToTensor()(grey[..., None]).shape == (1, 4, 5)
    assert T.ToTensor()(grey.astype(np.int64)).dtype == nc.int64  # only bytes are divided by 255
    assert np.array_equal(np.asarray(T.ToPILImage()(grey)), grey)
    assert np.array_equal(np.asarray(T.ToPILImage()(np.dstack([grey] * 3))), np.dstack([grey] * 3))
    assert np.array_equal(np.asarray(T.ToPILImage("F")(grey.astype(np.float32))), grey)
    deep = Image.fromarray(grey.astype(np.uint16) + 60000)
    assert F.pil_to_tensor(deep).max().item() == 60019
    assert F.to_tensor(deep).dtype == nc.int16  # as torchvision


def test_modules_hold_transforms() -> None:
    net = nn.Sequential(T.CenterCrop(4), T.Normalize(0.5, 0.5), nn.Flatten())
    assert net(nc.ones(2, 3, 8, 8)).shape == (2, 48)
    assert T.RandomApply(nn.ModuleList([T.CenterCrop(4)]), p=1)(nc.ones(3, 8, 8)).shape == (3, 4, 4)


# -- what is drawn ----------------------------------------------------------------------------------------------------
def drawn(get: Callable[[], Any], times: int = 400) -> list[Any]:
    with random.drawing_from(np.random.default_rng(0)):
        return [get() for _ in range(times)]


def spread(numbers: Any, low: float, high: float) -> None:
    """Numbers lie between two bounds, and about evenly."""
    found = np.sort(np.asarray(numbers, np.float64))
    assert low <= found[0] <= found[-1] <= high
    even = (np.arange(len(found)) + 0.5) / len(found)
    assert np.abs((found - low) / (high - low) - even).max() < 1.63 / len(found) ** 0.5  # Kolmogorov and Smirnov, 1 %


IMAGE = nc.from_array(np.arange(3 * 12 * 13, dtype=np.float32).reshape(3, 12, 13) / 468)


def test_random_crop_takes_each_place() -> None:
    places = drawn(lambda: T.RandomCrop.get_params(IMAGE, (10, 11)))
    assert set(places) == {(i, j, 10, 11) for i in range(3) for j in range(3)}
    assert T.RandomCrop.get_params(IMAGE, (12, 13)) == (0, 0, 12, 13)


def test_random_resized_crop_draws_area_and_shape() -> None:
    parts = np.array(drawn(lambda: T.RandomResizedCrop.get_params(nc.zeros(1, 400, 400), (0.2, 0.3), (1.0, 3.0))))
    top, left, height, width = parts.T
    spread(height * width / 400**2, 0.199, 0.301)
    spread(np.log(width / height), np.log(0.995), np.log(3.02))
    assert (top + height).max() <= 400
    assert (left + width).max() <= 400
    assert top.min() < 20
    assert left.max() > 100


def test_random_erasing_draws_area_and_shape() -> None:
    image = nc.zeros(2, 400, 400)
    rows = drawn(lambda: T.RandomErasing.get_params(image, (0.1, 0.2), (1.0, 3.0), None))
    spread([h * w / 400**2 for _, _, h, w, _ in rows], 0.099, 0.202)
    spread([np.log(h / w) for _, _, h, w, _ in rows], np.log(0.99), np.log(3.03))
    v = np.concatenate([np.asarray(v).ravel()[:100] for *_, v in rows[:20]])
    assert rows[0][4].shape == (2, rows[0][2], rows[0][3])
    assert abs(v.mean()) < 0.1
    assert abs(v.std() - 1) < 0.1
    assert T.RandomErasing.get_params(image, (1.0, 1.0), (1.0, 1.0), [0.0]) == (0, 0, 400, 400, image)


def test_random_angles_and_factors() -> None:
    spread(drawn(lambda: T.RandomRotation.get_params([-20.0, 40.0])), -20, 40)
    rows = drawn(lambda: T.RandomAffine.get_params([-5, 5], (0.1, 0.2), (0.5, 2.0), [-3, 3, 10, 20], [1000, 500]))
    for values_of, low, high in (
        ([angle for angle, *_ in rows], -5, 5),
        ([right for _, (right, _), *_ in rows], -100, 100),
        ([down for _, (_, down), *_ in rows], -100, 100),
        ([scale for _, _, scale, _ in rows], 0.5, 2),
        ([x for *_, (x, _) in rows], -3, 3),
        ([y for *_, (_, y) in rows], 10, 20),
    ):
        spread(values_of, low, high)
    assert T.RandomAffine.get_params([0, 0], None, None, None, [9, 9]) == (0.0, (0, 0), 1.0, (0.0, 0.0))
    spread(drawn(lambda: T.GaussianBlur.get_params(0.5, 1.5)), 0.5, 1.5)


def test_color_jitter_draws_factors_and_their_order() -> None:
    rows = drawn(lambda: T.ColorJitter.get_params((0.5, 1.5), (0.0, 2.0), None, (-0.5, 0.25)), 800)
    orders = {tuple(order.tolist()) for order, *_ in rows}
    assert len(orders) == 24
    spread([brightness for _, brightness, *_ in rows], 0.5, 1.5)
    spread([contrast for _, _, contrast, *_ in rows], 0, 2)
    spread([hue for *_, hue in rows], -0.5, 0.25)
    assert rows[0][3] is None


def test_random_perspective_moves_corners_inwards() -> None:
    start, end = zip(*drawn(lambda: T.RandomPerspective.get_params(100, 60, 0.5)))
    assert start[0] == [[0, 0], [99, 0], [99, 59], [0, 59]]
    moved = np.abs(np.array(end) - np.array(start[0]))
    assert moved.reshape(-1, 2).max(0).tolist() == [25, 15]
    assert moved.min() == 0


@pytest.mark.parametrize("make", [
    T.RandomHorizontalFlip, T.RandomVerticalFlip, T.RandomInvert, T.RandomGrayscale, T.RandomAutocontrast, T.RandomErasing,
    lambda p: T.RandomApply([T.CenterCrop(5)], p), lambda p: T.RandomSolarize(0.3, p), lambda p: T.RandomAdjustSharpness(3, p),
])  # fmt: skip
def test_chances(make: Callable[[float], Any]) -> None:
    transform = make(0.25)
    changed = sum(drawn(lambda: transform(IMAGE) is not IMAGE, 800))
    assert abs(changed - 200) < 50  # four standard deviations
    assert not any(drawn(lambda: make(0.0)(IMAGE) is not IMAGE, 20))
    assert all(drawn(lambda: make(1.0)(IMAGE) is not IMAGE, 20))


def test_choices_and_orders() -> None:
    cuts = [T.CenterCrop(n) for n in (4, 5, 6)]
    sizes = drawn(lambda: T.RandomChoice(cuts, p=[1, 0, 3])(IMAGE).shape[1], 800)
    assert set(sizes) == {4, 6}
    assert abs(sizes.count(4) - 200) < 50
    assert set(drawn(lambda: T.RandomChoice(cuts)(IMAGE).shape[1])) == {4, 5, 6}
    sums = [T.Lambda(lambda x: x + "a"), T.Lambda(lambda x: x + "b"), T.Lambda(lambda x: x + "c")]
    assert len(set(drawn(lambda: T.RandomOrder(sums)("")))) == 6


def test_a_transform_does_what_its_parameters_say() -> None:
    """The function with the numbers that ``get_params`` draws makes the same picture."""
    bilinear = T.InterpolationMode.BILINEAR
    pairs: list[tuple[Any, Callable[[], Any]]] = [
        (T.RandomCrop(8), lambda: F.crop(IMAGE, *T.RandomCrop.get_params(IMAGE, (8, 8)))),
        (T.RandomResizedCrop(8), lambda: F.resized_crop(IMAGE, *T.RandomResizedCrop.get_params(IMAGE, (0.08, 1), (3 / 4, 4 / 3)), (8, 8))),
        (T.RandomRotation(40, bilinear, fill=1), lambda: F.rotate(IMAGE, T.RandomRotation.get_params([-40, 40]), bilinear, fill=[1.0])),
        (
            T.RandomAffine(30, (0.3, 0.3), (0.5, 2), 20),
            lambda: F.affine(IMAGE, *T.RandomAffine.get_params([-30, 30], (0.3, 0.3), (0.5, 2), [-20, 20], [13, 12]), fill=[0.0]),
        ),
        (T.GaussianBlur(3), lambda: F.gaussian_blur(IMAGE, 3, T.GaussianBlur.get_params(0.1, 2.0))),
        (T.ColorJitter(0.5, 0.5, 0.5, 0.5), lambda: jittered(T.ColorJitter.get_params((0.5, 1.5), (0.5, 1.5), (0.5, 1.5), (-0.5, 0.5)))),
    ]
    for transform, wanted in pairs:
        found = drawn(functools.partial(transform, IMAGE), 3)
        for one, other in zip(found, drawn(wanted, 3)):
            assert np.array_equal(np.asarray(one), np.asarray(other)), transform
        assert not np.array_equal(np.asarray(found[0]), np.asarray(found[1])), transform


def jittered(parameters: Any) -> Any:
    changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    result, (order, *factors) = IMAGE, parameters
    for which in order.tolist():
        result = changes[which](result, factors[which])
    return result


@pytest.mark.parametrize("text", values.DRAWN)
def test_the_seed_decides(text: str) -> None:
    image = nc.from_array((np.asarray(IMAGE) * 255).astype(np.uint8)) if re.match("RandomPost|RandomEq", text) else IMAGE
    transform = values.made(US, text)
    first, second = (drawn(lambda: np.asarray(transform(image.clone())), 4) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    nc.manual_seed(3)
    library = [np.asarray(transform(image.clone())) for _ in range(4)]
    nc.manual_seed(3)
    assert all(np.array_equal(np.asarray(transform(image.clone())), a) for a in library)


# -- errors -----------------------------------------------------------------------------------------------------------
PICTURE = Image.new("RGB", (13, 12))


@pytest.mark.parametrize(("make", "kind", "text"), [
    (lambda: F.hflip(np.zeros((3, 4, 4))), TypeError, "[hflip] expected a Pillow picture or a Tensor (..., C, H, W); received an array of "
     "shape (3, 4, 4) and dtype float64; ToTensor or ToPILImage makes one of an array."),
    (lambda: F.hflip(nc.ones(3)), nc.ShapeError, "[hflip] expected a picture (H, W) or (..., C, H, W); received shape (3,)."),
    (lambda: T.ToTensor()(IMAGE), TypeError, "[to_tensor] expected a Pillow picture or an array (H, W, C); received a Tensor; "
     "it is one already."),
    (lambda: T.ToTensor()(np.zeros(3)), nc.ShapeError, "[to_tensor] expected an array (H, W, C) or (H, W); received shape (3,)."),
    (lambda: T.Normalize(0.5, 0.5)(PICTURE), TypeError, "[normalize] expected a Tensor (..., C, H, W); received a Pillow picture; call "
     "to_tensor or pil_to_tensor first."),
    (lambda: T.Normalize(0.5, 0.5)(nc.zeros(3, 4, 4, dtype="uint8")), nc.DTypeError, "[normalize] expected a Tensor of floats; received "
     "uint8; call ToTensor or ConvertImageDtype first."),
    (lambda: T.Normalize((0.5, 0.5), 0.5)(IMAGE), nc.ShapeError, "[normalize] expected mean of 1 or C = 3 numbers; received (0.5, 0.5)."),
    (lambda: T.Normalize(0.5, 0.0)(IMAGE), ValueError, "[normalize] expected std of numbers that are not zero in float32; received 0.0."),
    (lambda: T.Normalize(0.5, 0.5)(nc.ones(4, 4)), nc.ShapeError, "[normalize] expected a Tensor (..., C, H, W); received shape (4, 4)."),
    (lambda: T.Resize((1, 2, 3)), ValueError, "[Resize] expected size as an integer or a sequence of 1 or 2 of at least 1; received "
     "(1, 2, 3)."),
    (lambda: T.Resize(0), ValueError, "[Resize] expected size as an integer or a sequence of 1 or 2 of at least 1; received 0."),
    (lambda: T.Resize(9, "bilinear"), TypeError, "[Resize] expected interpolation as an InterpolationMode, or a constant of Pillow; "
     "received 'bilinear'."),
    (lambda: T.Resize(9, max_size=9)(IMAGE), ValueError, "[resize] expected max_size beside one number, and larger than it; received "
     "size 9 and max_size 9."),
    (lambda: T.Resize(9, T.InterpolationMode.BOX)(IMAGE), ValueError, "[resize] expected one of the modes NEAREST, NEAREST_EXACT, "
     "BILINEAR, BICUBIC for a Tensor; received InterpolationMode.BOX."),
    (lambda: T.RandomRotation(5, T.InterpolationMode.BICUBIC)(IMAGE), ValueError, "[rotate] expected one of the modes NEAREST, BILINEAR "
     "for a Tensor; received InterpolationMode.BICUBIC."),
    (lambda: T.RandomRotation(5, T.InterpolationMode.BOX)(PICTURE), ValueError, "[rotate] expected NEAREST, BILINEAR or BICUBIC for a "
     "Pillow picture; received InterpolationMode.BOX."),
    (lambda: T.RandomCrop(20)(IMAGE), nc.ShapeError, "[RandomCrop] expected a picture of at least 20 x 20; received 12 x 13; give "
     "padding, or pad_if_needed=True."),
    (lambda: T.FiveCrop(20)(IMAGE), nc.ShapeError, "[five_crop] expected a picture of at least 20 x 20; received 12 x 13."),
    (lambda: T.Pad((1, 2, 3)), ValueError, "[Pad] expected padding as an integer or a sequence of 1, 2 or 4; received (1, 2, 3)."),
    (lambda: T.Pad(-6)(IMAGE), nc.ShapeError, "[pad] expected a picture of which something is left; received 12 x 13 with padding -6."),
    (lambda: T.Pad(1, (1, 2, 3))(IMAGE), TypeError, "[pad] expected fill as a number for a Tensor; received (1, 2, 3)."),
    (lambda: T.Pad(1, (1, 2))(PICTURE), ValueError, "[pad] expected fill of 1 or 3 numbers; received (1, 2)."),
    (lambda: T.Pad(1, padding_mode="wrap"), ValueError, "[Pad] expected padding_mode as 'constant', 'edge', 'reflect' or 'symmetric'; "
     "received 'wrap'."),
    (lambda: T.ColorJitter(-1), ValueError, "[ColorJitter] expected brightness as a number of at least 0; received -1."),
    (lambda: T.ColorJitter(hue=0.6), ValueError, "[ColorJitter] expected hue as (low, high) of -0.5 to 0.5; received (-0.6, 0.6)."),
    (lambda: T.Grayscale(2), ValueError, "[Grayscale] expected num_output_channels 1 or 3; received 2."),
    (lambda: T.Grayscale()(nc.ones(4, 5, 5)), nc.ShapeError, "[rgb_to_grayscale] expected a Tensor (..., C, H, W) with C 1 or 3, and "
     "pixels; received shape (4, 5, 5)."),
    (lambda: T.RandomEqualize(1.0)(IMAGE), nc.DTypeError, "[equalize] expected a Tensor of uint8; received float32; call "
     "convert_image_dtype first."),
    (lambda: T.GaussianBlur(4), ValueError, "[GaussianBlur] expected kernel_size of odd numbers; received 4."),
    (lambda: T.GaussianBlur(3, 0.0), ValueError, "[GaussianBlur] expected sigma above 0; received 0.0."),
    (lambda: T.GaussianBlur(31)(IMAGE), nc.ShapeError, "[gaussian_blur] expected a picture larger than half the kernel (31, 31); received "
     "12 x 13."),
    (lambda: T.RandomHorizontalFlip(2), ValueError, "[RandomHorizontalFlip] expected p as a number from 0 to 1; received 2."),
    (lambda: T.RandomAffine(5, translate=(2, 0)), ValueError, "[RandomAffine] expected translate as two numbers from 0 to 1; received "
     "(2, 0)."),
    (lambda: T.RandomAffine(5, scale=(0, 1)), ValueError, "[RandomAffine] expected scale as (low, high) above 0; received (0, 1)."),
    (lambda: T.RandomRotation(-5), ValueError, "[RandomRotation] expected degrees as a number of at least 0; received -5."),
    (lambda: T.RandomRotation((1, 2, 3)), ValueError, "[RandomRotation] expected degrees as a sequence of 2 numbers; received (1, 2, 3)."),
    (lambda: T.RandomErasing(value="noise"), ValueError, "[RandomErasing] expected value as a number, a sequence of them or 'random'; "
     "received 'noise'."),
    (lambda: T.RandomErasing(1, value=(1, 2))(IMAGE), nc.ShapeError, "[RandomErasing] expected value of 1 or C = 3 numbers; received "
     "(1, 2)."),
    (lambda: F.erase(IMAGE, 0, 0, 2, 2, nc.ones(3, 5, 5)), nc.ShapeError, "[erase] expected v as a number or a Tensor that fits (3, 2, 2); "
     "received Tensor."),
    (lambda: T.RandomResizedCrop(8, ratio=(0, 1)), ValueError, "[RandomResizedCrop] expected ratio as (low, high) above 0; received "
     "(0, 1)."),
    (lambda: T.RandomResizedCrop(8, scale=(0.5, 0.2)), ValueError, "[RandomResizedCrop] expected scale as (low, high) of at least 0; "
     "received (0.5, 0.2)."),
    (lambda: T.ConvertImageDtype(nc.int64)(IMAGE), RuntimeError, "[convert_image_dtype] expected a dtype whose integers all are numbers "
     "of float32; received int64; convert to int16."),
    (lambda: T.ToPILImage()(nc.ones(5, 4, 4)), nc.ShapeError, "[to_pil_image] expected a Tensor (C, H, W) or an array (H, W, C), C from 1 "
     "to 4; received shape (5, 4, 4)."),
    (lambda: T.ToPILImage("L")(IMAGE), ValueError, "[to_pil_image] expected mode RGB or YCbCr or HSV for 3 channels of uint8; received "
     "'L'."),
    (lambda: T.ToPILImage()(nc.zeros(3, 4, 4, dtype="int16")), nc.DTypeError, "[to_pil_image] expected bytes or floats, or one channel of "
     "int16 or int32; received 3 channels of int16."),
    (lambda: T.Compose([T.ToTensor(), 3]), TypeError, "[Compose] expected transforms as a list of functions; received 3 among them."),
    (lambda: T.Compose(T.ToTensor()), TypeError, "[Compose] expected transforms as a list of functions; received ToTensor."),
    (lambda: T.RandomChoice([]), ValueError, "[RandomChoice] expected transforms to choose from; received none."),
    (lambda: T.RandomChoice([T.ToTensor()], p=[0]), ValueError, "[RandomChoice] expected p of numbers of at least 0, not all of them 0; "
     "received [0]."),
    (lambda: T.Lambda(3), TypeError, "[Lambda] expected lambd as a function; received 3."),
    (lambda: F.perspective(IMAGE, [[0, 0]], [[0, 0]]), ValueError, "[perspective] expected startpoints as four points (x, y); received "
     "[[0, 0]]."),
    (lambda: F.adjust_brightness(Image.new("I;16", (4, 4)), 0.5), ValueError, None),
    (lambda: F.posterize(PICTURE, 9), ValueError, "[posterize] expected bits as an integer from 0 to 8; received 9."),
    (lambda: T.RandomCrop(8)(IMAGE, np.random.default_rng(0)), TypeError, "[RandomCrop] expected the arguments img; received too many "
     "positional arguments."),
    (lambda: nc.data.DataLoader((np.zeros((4, 1, 8, 8), np.float32), np.zeros(4)), transform=T.RandomCrop(8)), TypeError, "[DataLoader] "
     "expected a transform of batches, t(batch, generator); received RandomCrop; one of single pictures belongs into the data set."),
])  # fmt: skip
def test_errors(make: Callable[[], Any], kind: type[Exception], text: str | None) -> None:
    with pytest.raises(kind) as error:
        make()
    assert in_form(error.value)
    assert text is None or str(error.value) == text
