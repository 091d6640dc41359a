"""BIDS datasets in, BIDS derivatives out.

T1-weighted images (``sub-*/[ses-*/]anat/*_T1w.nii[.gz]``) are segmented. Raw PET data have no
place of their own in BIDS but ``sourcedata``: every folder with a ``scan.toml``, list-mode header
and sinogram header in ``sourcedata/sub-*/[ses-*/]pet/`` is reconstructed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from emrecon.batch.bids_names import PET, derivative, entities, named
from emrecon.batch.job import Job, batch_job
from emrecon.errors import DataError
from emrecon.files import make_folder, read_text, same_name, write_text
from emrecon.jobs.bundle import keep_others

log = logging.getLogger(__name__)

BIDS_VERSION = "1.10.0"

DESCRIPTION = "dataset_description.json"
"""What every dataset of BIDS has at its top."""

NATIVE = {"orig", "scanner", "individual", "T1w"}
"""Spaces of the scan itself; images in others are copies, moved to a template."""

IGNORED = ("batch", "*.png", "*.csv", "*_biasfield.*", "*_entropy.*", "*_outliers.*", "*_5tt.*")
"""Files for which BIDS has no name."""

README = """Made by emrecon {version} from the dataset that dataset_description.json links to.

- anat, for each T1-weighted image: labels (dseg), probabilities (label-*_probseg), tissue
  fractions (label-*_desc-fraction_probseg), and the image corrected for bias
