"""What the helpers of ``formulas`` compile to: code that LLVM vectorises (calls of libm stay scalar, and Numba has no SVML).

For float32 they are polynomials without branches, written so that NaN, infinities, overflow and denormals come out right;
float64, which only tests and gradient checks use, takes libm's. With NUMBA_DISABLE_JIT=1 the plain NumPy functions run.

Largest error over the whole float32 range, against float64 (with fused multiply-add): exp 1.0, sigmoid 2.4, tanh 2.4, erf 1.2 ulp;
log1p_below 2.0 ulp; two_sided_normal_tail, relative, 5e-6 up to 5.

Source: the range reduction and the polynomial of Cephes' ``expf`` (S. Moshier, 1992), rounding by a large constant as in
N. Shibata and F. Petrogalli, "SLEEF", IEEE TPDS 31 (2020). erf is x times a polynomial of x**2 near 0 and 1 - exp of a polynomial
beyond, both fitted for the least relative error in float64. two_sided_normal_tail is 2 to the power of a polynomial without a
constant, fitted for the least absolute error down to 0.02, and from there on for the least relative one; 2**r is fitted for the least
relative error. log1p_below is 2 atanh(x / (x + 2)), whose quotient by x / (x + 2) is a polynomial of its square, fitted for the least
relative error.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from ...formulas import ROOT_HALF, erf, exp, exp_below, log1p_below, sigmoid, tanh, two_sided_normal_tail
from .launch import CONTRACT, inline

__all__ = ["exp_below"]

f4 = np.float32
i4 = np.int32

ONE, TWO = f4(1), f4(2)
LOG2E = f4(1.4426950408889634)
LN2_HIGH, LN2_LOW = f4(0.693359375), f4(-2.12194440e-4)  # n * LN2_HIGH is exact
C0, C1, C2 = f4(1.9875691500e-4), f4(1.3981999507e-3), f4(8.3334519073e-3)
C3, C4, C5 = f4(4.1665795894e-2), f4(1.6666665459e-1), f4(5.0000001201e-1)
ROUND = f4(12582912)  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
ROUND_BITS = i4(0x4B400000)
SIGN = i4(-0x80000000)
LARGEST, SMALLEST = f4(89), f4(-104)  # exp overflows, vanishes
SHRINK = f4(2.0**-64)
ONE_BEFORE = f4(10)  # tanh is 1 in float32 long before

NEAR, FAR = f4(0.92), f4(4)  # where erf changes its formula; where it is 1 in float32
E0, E1, E2 = f4(-5.999389686621726e-4), f4(4.994826857000589e-3), f4(-2.676771767437458e-2)
E3, E4, E5 = f4(1.1281845718622208e-1), f4(-3.761249780654907e-1), f4(1.2837915122509003e-1)
T0, T1, T2 = f4(2.1398602984845638e-4), f4(-3.2149639446288347e-3), f4(2.2889988496899605e-2)
T3, T4, T5 = f4(-1.0526187717914581e-1), f4(-6.357182860374451e-1), f4(-1.28514364361763e-1)

LAST = f4(5.6)  # beside 1, what lies beyond it is nothing
B0, B1, B2, B3 = f4(-3.352668898060074e-8), f4(9.66957713899319e-7), f4(-1.1997916772088502e-5), f4(8.171165973180905e-5)
B4, B5, B6 = f4(-2.951297501567751e-4), f4(2.6430772777530365e-5), f4(6.921903230249882e-3)
B7, B8, B9 = f4(-5.24296872317791e-2), f4(-4.592228829860687e-1), f4(-1.1511040925979614)
P0, P1, P2 = f4(1.3244396541267633e-3), f4(9.673473425209522e-3), f4(5.550868436694145e-2)
P3, P4 = f4(2.402220219373703e-1), f4(6.931467652320862e-1)

A0, A1, A2 = f4(0.1408916636297345), f4(0.13980301619633861), f4(0.20012455124198233)
A3 = f4(0.33333157341366354)


@inline
def _reduced(x):
    """n (as the bits of n + ROUND) and expm1(r), where x = n * ln(2) + r."""
    t = x * LOG2E + ROUND
    n = t - ROUND
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = C0
    p = p * r + C1
    p = p * r + C2
    p = p * r + C3
    p = p * r + C4
    p = p * r + C5
    return f4(t).view(i4), p * (r * r) + r


@inline
def _power_of_two(n):
    return i4((n + 127) << 23).view(f4)


def _exp(x):
    x = LARGEST if x > LARGEST else x  # NaN stays
    x = SMALLEST if x < SMALLEST else x
    bits, p = _reduced(x)
    n = i4(bits - ROUND_BITS)
    half = i4(n >> 1)  # 2**n itself may be no float: results may be denormal or overflow, with one rounding at the end
    return (p + ONE) * _power_of_two(half) * _power_of_two(i4(n - half))


def _exp_below(x):
    x = SMALLEST if x < SMALLEST else x  # NaN stays
    bits, p = _reduced(x)  # the shift leaves n's bits alone; n + 64 is no denormal's exponent
    return (p + ONE) * i4((bits + (127 + 64)) << 23).view(f4) * SHRINK


def _log1p_below(x):
    s = x / (x + TWO)
    z = s * s
    p = A0
    p = p * z + A1
    p = p * z + A2
    p = p * z + A3
    return TWO * (s + s * (z * p))


def _tanh(x):
    a = abs(x)
    a = ONE_BEFORE if a > ONE_BEFORE else a
    bits, p = _reduced(TWO * a)
    scale = _power_of_two(i4(bits - ROUND_BITS))
    e = p * scale + (scale - ONE)  # expm1(2 a)
    y = e / (e + TWO)
    return i4(f4(y).view(i4) | (f4(x).view(i4) & SIGN)).view(f4)


def _erf(x):
    s = x * x
    p = E0
    p = p * s + E1
    p = p * s + E2
    p = p * s + E3
    p = p * s + E4
    p = p * s + E5
    a = abs(x)
    t = FAR if a > FAR else a  # NaN stays
    q = T0
    q = q * t + T1
    q = q * t + T2
    q = q * t + T3
    q = q * t + T4
    q = q * t + T5
    y = ONE - exp_below(q * t - t)
    y = i4(f4(y).view(i4) | (f4(x).view(i4) & SIGN)).view(f4)
    return y if a > NEAR else p * x + x


def _two_sided_normal_tail(x):
    p = B0
    p = p * x + B1
    p = p * x + B2
    p = p * x + B3
    p = p * x + B4
    p = p * x + B5
    p = p * x + B6
    p = p * x + B7
    p = p * x + B8
    p = p * x + B9
    q = p * x
    t = q + ROUND
    r = q - (t - ROUND)  # exact, unlike the reduction of exp
    z = P0
    z = z * r + P1
    z = z * r + P2
    z = z * r + P3
    z = z * r + P4
    z = z * r + ONE
    e = z * i4((f4(t).view(i4) + i4(127)) << 23).view(f4)  # the shift leaves n's bits alone
    return f4(0) if x > LAST else e  # NaN stays


def _by_type(function, single, double):
    """Compile ``function`` from ``single`` for float32 and from ``double`` for float64."""

    # inlined by force: where a loop calls exp twice, as GELU's gradient does, LLVM would not, and the loop would stay scalar
    @overload(function, jit_options={"fastmath": set(CONTRACT), "error_model": "numpy", "forceinline": True})
    def choose(x):
        return single if x == types.float32 else double


_by_type(exp, _exp, lambda x: math.exp(x))
_by_type(exp_below, _exp_below, lambda x: math.exp(x))
_by_type(log1p_below, _log1p_below, lambda x: math.log1p(x))
_by_type(sigmoid, sigmoid, sigmoid)
_by_type(tanh, _tanh, lambda x: math.tanh(x))
_by_type(erf, _erf, lambda x: math.erf(x))
_by_type(two_sided_normal_tail, _two_sided_normal_tail, lambda x: math.erfc(x * ROOT_HALF))
