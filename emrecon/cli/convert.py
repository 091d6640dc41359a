"""``emrecon convert``."""

from __future__ import annotations

from pathlib import Path

from emrecon.cli.common import Out, done, stage


def convert(
    source: Path,
    *,
    out: Out,
    span: int = 11,
    max_ring_difference: int | None = None,
    start_s: float = 0.0,
    stop_s: float = float("inf"),
) -> None:
    """Turn list-mode into sinograms, or an image into another format.

    Parameters
    ----------
    source
        A PETLINK list-mode header, or an image (NIfTI or Interfile).
    out
        For list-mode a folder: prompts, randoms and normalisation as Interfile, with scan.toml.
        For an image a file: .nii.gz, .nii or .hv.
    span
        Axial compression of the sinograms: an odd number of ring differences a segment.
    max_ring_difference
        Largest ring difference to keep; all of the file's by default.
    start_s, stop_s
        Part of the list-mode file to take, in seconds.
    """
    from emrecon.jobs import convert_image, convert_listmode, is_listmode

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
