"""``torch.utils.tensorboard`` on the ``tensorboard`` package, which writes the files."""

from __future__ import annotations

import io
import os
import socket
import time
from types import TracebackType
from typing import Any

import numpy as np

from ..errors import ShapeError, message
from ..extras import import_extra
from ..tensor import tensor

__all__ = ["SummaryWriter"]

BINS = 30


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)


class SummaryWriter:
    """Writes what TensorBoard shows: scalars, pictures, histograms and texts.

    Args:
        log_dir: the folder; by default ``runs/`` with the time and the name of the machine.
        comment: goes to the end of that default.

    >>> with SummaryWriter("runs/one") as writer:  # doctest: +SKIP
    ...     writer.add_scalar("loss", 0.5, 1)
    """

    def __init__(self, log_dir: str | os.PathLike[str] | None = None, comment: str = "", **options: Any) -> None:
        events = import_extra("SummaryWriter", "tensorboard.summary.writer.event_file_writer", "tensorboard")
        self._event = import_extra("SummaryWriter", "tensorboard.compat.proto.event_pb2", "tensorboard").Event
        self._summary = import_extra("SummaryWriter", "tensorboard.compat.proto.summary_pb2", "tensorboard")
        self._tensor = import_extra("SummaryWriter", "tensorboard.compat.proto.tensor_pb2", "tensorboard").TensorProto
        default = os.path.join("runs", f"{time.strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}{comment}")
        self.log_dir = os.fspath(log_dir) if log_dir else default
        self._writers: dict[str, Any] = {}
        self._open = events.EventFileWriter
        self._writer("")

    def _writer(self, below: str) -> Any:
        if below not in self._writers:
            self._writers[below] = self._open(os.path.join(self.log_dir, below) if below else self.log_dir)
        return self._writers[below]

    def _write(self, summary: Any, step: int | None, walltime: float | None, below: str = "") -> None:
        event = self._event(wall_time=time.time() if walltime is None else walltime, step=int(step or 0), summary=summary)
        self._writer(below).add_event(event)

    def _value(self, **fields: Any) -> Any:
        return self._summary.Summary(value=[self._summary.Summary.Value(**fields)])

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None, walltime: float | None = None, **_: Any) -> None:
        """One number."""
        self._write(self._value(tag=tag, simple_value=float(scalar_value)), global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Several numbers in one picture: each in a folder of its own."""
        for name, number in tag_scalar_dict.items():
            value = self._value(tag=main_tag, simple_value=float(number))
            self._write(value, global_step, walltime, f"{main_tag.replace('/', '_')}_{name}")

    def add_image(
        self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: float | None = None, dataformats: str = "CHW"
    ) -> None:
        """A picture: bytes, or floats from 0 to 1, with the axes that ``dataformats`` names."""
        pixels = _array(img_tensor)
        if sorted(dataformats) not in (sorted("CHW"), sorted("HW")) or pixels.ndim != len(dataformats):
            raise ShapeError(message("add_image", 'a picture with the axes of dataformats, as "CHW"', f"{pixels.shape}, {dataformats!r}"))
        pixels = pixels.transpose([dataformats.index(axis) for axis in "HWC" if axis in dataformats])
        pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
        if pixels.dtype != np.uint8:
            pixels = (pixels.astype(np.float32) * 255).clip(0, 255).astype(np.uint8)
        image = import_extra("add_image", "PIL.Image", "pillow").fromarray(pixels if pixels.shape[2] > 1 else pixels[:, :, 0])
        file = io.BytesIO()
        image.save(file, "PNG")
        height, width, channels = pixels.shape
        found = self._summary.Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=file.getvalue())
        self._write(self._value(tag=tag, image=found), global_step, walltime)

    def add_images(
        self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: float | None = None, dataformats: str = "NCHW"
    ) -> None:
        """Pictures (N, C, H, W), side by side."""
        from ..vision.utils import make_grid

        pixels = _array(img_tensor).transpose([dataformats.index(axis) for axis in "NCHW"])
        self.add_image(tag, make_grid(tensor(np.ascontiguousarray(pixels))), global_step, walltime)

    def add_figure(self, tag: str, figure: Any, global_step: int | None = None, close: bool = True, walltime: float | None = None) -> None:
        """A figure of matplotlib."""
        figure.canvas.draw()
        self.add_image(tag, np.asarray(figure.canvas.buffer_rgba())[:, :, :3], global_step, walltime, "HWC")
        if close:
            import_extra("add_figure", "matplotlib.pyplot", "matplotlib").close(figure)

    def add_histogram(self, tag: str, values: Any, global_step: int | None = None, walltime: float | None = None, **_: Any) -> None:
        """How values are spread, in bins of equal width."""
        numbers = _array(values).astype(np.float64).ravel()
        counts, limits = np.histogram(numbers, BINS)
        found = self._summary.HistogramProto(
            min=numbers.min(), max=numbers.max(), num=numbers.size, sum=numbers.sum(), sum_squares=numbers @ numbers,
            bucket_limit=limits[1:].tolist(), bucket=counts.tolist(),
        )  # fmt: skip
        self._write(self._value(tag=tag, histo=found), global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None) -> None:
        """A text in Markdown."""
        metadata = self._summary.SummaryMetadata(plugin_data=self._summary.SummaryMetadata.PluginData(plugin_name="text"))
        text = self._tensor(dtype="DT_STRING", string_val=[text_string.encode()])
        self._write(self._value(tag=tag, metadata=metadata, tensor=text), global_step, walltime)

    def flush(self) -> None:
        """Write all there is to disk."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Write all there is to disk, and end."""
        for writer in self._writers.values():
            writer.close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(message("SummaryWriter", "a method that it has", name, "graphs and hyper-parameters are left out"))
