"""Which voxels are brain, where no mask is given.

An image that has one value, such as 0, over much of its grid, and shows no more than a brain, was
stripped before. A whole head is stripped here: intensity classes by EM, then morphology. This
wants a T1-weighted head with a dark skull around the brain; with maps of an average brain see
`emrecon.tissue.head_cut`.
"""

from __future__ import annotations

import logging
from itertools import repeat
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emrecon.em import em, last, until
from emrecon.errors import DataError
from emrecon.stop import after
from emrecon.tissue.layout import Layout
from emrecon.tissue.mixture import Mixture
from emrecon.tissue.starts import from_means, quantile_means

log = logging.getLogger(__name__)

Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]
Spacing = tuple[float, float, float]
MaskFrom = Literal["given", "image", "intensities", "maps"]
"""Where a mask is from: given, shown by an image stripped before, or of a whole head that was
stripped by intensity and shape, or with maps of a brain."""

STRIPPED = 0.2
"""Share of voxels that are exactly 0 or missing, from which an image may be stripped before."""

MOST_ML = 2100.0
"""Usual volume of a stripped brain with its fluid, at most; a whole head has 2400 mL and more."""

NO_BRAIN_ML = 3500.0
"""Volume that no human brain has, even with all the fluid of a large head."""

_DUST = 1e-3
"""Share of the intensities that an interpolation leaves outside a brain, at most."""

_CUT = 0.15
"""Share shown of a face at which an image is cut; thick slices that graze a brain show 0.1."""

_LARGE = 0.1
"""Share of the largest plane from which on one is of a brain, and not of specks beside it."""

HEMISPHERE = 0.5
"""Share of the largest piece of tissue from which on another is brain, too: where the fissure
between hemispheres is wide they hang together by less than erosion leaves."""

_SKULL = 0.75
"""Intensity below the surface of what is shown, over that of the surface and of its inner part,
below which there is bone: 0.29 and 0.54 in two heads, 0.98 and more in three stripped brains."""

_UNDER_MM, _INNER_MM = (6.0, 18.0), 26.0
"""Depths between which bone lies below the surface of a head, and from which on there is none."""

_ERODE_MM, _GROW_MM, _CLOSE_MM = 2.5, 7.0, 10.0
_WORK_MM = 2.0


def shown_brain(image: Floats32, spacing_mm: Spacing, most_ml: float = MOST_ML) -> Flags | None:
    """Return where an image that was stripped before is shown; none for a whole head.

    Parameters
    ----------
    image
        Intensities, which may be below 0; the value of the background, and what is not finite,
        are not shown.
    spacing_mm
        Of the voxels.
    most_ml
        Volume up to which what is shown is taken for a stripped brain. Up to `NO_BRAIN_ML` it is
        one, too, unless bone lies below its surface: brains that were brought to the size of a
        template have such volumes.

    Raises
    ------
    DataError
        If nothing is shown, or it cannot be told whether the image was stripped.
    """
    if not (np.isfinite(image) & (image != 0)).any():
        raise DataError("the image is 0 or missing everywhere")
    shown = np.isfinite(image) & (image != background(image))
    dusty = bool(shown.mean() >= 1 - STRIPPED and image.min() < image.max())
    if dusty:
        shown = _above_dust(image)
    volume_ml = float(shown.sum() * np.prod(spacing_mm)) / 1000
    if shown.mean() < 1 - STRIPPED and (
        volume_ml <= most_ml
        or (volume_ml <= NO_BRAIN_ML and not _has_skull(image, shown, spacing_mm))
    ):
        if _cut(shown):
            raise DataError(
                "no mask was given, and an image cut at several faces may be a stripped brain or "
                "part of a head: give a mask (a stripped image can be its own)"
            )
        if dusty:
            log.warning(
                "no mask was given: the image seems to be a stripped brain that was interpolated, "
                "and what is next to nothing outside is left out; look at it"
            )
        _say_missing(image, shown)
        return np.asarray(shown)
    return None


