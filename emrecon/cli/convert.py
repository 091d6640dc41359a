"""``emrecon convert``."""

from __future__ import annotations

from pathlib import Path

from emrecon.cli.common import CameraFlags, Out, done, stage


def convert(  # noqa: PLR0913 - each is one choice of the user's
    source: Path,
    *,
    out: Out,
    span: int = 11,
    max_ring_difference: int | None = None,
    start_s: float = 0.0,
    stop_s: float = float("inf"),
    camera: CameraFlags | None = None,
) -> None:
    """Turn list-mode into sinograms, SPECT into Interfile, or an image into another format.

    Parameters
    ----------
    source
        A PETLINK list-mode header, a DICOM NM TOMO file, or an image (NIfTI or Interfile).
    out
        For list-mode a folder: prompts, randoms and normalisation as Interfile, with scan.toml;
        for SPECT likewise prompts, of one energy window.
        For an image a file: .nii.gz, .nii or .hv.
    span
        Axial compression of the sinograms: an odd number of ring differences a segment.
    max_ring_difference
        Largest ring difference to keep; all of the file's by default.
    start_s, stop_s
        Part of the list-mode file to take, in seconds.
    camera
        What to take from SPECT files, and what stands in for what they do not say.
    """
    from emrecon.jobs_scan import (
        convert_image,
        convert_listmode,
        convert_spect,
        is_listmode,
        is_spect,
    )

    if is_spect(source):
        done(*convert_spect(source, out, camera))
        return
    if not is_listmode(source):
        done(convert_image(source, out))
        return
    with stage("reading events"):
        written, facts = convert_listmode(
            source, out, span, max_ring_difference, (start_s, stop_s)
        )
    dropped = facts["events_dropped"]
    print(
        f"{facts['prompts']} prompts, {facts['delayeds']} delayeds"
        + (f", of which {dropped} beyond the ring difference kept" if dropped else "")
    )
    done(*written)
