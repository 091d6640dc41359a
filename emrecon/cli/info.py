"""``emrecon info``."""

from __future__ import annotations

from pathlib import Path

from emrecon.cli.common import CameraFlags
from emrecon.errors import SettingsError


def info(*paths: Path, camera: CameraFlags | None = None) -> None:
    """Say what each file is, and how its geometry is understood.

    Parameters
    ----------
    *paths
        Images (NIfTI, Interfile), projection data (Interfile, DICOM NM), list-mode headers
        (PETLINK), or folders of simulated scans.
    camera
        What to take from SPECT files, and what stands in for what they do not say.
    """
    from rich.console import Console
    from rich.table import Table

    from emrecon.io import describe

    if not paths:
        raise SettingsError("name one file or more")
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    for path in paths:
        table = Table(title=str(path), show_header=False, title_justify="left")
        for name, value in describe(path, camera).items():
            table.add_row(name, value)
        console.print(table)
