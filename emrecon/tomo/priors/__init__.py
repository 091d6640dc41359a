"""Priors by name: penalties of images, ours and those of other packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emrecon.errors import SettingsError
from emrecon.plugins import Extended
from emrecon.tomo.priors.bowsher import bowsher
from emrecon.tomo.priors.log_cosh import LogCosh
from emrecon.tomo.priors.pairs import PairPrior, Pairs, Potential
from emrecon.tomo.priors.parallel_level_sets import ParallelLevelSets, guide_of, scale_of
from emrecon.tomo.priors.prior import Prior
from emrecon.tomo.priors.quadratic import Quadratic
from emrecon.tomo.priors.relative_difference import RelativeDifference
from emrecon.volume import Array


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What a prior of any kind is made of; each takes what it needs.

    Examples
    --------
    >>> PRIORS["rdp"](Ingredients(0.1, (2.0, 2.0, 2.0))).beta
    0.1
    """

    beta: float
    """Strength, 0 or more."""

    spacing_mm: tuple[float, float, float]
    """Voxel size of the image."""

    kappa: Array | None = None
    """Factor of each voxel; None for 1."""

    anatomy: Array | None = None
    """Anatomical images or fractions of tissues on the grid of the image, ``(n, i, j, k)``."""

    similar: int = 0
    """How many neighbours each voxel chooses by `anatomy`; 0 for all of them."""

    gamma: float = 2.0
    """Of `RelativeDifference`."""

    epsilon: float = 0.0
    """What rounds off at 0, in units of the image."""

    edge: float = 1.0
    """Difference above which an edge begins, in units of the image."""

    eta: float = 1.0
    """Size of gradients of the anatomy below which they are noise."""


def _pairs(potential: Potential, of: Ingredients) -> PairPrior:
    """Return the prior of all pairs of neighbours, or of similar ones."""
    similar = None
    if of.similar:
        if of.anatomy is None:
            raise SettingsError("similar neighbours are chosen by an anatomy: give one")
        similar = bowsher(of.anatomy, of.similar)
    return PairPrior(of.beta, potential, Pairs.around(of.spacing_mm, of.kappa, similar))


def _quadratic(of: Ingredients) -> Prior:
    return _pairs(Quadratic(), of)


def _relative_difference(of: Ingredients) -> Prior:
    return _pairs(RelativeDifference(of.gamma, of.epsilon), of)


def _log_cosh(of: Ingredients) -> Prior:
    return _pairs(LogCosh(1 / of.edge), of)


def _total_variation(of: Ingredients) -> Prior:
    return ParallelLevelSets(of.beta, of.epsilon, scale_of(of.spacing_mm), _squares(of))


def _parallel_level_sets(of: Ingredients) -> Prior:
    if of.anatomy is None or len(of.anatomy) != 1:
        raise SettingsError("parallel level sets follow one anatomical image: give one")
    scale = scale_of(of.spacing_mm)
    guide = guide_of(of.anatomy[0], of.eta, scale)
    return ParallelLevelSets(of.beta, of.epsilon, scale, _squares(of), guide)


def _squares(of: Ingredients) -> Array | None:
    """Return the factors of voxels as they count in a pair: both, so of one voxel its square."""
    return None if of.kappa is None else of.kappa * of.kappa


BUILT_IN: dict[str, Callable[[Ingredients], Prior]] = {
    "quadratic": _quadratic,
    "rdp": _relative_difference,
    "log-cosh": _log_cosh,
    "tv": _total_variation,
    "pls": _parallel_level_sets,
}
"""What makes each prior of this package, by name."""

GROUP = "emrecon.priors"
"""Entry points of other packages' priors, which name what makes one of `Ingredients`."""


PRIORS: Extended[Callable[[Ingredients], Prior]] = Extended(BUILT_IN, GROUP)
"""Priors by the name asked for on the command line, in the panel and in batches."""

__all__ = [
    "BUILT_IN",
    "PRIORS",
    "Ingredients",
    "LogCosh",
    "PairPrior",
    "Pairs",
    "ParallelLevelSets",
    "Prior",
    "Quadratic",
    "RelativeDifference",
    "bowsher",
    "guide_of",
    "scale_of",
]
