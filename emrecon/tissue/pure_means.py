"""Means of pure tissue, from the voxels where the image is flat.

In real brains many voxels lie between the tissues: mixed ones, deep nuclei, cortex rich in myelin,
white matter beside cortex. They draw the means of a mixture of all voxels together, and with them
every border. Where an image is flat voxels are seldom mixed; and whether it is flat is judged
without the voxel itself, so that its noise has no part in the choice. Those that are mixed all the
same lie in narrow sulci, where grey matter and fluid share all voxels about: they have a component
of their own, as else they draw grey matter's mean away from white matter's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate, em, last, until
from emrecon.stop import Flat, after
from emrecon.tissue.classes import Classes
from emrecon.tissue.field import Image
from emrecon.tissue.layout import Layout
from emrecon.tissue.local_level import levelled, local_level
from emrecon.tissue.local_mixture import Local, LocalMixture
from emrecon.tissue.moments import Prior
from emrecon.tissue.starts import gap

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

FLATTEST = 0.42
"""Share of the voxels that count as flat."""

COMMON = 1.0
"""Voxels of the classes' common covariance that each class starts with, in those of a class if
all were equal: without them one class widens and takes what lies between it and the next."""

SULCI = 1 / 3
"""Part of fluid's weight that voxels half-way to grey matter have in every place. As much again
would spare grey matter a little more, and take noise for mixed voxels."""

LEAST = 0.003
"""Share of the flat voxels below which a class is not shown: narrow ventricles hold 1 %."""

BINS, RANGE = 128, (0.0005, 0.9995)
"""Bins of the histograms of one channel, and the quantiles between which they lie."""

PLACE_MM = 12.0
"""Size of the places whose shares of the classes are their own."""

ENDS, BENDS = (0.02, 0.95), (0.5, 1.0)
"""Quantiles between which further starts lie, and by which power: grey matter nearer to white
matter, and half-way."""

RARE_FLUID = (0.003, 0.15, 0.95)
"""Quantiles of one more start, away from fluid: in a mask that holds the fluid of ventricles alone
the others take the darker half of grey matter for it. Less than a third of the flattest voxels are
grey matter there; from 0.1 to 0.25 the fluid of two real brains is found, from 0.3 that of one."""

RIVAL_COMMON = (1 / 3, 3.0)
"""Factors of `COMMON` in rival models."""

TRIED, MOST = 25, 150
"""Passes of each start before the best goes on, and of that one."""

FLAT = 1e-6
"""Gain of the log-likelihood a voxel below which it is at rest."""

SAMPLE, SAMPLE_SEVERAL = 300_000, 20_000
"""Flat voxels taken of one channel, and of several."""


class Pure(NamedTuple):
    """What flat voxels tell."""

    classes: Classes
    """Their mixture."""

    rivals: Floats
    """Means of rival models, which are no worse beforehand and say how sure the means are, shape
    ``(r, g, c)``."""

    image: Image
    """In which grey matter is as bright everywhere, if that can be told."""

    noise: float
    """Part of the classes' variance that is the voxels' own, 0 to 1."""


def flat_voxels(image: Image, corrected: Floats32) -> NDArray[np.bool_]:
    """Return which voxels have six neighbours that differ least, shape ``(n,)``.

    Slopes alone are nought in the middle of a sulcus, too, where all voxels are mixed. Voxels at
    the edge of the mask lack neighbours, and do not count as flat.

    Parameters
    ----------
    image : Image
        The model, which says where its voxels lie.
    corrected : float32 array, shape (c, n)
        Standardised intensities without the field.
    """
    square = np.zeros(image.lattice.size, np.float32)
    around, far = _around(image), np.repeat(np.array(image.spacing_mm, np.float32), 2)
    for values in np.pad(corrected, ((0, 0), (0, 1)), constant_values=np.nan):
        every = [values[one] for one in around]
        mean = np.add.reduce(every) / np.float32(len(every))
        for one, mm in zip(every, far, strict=True):
            square += ((one - mean) / mm) ** 2
    inner = np.isfinite(square)
    if not inner.any():
        return inner
    return np.asarray(inner & (square <= np.quantile(square[inner], FLATTEST)))


def noise_part(
    image: Image, corrected: Floats32, flat: NDArray[np.intp], classes: Classes
) -> float:
    """Return which part of the classes' variance is noise, that neighbours do not share, 0 to 1.

    The rest is the tissue's own: as its neighbours have it too, they do not tell more about a
    voxel's class than it does itself.

    Parameters
    ----------
    image : Image
        The model, which says where its voxels lie.
    corrected : float32 array, shape (c, n)
        Standardised intensities without the field.
    flat : array of int
        Flat voxels, where six neighbours differ from one by noise alone.
    classes : Classes
        Their mixture.
    """
    around = _around(image, flat)
    off = corrected[:, flat] - np.mean([corrected[:, one] for one in around], axis=0)
    noise = off.var(axis=1) / (1 + 1 / len(around))
    return float(np.clip(noise / classes.variances.mean(axis=0), 0, 1).mean())


def _around(image: Image, of: NDArray[np.intp] | slice = slice(None)) -> list[NDArray[np.int32]]:
    """Return the numbers of the six neighbours of some voxels; that after the last for none."""
    near = image.lattice
    numbers, strides = near.numbers, (near.shape[1] * near.shape[2], near.shape[2], 1)
    return [numbers[near.places[of] + way * step] for step in strides for way in (1, -1)]


def pure_means(
    image: Image,
    classes: Classes,
    unlike: Callable[[Floats], bool],
    meeting: tuple[int, int] | None = None,
) -> Pure | None:
    """Return what the flat voxels tell, or none if they do not show a class.

    Of several starts the one with the best penalised likelihood goes on, and the next where that
    does not show every class in the end.

    Parameters
    ----------
    image : Image
        An image without field of its own.
    classes : Classes
        Where to start, in order of brightness.
    unlike : callable
        Tells from the means of the first channel whether they cannot be those of the contrast.
    meeting : (int, int), optional
        Which classes are fluid and the tissue about sulci; each place then has half as many
        voxels half-way between them as of fluid, and the tissue's level, in an image of one
        channel, is found in each place.
    """
    corrected = image.corrected(np.zeros((len(image.values), 0)))
    flat = np.flatnonzero(flat_voxels(image, corrected))
    if not flat.size:
        return None
    count = len(classes.means)
    i, j, k = (max(round(PLACE_MM / d), 1) for d in image.spacing_mm)
    places = [a // s for a, s in zip(image.lattice.index, (i, j, k), strict=True)]
    shape = [int(a.max()) + 1 for a in places]
    numbers = np.ravel_multi_index([a[flat] for a in places], shape)
    layout = meeting_layout(count, meeting)
    model, seen = _local(corrected[:, flat].astype(np.float64), numbers, layout)

    def shown(end: Classes) -> bool:
        return bool(layout.gather(end.weights).min() >= LEAST and gap(end) >= 1)

    starts = _starts(model, classes, meeting)
    begun = [_climb(model, model.begin(start), TRIED) for start in starts]

    def rank(one: Iterate[Local]) -> tuple[bool, bool, float]:
        classes = one.params.classes
        return gap(classes) < 1, unlike(classes.means[:, 0]), -one.log_likelihood

    ends = (_climb(model, one.params, MOST).params.classes for one in sorted(begun, key=rank))
    pure = next((end for end in ends if shown(end) and not unlike(end.means[:, 0])), None)
    if pure is None:
        return None
    rivals = [_climb(one, one.begin(pure), TRIED).params for one in _rivals(model, meeting)]
    means = np.stack([one.classes.means for one in rivals])
    noise = noise_part(image, corrected, flat, pure)
    if meeting is None or len(image.values) > 1 or not 0 < meeting[1] < count - 1:
        return Pure(pure, means, image, noise)
    drift = np.zeros(shape)
    drift.ravel()[seen] = local_level(model, pure, meeting[1])
    return Pure(pure, means, levelled(image, pure, meeting[1], drift, (i, j, k)), noise)


def _rivals(model: LocalMixture, meeting: tuple[int, int] | None) -> Iterator[LocalMixture]:
    """Yield other models of flat voxels.

    Spreads of the classes more alike and less so; no mixed voxels, and as many as fit.

    Yields
    ------
    LocalMixture
        Of the same voxels.
    """
    for factor in RIVAL_COMMON:
        yield replace(model, prior=replace(model.prior, common=factor * model.prior.common))
    if meeting is not None:
        count = model.layout.classes
        yield replace(model, layout=Layout.of(count))
        yield replace(model, layout=Layout.of(count, mixed=3, pairs=(meeting,)))


def meeting_layout(classes: int, meeting: tuple[int, int] | None) -> Layout:
    """Return classes of which one shares its weight with what lies between it and another."""
    if meeting is None:
        return Layout.of(classes)
    layout = Layout.of(classes, mixed=1, pairs=(meeting,))
    groups, shares = layout.groups.copy(), layout.shares.copy()
    groups[-1] = meeting[0]
    shares[[meeting[0], -1]] = 1 - SULCI, SULCI
    return replace(layout, groups=groups, shares=shares)


def _climb(model: LocalMixture, begin: Local, most: int) -> Iterate[Local]:
    """Return the last of at most so many iterates, where the likelihood is flat."""
    flat = Flat(FLAT, size=float(model.counts.sum()))
    return last(until(em(repeat(model), begin), after(most), flat))


def _starts(
    model: LocalMixture, classes: Classes, meeting: tuple[int, int] | None
) -> Iterator[Classes]:
    """Yield where to start: at the classes, with those between elsewhere, and with little fluid.

    Yields
    ------
    Classes
        Of equal shares.
    """
    count = len(classes.means)
    equal = np.full(count, 1 / count)
    yield Classes(equal, classes.means, classes.covariances)
    many = np.bincount(model.which, model.counts, len(model.values))
    order = np.argsort(model.values[:, 0])

    def at(shares: Floats) -> Floats:
        places = np.searchsorted(many[order].cumsum(), shares * many.sum())
        return np.asarray(model.values[order[places]])

    bright = meeting is not None and meeting[0] > 0  # fluid: all is the other way round

    def turned(shares: Floats) -> Floats:
        return 1 - shares[::-1] if bright else shares

    low, high = at(turned(np.array(ENDS)))
    for bend in BENDS:
        inner = turned((np.arange(count) / (count - 1)) ** bend)[:, None]
        yield Classes(equal, low + (high - low) * inner, classes.covariances)
    if meeting is not None:
        yield Classes(equal, at(turned(np.array(RARE_FLUID))), classes.covariances)


def _local(
    values: Floats, numbers: NDArray[np.intp], layout: Layout
) -> tuple[LocalMixture, NDArray[np.intp]]:
    """Return a model of some flat voxels' intensities, and the number of each of its places."""
    step = max(values.shape[1] // (SAMPLE if len(values) == 1 else SAMPLE_SEVERAL), 1)
    values = values[:, ::step]
    seen, place = np.unique(numbers[::step], return_inverse=True)
    prior = Prior(common=COMMON * values.shape[1] / layout.classes)
    if len(values) > 1:
        every = np.arange(values.shape[1])
        counts = np.ones(len(every))
        return LocalMixture(values.T, every, place, counts, prior, layout), seen
    low, high = np.quantile(values[0], RANGE)
    width = (high - low) / BINS or 1.0
    which = np.clip((values[0] - low) / width, 0, BINS - 1).astype(np.intp)
    codes, often = np.unique(place * BINS + which, return_counts=True)
    middle = (low + width * (np.arange(BINS) + 0.5))[:, None]
    many = often.astype(np.float64)
    return LocalMixture(middle, codes % BINS, codes // BINS, many, prior, layout), seen
