"""The metrics job: an image from a file against the truth from files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from emrecon import io, metrics
from emrecon.brief import brief
from emrecon.errors import SettingsError
from emrecon.io import sidecar
from emrecon.jobs import input_files
from emrecon.jobs.base import (
    BASE_MB,
    MB,
    START_S,
    Estimate,
    Execution,
    Meters,
    Once,
    Summary,
    no_meters,
)
from emrecon.jobs.bundle import check_outputs, keep_others, written_together
from emrecon.volume import Volume

BACKGROUND, LUNG, FIRST_SPHERE = 1, 2, 3
"""Labels of the phantom ``nema``: its body, the lung insert, the spheres."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class MeasurementJob:
    """Hold an image against the truth.

    Examples
    --------
    >>> MeasurementJob(Path("image.nii.gz"), Path("truth.nii.gz")).KIND
    'metrics'
    """

    image: Path
    """Reconstructed image."""

    truth: Path
    """True image in the same unit, or the folder of a simulated scan, which has labels too."""

    labels: Path | None = None
    """Label volume of the regions to report."""

    nema: bool = False
    """Report NEMA NU 2 contrast and variability, by the labels of the phantom "nema"."""

    out: Path | None = None
    """JSON file to write the figures to."""

    KIND: ClassVar[str] = "metrics"

    __repr__ = brief

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is."""
        folder = self.truth if self.truth.is_dir() else None
        labels = self.labels or (folder and folder / "labels.nii.gz")
        files = {"image": self.image, "truth": folder / "truth.nii.gz" if folder else self.truth}
        files |= {"labels": labels} if labels else {}
        names = {"label names": sidecar.beside(labels, ".json")} if labels else {}
        files |= {what: path for what, path in names.items() if path.exists()}
        return input_files.with_data(files)

    def outputs(self) -> tuple[Path, ...]:
        """Return the file that is written, if one is."""
        return () if self.out is None else (self.out,)

    def keep_others(self) -> None:
        """Refuse to write over anything: the figures do not say what they are of.

        Raises
        ------
        WriteError
            If the file exists.
        """
        keep_others(self.outputs())

    def check(self, execution: Execution) -> None:
        """Refuse what cannot be measured."""
        self._checked(execution)

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the headers of its files."""
        voxels, _ = input_files.image_size(self.image)
        return Estimate(BASE_MB + voxels * 60 / MB, START_S)

    def begin(
        self, meters: Meters = no_meters, execution: Execution | None = None
    ) -> Once[Figures]:
        """Refuse what cannot be measured."""
        files = self._checked(execution or Execution())

        def work() -> Figures:
            tables = measure(files["image"], files["truth"], files.get("labels"), nema=self.nema)
            return Figures(self, tables)

        return Once(work)

    def _checked(self, execution: Execution) -> dict[str, Path]:
        """Return what is read, refusing what cannot be measured."""
        files = self.inputs()
        check_outputs(self.outputs(), files, anywhere=execution.MAKES_FOLDERS)
        if self.nema and "labels" not in files:
            raise SettingsError(
                "--nema needs --labels, or the folder of a simulated scan as --truth"
            )
        input_files.check_data(files)
        return files


@dataclass(frozen=True, eq=False)
class Figures:
    """What a measurement found."""

    job: MeasurementJob
    """What was measured."""

    tables: dict[str, Rows]
    """Tables by title, one dict a row."""

    def summary(self) -> Summary:
        """Return nothing: the tables say it all."""
        return Summary()

    def write(self) -> tuple[Path, ...]:
        """Write the figures as JSON, if a file is wanted."""
        out = self.job.out
        if out is None:
            return ()
        with written_together(out, out.parent, out.name) as beside:
            sidecar.write(beside / out.name, dict(self.tables))
        return (out,)


