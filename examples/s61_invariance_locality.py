"""Section 6.1: a convolution is a fully connected layer with two wishes granted.

Locality: an output looks at its own neighbourhood only, so most weights are 0. Translation invariance: each output looks with the same
eyes, so all rows of the weight matrix hold the same few numbers. What is left of the matrix is a kernel.
"""

import numpy as np
from _common import matrix, options, panels, save

import numbacnn as nc
from numbacnn import nn

args = options(__doc__).parse_args()
H, K, O = 8, 3, 6  # an image H x H, a kernel K x K, and O x O places where the kernel fits

kernel = np.array([[1, 2, 0], [2, -4, -1], [0, -1, 1]], dtype=np.float32)
rng = np.random.default_rng(1)
shared, local = np.zeros((O, O, H, H), np.float32), np.zeros((O, O, H, H), np.float32)
for i in range(O):
    for j in range(O):
        shared[i, j, i : i + K, j : j + K] = kernel  # the output at (i, j) sees rows i ... i+K-1, columns j ... j+K-1
        local[i, j, i : i + K, j : j + K] = rng.normal(size=(K, K))  # as near, but with other eyes at each place

# a linear layer with such a matrix is the convolution, number for number
linear = nn.Linear(H * H, O * O, bias=False)
linear.weight.data[:] = shared.reshape(O * O, H * H)
convolution = nn.Conv2d(1, 1, K, bias=False)
convolution.weight.data[:] = kernel

image = np.zeros((H, H), np.float32)
image[1:4, 1:4] = [[5, 0, 0], [5, 0, 0], [5, 5, 5]]
shifted = np.roll(image, (2, 2), (0, 1))
responses = []
for x in (nc.tensor(image), nc.tensor(shifted)):
    y = convolution(x.reshape(1, 1, H, H)).detach().numpy()[0, 0]
    assert (linear(x.reshape(1, H * H)).detach().numpy().reshape(O, O) == y).all()
    responses.append(y)
print("the constrained linear layer and the convolution give equal numbers")

# translation: move the input, and the output moves along (what enters over the border is another matter)
assert (responses[0][:-2, :-2] == responses[1][2:, 2:]).all()
print("an input moved by (2, 2) moves the output by (2, 2)")

counts = {"fully connected": O * O * H * H, "local": O * O * K * K, "local and shared": K * K}
assert list(counts.values()) == [2304, np.count_nonzero(local), convolution.weight.numel()] == [2304, 324, 9]
for name, count in counts.items():
    print(f"{name:>17}: {count:5,} weights")

figure, axes = panels(2, 4, 11, 5, "Section 6.1: from a fully connected layer (8x8 to 6x6) to a convolution", height_ratios=(0.7, 1))
dense = rng.normal(size=(O * O, H * H))
for ax, weights, (name, count) in zip(axes[0], (dense, local, shared), counts.items()):
    matrix(ax, weights.reshape(O * O, H * H), f"{name}\n{count:,} free weights", limit=4.5)
    ax.set_xlabel(f"{H * H} inputs", fontsize=9)
    ax.set_ylabel(f"{O * O} outputs", fontsize=9)
matrix(axes[0, 3], kernel, "the 9 weights:\na kernel", limit=4.5, numbers=True)
shown = {"image": image, "convolved": responses[0], "image moved by (2, 2)": shifted, "convolved: moved too": responses[1]}
for ax, (title, values) in zip(axes[1], shown.items()):
    matrix(ax, values, title, limit=8 if values.shape == (H, H) else 25, frame=(H, H))
save(figure, args.out, "s61_invariance_locality")
