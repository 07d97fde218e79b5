"""Section 6.2: cross-correlation by hand, and a kernel of two numbers that finds vertical edges and no others."""

from _common import matrix, options, panels, save

import numbacnn as nc

args = options(__doc__).parse_args()


def corr2d(X, K):
    """Lay the kernel on each place of the image, multiply, and add up."""
    h, w = K.shape
    Y = nc.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


small = corr2d(nc.arange(9.0).reshape(3, 3), nc.arange(4.0).reshape(2, 2))
print("a 3x3 image under a 2x2 kernel:", small.tolist())
assert small.tolist() == [[19, 25], [37, 43]]

X = nc.ones((6, 8))
X[:, 2:6] = 0  # a dark band with an edge on either side
K = nc.tensor([[1.0, -1.0]])  # a pixel minus its right neighbour
Y = corr2d(X, K)
print("each row of the response:", Y[0].tolist())
assert Y.tolist() == [[0, 1, 0, 0, 0, -1, 0]] * 6  # 1 from white to black, -1 back, 0 where nothing changes
assert Y.tolist() == nc.corr2d(X, K).tolist()  # the library's own, with slices in place of loops

lying = corr2d(X.t(), K)
print("largest response to the image on its side:", lying.abs().max().item())
assert lying.tolist() == [[0] * 5] * 8  # horizontal edges: neighbours along a row are equal
assert corr2d(X.t(), K.t()).tolist() == Y.t().tolist()  # set the kernel upright as well, and all is found again

figure, axes = panels(2, 3, 9.4, 5.8, "Section 6.2: the kernel [1, -1] sees vertical edges only", height_ratios=(6, 8))
for row, image in enumerate((X, X.t())):
    shown = {"numbers": True, "frame": (image.shape[0], 8)}
    matrix(axes[row, 0], image, ("image (6, 8)", "the image on its side (8, 6)")[row], cmap="Greys_r", **shown)
    matrix(axes[row, 1], corr2d(image, K), "kernel [1, -1], lying" + (": both edges", ": nothing")[row], 1.4, **shown)
    matrix(axes[row, 2], corr2d(image, K.t()), "kernel [1, -1], upright" + (": nothing", ": both edges")[row], 1.4, **shown)
save(figure, args.out, "s62_corr2d_edges")
