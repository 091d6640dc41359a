"""Contrasts that are known: how bright a brain's tissues are in them, and names that say so."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from emrecon.errors import SettingsError

log = logging.getLogger(__name__)

Contrast = Literal["auto", "T1", "T2", "PD", "FLAIR", "CT", "neonate", "other"]

Walls = Literal["bone", "bone and fat", "bright bone"]
"""What lies about a brain: bone darker than any tissue, also fat brighter than any, or, in a CT,
bright bone, fat and air."""

FLUID_STEP, PURE_STEP = 0.75, 0.9
"""Least step from fluid to the tissue next to it in brightness, in that from one of grey and white
matter to the other; the second of pure tissues, which no mixed voxels draw together. It is 1.3 in
real and simulated T1-weighted images, 1 where the contrast of grey and white matter is 1.3 times
as large, and 0.75 where half of the grey matter was taken for fluid."""

CSF, GM, WM = range(3)

PARTS = ("CGM", "SGM")
"""Cortical and subcortical grey matter, as BIDS calls them."""

LESION = "lesion"
"""Name of the label of lesions."""


@dataclass(frozen=True)
class Weighting:
    """How bright fluid, grey and white matter are in images of one contrast."""

    dark_first: tuple[int, int, int]
    """The tissues from dark to bright."""

    fluid_step: float = FLUID_STEP
    """Least step to the tissue next to fluid in that between grey and white matter; 0 is any."""

    walls: Walls = "bone"
    """What a brain in a whole head is cut free of."""

    field: bool = True
    """Whether images may be multiplied by a smooth field."""

    adult: bool = True
    """Whether maps of an average brain of adults fit."""

    @property
    def crossed(self) -> bool:
        """Whether mixed voxels of fluid and grey matter are as bright as white matter.

        One image alone then does not tell where grey matter ends: cortex is mostly mixed.
        """
        return self.dark_first == (CSF, WM, GM)


WEIGHTINGS: dict[str, Weighting] = {
    "T1": Weighting((CSF, GM, WM), walls="bone and fat"),
    "T2": Weighting((WM, GM, CSF)),
    "PD": Weighting((WM, GM, CSF), fluid_step=0.0),
    "FLAIR": Weighting((CSF, WM, GM)),
    "CT": Weighting((CSF, WM, GM), walls="bright bone", field=False),
    "neonate": Weighting((CSF, WM, GM), fluid_step=0.0, adult=False),
}
"""Of every contrast of a brain."""

SUFFIXES: dict[str, Contrast] = {
    "t1w": "T1", "unit1": "T1", "inplanet1": "T1", "t1": "T1", "r1map": "T1",
    "t2w": "T2", "inplanet2": "T2", "t2": "T2",
    "pdw": "PD", "flair": "FLAIR", "ct": "CT",
}  # fmt: skip
"""Contrast of images whose name ends with a word, in small letters: suffixes of BIDS, and what
files are called elsewhere."""

UNKNOWN_SUFFIXES = frozenset({
    "pdt2", "t2starw", "t2star", "mtw", "flash", "angio", "swi", "bold", "sbref", "dwi", "adc",
    "asl", "m0scan", "pet", "phase", "t1map", "t2map", "t2starmap", "r2map", "r2starmap", "pdmap",
    "mtrmap", "mtsat", "t1rho", "mwfmap", "chimap", "s0map", "m0map",
})  # fmt: skip
"""Words of images of none of the contrasts."""

NO_IMAGES = frozenset({
    "dseg", "probseg", "mask", "aseg", "labels", "fraction", "entropy", "outliers", "biasfield",
    "5tt",
})  # fmt: skip
"""Words of files that were made of images, and hold no intensities."""

_ENTITIES = frozenset({"sub", "ses", "acq", "ce", "rec", "run", "space", "desc"})

BRAIN_HU = (-20.0, 100.0)
"""Hounsfield units between which a voxel of a CT may be brain, fluid or blood in the noise; below
are fat and air, above bone, calcification and metal."""

WINDOW_HU = (-100.0, 150.0)
"""Hounsfield units that a CT is cut to where bone is looked for."""

_LIKELY_HU = (5.0, 60.0)  # the middle of a brain, whatever its noise


def contrast_of(name: str) -> Contrast | None:
    """Return the contrast that the last word of a file's name says; none where it says none."""
    return SUFFIXES.get(_suffix(name).lower())


def check_contrast(name: str, contrast: Contrast) -> None:
    """Say which contrast was taken from a file's name, and warn where another was wanted.

    Raises
    ------
    SettingsError
        If the contrast is left to a name that says one which is none of those known here, or that
        the file is no image.
    """
    suffix, named = _suffix(name), contrast_of(name)
    if suffix.lower() in NO_IMAGES and contrast == "auto":
        raise SettingsError(
            f"{name} is named as {suffix}, which was made of an image and holds no intensities of "
            "its own: segment that image; or say which contrast it has (--contrast)"
        )
    if suffix.lower() in UNKNOWN_SUFFIXES and contrast == "auto":
        raise SettingsError(
            f"{name} is named as {suffix}, which is none of the contrasts known here: say which "
            f"has its order of tissues (--contrast {', '.join(WEIGHTINGS)}; other numbers them "
            "from dark to bright)"
        )
    if named and contrast not in {named, "other", "auto"}:
        if (named, contrast) != ("T1", "neonate"):
            log.warning("%s is named as %s, but taken as %s", name, suffix, in_words(contrast))
    elif named and named == contrast != "T1":
        log.warning("%s is taken as %s, as its name says", name, in_words(named))


def in_words(contrast: Contrast) -> str:
    """Return how an image of a contrast is called."""
    if contrast in {"T1", "T2", "PD"}:
        return f"{contrast} weighted"
    return {"neonate": "T1 weighted of a newborn"}.get(contrast, contrast)


def unlike(weighting: Weighting, levels: ArrayLike, *, pure: bool = False) -> bool:
    """Return whether fluid is too near the tissue next to it for the contrast.

    In all but PD-weighted images fluid is farther from the tissue next to it in brightness than
    grey from white matter. Where it is not, what was taken for fluid is mostly a half of that
    tissue.

    Parameters
    ----------
    weighting : Weighting
        The contrast's.
    levels : array, shape (3,)
        Means of the first channel, from dark to bright.
    pure : bool, optional
        Whether they are of pure tissue, and so farther apart.
    """
    steps = np.diff(np.asarray(levels, np.float64))
    fluid, other = steps if weighting.dark_first[0] == CSF else steps[::-1]
    least = weighting.fluid_step * (PURE_STEP / FLUID_STEP if pure else 1)
    return bool(fluid < least * other)


def check_hounsfield(middle: float) -> None:
    """Refuse a CT that is not in Hounsfield units, by the median of what takes part.

    Raises
    ------
    SettingsError
        If no brain has such a median.
    """
    low, high = _LIKELY_HU
    if not low <= middle <= high:
        raise SettingsError(
            f"a CT is wanted in Hounsfield units, where the median of a brain with its fluid is "
            f"{low:g} to {high:g}, and that of this image is {middle:.4g}: check its slope and "
            "intercept, give a mask of the brain (--mask), or say another --contrast"
        )


def _suffix(name: str) -> str:
    """Return the last word of a file's name; empty where it is the label of an entity of BIDS."""
    stem = re.sub(r"(\.nii)?\.(nii|gz|hdr|img|mgz|mgh|hv)$", "", name)
    key, _, word = re.split("[._]", stem)[-1].rpartition("-")
    return "" if key in _ENTITIES else word
