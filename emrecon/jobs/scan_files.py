"""A scan as a folder of files, with the manifest that names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from emrecon.brief import outcome
from emrecon.errors import SettingsError
from emrecon.io.manifest import MANIFEST, write_manifest
from emrecon.jobs.base import Summary
from emrecon.jobs.bundle import written_together
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.scan import Scan

PARTS = ("prompts", "normalisation", "attenuation", "randoms", "scatter")


@dataclass(frozen=True, eq=False)
class FolderResult:
    """What fills a folder."""

    out: Path | None
    """The folder."""

    put: Callable[[Path], tuple[Path, ...]]
    """Writes to a folder; returns the files, the main one first."""

    about: Summary = field(default_factory=Summary)
    """What is to be said of it."""

    __repr__ = outcome

    def summary(self) -> Summary:
        """Return what is to be said of it."""
        return self.about

    def write(self) -> tuple[Path, ...]:
        """Write all files or none; return them, the main one first."""
        if self.out is None:
            raise SettingsError("there is no folder to write to")
        with written_together(self.out, self.out, MANIFEST) as beside:
            written = self.put(beside)
        return tuple(self.out / path.name for path in written)


def scan_outputs(folder: Path) -> tuple[Path, ...]:
    """Return the files that `write_scan` may write, the manifest first."""
    files = [folder / f"{name}.{end}" for name in PARTS for end in ("hs", "s")]
    return (folder / MANIFEST, *files)


def write_scan(folder: Path, scan: Scan, *, simulated: bool = False) -> tuple[Path, ...]:
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
    named = {name: f"{name}.hs" for name in parts}
    write_manifest(folder / MANIFEST, named.pop("prompts"), simulated=simulated, **named)
    return (folder / MANIFEST, *(folder / f"{name}.hs" for name in parts))
