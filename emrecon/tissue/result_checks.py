"""Whether a result can be believed: what is refused, and what a person must look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.classes import Classes
from emrecon.tissue.lattice import Lattice
from emrecon.tissue.mask import MOST_ML
from emrecon.tissue.settings import Settings
from emrecon.tissue.starts import gap

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

LEAST_ML, HUMAN_ML = 20.0, 1400.0
"""Volume below which a brain is not human, not even of a child before birth, and a usual one."""

NO_BRAIN_ML = 3500.0
"""Volume that no human brain has, even with all the fluid of a large head."""

LEAST_SHARE = 0.03
"""Share of a brain's volume that grey and white matter each have at least; vessels and remnants of
dura that were taken for white matter have 1 to 2 %, a mouse's white matter has 10 %."""

MOST_FLUID = 0.75
"""Share of a brain's volume above which fluid is not all fluid."""

GREY_OVER_WHITE = (0.5, 4.0)
"""Volume of grey over that of white matter: 1.1 to 1.7 in people, and more in children."""

MERGED, DISTINCT = 0.5, 2.0
"""Distances of classes, in standard deviations, below which they are one, and are in doubt."""

MOST_OUTLIERS = 0.03
"""Share of the voxels that no tissue explains from which on a person is to look at them."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What is judged of a segmentation."""

    settings: Settings
    """How it was made."""

    classes: Classes
    """Parameters, from dark to bright."""

    fractions: Floats32
    """Of each class in each voxel, in the order of the names, shape ``(n, k)``."""

    human_ml: float
    """Volume of all voxels, were the brain as large as a human one."""

    rim: NDArray[np.bool_]
    """Which voxels are at the edge of the mask, shape ``(n,)``."""

    outliers: float
    """Share of the voxels that no class explains."""

    atlas: bool
    """Whether priors tell the classes apart by place, too."""


def check_size(voxels: int, affine: Floats, settings: Settings) -> None:
    """Refuse a brain that is too small for a human one, whose lengths were not said to be others.

    Raises
    ------
    DataError
        If it is, with the scale that would do.
    """
    volume_ml = voxels * abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    if settings.scale == "auto" and settings.tissues and volume_ml < LEAST_ML:
        times = (volume_ml / HUMAN_ML) ** (1 / 3)
        raise DataError(
            f"a brain of {volume_ml:.2g} mL is no human one, and the lengths of blocks, spatial "
            f"and bias field are those of human brains: say --scale {times:.2g} if it is whole, "
            "or --scale 1 for a part of a human brain"
        )


def rim_of(lattice: Lattice) -> NDArray[np.bool_]:
    """Return which voxels have a neighbour outside the mask, shape ``(n,)``."""
    return np.asarray((lattice.beside == lattice.size).any(axis=0))


def judged(found: Findings) -> tuple[str, ...]:
    """Return what a person must look at before believing a result.

    Raises
    ------
    DataError
        If it cannot be right: a class that died, merged with another or changed places with it,
        or volumes that no brain has.
    """
    _check_alive(found)
    _check_order(found)
    doubts = list(_doubts_of_classes(found))
    if found.settings.tissues:
        _check_volumes(found)
        doubts += _doubts_of_tissues(found)
    return tuple(doubts)


def _check_alive(found: Findings) -> None:
    fractions, settings = found.fractions, found.settings
    if not np.isfinite(fractions).all():
        raise DataError("the segmentation came to values that are not finite: check the image")
    count = np.bincount(fractions.argmax(axis=1), minlength=settings.most_classes)
    dead = [name for name, n in zip(settings.names, count, strict=True) if not n]
    if dead:
        raise DataError(
            f"no voxel was found to be mostly {' or '.join(dead)}: the image does not show "
            f"{settings.most_classes} classes; ask for fewer, or give means to start from"
        )


