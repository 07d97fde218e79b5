"""Regression: a network reads numbers off a picture, here where a disc lies and how large it is.

The target is three numbers, the loss their squared error; a metric says in pixels how far off the network is. Validation pictures choose
the best epoch, test pictures judge it once.
"""

import numpy as np
from drawing import BLUE, RED, options, panels, save
from matplotlib.patches import Circle

import numbacnn as nc
from numbacnn import nn

SIZE = 28


def discs(count, rng):
    """Noisy pictures (N, 1, SIZE, SIZE) of a disc, and its (row, column, radius) as shares of the side, (N, 3)."""
    place = rng.uniform(0.3, 0.7, (count, 2))
    radius = rng.uniform(0.1, 0.25, (count, 1))
    pixels = (np.arange(SIZE) + 0.5) / SIZE
    rows, columns = pixels[:, None] - place[:, :1, None], pixels - place[:, 1:, None]
    inside = rows**2 + columns**2 < radius[:, :, None] ** 2
    pictures = inside + rng.normal(0, 0.4, inside.shape)
    return pictures[:, None].astype(np.float32), np.hstack([place, radius]).astype(np.float32)


def pixels_off(output, y):
    return (output - y).abs().mean() * SIZE


args = options(__doc__).parse_args()
rng = np.random.default_rng(0)
train, val, test = discs(1500, rng), discs(200, rng), discs(200, rng)

nc.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(16 * 7 * 7, 32), nn.ReLU(), nn.Linear(32, 3),
)  # fmt: skip
history = nc.fit(net, train, val, test=test, loss=nn.functional.mse_loss, metrics={"pixels": pixels_off}, epochs=12, batch_size=50, lr=3e-3)
assert history.test.metrics["pixels"] < 1

X, y = test
found = nc.predict(net, X, probabilities=False)  # three numbers for each picture, as they are
print(f"the first test disc: row, column, radius {y[0].round(2)}; found {found[0].round(2)}")

figure, axes = panels(2, 5, 10, 4.5, f"Discs found (red) and drawn (blue): {history.test.metrics['pixels']:.2f} pixels off")
for panel, picture, *circles in zip(axes.ravel(), X, y, found):
    panel.imshow(picture[0], cmap="gray", extent=(0, 1, 1, 0))
    for (row, column, radius), colour in zip(circles, (BLUE, RED)):
        panel.add_patch(Circle((column, row), radius, fill=False, edgecolor=colour, linewidth=2))
    panel.axis("off")
save(figure, args.out, "regression")
