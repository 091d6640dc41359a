"""A penalised reconstruction in memory: from likelihoods and choices to iterates."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.em import Iterate, em
from emrecon.errors import DataError, SettingsError
from emrecon.tomo.algorithms.de_pierro import DePierro
from emrecon.tomo.algorithms.lbfgs import Lbfgs
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.algorithms.objective import Maximiser, Objective, body_of
from emrecon.tomo.algorithms.subset_ascent import Bsrem, Svrg
from emrecon.tomo.likelihood import Likelihood, Sum
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.priors import PRIORS, Ingredients, Prior
from emrecon.volume import Array, Grid
from emrecon.watchers import Row

log = logging.getLogger(__name__)

WARM_UPDATES = 12
"""Updates of OSEM, and those that complete their pass, before the prior counts: they give the
image that auto values are taken from."""

SMOOTH_MM = 5.0
"""FWHM of a Gaussian on that image, before curvatures are taken from it."""

STRENGTH = 0.7
"""Beta auto: the sum of the weights of a voxel's pairs over the standard deviation of the gradient
of the data there. Whatever counts, voxels and planes, the mean square error of images was least
for 1.2 to 2; the contrast of small hot spheres at equal noise wants half of that."""

CONVERGED = 0.1
"""Percent of the typical value that a residual is below once a run has converged."""

UNSEEN = 0.5
"""Share of the body in which an anatomy may be 0, before its place is doubted."""

MOST_PASSES = 200
"""Passes after which a run ends that has not converged."""


def warm_of(subsets: int) -> int:
    """Return how many updates are of OSEM, before the prior counts."""
    return -(-WARM_UPDATES // subsets) * subsets


def refuse_few_updates(penalty: Penalty, iterations: int, subsets: int) -> None:
    """Refuse a run with a prior that ends before the prior counts.

    Raises
    ------
    SettingsError
        If it does.
    """
    warm = warm_of(subsets)
    if penalty.prior and not penalty.until_converged and iterations * subsets <= warm:
        raise SettingsError(
            f"the first {warm} updates are without the prior, and {iterations} iterations of "
            f"{subsets} subset(s) are {iterations * subsets}: give more (--iterations), or "
            "--until-converged"
        )


@dataclass(frozen=True, eq=False)
class Penalised:
    """What is chosen about a prior, with the images that it takes, on the grid."""

    penalty: Penalty
    """The choices."""

    kappa: Array | None = None
    """Factor of each voxel that was given."""

    anatomy: Array | None = None
    """Images of the same body, ``(n, i, j, k)``."""

    facts: dict[str, Any] = field(default_factory=dict)
    """What auto values came to, once it iterates."""

    __repr__ = brief

    @property
    def maximiser(self) -> Maximiser:
        """The algorithm."""
        seed = self.penalty.order_seed
        known: dict[str, Maximiser] = {
            "svrg": Svrg(seed), "bsrem": Bsrem(seed), "de-pierro": DePierro(), "lbfgs": Lbfgs()
        }  # fmt: skip
        return known[self.penalty.algorithm]

    def iterates(
        self,
        likelihoods: Sequence[Likelihood[Any]],
        start: Array,
        grid: Grid,
        image: Array,
        number: int,
    ) -> Iterator[Iterate[Array]]:
        """Yield `image` as iterate `number`, and every update after it.

        The first ones are of OSEM. A run that goes on beyond them makes them once more, for what
        is taken from them.
        """
        subsets = len(likelihoods)
        warm = warm_of(subsets)
        models = [Mlem(likelihood) for likelihood in likelihoods]
        if number < warm:
            turns = islice(cycle(models), number % subsets, None)
            for iterate in em(turns, image, start=number):
                if iterate.number == warm:
                    break
                yield iterate
            near = image = iterate.params
            number = warm
        else:
            near = next(islice(em(cycle(models), start), warm, None)).params
        objective = self.objective(likelihoods, near, start > 0, grid)
        yield from self.maximiser.iterates(objective, image, number)

    def objective(
        self,
        likelihoods: Sequence[Likelihood[Any]],
        near: Array,
        field: NDArray[np.bool_],
        grid: Grid,
    ) -> Objective:
        """Return what is maximised, auto values taken from `near`."""
        row_sums = Sum(likelihoods).curvature(near, field.astype(np.float32))
        row_sums = np.maximum(row_sums, 0)
        kappa = self.kappa
        if kappa is None and not self.penalty.uniform:
            kappa = np.sqrt(row_sums)
        body = body_of(near, field)
        if self.anatomy is not None:
            _doubt(self.anatomy, body)
        spread = float(np.sqrt(np.median(row_sums[body])))
        prior = self._prior(near, body, spread, kappa, grid)
        smooth = Blur(grid, (SMOOTH_MM,) * 3).forward
        return Objective(likelihoods, prior, field, np.maximum(smooth(near), 0), smooth)

    def _prior(
        self,
        near: Array,
        body: NDArray[np.bool_],
        spread: float,
        kappa: Array | None,
        grid: Grid,
    ) -> Prior:
        """Return the prior, with what is auto by the data."""
        of = self.penalty
        typical = float(np.median(near[body]))
        epsilon = 1e-3 * float(near.max()) if of.epsilon == "auto" else of.epsilon
        edge = 0.2 * typical if of.edge == "auto" else of.edge
        similar = of.similar if self.anatomy is not None and of.prior != "pls" else 0
        ingredients = Ingredients(
            1.0, grid.spacing_mm, kappa, self.anatomy, similar, of.gamma, epsilon, edge,
            self._eta(),
        )  # fmt: skip
        beta = of.strength
        if beta == "auto":
            weights = PRIORS["quadratic"](ingredients).diagonal(near)
            weight = float(np.median(weights[body]))
            if not weight:
                raise DataError(
                    "kappa is 0 in most of the body: beta auto needs some, or give beta"
                )
            beta = STRENGTH * spread / weight
            if of.prior in {"quadratic", "log-cosh"}:  # curvatures of 1, not of 1 over the value
                beta /= typical
        self.facts.update(beta=beta, epsilon=epsilon, edge=edge, eta=ingredients.eta)
        return PRIORS[of.prior](replace(ingredients, beta=beta))

    def report(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return what is to be known about a run, and warn where it should have converged."""
        residuals = [row.residual_percent for row in rows if not np.isnan(row.residual_percent)]
        residual = residuals[-1] if residuals else None
        if self.penalty.until_converged and not (residuals and residuals[-1] <= CONVERGED):
            log.warning(
                "not converged: the residual is %.3g %% after %d passes, wanted %g %%",
                residuals[-1] if residuals else np.nan, rows[-1].iteration, CONVERGED,
            )  # fmt: skip
        return {"prior": dict(self.facts), "residual_percent": residual}

    def _eta(self) -> float:
        """Return the size of steps of the anatomy that are noise."""
        if self.penalty.eta != "auto" or self.anatomy is None:
            return 1.0 if self.penalty.eta == "auto" else self.penalty.eta
        steps = [np.abs(np.diff(self.anatomy[0], axis=axis)) for axis in range(3)]
        largest = [float(np.percentile(one, 99.5)) for one in steps if one.size]  # one slice: none
        return 0.1 * max(largest, default=0.0) or 1.0


def _doubt(anatomy: Array, body: NDArray[np.bool_]) -> None:
    """Warn if an anatomy shows little of the body that the counts show."""
    unseen = 1 - float(np.any(anatomy[:, body], axis=0).mean())
    if unseen > UNSEEN:
        log.warning(
            "the anatomy is 0 in %.0f %% of the body that the counts show: check where it lies",
            100 * unseen,
        )
