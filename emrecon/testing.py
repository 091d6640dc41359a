"""Checks that any implementation of a protocol must pass, ours and those of other packages.

Each raises `AssertionError` and says what does not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.em import em
from emrecon.io.checking import check_format
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.likelihood import Likelihood
from emrecon.tomo.operators.algebra import Operator
from emrecon.tomo.priors.prior import Prior
from emrecon.volume import Array

__all__ = ["check_format", "check_likelihood", "check_operator", "check_prior"]

STEP = np.float32(0.01)
"""Share of an image by which it is moved to take differences: errors of differences go with its
square, those of rounding with its inverse."""

CLOSE = 0.01
"""Relative error that differences may have."""

FAR = np.float32(1e5)
"""What an image is multiplied by so that counts say nothing any more, and sensitivity all."""


def check_operator(operator: Operator, rng: np.random.Generator, rtol: float = 1e-5) -> None:
    """Check shapes, types, linearity and that the adjoint is the adjoint.

    Parameters
    ----------
    operator : Operator
        What is checked, on images and data between 0 and 1.
    rng : numpy.random.Generator
        Draws them.
    rtol : float, optional
        Relative error that float32 may make of an inner product.

    Examples
    --------
    >>> import numpy as np
    >>> from emrecon.tomo.operators.algebra import Dense
    >>> rng = np.random.default_rng(0)
    >>> check_operator(Dense(rng.random((5, 4), np.float32)), rng)
    """
    image, data = rng.random(operator.domain, np.float32), rng.random(operator.range, np.float32)
    there = _map_is_linear("forward", operator.forward, image, operator.range, rng)
    back = _map_is_linear("adjoint", operator.adjoint, data, operator.domain, rng)
    _close("<A x, y> and <x, A^T y>", _inner(there, data), _inner(image, back), rtol)


def check_likelihood(
    likelihood: Likelihood[Any], image: Array, rng: np.random.Generator, rtol: float = CLOSE
) -> None:
    """Check that value, derivatives and sensitivity are of one function, and that MLEM climbs it.

    Parameters
    ----------
    likelihood : Likelihood
        What is checked.
    image : array
        Where: an image near to what the counts may have come from.
    rng : numpy.random.Generator
        Draws the directions of differences.
    rtol : float, optional
        Relative error of derivatives against differences.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> problem = em.prepare(em.from_radon(np.full((16, 12), 50.0)).scan, em.Settings(subsets=1))
    >>> likelihood = problem.likelihoods[0]
    >>> check_likelihood(likelihood, problem.start, np.random.default_rng(0))
    """
    _halves_agree(likelihood, image)
    _sensitivity_rules_far_out(likelihood, image * rng.uniform(0.5, 1.5, image.shape), rtol)
    along = image * rng.uniform(-1, 1, image.shape).astype(np.float32)
    other = image * rng.uniform(0, 1, image.shape).astype(np.float32)
    _gradient_is_that_of_differences(likelihood, image, along, rtol)
    _curvature_is_that_of_differences(likelihood, image, (along, other), rtol)
    steps = islice(em(repeat(Mlem(likelihood)), image), 6)
    for before, after in pairwise(iterate.log_likelihood for iterate in steps):
        _hold(
            after >= before - 1e-6 * abs(before),
            f"MLEM makes the likelihood fall: {before, after}",
        )


def check_prior(prior: Prior, image: Array, rng: np.random.Generator, rtol: float = CLOSE) -> None:
    """Check that value and derivatives are of one function, and that its majorant is one.

    Parameters
    ----------
    prior : Prior
        What is checked.
    image : array
        Where: an image of 0 or more, with differences large against what rounds off.
    rng : numpy.random.Generator
        Draws directions and images.
    rtol : float, optional
        Relative error of derivatives against differences.

    Examples
    --------
    >>> from emrecon.tomo.priors import PRIORS, Ingredients
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> image = rng.uniform(1, 9, (6, 6, 6)).astype(np.float32)
    >>> check_prior(PRIORS["quadratic"](Ingredients(0.1, (2.0, 2.0, 2.0))), image, rng)
    """
    kept = image.copy()
    slope, diagonal, bound = prior.gradient(image), prior.diagonal(image), prior.majorant(image)
    size = np.float32(np.sqrt(np.mean(image.astype(np.float64) ** 2)))
    along, other = (size * rng.normal(size=image.shape).astype(np.float32) for _ in range(2))
    for name, one in (("gradient", slope), ("diagonal", diagonal), ("majorant", bound)):
        _hold(one.shape == image.shape, f"{name} of {one.shape} for an image of {image.shape}")
    for name, one in (("diagonal", diagonal), ("majorant", bound)):
        _hold((one >= 0).all(), f"{name} is below 0")
    step = STEP * STEP * along
    up, down = np.maximum(image + step, 0), np.maximum(image - step, 0)
    risen = prior.value(up) - prior.value(down)
    length = _inner(np.abs(slope), np.abs(up - down))
    _close("gradient and differences", risen, _inner(slope, up - down), rtol, length)
    curved, steeper = prior.curvature(image, up - down), prior.gradient(up) - prior.gradient(down)
    error = float(np.linalg.norm((curved - steeper).astype(np.float64)))
    _hold(
        error <= 10 * rtol * float(np.linalg.norm(steeper.astype(np.float64))),
        "curvature strays from differences of the gradient",
    )
    across, back = (
        _inner(other, prior.curvature(image, along)),
        _inner(along, prior.curvature(image, other)),
    )
    _close(
        "curvature both ways",
        across,
        back,
        1e-4,
        _inner(np.abs(other), np.abs(prior.curvature(image, along))),
    )
    for at in rng.integers(0, image.size, 5):
        one = np.zeros_like(image)
        one.flat[at] = 1
        itself = float(prior.curvature(image, one).flat[at])
        _close("diagonal and curvature", float(diagonal.flat[at]), itself, 1e-4)
    _majorises(prior, image, rng)
    _hold(np.array_equal(image, kept), "the prior changes the image")


def _majorises(prior: Prior, image: Array, rng: np.random.Generator) -> None:
    """Check that the parabola at an image is never below the penalty."""
    value, slope, bound = prior.value(image), prior.gradient(image), prior.majorant(image)
    for spread in (0.01, 0.3, 1.0, 3.0):
        ahead = image * np.exp(spread * rng.normal(size=image.shape))
        ahead += spread * rng.random(image.shape) * float(image.mean()) * rng.integers(0, 2)
        some = rng.random(image.shape) < rng.choice([0.1, 0.5, 1.0])
        moved = np.where(some, np.maximum(ahead, image / 2), image).astype(np.float32)
        step = moved - image
        parabola = value + _inner(slope, step) + _inner(bound, step * step) / 2
        moved_value = prior.value(moved)
        _hold(
            moved_value <= parabola + 1e-5 * (abs(value) + abs(parabola)),
            f"the majorant is none: {moved_value:.8g} above {parabola:.8g}",
        )


def _map_is_linear(
    name: str,
    apply: Callable[[Array], Array],
    one: Array,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> Array:
    """Check one way of an operator; return what it makes of `one`."""
    other, kept = rng.random(one.shape, np.float32), one.copy()
    mapped = apply(one)
    _hold(np.array_equal(one, kept), f"{name} changes what it is given")
    _hold(mapped.shape == shape, f"{name} gives shape {mapped.shape}, wanted {shape}")
    _hold(mapped.dtype == np.float32, f"{name} gives {mapped.dtype}, wanted float32")
    second = apply(other)
    _hold(
        not (np.shares_memory(mapped, second) or np.shares_memory(mapped, one)),
        f"{name} gives no new array",
    )
    mixed, wanted = apply(2 * one + 3 * other), 2 * mapped + 3 * second
    most = float(np.abs(wanted).max(initial=0))
    _hold(np.allclose(mixed, wanted, rtol=1e-4, atol=1e-5 * most), f"{name} is not linear")
    return mapped


def _halves_agree(likelihood: Likelihood[Any], image: Array) -> None:
    """Check that `ratio` is `expect` and `back`, and the shapes of all."""
    kept = image.copy()
    expected, value = likelihood.expect(image)
    back = likelihood.back(expected)
    ratio, again = likelihood.ratio(image)
    _hold(np.array_equal(image, kept), "expect or ratio changes the image")
    _hold(np.array_equal(ratio, back) and value == again, "ratio is not back(expect)")
    for name, one in (("ratio", ratio), ("sensitivity", likelihood.sensitivity)):
        _hold(one.shape == image.shape, f"{name} of {one.shape} for an image of {image.shape}")


def _sensitivity_rules_far_out(
    likelihood: Likelihood[Any], image: NDArray[np.floating[Any]], rtol: float
) -> None:
    """Check that a large image loses as much likelihood as the sensitivity expects counts."""
    far = np.asarray(FAR * image, np.float32)
    fall = likelihood.expect(far)[1] - likelihood.expect(2 * far)[1]
    _close("fall far out and sensitivity", fall, _inner(likelihood.sensitivity, far), rtol)


def _gradient_is_that_of_differences(
    likelihood: Likelihood[Any], image: Array, along: Array, rtol: float
) -> None:
    """Check ``ratio - sensitivity`` against differences of the log-likelihood."""
    step = STEP * along
    risen = likelihood.expect(image + step)[1] - likelihood.expect(image - step)[1]
    slope = likelihood.ratio(image)[0] - likelihood.sensitivity
    size = _inner(np.abs(slope), np.abs(2 * step))
    _close("gradient and differences", risen, _inner(slope, 2 * step), rtol, size)


def _curvature_is_that_of_differences(
    likelihood: Likelihood[Any], image: Array, along: tuple[Array, Array], rtol: float
) -> None:
    """Check the curvature against differences of the ratio, and that it is symmetric."""
    one, other = along
    curved = likelihood.curvature(image, one)
    down = likelihood.ratio(image - STEP * one)[0] - likelihood.ratio(image + STEP * one)[0]
    error = np.linalg.norm((down / (2 * STEP) - curved).astype(np.float64))
    size = float(np.linalg.norm(curved.astype(np.float64)))
    _hold(error <= rtol * size, f"curvature strays from differences by {error / size:.2g}")
    across, along_it = _inner(other, curved), _inner(one, likelihood.curvature(image, other))
    _close("curvature both ways", across, along_it, 1e-3, _inner(other, np.abs(curved)))


def _inner(one: Array, other: Array) -> float:
    """Return the inner product in double precision."""
    return float(np.vdot(one.astype(np.float64), other.astype(np.float64)))


def _close(what: str, one: float, other: float, rtol: float, size: float | None = None) -> None:
    """Refuse two numbers that differ by more than a share of their size."""
    most = max(abs(one), abs(other)) if size is None else size
    _hold(abs(one - other) <= rtol * most, f"{what} differ: {one:.8g}, {other:.8g}")


def _hold(condition: bool | np.bool_, words: str) -> None:  # noqa: FBT001 - as assert
    if not condition:
        raise AssertionError(words)