def measure(
    image: Path, truth: Path, labels: Path | None = None, *, nema: bool = False
) -> dict[str, Rows]:
    """Hold an image against the truth.

    Parameters
    ----------
    image, truth : Path
        Images in the same unit; the truth is brought onto the image's grid.
    labels : Path, optional
        Label volume of the regions to report.
    nema : bool, optional
        Whether to report NEMA NU 2 contrast and variability too, by the labels of the phantom.

    Returns
    -------
    dict of list of dict
        Tables by title, one dict a row.

    Raises
    ------
    SettingsError
        If NEMA figures are wanted without labels.
    """
    if nema and labels is None:
        raise SettingsError("--nema needs --labels, or the folder of a simulated scan as --truth")
    measured, true = io.read_image(image), io.read_image(truth)
    tables: dict[str, Rows] = {"whole image": [_whole(measured, true)]}
    if labels is not None:
        marks = io.read_image(labels)
        rows = metrics.regions(measured, true, marks, sidecar.label_names(labels))
        tables["regions"] = [_row(row) for row in rows]
        if nema:
            centres = _background(marks)
            tables["NEMA NU 2 spheres"] = _spheres(measured, true, marks, centres)
            tables["NEMA NU 2 lung insert"] = _lung(measured, marks, centres)
    return tables


def _whole(image: Volume, truth: Volume) -> dict[str, Any]:
    """Return the figures over all voxels."""
    mine, theirs = metrics.match(image, truth)
    return {
        "rmse": metrics.rmse(mine, theirs),
        "nrmse": metrics.nrmse(mine, theirs),
        "bias": metrics.bias(mine, theirs),
        "ssim": metrics.ssim(mine, theirs),
    }


def _row(region: metrics.Region) -> dict[str, Any]:
    """Return a region with its centroid as three columns."""
    row = asdict(region)
    return row | dict(zip(("x_mm", "y_mm", "z_mm"), row.pop("centroid_mm"), strict=True))


def _background(labels: Volume) -> Any:  # noqa: ANN401 - array of points
    """Return the centres of the background circles, on the plane of the largest sphere."""
    marks = np.rint(labels.voxels)
    ball, body = marks == FIRST_SPHERE, marks == BACKGROUND
    if not ball.any() or not body.any():
        raise SettingsError("the labels are not those of the phantom nema: no spheres from 3 on")
    plane = metrics.centroid_mm(ball.astype(np.float64), labels.affine)[2]
    return metrics.background_rois(Volume(body.astype(np.float32), labels.affine), plane)


def _lung(image: Volume, labels: Volume, centres: Any) -> Rows:  # noqa: ANN401 - array of points
    """Return the residual error in the lung insert on the five planes, and their mean."""
    insert = (np.rint(labels.voxels) == LUNG).astype(np.float64)
    axis = metrics.centroid_mm(insert, labels.affine)
    errors = metrics.lung_residual(image, axis, centres)
    return [
        {"mean_percent": float(np.mean(errors)), "least": min(errors), "greatest": max(errors)}
    ]


def _spheres(image: Volume, truth: Volume, labels: Volume, centres: Any) -> Rows:  # noqa: ANN401
    """Return contrast recovery and background variability, the largest sphere first.

    The true contrast is that of a sphere's extreme voxel: those at its rim hold some background.
    """
    marks, size = np.rint(labels.voxels), float(np.prod(labels.spacing_mm))
    true = truth.voxels
    if true.shape != marks.shape:
        raise SettingsError("truth and labels must be those of one scan of the phantom nema")
    level = float(np.median(true[marks == BACKGROUND]))
    balls, contrasts = [], []
    for label in range(FIRST_SPHERE, int(marks.max()) + 1):
        mask = marks == label
        volume = float(np.count_nonzero(mask)) * size
        centre = metrics.centroid_mm(mask.astype(np.float64), labels.affine)
        balls.append((centre, (6 * volume / np.pi) ** (1 / 3)))
        inside = true[mask]
        contrasts.append(float(inside[np.argmax(np.abs(inside - level))]) / level)
    quality = metrics.contrast_recovery(image, balls, centres, contrasts)
    return [asdict(row) for row in quality]
