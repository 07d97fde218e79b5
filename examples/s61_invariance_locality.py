"""Section 6.1: a convolution is a fully connected layer with two wishes granted.

Locality: an output looks at its own neighbourhood only, so most weights are 0. Translation invariance: each output looks with the same
eyes, so all rows of the weight matrix hold the same few numbers. What is left of the matrix is a kernel.
"""

import numpy as np
from _common import matrix, options, panels, save

import numbacnn as nc
from numbacnn import nn

args = options(__doc__).parse_args()
H, K = 8, 3  # an image H x H, a kernel K x K
O = H - K + 1  # one output for each place where the kernel fits

kernel = np.array([[1, 2, 0], [2, -4, -1], [0, -1, 1]], dtype=np.float32)
eyes = np.random.default_rng(1).normal(size=(O, O, K, K))  # local, but with other eyes at each place

shared, local = np.zeros((O, O, H, H), np.float32), np.zeros((O, O, H, H), np.float32)
for i in range(O):
    for j in range(O):
        shared[i, j, i : i + K, j : j + K] = kernel  # the output at (i, j) sees rows i ... i+K-1, columns j ... j+K-1
        local[i, j, i : i + K, j : j + K] = eyes[i, j]

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
assert counts == {"fully connected": 2304, "local": 324, "local and shared": 9}
assert np.count_nonzero(local) == 324 and len(np.unique(shared)) <= 9 and sum(p.numel() for p in convolution.parameters()) == 9
for name, count in counts.items():
    print(f"{name:>17}: {count:5,} weights")

heading = f"Section 6.1: from a fully connected layer ({H}x{H} to {O}x{O}) to a convolution"
figure, axes = panels(2, 4, 11, 5, heading, height_ratios=(0.7, 1))
dense = np.random.default_rng(0).normal(size=(O * O, H * H))
for ax, weights, (name, count) in zip(axes[0], (dense, local, shared), counts.items()):
    matrix(ax, weights.reshape(O * O, H * H), f"{name}\n{count:,} free weights", limit=4.5)
    ax.set_xlabel(f"{H * H} inputs", fontsize=9)
    ax.set_ylabel(f"{O * O} outputs", fontsize=9)
matrix(axes[0, 3], kernel, "the 9 weights:\na kernel", limit=4.5, numbers=True)
titles = ("image", "convolved", "image moved by (2, 2)", "convolved: moved too")
for ax, values, title in zip(axes[1], (image, responses[0], shifted, responses[1]), titles):
    matrix(ax, values, title, limit=8 if values.shape == (H, H) else 25, frame=(H, H))
save(figure, args.out, "s61_invariance_locality")
