"""``emrecon batch``.

For example::

    emrecon batch jobs.toml --dry-run
    emrecon batch jobs.toml --resume -j 4
    emrecon batch bids derivatives participant --participant-label 01 02
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from emrecon.cli import complain
from emrecon.cli.common import Voice, VoiceFlags, section
from emrecon.errors import DataError, SettingsError, WriteError

if TYPE_CHECKING:
    from emrecon.batch import Engine, Job, Planned, Processes, Record, Store
    from emrecon.batch.slurm import Slurm


@dataclass(frozen=True)
class Resources:
    """Who does the jobs."""

    engine: Literal["processes", "dask", "slurm"] = "processes"
    """Worker processes here; a Dask cluster (here, or at --scheduler); or Dask workers that are
    jobs of SLURM. Dask needs emrecon[dask]."""

    jobs: Annotated[int, Parameter(name=["--jobs", "-j", "--n-procs"])] = 0
    """Jobs at a time; by default one for each core, over threads."""

    threads: Annotated[int, Parameter(name=["--threads", "--omp-nthreads"])] = 1
    """Processor threads of each job. Many small scans are done fastest with 1, a few large ones
    with more."""

    memory_mb: Annotated[float, Parameter(name=["--memory-mb", "--mem-mb"])] = 0.0
    """Memory for all jobs that run at a time (of SLURM and --scheduler: for each); jobs are held
    back that would not fit. By default nine tenths of what is free."""

    scheduler: str = ""
    """Address of a Dask scheduler, such as tcp://host:8786."""

    queue: str = ""
    """SLURM: partition."""

    account: str = ""
    """SLURM: account."""

    walltime: str = "08:00:00"
    """SLURM: time limit of a worker; jobs that it ends are done again by the next."""

    scratch: str = ""
    """SLURM: a folder on the node's own disk."""

    def __post_init__(self) -> None:
        if self.jobs < 0 or self.threads < 1 or not self.memory_mb >= 0:
            raise SettingsError("--jobs and --memory-mb are 0 or more, --threads 1 or more")
        if self.scheduler and self.engine != "dask":
            raise SettingsError("--scheduler needs --engine dask")


ResourceFlags = Annotated[Resources, section("Engine")]


def batch(  # noqa: PLR0913 - each is one choice of the user's
    source: Path,
    /,
    output: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    level: Literal["participant"] | None = None,
    *,
    participant_label: tuple[str, ...] = (),
    session_label: tuple[str, ...] = (),
    config: Annotated[Path | None, Parameter(name=["--config", "--config-file"])] = None,
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    resources: ResourceFlags | None = None,
    voice: VoiceFlags | None = None,
) -> None:
    """Do many jobs: those of a job file, or those that a BIDS dataset asks for.

    Results go to the output folder, and in its folder "batch": report.html to look at,
    report.jsonl with a line for each job, logs, records. Exit code 1: some jobs failed, the rest
    is done; 3: inputs invalid, nothing ran.

    Parameters
    ----------
    source
        A job file (TOML), or a BIDS dataset, followed by the output folder and "participant".
    output
        Folder for results; a job file may name its own.
    level
        "participant", for a BIDS dataset.
    participant_label
        Of a BIDS dataset only these participants, with or without sub-.
    session_label
        Of a BIDS dataset only these sessions, with or without ses-.
    config
        Settings for a BIDS dataset: TOML with tables [recon] and [segment].
    resume
        Skip what is done (same inputs, settings and version), take up what was interrupted, do
        the rest.
    overwrite
        Do all jobs anew, over the results of an earlier batch and other files of these names.
    dry_run
        Print the plan with memory and time, and write nothing.
    resources
        Who does the jobs.
    voice
        How much is said; as JSON, a line for each job that ends.
    """
    from emrecon.batch import Store, plan, run
    from emrecon.batch.run import exit_code
    from emrecon.cli.batch_progress import Board

    resources, voice = resources or Resources(), voice or Voice()
    if resume and overwrite:
        raise SettingsError("give --resume or --overwrite, not both")
    with _invalid():
        jobs, out = _jobs(source, output, level, config, (participant_label, session_label))
    store, budget = Store(out / "batch"), _budget(resources)
    if not (resume or overwrite):
        _keep_others(store, out, raw=bool(level), dry_run=dry_run)
    if dry_run:
        planned = plan(jobs, store, resume=resume, overwrite=overwrite, most_mb=budget)
        _show(planned, resources, budget)
        sys.exit(0 if any(one.todo != "refuse" for one in planned) else 3)
    store.make()
    with store.alone(), ExitStack() as stack:
        here = _here(resources, len(jobs), stack)
        planned = plan(jobs, store, resume=resume, overwrite=overwrite, most_mb=budget)
        _say(planned, voice)
        if level:
            _describe(source, out)
        view = stack.enter_context(Board(planned, voice))
        dask = resources.engine != "processes" and any(one.todo == "run" for one in planned)
        engine = _dask(resources, here, out, stack) if dask else here
        view.about(engine.about())
        records = run(
            planned, engine, store, view, resume=resume, budget_mb=_shared(resources, budget)
        )
    _end(records, store, voice)
    sys.exit(exit_code(records))


