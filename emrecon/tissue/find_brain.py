"""Where there is brain in an image of any contrast, where no mask is given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.atlas import stack
from emrecon.tissue.contrasts import BRAIN_HU, WINDOW_HU, check_hounsfield
from emrecon.tissue.data_checks import LITTLE_ML
from emrecon.tissue.head_cut import strip_with_maps
from emrecon.tissue.mask import MOST_ML, MaskFrom, brain_mask, shown_brain
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Flags = NDArray[np.bool_]
Floats32 = NDArray[np.float32]
HeadMaps = Callable[[], Sequence[Volume]]
"""Returns maps of CSF, grey and white matter, such as `emrecon.io.head_maps.installed_maps`."""

_MOST_BONE = 0.05  # of what is shown of a CT that was stripped


def find_brain(image: Volume, settings: Settings, head_maps: HeadMaps) -> tuple[Flags, MaskFrom]:
    """Return where there is brain in an image without a mask, and how that was found.

    Parameters
    ----------
    image : Volume
        The first channel.
    settings : Settings
        What it shows.
    head_maps : callable
        Called for maps of an average brain where the image is a whole head.

    Raises
    ------
    DataError
        If no brain can be made out, or a head of this contrast needs maps and there are none.
    """
    if settings.contrast == "CT" and settings.tissues:
        image = replace(image, voxels=windowed(image.voxels))
    most_ml = np.inf if settings.contrast == "other" else MOST_ML  # it may be another organ
    shown = _shown(image, settings, most_ml)
    if shown is not None:
        return shown, "image"
    weighting = settings.weighting
    maps = head_maps() if settings.human else ()
    if weighting is None or not maps:
        if weighting is not None and weighting.walls != "bone and fat":
            raise DataError(
                f"no mask was given, and a whole head that is {settings.weighted} is stripped "
                "with maps of an average brain alone: give a mask (--mask), or install the maps: "
                "emrecon[maps]"
            )
        brain = brain_mask(image.voxels, image.spacing_mm, most_ml)
        _check_whole(brain, image, settings)
        return brain, "intensities"
    stacked, affine = stack(maps, settings.most_classes, ())
    brain = strip_with_maps(image, stacked, affine, weighting.walls)
    _check_whole(brain, image, settings)
    if settings.contrast == "FLAIR":
        log.warning(
            "fluid is as dark as bone in a FLAIR image: how much of it the mask holds is what the "
            "maps say, not the image. Give a mask where the volume of CSF counts"
        )
    log.warning("no mask was given: the head was stripped with maps of a brain; look at it")
    return brain, "maps"


def _check_whole(brain: Flags, image: Volume, settings: Settings) -> None:
    """Refuse what a head was stripped to that is no whole brain of an adult."""
    volume_ml = float(brain.sum() * abs(np.linalg.det(image.affine[:3, :3]))) / 1000
    if settings.human and settings.scale == "auto" and volume_ml < LITTLE_ML:
        raise DataError(
            f"no mask was given, and what the head was stripped to has {volume_ml:.0f} mL, which "
            f"is little for a brain: is the image {settings.weighted} (--contrast), and the head "
            "whole? Give a mask (--mask)"
        )


def _shown(image: Volume, settings: Settings, most_ml: float) -> Flags | None:
    """Return what an image shows that was stripped before; none for a whole head."""
    from scipy.ndimage import binary_fill_holes  # noqa: PLC0415 - heavy, only a CT needs it

    shown = shown_brain(image.voxels, image.spacing_mm, most_ml)
    if shown is None or settings.contrast != "CT":
        return shown
    if (image.voxels[shown] == WINDOW_HU[1] - WINDOW_HU[0]).mean() > _MOST_BONE:
        return None
    return np.asarray(binary_fill_holes(shown))  # 0 HU is no background in it


def windowed(hounsfield: Floats32) -> Floats32:
    """Return a CT cut to where air, soft tissue and bone differ, from 0."""
    low, high = WINDOW_HU
    return np.asarray(np.clip(np.nan_to_num(hounsfield, nan=low), low, high) - low, np.float32)


def soft_tissue(hounsfield: Floats32, region: Flags) -> Flags:
    """Return the voxels of a region that may be brain by their Hounsfield units.

    Raises
    ------
    SettingsError
        If the image is not in Hounsfield units.
    """
    inside = hounsfield[region]
    inside = inside[np.isfinite(inside)]
    if not inside.size:
        return region
    check_hounsfield(float(np.median(inside)))
    low, high = BRAIN_HU
    soft = region & ~((hounsfield < low) | (hounsfield > high))
    if left := int(region.sum() - soft.sum()):
        log.info("%d voxels are left out: below %g or above %g HU", left, low, high)
    return soft
