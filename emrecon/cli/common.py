"""What several commands share: groups of flags, progress bars, and how a job is done."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from emrecon.errors import SettingsError
from emrecon.forms import NONE_HELP
from emrecon.tomo.anatomy_settings import AnatomySettings
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

    from emrecon.jobs import Execution, Job, Result
    from emrecon.watchers import Bar

SECTIONS = (
    "Reconstruction", "Segmentation", "Acquisition", "Gamma camera (with --dicom)", "Cylinder",
    "Source", "Rays", "Inputs", "Corrections", "Prior", "Kernel EM", "Anatomy", "Regions",
    "List-mode", "SPECT files", "Execution", "Engine", "Output",
)  # fmt: skip
"""Groups of flags in the order of help: what is set most often comes first."""

ABOUT = {"Corrections": NONE_HELP}
"""What is said of a group in help."""


@dataclass(frozen=True)
class Without:
    """Shows a group of flags in help without those that a command refuses."""

    fields: frozenset[str]
    """The fields that it refuses."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print the group."""
        from cyclopts.help.formatters.default import DefaultFormatter

        refused = {f"--{field.replace('_', '-')}" for field in self.fields}
        kept = [entry for entry in panel.entries if not refused.intersection(entry.names)]
        DefaultFormatter()(console, options, panel.copy(entries=kept))


def section(
    name: str, without: Iterable[str] = (), *, negative: tuple[str, ...] | None = ()
) -> Parameter:
    """Let the fields of a form be flags, in a group of this name; `without` some in its help."""
    hidden = Without(frozenset(without)) if without else None
    about = ABOUT.get(name, "")
    group = Group(name, help=about, sort_key=SECTIONS.index(name), help_formatter=hidden)
    return Parameter(name="*", group=group, negative=negative, negative_iterable=())


SettingsFlags = Annotated[Settings, section("Reconstruction")]
CorrectionFlags = Annotated[Corrections, section("Corrections", negative=None)]
CameraFlags = Annotated[CameraFacts, section("SPECT files")]
ListmodeFlags = Annotated[ListmodeSettings, section("List-mode")]
PenaltyFlags = Annotated[Penalty, section("Prior")]
KernelFlags = Annotated[KernelSettings, section("Kernel EM")]
AnatomyFlags = Annotated[AnatomySettings, section("Anatomy")]
RegionFlags = Annotated[RegionSettings, section("Regions")]
Out = Annotated[Path, Parameter(name=["--out", "-o"])]
Overwrite = Annotated[
    bool, Parameter(help="Write over files of the same names that come of something else.")
]


@dataclass(frozen=True)
class Voice:
    """How much a command says."""

    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"])] = False
    """Say nothing but warnings, and what went wrong."""

    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"])] = False
    """Also say, with the time, what is done on the way and where a warning comes from."""

    json: bool = False
    """Print what came of it as one line of JSON, instead of words."""

    def __post_init__(self) -> None:
        if self.quiet and (self.verbose or self.json):
            raise SettingsError("--quiet goes with neither --verbose nor --json")
        if self.verbose:
            detailed = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
            logging.getLogger().setLevel(logging.INFO)
            for handler in logging.getLogger().handlers:
                handler.setFormatter(detailed)

    def tell(
        self, lines: Iterable[str], files: Sequence[Path], about: Mapping[str, object]
    ) -> None:
        """Say what came of a job: `lines` and files in words, or `about` it and files in JSON."""
        if self.json:
            self.tell_json({**about, "lines": list(lines), "files": list(files)})
        elif not self.quiet:
            for line in lines:
                print(line)
            done(*files)

    def tell_json(self, values: Mapping[str, object]) -> None:
        """Print values as one line of JSON."""
        from emrecon.forms import to_plain

        print(json.dumps(to_plain(values)))


VoiceFlags = Annotated[Voice, section("Output")]


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


def do(
    job: Job,
    execution: Execution | None = None,
    voice: Voice | None = None,
    *,
    overwrite: bool = False,
) -> Result:
    """Do a job, say in lines what came of it, and name the files that were written."""
    from emrecon.jobs import no_meters, run
    from emrecon.memory import keep_freed

    if not overwrite:
        job.keep_others()
    keep_freed()
    voice = voice or Voice()
    result, written = run(job, no_meters if voice.quiet else bars, execution)
    summary = result.summary()
    about = {"kind": job.KIND, "counts": summary.counts, "resumed_at": summary.resumed_at}
    voice.tell(summary.lines, written, about)
    return result


def plan(
    job: Job,
    execution: Execution | None = None,
    voice: Voice | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Say what a job would read, write and need, and do nothing."""
    from emrecon.jobs.base import Execution
    from emrecon.jobs.input_files import must_exist

    if not overwrite:
        job.keep_others()
    inputs, outputs = job.inputs(), job.outputs()
    must_exist(inputs)
    job.check(execution or Execution())
    need = job.estimate()
    lines = [f"reads {what}: {path}" for what, path in inputs.items()]
    lines += [f"would write {path}" for path in outputs]
    lines.append(f"needs about {need.memory_mb:.0f} MB and {need.cpu_s:.0f} s of processor time")
    about = {"kind": job.KIND, "inputs": inputs, "outputs": outputs}
    estimate = {"memory_mb": need.memory_mb, "cpu_s": need.cpu_s}
    (voice or Voice()).tell(lines, (), {**about, **estimate, "dry_run": True})


def done(*files: Path) -> None:
    """Name the files that were written, on standard output."""
    for file in files:
        print(f"wrote {file}")
