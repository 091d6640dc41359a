"""Whether a result can be believed: what is refused, and what a person must look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.classes import Classes
from emrecon.tissue.contrasts import WEIGHTINGS
from emrecon.tissue.data_checks import LITTLE_ML
from emrecon.tissue.findings import Findings
from emrecon.tissue.mask import MOST_ML, NO_BRAIN_ML
from emrecon.tissue.starts import gap

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

BORDER = 0.02
"""Share of a class without neighbours of others, below which it is a border alone: 0.002 where two
tissues look alike and their border with fluid is taken for a class, 0.2 of grey matter."""

LEAST_SHARE = 0.03
"""Share of a brain's volume that grey and white matter each have at least; vessels and remnants of
dura that were taken for white matter have 1 to 2 %, a mouse's white matter has 10 %."""

WIDEST_MM = (3.5, 2.5)
"""Edge of a voxel, of adults and of newborns, from which on the result is in doubt: at 4 mm a
newborn's grey matter came out with a Dice of 0.60."""

MOST_FLUID = 0.75
"""Share of a brain's volume above which fluid is not all fluid."""

GREY_OVER_WHITE = (0.5, 4.0)
"""Volume of grey over that of white matter: 1.1 to 1.7 in people, and more in children."""

NO_GREY_OVER_WHITE = (0.33, 6.0)
"""Volume of grey over that of white matter that no human brain has: where the two look alike, what
is called grey matter is the border of fluid and 0.25 of the rest."""

INSIDE_OUT, SURELY_INSIDE_OUT = 1.5, 3.0
"""White matter's share at the edge of the mask over grey matter's, from which on the two are
exchanged: 0.01 to 0.2 in adults, 1.7 and more in the newborn, whose grey matter is bright. Where
the intensities show all classes, more of it than of fluid must lie there, too, below the second,
which is 5 in a T1-weighted image that was said to be FLAIR."""

DEEPER = 1.05
"""Mean depth of white matter over grey matter's, below which the two are exchanged: 1.27 and more
in two real brains and 27 changes of each, 1.1 in parts of them, and 0.8 to 0.98 in all of them
with the two exchanged, whichever fluid lies about them in the mask."""

FLUID_OVER_GREY, ALL_BORDER = 1.2, 0.6
"""Volume of fluid over grey matter's, above which it is cortex if grey matter's inner share is
less than the second of fluid's: where a mask holds no fluid, cortex is taken for it, and the
border of cortex and white matter for grey matter (2 and more, 0.33 to 0.45). Elsewhere they are
0.2 to 0.9, and 0.65 and more."""

INSIDE = 0.5
"""White matter's share at the edge of the mask over grey matter's, from which on that is said:
0.01 to 0.2 in whole adult brains, 1 in slabs, 1.1 in FLAIR that was said to be T1 weighted."""

SHOWN = (1.0, 3.2)
"""Distance of two classes, in standard deviations, at the best start from intensities alone: below
the first they are one class, below the second in doubt. It is 4 to 8 in brains of adults, below 3
in the newborn and below 2 at six months."""

MERGED, DISTINCT = 0.5, 2.0
"""Distances of classes, in standard deviations, below which they are one, and are in doubt."""

MOST_OUTLIERS = 0.03
"""Share of the voxels that no tissue explains from which on a person is to look at them."""


class ImplausibleError(DataError):
    """A segmentation that cannot be right: the image does not show the classes that it is of."""


def judged(findings: Findings) -> tuple[str, ...]:
    """Return what a person must look at before believing a result.

    Raises
    ------
    ImplausibleError
        If it cannot be right: a class that died, merged with another or changed places with it,
        or volumes that no brain has.
    """
    _check_alive(findings)
    _check_shown(findings)
    _check_order(findings)
    doubts = list(_doubts_of_classes(findings))
    if findings.settings.tissues:
        _check_volumes(findings)
        _check_maps_agree(findings)
        doubts += _doubts_of_tissues(findings)
    return tuple(doubts)


def _check_alive(findings: Findings) -> None:
    fractions, settings = findings.fractions, findings.settings
    if not np.isfinite(fractions).all():
        raise ImplausibleError("it came to values that are not finite: check the image")
    count = np.bincount(fractions.argmax(axis=1), minlength=settings.most_classes)
    dead = [name for name, n in zip(settings.names, count, strict=True) if not n]
    if dead:
        raise ImplausibleError(
            f"no voxel was found to be mostly {' or '.join(dead)}: the image does not show "
            f"{settings.most_classes} classes; ask for fewer, or give means to start from"
        )


def _check_shown(findings: Findings) -> None:
    """Refuse tissues that the intensities do not show, where nothing else tells of them."""
    start, settings = findings.start, findings.settings
    if settings.tissues and start is not None and start.gap < SHOWN[0]:
        raise ImplausibleError(
            "the intensities show fewer than three tissues: two of them look alike, as at the age "
            "of six months, or the mask holds other things. Ask for fewer classes (--classes 2), "
            "or give priors (--priors) or means (--means)"
        )


