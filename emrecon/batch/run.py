"""Plan a batch, run it, and remember what became of each job."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from emrecon.batch.engine import Engine
from emrecon.batch.job import Job
from emrecon.batch.record import Record, key_of, look_at
from emrecon.batch.store import Store
from emrecon.errors import EmreconError
from emrecon.jobs.base import BASE_MB, Estimate, Unattended

log = logging.getLogger(__name__)

DONE, FAILED, USAGE, INVALID, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""

LOOK_EVERY_S = 5.0
"""How often to ask the engine for free slots while no job ends."""


@dataclass(frozen=True)
class Planned:
    """A job, and what is to be done about it."""

    job: Job
    """The job."""

    todo: Literal["run", "skip", "refuse"]
    """Run it; skip it as it is done; refuse it as it cannot be done."""

    needs: Estimate
    """What it will take."""

    why: str = ""
    """Why it is refused."""

    kind_of_why: str = ""
    """Class of the error."""

    record: Record | None = None
    """What is remembered of it, with its inputs as they are now."""


class View(Protocol):
    """Looks on while a batch runs."""

    def started(self, name: str) -> object:
        """Be told that a job began."""
        ...

    def progressed(self, name: str, what: str, done: int, total: int) -> object:
        """Be told how far a stage of a job is; comes from other threads."""
        ...

    def ended(self, record: Record) -> object:
        """Be told what became of a job."""
        ...


class Unseen:
    """A view that no one looks at."""

    def started(self, name: str) -> None:
        """Show nothing."""

    def progressed(self, name: str, what: str, done: int, total: int) -> None:
        """Show nothing."""

    def ended(self, record: Record) -> None:
        """Show nothing."""


def plan(
    jobs: Sequence[Job],
    store: Store,
    *,
    resume: bool = False,
    overwrite: bool = False,
    most_mb: float = 0.0,
    looked: Callable[[Job], object] = lambda job: None,
) -> list[Planned]:
    """Return what is to be done about each job. Nothing is written.

    Parameters
    ----------
    jobs : sequence of Job
        All of the batch.
    store : Store
        What is remembered.
    resume : bool, optional
        Skip what is done with the same inputs, settings and version.
    overwrite : bool, optional
        Write over files that are not of these jobs.
    most_mb : float, optional
        Memory that a job may have; 0 is any.
    looked : callable, optional
        Told of each job when it was looked at.
    """
    planned = []
    for job in jobs:
        earlier = store.load(job) if resume else None
        planned.append(_planned(job, earlier, most_mb, keep=not (overwrite or earlier)))
        looked(job)
    return planned


def _planned(job: Job, earlier: Record | None, most_mb: float, *, keep: bool) -> Planned:
    nothing = Estimate(0.0, 0.0)
    try:
        inputs = job.work.inputs()
        if earlier and earlier.whole():
            earlier = replace(earlier, inputs=look_at(inputs, earlier.inputs))
            if earlier.key == key_of(job, earlier.inputs):
                return Planned(job, "skip", nothing, record=earlier)
        if keep:
            job.work.keep_others()
        job.work.check(Unattended())
        needs = job.work.estimate()
    except (EmreconError, OSError) as error:
        why = " ".join(str(error).split())
        return Planned(job, "refuse", nothing, why, type(error).__name__, earlier)
    limits = [mb for mb in (job.memory_mb, most_mb) if mb]
    if limits and needs.memory_mb > min(limits):
        why = (
            f"it would take about {needs.memory_mb:,.0f} MB of memory, but may have "
            f"{min(limits):,.0f}: choose larger voxels, a smaller image or span, or give it more"
        )
        return Planned(job, "refuse", needs, why, "SettingsError", earlier)
    return Planned(job, "run", needs, record=earlier)


def run(
    planned: Sequence[Planned],
    engine: Engine,
    store: Store,
    view: View | None = None,
    *,
    resume: bool = False,
    budget_mb: float = 0.0,
) -> list[Record]:
    """Do what was planned; return a record for every job, in the order of the plan.

    A job begins only when its estimated memory fits beside that of those that run. One that began
    before, with the same inputs and settings, goes on from its checkpoint.

    Parameters
    ----------
    planned : sequence of Planned
        See `plan`.
    engine : Engine
        Who does it.
    store : Store
        Where it is remembered.
    view : View, optional
        Looks on.
    resume : bool, optional
        Remember what was begun in an earlier run; otherwise all begins anew.
    budget_mb : float, optional
        Memory for all jobs that run at a time; 0 leaves that to the engine.
    """
    store.make()
    view = view or Unseen()
    records = {one.job.name: _before(one) for one in planned}
    for one in planned:
        if not resume:
            store.forget(one.job.name)
        if one.todo == "refuse":
            store.save(records[one.job.name])
            view.ended(records[one.job.name])
    waiting = [one for one in planned if one.todo == "run"]
    news: queue.SimpleQueue[Record] = queue.SimpleQueue()
    held: dict[str, float] = {}
    try:
        while waiting or held:
            slots = engine.slots()
            for one in _fitting(waiting, held, slots + engine.ahead, budget_mb):
                waiting.remove(one)
                held[one.job.name] = one.needs.memory_mb
                view.started(one.job.name)
                order = _order(one, store, slots, budget_mb)
                engine.submit(order, view.progressed, news.put)
            if record := _ended(news):
                del held[record.name]
                records[record.name] = record
                view.ended(record)
    finally:
        for name in held:
            records[name] = replace(records[name], status="running", error="interrupted")
        from emrecon.batch.report import write_reports  # noqa: PLC0415 - brings pillow

        write_reports(store, list(records.values()))
    return list(records.values())


def _ended(news: queue.SimpleQueue[Record]) -> Record | None:
    """Wait for a job to end; not for ever, as there may be more slots meanwhile."""
    try:
        return news.get(timeout=LOOK_EVERY_S)
    except queue.Empty:
        return None


def exit_code(records: Sequence[Record]) -> int:
    """Return what a command that made these records exits with."""
    if all(record.status == "done" for record in records):
        return DONE
    nothing_ran = all(record.status == "failed" and not record.started for record in records)
    return INVALID if nothing_ran else FAILED


def _before(one: Planned) -> Record:
    """Return the record of a job that did not run, or not yet."""
    if one.todo == "skip" and one.record:
        return one.record
    record = Record(one.job.name, one.job.kind, "waiting")
    if one.todo == "refuse":
        return replace(record, status="failed", error=one.why, error_kind=one.kind_of_why)
    return record


def _fitting(
    waiting: list[Planned], held: dict[str, float], slots: int, budget_mb: float
) -> list[Planned]:
    """Return the jobs to begin now: in their order, but a smaller one may pass a larger."""
    left, free = budget_mb - sum(held.values()), slots - len(held)
    chosen: list[Planned] = []
    for one in waiting:
        if len(chosen) >= free:
            break
        alone = not held and not chosen
        if not budget_mb or alone or one.needs.memory_mb <= left:
            chosen.append(one)
            left -= one.needs.memory_mb
    return chosen


def _order(one: Planned, store: Store, slots: int, budget_mb: float) -> dict[str, Any]:
    """Return an order as a worker takes it.

    The limit, where the job names none, is twice what it should need, or its share if that is
    more: estimates may be wrong, but no job may take it all.
    """
    share = max(budget_mb / max(slots, 1), 2 * one.needs.memory_mb + BASE_MB)
    limit = one.job.memory_mb or (min(share, budget_mb) if budget_mb else 0.0)
    return {
        "job": one.job.plain(),
        "store": str(Path(store.folder).resolve()),
        "limit_mb": limit,
        "seen": dict(one.record.inputs) if one.record else {},
    }
