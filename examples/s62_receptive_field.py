"""Section 6.2: the receptive field of an output pixel is what it can see of the input; it grows with every layer.

The gradient of one output pixel with respect to the input is not 0 exactly there. It is compared with the arithmetic of
``nc.inspect.receptive_field``: a layer adds (kernel - 1) steps, and a stride makes all later steps longer.
"""

import numpy as np
from _common import RED, matrix, options, panels, save
from matplotlib.patches import Rectangle

import numbacnn as nc
from numbacnn import nn

args = options(__doc__).parse_args()
S = 24  # the image's side

net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3), nn.AvgPool2d(2), nn.Conv2d(1, 1, 3), nn.AvgPool2d(2))
for parameter in net.parameters():
    parameter.data[:] = 1 / 9  # positive weights, so that nothing cancels

heading = "Section 6.2: what a pixel of each layer sees of the image; grey: its gradient, red: by arithmetic"
figure, axes = panels(1, len(net), 13, 3.1, heading)
for depth, (name, field) in enumerate(nc.inspect.receptive_field(net)):
    X = nc.zeros((1, 1, S, S), requires_grad=True)
    Y = net[: depth + 1](X)
    i = j = Y.shape[2] // 2
    Y[0, 0, i, j].backward()
    gradient = np.abs(X.grad.numpy()[0, 0])
    rows, columns = np.nonzero(gradient)

    size, start = field.size[0], field.start[0] + i * field.jump[0]  # the arithmetic: from where, and how many pixels
    assert (rows.min(), rows.max() + 1) == (columns.min(), columns.max() + 1) == (start, start + size)
    assert len(rows) == size * size
    kind = type(net[depth]).__name__
    print(f"layer {name}, {kind:9}: sees {size:2} x {size:2} pixels, neighbours see the image {field.jump[0]} pixel(s) further on")

    ax = axes[0, depth]
    matrix(ax, gradient, f"{kind} {net[depth].kernel_size if kind == 'AvgPool2d' else 3}: {size} x {size}", cmap="Greys")
    ax.add_patch(Rectangle((start - 0.5, start - 0.5), size, size, fill=False, edgecolor=RED, linewidth=1.8))

sizes = [field.size[0] for _, field in nc.inspect.receptive_field(net)]
assert sizes == [3, 5, 6, 10, 12]
assert [field.jump[0] for _, field in nc.inspect.receptive_field(net)] == [1, 1, 2, 2, 4]
save(figure, args.out, "s62_receptive_field")
