"""What a person may choose about a segmentation.

The command line, the napari panel and batches all fill in this one dataclass; the text under
each field is its help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import SettingsError
from emrecon.tissue.contrasts import WEIGHTINGS, Contrast, Weighting, in_words, unlike
from emrecon.tissue.layout import Layout

CANDIDATES = (2, 3, 4, 5)
"""Numbers of classes that are compared where nobody says which."""

LIMITS: dict[str, tuple[float, float]] = {
    "classes": (2, 50), "mixed": (0, 20), "gaussians": (1, 20), "beta": (0, 1000),
    "bias_mm": (0, 1e6), "starts": (1, 1000), "weight_prior": (0, 1000), "atlas_weight": (0, 1000),
    "iterations": (1, 100_000), "tolerance": (0, 1), "seed": (0, 1 << 62), "scale": (0.005, 10),
    "threads": (0, 1_000_000),
}  # fmt: skip
"""Least and largest value of each number."""


@dataclass(frozen=True)
class Settings:
    """How to segment: a mixture of tissue classes with spatial and bias field.

    Examples
    --------
    >>> Settings(classes=4, bias_mm=0).classes
    4
    >>> Settings(classes=1)
    Traceback (most recent call last):
        ...
    emrecon.errors.SettingsError: classes must be 2 to 50, not 1
    """

    classes: int | Literal["auto"] = 3
    """Tissue classes, numbered from dark to bright where they are not 3; auto compares 2 to 5 of
    them on the intensities, best of an image without much of a bias field, and numbers them."""

    criterion: Literal["icl", "bic"] = "icl"
    """What --classes auto makes least: icl prefers classes that are told apart, bic finds ever
    more of them in real tissue."""

    contrast: Contrast = "auto"
    """Names of three classes by the first channel: T1 dark to bright is CSF, GM, WM; T2 and PD
    are WM, GM, CSF; FLAIR, CT (in Hounsfield units) and neonate (a newborn's T1) are CSF, WM, GM.
    Other numbers of classes, and other, are numbered from dark to bright. Auto is what the suffix
    of the file's name says (T1w, T2w, PDw, FLAIR, ct), and else T1."""

    mixed: int = 3
    """Components of partial volume between classes of neighbouring brightness; 0 is none."""

    gaussians: int = 1
    """Gaussians of each class; several only without partial volume."""

    covariance: Literal["tied", "full", "diag", "spherical"] = "tied"
    """Noise of the classes; tied is one level for all, the safest; full, diag and spherical are
    each class its own."""

    outliers: bool = True
    """A uniform class for what no tissue explains, so that it bends neither field nor start; a
    whole image whose means are known from flat voxels has none."""

    pure_means: bool = True
    """Means of the tissues from the two fifths of the voxels where a whole image is flattest; all
    others, many of them mixed, have no part in them. Needs coarse stages and partial volume."""

    beta: float | Literal["auto"] = 1.0
    """Spatial field: how much a neighbour 1 mm away counts; 0 is no field, auto estimates it from
    the image. With means of flat voxels it counts up to three tenths less where noise is low."""

    neighbours: Literal[6, 12, 26] = 12
    """Spatial field: neighbours of a voxel, across faces (6), two steps each way (12: tissues bend
    little, and thin ones are kept; blocks, and fits that find a bias field, have 6 of them) or
    also across edges and corners (26)."""

    bias_mm: float = 100.0
    """Bias field: shortest wavelength in mm; 0 is no field, for an image already corrected or one
    that is not multiplied by any."""

    bias: Literal["auto", "always"] = "auto"
    """Bias field: auto keeps it only where the image shows one, always does not ask."""

    only_bias: bool = False
    """Bias field: write the field, the corrected image and the sidecar alone. Where the image
    shows no field, they are 1 and the image as it was."""

    lesions: bool = False
    """Lesions as a label of their own, and of no tissue: brighter than grey matter in FLAIR (the
    image or a further channel) or, as blood, in a CT; and cavities on one side, where maps of a
    brain (priors, or those of emrecon[maps]) have tissue."""

    five_tissue: bool = False
    """Also write MRtrix's 5tt: cortical and subcortical grey matter, white matter, fluid, lesions;
    needs priors of deep grey matter (--deep-priors)."""

    space: Literal["image", "template"] = "image"
    """Template: fractions also on the grid of the maps that were laid on the image (priors, or
    those of emrecon[maps])."""

    starts: int = 6
    """Start: points tried, each with outliers and without; the one with the best penalised
    likelihood goes on."""

    start: Literal["auto", "quantiles", "k-means", "atlas"] = "auto"
    """Where to start: from quantiles and k-means++ in turns, from one of them alone, or from the
    atlas. Auto takes given means or labels first, then the atlas, then both of the others."""

    weight_prior: float = 0.1
    """Voxels, as a share of all, that each class is given beforehand."""

    atlas_weight: float = 0.5
    """How much given tissue priors count; 1 is as much as their probabilities say."""

    align: Literal["auto", "affine", "none"] = "auto"
    """How tissue priors are laid on the image: affine finds where they fit best, none takes their
    geometry as it is; auto is none for priors on the image's own voxels, and else affine."""

    iterations: int = 40
    """Most passes over a full image; over small or coarse ones, eight
    times as many."""

    tolerance: float = 2e-4
    """Stop once the free energy grows by less than this per voxel."""

    seed: int = 0
    """Start: seed of the random points."""

    scale: float | Literal["auto"] = "auto"
    """Length of the brain beside that of a human one: some 0.06 for a mouse, 0.11 a rat, 0.4 a
    macaque. All lengths, those of these settings too, are those of a human brain and scale with
    it. Auto is 1, and refuses a brain that is too small for it."""

    deep_grey: Literal["auto", "none"] = "auto"
    """Thalamus, putamen and pallidum, nearly as bright as white matter in T1-weighted images: auto
    has Gaussians of their own for them where maps of an average brain are installed
    (emrecon[maps]) and lie well on the image, so that they are grey matter; dark white matter
    beside the ventricles is white where those maps have no grey matter; and, with maps or
    without, a layer too thin for grey matter between fluid and white matter is of these two."""

    resample: bool = False
    """Interpolate further channels and masks onto the first channel's voxels where their grids
    differ; refused otherwise."""

    threads: int = 0
    """Processor threads; 0 is all. The result does not depend on it."""

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if value != "auto" and not least <= value <= most:
                raise SettingsError(f"{name} must be {least:g} to {most:g}, not {value}")
        if self.classes != 3 and self.contrast not in {"auto", "other"}:
            raise SettingsError(
                f"contrast {self.contrast} says how bright CSF, GM and WM are, and other classes "
                f"(classes {self.classes}) are numbered from dark to bright: leave contrast away"
            )
        if self.criterion != "icl" and self.classes != "auto":
            raise SettingsError("criterion is about --classes auto, and their number is given")
        self._check_outputs()
        if self.mixed and self.gaussians > 1:
            raise SettingsError("classes of several Gaussians need --mixed 0")
        if 0 < self.bias_mm < 20:
            raise SettingsError(
                f"bias_mm {self.bias_mm:g} would let the bias field follow the tissue; "
                "take 50 or more, or 0 for none"
            )

    def _check_outputs(self) -> None:
        """Refuse what is to be written and is not there."""
        if self.only_bias and self.beta == "auto":
            raise SettingsError(
                "beta auto is estimated from all tissues found, and only_bias finds none: say "
                "a number, or leave it away"
            )
        if self.contrast == "CT" and self.bias_mm and (self.only_bias or self.bias == "always"):
            raise SettingsError(
                "a CT is in Hounsfield units and has no bias field: leave only_bias and bias away"
            )
        if self.only_bias and (self.five_tissue or self.space == "template"):
            raise SettingsError("only_bias writes no tissues: leave five_tissue and space away")
        if self.lesions and (self.only_bias or not self.tissues):
            raise SettingsError(
                "lesions are told from the CSF, GM and WM of a brain: leave away "
                + (
                    "only_bias"
                    if self.only_bias
                    else "contrast other and other numbers of classes"
                )
            )
        if self.only_bias and not self.bias_mm:
            raise SettingsError("only_bias writes a bias field, and bias_mm 0 has none")

    @property
    def weighting(self) -> Weighting | None:
        """How bright the tissues are, T1 where nothing says it; none of other classes."""
        return (
            WEIGHTINGS["T1" if self.contrast == "auto" else self.contrast]
            if self.tissues
            else None
        )

    @property
    def weighted(self) -> str:
        """What the image is taken for, in words."""
        return in_words("T1" if self.contrast == "auto" else self.contrast)

    @property
    def wavelength_mm(self) -> float:
        """Shortest wavelength of the bias field in mm; 0 is none, as in a CT."""
        return self.bias_mm if self.weighting is None or self.weighting.field else 0.0

    @property
    def times(self) -> float:
        """Length of the brain beside that of a human one, 1 where that is not said."""
        return 1.0 if self.scale == "auto" else self.scale

    @property
    def most_classes(self) -> int:
        """The number of classes; the largest that is tried where it is not given."""
        return max(CANDIDATES) if self.classes == "auto" else self.classes

    @property
    def tissues(self) -> bool:
        """Whether the classes are CSF, grey and white matter of a brain."""
        return self.classes == 3 and self.contrast != "other"

    @property
    def lays_maps(self) -> bool:
        """Whether maps of an average brain are laid on one image where no priors are given."""
        return self.human and (self.crossed or self.lesions or self.space == "template")

    @property
    def human(self) -> bool:
        """Whether maps of the tissues of a grown human brain fit the classes."""
        return self.weighting is not None and self.weighting.adult and self.times == 1

    @property
    def shows_nuclei(self) -> bool:
        """Whether Gaussians of deep nuclei are wanted and fit the classes."""
        wanted = self.deep_grey == "auto" and self.pure_means and not self.only_bias
        return wanted and self.mixed > 0 and self.weighting is WEIGHTINGS["T1"] and self.human

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, in the order of the labels from 1."""
        if self.tissues:
            return ("CSF", "GM", "WM")
        return tuple(f"class{k + 1}" for k in range(self.most_classes))

    def unlike(self, levels: ArrayLike, *, pure: bool = False) -> bool:
        """Return whether fluid is too near another tissue for the contrast.

        Parameters
        ----------
        levels : array, shape (g,)
            Means of the first channel, from dark to bright.
        pure : bool, optional
            Whether they are of pure tissue, and so farther apart.
        """
        if self.weighting is None or self.gaussians > 1:
            return False
        return unlike(self.weighting, levels, pure=pure)

    @property
    def dark_first(self) -> NDArray[np.intp]:
        """The classes, from 0 in the order of the names, from dark to bright."""
        if self.weighting is None:
            return np.arange(self.most_classes)
        return np.array(self.weighting.dark_first)

    @property
    def ranks(self) -> NDArray[np.intp]:
        """Place of each class from dark to bright, from 0, in the order of the names."""
        return np.argsort(self.dark_first)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The two classes that a voxel may hold, by their places from dark to bright.

        Neighbours in brightness; and fluid and grey matter, which meet in every brain.
        """
        near = tuple((k, k + 1) for k in range(self.most_classes - 1))
        return (*near, (0, 2)) if self.crossed else near

    @property
    def meeting(self) -> tuple[int, int] | None:
        """Which of the classes from dark to bright are fluid and grey matter.

        None of other classes, and where what they share is as bright as white matter.
        """
        fluid, grey = self.ranks[:2].tolist()
        return (fluid, grey) if self.tissues and not self.crossed else None

    @property
    def crossed(self) -> bool:
        """Whether mixed voxels of fluid and grey matter are as bright as white matter."""
        return self.weighting is not None and self.weighting.crossed


def layout_of(settings: Settings, *, outliers: bool) -> Layout:
    """Return how components make up the classes of settings, with or without outliers."""
    return Layout.of(
        settings.most_classes, settings.gaussians, settings.mixed, outliers=outliers,
        pairs=settings.pairs,
    )  # fmt: skip
