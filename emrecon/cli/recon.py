"""``emrecon recon``."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emrecon.cli.common import (
    CameraFlags,
    ListmodeFlags,
    Out,
    PartsFlags,
    SettingsFlags,
    bars,
    done,
)
from emrecon.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emrecon.jobs import GetReady
    from emrecon.tomo.inputs import Corrections
    from emrecon.tomo.listmode_settings import ListmodeSettings
    from emrecon.tomo.settings import Settings


def recon(  # noqa: PLR0913 - each is one choice of the user's
    scan: Path,
    *,
    out: Out = Path("recon.nii.gz"),
    settings: SettingsFlags | None = None,
    parts: PartsFlags | None = None,
    camera: CameraFlags | None = None,
    resume: bool = False,
    cache: Path | None = None,
    listmode: ListmodeFlags | None = None,
    workers: str = "",
    chunks: int = 0,
) -> None:
    """Reconstruct a scan by MLEM or OSEM.

    Writes the image, and beside it a picture (.png), a sidecar with every setting and checksum
    (.json) and the convergence log (.csv).

    Parameters
    ----------
    scan
        A simulated scan's folder, Interfile projection data (.hs, PET or SPECT), a PETLINK
        list-mode header, a PETSIRD file, or a DICOM NM TOMO file.
    out
        Image to write: .nii.gz, .nii or .hv.
    settings
        How to reconstruct.
    parts
        Files with corrections.
    camera
        What to take from SPECT files, and what stands in for what they do not say.
    resume
        Take up a stopped run of the same scan and settings at its checkpoint.
    cache
        Folder where the sensitivities are kept for later runs.
    listmode
        Event by event, in frames or in gates.
    workers
        Share the views among so many processes here, or among the workers of the Dask scheduler
        at this address (tcp://...).
    chunks
        With workers: in how many chunks the views are split, whatever the number of workers; by
        default up to 8.
    """
    from emrecon.io.scan import wants_listmode
    from emrecon.jobs import reconstruct
    from emrecon.tomo.listmode_settings import ListmodeSettings

    how = listmode or ListmodeSettings()
    if wants_listmode(scan, how):
        if workers or chunks:
            raise SettingsError("events and frames are not shared: leave out --workers, --chunks")
        if resume or cache or camera:
            raise SettingsError("events and frames take neither --resume, --cache nor SPECT flags")
        _listmode(scan, out, settings, parts, how)
        return

    with _who(settings, workers, chunks, cache) as get_ready:
        made = reconstruct(
            scan, out, settings, parts,
            camera=camera, resume=resume, cache=cache, meters=bars, get_ready=get_ready,
        )  # fmt: skip
    rows, facts = made.history.rows, made.problem.facts
    shape = " x ".join(str(n) for n in made.volume.voxels.shape)
    voxel = " x ".join(f"{v:.4g}" for v in made.volume.spacing_mm)
    print(
        f"{facts['prompts']:.0f} prompts, {facts['background']:.0f} expected in background; "
        f"{rows[-1].sub_iteration} updates in {rows[-1].seconds:.1f} s; "
        f"{shape} voxels of {voxel} mm"
    )
    done(*made.written)


@contextmanager
def _who(
    settings: Settings | None, workers: str, chunks: int, cache: Path | None
) -> Iterator[GetReady | None]:
    """Give what gets a scan ready on workers; None for this process."""
    if not workers:
        if chunks:
            raise SettingsError("--chunks are for --workers")
        yield None
        return
    if cache:
        raise SettingsError("give --cache or --workers: each worker keeps its part in memory")
    from emrecon.jobs import shared
    from emrecon.workers import opened

    with opened(workers, settings.threads if settings else 0) as those:
        yield partial(shared, workers=those, chunks=chunks)


def _listmode(
    path: Path,
    out: Path,
    settings: Settings | None,
    parts: Corrections | None,
    how: ListmodeSettings,
) -> None:
    """Reconstruct list-mode by events, frames or gates."""
    from emrecon.jobs_listmode import reconstruct_listmode

    made = reconstruct_listmode(path, out, settings, parts, how, meters=bars)
    what = "frame" if how.frames else "gate"
    for number, facts in enumerate(made.facts, 1):
        frame = f"{what} {number}: " if how.several else ""
        print(
            f"{frame}{facts['prompts']:.0f} prompts, {facts['background']:.0f} expected in "
            f"background; {facts['updates']} updates"
        )
    done(*made.written)
