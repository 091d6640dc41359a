"""``emrecon recon``."""

from __future__ import annotations

from pathlib import Path

from emrecon.cli.common import CameraFlags, Out, PartsFlags, SettingsFlags, bars, done


def recon(  # noqa: PLR0913 - each is one choice of the user's
    scan: Path,
    *,
    out: Out = Path("recon.nii.gz"),
    settings: SettingsFlags | None = None,
    parts: PartsFlags | None = None,
    camera: CameraFlags | None = None,
    resume: bool = False,
    cache: Path | None = None,
) -> None:
    """Reconstruct a scan by MLEM or OSEM.

    Writes the image, and beside it a picture (.png), a sidecar with every setting and checksum
    (.json) and the convergence log (.csv).

    Parameters
    ----------
    scan
        A simulated scan's folder, Interfile projection data (.hs, PET or SPECT), a PETLINK
        list-mode header, or a DICOM NM TOMO file.
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
    """
    from emrecon.jobs import reconstruct

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
