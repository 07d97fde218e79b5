"""Section 6.6: LeNet, layer by layer, and a plain training loop.

By default it learns the digits that scikit-learn carries, in seconds; so few images need Adam to leave the sigmoids' plateau.
``--data fashion-mnist`` takes the book's recipe (SGD, learning rate 0.9, batches of 256), and downloads 30 MB the first time.
"""

import numpy as np
from _common import BLUE, INK, RED, curve, matrix, options, panels, save

import numbacnn as nc
from numbacnn import nn

parser = options(__doc__)
parser.add_argument("--data", choices=("digits", "fashion-mnist"), default="digits")
args = parser.parse_args()

nc.manual_seed(0)
net = nc.models.lenet()

X, shapes = nc.rand(1, 1, 28, 28), []
for layer in net:
    X = layer(X)
    shapes.append(X.shape)
    print(f"{type(layer).__name__:>10}: {X.shape}")
assert [shape[1:] for shape in shapes[::3]] == [(6, 28, 28), (16, 10, 10), (400,), (84,)] and shapes[-1] == (1, 10)
assert sum(p.numel() for p in net.parameters()) == 61_706

if args.data == "digits":
    (train, test), batch, optimiser, least = nc.data.digits(), 32, nc.optim.Adam(net.parameters(), lr=5e-3), 0.9
else:
    (train, test), batch, optimiser, least = nc.data.fashion_mnist(), 256, nc.optim.SGD(net.parameters(), lr=0.9), 0.65

loader = nc.data.DataLoader(train, batch, shuffle=True)
loss, losses, accuracies = nn.CrossEntropyLoss(), [], []
for epoch in range(1, 11):
    total = 0.0
    for X, y in loader:
        value = loss(net(X), y)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        total += value.item() * len(y)
    with nc.no_grad():
        right = sum((net(X).argmax(1) == y).sum().item() for X, y in nc.data.DataLoader(test, 512))
    losses, accuracies = [*losses, total / len(train)], [*accuracies, right / len(test)]
    print(f"epoch {epoch:2}: training loss {losses[-1]:.3f}, test accuracy {accuracies[-1]:.3f}")
assert accuracies[-1] > least

figure, axes = panels(1, 3, 12, 3.4, f"Section 6.6: LeNet learns {train.name}", width_ratios=(1.3, 0.65, 1))
for values, colour, name in ((losses, BLUE, "training loss"), (accuracies, RED, "test accuracy")):
    axes[0, 0].plot(range(1, 11), values, color=colour, marker="o", markersize=4, label=name)
axes[0, 0].legend(frameon=False, labelcolor=INK)
curve(axes[0, 0], f"test accuracy {accuracies[-1]:.1%}", "epoch")
picture = test.images[3].transpose(2, 0, 1) / np.float32(255)  # (1, 28, 28)
matrix(axes[0, 1], picture[0], f"a test image: {test.classes[test.labels[3]]}", cmap="Greys")
with nc.no_grad():
    maps = np.pad(net[0](nc.tensor(picture)).numpy(), ((0, 0), (1, 1), (1, 1)))
matrix(axes[0, 2], np.block([[*maps[:3]], [*maps[3:]]]), "what the first layer's six kernels make of it")
save(figure, args.out, "s66_lenet")
