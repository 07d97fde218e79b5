"""Writes ``torchvision_utils_values.json``: what torchvision 0.28.0 makes of drawn calls of ``make_grid`` and ``save_image``.

``python tests/torchvision_utils_values.py``, where torchvision is installed; its missing operators are only named, never called.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FILE = Path(__file__).with_suffix(".json")
CASES = 200


class Case(NamedTuple):
    """Arguments of ``make_grid``: arrays, each a Tensor's values, as a list or one."""

    arrays: list[np.ndarray]
    as_list: bool
    options: dict[str, Any]


def drawn(seed: int) -> Case:
    """The call of this number; of NumPy's raw bits, which are the same for ever."""
    draw = np.random.Generator(np.random.Philox(key=seed))
    axes, as_list, dtype = int(draw.integers(2, 5)), bool(draw.random() < 0.3), ["float32", "float32", "float64", "uint8"][draw.integers(4)]
    shape = tuple(int(n) for n in (draw.integers(1, 12), draw.choice([1, 3, 4]), draw.integers(1, 7), draw.integers(1, 7)))[4 - axes :]
    shape = shape[1:] if as_list and axes == 4 else shape
    count = int(draw.integers(1, 10)) if as_list else 1
    scale, shift = draw.choice([0.3, 1.0, 1000.0]), draw.choice([0.0, 0.5, -3.0])
    arrays = [np.rint((draw.random(shape) + shift) * scale * 1024) / 1024 for _ in range(count)]
    options: dict[str, Any] = {
        "nrow": int(draw.integers(1, 9)),
        "padding": int(draw.integers(0, 4)),
        "pad_value": float(draw.integers(0, 3)) / 2,
    }
    if dtype != "uint8" and draw.random() < 0.6:
        low = float(draw.integers(-3, 3)) / 4
        options |= {"normalize": True, "scale_each": bool(draw.random() < 0.5)}
        options |= {"value_range": (low, low + float(draw.integers(0, 5)) / 4)} if draw.random() < 0.4 else {}
    return Case([(abs(a) % 256 if dtype == "uint8" else a).astype(dtype) for a in arrays], as_list, options)


def digest(array: np.ndarray) -> str:
    """The shape, the dtype, and the start of a checksum of the values."""
    data = np.ascontiguousarray(array) + np.zeros((), array.dtype)  # no negative zeros
    return f"{'x'.join(map(str, array.shape))} {array.dtype} {hashlib.sha256(data.tobytes()).hexdigest()[:16]}"


def saved(module: Any, tensor: Any, options: dict[str, Any]) -> np.ndarray:
    """The pixels that ``save_image`` writes."""
    from PIL import Image

    file = io.BytesIO()
    module.save_image(tensor, file, format="png", **options)
    return np.asarray(Image.open(file))


def main() -> None:
    """Draw the calls and write what comes out."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision import utils

    values = []
    for seed in range(CASES):
        case = drawn(seed)
        tensors = [torch.tensor(a) for a in case.arrays]
        tensor = tensors if case.as_list else tensors[0]
        found = [digest(utils.make_grid(tensor, **case.options).numpy())]
        if case.arrays[0].dtype.kind == "f":
            grid = utils.make_grid(tensor, **case.options)
            found += [digest(saved(utils, tensor, case.options))] if len(grid) in (3, 4) else []
        values.append(found)
    FILE.write_text("[\n" + ",\n".join(json.dumps(found) for found in values) + "\n]\n")


if __name__ == "__main__":
    main()
