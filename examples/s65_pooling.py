"""Section 6.5: pooling keeps the largest value (or the mean) of each window; what moves within a window no longer matters."""

import numpy as np
from _common import matrix, options, panels, save

import numbacnn as nc
from numbacnn import nn

args = options(__doc__).parse_args()
F = nn.functional

X = nc.arange(9.0).reshape(3, 3)
assert nc.pool2d(X, (2, 2)).tolist() == [[4, 5], [7, 8]]
assert nc.pool2d(X, (2, 2), "avg").tolist() == [[2, 3], [5, 6]]

X = nc.arange(16.0).reshape(1, 1, 4, 4)
for pool, expected in (
    (nn.MaxPool2d(3), [[10]]),  # the stride is the window's size unless given: windows do not overlap
    (nn.MaxPool2d(3, padding=1, stride=2), [[5, 7], [13, 15]]),
    (nn.MaxPool2d((2, 3), stride=(2, 3), padding=(0, 1)), [[5, 7], [13, 15]]),
    (nn.AvgPool2d(2), [[2.5, 4.5], [10.5, 12.5]]),
):
    print(f"{pool}: {pool(X)[0, 0].tolist()}")
    assert pool(X)[0, 0].tolist() == expected

both = nn.MaxPool2d(3, padding=1, stride=2)(nc.cat((X, X + 1), 1))  # two channels: pooled each by itself, never mixed
assert both[0].tolist() == [[[5, 7], [13, 15]], [[6, 8], [14, 16]]]

# an edge that moves by one pixel is still found at the same place behind 2 x 2 maximum pooling
wall = nc.zeros((6, 8))
wall[:, 4:] = 1
edge = [nc.corr2d(image, nc.tensor([[-1.0, 1.0]])) for image in (wall[:, 1:], wall[:, :-1])]  # at column 2, and at column 3
assert edge[0][0].tolist() == [0, 0, 1, 0, 0, 0] and edge[1][0].tolist() == [0, 0, 0, 1, 0, 0]
assert (nc.pool2d(edge[0], (2, 2))[:, 2] == 1).all() and (nc.pool2d(edge[1], (2, 2))[:, 2] == 1).all()

# the same on 1,437 written digits: how much of an edge detector's response changes when the digit moves by one pixel?
digits = nc.data.digits()[0].images.transpose(0, 3, 1, 2) / np.float32(255)  # (N, 1, 28, 28)
moved = np.roll(digits, 1, axis=3)
kernel = nc.tensor([[-1.0, 1.0]]).reshape(1, 1, 1, 2)
maps = [F.conv2d(nc.tensor(x), kernel, padding=(0, 1)).abs() for x in (digits, moved)]
shares, shown = {}, {}
SHOWN = 0  # the digit in the picture
pools = {"no pooling": nn.Identity(), "max 2x2": nn.MaxPool2d(2), "max 4x4": nn.MaxPool2d(4), "average 4x4": nn.AvgPool2d(4)}
for name, pool in pools.items():
    before, after = (pool(m).numpy() for m in maps)
    shares[name] = float(np.abs(after - before).sum() / (after + before).sum())
    shown[name] = before[SHOWN, 0], after[SHOWN, 0]
    print(f"{name:>11}: {shares[name]:.0%} of the response changes")
assert shares["no pooling"] > 1.5 * shares["max 2x2"] and shares["max 2x2"] > 1.5 * shares["max 4x4"]

heading = "Section 6.5: the edges of a digit and of the digit moved by one pixel (changes: over all 1,437 digits)"
figure, axes = panels(2, 5, 12, 5.3, heading)
for row, (x, title) in enumerate(((digits, "a digit\n"), (moved, "moved by one pixel"))):
    matrix(axes[row, 0], x[SHOWN, 0], title, cmap="Greys")
    for ax, name in zip(axes[row, 1:], shares):
        text = f"{name}\n{shares[name]:.0%} of the response changes" if row == 0 else ""
        matrix(ax, shown[name][row], text, limit=shown[name][0].max(), cmap="Greys")
save(figure, args.out, "s65_pooling")
