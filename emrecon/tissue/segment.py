"""From images to tissue classes: the whole story in one function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from emrecon.compiled import set_threads
from emrecon.errors import DataError, SettingsError
from emrecon.stop import Rule
from emrecon.tissue.atlas import AVERAGE, PRIORS, lay, place, stack, well_placed
from emrecon.tissue.choose import chosen
from emrecon.tissue.classes import Classes
from emrecon.tissue.data import (
    EXCLUSION,
    LABELS,
    Data,
    flags_of,
    gather,
    on_grid,
    prepare,
    resized,
)
from emrecon.tissue.data_checks import NO_ROOM_ML, check_data, check_size, counted_from_0
from emrecon.tissue.find_brain import HeadMaps, find_brain, soft_tissue
from emrecon.tissue.grey_parts import deep_share
from emrecon.tissue.input_checks import check_used
from emrecon.tissue.layout import Layout
from emrecon.tissue.maps import Atlas, Average
from emrecon.tissue.mask import MaskFrom, background
from emrecon.tissue.planes import check_air, without_blank_planes
from emrecon.tissue.result import Segmentation
from emrecon.tissue.result_checks import ImplausibleError
from emrecon.tissue.settings import Settings, layout_of
from emrecon.tissue.stage_models import shows_details
from emrecon.tissue.stages import Fit, Look, Observer
from emrecon.tissue.starting_points import starting_points
from emrecon.tissue.user_starts import atlas_start, labels_start, means_start
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Floats32 = NDArray[np.float32]


def no_maps() -> Sequence[Volume]:
    """Return no maps."""
    return ()


def segment(  # noqa: PLR0913 - all but two are files that may go with an image
    images: Sequence[Volume],
    settings: Settings | None = None,
    *,
    mask: Volume | None = None,
    exclude: Volume | None = None,
    means: Floats | None = None,
    labels: Volume | None = None,
    priors: Sequence[Volume] = (),
    prior_classes: Sequence[int] = (),
    deep_priors: Sequence[int] = (),
    head_maps: HeadMaps = no_maps,
    observers: Sequence[Observer] = (),
) -> Segmentation:
    """Segment an image of one or more channels into tissue classes.

    Parameters
    ----------
    images : sequence of Volume
        Channels; NaN where one is missing.
    settings : Settings, optional
        How to segment.
    mask : Volume, optional
        Where there is brain; see `emrecon.tissue.soft_mask.as_flags`. Without one, an image that
        is 0 over much of its grid is taken as it is, and a whole head is stripped; see
        `emrecon.tissue.head_cut` and, where there are no maps, `emrecon.tissue.mask`.
    exclude : Volume, optional
        Where voxels are left out, such as lesions.
    means : array, optional
        Means to start from in place of several starts, shape ``(k,)`` or ``(k, c)``.
    labels : Volume, optional
        Labels to start from: 1 to k in the order of the class names, 0 where not known.
    priors : sequence of Volume, optional
        Probability of each class, in the order of the class names, all on one grid; see
        `Settings.align`.
    prior_classes : sequence of int, optional
        Class of each prior, from 1, where several make up a class; by default one a class.
    deep_priors : sequence of int, optional
        Numbers of the priors of deep grey matter, from 1.
    head_maps : callable, optional
        Called for maps of an average brain by which a whole head is stripped; without them, and
        for other classes than CSF, GM and WM, intensity and shape alone tell.
    observers : sequence of callable, optional
        Are shown every iterate.

    Raises
    ------
    EmreconError
        If images, masks, priors or settings do not fit together, or hold nothing to segment.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> rng = np.random.default_rng(0)
    >>> shell = np.abs(np.indices((20, 20, 20)) - 9.5).max(0)
    >>> tissue = (shell < 8).astype(int) + (shell < 6)  # fluid about grey about white
    >>> noisy = (300 + 200 * tissue + rng.normal(0, 20, (20, 20, 20))).astype(np.float32)
    >>> image = em.Volume(noisy, np.eye(4))
    >>> mask = em.Volume(np.ones_like(noisy), np.eye(4))
    >>> found = em.segment([image], em.TissueSettings(bias_mm=0, scale=1), mask=mask)
    >>> [f"{name} {volume:.1f} mL" for name, volume in zip(found.names, found.volumes_ml)]
    ['CSF 3.9 mL', 'GM 2.4 mL', 'WM 1.7 mL']
    """
    begun = begin(
        images, settings, mask=mask, exclude=exclude, means=means, labels=labels,
        priors=priors, prior_classes=prior_classes, deep_priors=deep_priors, head_maps=head_maps,
    )  # fmt: skip
    return segmented(begun, lambda *_: observers)


def segmented(
    fit: Fit, look: Look, *rules: Rule, fitted: Callable[[], object] = lambda: None
) -> Segmentation:
    """Return what a fit comes to; one that no brain can be is made once more.

    With outliers where the first fit had none, and the other way round, from the start.

    Parameters
    ----------
    fit : Fit
        What is iterated.
    look : callable
        Makes the observers of each stage.
    *rules : callable
        Once one says that it is enough, each stage that is left makes one pass.
    fitted : callable, optional
        Called between the last iterate and the volumes.

    Raises
    ------
    ImplausibleError
        If neither can be right.
    """

    def fitted_by(one: Fit) -> Segmentation:
        stages = one.stages(look, *rules)
        fitted()
        return one.finish(stages)

    try:
        return fitted_by(fit)
    except ImplausibleError as error:
        if fit.again is None:
            raise
        first = error
    other = fit.again()
    what = "with" if other.settings.outliers else "without"
    log.info("fitting once more %s outliers, as that came to nothing: %s", what, first)
    try:
        second = fitted_by(other)
    except ImplausibleError as error:
        log.info("that came to nothing, too: %s", error)
        raise ImplausibleError(f"{first} (the same {what} outliers)") from error
    log.warning("fitted once more %s outliers, as that came to nothing: %s", what, first)
    return replace(second, doubts=(f"it was fitted once more {what} outliers", *second.doubts))


def begin(  # noqa: PLR0913 - as for `segment`
    images: Sequence[Volume],
    settings: Settings | None = None,
    *,
    mask: Volume | None = None,
    exclude: Volume | None = None,
    means: Floats | None = None,
    labels: Volume | None = None,
    priors: Sequence[Volume] = (),
    prior_classes: Sequence[int] = (),
    deep_priors: Sequence[int] = (),
    head_maps: HeadMaps = no_maps,
) -> Fit:
    """Check what is to be segmented and find where to start from.

    Parameters are those of `segment`, which makes all the stages of what comes back.
    """
    settings = settings or Settings()
    check_used(
        settings, prior_classes, deep_priors, priors=bool(priors), means=means is not None,
        labels=labels is not None,
    )  # fmt: skip
    set_threads(settings.threads)
    head_maps = cache(head_maps)
    maps = priors or _needed_priors(settings, len(images), head_maps)
    grow = 1 / settings.times  # to the size of a human brain, whose lengths are used throughout
    images, maps = ([resized(one, grow) for one in many] for many in (images, maps))
    mask, exclude, labels = (one and resized(one, grow) for one in (mask, exclude, labels))
    channels, region, affine = gather(images, mask, resample=settings.resample)
    region, mask_from = _region(Volume(channels[0], affine), region, settings, head_maps)
    if exclude is not None:  # only now: the brain of a head is found whole
        left_out = flags_of(exclude, images[0], EXCLUSION, resample=settings.resample)
        region = region & ~left_out
    region = without_blank_planes(channels, region)
    data = prepare(channels, region, affine, settings.most_classes, settings.times)
    check_data(data, settings, user_starts=bool(maps) or means is not None or labels is not None)
    data = counted_from_0(data, settings)
    settings, choices = chosen(data, settings)
    called = PRIORS if priors else AVERAGE
    atlas = lay(maps, prior_classes, settings, images[0], data.mask, called) if maps else None
    deep = deep_share(priors, prior_classes, deep_priors) if deep_priors else None
    atlas = atlas and replace(atlas, deep=deep)
    drawn = None if labels is None else _drawn(labels, images[0], settings)
    average = _average(images[0], data, settings, head_maps, None if priors else atlas)

    def fit(settings: Settings) -> Fit:
        layout = layout_of(settings, outliers=settings.outliers)
        starts = _user_starts(data, layout, settings, means, drawn, atlas)
        optima = starting_points(data, layout, settings, starts)
        return Fit(data, layout, settings, optima, atlas, average, mask_from, choices)

    toggled = replace(settings, outliers=not settings.outliers)
    return replace(fit(settings), again=lambda: fit(toggled))


def _region(
    image: Volume, supplied: Flags | None, settings: Settings, head_maps: HeadMaps
) -> tuple[Flags, MaskFrom]:
    """Return the voxels that may be brain, in the mask that is given or found."""
    region = supplied
    mask_from: MaskFrom = "given"
    if region is None:
        if image.voxels.min() < image.voxels.max():  # else there is nothing in it
            shown = int(np.count_nonzero(image.voxels))
            check_size(shown, image.affine, settings, NO_ROOM_ML)
        region, mask_from = find_brain(image, settings, head_maps)
    else:
        check_air(image.voxels, region, background(image.voxels))
    if settings.contrast == "CT" and settings.tissues:
        region = soft_tissue(image.voxels, region)
    return region, mask_from


def _drawn(labels: Volume, image: Volume, settings: Settings) -> Floats32:
    """Return labels to start from, on the image's grid."""
    return on_grid(labels, image, LABELS, 0, resample=settings.resample)