def _check_order(findings: Findings) -> None:
    """Refuse classes that changed places, or cannot be told apart but by their place."""
    settings = findings.settings
    if settings.gaussians > 1 or (findings.atlas and not settings.mixed):
        return
    if gap(findings.classes) <= 0:
        raise ImplausibleError(
            "two classes have changed places: the image does not show "
            f"{settings.most_classes} classes in order; ask for fewer, lower the weight prior or "
            "beta, or give means (--means) or priors (--priors) to start from"
        )
    if distance(findings.classes) < MERGED and not findings.atlas:
        raise ImplausibleError(
            f"two classes are only {distance(findings.classes):.2f} standard deviations "
            f"apart: the image does not show {settings.most_classes} classes; ask for fewer, "
            "check the mask and --contrast, or give priors (--priors)"
        )


def _check_volumes(findings: Findings) -> None:
    """Refuse volumes that no brain has."""
    settings, shares = findings.settings, findings.fractions.mean(axis=0, dtype=np.float64)
    if findings.human_ml > NO_BRAIN_ML:
        raise ImplausibleError(
            f"{findings.human_ml:.4g} mL are no brain: check the size and unit of the voxels and "
            "the mask, give one of the brain (--mask), or say --contrast other if it is none"
        )
    held = dict(zip(settings.names, shares, strict=True))
    for name in ("GM", "WM"):
        if held[name] < LEAST_SHARE:
            raise ImplausibleError(
                f"{name} has {held[name]:.1%} of the volume, and of a brain {LEAST_SHARE:.0%} or "
                f"more: some voxels that are far brighter or darker were taken for it, or the "
                f"image is not {settings.weighted} (--contrast). Look at it; leave such "
                "voxels out (--mask, --exclude), or give means (--means) or priors (--priors)"
            )
    _check_grey_and_white(findings, held)
    _check_fluid(findings, held)
    if held["CSF"] > MOST_FLUID:
        raise ImplausibleError(
            f"CSF has {held['CSF']:.0%} of the volume: the mask seems to hold more than the "
            f"brain, or the image is not {settings.weighted} (--contrast)"
        )


def _check_grey_and_white(findings: Findings, held: Mapping[str, float]) -> None:
    """Refuse grey and white matter that are exchanged, or of which one is but a border."""
    start = findings.start
    if start is None and not findings.atlas:  # a person said which is which
        return
    settings, ratio = findings.settings, held["GM"] / held["WM"]
    low, high = NO_GREY_OVER_WHITE
    whole = start is not None or findings.human_ml >= LITTLE_ML
    if whole and settings.times == 1 and not low <= ratio <= high:
        raise ImplausibleError(
            f"there is {ratio:.2g} times as much grey as white matter (1.1 to 1.7 in whole "
            f"brains): the two may look alike here, or the image is not {settings.weighted} "
            "(--contrast). Ask for fewer classes, or give priors (--priors) or means "
            "(--means)"
        )
    if findings.said is not None and not findings.atlas:
        return  # an average brain, which had no part in the fit, tells better than edge and depth
    if exchanged := _exchanged(findings):
        newborn = (
            ", or that of a newborn, whose grey matter is the brighter one: give maps of newborns "
            "(--contrast neonate --priors)"
            if settings.weighting is WEIGHTINGS["T1"]
            else ""
        )
        raise ImplausibleError(
            f"{exchanged}: the image is not {settings.weighted} (--contrast)" + newborn
        )


def _exchanged(findings: Findings) -> str:
    """Return what tells that grey and white matter are exchanged; empty where nothing does."""
    start, outer = findings.start, findings.outer  # where a mask cuts a brain, all lie at its edge
    unsure = start is not None and (start.gap < SHOWN[1] or outer["WM"] > outer["CSF"])
    if outer["WM"] > (INSIDE_OUT if unsure else SURELY_INSIDE_OUT) * outer["GM"]:
        return (
            f"{outer['WM']:.0%} of what is taken for white matter and {outer['GM']:.0%} of the "
            "grey matter lie at the edge of the mask"
        )
    deep = findings.deep_mm if findings.human_ml >= LITTLE_ML else {}
    if start is not None and deep and deep["WM"] < DEEPER * deep["GM"]:
        return (
            f"what is taken for white matter lies {deep['WM']:.1f} mm deep in the mask, and grey "
            f"matter {deep['GM']:.1f} mm, which is the outer one in a brain"
        )
    return ""


def _check_fluid(findings: Findings, held: Mapping[str, float]) -> None:
    """Refuse cortex that is taken for fluid, where the mask of a whole brain holds none."""
    settings, inner = findings.settings, findings.inner
    if findings.start is None or not inner or findings.human_ml < LITTLE_ML:
        return
    if held["CSF"] < FLUID_OVER_GREY * held["GM"]:
        return
    fluid, grey = (inner[settings.names.index(name)] for name in ("CSF", "GM"))
    if grey < ALL_BORDER * fluid:
        raise ImplausibleError(
            f"there is {held['CSF'] / held['GM']:.2g} times as much fluid as grey matter, most of "
            "which borders on other tissues: the mask seems to hold no fluid, so that cortex is "
            "taken for it. Give a mask that holds the fluid about the brain or its ventricles "
            "(--mask), or ask for two classes (--classes 2), or give means (--means) or priors "
            "(--priors)"
        )