def _check_order(found: Findings) -> None:
    """Refuse classes that changed places, or cannot be told apart but by their place."""
    settings = found.settings
    if settings.gaussians > 1 or (found.atlas and not settings.mixed):
        return
    if gap(found.classes) <= 0:
        raise DataError(
            "two classes have changed places: the image does not show "
            f"{settings.most_classes} classes in order; ask for fewer, lower the weight prior or "
            "beta, or give means (--means) or priors (--priors) to start from"
        )
    if distance(found.classes) < MERGED and not found.atlas:
        raise DataError(
            f"two classes are only {distance(found.classes):.2f} standard deviations apart: the "
            f"image does not show {settings.most_classes} classes; ask for fewer, check the mask "
            "and --contrast, or give priors (--priors)"
        )


def _check_volumes(found: Findings) -> None:
    """Refuse volumes that no brain has."""
    settings, shares = found.settings, found.fractions.mean(axis=0, dtype=np.float64)
    if found.human_ml > NO_BRAIN_ML:
        raise DataError(
            f"{found.human_ml:.4g} mL are no brain: check the size and unit of the voxels and the "
            "mask, give one of the brain (--mask), or say --contrast other if it is none"
        )
    held = dict(zip(settings.names, shares, strict=True))
    for name in ("GM", "WM"):
        if held[name] < LEAST_SHARE:
            raise DataError(
                f"{name} has {held[name]:.1%} of the volume, and of a brain {LEAST_SHARE:.0%} or "
                f"more: some voxels that are far brighter or darker were taken for it, or the "
                f"image is not {settings.weighted} (--contrast). Look at it; leave such "
                "voxels out (--mask, --exclude), or give means (--means) or priors (--priors)"
            )
    if held["CSF"] > MOST_FLUID:
        raise DataError(
            f"CSF has {held['CSF']:.0%} of the volume: the mask seems to hold more than the "
            f"brain, or the image is not {settings.weighted} (--contrast)"
        )


def _doubts_of_classes(found: Findings) -> Iterator[str]:
    """Yield what is odd about the intensities of the classes.

    Yields
    ------
    str
        Words for a person.
    """
    least, settings = distance(found.classes), found.settings
    if least < DISTINCT and settings.gaussians == 1:
        yield f"two classes are only {least:.1f} standard deviations apart"
    if settings.unlike(found.classes.means[:, 0]):
        yield (
            f"fluid is nearer to grey matter than a {settings.weighted} image has it: "
            "CSF may be a part of the grey matter. Check the contrast and whether the mask holds "
            "fluid"
        )
    if found.outliers > MOST_OUTLIERS:
        yield (
            f"{found.outliers:.1%} of the voxels are as bright or dark as no class: look at the "
            "map of outliers"
        )


def _doubts_of_tissues(found: Findings) -> Iterator[str]:
    """Yield what is odd about volumes and places of the tissues of a brain.

    Yields
    ------
    str
        Words for a person.
    """
    settings, held = found.settings, found.fractions.sum(axis=0, dtype=np.float64)
    if found.human_ml > MOST_ML:
        yield f"{found.human_ml:.0f} mL are much for a brain: check voxel size and mask"
    grey, white = (held[settings.names.index(name)] for name in ("GM", "WM"))
    low, high = GREY_OVER_WHITE
    if not low <= grey / white <= high and settings.times == 1:
        yield (
            f"there is {grey / white:.2g} times as much grey as white matter (1.1 to 1.7 in whole "
            f"brains): is the image {settings.weighted}, and of an adult?"
        )
    outer = found.fractions[found.rim].sum(axis=0, dtype=np.float64) / np.maximum(held, 1e-9)
    white = outer[settings.names.index("WM")]
    for name, words, most in (("CSF", "fluid", 2.0), ("GM", "grey matter", 1.2)):
        share = outer[settings.names.index(name)]
        if white > most * share:
            yield (
                f"more of the white matter than of the {words} lies at the edge of the mask "
                f"({white:.0%} and {share:.0%}): the two are exchanged if the image is not "
                f"{settings.weighted} (--contrast), or that of an infant"
            )


def distance(classes: Classes) -> float:
    """Return the least distance of two neighbours in brightness, in standard deviations.

    Of several channels together (Mahalanobis).
    """
    steps = np.diff(classes.means, axis=0)
    spread = (classes.covariances[1:] + classes.covariances[:-1]) / 2
    square = np.einsum("gc,gcd,gd->g", steps, np.linalg.inv(spread), steps)
    return float(np.sqrt(square.min(initial=np.inf)))
