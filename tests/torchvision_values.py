"""What torchvision makes of drawn pictures: 5,000 calls of its functions and some of its transforms, stored in torchvision_values.json.

The tests read the file and make the same calls; torchvision is needed only to store the values anew. It does not import beside a CPU build
of PyTorch unless the operators that it lacks are declared first, as :func:`torchvision` does:

    pip install torch==2.13.0 pillow==13.0.0
    pip install --target SOMEWHERE --no-deps torchvision==0.28.0
    PYTHONPATH=SOMEWHERE python tests/torchvision_values.py

Pictures and integers are stored as checksums; floats, and integers that were rounded, as three weighted sums of all values.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

FILE = Path(__file__).with_suffix(".json")
CASES = 5000
PICTURES = ("RGB", "L", "RGBA", "F", "I", "P", "1", "LA")
TENSORS = ("uint8", "float32", "float64", "int16")
SMOOTH = ("resize", "resized_crop", "rotate", "affine", "perspective", "gaussian_blur", "adjust_gamma")
MODES = ("NEAREST", "BILINEAR", "BICUBIC", "NEAREST_EXACT", "BOX", "HAMMING", "LANCZOS")


class Draw:
    """Numbers from Philox's raw words, whose values are fixed for ever."""

    def __init__(self, *key: int) -> None:
        self.words = np.random.Philox(key=np.array(key, np.uint64))

    def integer(self, low: int, high: int) -> int:
        return low + int(self.words.random_raw()) % (high - low + 1)

    def number(self, low: float, high: float) -> float:
        return low + (high - low) * (int(self.words.random_raw()) / 2**64)

    def one_of(self, *values: Any) -> Any:
        return values[self.integer(0, len(values) - 1)]

    def bytes(self, *shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        return self.words.random_raw(-(-size // 8)).view(np.uint8)[:size].reshape(shape)


@dataclass
class Case:
    """A call of a function: what it is given, as numbers, and the name of what is a mode of interpolation."""

    name: str
    kind: str
    pixels: np.ndarray
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def rounded(self) -> bool:
        """Whether integers come out that were computed as floats: half-way between two, either is right."""
        interpolates = self.name in SMOOTH or self.name.startswith(("Resize(", "RandomRes", "Gauss")) or "BILINEAR" in self.name
        interpolates &= self.arguments.get("interpolation") not in ("NEAREST", "NEAREST_EXACT")
        return interpolates and (self.kind not in PICTURES or self.name.startswith(("gaussian_blur", "GaussianBlur")))

    def __str__(self) -> str:
        return f"{self.name}({self.kind} {self.pixels.shape}, {self.arguments})"


# -- what is drawn ----------------------------------------------------------------------------------------------------
def pixels(draw: Draw, kind: str, height: int, width: int) -> np.ndarray:
    """(H, W, C) or (H, W) for a Pillow picture, (C, H, W) or (N, C, H, W) for a Tensor; noise, few colours, one, or a smooth picture."""
    if kind in PICTURES:
        bands = {"RGB": (3,), "RGBA": (4,), "LA": (2,)}.get(kind, ())
        raw = draw.bytes(height, width, *bands)
    else:
        raw = draw.bytes(*draw.one_of((), (), (2,)), draw.one_of(1, 3, 3), height, width)
    style = draw.integer(0, 4)
    if style == 0:
        raw = raw // 64 * 85
    elif style == 2:
        raw = np.full_like(raw, raw.flat[0])
    elif style == 1:
        raw = (np.arange(raw.size).reshape(raw.shape) % 256).astype(np.uint8)
    if kind.startswith("float"):
        return raw.astype(kind) / np.dtype(kind).type(255)
    if kind == "int16":
        return raw.astype(np.int16) * 128
    return raw.astype({"F": np.float32, "I": np.int32}.get(kind, np.uint8))


def _size(d: Draw, h: int, w: int, tensor: bool) -> dict[str, Any]:
    mode = d.one_of(*(MODES[:4] if tensor else MODES))
    size: Any = d.one_of(d.integer(2, 20), [d.integer(2, 20), d.integer(2, 20)], [d.integer(2, 20)])  # PyTorch errs where a side becomes 1
    one = isinstance(size, int) or len(size) == 1
    side = size if isinstance(size, int) else size[0]
    most = {"max_size": side + d.integer(1, 9)} if one and d.integer(0, 2) == 0 else {}
    return {"size": size, "interpolation": mode, **most, **({"antialias": d.one_of(True, True, False, None)} if tensor else {})}


def _fill(d: Draw, channels: int, tensor: bool) -> dict[str, Any]:
    most = 1 if tensor == "float" else 255
    one = d.number(0, most) if tensor == "float" else d.integer(0, most)
    several = [d.number(0, most) if tensor == "float" else d.integer(0, most) for _ in range(channels)]
    return {"fill": d.one_of(None, one if not tensor else [one], several)}


def _center(d: Draw, h: int, w: int) -> dict[str, Any]:
    return {"center": d.one_of(None, None, [d.integer(0, w), d.integer(0, h)])}


def _window(d: Draw, h: int, w: int) -> dict[str, int]:
    """A part that touches the picture: for others torchvision gives other sizes than those asked for."""
    return {"top": d.integer(-6, h - 1), "left": d.integer(-6, w - 1), "height": d.integer(7, h + 5), "width": d.integer(7, w + 5)}


def _corners(d: Draw, h: int, w: int) -> list[list[float]]:
    """No whole numbers: whether a point on the very edge lies in the picture would be decided by rounding."""
    moves = [[d.number(0.1, w / 4), d.number(0.1, h / 4)] for _ in range(4)]
    return [[abs(x - dx), abs(y - dy)] for (x, y), (dx, dy) in zip([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], moves)]


WARPS = {True: ("NEAREST", "BILINEAR"), False: ("NEAREST", "BILINEAR", "BICUBIC")}


@dataclass
class Row:
    """The kinds of picture that a function takes, and how its arguments are drawn: ``draw(d, h, w, channels, tensor)``."""

    kinds: tuple[str, ...]
    draw: Callable[[Draw, int, int, int, Any], dict[str, Any]]


COLOURS = ("RGB", "L", "uint8", "float32", "float64")
BOTH = ("RGB", "L", "RGBA", "F", "I", "P", "1", *TENSORS)
ROWS = {
    "hflip": Row(BOTH, lambda d, h, w, c, t: {}),
    "vflip": Row(BOTH, lambda d, h, w, c, t: {}),
    "crop": Row(BOTH, lambda d, h, w, c, t: _window(d, h, w)),
    "center_crop": Row(BOTH, lambda d, h, w, c, t: {"output_size": d.one_of(d.integer(1, 20), [d.integer(1, 20), d.integer(1, 20)])}),
    "five_crop": Row(BOTH, lambda d, h, w, c, t: {"size": [d.integer(1, h), d.integer(1, w)]}),
    "ten_crop": Row(BOTH, lambda d, h, w, c, t: {"size": [d.integer(1, h), d.integer(1, w)], "vertical_flip": d.one_of(True, False)}),
    "pad": Row(
        ("RGB", "L", "RGBA", "P", *TENSORS),
        lambda d, h, w, c, t: {
            "padding": d.one_of(d.integer(0, 4), [d.integer(0, 4), d.integer(0, 4)], [d.integer(-1, 4) for _ in range(4)]),
            "fill": d.one_of(0, 1, 7),
            "padding_mode": d.one_of("constant", "edge", "reflect", "symmetric"),
        },
    ),
    "resize": Row(("RGB", "L", "RGBA", "F", *TENSORS[:3]), lambda d, h, w, c, t: _size(d, h, w, bool(t))),
    "resized_crop": Row(
        ("RGB", "L", "uint8", "float32"),
        lambda d, h, w, c, t: {
            "top": d.integer(0, 2),
            "left": d.integer(0, 2),
            "height": d.integer(2, h - 2),
            "width": d.integer(2, w - 2),
            "size": [d.integer(2, 20), d.integer(2, 20)],
            "interpolation": d.one_of("BILINEAR", "BICUBIC", "NEAREST"),
        },
    ),
    "rotate": Row(
        ("RGB", "L", "RGBA", *TENSORS[:3]),
        lambda d, h, w, c, t: {
            "angle": d.one_of(d.number(-200, 200), d.number(-40, 40), 90, 180, 270.0, 0),
            "interpolation": d.one_of(*WARPS[bool(t)]),
            "expand": d.one_of(True, False),
            **_center(d, h, w),
            **_fill(d, c, t),
        },
    ),
    "affine": Row(
        ("RGB", "L", "RGBA", *TENSORS[:3]),
        lambda d, h, w, c, t: {
            "angle": d.number(-180, 180),
            "translate": [d.integer(-4, 4), d.integer(-4, 4)],
            "scale": d.number(0.5, 2),
            "shear": d.one_of([d.number(-40, 40), d.number(-40, 40)], d.number(-40, 40)),
            "interpolation": d.one_of(*WARPS[bool(t)]),
            **_center(d, h, w),
            **_fill(d, c, t),
        },
    ),
    "perspective": Row(
        ("RGB", "L", "uint8", "float32"),
        lambda d, h, w, c, t: {
            "startpoints": [[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]],
            "endpoints": _corners(d, h, w),
            "interpolation": d.one_of(*WARPS[bool(t)]),
            **_fill(d, c, t),
        },
    ),
    "adjust_brightness": Row((*COLOURS, "int16"), lambda d, h, w, c, t: {"brightness_factor": d.one_of(0, 1, d.number(0, 2))}),
    "adjust_contrast": Row((*COLOURS, "int16"), lambda d, h, w, c, t: {"contrast_factor": d.one_of(0, 1, d.number(0, 2))}),
    "adjust_saturation": Row((*COLOURS, "int16"), lambda d, h, w, c, t: {"saturation_factor": d.one_of(0, 1, d.number(0, 2))}),
    "adjust_hue": Row(COLOURS[:4], lambda d, h, w, c, t: {"hue_factor": d.one_of(-0.5, 0, 0.5, d.number(-0.5, 0.5))}),
    "adjust_gamma": Row(COLOURS, lambda d, h, w, c, t: {"gamma": d.number(0, 3), "gain": d.one_of(1, d.number(0, 2))}),
    "adjust_sharpness": Row(COLOURS, lambda d, h, w, c, t: {"sharpness_factor": d.one_of(0, 1, d.number(0, 3))}),
    "rgb_to_grayscale": Row(("RGB", "L", "RGBA", "P", *TENSORS), lambda d, h, w, c, t: {"num_output_channels": d.one_of(1, c if t else 3)}),
    "gaussian_blur": Row(
        ("RGB", "L", *TENSORS[:3]),
        lambda d, h, w, c, t: {
            "kernel_size": d.one_of(d.one_of(1, 3, 5), [d.one_of(1, 3, 5, 7), d.one_of(3, 5)]),
            "sigma": d.one_of(None, d.number(0.1, 3), [d.number(0.1, 3), d.number(0.1, 3)]),
        },
    ),
    "invert": Row(COLOURS, lambda d, h, w, c, t: {}),
    "posterize": Row(("RGB", "L", "uint8"), lambda d, h, w, c, t: {"bits": d.integer(1, 8)}),
    "solarize": Row(COLOURS, lambda d, h, w, c, t: {"threshold": d.number(0, 1) if t == "float" else d.integer(0, 255)}),
    "autocontrast": Row(COLOURS, lambda d, h, w, c, t: {}),
    "equalize": Row(("RGB", "L", "uint8"), lambda d, h, w, c, t: {}),
    "normalize": Row(
        ("float32", "float64"),
        lambda d, h, w, c, t: {"mean": [d.number(0, 1) for _ in range(c)], "std": [d.number(0.1, 1) for _ in range(c)]},
    ),
    "erase": Row(
        TENSORS, lambda d, h, w, c, t: {"i": d.integer(0, 4), "j": d.integer(0, 4), "h": d.integer(1, 5), "w": d.integer(1, 5), "v": 1}
    ),
    "convert_image_dtype": Row(TENSORS, lambda d, h, w, c, t: {"dtype": d.one_of("uint8", "int16", "float32", "float64")}),
    "to_tensor": Row(PICTURES, lambda d, h, w, c, t: {}),
    "pil_to_tensor": Row(PICTURES, lambda d, h, w, c, t: {}),
    "to_pil_image": Row(("uint8", "float32", "float64", "int16"), lambda d, h, w, c, t: {}),
    "get_dimensions": Row(BOTH, lambda d, h, w, c, t: {}),
    "get_image_size": Row(BOTH, lambda d, h, w, c, t: {}),
}


def cases(count: int = CASES) -> Iterator[Case]:
    """The calls, the functions in turn: the same with every version of Python and NumPy."""
    names = list(ROWS)
    for n in range(count):
        draw, name = Draw(n, 17), names[n % len(names)]
        kind = draw.one_of(*ROWS[name].kinds)
        least = 17 if name == "equalize" else 8  # which leaves a picture of fewer than 256 pixels as it is
        height, width = draw.integer(least, least + 6), draw.integer(least, least + 6)
        array = pixels(draw, kind, height, width)
        if name == "to_pil_image":
            array = array[0] if array.ndim == 4 else array
            array = array[:1] if kind == "int16" else array
        tensor = kind in TENSORS and ("float" if kind.startswith("float") else "integer")
        channels = array.shape[-3] if tensor else len(Image.new(kind, (1, 1)).getbands())
        yield Case(name, kind, array, ROWS[name].draw(draw, height, width, channels, tensor))


FIXED = """
ToTensor() PILToTensor() ToPILImage() ToPILImage('RGB') Normalize((0.5,),(0.5,)) Normalize([0.1,0.2,0.3],[0.4,0.5,0.6])
Compose([CenterCrop(10),ToTensor()]) Compose([]) Resize(9) Resize((9,11)) Resize([7],max_size=12) Resize(9,InterpolationMode.NEAREST)
Resize(9,interpolation=3,antialias=False) CenterCrop(8) CenterCrop((6,9)) CenterCrop([20]) Pad(2)
Pad((1,2),fill=3,padding_mode='constant') Pad([1,2,3,4],padding_mode='edge') RandomCrop((12,13),(0,-1,0,1)) RandomCrop((12,13))
RandomCrop((16,17),(2,2),fill=7) RandomHorizontalFlip(1) RandomHorizontalFlip(0) RandomVerticalFlip(p=1.0) RandomVerticalFlip(0.0)
RandomResizedCrop(8,(1,1),(13/12,13/12)) RandomResizedCrop((6,9),(1.5,1.5),interpolation=InterpolationMode.BICUBIC)
RandomResizedCrop((6,9),(1,1),ratio=(2,3),antialias=False) RandomResizedCrop([5,4],(0.9,1.0),ratio=(0.1,0.2)) FiveCrop(5)
TenCrop((5,6),True) ColorJitter() ColorJitter(brightness=(1.5,1.5)) ColorJitter(contrast=[0.5,0.5]) ColorJitter(0,0,(2,2))
ColorJitter(hue=(0.25,0.25)) RandomRotation((30,30),InterpolationMode.BILINEAR) RandomRotation((30,30),expand=True,fill=1)
RandomRotation(0) RandomRotation((-45,-45),center=(2,3),fill=(1,)) RandomAffine((20,20),shear=(10,10,5,5),center=(1,1)) RandomAffine(0)
RandomAffine((20,20),scale=(1.5,1.5),shear=(10,10),interpolation=InterpolationMode.BILINEAR,fill=1) Grayscale() Grayscale(3)
RandomGrayscale(1) RandomErasing(0) GaussianBlur((3,5),1.5) GaussianBlur([5,3],(0.7,0.7)) RandomApply([CenterCrop(5)],p=1.0)
RandomChoice([CenterCrop(5)]) RandomChoice([CenterCrop(5),CenterCrop(6)],p=[0,1]) RandomOrder([CenterCrop(5)]) RandomInvert(1)
RandomPosterize(2,1) RandomSolarize(1,1) RandomAdjustSharpness(2.0,1) RandomAutocontrast(1) RandomEqualize(1)
RandomPerspective(0.0,1.0,InterpolationMode.NEAREST,1)
""".split()  # noqa: SIM905
"""Transforms that leave nothing to chance, as they are made."""

DRAWN = """
RandomCrop(8) RandomCrop((6,9),padding=2) RandomCrop(30,pad_if_needed=True) RandomCrop((12,30),pad_if_needed=True) RandomHorizontalFlip()
RandomVerticalFlip() RandomResizedCrop(8) RandomResizedCrop((6,9),scale=(0.5,0.75),ratio=(0.9,1.1)) ColorJitter(0.5,0.4,0.3,0.2)
ColorJitter(2) RandomRotation(10) RandomAffine(10,(0.1,0.2),(0.8,1.2),5) RandomGrayscale() RandomErasing()
RandomErasing(1,(0.1,0.2),(0.5,2.0),(1,2,3),True) RandomErasing(0.25,value='random') GaussianBlur(3)
RandomApply([CenterCrop(5),Grayscale()]) RandomInvert() RandomPosterize(3) RandomSolarize(0.5) RandomAdjustSharpness(0.5)
RandomAutocontrast() RandomEqualize() RandomPerspective()
""".split()  # noqa: SIM905
"""Transforms of which only the ``repr`` is stored."""


def calls() -> Iterator[tuple[str, Case]]:
    """The transforms that leave nothing to chance, and what each is called with."""
    only = {"Norm": ("float32",), "ToPIL": ("uint8",), "RandomErasing": ("uint8", "float32")}
    only |= dict.fromkeys(("ToTensor", "PILToTensor", "Compose([Cen"), ("RGB",))
    only |= dict.fromkeys(("RandomPost", "RandomEq"), ("RGB", "uint8"))
    for n, text in enumerate(FIXED):
        kinds = next((kinds for start, kinds in only.items() if text.startswith(start)), ("RGB", "uint8", "float32"))
        for m, kind in enumerate(kinds):
            array = Draw(n, m).bytes(*((12, 13, 3) if kind == "RGB" else (3, 12, 13)))
            yield text, Case(text, kind, array / np.float32(255) if kind == "float32" else array)


# -- what comes out ---------------------------------------------------------------------------------------------------
def outcome(result: Any, rounded: bool = False) -> int | list[float]:
    """A checksum of pictures and integers; three sums of floats, and of what was ``rounded``."""
    results = result if isinstance(result, (tuple, list)) else [result]
    if rounded or (isinstance(results[0], np.ndarray) and results[0].dtype.kind == "f"):
        whole = [np.asarray(r) for r in results]
        values = np.concatenate([np.array([d for r in whole for d in r.shape], np.float64) / 16, *(r.ravel() for r in whole)])
        places = np.arange(1, values.size + 1)
        return [float(f"{np.sum(values * np.cos(places * step)):.8g}") for step in (0.0, 1.0, 2.3)]
    crc = 0
    for r in results:
        if isinstance(r, Image.Image):
            head, body = f"{r.mode} {r.size}", r.tobytes()
        else:
            array = np.asarray(r)
            head, body = f"{array.dtype} {array.shape}", np.ascontiguousarray(array).tobytes()
        crc = zlib.crc32(body, zlib.crc32(head.encode(), crc))
    return crc


def given(library: Any, case: Case) -> Any:
    """The picture of a case, as a Pillow picture or a library's Tensor."""
    if case.kind not in PICTURES:
        return library.tensor(case.pixels.copy())
    height, width = case.pixels.shape[:2]
    if case.kind == "1":
        return Image.fromarray(case.pixels).convert("1")
    picture = Image.frombytes(case.kind, (width, height), np.ascontiguousarray(case.pixels).tobytes())
    if case.kind == "P":
        picture.putpalette([(7 * i) % 256 for i in range(768)])
    return picture


def arrays(library: Any, result: Any) -> Any:
    """A result with arrays in place of Tensors."""
    if isinstance(result, (tuple, list)):
        return [arrays(library, r) for r in result]
    return library.array(result) if isinstance(result, library.Tensor) else result


def called(library: Any, case: Case) -> Any:
    """What a library's function makes of a case."""
    arguments = dict(case.arguments)
    if "interpolation" in arguments:
        arguments["interpolation"] = library.transforms.InterpolationMode[arguments["interpolation"]]
    if "dtype" in arguments:
        arguments["dtype"] = library.dtype(arguments["dtype"])
    if "v" in arguments:
        arguments["v"] = library.tensor(np.array(arguments["v"]))
    return arrays(library, getattr(library.transforms.functional, case.name)(given(library, case), **arguments))


def made(library: Any, text: str) -> Any:
    """A transform of a library."""
    return eval(text, {name: getattr(library.transforms, name) for name in dir(library.transforms)})


def torchvision() -> Any:
    """torchvision, whose operators for detection are declared where they are missing: the transforms use none of them."""
    import torch

    missing = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        missing.define(f"{name}() -> Tensor")
    import torchvision

    return SimpleNamespace(
        transforms=torchvision.transforms,
        Tensor=torch.Tensor,
        tensor=torch.from_numpy,
        array=lambda t: t.numpy(),
        dtype=lambda name: getattr(torch, name),
        versions={"torchvision": torchvision.__version__, "torch": torch.__version__, "pillow": Image.__version__},
        keep=missing,
    )


def main() -> None:
    """Store the values anew."""
    library = torchvision()
    stored = {
        "versions": library.versions,
        "reprs": {text: repr(made(library, text)) for text in FIXED + DRAWN},
        "calls": [outcome(arrays(library, made(library, text)(given(library, case))), case.rounded) for text, case in calls()],
        "cases": [outcome(called(library, case), case.rounded) for case in cases()],
    }
    FILE.write_text(json.dumps(stored, indent=0) + "\n")


if __name__ == "__main__":
    main()
