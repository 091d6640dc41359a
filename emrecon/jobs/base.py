"""What a job is, and the one way in which all kinds of them are run.

A job is a value: a frozen dataclass of paths and forms of settings. It says what it reads, what it
writes and what that will take, and begins a run. A run iterates, where there is anything to
iterate, and gives a result; a result writes all its files or none. The command line, the panel and
batches know no more of a job than this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from emrecon import forms
from emrecon.em import Iterate
from emrecon.files import sha256
from emrecon.stop import Rule

R_co = TypeVar("R_co", covariant=True)

Observer = Callable[[Iterate[Any]], object]

BASE_MB = 230.0
"""Memory of a process with the libraries and kernels loaded, and no data (measured, as are the
other figures of estimates: docs/batch.md)."""

START_S = 1.5
"""Processor time for reading, writing and pictures."""

MB = 1 << 20


@dataclass(frozen=True)
class Estimate:
    """What a job is likely to need: memory enough, time right within a factor of three.

    Examples
    --------
    >>> Estimate(memory_mb=400.0, cpu_s=20.0).cpu_s
    20.0
    """

    memory_mb: float
    """Most memory held at a time."""

    cpu_s: float
    """Processor time of all threads together; 0 where it cannot be told."""


class Meter(Protocol):
    """Shows how far the work is, such as `emrecon.watchers.Bar`."""

    def __call__(self, iterate: Iterate[Any], /) -> object:
        """Be shown an iterate."""
        ...

    def update(self, done: int, total: int) -> object:
        """Be told how many steps are made."""
        ...


Meters = Callable[[str, int], AbstractContextManager[Meter | None]]
"""Makes the meter of a stage from its name and number of steps."""


def no_meters(what: str, total: int) -> AbstractContextManager[Meter | None]:
    """Show nothing."""
    return nullcontext()


class Stage(Protocol):
    """One course of iterates of a run: of an image, a frame, or an image at one resolution."""

    @property
    def name(self) -> str:
        """What is iterated, in a word or two."""
        ...

    @property
    def updates(self) -> int:
        """Most updates that it makes."""
        ...


Look = Callable[[Any], Sequence[Observer]]
"""Returns those who watch a stage, before it begins."""


def nobody(stage: Stage) -> Sequence[Observer]:
    """Let no one watch."""
    return ()


@dataclass(frozen=True)
class Summary:
    """What is to be said of a result.

    Examples
    --------
    >>> Summary(("CSF: 189.4 mL",), counts=2e6).lines
    ('CSF: 189.4 mL',)
    """

    lines: tuple[str, ...] = ()
    """What a person wants to know at once."""

    counts: float | None = None
    """Prompts of a scan, voxels of a segmentation."""

    curve: tuple[float, ...] = ()
    """Log-likelihood of every iterate; of a segmentation the free energy."""

    subsets: int = 1
    """Only every so manieth value of the curve can be compared."""

    resumed_at: int | None = None
    """Update at which an interrupted run was taken up."""


class Result(Protocol):
    """What a run made, in memory."""

    def summary(self) -> Summary:
        """Return what is to be said of it."""
        ...

    def write(self) -> tuple[Path, ...]:
        """Write all files or none; return them, the most important first."""
        ...


class Run(Protocol[R_co]):
    """A job up to its first iterate."""

    def iterate(self, look: Look = nobody, *rules: Rule) -> R_co:
        """Iterate to the end, or until a rule says that it is enough, and return the result."""
        ...


class Job(Protocol):
    """What is to be done, as a value.

    Examples
    --------
    >>> from pathlib import Path
    >>> import emrecon as em
    >>> job: Job = em.SimulationJob("cylinder", Path("scan"))
    >>> job.KIND, str(job.out)
    ('simulate', 'scan')
    """

    KIND: ClassVar[str]
    """Name of the kind in job files, which is that of the command."""

    @property
    def out(self) -> Path | None:
        """File or folder to write; without one nothing is written."""
        ...

    def inputs(self) -> dict[str, Path]:
        """Return every file that is read, by what it is."""
        ...

    def outputs(self) -> tuple[Path, ...]:
        """Return every file that may be written, the most important first."""
        ...

    def keep_others(self) -> None:
        """Refuse to write over files that are not its own; see `emrecon.jobs.bundle`."""
        ...

    def check(self, execution: Execution) -> None:
        """Refuse what settings and headers decide, as `begin` does before it reads data."""
        ...

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the headers of its files."""
        ...

    def begin(self, meters: Meters = no_meters, execution: Execution | None = None) -> Run[Result]:
        """Read, refuse what cannot be done, and make everything ready for the first iterate."""
        ...