def _check_maps_agree(findings: Findings) -> None:
    """Refuse tissues that the maps call by each other's name."""
    settings, said = findings.settings, findings.said
    if said is None:
        return
    rows = range(len(said))
    best = max(permutations(rows), key=lambda columns: float(said[rows, columns].sum()))
    names = [settings.names[column] for column in best]
    other = [
        f"{n} where {m} was found" for n, m in zip(names, settings.names, strict=True) if n != m
    ]
    if other:
        raise ImplausibleError(
            f"maps of a brain have {', '.join(other)}: the image is not {settings.weighted} "
            "(--contrast), or the priors are in another order"
        )


def _doubts_of_classes(findings: Findings) -> Iterator[str]:
    """Yield what is odd about the intensities of the classes.

    Yields
    ------
    str
        Words for a person.
    """
    least, settings = distance(findings.classes), findings.settings
    if least < DISTINCT and settings.gaussians == 1:
        yield f"two classes are only {least:.1f} standard deviations apart"
    if findings.start is not None and findings.start.gap < SHOWN[1] and settings.gaussians == 1:
        yield (
            f"the intensities alone hardly show {settings.most_classes} classes: two are "
            f"{max(findings.start.gap, 0):.1f} standard deviations apart. One of them may be of "
            "mixed voxels alone"
        )
    between = [name for name, share in _between(findings) if share < BORDER]
    if between:
        yield (
            f"{' and '.join(between)} lies almost only on the border of others: it may be of "
            "their mixed voxels alone, and no class of its own. Ask for fewer classes, or look "
            "at finer voxels"
        )
    if settings.unlike(findings.classes.means[:, 0], pure=True):
        yield (
            f"fluid is nearer to grey matter than a {settings.weighted} image has it: "
            "CSF may be a part of the grey matter. Check the contrast and whether the mask holds "
            "fluid"
        )
    if findings.outliers > MOST_OUTLIERS:
        yield (
            f"{findings.outliers:.1%} of the voxels are as bright or dark as no class: look at "
            "the map of outliers"
        )


def _between(findings: Findings) -> Iterator[tuple[str, float]]:
    """Yield the classes that are neither the darkest nor the brightest, and their inner shares."""
    if findings.inner and findings.settings.gaussians == 1:
        names = findings.settings.names
        for rank in list(np.argsort(findings.settings.ranks)[1:-1]):
            yield names[rank], findings.inner[rank]


def _doubts_of_tissues(findings: Findings) -> Iterator[str]:
    """Yield what is odd about volumes and places of the tissues of a brain.

    Yields
    ------
    str
        Words for a person.
    """
    settings, held = findings.settings, findings.fractions.sum(axis=0, dtype=np.float64)
    young = settings.contrast == "neonate"
    if findings.widest_mm > WIDEST_MM[young]:
        yield (
            f"voxels of {findings.widest_mm:.3g} mm are much wider than the cortex"
            f"{' of a newborn' if young else ''} is thick: most hold several tissues, and how "
            "much grey matter there is depends on how they are shared out"
        )
    if findings.human_ml > MOST_ML:
        yield f"{findings.human_ml:.0f} mL are much for a brain: check voxel size and mask"
    if findings.human_ml < LITTLE_ML and settings.scale == "auto" and not young:
        yield (
            f"{findings.human_ml:.0f} mL are little for a whole brain: check voxel size, mask and "
            "whether slices are lost, or say --scale 1 for a part of a brain"
        )
    grey, white = (held[settings.names.index(name)] for name in ("GM", "WM"))
    low, high = GREY_OVER_WHITE
    if not low <= grey / white <= high and settings.times == 1:
        yield (
            f"there is {grey / white:.2g} times as much grey as white matter (1.1 to 1.7 in whole "
            f"brains): is the image {settings.weighted}, and of an adult?"
        )
    outer = findings.outer
    for name, words, most in (("CSF", "fluid", 2.0), ("GM", "grey matter", INSIDE)):
        if outer["WM"] > most * outer[name]:
            yield (
                f"{outer['WM']:.0%} of the white matter and {outer[name]:.0%} of the {words} lie "
                f"at the edge of the mask: the two are exchanged if the image is not "
                f"{settings.weighted} (--contrast), or that of an infant; or the mask cuts the "
                "brain"
            )


def distance(classes: Classes) -> float:
    """Return the least distance of two neighbours in brightness, in standard deviations.

    Of several channels together (Mahalanobis).
    """
    steps = np.diff(classes.means, axis=0)
    spread = (classes.covariances[1:] + classes.covariances[:-1]) / 2
    square = np.einsum("gc,gcd,gd->g", steps, np.linalg.inv(spread), steps)
    return float(np.sqrt(square.min(initial=np.inf)))
