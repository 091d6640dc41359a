"""What several commands share: groups of flags, progress bars, and how a job is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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


def print_table(title: str, rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> None:
    """Print a table of plain text: brackets in names of files are no markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), show_header=bool(header), title_justify="left")
    for name in header:
        table.add_column(Text(name))
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    console.print(table)


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
