"""Names of BIDS: entities, such as ``sub-01``, in their order, then a suffix, such as ``T1w``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from emrecon.errors import DataError

ORDER = (
    "sub", "ses", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec",
    "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split",
    "recording", "chunk", "seg", "res", "den", "label", "desc",
)  # fmt: skip
"""Entities in the order that names have them (BIDS 1.10, appendix on entities)."""

PET = frozenset({"sub", "ses", "task", "trc", "rec", "run", "desc"})
"""Entities of a PET image."""

_DESCRIBED = (("fraction", "fraction", "probseg"), ("corrected", "biascorrected", "T1w"))
"""What a segmentation calls its images, their description and suffix in BIDS."""

_PAIR = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")


def entities(path: Path) -> dict[str, str]:
    """Return the entities of a file or folder of a BIDS dataset.

    A name that does not begin with ``sub-``, as raw data in ``sourcedata`` may have, adds none to
    those of the folders.

    Parameters
    ----------
    path : Path
        Relative to the dataset.

    Raises
    ------
    DataError
        If a name is none of BIDS, or tells another participant or session than its folders.
    """
    places = [folder for folder in path.parts[:-1] if folder.startswith(("sub-", "ses-"))]
    parsed = _parsed(path, places)
    if not path.name.startswith("sub-"):
        return parsed
    *pairs, suffix = path.name.partition(".")[0].split("_")
    if not suffix.isalnum():
        raise DataError(f"{path} has no name of BIDS: a suffix such as T1w comes last")
    parts = _parsed(path, pairs)
    if {key: parts.get(key) for key in ("sub", "ses")} != {
        key: parsed.get(key) for key in ("sub", "ses")
    }:
        raise DataError(f"{path} lies in a folder of another participant or session: rename one")
    return parts


def named(parts: Mapping[str, str]) -> str:
    """Return the beginning of a file name: entities in BIDS' order."""
    return "_".join(f"{key}-{parts[key]}" for key in ORDER if key in parts)


def derivative(parts: Mapping[str, str], rest: str) -> str:
    """Return the name of a file that was made of an image.

    Parameters
    ----------
    parts : mapping
        Entities of the image. Its description goes before that of the file, as a name has one.
    rest : str
        What the segmentation adds to the image's name, such as ``label-GM_fraction.nii.gz``.
    """
    more = dict(parts)
    if space := re.match(r"space-([^_]+)_", rest):
        more["space"] = space[1]
        rest = rest[space.end() :]
    if label := re.match(r"label-([^_]+)_", rest):
        more["label"] = label[1]
        rest = rest[label.end() :]
    for what, described, suffix in _DESCRIBED:
        if rest.startswith(f"{what}."):
            more["desc"] = parts.get("desc", "") + described
            rest = rest.replace(what, suffix, 1)
    return f"{named(more)}_{rest}"


def _parsed(path: Path, pairs: list[str]) -> dict[str, str]:
    """Return entities, each of which BIDS knows and has once."""
    parts: dict[str, str] = {}
    for pair in pairs:
        match = _PAIR.fullmatch(pair)
        if match is None or match[1] not in ORDER or match[1] in parts:
            raise DataError(
                f"{path} has no name of BIDS: {pair!r} is not one of its entities, each once, as "
                "key-label with letters and digits alone; rename it"
            )
        parts[match[1]] = match[2]
    return parts
