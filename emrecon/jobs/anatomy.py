"""Images of the body that guide a reconstruction, from files to its grid: as such, or tissues."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.io import sidecar
from emrecon.io.head_maps import map_files
from emrecon.jobs import input_files
from emrecon.jobs.segment import SegmentationJob
from emrecon.tomo.anatomy_settings import AnatomySettings
from emrecon.tomo.operators.resampling import lies_beside, resampled
from emrecon.volume import Array, Grid, Volume

log = logging.getLogger(__name__)

ASTRAY_MM, ASTRAY_DEG = 10.0, 10.0
"""How far tissues may fit best from where their header says, before that is doubted."""

FRACTIONS = "*_label-*_fraction.nii.gz"
"""The fractions of tissues in a folder that ``emrecon segment`` wrote."""


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return image files, those of fractions for a folder of tissues.

    Raises
    ------
    DataError
        If a folder holds none, or those of several heads.
    """
    return [file for path in paths for file in (_fractions(path) if path.is_dir() else [path])]


def inputs_of(what: str, paths: Sequence[Path], settings: AnatomySettings) -> dict[str, Path]:
    """Return every file that is read for images of the body, by what it is."""
    files = files_of(paths)
    named = {what: files[0]} if len(files) == 1 else {
        f"{what}{number}": file for number, file in enumerate(files, 1)
    }  # fmt: skip
    return named | (map_files() if paths and settings.segment_anatomy else {})


@dataclass(eq=False)
class Anatomy:
    """Reads images of the body, and makes of them what is wanted; once for all frames."""

    settings: AnatomySettings
    """Whether to segment and to align them."""

    facts: dict[str, Any] = field(default_factory=dict)
    """What that came to, for the sidecar."""

    _read: dict[tuple[Path, ...], list[Volume]] = field(default_factory=dict, init=False)

    def on(self, grid: Grid, paths: Sequence[Path], first: Callable[[], Volume]) -> list[Array]:
        """Return the images on the grid of the reconstruction.

        Parameters
        ----------
        grid : Grid
            Where the image lies in the patient.
        paths : sequence of Path
            Images, or a folder of tissues.
        first : callable
            Makes a first image, for the tissues to be aligned with.

        Raises
        ------
        EmreconError
            If one cannot be read, segmented or aligned, or does not overlap with the grid.
        """
        key = tuple(paths)
        if key not in self._read:
            volumes = self._segmented(paths) if self.settings.segment_anatomy else _frames(paths)
            if self.settings.align_anatomy == "rigid":
                volumes = self._aligned(volumes, first())
            elif self.settings.segment_anatomy or any(path.is_dir() for path in paths):
                _doubt(volumes, first())
            self._read[key] = volumes
        return [on_grid(volume, grid, paths) for volume in self._read[key]]

    def _segmented(self, paths: Sequence[Path]) -> list[Volume]:
        """Return the fractions of the tissues of a T1."""
        if len(paths) != 1:
            raise SettingsError(f"segment_anatomy takes one image, not {len(paths)}")
        tissue = SegmentationJob((paths[0],)).begin().iterate().segmentation
        volumes = [round(float(ml), 1) for ml in tissue.volumes_ml]
        self.facts["tissue_ml"] = dict(zip(tissue.names, volumes, strict=True))
        return [tissue.volume(tissue.fractions[:, k]) for k in range(len(tissue.names))]

    def _aligned(self, volumes: list[Volume], first: Volume) -> list[Volume]:
        """Return tissues moved to where they explain a first image best."""
        from emrecon.tissue.rigid import align_rigid  # noqa: PLC0415 - few runs align

        place = align_rigid(first, volumes)
        self.facts |= {"anatomy_moved_mm": place.moved_mm, "anatomy_turned_deg": place.turned_deg}
        return [place.moved(volume) for volume in volumes]


def _doubt(tissues: list[Volume], first: Volume) -> None:
    """Warn if a first image says that tissues lie elsewhere than their header says."""
    from emrecon.tissue.rigid import align_rigid  # noqa: PLC0415 - as above

    try:
        place = align_rigid(first, tissues)
    except DataError:
        far = "nowhere near"
    else:
        if place.moved_mm < ASTRAY_MM and place.turned_deg < ASTRAY_DEG:
            return
        far = f"{place.moved_mm:.0f} mm and {place.turned_deg:.0f} degrees from"
    log.warning(
        "the tissues fit the counts best %s where their header says they lie: if that is not "
        "right, align_anatomy rigid moves them",
        far,
    )


def on_grid(volume: Volume, grid: Grid, paths: Sequence[Path]) -> Array:
    """Return a volume on a grid, each voxel the mean over what it covers.

    Raises
    ------
    GeometryError
        If it lies wholly beside the grid.
    """
    try:
        return resampled(volume, grid).voxels
    except GeometryError as error:
        raise _beside(paths) from error


def check_on_grid(paths: Sequence[Path], grid: Grid) -> int:
    """Refuse images whose headers tell that `on_grid` would, and return how many they are.

    Raises
    ------
    GeometryError
        If one lies wholly beside the grid.
    """
    headers = [input_files.image_header(path) for path in files_of(paths)]
    for header in headers:
        if header is not None and lies_beside(header, grid):
            raise _beside(paths)
    return sum(1 if h is None or h.voxels.ndim == 3 else len(h.voxels) for h in headers)


def _beside(paths: Sequence[Path]) -> GeometryError:
    """Return that images do not overlap with the grid."""
    named = ", ".join(map(str, paths))
    return GeometryError(
        f"{named} lies wholly beside the image that is reconstructed: check the affines of both"
    )


def read_on_grid(paths: Sequence[Path], grid: Grid) -> list[Array]:
    """Return the images in files, each of a 4D one, on a grid."""
    return [on_grid(volume, grid, paths) for volume in _frames(paths)]


def _frames(paths: Sequence[Path]) -> list[Volume]:
    """Return the images in files, one by one."""
    volumes = []
    for path in files_of(paths):
        volume = io.read_image(path)
        if not np.isfinite(volume.voxels).all():
            raise DataError(f"{path} holds infinite or NaN values")
        several = volume.voxels if volume.voxels.ndim == 4 else volume.voxels[None]
        volumes += [Volume(one, volume.affine) for one in several]
    return volumes


def _fractions(folder: Path) -> list[Path]:
    """Return the fractions in a folder of tissues.

    Where a sidecar says what the labels are, those of its labels alone: parts of grey matter,
    fractions in a template and what an earlier segmentation left lie beside them.
    """
    labels: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.glob(FRACTIONS)):
        head, _, name = file.name.partition("_label-")
        labels.setdefault(head, {})[name.removesuffix("_fraction.nii.gz")] = file
    told = {head: sidecar.label_names(folder / f"{head}_dseg.nii.gz") for head in labels}
    heads = [head for head in labels if told[head]] or list(labels)
    if not heads:
        raise DataError(f"{folder} is a folder without fractions of tissues ({FRACTIONS})")
    if len(heads) > 1:
        raise DataError(f"{folder} holds the tissues of {', '.join(heads)}: choose one")
    (head,) = heads
    names = told[head].values() or labels[head]
    return [labels[head][name] for name in sorted({*names}) if name in labels[head]]