- pet: reconstructed images
- batch: records, logs and the report (batch/report.html) of the run
"""


def bids_jobs(
    dataset: Path,
    out: Path,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
) -> list[Job]:
    """Return the jobs that a BIDS dataset asks for.

    Parameters
    ----------
    dataset : Path
        BIDS dataset.
    out : Path
        Folder of the derivatives.
    tables : mapping, optional
        Settings of the jobs of each kind, ``recon`` and ``segment``.
    participants, sessions : sequence of str, optional
        Labels to take, with or without ``sub-`` and ``ses-``; all by default.

    Raises
    ------
    DataError
        If the dataset is none, a participant is not there, a name is none of BIDS, two images
        have one name, or there is nothing to do.
    """
    if not (dataset / DESCRIPTION).is_file():
        raise DataError(f"{dataset} is no BIDS dataset: it has no {DESCRIPTION}")
    wanted = {label.removeprefix("sub-") for label in participants}
    chosen = {label.removeprefix("ses-") for label in sessions}
    roots = (dataset, dataset / "sourcedata")
    there = {path.name[4:] for root in roots for path in root.glob("sub-*") if path.is_dir()}
    if missing := sorted(wanted - there):
        raise DataError(f"{dataset} has no participant {missing[0]}; it has {_few(there)}")
    root = dataset.resolve()
    every = [
        _job(root, out.resolve(), path, parts, tables or {})
        for subject in sorted(wanted or there)
        for path in _inputs(root, subject)
        for parts in [entities(path.relative_to(root))]
        if (not chosen or parts.get("ses", "") in chosen) and _native(path, parts)
    ]
    _tell_of_others(root, sorted(wanted or there))
    jobs = _distinct(every)
    if jobs and (idle := (wanted or there) - {job.publish["parts"]["sub"] for job in jobs}):
        log.warning("nothing is done of %d participants: %s", len(idle), _few(idle))
    if not jobs:
        raise DataError(
            f"{dataset} has nothing to do: no T1-weighted image in sub-*/[ses-*/]anat, and no "
            "scan in sourcedata/sub-*/[ses-*/]pet, of the participants and sessions asked for"
        )
    return jobs


def keep_other_datasets(out: Path) -> None:
    """Refuse to write into a dataset that another program made, or the raw data.

    Raises
    ------
    WriteError
        If the folder is one.
    """
    files = [out / name for name in (DESCRIPTION, ".bidsignore", "README")]

    def ours() -> bool:
        try:
            made_by = json.loads(read_text(files[0]))["GeneratedBy"]
            return any(each["Name"] == "emrecon" for each in made_by)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    keep_others(files, "emrecon", ours=ours)


def describe_derivative(dataset: Path, out: Path) -> None:
    """Write what every derivative dataset needs at its top."""
    make_folder(out)
    link = os.path.relpath(dataset.resolve(), out.resolve())
    description = {
        "Name": "emrecon: reconstruction and tissue segmentation",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "emrecon", "Version": version("emrecon")}],
        "DatasetLinks": {"raw": Path(link).as_posix()},
    }
    write_text(out / DESCRIPTION, json.dumps(description, indent=2) + "\n")
    write_text(out / ".bidsignore", "\n".join(IGNORED) + "\n")
    write_text(out / "README", README.format(version=version("emrecon")))


def publish(written: Sequence[Path], job: Job) -> tuple[Path, ...]:
    """Move what a job wrote to its work folder to the derivatives, under BIDS names.

    The main image comes last, and each file moves at once.
    """
    to, about = Path(job.publish["folder"]), dict(job.publish["about"])
    make_folder(to)
    stem = job.publish["stem"]
    targets = {path: to / _target(path.name, stem, job) for path in written}
    for path, target in targets.items():
        if path.name.endswith(".nii.gz"):
            extra = _facts_of(target.name) | about
            own = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
            kept = json.loads(own.read_text(encoding="utf-8")) if own in targets else {}
            write_text(
                target.with_name(target.name.removesuffix(".nii.gz") + ".json"),
                json.dumps(kept | extra, indent=2) + "\n",
            )
    moving = [path for path in targets if path.suffix != ".json"]
    for path in reversed(moving):
        path.replace(targets[path])
    for path in targets:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty: something else lies there
        written[0].parent.rmdir()
    sidecars = [target for target in targets.values() if target.suffix == ".json"]
    return (*(targets[path] for path in moving), *sidecars)


def _inputs(dataset: Path, subject: str) -> Iterator[Path]:
    """Yield the files of a participant that something is made of."""
    for folder in (f"sub-{subject}", f"sub-{subject}/ses-*"):
        for ending in ("nii", "nii.gz"):
            yield from sorted(dataset.glob(f"{folder}/anat/*_T1w.{ending}"))
        for path in sorted(dataset.glob(f"sourcedata/{folder}/pet/*")):
            if (path / "scan.toml").is_file() or path.name.endswith((".l.hdr", ".hs", ".petsird")):
                yield path


def _tell_of_others(dataset: Path, subjects: Sequence[str]) -> None:
    """Say which anatomical images have another contrast and so are left out."""
    others = Counter(
        path.name.partition(".")[0].rpartition("_")[2]
        for subject in subjects
        for folder in (f"sub-{subject}", f"sub-{subject}/ses-*")
        for path in dataset.glob(f"{folder}/anat/*_*.nii*")
    )
    del others["T1w"]
    if named := ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items())):
        log.warning(
            "%s in anat are left out: T1-weighted images alone are segmented here; name others in "
            "a job file, as channels or with their contrast",
            named,
        )


def _native(path: Path, parts: Mapping[str, str]) -> bool:
    """Return whether an image is no copy of another in the space of a template."""
    native = parts.get("space", "orig") in NATIVE
    if not native:
        log.warning("%s is left out: a copy in the space of a template", path.name)
    return native


def _distinct(jobs: list[Job]) -> list[Job]:
    """Return the jobs; refuse those whose results would have the same names."""
    seen: dict[str, str] = {}
    for job in jobs:
        (source,) = job.publish["about"]["Sources"]
        name = same_name(job.name)
        if name in seen:
            raise DataError(
                f"the results of {seen[name]} and {source} would have the same names: name them "
                "apart, such as by run-1 and run-2"
            )
        seen[name] = source
    return jobs


def _job(
    dataset: Path,
    out: Path,
    path: Path,
    parts: dict[str, str],
    tables: Mapping[str, Mapping[str, Any]],
) -> Job:
    inside = path.relative_to(dataset)
    anat = path.parent.name == "anat"
    kind = "segment" if anat else "recon"
    options = dict(tables.get(kind, {}))
    if not anat:
        if unknown := sorted(set(parts) - PET):
            raise DataError(f"{inside}: a PET image of BIDS has no {unknown[0]}-; rename it")
        parts["rec"] = "mlem" if options.get("subsets") == 1 else "osem"
    stem = f"{named(parts)}_{'T1w' if anat else 'pet'}"
    work = out / "batch" / "work" / stem
    session = [f"ses-{parts['ses']}"] if "ses" in parts else []
    folder = out.joinpath(f"sub-{parts['sub']}", *session, "anat" if anat else "pet")
    own = path.name.removesuffix(".gz").removesuffix(".nii") if anat else stem
    about = {"Sources": [f"bids:raw:{inside.as_posix()}"]}
    target = work if anat else work / f"{stem}.nii.gz"
    publish = {"folder": str(folder), "stem": own, "parts": parts, "about": about}
    return replace(batch_job(stem, kind, (str(path),), target, options), publish=publish)


def _target(name: str, stem: str, job: Job) -> str:
    """Return the BIDS name of a file that a job wrote."""
    if job.kind == "recon":
        return name
    return derivative(job.publish["parts"], name.removeprefix(stem).lstrip("_"))


def _facts_of(name: str) -> dict[str, Any]:
    """Return what the standard wants to know of a derivative of this name."""
    if re.search(r"_desc-\w*biascorrected_", name):
        return {
            "SkullStripped": True,
            "Description": "divided by the bias field; 0 outside the mask",
        }
    if re.search(r"_desc-\w*fraction_", name):
        return {"Description": "expected fraction of the tissue in each voxel"}
    if name.endswith("_mask.nii.gz"):
        return {"Type": "Lesion"}
    if name.endswith("_pet.nii.gz"):
        return {"SkullStripped": False}
    return {}


def _few(labels: set[str]) -> str:
    listed = sorted(labels)
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "") or "none"
