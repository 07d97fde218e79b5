"""Section 6.3: padding and stride decide how large the output is.

Along each axis: output = (input + padding on both sides - kernel + stride) // stride.
"""

from _common import BLUE, INK, MUTED, RED, options, panels, save
from matplotlib.patches import Rectangle

import numbacnn as nc
from numbacnn import nn

args = options(__doc__).parse_args()
H, W = 8, 8

# kernel, padding and stride as (height, width), and the output that they make of an 8 x 8 image
cases = (
    ((3, 3), (0, 0), (1, 1), (6, 6)),  # without padding each layer eats the border
    ((3, 3), (1, 1), (1, 1), (8, 8)),  # (kernel - 1) / 2 on each side keeps the size
    ((5, 3), (2, 1), (1, 1), (8, 8)),  # ... also where the kernel is no square
    ((3, 3), (1, 1), (2, 2), (4, 4)),  # stride 2 halves it
    ((3, 5), (0, 1), (3, 4), (2, 2)),  # all of it at once
)


def size(n, k, p, s):
    """How many windows fit along one axis."""
    return (n + 2 * p - k + s) // s


figure, axes = panels(1, len(cases), 14, 3.6, "Section 6.3: kernel (box), padding (grey) and stride (from dot to dot) on an 8 x 8 image")
print(f"{'kernel':>8} {'padding':>8} {'stride':>8}   output")
for ax, (kernel, padding, stride, expected) in zip(axes[0], cases):
    conv2d = nn.Conv2d(1, 1, kernel, padding=padding, stride=stride)
    output = conv2d(nc.rand(1, 1, H, W)).shape[2:]
    assert output == expected
    assert output == tuple(size(*axis) for axis in zip((H, W), kernel, padding, stride))
    print(f"{kernel!s:>8} {padding!s:>8} {stride!s:>8}   {output}")

    (kh, kw), (ph, pw), (sh, sw), (oh, ow) = kernel, padding, stride, output
    for i in range(-ph, H + ph):
        for j in range(-pw, W + pw):
            inside = 0 <= i < H and 0 <= j < W
            ax.add_patch(Rectangle((j, i), 1, 1, facecolor="white" if inside else "#e3e6ea", edgecolor="#c5cad1", linewidth=0.8))
    ax.add_patch(Rectangle((0, 0), W, H, fill=False, edgecolor=MUTED, linewidth=1.5))
    for colour, i, j in ((RED, 0, 0), (BLUE, oh - 1, ow - 1)):  # the first window and the last
        ax.add_patch(Rectangle((j * sw - pw, i * sh - ph), kw, kh, fill=False, edgecolor=colour, linewidth=2.2))
    for i in range(oh):
        for j in range(ow):
            ax.plot(j * sw - pw + kw / 2, i * sh - ph + kh / 2, marker="o", markersize=3.5, color=INK)
    ax.set_title(f"kernel {kernel}, padding {padding},\nstride {stride}: output {output}", color=INK, fontsize=10)
    ax.set(xlim=(-1.3, W + 1.3), ylim=(H + 2.3, -2.3), aspect="equal")
    ax.axis("off")

# names for two paddings, and a stride that leaves a remainder: the last column is not looked at
assert nn.Conv2d(1, 1, (4, 3), padding="same")(nc.rand(1, 1, H, W)).shape == (1, 1, H, W)
assert nn.Conv2d(1, 1, (4, 3), padding="valid")(nc.rand(1, 1, H, W)).shape == (1, 1, 5, 6)
assert nn.Conv2d(1, 1, 3, stride=2)(nc.rand(1, 1, H, W)).shape == (1, 1, 3, 3)
save(figure, args.out, "s63_padding_stride")
