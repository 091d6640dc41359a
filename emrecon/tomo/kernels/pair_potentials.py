"""What a row of voxels adds to a penalty of pairs, potential by potential.

Each function goes along a row: `a` holds voxels, `b` their neighbours, `va` and `vb` those of a
second image, `pull` the weights of the pairs; what is asked for is added to `out`. Of a potential
``phi(a, b)`` that is `phi` itself, its derivative in a, its second derivative in a, its Hessian
times the second image, or a curvature in a that majorises: with it, for every u of 0 or more,
``phi(u, b) <= phi(a, b) + phi'(a, b) (u - a) + curvature (u - a)^2 / 2``.
"""

import math

import numpy as np

from emrecon.compiled import kernel

QUADRATIC, RELATIVE_DIFFERENCE, LOG_COSH = range(3)
VALUE, GRADIENT, DIAGONAL, CURVATURE, MAJORANT = range(5)

_ONE, _TWO, _THREE, _HALF = np.float32(1), np.float32(2), np.float32(3), np.float32(0.5)
_LEAST = np.float32(1e-18)
"""In place of a denominator of 0, that of two voxels of 0 without epsilon: such pairs add 0."""

_SMALL = np.float32(0.01)
_LOG_TWO = np.float32(math.log(2))

_FLAGS = {"contract"}


@kernel(fastmath=_FLAGS)
def quadratic(what, a, b, va, vb, pull, out):
    """Add ``phi = (a - b)^2 / 2``."""
    if what == VALUE:
        for k in range(out.size):
            out[k] += pull[k] * _HALF * (a[k] - b[k]) * (a[k] - b[k])
    elif what == GRADIENT:
        for k in range(out.size):
            out[k] += pull[k] * (a[k] - b[k])
    elif what == CURVATURE:
        for k in range(out.size):
            out[k] += pull[k] * (va[k] - vb[k])
    else:
        for k in range(out.size):
            out[k] += pull[k]


@kernel(fastmath=_FLAGS)
def _tanh(t):
    """Return the hyperbolic tangent of 0 or more within 1e-7, sooner than `math.tanh` does."""
    left = math.exp(-_TWO * t)
    return (_ONE - left) / (_ONE + left)


@kernel(fastmath=_FLAGS)
def log_cosh(what, a, b, va, vb, pull, s, out):
    """Add ``phi = log cosh(s (a - b)) / s^2``."""
    if what == VALUE:
        for k in range(out.size):
            t = abs(s * (a[k] - b[k]))
            out[k] += pull[k] * (t - _LOG_TWO + math.log(_ONE + math.exp(-_TWO * t))) / (s * s)
    elif what == GRADIENT:
        for k in range(out.size):
            out[k] += pull[k] * math.copysign(_tanh(abs(s * (a[k] - b[k]))), a[k] - b[k]) / s
    elif what == MAJORANT:
        for k in range(out.size):
            t = abs(s * (a[k] - b[k]))
            out[k] += pull[k] * (_ONE if t < _SMALL else _tanh(t) / t)
    else:
        for k in range(out.size):
            slope = _tanh(abs(s * (a[k] - b[k])))
            bend = pull[k] * (_ONE - slope) * (_ONE + slope)
            out[k] += bend * (va[k] - vb[k] if what == CURVATURE else _ONE)


@kernel(fastmath=_FLAGS)
def relative_difference(what, a, b, va, vb, pull, gamma, epsilon, out):
    """Add ``phi = d^2 / D`` with ``d = a - b`` and ``D = a + b + gamma abs(d) + epsilon``."""
    if what == VALUE:
        for k in range(out.size):
            d = a[k] - b[k]
            under = max(a[k] + b[k] + gamma * abs(d) + epsilon, _LEAST)
            out[k] += pull[k] * d * d / under
    elif what == GRADIENT:
        for k in range(out.size):
            d = a[k] - b[k]
            over = _ONE / max(a[k] + b[k] + gamma * abs(d) + epsilon, _LEAST)
            beside = gamma * abs(d) + a[k] + _THREE * b[k] + epsilon + epsilon
            out[k] += pull[k] * (d * over) * (beside * over)
    elif what == DIAGONAL:
        for k in range(out.size):
            over = _ONE / max(a[k] + b[k] + gamma * abs(a[k] - b[k]) + epsilon, _LEAST)
            one = (b[k] + b[k] + epsilon) * over
            out[k] += pull[k] * _TWO * one * one * over
    elif what == CURVATURE:
        for k in range(out.size):
            over = _ONE / max(a[k] + b[k] + gamma * abs(a[k] - b[k]) + epsilon, _LEAST)
            one, other = (b[k] + b[k] + epsilon) * over, (a[k] + a[k] + epsilon) * over
            out[k] += pull[k] * _TWO * one * (one * va[k] - other * vb[k]) * over
    else:
        _bound(a, b, pull, gamma, epsilon, out)


@kernel(fastmath=_FLAGS)
def _bound(a, b, pull, gamma, epsilon, out):
    """Add a majorising curvature of the relative difference.

    With ``e = 2 b + epsilon`` and the distance v from b, the size of the slope in a is concave in
    v above b, at most ``min(2 v / e, 1 / (gamma + 1))``, and below b for gamma of 1 or more, at
    most ``2 v / e``. A curvature that bounds every chord of the slope from a majorises: from above
    b that to 0 is the steepest at most, from below b the one to where the bound above b bends.
    For gamma below 1 the slope is steepest at 0.
    """
    most = gamma + _ONE
    if gamma < _ONE:
        for k in range(out.size):
            steep = _ONE / max(most * b[k] + epsilon, _LEAST)
            e = (b[k] + b[k] + epsilon) * steep
            out[k] += pull[k] * _TWO * e * e * steep
        return
    for k in range(out.size):
        d = abs(a[k] - b[k])
        e = max(b[k] + b[k] + epsilon, _LEAST)
        over = _ONE / max(a[k] + b[k] + gamma * d + epsilon, _LEAST)
        slope = d * over * (gamma * d + a[k] + _THREE * b[k] + epsilon + epsilon) * over
        above = (slope + (b[k] + b[k]) / e) / max(a[k], _LEAST)
        below = _TWO * (most * slope + _ONE) / (_TWO * most * d + e)
        higher = np.float32(a[k] > b[k])  # a factor, not a branch: the loop stays vectorised
        out[k] += pull[k] * (higher * above + (_ONE - higher) * below)
