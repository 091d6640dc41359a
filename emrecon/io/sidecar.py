"""The JSON beside an image: how it came about, in enough detail to make it again."""

from __future__ import annotations

import json
import logging
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.files import read_text, sha256, write_text
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from emrecon.watchers import Row

log = logging.getLogger(__name__)

LIBRARIES = ("numpy", "scipy", "numba", "nibabel")


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a companion file: ``a.nii.gz`` and ``.json`` give ``a.json``."""
    stem = path.name
    for ending in (".nii.gz", path.suffix):
        if ending and stem.endswith(ending):
            stem = stem[: -len(ending)]
            break
    return path.with_name(stem + suffix)


def describe(
    volume: Volume,
    settings: Settings,
    inputs: dict[str, Path],
    facts: dict[str, Any],
    rows: list[Row],
) -> dict[str, Any]:
    """Return what is to be known about a reconstructed image.

    Parameters
    ----------
    volume : Volume
        The image.
    settings : Settings
        The settings as used.
    inputs : dict of Path
        The files that were read, by what they are.
    facts : dict
        Counts and whatever else was found on the way.
    rows : list of Row
        The convergence log.
    """
    return {
        "GeneratedBy": generated_by(),
        "Created": datetime.now(UTC).isoformat(timespec="seconds"),
        "Units": volume.unit,
        "ReconMethodName": "OSEM" if settings.subsets > 1 else "MLEM",
        "Settings": asdict(settings),
        "Image": {
            "Shape": list(volume.voxels.shape),
            "VoxelSizeMM": list(volume.spacing_mm),
            "AffineRAS": volume.affine.tolist(),
            "Sum": float(volume.voxels.sum(dtype=np.float64)),
            "Max": float(volume.voxels.max()),
        },
        "Facts": facts,
        "Inputs": {what: file_facts(path) for what, path in inputs.items()},
        "Convergence": [asdict(row) for row in rows],
    }


def generated_by() -> dict[str, str]:
    """Return the versions of what made a file."""
    return {
        "Name": "emrecon",
        "Version": version("emrecon"),
        "Python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a sidecar; numbers that JSON has no word for become null."""
    write_text(path, json.dumps(_plain(content), indent=2) + "\n")


def write_label_names(labels: Path, names: Mapping[int, str], phantom: str = "") -> Path:
    """Write what each label of a volume stands for beside it; return the file.

    Parameters
    ----------
    labels : Path
        The volume.
    names : mapping of str
        Of each label.
    phantom : str, optional
        Name of the phantom that the volume was made of, by itself and for no scan.
    """
    path = beside(labels, ".json")
    write(path, {"LabelMap": dict(names)} | ({"Phantom": phantom} if phantom else {}))
    return path


def is_phantom(path: Path) -> bool:
    """Return whether the sidecar of labels says that they were made of a phantom by itself."""
    try:
        return bool(json.loads(read_text(path))["Phantom"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def label_names(labels: Path) -> dict[int, str]:
    """Return what each label of a volume stands for; empty where no file beside it says so.

    It is optional and often of another program: one that cannot be read is left, with a warning.
    """
    path = beside(labels, ".json")
    if not path.exists():
        return {}
    try:
        content = json.loads(read_text(path))
        names = content.get("LabelMap", {}) if isinstance(content, dict) else {}
        return {int(label): str(name) for label, name in names.items()}
    except (OSError, ValueError, AttributeError) as error:
        log.warning("%s holds no names of labels and is ignored: %s", path, error)
        return {}


def made_of(path: Path, what: str, source: Path) -> bool:
    """Return whether a sidecar says that an input was `source`, byte by byte.

    Parameters
    ----------
    path : Path
        The sidecar; one that is missing or of another program says nothing.
    what : str
        Which input, such as ``channel1``.
    source : Path
        The file that it may have been.
    """
    try:
        return bool(json.loads(read_text(path))["Inputs"][what]["SHA256"] == sha256(source))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def file_facts(path: Path) -> dict[str, Any]:
    """Return name, size and checksum of a file."""
    return {"File": path.name, "Bytes": path.stat().st_size, "SHA256": sha256(path)}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a value as JSON can hold it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)
