"""From images to tissue classes: the whole story in one function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from emrecon.compiled import set_threads
from emrecon.errors import SettingsError
from emrecon.stop import Rule
from emrecon.tissue.atlas import lay, place, stack
from emrecon.tissue.choose import chosen
from emrecon.tissue.classes import Classes
from emrecon.tissue.data import Data, flags_of, gather, on_grid, prepare, resized
from emrecon.tissue.head_cut import strip_with_maps
from emrecon.tissue.layout import Layout
from emrecon.tissue.maps import Atlas, Average
from emrecon.tissue.mask import MOST_ML, MaskFrom, brain_mask, shown_brain
from emrecon.tissue.result import Segmentation
from emrecon.tissue.result_checks import ImplausibleError, check_size
from emrecon.tissue.settings import Settings
from emrecon.tissue.stage_models import FEW
from emrecon.tissue.stages import Fit, Look, Observer
from emrecon.tissue.starting_points import starting_points
from emrecon.tissue.user_starts import atlas_start, labels_start, means_start
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Floats32 = NDArray[np.float32]
HeadMaps = Callable[[], Sequence[Volume]]
"""Returns maps of CSF, grey and white matter, such as `emrecon.io.head_maps.installed_maps`."""


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
    >>> tissue = np.arange(20) // 7 * np.ones((20, 20, 1))  # three slabs
    >>> noisy = (300 + 200 * tissue + rng.normal(0, 20, (20, 20, 20))).astype(np.float32)
    >>> image = em.Volume(noisy, np.eye(4))
    >>> mask = em.Volume(np.ones_like(noisy), np.eye(4))
    >>> found = em.segment([image], em.TissueSettings(bias_mm=0, scale=1), mask=mask)
    >>> [f"{name} {volume:.1f} mL" for name, volume in zip(found.names, found.volumes_ml)]
    ['CSF 2.8 mL', 'GM 2.8 mL', 'WM 2.4 mL']
    """
    begun = begin(
        images, settings, mask=mask, exclude=exclude, means=means, labels=labels,
        priors=priors, prior_classes=prior_classes, head_maps=head_maps,
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

    def made(one: Fit) -> Segmentation:
        stages = one.stages(look, *rules)
        fitted()
        return one.finish(stages)

    try:
        return made(fit)
    except ImplausibleError as error:
        if fit.again is None:
            raise
        first = error
    other = fit.again()
    what = "with" if other.settings.outliers else "without"
    log.warning("fitted once more %s outliers, as that came to nothing: %s", what, first)
    try:
        found = made(other)
    except ImplausibleError as error:
        then = "it came to the same" if str(error) == str(first) else error
        raise ImplausibleError(f"{first} (fitted once more {what} outliers: {then})") from error
    return replace(found, doubts=(f"it was fitted once more {what} outliers", *found.doubts))


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
    head_maps: HeadMaps = no_maps,
) -> Fit:
    """Check what is to be segmented and find where to start from.

    Parameters are those of `segment`, which makes all the stages of what comes back.
    """
    settings = settings or Settings()
    _check_used(settings, priors, prior_classes, means, labels)
    set_threads(settings.threads)
    head_maps = cache(head_maps)
    grow = 1 / settings.times  # to the size of a human brain, whose lengths are used throughout
    images, priors = ([resized(one, grow) for one in many] for many in (images, priors))
    mask, exclude, labels = (one and resized(one, grow) for one in (mask, exclude, labels))
    channels, region, affine = gather(images, mask, resample=settings.resample)
    mask_from: MaskFrom = "given"
    if region is None:
        if channels[0].min() < channels[0].max():  # else there is nothing in it
            check_size(int(np.count_nonzero(channels[0])), affine, settings)
        region, mask_from = _brain(Volume(channels[0], affine), settings, head_maps)
    if exclude is not None:  # only now: the brain of a head is found whole
        left_out = flags_of(exclude, images[0], "the exclusion mask", resample=settings.resample)
        region = region & ~left_out
    data = replace(prepare(channels, region, affine, settings.most_classes), times=settings.times)
    check_size(data.values.shape[1], affine, settings)
    settings, choices = chosen(data, settings)
    atlas = lay(priors, prior_classes, settings, images[0], data.mask) if priors else None
    drawn = None
    if labels is not None:
        drawn = on_grid(labels, images[0], "the labels", 0, resample=settings.resample)
    average = _average(images[0], data, settings, head_maps)

    def fit(settings: Settings) -> Fit:
        layout = Layout.of(
            settings.most_classes, settings.gaussians, settings.mixed, outliers=settings.outliers
        )
        given = _given(data, layout, settings, means, drawn, atlas)
        optima = starting_points(data, layout, settings, given)
        return Fit(data, layout, settings, optima, atlas, average, mask_from, choices)

    toggled = replace(settings, outliers=not settings.outliers)
    return replace(fit(settings), again=lambda: fit(toggled))


def _brain(image: Volume, settings: Settings, head_maps: HeadMaps) -> tuple[Flags, MaskFrom]:
    """Return where there is brain in an image without a mask, and how that was found."""
    most_ml = np.inf if settings.contrast == "other" else MOST_ML  # it may be another organ
    shown = shown_brain(image.voxels, image.spacing_mm, most_ml)
    if shown is not None:
        return shown, "image"
    maps = head_maps() if settings.human else ()
    if not maps:
        return brain_mask(image.voxels, image.spacing_mm, most_ml), "intensities"
    log.warning("no mask was given: the head was stripped with maps of a brain; look at it")
    stacked, affine = stack(maps, settings.most_classes, ())
    fat_is_bright = settings.weighting == "T1"
    return strip_with_maps(image, stacked, affine, fat_is_bright=fat_is_bright), "maps"


def _average(image: Volume, data: Data, settings: Settings, head_maps: HeadMaps) -> Average:
    """Return where the average brain of installed maps lies on an image, or why it does not."""
    if not settings.shows_nuclei or data.values.shape[1] <= FEW:
        return Average(why_not="not asked for, or not of this contrast, scale or size")
    maps = head_maps()
    if not maps:
        return Average(why_not="no maps of an average brain are installed")
    return place(image, data.mask, *stack(maps, settings.most_classes, ()))


def _check_used(
    settings: Settings,
    priors: Sequence[Volume],
    prior_classes: Sequence[int],
    means: Floats | None,
    labels: Volume | None,
) -> None:
    """Refuse what would have no effect beside the other inputs."""
    if settings.classes == "auto" and (priors or means is not None or labels is not None):
        raise SettingsError(
            "classes auto finds their number, and means, labels and priors are of a given one: "
            "say which (--classes)"
        )
    default = Settings()
    idle = [
        name for name in ("align", "atlas_weight") if vars(settings)[name] != vars(default)[name]
    ]
    idle += ["prior_classes"] * bool(prior_classes)
    if idle and not priors:
        raise SettingsError(f"{idle[0]} is about priors, and there are none: give them (--priors)")
    if means is not None and labels is not None:
        raise SettingsError("there are means and labels to start from: give one of the two")


def _given(
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
    if atlas is not None and settings.start in {"auto", "atlas"}:
        return {"atlas": atlas_start(atlas, data, layout, settings)}
    return {}
