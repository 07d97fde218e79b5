"""Segmentation: a class for every pixel, here of drawn discs and squares in noise.

The network has no linear layer: from a picture (1, H, W) it gives logits (3, H, W), the target is a label for each pixel (H, W), and
cross-entropy takes them as they are. Most pixels are background: ``class_weight="balanced"`` lets each class count alike.
"""

import numpy as np
from drawing import options, panels, save

import numbacnn as nc
from numbacnn import nn

SIZE, CLASSES = 32, ("background", "disc", "square")


def shapes(count, rng):
    """Noisy pictures (N, 1, SIZE, SIZE) of one disc and one square each, and the class of every pixel (N, SIZE, SIZE)."""
    labels = np.zeros((count, SIZE, SIZE), np.int64)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for label in labels:
        for kind in (1, 2):
            row, column = rng.integers(6, SIZE - 6, 2)
            half = rng.integers(4, 7)
            far, near = np.maximum(abs(rows - row), abs(columns - column)), np.hypot(rows - row, columns - column)
            label[(near if kind == 1 else far) <= half] = kind
    pictures = (labels > 0) + rng.normal(0, 0.3, labels.shape)
    return pictures[:, None].astype(np.float32), labels


def overlap(output, y):
    """The intersection over the union of the pixels found and drawn, a mean over the two shapes. A metric may use NumPy."""
    found, drawn = output.argmax(1).numpy(), y.numpy()
    return np.mean([((found == k) & (drawn == k)).sum() / ((found == k) | (drawn == k)).sum() for k in (1, 2)])


args = options(__doc__).parse_args()
rng = np.random.default_rng(0)
train, val, test = shapes(400, rng), shapes(60, rng), shapes(60, rng)

nc.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 16, 3, padding=2, dilation=2), nn.BatchNorm2d(16), nn.ReLU(),  # with dilation a pixel sees further
    nn.Conv2d(16, 16, 3, padding=4, dilation=4), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 16, 3, padding=2, dilation=2), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, len(CLASSES), 1),
)  # fmt: skip
history = nc.fit(net, train, val, test=test, class_weight="balanced", metrics={"overlap": overlap}, epochs=12, batch_size=20, lr=1e-2)
assert history.test.metrics["overlap"] > 0.7

X, y = test
found = nc.predict(net, X).argmax(1)  # probabilities (N, 3, H, W) -> classes (N, H, W)
for k, name in enumerate(CLASSES):
    print(f"{name}: {(found[y == k] == k).mean():.1%} of its pixels are found")

figure, axes = panels(3, 6, 10, 5.6, f"Pictures, their classes, and what the network finds: overlap {history.test.metrics['overlap']:.2f}")
for column, rows in enumerate(zip(X[:6, 0], y, found)):
    for row, values in enumerate(rows):
        axes[row, column].imshow(values, cmap="viridis" if row else "gray", interpolation="nearest")
        axes[row, column].axis("off")
save(figure, args.out, "segmentation")
