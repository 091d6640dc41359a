"""The files that go with the images of a segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TissueInputs:
    """Files that go with the channels; all on the grid of the first channel.

    Examples
    --------
    >>> from pathlib import Path
    >>> TissueInputs(mask=Path("brain.nii.gz")).mask.name
    'brain.nii.gz'
    """

    mask: Path | None = None
    """Image above 0 where there is brain, cut at one half if it was interpolated; without it an
    image that is 0 outside is taken as stripped, and a whole T1 head is stripped."""

    exclude: Path | None = None
    """Image above 0 where voxels are left out, such as lesions; cut like a mask."""

    priors: tuple[Path, ...] = ()
    """Tissue probability maps, one a class in the order of the labels (CSF GM WM), all on one
    grid; see --align."""

    prior_classes: tuple[int, ...] = ()
    """Label of each prior, where several make up a class: 1 1 2 2 3."""

    deep_priors: tuple[int, ...] = ()
    """Numbers of the priors that are of deep grey matter, counted from 1: cortical (CGM) and
    subcortical grey matter (SGM) then have fractions and volumes of their own."""

    labels: Path | None = None
    """Image of labels, 1 to k in their order and 0 where not known, to start from."""

    means: tuple[float, ...] = ()
    """Start from these class means of the one channel, in order of brightness."""

    volume: int = 0
    """Time frame or contrast to take of channels that hold several (4D), counted from 1; without
    it those are refused."""
