"""``emrecon info``.

For example::

    emrecon info scan.hs
    emrecon info *.nii.gz --json
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from emrecon.cli import complain, exit_code
from emrecon.cli.common import CameraFlags, Voice, VoiceFlags, print_table
from emrecon.errors import EmreconError, SettingsError

FILES = (
    "Images (NIfTI, MGH, Analyze, Interfile), projections (Interfile, DICOM NM), list-mode "
    "(PETLINK, PETSIRD), or folders of simulated scans."
)
"""Help of the files: docstrings lend it to single parameters alone."""


def info(
    *paths: Annotated[Path, Parameter(help=FILES)],
    camera: CameraFlags | None = None,
    voice: VoiceFlags | None = None,
) -> None:
    """Say what each file is, and how its geometry is understood.

    A file that cannot be read does not keep the others from being described; the exit code is
    that of the first such file. With --json there is a line for each file.

    Parameters
    ----------
    *paths
        The files.
    camera
        What to take from SPECT files, and what stands in for what they do not say.
    voice
        How much is said.
    """
    from emrecon.io import describe

    if not paths:
        raise SettingsError("name one file or more")
    voice, errors = voice or Voice(), []
    for path in paths:
        try:
            about = describe(path, camera)
            if voice.json:
                voice.tell_json({"file": path, **about})
            elif not voice.quiet:
                print_table(str(path), about.items())
        except EmreconError as error:
            errors.append(error)
            complain(error)
    if errors:
        sys.exit(exit_code(errors[0]))