def _average(
    image: Volume, data: Data, settings: Settings, head_maps: HeadMaps, laid: Atlas | None
) -> Average:
    """Return where the average brain of installed maps lies on an image, or why it does not.

    `laid` is the same average, where it was taken for priors; those that were not aligned, on the
    image's own grid, do not tell how well they lie.
    """
    if not shows_details(data, settings):
        return Average(why_not="not asked for, or not of this contrast, scale or size")
    if laid is not None and laid.explained:
        return well_placed(laid, image, data.mask)
    maps = head_maps()
    if not maps:
        return Average(why_not="no maps of an average brain are installed")
    return place(image, data.mask, *stack(maps, settings.most_classes, ()))


def _needed_priors(settings: Settings, channels: int, head_maps: HeadMaps) -> Sequence[Volume]:
    """Return maps of an average brain where one image alone tells too little, or for cavities.

    Raises
    ------
    DataError
        If they are needed, and there are none or they do not fit.
    """
    maps = head_maps() if settings.lays_maps else ()
    if settings.space == "template" and not maps:
        raise DataError(
            "space template is that of maps, and there are none that fit: give them (--priors), "
            "or install those of adults: emrecon[maps]"
        )
    if not settings.crossed or channels > 1:
        return maps if settings.lesions or settings.space == "template" else ()
    if not maps:
        ways = ", or install those of adults: emrecon[maps]" if settings.human else " of newborns"
        raise DataError(
            f"a voxel of fluid and grey matter is as bright as white matter in an image that is "
            f"{settings.weighted}, which alone does not tell them apart: give tissue probability "
            f"maps (--priors){ways}; or give a T1-weighted image as the first channel"
        )
    log.warning(
        "grey matter that fluid mixes with is as bright as white matter in an image that is %s: "
        "maps of an average brain are priors", settings.weighted,
    )  # fmt: skip
    return maps


def _user_starts(
    data: Data,
    layout: Layout,
    settings: Settings,
    means: Floats | None,
    labels: Floats32 | None,
    atlas: Atlas | None,
) -> dict[str, Classes]:
    """Return the start that is wanted in place of several, if any."""
    if settings.start == "atlas" and atlas is None:
        raise SettingsError("there are no priors to start from: give them, or another start")
    if means is not None:
        return {"given": means_start(means, data, layout)}
    if labels is not None:
        return {"labels": labels_start(labels, data, layout, settings)}
    # what maps call grey matter is mostly mixed, which where it is crossed changes the order
    by_atlas = settings.start == "atlas" or (settings.start == "auto" and not settings.crossed)
    if atlas is not None and by_atlas:
        return {"atlas": atlas_start(atlas, data, layout, settings)}
    return {}
