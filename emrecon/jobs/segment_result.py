"""What a segmentation made, and its files: labels, maps, pictures, a sidecar with volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon import forms
from emrecon.brief import outcome
from emrecon.errors import SettingsError
from emrecon.files import write_text
from emrecon.io import nifti, sidecar
from emrecon.io.pictures.colours import label_colour
from emrecon.io.pictures.histogram import Curve, histogram
from emrecon.io.pictures.preview import preview
from emrecon.jobs.base import Summary
from emrecon.jobs.bundle import written_together
from emrecon.jobs.segment_extras import write_extras
from emrecon.tissue.choice import Choice
from emrecon.tissue.classes import Classes
from emrecon.tissue.contrasts import LESION
from emrecon.tissue.evidence import Evidence
from emrecon.tissue.grey_parts import grey_parts
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.maps import Atlas
from emrecon.tissue.result import SHARED, Segmentation
from emrecon.volume import Volume

SHOWN_HU = (0.0, 80.0)
"""Window in which a CT of a brain is shown."""

_STEP, _ENTROPY_STEP = 1 / 4096, 1 / 256
"""Of shares and fields, and of doubt: powers of two, so that they are exact in float32."""


@dataclass(frozen=True, eq=False)
class SegmentResult:
    """What a segmentation job made."""

    segmentation: Segmentation
    """Labels, fractions, volumes."""

    first: Volume
    """The first channel, for the pictures."""

    read: dict[str, Path]
    """Files that were read, by what they are."""

    out: Path | None
    """Folder to write."""

    stem: str
    """What the files are named after."""

    files: TissueInputs = field(default_factory=TissueInputs)
    """What was given beside the images."""

    said: tuple[str, ...] = ()
    """What was warned of, from reading the files to the volumes."""

    __repr__ = outcome

    def summary(self) -> Summary:
        """Return what is to be said of it."""
        segmentation = self.segmentation
        rows = zip(
            segmentation.names, segmentation.volumes_ml, segmentation.intervals_ml, strict=True
        )
        lines = [
            f"{n}: {_ml(ml)} mL (95 % {_ml(low)} to {_ml(high)})" for n, ml, (low, high) in rows
        ]
        if segmentation.lesions is not None:
            lines.append(f"lesions: {_ml(segmentation.lesions_ml)} mL, of no tissue")
        if segmentation.choices:
            lines.insert(
                0, f"{len(segmentation.names)} classes, of {_range(segmentation.choices)} compared"
            )
        if not segmentation.converged:
            lines.append("stopped at the most iterations allowed, before the free energy was flat")
        curve = tuple(map(float, segmentation.stages[-1].trace))
        return Summary(tuple(lines), float(len(segmentation.fractions)), curve)

    def write(self, out: Path | None = None) -> tuple[Path, ...]:
        """Write everything to a folder, all of it or nothing; return the files, labels first.

        Of a bias field alone there are neither labels nor pictures.

        Parameters
        ----------
        out : Path, optional
            Folder, where it is another than the job's.
        """
        folder, stem, segmentation = out or self.out, self.stem, self.segmentation
        if folder is None:
            raise SettingsError("there is no folder to write to")
        alone = segmentation.settings.only_bias
        facts = f"{stem}_{'biasfield' if alone else 'dseg'}.json"
        main = facts if alone else f"{stem}_dseg.nii.gz"
        with written_together(folder, folder, main, self.read) as beside:
            like = self.read.get("channel1")
            written = [] if alone else self._labels(beside / stem)
            for name, image, step in _maps(segmentation):
                written.append(beside / f"{stem}_{name}.nii.gz")
                intent = (
                    "estimate"
                    if name.startswith("label-") or name in {"entropy", "outliers"}
                    else "none"
                )
                nifti.write(image, written[-1], like=like, intent=intent, step=step)
            written.append(beside / facts)
            sidecar.write(written[-1], describe(segmentation, self.read, self.files, self.said))
            written += (
                [] if alone else write_extras(segmentation, self.read, self.files, beside / stem)
            )
            written += [] if alone else self._pictures(beside / stem)
        return tuple(folder / path.name for path in written)

    def _labels(self, stem: Path) -> list[Path]:
        """Write the labels, and what they stand for."""
        segmentation, like = self.segmentation, self.read.get("channel1")
        image, table = (stem.with_name(f"{stem.name}_dseg.{end}") for end in ("nii.gz", "tsv"))
        nifti.write(
            segmentation.volume(segmentation.labels), image, labels=True, like=like, intent="label"
        )
        write_text(table, _label_table(segmentation.label_names))
        return [image, table]

    def _pictures(self, stem: Path) -> list[Path]:
        """Write the pictures of the labels and of the histogram."""
        segmentation = self.segmentation
        labels = segmentation.volume(segmentation.labels)
        volumes = list(zip(segmentation.names, segmentation.volumes_ml, strict=True))
        volumes += [] if segmentation.lesions is None else [(LESION, segmentation.lesions_ml)]
        title = ", ".join(f"{name} {_ml(ml, 0)} mL" for name, ml in volumes)
        planes, curves = (stem.with_name(f"{stem.name}_{w}.png") for w in ("dseg", "histogram"))
        first = self.first
        if segmentation.settings.contrast == "CT":  # air beside brain would ring
            first = replace(first, voxels=first.voxels.clip(*SHOWN_HU))
        names = dict(enumerate(segmentation.label_names, 1))
        preview(first, planes, title=title, labels=labels, names=names, inverted=False)
        _histogram(segmentation, curves)
        return [planes, curves]


def _ml(volume: float, digits: int = 1) -> str:
    """Return a volume in mL in words, that of a mouse with three digits."""
    return f"{volume:.{digits}f}" if volume >= 10 or not volume else f"{volume:.3g}"


def _range(choices: Sequence[Choice]) -> str:
    return f"{choices[0].classes} to {choices[-1].classes}"


def _label_table(names: tuple[str, ...]) -> str:
    """Return what each label stands for and its colour, as BIDS has it."""
    rows = [f"{k}\t{name}\t{label_colour(k)}" for k, name in enumerate(names, 1)]
    return "\n".join(["index\tname\tcolor", *rows]) + "\n"


def _maps(result: Segmentation) -> Iterator[tuple[str, Volume, float]]:
    """Yield name, image and step of all maps to write, one at a time: each is a whole box.

    Those with a step are rounded to its multiples, which is what the image holds.

    Yields
    ------
    tuple
        Name, image and step.
    """
    alone = result.settings.only_bias
    for k, name in enumerate(() if alone else result.names):
        for what, values in (("probseg", result.probabilities), ("fraction", result.fractions)):
            yield f"label-{name}_{what}", *_rounded(result, values[:, k], _STEP)
    for c in range(len(result.corrected)):
        suffix = f"_channel-{c + 1}" if len(result.corrected) > 1 else ""
        if result.settings.wavelength_mm:
            yield f"biasfield{suffix}", *_rounded(result, result.field[c], _STEP, 1.0)
            yield f"corrected{suffix}", result.volume(result.corrected[c]), 0.0
    if alone:
        return
    yield "entropy", *_rounded(result, result.entropy, _ENTROPY_STEP)
    yield "outliers", *_rounded(result, result.outliers, _ENTROPY_STEP)


def _rounded(
    result: Segmentation, values: NDArray[np.float32], step: float, outside: float = 0.0
) -> tuple[Volume, float]:
    """Return an image of the multiples of a step, and the step; values where they do not fit."""
    multiples = np.rint(values * np.float32(1 / step))
    if multiples.max() > np.iinfo(np.uint16).max:
        return result.volume(values, outside), 0.0
    return result.volume(multiples.astype(np.uint16), outside / step), step


def describe(
    result: Segmentation, read: dict[str, Path], files: TissueInputs, said: Sequence[str]
) -> dict[str, Any]:
    """Return what is to be known about a segmentation, for its sidecar.

    Parameters
    ----------
    result : Segmentation
        What was found.
    read : dict of Path
        The files that were read, by what they are.
    files : TissueInputs
        What was given beside the images.
    said : sequence of str
        What was warned of.
    """
    by_class = {
        "FractionVolumeML": result.volumes_ml,
        "StandardErrorML": result.volume_errors_ml,
        "Interval95ML": result.intervals_ml,
        "RepeatInterval95ML": result.repeat_intervals_ml,
        "LabelVolumeML": result.label_volumes_ml,
    }
    volumes = {
        name: {what: values[k] for what, values in by_class.items()}
        for k, name in enumerate(result.names)
    }
    for name, values in grey_parts(result).items():
        volumes[name] = {"FractionVolumeML": float(values.sum(dtype=np.float64)) * result.voxel_ml}
    if result.mask_from == "maps":
        volumes["ICV"] = {"LabelVolumeML": len(result.fractions) * result.voxel_ml}
    if result.lesions is not None:
        volumes[LESION] = dict.fromkeys(("FractionVolumeML", "LabelVolumeML"), result.lesions_ml)
    return {
        "GeneratedBy": sidecar.generated_by(),
        "Created": datetime.now(UTC).isoformat(timespec="seconds"),
        "LabelMap": dict(enumerate(result.label_names, 1)),
        "Volumes": volumes,
        "ErrorMethod": "Errors: 16 mm blocks of the image vary (cluster sandwich). "
        "ErrorsIndependent take voxels for independent and are too small. Volumes: blocks, "
        f"{SHARED:.0%} of the volume that two classes share in "
        "mixed or doubtful voxels, and what refits with the means of rival models change. "
        "Interval95ML: of the true volume. RepeatInterval95ML: of the volume that a second scan "
        "of the same brain would give",
        "Parameters": _parameters(result.classes),
        "Errors": _parameters(result.errors.honest),
        "ErrorsIndependent": _parameters(result.errors.plain),
        "Beta": result.beta,
        "BiasFieldEvidence": _evidence(result.evidence),
        "Atlas": _atlas(result.atlas),
        "DeepGrey": {
            "ImageToAverageMM": result.average.matrix,
            "ExplainedNatsPerPoint": result.average.explained,
            "Means": result.nuclei,
            "WhyNot": result.why_no_nuclei,
        },
        "NotGreyMatter": {
            "ThinLayersML": result.thin_grey_ml,
            "PaleBesideVentriclesML": result.pale_white_ml,
        },
        "Converged": result.converged,
        "OutlierShare": float((result.outliers > 0.5).mean()),
        "Warnings": list(said),
        "FreeEnergy": [list(stage.trace) for stage in result.stages],
        "ClassesCompared": [asdict(choice) for choice in result.choices],
        "Starts": [
            {
                "Start": o.start,
                "PosteriorPerVoxel": o.posterior,
                "LeastGapSD": o.gap,
                "Converged": o.converged,
            }
            for o in result.optima
        ],
        "MaskFrom": result.mask_from,
        "MaskVoxels": len(result.fractions),
        "MaskVolumeML": len(result.fractions) * result.voxel_ml,
        "Settings": asdict(result.settings) | forms.told(files),
        "Inputs": {what: sidecar.file_facts(path) for what, path in read.items()},
    }


def _atlas(atlas: Atlas | None) -> dict[str, Any] | None:
    """Return where the priors were laid."""
    if atlas is None:
        return None
    return {"ImageToAtlasMM": atlas.matrix, "ExplainedNatsPerPoint": atlas.explained}


def _evidence(evidence: Evidence | None) -> dict[str, Any] | None:
    """Return what spoke for or against a bias field."""
    if evidence is None:
        return None
    return {
        "Kept": evidence.kept,
        "Clearer": evidence.clearer,
        "LogFieldSD": evidence.size,
        "Followed": evidence.followed,
    }


def _parameters(classes: Classes) -> dict[str, Any]:
    return {
        "Weights": classes.weights,
        "Means": classes.means,
        "Covariances": classes.covariances,
    }


def _histogram(result: Segmentation, path: Path) -> None:
    """Draw the first channel's corrected intensities and the classes' densities."""
    values = result.corrected[0]
    values = values[np.isfinite(values)]
    some = values[:: max(len(values) // 100_000, 1)]
    low, high = np.quantile(some, [0.0005, 0.9995])
    counts, edges = np.histogram(values, 200, (float(low), float(high)))
    middle = (edges[1:] + edges[:-1]) / 2
    parts = result.densities(middle) * len(values) * (edges[1] - edges[0])
    curves = [Curve(name, density) for name, density in zip(result.names, parts.T, strict=True)]
    title = "corrected intensity of channel 1, and the classes' densities"
    histogram(edges, counts.astype(np.float64), curves, path, title=title)
