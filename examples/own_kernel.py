"""A convolution kernel of your own in a live network: from the book's loops to a parallel kernel, and its twin for a GPU.

A kernel fills memory: ``forward(x, w, g, out)`` gets an input x (N, C, H, W), weights w (OC, C/groups, KH, KW) and the windows g, and
writes out (N, OC, OH, OW). ``nc.use_kernel`` puts it into layers, after the laws of convolution have judged it; ``nc.testing.compare``
times it beside the built-in kernel. Change a line of a kernel and see which law notices. What to try next:

- let ``add_tap`` add two taps at once, so that sums are read and written half as often, and watch the last column of the table;
- write ``grad_input(grad, w, g, out)`` and pass it too: then the backward pass is yours as well;
- ``layout="nhwc"`` hands on the library's own memory (N, H, W, C), without copies.
"""

import os
import subprocess
import sys

import numpy as np
from drawing import BLUE, RED, curve, options, panels, save
from numba import cuda, njit, prange

import numbacnn as nc
from numbacnn import nn
from numbacnn.testing import LawBroken, compare

SHAPES = [((16, 6, 14, 14), (16, 6, 5, 5)), ((1, 32, 28, 28), (32, 32, 3, 3), {"padding": 1})]


# -- 1. the book's loops, with stride, padding, dilation and groups --------------------------------------------------------------
@njit
def naive(x, w, g, out):
    (N, OC, OH, OW), (_, C, KH, KW) = out.shape, w.shape
    for n in range(N):
        for o in range(OC):
            first = o // (OC // g.groups) * C  # of the input channels that this group sees
            for i in range(OH):
                for j in range(OW):
                    total = x.dtype.type(0)
                    for c in range(C):
                        for u in range(KH):
                            for v in range(KW):
                                row = i * g.stride_h - g.padding_h + u * g.dilation_h
                                column = j * g.stride_w - g.padding_w + v * g.dilation_w
                                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:  # else it is padding
                                    total += x[n, first + c, row, column] * w[o, c, u, v]
                    out[n, o, i, j] = total


# -- 2. a slip that no square picture shows: the strides of rows and columns are swapped -------------------------------------------
def slipped(x, w, g, out):
    naive(x, w, g._replace(stride_h=g.stride_w, stride_w=g.stride_h), out)


# -- 3. blocks: a task makes four output channels of an image, so that a pixel that is read once serves all of them --------------
@njit
def bordered(x, g, height, width):
    """An image (C, H, W) with zeros around it, each channel as one line: no tap has to ask any more whether it is in the padding."""
    out = np.zeros((x.shape[0], height, width), x.dtype)
    for c in range(x.shape[0]):
        for i in range(min(x.shape[1], height - g.padding_h)):
            for j in range(min(x.shape[2], width - g.padding_w)):
                out[c, i + g.padding_h, j + g.padding_w] = x[c, i, j]
    return out.reshape(x.shape[0], height * width)


@njit(error_model="numpy", fastmath={"contract"})
def add_tap(sums, weights, x):
    """One tap of four output channels, for all pixels at once. LLVM makes vectors of fused multiply-adds of the loop."""
    a, b, c, d = sums[0], sums[1], sums[2], sums[3]
    p, q, r, s = weights[0], weights[1], weights[2], weights[3]
    for k in range(x.size):
        a[k] += p * x[k]
        b[k] += q * x[k]
        c[k] += r * x[k]
        d[k] += s * x[k]


