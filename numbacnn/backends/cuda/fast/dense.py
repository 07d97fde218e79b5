"""Linear layers with their activation, and the way back through one with the gradient of the bias, in a launch where that was several."""

from __future__ import annotations

from ....kernels.cuda.driver import launch
from ....kernels.cuda.fast import dense as kernels
from ....kernels.cuda.fast import matmul
from ....kernels.cuda.simt import reduce
from ....layout import CHANNELS_LAST, channels_last
from ....names import ACTIVATIONS
from .. import dense
from ..arrays import CudaArray

__all__ = ["Dense"]


class Dense(dense.Dense):
    """The same sums in the same order."""

    def linear_forward(self, x: CudaArray, w: CudaArray, b: CudaArray | None, activation: str = "none") -> CudaArray:
        if activation == "none":
            return super().linear_forward(x, w, b)
        product = self._flattened(x), self.transpose(w, (1, 0)), b
        return self._matmul(*product, matmul.matmul, ACTIVATIONS.index(activation))

    def activation_backward(self, activation: str, grad: CudaArray, y: CudaArray) -> tuple[CudaArray, CudaArray]:
        return self._back(activation, grad, y) if _is_usual(grad) else super().activation_backward(activation, grad, y)

    def channel_sum(self, grad: CudaArray) -> CudaArray:
        return self._back("none", grad, grad)[1] if _is_usual(grad) else super().channel_sum(grad)

    def _back(self, activation: str, grad: CudaArray, y: CudaArray) -> tuple[CudaArray, CudaArray]:
        """The gradient before an activation, channels last, and its sum over all axes but the channels'."""
        order = channels_last(grad.ndim)
        grad, y = self.ordered(grad, order), grad if activation == "none" else self.ordered(y, order)
        before = grad if activation == "none" else self.empty(grad.shape, grad.dtype, order)
        channels = grad.shape[1]
        rows, sums = grad.size // channels, self.empty((channels,), grad.dtype)
        across, slices, chunk = self._bands(rows, channels)
        bands = slices if slices <= kernels.BANDS else 1
        part = sums if bands == slices else self.empty((slices, channels), grad.dtype)
        block = reduce.COLUMNS * reduce.LANES
        code, one = ACTIVATIONS.index(activation), grad.dtype.type(1)
        memory = [*map(self.flat, (grad, y, before)), part.buffer]
        launch(kernels.channel_sums, (across, slices // bands), block * bands, code, *memory, one, rows, channels, chunk)
        if part is not sums:
            launch(reduce.reduce_columns, (across, 1), block, reduce.SUM, part.buffer, sums.buffer, slices, channels, slices)
        return before, sums


def _is_usual(grad: CudaArray) -> bool:
    """Whether it has elements, and axes that can lie channels last."""
    return bool(grad.size) and grad.dtype.kind == "f" and grad.ndim in (2, *CHANNELS_LAST)
