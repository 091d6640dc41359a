"""How sure an image is: the noise of sums of its voxels, and what becomes of a point.

Both are first derivatives of the estimate with respect to the counts. At the maximum of a
penalised likelihood the implicit function theorem gives them; of MLEM or OSEM that are stopped
they are carried along from update to update. Nothing here asks a likelihood for more than its
curvature.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError
from emrecon.tomo.algorithms.objective import LEAST, Objective
from emrecon.tomo.draw import Draw
from emrecon.tomo.likelihood import Likelihood, Through, redrawn
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.problem import Problem
from emrecon.tomo.settings import per_axis
from emrecon.volume import Array

MOST_STEPS = 300
"""Steps of conjugate gradients at most."""

FLAT = 1e-3
"""Share of itself by which the sum that is wanted grows in five steps once it is known."""

FREE = np.float32(1e-3)
"""Share of the typical value above which a voxel is free to move both ways."""


@dataclass(frozen=True, eq=False)
class AtMaximum:
    r"""Derivatives of a penalised image at the maximum of its objective.

    With the Hessian H of minus the objective, over voxels above 0, and that of the data alone, F,
    a sum :math:`w^T x` of voxels has the variance :math:`w^T H^{-1} F H^{-1} w`, and a point at
    voxel j becomes :math:`H^{-1} F e_j` [1]_ [2]_; systems are solved by conjugate gradients.

    References
    ----------
    .. [1] J. A. Fessler, W. L. Rogers, "Spatial resolution properties of penalized-likelihood
       image reconstruction: space-invariant tomographs", IEEE Trans. Image Process. 5, 1346
       (1996).
    .. [2] J. Qi, R. M. Leahy, "Resolution and noise properties of MAP reconstruction for fully 3-D
       PET", IEEE Trans. Med. Imaging 19, 493 (2000).
    """

    objective: Objective
    """What was maximised."""

    image: Array
    """Where it is greatest."""

    @cached_property
    def _free(self) -> NDArray[np.bool_]:
        """The voxels that noise moves both ways."""
        free = self.image > FREE * np.float32(self.objective.typical)
        return np.asarray(free & self.objective.field)

    @cached_property
    def _scale(self) -> Array:
        """What preconditions: the inverse of a bound on the curvature."""
        return np.where(self._free, 1 / (self.objective.curvature(self.image) + LEAST), 0)

    def variance(self, weights: Array) -> float:
        """Return the variance of the sum of voxels times weights."""
        shift, curved = self._solved(weights)
        smooth = self.objective.prior.curvature(self.image, shift)
        return max(0.0, _inner(shift, curved - smooth))

    def response(self, impulse: Array) -> Array:
        """Return what becomes of a small change of the activity, such as a point."""
        seen = self.objective.whole.curvature(self.image, impulse)
        return self._solved(seen)[0]

    def _curved(self, along: Array) -> Array:
        """Return the Hessian of minus the objective, over the free voxels."""
        data = self.objective.whole.curvature(self.image, along)
        both = data + self.objective.prior.curvature(self.image, along)
        return np.where(self._free, both, np.float32(0))

    def _solved(self, right: Array) -> tuple[Array, Array]:
        """Return where the Hessian gives `right`, and what it gives there."""
        left = np.where(self._free, right, np.float32(0)).astype(np.float32)
        solution, curved = np.zeros_like(left), np.zeros_like(left)
        step = z = self._scale * left
        size, gained = _inner(left, z), [0.0]
        for _ in range(MOST_STEPS):
            bent = self._curved(step)
            steep = _inner(step, bent)
            if not (size > 0 and steep > 0):
                break
            length = np.float32(size / steep)
            solution, curved, left = (
                solution + length * step, curved + length * bent, left - length * bent
            )  # fmt: skip
            gained.append(gained[-1] + size / steep * size)
            if len(gained) > 5 and gained[-1] - gained[-6] < FLAT * gained[-1]:
                break
            z, before = self._scale * left, size
            size = _inner(left, z)
            step = z + np.float32(size / before) * step
        return solution, curved


def at_maximum(problem: Problem, image: Array) -> AtMaximum:
    """Return the derivatives of a penalised problem's image, once it has converged.

    Raises
    ------
    SettingsError
        If the problem has no prior.
    """
    if problem.penalised is None:
        raise SettingsError("curvature is of a prior's maximum: choose a prior, or bootstrap")
    fresh = replace(problem.penalised, facts={})
    likelihoods, grid = problem.likelihoods, problem.grid
    objective = fresh.objective(likelihoods, problem.first(), problem.start > 0, grid)
    return AtMaximum(objective, image)


def response_of_stopped(problem: Problem, impulse: Array, updates: int) -> Array:
    r"""Return what a small change of the activity changes in an image of MLEM or OSEM.

    The derivative of the update is carried along from the start image [1]_,

    .. math:: d \leftarrow \frac{d \, A^T[f y/\bar y] + x \, C(x) (e - d)}{A^T f},

    with the curvature C of the log-likelihood of the subset and the change `e`. In kernel EM `x`
    and `d` are coefficients, `e` and what is returned images; before the post-filter.

    References
    ----------
    .. [1] H. H. Barrett, D. W. Wilson, B. M. W. Tsui, "Noise properties of the EM algorithm",
       Phys. Med. Biol. 39, 833 (1994); here for the mean in place of the noise.
    """
    image, change = problem.start, np.zeros_like(problem.start)
    for likelihood in islice(cycle(problem.likelihoods), updates):
        seen = likelihood.sensitivity
        ratio, _ = likelihood.ratio(image)
        pulled = _pulled(likelihood, image, impulse, change)
        moved = np.divide(change * ratio + image * pulled, seen, out=change.copy(), where=seen > 0)
        image = np.divide(image * ratio, seen, out=image.copy(), where=seen > 0)
        change = moved
    return change if problem.kernel is None else problem.kernel.forward(change)


def _pulled(likelihood: Likelihood[object], image: Array, impulse: Array, change: Array) -> Array:
    """Return the curvature times what is left of the impulse; of coefficients through a kernel."""
    if not isinstance(likelihood, Through):
        return likelihood.curvature(image, impulse - change)
    there = likelihood.operator.forward
    pulled = likelihood.likelihood.curvature(there(image), impulse - there(change))
    return likelihood.operator.adjoint(pulled)


def filtered(problem: Problem, image: Array) -> Array:
    """Return an image after the post-filter; the filter is its own adjoint."""
    fwhm = per_axis(problem.settings.post_fwhm_mm)
    return Blur(problem.grid, fwhm).forward(image) if any(fwhm) else image


def drawn_again(problem: Problem, draw: Draw) -> Problem:
    """Return the problem of one replicate of the scan."""
    penalised = problem.penalised and replace(problem.penalised, facts={})
    likelihoods = redrawn(problem.likelihoods, draw)
    return replace(problem, likelihoods=likelihoods, penalised=penalised)


def fwhm_mm(
    response: Array, at: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> float:
    """Return the width of a response at half its height, the mean over the axes.

    From the voxels on both sides of voxel `at` between which it crosses half of its value there,
    linearly. An axis along which it never does is left out; NaN where there is no other.
    """
    i, j, k = at
    profiles = response[:, j, k], response[i, :, k], response[i, j]
    widths = [
        _width(profile, place) * spacing
        for profile, place, spacing in zip(profiles, at, spacing_mm, strict=True)
    ]
    known = [width for width in widths if np.isfinite(width)]
    return float(np.mean(known)) if known else float("nan")


def _width(profile: Array, at: int) -> float:
    """Return the width of a profile about one place at half its value there, in steps."""
    half, total = float(profile[at]) / 2, 0.0
    if not half > 0:
        return float("nan")
    for side in (profile[at:], profile[at::-1]):
        below = np.flatnonzero(side < half)
        if not below.size:
            return float("nan")
        n = int(below[0])
        total += n - 1 + (float(side[n - 1]) - half) / float(side[n - 1] - side[n])
    return total


def _inner(one: Array, other: Array) -> float:
    """Return the inner product, summed in double precision."""
    return float(np.sum(one * other, dtype=np.float64))