def brain_mask(image: Floats32, spacing_mm: Spacing, most_ml: float = MOST_ML) -> Flags:
    """Return where there is brain: what is shown, or a whole head stripped without maps.

    Parameters are those of `shown_brain`.

    Raises
    ------
    DataError
        As `shown_brain`, or if no brain can be made out.
    """
    brain = shown_brain(image, spacing_mm, most_ml)
    if brain is not None:
        return brain
    brain = strip(image, spacing_mm)
    volume_ml = float(brain.sum() * np.prod(spacing_mm)) / 1000
    if volume_ml > most_ml:
        raise DataError(
            f"stripped by intensity and shape the head has a brain of {volume_ml:.4g} mL, and no "
            f"brain has more than {most_ml:.0f}: give a mask (--mask)"
        )
    log.warning(
        "no mask was given: the brain was stripped by intensity and shape, which loses fluid. "
        "Look at it, give a mask, or install maps of an average brain: emrecon[maps]"
    )
    return brain


def head_mask(image: Floats32) -> Flags:
    """Return where there is a head and not air: the brighter of two classes, holes filled."""
    from scipy import ndimage  # noqa: PLC0415 - heavy, and not needed with a mask

    shown = np.where(np.isfinite(image) & (image > 0), image, 0)
    values = shown.ravel()  # air may be 0
    if values.max() == values.min():
        raise DataError("the image is constant: there is no head in it")
    root = np.sqrt(values[:: max(values.size // 50_000, 1)].astype(np.float64))[:, None]
    layout = Layout.of(2)
    means = quantile_means(root, np.ones(len(root)), 2, 0.02)
    start = from_means(means, layout, np.array([root.var() / 8 + 1e-9]))
    model = Mixture(root, layout, "tied", least_variance=1e-6 * float(root.var()) + 1e-12)
    classes = last(until(em(repeat(model), start), after(20))).params
    level = float(classes.means[:, 0].mean()) ** 2
    head = ndimage.binary_opening(shown > level, iterations=1)
    return _filled(largest(head))


def strip(image: Floats32, spacing_mm: Spacing) -> Flags:
    """Return the brain in a T1-weighted head.

    Grey and white matter are found among four intensity classes of the middle of the head, cut
    free of the scalp by erosion, grown back, and closed so that sulci and ventricles are inside.
    """
    from scipy import ndimage  # noqa: PLC0415 - heavy, and not needed with a mask

    steps = [max(round(_WORK_MM / d), 1) for d in spacing_mm]
    cut = tuple(slice(None, None, s) for s in steps)
    coarse = ndimage.uniform_filter(np.nan_to_num(image), steps)[cut]
    sampling = [d * s for d, s in zip(spacing_mm, steps, strict=True)]
    head = head_mask(coarse)
    deep = ndimage.distance_transform_edt(head, sampling)
    middle = deep > min(30.0, 0.5 * float(deep.max()))
    low, high = _tissue_range(coarse[middle])
    tissue = head & (coarse > low) & (coarse < high) & (deep > 5.0)
    inner = ndimage.distance_transform_edt(tissue, sampling) > _ERODE_MM
    inner = largest(inner, HEMISPHERE)
    brain = tissue & (ndimage.distance_transform_edt(~inner, sampling) <= _ERODE_MM + _GROW_MM)
    brain = largest(brain, HEMISPHERE)
    far = ndimage.distance_transform_edt(~np.pad(brain, 8), sampling) <= _CLOSE_MM
    closed = ndimage.distance_transform_edt(far, sampling) > _CLOSE_MM
    core = tuple(slice(8, -8) for _ in range(3))
    brain = ndimage.binary_dilation(_filled(closed[core] | brain))
    if not brain.any():
        raise DataError("no brain could be made out in the image: give a mask")
    fine = brain.astype(np.float32)
    for axis, step in enumerate(steps):
        fine = np.repeat(fine, step, axis=axis)
    fine = fine[tuple(slice(0, n) for n in image.shape)]
    smooth = ndimage.uniform_filter(fine, [2 * s + 1 for s in steps])
    return np.asarray((smooth > 0.5) & np.isfinite(image))


def _tissue_range(values: Floats32) -> tuple[float, float]:
    """Return the intensities between which grey and white matter lie."""
    few = values[:: max(values.size // 30_000, 1)].astype(np.float64)[:, None]
    if few.size < 100 or few.max() == few.min():
        raise DataError("no brain could be made out in the image: give a mask")
    layout = Layout.of(3, mixed=3)
    scale = float(few.std())
    means = quantile_means(few / scale, np.ones(len(few)), 3, 0.05)
    start = from_means(means, layout, np.array([0.1]))
    model = Mixture(few / scale, layout, "tied")
    classes = last(until(em(repeat(model), start), after(40))).params
    fluid, grey, white = np.sort(classes.means[:, 0]) * scale
    sigma = float(np.sqrt(classes.variances[0, 0])) * scale
    return float(0.6 * fluid + 0.4 * grey), float(white + max(3 * sigma, 0.35 * (white - fluid)))


def _say_missing(image: Floats32, shown: Flags) -> None:
    """Say what of a brain is left out, as it is not finite or a plane shows nothing."""
    corner = image[0, 0, 0]  # the background may be NaN
    missing = ~np.isfinite(image) & ~((image == corner) | (np.isnan(image) & np.isnan(corner)))
    if missing.any() and (count := int((missing & _filled(shown)).sum())):
        log.warning("%d voxels within the brain have no finite intensity and are left out", count)
    for axis in range(3):
        area = shown.sum(axis=tuple({0, 1, 2} - {axis}))
        large = np.flatnonzero(area > _LARGE * area.max())
        if empty := int(np.count_nonzero(area[large[0] : large[-1]] == 0)):
            log.warning(
                "%d planes within the brain show nothing (axis %d): slices were lost, and what "
                "they held is in no volume", empty, axis + 1,
            )  # fmt: skip


def background(image: Floats32) -> float:
    """Return the value that most corners of a stripped image share; 0 where they do not."""
    corners = np.nan_to_num(image[np.ix_([0, -1], [0, -1], [0, -1])])
    values, counts = np.unique(corners, return_counts=True)
    known = image[np.isfinite(image)]
    shared = counts.max() > 4 and known.size and known.min() < known.max()
    return float(values[counts.argmax()]) if shared else 0.0


def _above_dust(image: Floats32) -> Flags:
    """Return where an image differs from its corners by more than an interpolation leaves."""
    corners = image[np.ix_([0, -1], [0, -1], [0, -1])]
    apart = np.abs(np.where(np.isfinite(image), image, 0) - np.median(np.nan_to_num(corners)))
    return np.asarray(np.isfinite(image) & (apart > _DUST * np.quantile(apart, 0.99)))


def _has_skull(image: Floats32, shown: Flags, spacing_mm: Spacing) -> bool:
    """Return whether it is darker below the surface than at it and deeper: bone under a scalp."""
    from scipy import ndimage  # noqa: PLC0415 - heavy, and few images are in doubt

    steps = [max(round(_WORK_MM / d), 1) for d in spacing_mm]
    cut = tuple(slice(None, None, s) for s in steps)
    sampling = [d * s for d, s in zip(spacing_mm, steps, strict=True)]
    room = [int(np.ceil(_CLOSE_MM / d)) + 2 for d in sampling]
    level = np.where(shown, image - background(image), 0)[cut]
    inside, level = (np.pad(one, [(n, n) for n in room]) for one in (shown[cut], level))
    far = ndimage.distance_transform_edt(~inside, sampling) <= _CLOSE_MM
    closed = inside | (ndimage.distance_transform_edt(far, sampling) > _CLOSE_MM)
    deep = ndimage.distance_transform_edt(_filled(closed), sampling)
    edges = np.arange(0, _INNER_MM + 1, _WORK_MM)
    layer = np.digitize(deep, edges)  # 0 < deep < 2 is layer 1
    layer[deep == 0] = 0
    count = np.maximum(np.bincount(layer.ravel(), minlength=len(edges) + 1), 1)
    means = np.bincount(layer.ravel(), level.ravel(), len(edges) + 1) / count
    first, last = (int(mm / _WORK_MM) for mm in _UNDER_MM)
    outer, under, inner = means[1 : first + 1], means[first + 1 : last + 1], means[-1]
    return bool(under.min() < _SKULL * min(outer.max(), inner))


def _cut(shown: Flags) -> bool:
    """Return whether the image is cut at several of its faces: most of a head, or a slab."""
    faces = [shown[0], shown[-1], shown[:, 0], shown[:, -1], shown[:, :, 0], shown[:, :, -1]]
    return sum(bool(e.mean() > _CUT) for e in faces) >= 2


def largest(mask: Flags, share: float = 1.0) -> Flags:
    """Return the largest connected piece, and others that have at least this share of its size."""
    from scipy import ndimage  # noqa: PLC0415 - heavy, and not needed with a mask

    labels, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    return np.isin(labels, 1 + np.flatnonzero(sizes >= share * sizes.max()))


def _filled(mask: Flags) -> Flags:
    from scipy import ndimage  # noqa: PLC0415 - heavy, and not needed with a mask

    return np.asarray(ndimage.binary_fill_holes(mask))
