"""``emrecon recon``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emrecon.cli.common import CameraFlags, Out, PartsFlags, SettingsFlags, bars, done
from emrecon.errors import SettingsError

if TYPE_CHECKING:
    from emrecon.tomo.parts import Parts
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
    list_mode: bool = False,
    frames: str = "",
    decay_corrected: bool = False,
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
    list_mode
        Reconstruct list-mode event by event, without sinograms; subsets are then of events.
    frames
        Reconstruct list-mode in frames, an image each: start:duration,start:duration,... in
        seconds, or a BIDS .json or .tsv file with FrameTimesStart and FrameDuration.
    decay_corrected
        Bring each frame to the activity at the start of the scan.
    """
    from emrecon.jobs import reconstruct

    if list_mode or frames or decay_corrected:
        if resume or cache or camera:
            raise SettingsError("events and frames take neither --resume, --cache nor SPECT flags")
        _listmode(scan, out, settings, parts, (list_mode, frames, decay_corrected))
        return

    made = reconstruct(
        scan, out, settings, parts, camera=camera, resume=resume, cache=cache, meters=bars
    )
    rows, facts = made.history.rows, made.problem.facts
    shape = " x ".join(str(n) for n in made.volume.voxels.shape)
    voxel = " x ".join(f"{v:.4g}" for v in made.volume.spacing_mm)
    print(
        f"{facts['prompts']:.0f} prompts, {facts['background']:.0f} expected in background; "
        f"{rows[-1].sub_iteration} updates in {rows[-1].seconds:.1f} s; "
        f"{shape} voxels of {voxel} mm"
    )
    done(*made.written)


def _listmode(
    path: Path,
    out: Path,
    settings: Settings | None,
    parts: Parts | None,
    choice: tuple[bool, str, bool],
) -> None:
    """Reconstruct list-mode by events or frames."""
    from emrecon.io.frames import read_frames
    from emrecon.jobs_listmode import Choice, reconstruct_listmode

    events, frames, decay = choice
    chosen = Choice(events, read_frames(frames) if frames else (), decay)
    made = reconstruct_listmode(path, out, settings, parts, chosen, meters=bars)
    for number, facts in enumerate(made.facts, 1):
        frame = f"frame {number}: " if frames else ""
        print(
            f"{frame}{facts['prompts']:.0f} prompts, {facts['background']:.0f} expected in "
            f"background; {facts['updates']} updates"
        )
    done(*made.written)