def _jobs(
    source: Path,
    output: Path | None,
    level: str | None,
    config: Path | None,
    labels: tuple[tuple[str, ...], tuple[str, ...]],
) -> tuple[list[Job], Path]:
    """Return the jobs, and the folder for results."""
    from emrecon.batch import bids_jobs, read_jobs
    from emrecon.batch.jobfile import read_tables

    if level is None:
        if config or any(labels) or source.is_dir():
            raise SettingsError(
                "a BIDS dataset is given as: emrecon batch BIDS_DIR OUT_DIR participant; "
                "--config and labels go with it"
            )
        return read_jobs(source, output)
    if output is None:
        raise SettingsError("name the output folder after the BIDS dataset")
    if output.resolve() == source.resolve():
        raise SettingsError("the output folder must be another than the BIDS dataset")
    tables = read_tables(config, ("recon", "segment")) if config else {}
    return bids_jobs(source, output, tables, *labels), output.resolve()


def _keep_others(store: Store, out: Path, *, raw: bool, dry_run: bool) -> None:
    """Refuse to do a batch again unasked, or to write raw data's results into other datasets."""
    from emrecon.batch.bids import keep_other_datasets

    if store.used() and not dry_run:
        raise WriteError(
            f"{out} holds results of an earlier batch: give --resume to do what is not done, or "
            "--overwrite to do all again"
        )
    if raw:
        keep_other_datasets(out)


def _describe(source: Path, out: Path) -> None:
    """Say in the output folder what dataset it derives from."""
    from emrecon.batch.bids import describe_derivative

    describe_derivative(source, out)


@contextmanager
def _invalid() -> Iterator[None]:
    """End with the exit code for inputs of which nothing can be made."""
    from emrecon.batch.run import INVALID

    try:
        yield
    except DataError as error:
        complain(error)
        sys.exit(INVALID)


def _budget(resources: Resources) -> float:
    from emrecon.memory import free_mb

    elsewhere = resources.engine == "slurm" or resources.scheduler
    if elsewhere and not resources.memory_mb:
        raise SettingsError("say the memory of a worker on another machine: --memory-mb")
    return resources.memory_mb or 0.9 * free_mb()


def _shared(resources: Resources, budget: float) -> float:
    """Return the memory that jobs share; workers elsewhere have their own."""
    return 0.0 if resources.engine == "slurm" or resources.scheduler else budget


def _slots(resources: Resources) -> int:
    from emrecon.batch.engine import cores

    return resources.jobs or max(1, cores() // resources.threads)


def _here(resources: Resources, jobs: int, stack: ExitStack) -> Processes:
    """Return worker processes on this machine, which start while the jobs are planned."""
    from emrecon.batch import Processes

    engine = Processes(_slots(resources), resources.threads)
    stack.callback(engine.close)
    if resources.engine != "slurm" and not resources.scheduler:
        engine.start(jobs)
    return engine


def _dask(resources: Resources, here: Processes, out: Path, stack: ExitStack) -> Engine:
    """Return workers of a Dask cluster: here, elsewhere, or started by SLURM."""
    from emrecon.batch import dask_engine, slurm

    if resources.scheduler:
        engine = dask_engine.existing(resources.scheduler, resources.threads)
    elif resources.engine == "dask":
        engine = dask_engine.local(here)
    else:
        engine = slurm.slurm(_slurm(resources), out)
    stack.callback(engine.close)
    return engine


def _slurm(resources: Resources) -> Slurm:
    from emrecon.batch.slurm import Slurm

    return Slurm(
        resources.jobs or 4, resources.threads, resources.memory_mb, resources.walltime,
        resources.queue, resources.account, resources.scratch,
    )  # fmt: skip


def _say(planned: list[Planned], voice: Voice) -> None:
    """Say what cannot be done before hours are spent on the rest."""
    refused = [one for one in planned if one.todo == "refuse"]
    skipped = sum(one.todo == "skip" for one in planned)
    if skipped and not voice.quiet:
        print(f"{skipped} of {len(planned)} jobs are done already", file=sys.stderr)
    for one in refused:
        print(f"{one.job.name} cannot be done: {one.why}", file=sys.stderr)


def _end(records: list[Record], store: Store, voice: Voice) -> None:
    """Say how it went."""
    done = sum(record.status == "done" for record in records)
    if not voice.quiet:
        print(f"{done} of {len(records)} done; report: {store.report}", file=sys.stderr)


def _lasting(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def _show(planned: list[Planned], resources: Resources, budget: float) -> None:
    """Print the plan."""
    from rich.console import Console

    from emrecon.cli.batch_progress import plan_table

    console = Console()
    console = console if console.is_terminal else Console(width=160)
    console.print(plan_table(planned))
    running = [one for one in planned if one.todo == "run"]
    cpu_s = sum(one.needs.cpu_s for one in running)
    slots = min(_slots(resources), max(len(running), 1))
    print(
        f"{len(running)} to do, {sum(one.todo == 'skip' for one in planned)} done already, "
        f"{sum(one.todo == 'refuse' for one in planned)} that cannot be done"
    )
    print(
        f"about {_lasting(cpu_s)} of processor time, "
        f"{_lasting(cpu_s / slots / resources.threads)} "
        f"with {slots} at a time, each on {resources.threads} processor threads; "
        f"{budget:,.0f} MB of memory to use"
    )
    if resources.engine == "slurm":
        from emrecon.batch.slurm import job_script

        print(job_script(_slurm(resources)))
