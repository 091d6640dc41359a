"""A scan as a folder of Interfile, one file a part, with the manifest that names them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from emrecon.io.manifest import MANIFEST, write_manifest
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.scan import Scan

PARTS = ("prompts", "normalisation", "attenuation", "randoms", "scatter")


def scan_outputs(folder: Path) -> tuple[Path, ...]:
    """Return the files that `write_scan` may write, the manifest first."""
    files = [folder / f"{name}.{end}" for name in PARTS for end in ("hs", "s")]
    return (folder / MANIFEST, *files)


def write_scan(folder: Path, scan: Scan) -> tuple[Path, ...]:
    """Write a scan to a folder as Interfile; return the manifest first, then the headers."""
    from emrecon.io import interfile  # noqa: PLC0415 - not every job needs it
    from emrecon.io.interfile import spect  # noqa: PLC0415

    parts = {name: getattr(scan, name) for name in PARTS if getattr(scan, name) is not None}
    exam = replace(scan.exam, duration_s=scan.duration_s or scan.exam.duration_s)
    for name, data in parts.items():
        file = folder / f"{name}.hs"
        if isinstance(scan.bins, Camera):
            spect.write_projections(file, scan.bins, data, exam)
        else:
            interfile.write_projections(file, scan.bins, data, exam)
    write_manifest(folder / MANIFEST, **{name: f"{name}.hs" for name in parts})
    return (folder / MANIFEST, *(folder / f"{name}.hs" for name in parts))
