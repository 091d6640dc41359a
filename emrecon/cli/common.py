"""What several commands share: progress bars, groups of flags, the list of files written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.settings import Settings

if TYPE_CHECKING:
    from emrecon.watchers import Bar

SettingsFlags = Annotated[Settings, Parameter(name="*", group="Reconstruction")]
PartsFlags = Annotated[Corrections, Parameter(name="*", group="Corrections")]
CameraFlags = Annotated[CameraFacts, Parameter(name="*", group="SPECT files")]
ListmodeFlags = Annotated[ListmodeSettings, Parameter(name="*", group="List-mode")]
Out = Annotated[Path, Parameter(name=["--out", "-o"])]


@contextmanager
def bars(what: str, total: int) -> Iterator[Bar]:
    """Show a stage of the work as a progress bar on the terminal."""
    from rich.console import Console

    from emrecon.watchers import Bar

    with Bar(Console(stderr=True), total, what) as bar:
        yield bar


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Show that something is going on whose end cannot be told."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def done(*files: Path) -> None:
    """Name the files that were written, on standard output."""
    for file in files:
        print(f"wrote {file}")
