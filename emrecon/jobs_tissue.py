"""Segmentation from files to files: what the command line, the panel and batches call."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emrecon import io
from emrecon.errors import SettingsError
from emrecon.files import check_writable, make_folder, sha256, write_text
from emrecon.io import nifti, sidecar
from emrecon.io.pictures.histogram import Curve, histogram
from emrecon.io.pictures.preview import preview
from emrecon.tissue.atlas import Atlas
from emrecon.tissue.classes import Classes
from emrecon.tissue.evidence import Evidence
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.result import SHARED, SHARED_WITH_FLUID, Segmentation
from emrecon.tissue.segment import begin as begin_fit
from emrecon.tissue.settings import Settings
from emrecon.tissue.stages import Fit
from emrecon.volume import Volume

if TYPE_CHECKING:
    from emrecon.jobs import Meters

COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""Of the labels, in their order; after the last the first comes again."""

_STEP, _ENTROPY_STEP = 1 / 4096, 1 / 256
"""Of shares and fields, and of doubt: powers of two, so that they are exact in float32."""


@dataclass(frozen=True, eq=False)
class Segmented:
    """What a segmentation job made."""

    result: Segmentation
    """Labels, fractions, volumes."""

    written: tuple[Path, ...]
    """Files, the labels first."""


def segment_files(
    images: Sequence[Path],
    folder: Path,
    settings: Settings | None = None,
    inputs: TissueInputs | None = None,
    *,
    meters: Meters | None = None,
) -> Segmented:
    """Segment images from files, and write labels, maps, pictures and a sidecar to a folder.

    Parameters
    ----------
    images : sequence of Path
        Channels, on one grid.
    folder : Path
        Made where it does not exist. Files are named after the first image.
    settings : Settings, optional
        How to segment.
    inputs : TissueInputs, optional
        Mask, exclusion mask, priors, means.
    meters : callable, optional
        Makes the progress bar.

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output; nothing is written then.
    """
    begun = begin(images, settings, inputs, folder=folder)
    shown = meters("segmenting", begun.fit.settings.iterations) if meters else nullcontext()
    with shown as meter:
        observers = [meter] if meter else []
        result = begun.fit.finish(begun.fit.stages(lambda *_: observers))
    return finish(begun, result, folder)


@dataclass(frozen=True, eq=False)
class Begun:
    """A segmentation job up to its first iterate."""

    fit: Fit
    """What is to be iterated."""

    channels: list[Volume]
    """Images."""

    read: dict[str, Path]
    """Files that were read, by what they are."""

    stem: str
    """What the files to be written are named after."""


def begin(
    images: Sequence[Path],
    settings: Settings | None = None,
    inputs: TissueInputs | None = None,
    *,
    folder: Path | None = None,
    given: Mapping[Path, Volume] | None = None,
) -> Begun:
    """Read images and find where to start; make the stages of what comes back, then `finish`.

    Parameters
    ----------
    images : sequence of Path
        Channels, on one grid.
    settings : Settings, optional
        How to segment.
    inputs : TissueInputs, optional
        Mask, exclusion mask, priors, means.
    folder : Path, optional
        Refused here if nothing can be written to it.
    given : mapping of Volume, optional
        Images that are in memory, by the names that stand for them in `images` and `inputs`.
    """
    settings, inputs, given = settings or Settings(), inputs or TissueInputs(), given or {}
    if not all(image.name for image in images) or not images:
        raise SettingsError("there is no image to segment: name one or more")
    stem = sidecar.beside(images[0], "").name
    if folder is not None and folder.exists():
        check_writable(folder / f"{stem}_dseg.nii.gz")
    read = {f"channel{n}": path for n, path in enumerate(images, 1)}
    read |= {"mask": inputs.mask} if inputs.mask else {}
    read |= {"exclude": inputs.exclude} if inputs.exclude else {}
    read |= {"labels": inputs.labels} if inputs.labels else {}
    read |= {f"prior{n}": path for n, path in enumerate(inputs.priors, 1)}
    volumes = {
        what: given[path] if path in given else io.read_image(path) for what, path in read.items()
    }
    channels = [volumes[f"channel{n}"] for n in range(1, len(images) + 1)]
    fit = begin_fit(
        channels,
        settings,
        mask=volumes.get("mask"),
        exclude=volumes.get("exclude"),
        means=np.array(inputs.means) if inputs.means else None,
        labels=volumes.get("labels"),
        prior_classes=inputs.prior_classes,
        priors=[volumes[f"prior{n}"] for n in range(1, len(inputs.priors) + 1)],
    )
    files = {what: path for what, path in read.items() if path not in given}
    return Begun(fit, channels, files, stem)


