"""Pictures: one from any source, and folders of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numbacnn.data import read_image
from numbacnn.data.picture import full_scale
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


# -- size ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 16), (24, 40), 64])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_at_the_size_needed(size: int | tuple[int, int], orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL.JpegImagePlugin import JpegImageFile

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(smooth(1200, 1600), "JPEG", quality=90, exif=exif)
    decoded = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda picture: (load(picture), decoded.append(picture.size))[0])
    quick = read_image(data, size, 3)
    assert decoded[-1][0] <= 800  # and not 1600
    whole = Image.open(io.BytesIO(data))
    whole.load()
    far = np.abs(quick.astype(int) - read_image(whole, size, 3))
    assert far.mean() < 2 and far.max() <= 8


def test_a_file_that_says_it_is_huge_is_refused_before_it_is_decoded() -> None:
    data = bytearray(encoded(np.zeros((8, 8), np.uint8), "BMP"))
    data[18:26] = (30_000).to_bytes(4, "little") * 2
    text = "[read_image] expected the bytearray given to have at most 134,217,728 pixels; received 30,000 x 30,000; "
    assert told(lambda: read_image(data), FormatError) == text + "make it smaller, or raise max_pixels."
