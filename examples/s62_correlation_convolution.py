"""Section 6.2: what deep learning calls convolution is cross-correlation; the two differ by a flip of the kernel.

A single lit pixel shows it: convolution stamps the kernel onto it, correlation stamps the kernel turned by 180 degrees. A kernel that is
its own image under that turn cannot tell them apart, and a learned kernel comes out turned, so for a network it makes no difference.
"""

import numpy as np
from _common import matrix, options, panels, save
from scipy.signal import convolve2d, correlate2d

import numbacnn as nc

args = options(__doc__).parse_args()
rng = np.random.default_rng(0)

letter = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]], dtype=np.float32)
bell = np.outer([1, 4, 6, 4, 1], [1, 3, 3, 1]).astype(np.float32)
dot = np.zeros((11, 10), np.float32)
dot[5, 5] = 1

image = rng.integers(-9, 10, (12, 11)).astype(np.float32)
for kernel in (letter, bell):
    correlated, convolved = nc.corr2d(image, kernel), nc.convolve2d(image, kernel)
    assert (correlated == correlate2d(image, kernel, "valid")).all()  # SciPy means the same by both words
    assert (convolved == convolve2d(image, kernel, "valid")).all()
    assert (convolved == nc.corr2d(image, kernel[::-1, ::-1])).all()  # convolution is correlation with the kernel turned
    print(f"largest difference of the two: {np.abs(correlated - convolved).max():g}")
assert (letter != letter[::-1, ::-1]).any() and (nc.corr2d(image, letter) != nc.convolve2d(image, letter)).any()
assert (bell == bell[::-1, ::-1]).all() and (nc.corr2d(image, bell) == nc.convolve2d(image, bell)).all()

# which kernel explains the answers of a true convolution, if it is used for correlation? least squares: the turned one
windows = np.lib.stride_tricks.sliding_window_view(image, letter.shape).reshape(-1, letter.size)
learned = np.linalg.lstsq(windows, nc.convolve2d(image, letter).ravel(), rcond=None)[0].reshape(letter.shape)
assert np.allclose(learned, letter[::-1, ::-1], atol=1e-4)
print("a correlation that is fitted to a convolution's answers learns the turned kernel")

figure, axes = panels(2, 4, 10, 5.4, "Section 6.2: a lit pixel, correlated and convolved")
for row, (kernel, name) in enumerate(((letter, "an F"), (bell, "a bell"))):
    answers = nc.corr2d(dot, kernel), nc.convolve2d(dot, kernel)
    for ax, values, title in zip(axes[row], (kernel, dot, *answers), (f"kernel: {name}", "a lit pixel", "correlation", "convolution")):
        matrix(ax, values, f"{title} {values.shape}", cmap="Greys", frame=(11, 11))
save(figure, args.out, "s62_correlation_convolution")
