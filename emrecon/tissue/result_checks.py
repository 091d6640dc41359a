"""Whether a result can be believed: refusals and warnings before it is returned."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.classes import Classes
from emrecon.tissue.settings import Settings
from emrecon.tissue.starts import gap

log = logging.getLogger(__name__)

Floats32 = NDArray[np.float32]


def check_alive(fractions: Floats32, settings: Settings) -> None:
    """Refuse a result with a class that has died, or that is no number."""
    if not np.isfinite(fractions).all():
        raise DataError("the segmentation came to values that are not finite: check the image")
    count = np.bincount(fractions.argmax(axis=1), minlength=settings.classes)
    dead = [name for name, n in zip(settings.names, count, strict=True) if not n]
    if dead:
        raise DataError(
            f"no voxel was found to be mostly {' or '.join(dead)}: the image does not show "
            f"{settings.classes} classes; ask for fewer, or give means to start from"
        )


def check_order(classes: Classes, settings: Settings) -> None:
    """Warn of classes that the intensities hardly tell apart, and refuse swapped ones."""
    least = gap(classes)
    if least <= 0 and settings.mixed:
        raise DataError(
            "two classes have changed places: the image does not show "
            f"{settings.classes} classes in order; ask for fewer, lower the weight prior or beta, "
            "or give means to start from"
        )
    if least < 2 and settings.gaussians == 1:
        log.warning("two classes are only %.1f standard deviations apart", least)
    if settings.unlike(classes.means[:, 0]):
        log.warning(
            "fluid is nearer to grey matter than a %s weighted image has it: CSF may be a part of "
            "the grey matter. Check the contrast and whether the mask holds fluid",
            settings.contrast,
        )
