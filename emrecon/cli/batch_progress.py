"""A batch on the terminal: the plan, and progress over scans and inside scans."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from emrecon.cli import complain

if TYPE_CHECKING:
    from rich.progress import TaskID
    from rich.table import Table

    from emrecon.batch import Planned, Record
    from emrecon.cli.common import Voice


class Board:
    """Shows how far a batch is: bars for all jobs and for each at work, a line for each ended.

    Parameters
    ----------
    planned : sequence of Planned
        The jobs.
    voice : Voice
        How much is said; as JSON, a line for each job that ends.
    """

    def __init__(self, planned: Sequence[Planned], voice: Voice) -> None:
        from rich.console import Console

        from emrecon.watchers import bars

        console = Console(stderr=True, quiet=voice.quiet)
        self._voice, self._count = voice, len(planned)
        self._ended = sum(one.todo == "skip" for one in planned)
        self._bars = bars(console)
        self._all = self._bars.add_task("all jobs", total=self._count, completed=self._ended)
        self._jobs: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def about(self, words: str) -> None:
        """Say who does the jobs."""
        self._bars.console.print(words, markup=False, highlight=False)

    def started(self, name: str) -> None:
        """Show that a job began."""
        with self._lock:
            self._jobs[name] = self._bars.add_task(f"  {name}", total=None)

    def progressed(self, name: str, what: str, done: int, total: int) -> None:
        """Show how far a stage of a job is."""
        with self._lock:
            if name in self._jobs:
                words = f"  {name}: {what}"
                self._bars.update(self._jobs[name], description=words, completed=done, total=total)

    def ended(self, record: Record) -> None:
        """Show what became of a job."""
        with self._lock:
            if name := self._jobs.pop(record.name, None):
                self._bars.remove_task(name)
            self._ended += 1
        self._bars.update(self._all, completed=self._ended)
        if self._voice.json:
            print(record.line(), flush=True)
            return
        if self._voice.quiet and record.status != "done":
            complain(f"{record.name}: {record.error}")
        words = f"{record.seconds:.1f} s" if record.status == "done" else record.error
        self._bars.console.print(
            f"[{self._ended}/{self._count}] {record.status} {record.name}: {words}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def plan_table(planned: Sequence[Planned]) -> Table:
    """Return the plan as a table."""
    from rich.table import Table
    from rich.text import Text

    table = Table("job", "kind", "to do", "memory MB", "processor s", "output")
    for one in planned:
        known = one.todo == "run"
        table.add_row(
            Text(one.job.name),
            one.job.kind,
            Text({"run": "run", "skip": "done already"}.get(one.todo, one.why)),
            f"{one.needs.memory_mb:,.0f}" if known else "",
            (f"{one.needs.cpu_s:,.0f}" if one.needs.cpu_s else "?") if known else "",
            Text(one.job.out),
        )
    return table
