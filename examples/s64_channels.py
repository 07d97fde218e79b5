"""Section 6.4: several channels. Each input channel has its own kernel, and the responses are added; each output channel has its own
set of kernels. A 1x1 convolution mixes the channels of each pixel and looks at no neighbour: it is a matrix product."""

import numpy as np
from _common import INK, matrix, options, panels, save
from sklearn.datasets import load_sample_image

import numbacnn as nc
from numbacnn import nn

args = options(__doc__).parse_args()
F = nn.functional

X = nc.stack((nc.arange(9.0).reshape(3, 3), nc.arange(1.0, 10.0).reshape(3, 3)))  # (2, 3, 3): channels, height, width
K = nc.stack((nc.arange(4.0).reshape(2, 2), nc.arange(1.0, 5.0).reshape(2, 2)))  # (2, 2, 2): a kernel for each channel
by_channel = [nc.corr2d(x, k) for x, k in zip(X, K)]
Y = nc.corr2d_multi_in(X, K)
print("two channels in, one out:", " + ".join(str(y.tolist()) for y in by_channel), "=", Y.tolist())
assert Y.tolist() == [[56, 72], [104, 120]]
assert (by_channel[0] + by_channel[1] == Y).all()

kernels = nc.stack((K, K + 1, K + 2))  # (3, 2, 2, 2): output channels, input channels, height, width
Y = nc.stack(nc.corr2d_multi_in_out(X, kernels))
print("three channels out:", Y.tolist())
assert Y.shape == (3, 2, 2) and Y[:, 0, 0].tolist() == [56, 76, 96]
assert (F.conv2d(X, kernels) == Y).all()  # the library's convolution: small integers, so equal to the bit

# a photograph: three channels, red, green and blue
photo = load_sample_image("flower.jpg")[::3, ::3] / np.float32(255)  # (H, W, 3)
X = nc.tensor(photo).permute(2, 0, 1)  # (3, H, W)

mix = nc.tensor([[0.3, 0.6, 0.1], [1.0, -0.5, -0.5]])  # brightness; how red
Y = F.conv2d(X, mix.reshape(2, 3, 1, 1))
product = (mix @ X.reshape(3, -1)).reshape(Y.shape)  # (2, 3) @ (3, pixels)
print(f"1x1 convolution against matrix product, largest difference: {(Y - product).abs().max().item():.1e}")
assert (Y - product).abs().max() < 1e-5

edges = nc.tensor([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])  # above minus below
sobel = nc.stack((edges, edges.t())).reshape(2, 1, 3, 3).expand(2, 3, 3, 3)  # the same for red, green and blue
E = F.conv2d(X, sobel, padding=1)
assert E.shape == (2, *X.shape[1:])

figure, axes = panels(1, 4, 13, 2.75, "Section 6.4: convolutions of a photograph's three channels")
axes[0, 0].imshow(photo)
axes[0, 0].set_title("red, green and blue", color=INK, fontsize=10)
axes[0, 0].set(xticks=[], yticks=[])
matrix(axes[0, 1], Y[0], "1x1: 0.3 R + 0.6 G + 0.1 B", cmap="Greys_r")
matrix(axes[0, 2], Y[1], "1x1: R - (G + B) / 2")
matrix(axes[0, 3], (E * E).sum(0).sqrt(), "3x3: edges, lying and upright", cmap="Greys_r", limit=6)
save(figure, args.out, "s64_channels")
