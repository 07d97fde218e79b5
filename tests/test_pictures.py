"""Pictures: one from any source, and folders of them."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numbacnn.data import ImageDataset, ImageFolder, folder, image_folder, pictures, read_image, remarks
from numbacnn.data.folder import choose_size
from numbacnn.data.picture import decode, full_scale
from numbacnn.errors import DTypeError, FormatError, ShapeError

pytest.importorskip("PIL")
from PIL import Image


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A coloured picture without hard edges, (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels).save(file, kind, **options)
    return file.getvalue()


def folder_of(root: Path, **counts: int) -> Path:
    """A folder with so many grey pictures in the sub folders ``class`` or ``part__class``, each with a level of its own."""
    for k, (name, count) in enumerate(counts.items()):
        place = root.joinpath(*name.split("__"))
        place.mkdir(parents=True, exist_ok=True)
        for level in range(count):
            (place / f"{level}.png").write_bytes(encoded(np.full((20, 20), 40 * k + level, np.uint8), "PNG"))
    return root


def sizes(found: ImageFolder) -> tuple[int | None, ...]:
    return tuple(None if part is None else len(part) for part in (found.train, found.val, found.test))


def told(call: Any, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return str(caught.value)


# -- sources -------------------------------------------------------------------------------------------------------------------------


def test_every_source_of_a_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    pixels = smooth(40, 60)
    data = encoded(pixels, "PNG")
    (tmp_path / "x.png").write_bytes(data)
    expected = read_image(tmp_path / "x.png", (20, 24), 3)
    assert expected.shape == (20, 24, 3) and expected.dtype == np.uint8
    with open(tmp_path / "x.png", "rb") as file:
        sources = [str(tmp_path / "x.png"), data, bytearray(data), file, io.BytesIO(data), Image.open(io.BytesIO(data)), pixels]
        for source in sources:
            assert (read_image(source, (20, 24), 3) == expected).all()


def test_arrays_are_pictures() -> None:
    pixels = smooth(8, 8)
    assert (read_image(pixels, 8, 3) == pixels).all()
    assert (read_image(pixels[..., :1], 8) == pixels[..., :1]).all() and (read_image(pixels[..., 0], 8) == pixels[..., :1]).all()
    clear = np.dstack([pixels, np.zeros((8, 8), np.uint8)])
    assert (read_image(clear, 8, 3) == 255).all()
    assert (read_image(pixels / 255, 8, 3) == pixels).all() and (read_image(np.eye(8) > 0, 8)[..., 0] == 255 * np.eye(8)).all()


def test_what_is_no_source_of_a_picture() -> None:
    hint = "received shape (3, 8, 9); write transpose(1, 2, 0)."
    text = f"[read_image] expected an array (H, W) or (H, W, C) with C 1, 3 or 4; {hint}"
    assert told(lambda: read_image(np.zeros((3, 8, 9), np.uint8)), ShapeError) == text
    for shape in ((8,), (8, 8, 2), (1, 8, 8, 3), (0, 8)):
        assert told(lambda shape=shape: read_image(np.zeros(shape)), ShapeError).startswith("[read_image] expected an array (H, W) or (H")
    text = "[read_image] expected an array of numbers; received dtype complex128."
    assert told(lambda: read_image(np.zeros((8, 8), complex)), DTypeError) == text
    wanted = "a path, bytes, a file opened to read bytes, a Pillow picture or an array (H, W, C)"
    assert told(lambda: read_image(5), TypeError) == f"[read_image] expected {wanted}; received 5."
    text = "[read_image] expected the bytes given to be a picture; received content of no format that pillow reads by itself; "
    assert told(lambda: read_image(b"GIF8"), FormatError) == text + "repair or remove the file."


def test_a_picture_of_the_caller_stays_as_it_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    given = Image.open(io.BytesIO(encoded(smooth(400, 600), "JPEG", exif=exif)))
    read_image(given, 8, 3)
    assert given.size == (600, 400) and given.mode == "RGB" and given.getexif()[0x0112] == 6


LOSSY = {"JPEG": 6, "AVIF": 6, "WEBP": 6, "JPEG2000": 6, "GIF": 20, "XBM": 20, "MSP": 20}
EXACT = dict.fromkeys(["PNG", "TIFF", "BMP", "QOI", "PPM", "ICO", "SGI", "PCX", "TGA", "DDS", "ICNS", "DIB"], 1)


@pytest.mark.parametrize(("kind", "most"), {**LOSSY, **EXACT}.items())
def test_formats_are_told_by_content(kind: str, most: float, tmp_path: Path) -> None:
    Image.init()
    if kind not in Image.SAVE or kind not in Image.OPEN:
        pytest.skip(f"this pillow can't write {kind}")
    picture = Image.fromarray(smooth(32, 32))
    path = tmp_path / "x.png"
    path.write_bytes(encoded(picture.convert("1") if kind in ("XBM", "MSP") else picture, kind))
    distance = np.abs(read_image(path, 2, 3).astype(int) - read_image(picture, 2, 3)).mean()
    assert distance <= most


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I", "F"])
def test_modes_of_pillow(mode: str) -> None:
    for channels in (1, 3):
        assert read_image(Image.new(mode, (8, 8)), 4, channels).shape == (4, 4, channels)


# -- scale ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "most", "white"), [
    (np.float32, 1.0, 1.0), (np.float32, 0.2, 1.0), (np.float32, 255, 255), (np.float32, 10.0, 16), (np.float32, 1e-4, 2.0**-13),
    (np.int32, 255, 255), (np.int32, 200, 255), (np.int32, 4095, 4095), (np.int32, 1_000_000, 2.0**20),
    (np.uint16, 255, 255), (np.uint16, 4095, 4095), (np.uint16, 3000, 4095), (np.uint16, 65535, 65535), (np.uint16, 20000, 65535),
])  # fmt: skip
def test_deep_greys_are_scaled_by_their_range(dtype: type, most: float, white: float) -> None:
    ramp = np.linspace(0, most, 64).astype(dtype).reshape(8, 8)
    assert full_scale(float(ramp.max())) == white
    expected = np.rint(255 * (ramp / white))
    assert expected.max() > 15
    assert np.abs(read_image(encoded(ramp, "TIFF"), 8)[..., 0] - expected).max() <= 1
    assert (read_image(encoded(ramp, "TIFF"), 8) == read_image(ramp, 8)).all()
    if dtype is np.uint16:
        assert (read_image(encoded(ramp, "PNG"), 8) == read_image(ramp, 8)).all()


def test_values_below_zero_and_without_end() -> None:
    values = np.array([[-1000, 0], [0, 1000]], np.int16)
    assert read_image(values, 2).ravel().tolist() == [3, 128, 128, 252]
    wild = np.array([[np.nan, np.inf], [0.5, 1.0]], np.float32)
    assert read_image(wild, 2).ravel().tolist() == [0, 255, 128, 255]
    assert not read_image(np.zeros((4, 4)), 4).any()
    assert read_image(np.full((4, 4), -np.inf), 4).max() == 0


@pytest.mark.parametrize(("orientation", "turn"), [
    (1, lambda pixels: pixels), (2, np.fliplr), (3, lambda pixels: pixels[::-1, ::-1]), (4, np.flipud),
    (5, lambda pixels: pixels.swapaxes(0, 1)), (6, lambda pixels: np.rot90(pixels, -1)),
    (7, lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1)), (8, np.rot90),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_camera_says_which_way_is_up(kind: str, orientation: int, turn: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif}
    upright = np.ascontiguousarray(turn(np.asarray(Image.open(io.BytesIO(encoded(smooth(48, 64), kind))))))
    for size in (upright.shape[:2], (20, 20), (10, 24)):
        found = decode("test", encoded(smooth(48, 64), kind, **options), (*size, 3))
        assert found.size == upright.shape[:2]
        assert np.abs(found.pixels.astype(int) - read_image(upright, size, 3)).max() <= 1


# -- size ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 16), (24, 40), 64])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_at_the_size_needed(size: int | tuple[int, int], orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL.JpegImagePlugin import JpegImageFile

    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    sharp = blocks.resize((1601, 1203), Image.Resampling.NEAREST)  # an eighth of these sides ends inside a pixel
    data = encoded(sharp, "JPEG", quality=90, exif=exif)
    decoded = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda picture: (load(picture), decoded.append(picture.size))[0])
    quick = read_image(data, size, 3)
    assert decoded[-1][0] <= 801  # and not 1601
    whole = Image.open(io.BytesIO(data))
    whole.load()
    far = np.abs(quick.astype(int) - read_image(whole, size, 3))
    assert far.mean() < 1 and far.max() <= 12


def test_a_file_that_says_it_is_huge_is_refused_before_it_is_decoded() -> None:
    data = bytearray(encoded(np.zeros((8, 8), np.uint8), "BMP"))
    data[18:26] = (30_000).to_bytes(4, "little") * 2
    text = "[read_image] expected the bytearray given to have at most 268,435,456 pixels; received 30,000 x 30,000; "
    assert told(lambda: read_image(data), FormatError) == text + "make it smaller, or raise max_pixels."


# -- folders -------------------------------------------------------------------------------------------------------------------------


def test_a_folder_splits_by_itself(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "set", cats=10, dogs=10)
    found = image_folder(root, size=(5, 4), channels=1)
    assert found.layout == "one folder a class; chosen by file names, 20% of the pictures test and 20% of the others validate"
    assert repr(found.train) == "ImageDataset('set', 13 images 5 x 4 x 1, 2 classes)" and found.train.classes == ("cats", "dogs")
    assert found.val is not None and found.test is not None and found.reading.lines == []
    assert sizes(found) == (13, 3, 4) and np.bincount(found.test.labels).tolist() == [2, 2]
    levels = [level for part in (found.train, found.val, found.test) for level in part.images[:, 0, 0, 0].tolist()]
    assert sorted(levels) == [*range(10), *range(40, 50)]
    assert all((part.labels == part.images[:, 0, 0, 0] // 40).all() for part in (found.train, found.val, found.test))
    again = image_folder(root, size=(5, 4), channels=1)
    assert again.test is not None and (again.test.images == found.test.images).all() and again.test.files == found.test.files
    both = image_folder(root, 8, 1, val_share=0)
    assert both.test is not None and (sizes(both), both.test.files) == ((16, None, 4), found.test.files)  # the test stays what it is
    assert sizes(image_folder(root, 8, 1, val_share=0, test_share=0)) == (20, None, None)


@pytest.mark.parametrize(("names", "expected", "layout"), [
    ("Train VALID TEST", (10, 3, 2), "train, val and test folders"),
    ("train test", (8, 2, 2), "train and test folders; chosen by file names, 20% of the training pictures validate"),
    ("training validation", (8, 3, 2), "train and val folders; chosen by file names, 20% of the training pictures test"),
    ("train", (6, 2, 2), "train folder; chosen by file names, 20% of the training pictures test and 20% of the others validate"),
])  # fmt: skip
def test_layouts(names: str, expected: tuple[int, ...], layout: str, tmp_path: Path) -> None:
    counts = dict(zip(names.split(), (10, 2, 2) if "est" in names.split()[1:2] else (10, 3, 2)))
    counts.update({name: 2 for name in counts if name.lower() == "test"})
    root = folder_of(tmp_path, **{f"{part}__{name}": n // 2 + (name == "b") * (n % 2) for part, n in counts.items() for name in "ab"})
    found = image_folder(root, 8, 1)
    assert sizes(found) == expected and found.layout == layout
    assert found.train.files is not None and all(Path(file).parts[-3] == names.split()[0] for file in found.train.files)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert image_folder(folder_of(tmp_path, train=5, car=5, bus=5), 8, 1).train.classes == ("bus", "car", "train")


def test_folders_beside_the_parts_are_said(tmp_path: Path) -> None:
    root = folder_of(tmp_path, train__a=3, test__a=1, raw__x=1)
    (root / "notes.txt").touch()
    found = image_folder(root, 8, 1, val_share=0)
    assert found.layout == "train and test folders; raw passed over" and found.reading.passed_over == {".txt": 1}


def test_pictures_in_sub_folders_and_of_every_suffix(tmp_path: Path) -> None:
    root = folder_of(tmp_path, cats=1, cats__tabby__old=2, dogs=3, dogs__hidden=1)
    (root / "dogs" / "hidden").rename(root / "dogs" / ".hidden")
    jpeg = encoded(smooth(20, 20), "JPEG")
    for name in ("a.jfif", "b.JPE", "c", "d.picture"):  # two by their suffixes, two by their content
        (root / "cats" / name).write_bytes(jpeg)
    (root / "cats" / "e.jp2").write_bytes(encoded(smooth(20, 20), "JPEG2000"))
    for name in ("cats/notes.txt", "dogs/more.TXT", "dogs/Thumbs.db", "README"):
        (root / name).write_text("no picture")
    (root / "dogs" / "again").symlink_to(root, target_is_directory=True)  # without end, and with cats in it
    found = image_folder(root, 8, 1, val_share=0, test_share=0)
    assert found.train.labels.tolist() == [0] * 8 + [1] * 3 and found.train.files is not None
    assert found.train.files[-4:] == tuple(str(root / name) for name in ("cats/tabby/old/1.png", "dogs/0.png", "dogs/1.png", "dogs/2.png"))
    assert found.reading.passed_over == {".txt": 2, ".db": 1, "": 1, "linked folders": 1}
    line = "5 files are passed over: 1 without a suffix, 1 .db, 2 .txt, 1 linked folders."
    assert found.reading.lines == [line]


def test_bad_files_are_listed_all_at_once(tmp_path: Path) -> None:
    root = folder_of(tmp_path, a=6, b=6)
    for k in range(12):
        (root / "a" / f"x{k:02}.png").write_bytes(b"no picture")
    (root / "b" / "cut.jpg").write_bytes(encoded(smooth(90, 90), "JPEG")[:700])
    (root / "b" / "gone.png").symlink_to(root / "nothing.png")
    text = told(lambda: image_folder(root, 8, 1), FormatError)
    assert text.startswith("[image_folder] expected 26 pictures that can be read; received 14 that can't:\n")
    assert text.count("\n") == 12 and f"\n  {root / 'a' / 'x03.png'}: content of no format that pillow reads by itself;\n" in text
    assert text.endswith("\n  and 4 more; \nrepair or remove them, or leave them out with skip_bad.")
    found = image_folder(root, 8, 1, val_share=0, test_share=0, skip_bad=True)
    assert sizes(found) == (12, None, None) and len(found.reading.bad) == 14
    assert found.reading.bad[str(root / "b" / "gone.png")] == "a link to nothing"
    assert "truncated" in found.reading.bad[str(root / "b" / "cut.jpg")]
    assert f"{root / 'b' / 'gone.png'} is left out: a link to nothing." in found.reading.lines
    assert (found.train.images[:, 0, 0, 0] == [*range(6), *range(40, 46)]).all()
    for file in (root / "a").glob("?.png"):
        file.unlink()
    text = f"[image_folder] expected a picture in {root / 'a'} that can be read; received bad ones alone; repair or remove them."
    assert told(lambda: image_folder(root, 8, 1, test_share=0, val_share=0, skip_bad=True), FormatError) == text
    for file in (root / "b").glob("*.png"):
        file.unlink()
    assert "\nrepair or remove them." in told(lambda: image_folder(root, 8, 1, test_share=0, val_share=0, skip_bad=True), FormatError)


def test_a_larger_picture_than_is_allowed_is_bad(tmp_path: Path) -> None:
    text = told(lambda: image_folder(folder_of(tmp_path, a=6), 8, 1, max_pixels=399), FormatError)
    assert "0.png: 20 x 20; make it smaller, or raise max_pixels" in text


def test_deep_greys_of_a_folder_are_said(tmp_path: Path) -> None:
    for name, most in (("x.tif", 1.0), ("y.tif", 1.0), ("z.tif", 3000.0)):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_bytes(encoded(np.full((8, 8), most, np.float32), "TIFF"))
    found = image_folder(tmp_path, 8, 1, val_share=0, test_share=0)
    assert found.train.images[:, 0, 0, 0].tolist() == [255, 255, 187] and found.reading.full_scales == {1.0: 2, 4095.0: 1}
    line = "Greys of more than 8 bits are scaled picture by picture; white is 1 in 2, 4095 in 1 of them."
    assert found.reading.lines == [line]


def test_size_and_channels_are_chosen(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "grey", a=8)
    assert image_folder(root).train.input_shape == (1, 20, 20)
    grey = np.repeat(smooth(90, 130)[..., :1], 3, axis=2)
    for k in range(12):
        (root / "a" / f"j{k}.jpg").write_bytes(encoded(grey, "JPEG", quality=30))
    assert image_folder(root).train.input_shape == (1, 64, 64) and image_folder(root, largest=48).train.input_shape == (1, 48, 48)
    for k in range(3):
        (root / "a" / f"c{k}.png").write_bytes(encoded(smooth(40, 40), "PNG"))
    found = image_folder(root, size=16)
    assert found.train.input_shape == (3, 16, 16) and found.test is not None and found.test.input_shape == (3, 16, 16)


def test_choose_size() -> None:
    assert choose_size([(28, 28)] * 3) == (28, 28) and choose_size([(30, 20)] * 3) == (30, 20)
    assert choose_size([(8, 8)] * 3) == (16, 16) and choose_size([(480, 640)] * 3) == (64, 64) and choose_size([(480, 640)], 96) == (96, 96)
    assert choose_size([(51, 70), (30, 90), (100, 55)]) == (48, 48) and choose_size([(40, 40), (40, 41)]) == (40, 40)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    def refused(text: str, kind: type[Exception] = FormatError, **options: Any) -> None:
        assert told(lambda: image_folder(root, **options), kind) == f"[image_folder] expected {text}."

    root = tmp_path / "set"
    refused("channels 1 (grey) or 3 (colour); received 2", ValueError, channels=2)
    refused("size as an integer or a pair (height, width) of at least 1; received (3, 0)", ShapeError, size=(3, 0))
    refused("test_share as a number from 0 to below 1; received 1.0", ValueError, test_share=1.0)
    refused("skip_bad as True or False; received 1", TypeError, skip_bad=1)
    refused(f"a folder {root}; received no such folder")
    root.write_text("")
    refused(f"a folder {root}; received a file")
    root.unlink()
    root.mkdir()
    refused(f"sub folders in {root}, one for each class; received none; make FOLDER/class_name/picture.png")
    (root / "cats").mkdir()
    refused(f"pictures in {root / 'cats'}; received none; add pictures or remove the folder")
    (root / "cats" / "1.HEIC").touch()  # a telephone's, which pillow does not read
    refused(f"pictures in {root / 'cats'}; received 1 .heic; add pictures or remove the folder")
    (root / "cats" / "1.png").write_bytes(encoded(np.zeros((8, 8), np.uint8), "PNG"))
    refused(f"enough pictures in {root} to train and test; received 1; add pictures or set test_share to 0")
    refused(f"enough pictures in {root} to train and validate; received 1; add pictures or set val_share to 0", test_share=0)
    root = folder_of(tmp_path / "other", train__a=1, test__a=1, test__z=1)
    refused(f"the classes of {root / 'test'} to be among a; received z besides; remove the folders, or train with them")
    root = folder_of(tmp_path / "parts", test__a=1, valid__a=1)
    refused(f"a train folder in {root}; received test and val alone")
    root = folder_of(tmp_path / "twice", train__a=1, training__a=1)
    refused(f"one train folder in {root}; received train and training")


def test_a_class_keeps_its_only_picture_to_train(tmp_path: Path) -> None:
    found = image_folder(folder_of(tmp_path, a=1, b=2, c=2), 8, 1, val_share=0, test_share=0.5)
    assert found.train.labels.tolist().count(0) == 1 and found.test is not None and 0 not in found.test.labels


def test_a_held_out_folder_is_read_whole(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "flat", dogs=3, cats=2)
    held_out, reading = pictures(root, 8, 1, classes=("birds", "cats", "dogs"))
    assert held_out.labels.tolist() == [1, 1, 2, 2, 2] and held_out.classes == ("birds", "cats", "dogs") and not reading.lines
    assert pictures(root, 8, 1)[0].classes == ("cats", "dogs")
    text = f"[pictures] expected the classes of {root} to be among cats, owls; received dogs besides; "
    assert told(lambda: pictures(root, 8, 1, classes=("cats", "owls")), FormatError).startswith(text)
    split = folder_of(tmp_path / "split", Train__cats=3, Test__cats=2)
    assert pictures(split, 8, 1)[0].files == tuple(str(split / "Test" / "cats" / f"{k}.png") for k in range(2))


def test_no_pipe_is_waited_for(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes, which Windows lacks")
    root = folder_of(tmp_path, a=2)
    os.mkfifo(root / "a" / "pipe")
    os.mkfifo(root / "a" / "pipe.png")
    reading = image_folder(root, 8, 1, val_share=0, test_share=0, skip_bad=True).reading
    assert reading.passed_over == {"": 1} and reading.bad == {str(root / "a" / "pipe.png"): "a pipe"}


def test_an_interrupt_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def interrupted(op: str, file: Path, *rest: Any) -> None:
        read.append(file)
        time.sleep(0.001)
        raise KeyboardInterrupt

    root = folder_of(tmp_path, a=200)
    monkeypatch.setattr(folder, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        image_folder(root, 8, 1)
    assert len(read) < 100


# -- what is said of data sets ---------------------------------------------------------------------------------------------------------


def levels(*counts: int, start: int = 0) -> ImageDataset:
    """A data set with so many pictures of each class, no two alike."""
    n = sum(counts)
    images = np.arange(start, start + n).astype(np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    return ImageDataset(images, np.repeat(np.arange(len(counts)), counts), tuple(f"class {k}" for k in range(len(counts))))


def test_remarks() -> None:
    assert remarks(levels(10, 100), levels(5, 5, start=110), levels(5, 5, start=120), 110) == []
    assert remarks(levels(10)) == ["One class alone, class 0: there is nothing to tell apart."]
    assert remarks(levels(101, 10)) == ["The classes differ by more than 10 times: 10 of class 1, 101 of class 0."]
    assert remarks(levels(9, 10, 3)) == ["Fewer than 10 training pictures: class 2 (3), class 0 (9)."]
    assert remarks(levels(*[2] * 7)) == [
        "Fewer than 10 training pictures: class 0 (2), class 1 (2), class 2 (2), class 3 (2), class 4 (2) and 2 more classes."
    ]
    assert remarks(levels(10, 10), batch_size=21) == ["A batch of 21 holds more than all 20 training pictures."]
    assert remarks(levels(10, 10), levels(1, 1, start=19), levels(2, 1, start=17)) == [
        "1 of 2 val pictures are training pictures too: their accuracy says little.",
        "3 of 3 test pictures are training pictures too: their accuracy says little.",
    ]
    wild = ImageDataset(np.zeros((10, 4, 4, 1), np.uint8), np.zeros(10, int), ("\x1b[2J",))
    assert remarks(wild) == ["One class alone, \\x1b[2J: there is nothing to tell apart."]


def test_parts_of_a_data_set_keep_their_files() -> None:
    data = ImageDataset(np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 1, 1, 0]), ("a", "b"), files=("w", "x", "y", "z"))
    assert data[1:3].files == ("x", "y") and data[data.labels == 0].files == ("w", "z") and data[[3, 0]].files == ("z", "w")
    assert levels(2)[:1].files is None and data[[]].files == ()
    text = "[ImageDataset] expected files as 4 names, one for each image; received 2 names."
    assert told(lambda: ImageDataset(data.images, data.labels, data.classes, files=("x", "y")), ShapeError) == text
