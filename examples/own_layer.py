"""Layers of your own: an activation from two Python functions, and a pooling from kernels, on the CPU and on a GPU.

The activation is x sigmoid(2 x). The pooling is soft: the average of each 2x2 window, in which larger values weigh more (SoftPool, after
Stergiou and others, 2021). ``gradcheck`` judges both on every device that is there before a small network trains with them.
NUMBA_ENABLE_CUDASIM=1 simulates a GPU; ``--device cuda`` trains on a real one.
"""

import math
import os

import numpy as np
from drawing import BLUE, MUTED, RED, curve, options, panels, save
from numba import cuda, njit, prange

import numbacnn as nc
from numbacnn import nn
from numbacnn.formulas import sigmoid


# -- an activation: y and dy/dx of one number; the library makes kernels of them, forward and backward, on both devices ---------------
def swish2(x):
    return x * sigmoid(2 * x)


def slope(x):
    s = sigmoid(2 * x)
    return s + 2 * x * s * (1 - s)


swish2 = nc.pointwise(swish2, slope)


# -- a pooling: kernels on arrays x (N, H, W, C) and y (N, H / 2, W / 2, C), channels last, as activations lie in memory ----------------
def window(x, n, i, j, c):
    """Of window (i, j): its average with weights exp(x - largest), its largest value, and the sum of the weights."""
    largest = x[n, 2 * i, 2 * j, c]
    for k in range(1, 4):
        value = x[n, 2 * i + k // 2, 2 * j + k % 2, c]
        largest = value if value > largest else largest
    total = average = x.dtype.type(0)
    for k in range(4):
        value = x[n, 2 * i + k // 2, 2 * j + k % 2, c]
        weight = math.exp(value - largest)
        total += weight
        average += weight * value
    return average / total, largest, total


def spread(x, g, dx, n, i, j, c, average, largest, total):
    """The gradient of each value of the window, from g, that of the average: its weight, and more for what is above the average."""
    for k in range(4):
        row, column = 2 * i + k // 2, 2 * j + k % 2
        value = x[n, row, column, c]
        weight = math.exp(value - largest) / total
        dx[n, row, column, c] = g * (weight + weight * (value - average))  # a 1 instead would make float64 of it all


# On the CPU a task owns one line of windows. Nobody else writes there, so the result has the same bits for any number of threads.
window_cpu, spread_cpu = njit(window), njit(spread)


@njit(parallel=True)
def pool_cpu(x, y):
    images, rows, columns, channels = y.shape
    for task in prange(images * rows):
        n, i = task // rows, task % rows
        for j in range(columns):
            for c in range(channels):  # innermost: neighbours in memory
                y[n, i, j, c] = window_cpu(x, n, i, j, c)[0]


@njit(parallel=True)
def pool_backward_cpu(x, grad, dx):
    images, rows, columns, channels = grad.shape
    for task in prange(images * rows):
        n, i = task // rows, task % rows
        for j in range(columns):
            for c in range(channels):
                average, largest, total = window_cpu(x, n, i, j, c)
                spread_cpu(x, grad[n, i, j, c], dx, n, i, j, c, average, largest, total)


# On a GPU a thread owns one window of one channel; neighbouring threads take neighbouring channels.
window_gpu, spread_gpu = cuda.jit(device=True)(window), cuda.jit(device=True)(spread)


@cuda.jit(device=True)
def place(t, y):
    """Element t of y (N, H, W, C) as n, i, j, c."""
    _, rows, columns, channels = y.shape
    pixel = t // channels
    return pixel // columns // rows, pixel // columns % rows, pixel % columns, t % channels


@cuda.jit
def pool_gpu(x, y):
    t = cuda.grid(1)
    if t < y.size:
        n, i, j, c = place(t, y)
        y[n, i, j, c] = window_gpu(x, n, i, j, c)[0]


@cuda.jit
def pool_backward_gpu(x, grad, dx):
    t = cuda.grid(1)
    if t < grad.size:
        n, i, j, c = place(t, grad)
        average, largest, total = window_gpu(x, n, i, j, c)
        spread_gpu(x, grad[n, i, j, c], dx, n, i, j, c, average, largest, total)


class SoftPool(nc.Function):
    """(N, C, H, W) -> (N, C, H / 2, W / 2), differentiable."""

    recordable = True  # all its work on memory goes through nc.launch

    @staticmethod
    def forward(ctx, x):
        n, c, h, w = x.shape
        if h % 2 or w % 2:
            raise nc.ShapeError(f"[SoftPool] expected an even height and width; received {h} and {w}; crop or pad the input.")
        ctx.save_for_backward(x)
        y = nc.empty(n, c, h // 2, w // 2, dtype=x.dtype, device=x.device, layout="nhwc")
        arrays = x.numba("nhwc"), y.numba("nhwc", copy=False)  # x is copied if it lies otherwise; a copy of y would be lost
        if x.device == "cpu":
            nc.launch(pool_cpu, *arrays)
        else:
            nc.launch(pool_gpu, *arrays, grid=-(-y.numel() // 128), block=128)
        return y

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        dx = nc.empty(x.shape, dtype=x.dtype, device=x.device, layout="nhwc")
        arrays = x.numba("nhwc"), grad.numba("nhwc"), dx.numba("nhwc", copy=False)
        if x.device == "cpu":
            nc.launch(pool_backward_cpu, *arrays)
        else:
            nc.launch(pool_backward_gpu, *arrays, grid=-(-grad.numel() // 128), block=128)
        return dx


class SoftPool2d(nn.Module):
    def forward(self, x):
        return SoftPool.apply(x)


# -- judged against differences, then used -----------------------------------------------------------------------------------------------
parser = options(__doc__)
parser.add_argument("--device", default="cpu", help="where to train (default: %(default)s)")
args = parser.parse_args()
for device in ["cpu", "cuda"] if nc.cuda.is_available() else ["cpu"]:
    x = nc.randn(2, 3, 4, 6, dtype="float64", device=device, requires_grad=True)
    for name, function in (("swish2", swish2), ("SoftPool", SoftPool.apply)):
        nc.testing.gradcheck(function, x, directions=5)
        print(f"{name} on {device}: its gradient is that of differences")

if "NUMBACNN_DATA" in os.environ:
    train, test = (part[:count] for part, count in zip(nc.data.fashion_mnist(), (4000, 1000)))
else:  # offline, without the files: digits of the same size
    train, test = nc.data.digits(28)
nc.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 8, 5, padding=2), nn.Pointwise(swish2), SoftPool2d(),
    nn.Conv2d(8, 16, 3, padding=1), nn.Pointwise(swish2), SoftPool2d(),
    nn.Flatten(), nn.Linear(16 * 7 * 7, 10),
)  # fmt: skip
history = nc.fit(net, train, test=test, epochs=3, batch_size=50, lr=1e-2, device=args.device)
print(f"{history.test.accuracy:.1%} of {len(test)} test pictures")
assert history.test.accuracy > 0.75

figure, axes = panels(1, 4, 11, 3, f"An activation and a pooling of one's own: {history.test.accuracy:.1%} of the test pictures")
x = nc.tensor(np.linspace(-4, 4, 200), requires_grad=True)
y = swish2(x)
y.sum().backward()
curve(axes[0, 0], "x sigmoid(2 x)", "x")
for values, colour, label in ((y.detach(), BLUE, "y"), (x.grad, RED, "dy/dx"), (x.detach().relu(), MUTED, "relu")):
    axes[0, 0].plot(x.detach().numpy(), values.numpy(), color=colour, label=label)
axes[0, 0].legend(frameon=False)
picture = nc.tensor(test.images[:1, :, :, 0] / np.float32(255)).reshape(1, 1, 28, 28)
for panel, title, values in zip(
    axes[0, 1:], ("a picture", "maxima", "soft averages"), (picture, nn.MaxPool2d(2)(picture), SoftPool.apply(picture))
):
    panel.imshow(values.numpy()[0, 0], cmap="gray")
    panel.set_title(title, fontsize=10)
    panel.axis("off")
save(figure, args.out, "own_layer")