def finish(begun: Begun, result: Segmentation, folder: Path) -> Segmented:
    """Write labels, maps, pictures and a sidecar to a folder, made where it does not exist."""
    make_folder(folder)
    return Segmented(result, _write(folder, begun.stem, begun.channels, result, begun.read))


def _write(
    folder: Path, stem: str, channels: list[Volume], result: Segmentation, read: dict[str, Path]
) -> tuple[Path, ...]:
    """Write everything; return the files, the labels first."""
    labels = result.volume(result.labels)
    written = [folder / f"{stem}_dseg.nii.gz"]
    like = read.get("channel1")
    nifti.write(labels, written[0], labels=True, like=like, intent="label")
    written.append(folder / f"{stem}_dseg.tsv")
    rows = [f"{k}\t{n}\t{COLOURS[(k - 1) % len(COLOURS)]}" for k, n in enumerate(result.names, 1)]
    write_text(written[-1], "\n".join(["index\tname\tcolor", *rows]) + "\n")
    for name, image, step in _maps(result):
        written.append(folder / f"{stem}_{name}.nii.gz")
        intent = "estimate" if name.startswith("label-") or name == "entropy" else "none"
        nifti.write(image, written[-1], like=like, intent=intent, step=step)
    written.append(folder / f"{stem}_dseg.json")
    sidecar.write(written[-1], describe(result, read))
    written.append(folder / f"{stem}_dseg.png")
    title = ", ".join(
        f"{n} {v:.0f} mL" for n, v in zip(result.names, result.volumes_ml, strict=True)
    )
    preview(channels[0], written[-1], title=title, labels=labels, inverted=False)
    written.append(folder / f"{stem}_histogram.png")
    _histogram(result, written[-1])
    return tuple(written)


def _maps(result: Segmentation) -> Iterator[tuple[str, Volume, float]]:
    """Yield name, image and step of all maps to write, one at a time: each is a whole box.

    Those with a step are rounded to its multiples, which is what the image holds.

    Yields
    ------
    tuple
        Name, image and step.
    """
    for k, name in enumerate(result.names):
        for what, values in (("probseg", result.probabilities), ("fraction", result.fractions)):
            yield f"label-{name}_{what}", *_rounded(result, values[:, k], _STEP)
    for c in range(len(result.corrected)):
        suffix = f"_channel-{c + 1}" if len(result.corrected) > 1 else ""
        if result.settings.bias_mm:
            yield f"biasfield{suffix}", *_rounded(result, result.field[c], _STEP, 1.0)
            yield f"corrected{suffix}", result.volume(result.corrected[c]), 0.0
    yield "entropy", *_rounded(result, result.entropy, _ENTROPY_STEP)


def _rounded(
    result: Segmentation, values: NDArray[np.float32], step: float, outside: float = 0.0
) -> tuple[Volume, float]:
    """Return an image of the multiples of a step, and the step; values where they do not fit."""
    multiples = np.rint(values * np.float32(1 / step))
    if multiples.max() > np.iinfo(np.uint16).max:
        return result.volume(values, outside), 0.0
    return result.volume(multiples.astype(np.uint16), outside / step), step


