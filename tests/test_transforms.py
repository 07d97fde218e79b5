"""vision.transforms: values and reprs as torchvision's, what is drawn, and errors."""

from __future__ import annotations

import functools
import json
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
from numbacnn.vision import transforms as T

F = T.functional
STORED = json.loads(values.FILE.read_text())
US = SimpleNamespace(transforms=T, Tensor=nc.Tensor, tensor=nc.from_array, array=np.asarray, dtype=lambda name: getattr(nc, name))
CALLS = list(values.calls())
SHARE = 1 if os.environ.get("CI") else 4  # of the drawn cases, one in so many


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
    parts = np.array(drawn(lambda: T.RandomResizedCrop.get_params(nc.zeros(1, 400, 400), (0.2, 0.6), (0.5, 2.0))))
    top, left, height, width = parts.T
    spread(height * width / 400**2, 0.199, 0.603)
    spread(np.log(width / height), np.log(0.497), np.log(2.013))
    assert (top + height).max() <= 400
    assert (left + width).max() <= 400
    assert top.min() < 20
    assert left.max() > 100


def test_random_erasing_draws_area_and_shape() -> None:
    image = nc.zeros(2, 400, 400)
    rows = drawn(lambda: T.RandomErasing.get_params(image, (0.1, 0.2), (0.5, 2.0), None))
    spread([h * w / 400**2 for _, _, h, w, _ in rows], 0.099, 0.202)
    spread([np.log(h / w) for _, _, h, w, _ in rows], np.log(0.497), np.log(2.013))
    v = np.concatenate([np.asarray(v).ravel()[:100] for *_, v in rows[:20]])
    assert rows[0][4].shape == (2, rows[0][2], rows[0][3])
    assert abs(v.mean()) < 0.1
    assert abs(v.std() - 1) < 0.1
    assert T.RandomErasing.get_params(nc.zeros(1, 3, 3), (1.0, 1.0), (1.0, 1.0), [0.0])[:4] == (0, 0, 3, 3)


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