@dataclass(frozen=True)
class Execution:
    """How a job is carried out; nothing here decides the result, but for rounding.

    Examples
    --------
    >>> Execution(resume=True, workers="2").workers
    '2'
    """

    SAVES: ClassVar[bool] = False
    """Whether the state is saved after each pass where the settings do not say how often."""

    MAKES_FOLDERS: ClassVar[bool] = False
    """Whether the folder that the outputs lie in is made where there is none."""

    resume: bool = False
    """Take up a stopped run of the same scan and settings at its checkpoint."""

    cache: Path | None = None
    """Folder where the sensitivities are kept for later runs."""

    workers: str = ""
    """Share the views or events among so many processes here, or among the workers of the Dask
    scheduler at this address (``tcp://...``)."""

    chunks: int = 0
    """With workers: in how many chunks the data are split, whatever the number of workers; by
    default up to 8."""


class Unattended(Execution):
    """As in batches, where any run may be interrupted."""

    SAVES: ClassVar[bool] = True
    MAKES_FOLDERS: ClassVar[bool] = True


def run(
    job: Job, meters: Meters = no_meters, execution: Execution | None = None
) -> tuple[Result, tuple[Path, ...]]:
    """Do a job from files to files; return what it made, and the files, the main one first.

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output; no file is written then.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import emrecon as em
    >>> from phantoms.acquisition import Acquisition
    >>> like = Acquisition(scanner="tiny", counts=2e5)
    >>> with TemporaryDirectory() as name:
    ...     folder = Path(name)
    ...     _ = em.run(em.SimulationJob("flip-finder", folder / "scan", like))
    ...     job = em.ReconstructionJob(folder / "scan", folder / "image.nii.gz")
    ...     result, files = em.run(job)
    ...     [file.name for file in files]
    ['image.nii.gz', 'image.json', 'image.csv', 'image.png']
    """
    running = job.begin(meters, execution)
    with ExitStack() as shown:

        def look(stage: Stage) -> Sequence[Observer]:
            shown.close()
            meter = shown.enter_context(meters(stage.name, stage.updates))
            return [] if meter is None else [meter]

        result = running.iterate(look)
    return result, result.write()


@dataclass(frozen=True, eq=False)
class Once(Generic[R_co]):
    """The run of a job that iterates nothing."""

    work: Callable[[], R_co]

    def iterate(self, look: Look = nobody, *rules: Rule) -> R_co:
        """Do all of it."""
        return self.work()


PINNED = frozenset({"threads", "checkpoint_every"})
"""Settings that decide nothing but how long a job takes."""


def settings_of(job: Job, leave_out: frozenset[str] = PINNED) -> dict[str, Any]:
    """Return all that decides the result but files, defaults too, as JSON has it."""
    values: dict[str, Any] = {}
    for item in fields(job):  # type: ignore[arg-type] # jobs are dataclasses
        value = getattr(job, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            values |= forms.plain(value)
        elif item.name != "out":
            values[item.name] = forms.to_plain(value)
    paths = {name for kind in forms_of(type(job)) for name in forms.path_names(kind)}
    return {name: value for name, value in values.items() if name not in paths | leave_out}


def forms_of(kind: type) -> tuple[type, ...]:
    """Return the forms of settings that a kind of job holds, and itself for its own fields."""
    held = [hint for hint in forms.types_of(kind).values() if is_dataclass(hint)]
    return (*(form for form in held if isinstance(form, type)), kind)


def key_of(job: Job, digests: Mapping[str, str], leave_out: frozenset[str] = PINNED) -> str:
    """Return the digest of all that decides a job's result: version, settings, content of files.

    Parameters
    ----------
    job : Job
        What is to be done.
    digests : mapping of str
        SHA-256 of every input, by what it is; see `digests`.
    leave_out : set of str, optional
        Settings that do not count.
    """
    decides = {
        "version": version("emrecon"),
        "kind": job.KIND,
        "settings": settings_of(job, leave_out),
        "inputs": dict(digests),
    }
    text = json.dumps(decides, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def digests(inputs: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of every input."""
    return {what: sha256(path) for what, path in inputs.items()}
