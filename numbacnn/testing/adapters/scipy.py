"""SciPy: ``scipy.signal.correlate`` as a convolution of stride 1, by sums and by Fourier transforms. It has no gradients."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np


def implementations() -> list[Any]:
    """SciPy, which adds up, and SciPy, which transforms."""
    import scipy
    from scipy import signal

    def conv(method, x, w, b=None):
        if x.shape[1] != w.shape[1] or any(k > size for k, size in zip(w.shape[2:], x.shape[2:])):
            raise ValueError("correlate takes the larger array for the image")
        y = np.zeros((len(x), len(w), *(size - k + 1 for size, k in zip(x.shape[2:], w.shape[2:]))), x.dtype)
        for n, o in np.ndindex(y.shape[:2]):
            y[n, o] = signal.correlate(x[n], w[o], "valid", method)[0]  # the channels fit once
        return y if b is None else y + b.reshape(len(w), *(1 for _ in x.shape[2:]))

    def made(name, method, rounding):
        calls = {f"conv{n}d": partial(conv, method) for n in (1, 2, 3)}
        return SimpleNamespace(name=name, version=scipy.__version__, rounding=rounding, **calls)

    return [made("SciPy", "direct", "exact"), made("SciPy's Fourier transforms", "fft", "fft")]