def describe(result: Segmentation, read: dict[str, Path]) -> dict[str, Any]:
    """Return what is to be known about a segmentation, for its sidecar.

    Parameters
    ----------
    result : Segmentation
        What was found.
    read : dict of Path
        The files that were read, by what they are.
    """
    found = {
        "FractionVolumeML": result.volumes_ml,
        "StandardErrorML": result.volume_errors_ml,
        "Interval95ML": result.intervals_ml,
        "LabelVolumeML": result.label_volumes_ml,
    }
    volumes = {
        name: {what: values[k] for what, values in found.items()}
        for k, name in enumerate(result.names)
    }
    return {
        "GeneratedBy": {
            "Name": "emrecon",
            "Version": version("emrecon"),
            "Python": platform.python_version(),
            **{library: version(library) for library in sidecar.LIBRARIES},
        },
        "Created": datetime.now(UTC).isoformat(timespec="seconds"),
        "LabelMap": dict(enumerate(result.names, 1)),
        "Volumes": volumes,
        "ErrorMethod": "Errors: 16 mm blocks of the image vary (cluster sandwich). "
        "ErrorsIndependent take voxels for independent and are too small. Volumes: blocks, and "
        f"{SHARED:.0%} (with CSF {SHARED_WITH_FLUID:.0%}) of the volume that two classes share in "
        "mixed or doubtful voxels",
        "Parameters": _parameters(result.classes),
        "Errors": _parameters(result.errors.honest),
        "ErrorsIndependent": _parameters(result.errors.plain),
        "Beta": result.beta,
        "BiasFieldEvidence": _evidence(result.evidence),
        "Atlas": _atlas(result.atlas),
        "Converged": result.converged,
        "FreeEnergy": [list(stage.trace) for stage in result.stages],
        "Starts": [
            {
                "Start": o.start,
                "PosteriorPerVoxel": o.posterior,
                "LeastGapSD": o.gap,
                "Converged": o.converged,
            }
            for o in result.optima
        ],
        "MaskVoxels": len(result.fractions),
        "Settings": asdict(result.settings),
        "Inputs": {what: _file(path) for what, path in read.items()},
    }


def _atlas(atlas: Atlas | None) -> dict[str, Any] | None:
    """Return where the priors were laid."""
    if atlas is None:
        return None
    return {"ImageToAtlasMM": atlas.matrix, "ExplainedNatsPerPoint": atlas.explained}


def _evidence(found: Evidence | None) -> dict[str, Any] | None:
    """Return what spoke for or against a bias field."""
    if found is None:
        return None
    return {
        "Kept": found.kept,
        "Clearer": found.clearer,
        "LogFieldSD": found.size,
        "Followed": found.followed,
    }


def _parameters(classes: Classes) -> dict[str, Any]:
    return {
        "Weights": classes.weights,
        "Means": classes.means,
        "Covariances": classes.covariances,
    }


def _file(path: Path) -> dict[str, Any]:
    return {"File": path.name, "Bytes": path.stat().st_size, "SHA256": sha256(path)}


def _histogram(result: Segmentation, path: Path) -> None:
    """Draw the first channel's corrected intensities and the classes' densities."""
    values = result.corrected[0]
    values = values[np.isfinite(values)]
    some = values[:: max(len(values) // 100_000, 1)]
    low, high = np.quantile(some, [0.0005, 0.9995])
    counts, edges = np.histogram(values, 200, (float(low), float(high)))
    middle = (edges[1:] + edges[:-1]) / 2
    parts = result.densities(middle) * len(values) * (edges[1] - edges[0])
    curves = [Curve(name, part) for name, part in zip(result.names, parts.T, strict=True)]
    title = "corrected intensity of channel 1, and the classes' densities"
    histogram(edges, counts.astype(np.float64), curves, path, title=title)