@njit(parallel=True, error_model="numpy")
def blocked(x, w, g, out):
    (N, OC, OH, OW), (_, C, KH, KW) = out.shape, w.shape
    per = OC // g.groups
    blocks = (per + 3) // 4
    rows, columns = (OH - 1) * g.stride_h + 1, (OW - 1) * g.stride_w + 1  # of the outputs of stride 1, some of which are kept
    height, width = rows + (KH - 1) * g.dilation_h, columns + (KW - 1) * g.dilation_w  # of the pixels that they see
    for task in prange(N * g.groups * blocks):  # each task owns what it writes
        image, group, block = task // (g.groups * blocks), task // blocks % g.groups, task % blocks
        pixels = bordered(x[image, group * C : (group + 1) * C], g, height, width)
        first, last = group * per + block * 4, min(group * per + block * 4 + 4, (group + 1) * per)
        sums, weights = np.zeros((4, (rows - 1) * width + columns), x.dtype), np.zeros(4, x.dtype)
        for c in range(C):
            for u in range(KH):
                for v in range(KW):
                    for o in range(first, last):
                        weights[o - first] = w[o, c, u, v]
                    start = u * g.dilation_h * width + v * g.dilation_w
                    add_tap(sums, weights, pixels[c, start : start + sums.shape[1]])
        for o in range(first, last):
            for i in range(OH):
                for j in range(OW):
                    out[image, o, i, j] = sums[o - first, i * g.stride_h * width + j * g.stride_w]


# -- 4. the twin for a GPU: a thread for each output ---------------------------------------------------------------------------------
@cuda.jit
def threads(x, w, g, out):
    place = cuda.grid(1)
    if place < out.size:  # the last block has threads to spare
        rest, j = place // out.shape[3], place % out.shape[3]
        rest, i = rest // out.shape[2], rest % out.shape[2]
        n, o = rest // out.shape[1], rest % out.shape[1]
        first, total = o // (out.shape[1] // g.groups) * w.shape[1], np.float32(0)
        for c in range(w.shape[1]):
            for u in range(w.shape[2]):
                for v in range(w.shape[3]):
                    row = i * g.stride_h - g.padding_h + u * g.dilation_h
                    column = j * g.stride_w - g.padding_w + v * g.dilation_w
                    if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                        total += x[n, first + c, row, column] * w[o, c, u, v]
        out[n, o, i, j] = total


def on_cuda():
    """Judge and time the twin on a GPU, or in Numba's simulator, which runs a kernel's threads as Python."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        compare(threads, shapes=[((1, 2, 5, 5), (2, 2, 3, 3))], device="cuda", block=32, seconds=0)
    else:
        compare(threads, shapes=SHAPES, device="cuda")


if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":  # the child that is started below
    on_cuda()
    sys.exit()

args = options(__doc__).parse_args()
try:
    nc.use_kernel("conv2d", slipped)
except LawBroken as error:
    print(error, end="\n\n")
else:
    raise SystemExit("the slip went unseen")

rows = compare(naive, shapes=SHAPES) + compare(blocked, shapes=SHAPES)

nc.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6 * 14 * 14, 10))
images, labels = nc.randn(32, 1, 28, 28), nc.tensor(np.arange(32) % 10)
built_in = nn.functional.cross_entropy(net(images), labels)
with nc.use_kernel("conv2d", forward=blocked):  # judged already; the gradients, left out, are the library's
    loss = nn.functional.cross_entropy(net(images), labels)
    loss.backward()
print(f"\na network's loss by the built-in kernel {built_in.item():.6f}, by blocked {loss.item():.6f}", end="\n\n", flush=True)
assert abs(loss.item() - built_in.item()) < 1e-5 and net[0].weight.grad is not None

if nc.cuda.is_available():
    on_cuda()
else:
    subprocess.run([sys.executable, "-W", "ignore", __file__], env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}, check=True)

figure, axes = panels(1, len(SHAPES), 9, 3, "A convolution by one's own kernels, the built-in one, and NumPy")
for plot, shape in zip(axes[0], SHAPES):
    times = {row["kernel"]: row["ms"] for row in reversed(rows) if row["shape"] == shape}
    curve(plot, f"{shape[0]} by {shape[1]}", "ms")
    plot.barh(list(times), list(times.values()), color=[RED if name == "built-in" else BLUE for name in times])
    plot.set_xscale("log")
save(figure, args.out, "own_kernel")
