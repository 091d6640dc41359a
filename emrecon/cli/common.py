"""What several commands share: groups of flags, progress bars, and how a job is done."""

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
    from emrecon.jobs import Execution, Job, Result
    from emrecon.watchers import Bar

SettingsFlags = Annotated[Settings, Parameter(name="*", group="Reconstruction")]
CorrectionFlags = Annotated[Corrections, Parameter(name="*", group="Corrections")]
CameraFlags = Annotated[CameraFacts, Parameter(name="*", group="SPECT files")]
ListmodeFlags = Annotated[ListmodeSettings, Parameter(name="*", group="List-mode")]
Out = Annotated[Path, Parameter(name=["--out", "-o"])]


@contextmanager
def bars(what: str, total: int) -> Iterator[Bar]:
    """Show a stage of the work as a progress bar on the terminal; a spinner if it has no steps."""
    from rich.console import Console

    from emrecon.watchers import Bar

    with Bar(Console(stderr=True), total, what) as bar:
        yield bar


def do(job: Job, execution: Execution | None = None) -> Result:
    """Do a job, say in lines what came of it, and name the files that were written."""
    from emrecon.jobs import run

    result, written = run(job, bars, execution)
    for line in result.summary().lines:
        print(line)
    done(*written)
    return result


def done(*files: Path) -> None:
    """Name the files that were written, on standard output."""
    for file in files:
        print(f"wrote {file}")
