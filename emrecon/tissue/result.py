"""What a segmentation found: labels, fractions, volumes and how sure they are."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.tissue.choice import Choice
from emrecon.tissue.classes import Classes
from emrecon.tissue.contrasts import LESION
from emrecon.tissue.deep_grey import NUCLEI
from emrecon.tissue.evidence import Evidence
from emrecon.tissue.field import Image, State
from emrecon.tissue.maps import NOWHERE, Atlas, Average
from emrecon.tissue.mask import MaskFrom
from emrecon.tissue.settings import Settings
from emrecon.tissue.starts import Optimum
from emrecon.tissue.volumes import NORMAL_95, Errors
from emrecon.volume import Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

SHARED = 0.85
"""Part of the volume shared by two classes that counts for either by mistake, one standard error:
root mean square of what the sample does not explain of the errors of WM in 300 draws of simulated
brains (`tests.benchmarks.volumes`). With CSF it was 0.35 there, and is as much beside the labels
of real scans."""

DRIFT = 0.0025
"""Error of the brightness of all tissues together, as a share of it, one standard error in voxels
of 0 mm, and `hypot(1, edge)` times that in voxels with an edge in mm: what a field that is found
a little otherwise moves all borders by, in the same way. In repeated scans of a simulated brain
(`tests.benchmarks.volumes --repeat`) it was 0.0037 in voxels of 1 mm, 0.004 to 0.007 in 2 mm and
0.007 to 0.010 in 3 mm, whichever of the three volumes it is worked out from."""

REPEATED = 0.05
"""Part of the volume that two classes share that is counted for either by chance in one scan and
not in the next, one standard error; mostly as the noise is stronger or weaker."""

MIXED_OF_SHARED = 6.0
"""Mixed volume of two tissues over the volume they share, if all proportions are as likely."""


@dataclass(frozen=True, eq=False)
class Stage:
    """The fit of a sample of the image, or of the whole."""

    image: Image
    """The model."""

    state: State
    """Last estimate."""

    trace: tuple[float, ...]
    """Free energy of every iterate; it never falls."""

    converged: bool
    """Whether the free energy had come to rest."""

    log_field: Floats32 | None = None
    """Field by which the image was divided beforehand, shape ``(c, n)``."""

    evidence: Evidence | None = None
    """What spoke for or against a bias field, where that was decided."""

    __repr__ = brief


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Tissue classes of an image; class k has label k + 1, in the order of `names`.

    Examples
    --------
    >>> import emrecon as em
    >>> noisy = np.random.default_rng(0).normal(0, 20, (20, 20, 20)) + 300
    >>> shell = np.abs(np.indices((20, 20, 20)) - 9.5).max(0)
    >>> noisy += (shell < 8) * 200 + (shell < 6) * 200  # fluid about grey about white
    >>> t1, mask = (em.Volume(np.float32(data), np.eye(4)) for data in (noisy, noisy > 0))
    >>> parts = em.segment([t1], em.TissueSettings(bias_mm=0, scale=1), mask=mask)
    >>> parts.names, int(parts.labels.max()), parts.fractions.shape
    (('CSF', 'GM', 'WM'), 3, (8000, 3))
    """

    names: tuple[str, ...]
    """Of the classes."""

    settings: Settings
    """As used."""

    affine: Floats
    """Voxel indices to mm."""

    shape: tuple[int, int, int]
    """Of the image."""

    index: tuple[NDArray[np.intp], ...]
    """Where each voxel of the mask lies."""

    fractions: Floats32
    """Expected fraction of each class in each voxel, shape ``(n, k)``."""

    probabilities: Floats32
    """Probability that a class fills most of a voxel, shape ``(n, k)``."""

    field: Floats32
    """What multiplies the image, a channel, shape ``(c, n)``; 1 without bias field."""

    corrected: Floats32
    """Intensities without the field, shape ``(c, n)``; NaN where missing."""

    classes: Classes
    """Parameters in the image's units, in the order of `names`."""

    errors: Errors
    """Standard errors of `classes`, and of the classes' shares."""

    volumes_ml: Floats
    """From the fractions, shape ``(k,)``."""

    stages: tuple[Stage, ...]
    """How the fit went, from coarse to full."""

    optima: tuple[Optimum, ...]
    """Where every start led, best first."""

    outliers: Floats32
    """Probability that none of the classes explains a voxel, shape ``(n,)``."""

    doubts: tuple[str, ...]
    """What a person must look at before believing the result."""

    atlas: Atlas | None = None
    """Tissue priors as they were laid on the image."""

    average: Average = NOWHERE
    """Where an average brain was laid on the image, for the deep nuclei, or why it was not."""

    mask_from: MaskFrom = "given"
    """Where the mask is from."""

    choices: tuple[Choice, ...] = ()
    """How the numbers of classes compared, where that was asked."""

    lesions: NDArray[np.bool_] | None = None
    """Which voxels are lesions and so of no tissue, shape ``(n,)``; none where nobody asked."""

    subcortical: NDArray[np.bool_] | None = None
    """Which voxels' grey matter is subcortical, shape ``(n,)``; none where maps do not tell."""

    thin_grey_ml: float = 0.0
    """What seemed grey matter in layers too thin for any, and is fluid and white matter."""

    pale_white_ml: float = 0.0
    """What seemed grey matter beside the ventricles, and is white."""

    __repr__ = brief

    @property
    def lesions_ml(self) -> float:
        """Volume of the lesions."""
        return 0.0 if self.lesions is None else float(self.lesions.sum()) * self.voxel_ml

    @property
    def label_names(self) -> tuple[str, ...]:
        """What the labels stand for, from 1: the classes, and lesions where asked for."""
        return self.names if self.lesions is None else (*self.names, LESION)

    @property
    def beta(self) -> float:
        """Strength of the spatial field, as given or estimated."""
        return self.stages[-1].image.beta

    @property
    def converged(self) -> bool:
        """Whether the free energy of the whole image had come to rest."""
        return self.stages[-1].converged

    @property
    def evidence(self) -> Evidence | None:
        """What spoke for or against a bias field; none where that was not asked."""
        return next((stage.evidence for stage in self.stages if stage.evidence), None)

    @property
    def nuclei(self) -> dict[str, Floats]:
        """Mean of each deep nucleus in the image's units, by name; empty where there are none."""
        image, classes = self.stages[-1].image, self.stages[-1].state.classes
        many = image.rules.layout.nuclei
        means = classes.means[len(classes.means) - many :] * image.scale + image.centre
        return {nucleus.name: mean for nucleus, mean in zip(NUCLEI[:many], means, strict=True)}

    @property
    def why_no_nuclei(self) -> str:
        """Why deep nuclei have no Gaussians of their own; empty where they have."""
        if self.nuclei or self.average.matrix is None:
            return self.average.why_not
        return "the image does not show them where an average brain has them"

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """Label of the class with the largest fraction, from 1, in each voxel of the mask.

        Lesions have the label after those of the classes.
        """
        labels = self.fractions.argmax(axis=1) + 1
        if self.lesions is not None:
            labels[self.lesions] = len(self.label_names)
        return np.asarray(labels, np.uint8)

    @property
    def label_volumes_ml(self) -> Floats:
        """Volume of each class from the labels."""
        count = np.bincount(self.labels, minlength=len(self.names) + 1)[1 : len(self.names) + 1]
        return np.asarray(count * self.voxel_ml, np.float64)

    @property
    def shared_ml(self) -> Floats:
        """Volume that each two classes share: sums of the products of their fractions, ``(k, k)``.

        It lies in mixed voxels, and in those whose class is in doubt; 0 on the diagonal.
        """
        shared = (self.fractions.T @ self.fractions).astype(np.float64) * self.voxel_ml
        return np.asarray(shared * (1 - np.eye(len(shared))))

    @property
    def volume_errors_ml(self) -> Floats:
        """Standard error of `volumes_ml`, shape ``(k,)``: of the sample, and of the model.

        The model cannot know how the volume that two classes share is divided between them: it
        may be wrong by `SHARED` of it, or less where little is noise: each voxel is more in doubt
        under a weaker spatial field, and the volumes are not. The errors of a class's pairs are
        added, as their correlation was anything from -0.9 to 0.9 in single brains. What refits
        with the means of rival models change is added in quadrature.
        """
        whole, asked = len(self.fractions) * self.voxel_ml, self.settings.beta
        weaker = self.beta / asked if asked != "auto" and asked > 0 else 1.0
        model = SHARED * weaker * self.shared_ml.sum(axis=1)
        sample = np.hypot(self.errors.shares, self.errors.rivals) * whole
        return np.asarray(np.hypot(sample, model))

    @property
    def intervals_ml(self) -> Floats:
        """The intervals that hold each true volume with 95 % confidence, shape ``(k, 2)``."""
        reach = NORMAL_95 * self.volume_errors_ml
        return np.stack([np.maximum(self.volumes_ml - reach, 0), self.volumes_ml + reach], axis=1)

    @property
    def repeat_errors_ml(self) -> Floats:
        """Standard error of the difference of `volumes_ml` from a second scan's, shape ``(k,)``.

        Both scans err. Where all intensities of a channel are too large by a share of them
        (`DRIFT`), the border of two tissues moves by that share times their middle over their
        step, and mixed voxels go from the darker to the brighter of every pair at once. What
        chance does to each pair (`REPEATED`) is added in quadrature.
        """
        means = self._class_means
        step = means[:, None] - means[None]
        middle = (means[:, None] + means[None]) / 2
        spread = self.classes.covariances[:: self.settings.gaussians]
        ways = np.linalg.solve((spread[:, None] + spread[None]) / 2, step[..., None])[..., 0]
        apart = (ways * step).sum(axis=2)
        np.fill_diagonal(apart, np.inf)
        moved = MIXED_OF_SHARED * self.shared_ml[..., None] * ways * middle / apart[..., None]
        edge = (1000 * self.voxel_ml) ** (1 / 3) / self.settings.times
        drift = DRIFT * np.hypot(1, edge) * np.linalg.norm(moved.sum(axis=1), axis=1)
        chance = REPEATED * np.linalg.norm(self.shared_ml, axis=1)
        return np.asarray(np.sqrt(2) * np.hypot(drift, chance))

    @property
    def repeat_intervals_ml(self) -> Floats:
        """The 95 % intervals that hold the volumes of a second scan of the same brain, ``(k, 2)``.

        Of other noise, field and position. `intervals_ml` are of the true volumes, whose errors
        two scans share.
        """
        reach = NORMAL_95 * self.repeat_errors_ml
        return np.stack([np.maximum(self.volumes_ml - reach, 0), self.volumes_ml + reach], axis=1)

    @property
    def entropy(self) -> Floats32:
        """Doubt about each voxel's class, from 0 to 1."""
        p = np.clip(self.probabilities, 1e-12, 1)
        return np.asarray(-(p * np.log(p)).sum(axis=1) / np.log(p.shape[1]), np.float32)

    def densities(self, values: Floats) -> Floats:
        """Return each class's part of the model's density of channel 1, ``(n, k)``."""
        last = self.stages[-1]
        parts = densities(last.image, last.state.classes, values)
        return parts[:, self.settings.ranks]

    def volume(self, values: NDArray[np.generic], outside: float = 0.0, unit: str = "") -> Volume:
        """Return the image with one value for each voxel of the mask, in the order of NIfTI."""
        image = np.full(self.shape[::-1], outside, values.dtype)
        image.reshape(-1)[self._places] = values
        return Volume(image.T, self.affine, unit)

    @property
    def _class_means(self) -> Floats:
        """Return the mean of each class over its Gaussians, shape ``(k, c)``."""
        many, k = self.settings.gaussians, len(self.names)
        weights = self.classes.weights[: k * many].reshape(k, many, 1)
        means = self.classes.means[: k * many].reshape(k, many, -1)
        return np.asarray((weights * means).sum(axis=1) / weights.sum(axis=1))

    @cached_property
    def _places(self) -> NDArray[np.intp]:
        """Return where the voxels stand in a file whose first axis is the quickest."""
        return np.asarray(np.ravel_multi_index(self.index, self.shape, order="F"))


def densities(image: Image, classes: Classes, values: Floats) -> Floats:
    """Return each class's part of a model's density of channel 1, dark to bright, ``(n, k)``.

    Parameters
    ----------
    image : Image
        The model, which says how intensities are standardised.
    classes : Classes
        Its parameters.
    values : array, shape (n,)
        Intensities without the bias field, in the image's unit.
    """
    layout, scale = image.rules.layout, image.scale[0]
    at = (values - image.centre[0]) / scale
    inner = len(layout.mixing) - int(layout.outliers)
    means = (layout.mixing @ classes.means[:, 0])[:inner]
    variances = (layout.mixing @ classes.covariances[:, 0, 0])[:inner]
    square = (at[:, None] - means) ** 2 / variances
    each = np.exp(-0.5 * square) / np.sqrt(2 * np.pi * variances) / scale
    return np.asarray((each * classes.weights[:inner]) @ layout.fractions[:inner])
