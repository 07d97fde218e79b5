"""Section 6.2: nobody has to design the kernel. Given images and the wanted responses, gradient descent finds [1, -1] by itself."""

import numpy as np
from _common import BLUE, INK, RED, curve, options, panels, save

import numbacnn as torch
from numbacnn import nn

args = options(__doc__).parse_args()
torch.manual_seed(0)

X = torch.ones((6, 8))
X[:, 2:6] = 0
Y = torch.corr2d(X, torch.tensor([[1.0, -1.0]]))  # what the layer shall answer

conv2d = nn.Conv2d(1, 1, kernel_size=(1, 2), bias=False)
images, targets = X.reshape((1, 1, 6, 8)), Y.reshape((1, 1, 6, 7))
lr = 3e-2
losses, path = [], [conv2d.weight.detach().numpy().ravel().copy()]
for step in range(20):
    loss = (conv2d(images) - targets) ** 2
    conv2d.zero_grad()
    loss.sum().backward()
    conv2d.weight.data[:] -= lr * conv2d.weight.grad
    losses.append(loss.sum().item())
    path.append(conv2d.weight.detach().numpy().ravel().copy())
    if (step + 1) % 4 == 0:
        print(f"step {step + 1:2}, loss {losses[-1]:.5f}")

learned = path[-1]
print("learned kernel:", learned.round(3))
assert np.abs(learned - [1, -1]).max() < 0.02
assert losses[-1] < 1e-2 < losses[0]

figure, axes = panels(1, 2, 9.5, 4.2, "Section 6.2: a kernel learned from data", width_ratios=(1.15, 1))
axes[0, 0].semilogy(range(1, 21), losses, color=RED, marker="o", markersize=4)
curve(axes[0, 0], "squared error, summed", "step")
axes[0, 0].set_xticks(range(0, 21, 4))

# the error of every kernel [a, b]: a bowl with its lowest point at [1, -1]
a, b = np.meshgrid(np.linspace(-1.6, 1.6, 81), np.linspace(-1.6, 1.6, 81))
left, right, wanted = (t.numpy().ravel() for t in (X[:, :-1], X[:, 1:], Y))
bowl = ((a[..., None] * left + b[..., None] * right - wanted) ** 2).sum(-1)
ax = axes[0, 1]
ax.contour(a, b, bowl, levels=np.geomspace(0.5, 120, 9), colors="#b9c4d4", linewidths=1)
ax.plot(*np.transpose(path), color=BLUE, marker="o", markersize=4, label="20 steps of gradient descent")
ax.plot(1, -1, marker="*", markersize=15, color=RED, linestyle="", label="[1, -1]")
curve(ax, "the way through the space of kernels [a, b]", "a", "b")
ax.legend(labelcolor=INK, loc="upper right", edgecolor="white", framealpha=0.9)
ax.set_aspect("equal")
save(figure, args.out, "s62_learn_kernel")
