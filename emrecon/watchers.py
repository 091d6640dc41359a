"""Observers of iterates: progress bar, convergence log, checkpoint."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
import zipfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.em import Iterate
from emrecon.errors import FormatError
from emrecon.files import replacing, write_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a convergence log."""

    iteration: int
    """Passes over all the data finished, counting from 0 for the start image."""

    sub_iteration: int
    """Updates made."""

    log_likelihood: float
    """Of this iterate, on the data of the subset whose turn is next."""

    relative_change: float
    """Size of the last update over the size of the iterate; NaN for the first."""

    seconds: float
    """Since the log was made."""

    penalty: float = 0.0
    """What a prior takes off the log-likelihood; of a subset its share."""

    residual_percent: float = math.nan
    """Distance from the maximum in percent of the typical value, where it is known."""

    @property
    def objective(self) -> float:
        """What is maximised: the log-likelihood less the penalty."""
        return self.log_likelihood - self.penalty


_BLOCK = 1 << 16
"""Voxels that are looked at at once: their difference stays in the cache."""


def relative_change(image: Image, before: Image) -> float:
    """Return the size of the step from `before` to `image`, over the size of `image`."""
    step, size = lengths(image, before)
    return step / size if size else 0.0


def lengths(image: Image, before: Image) -> tuple[float, float]:
    """Return the Euclidean norms of a difference of two images, and of the first.

    Not by BLAS, whose threads would go on spinning beside those of the projector.
    """
    step, size = 0.0, 0.0
    voxels, others = image.reshape(-1), before.reshape(-1)
    for at in range(0, voxels.size, _BLOCK):
        some = voxels[at : at + _BLOCK]
        off = some - others[at : at + _BLOCK]
        step += float(np.einsum("i,i->", off, off))
        size += float(np.einsum("i,i->", some, some))
    return math.sqrt(step), math.sqrt(size)


class ConvergenceLog:
    """Remembers how every iterate fared.

    Parameters
    ----------
    subsets : int, optional
        Updates in a pass over all the data.
    rows : list of Row, optional
        What a stopped run had logged, to go on from.

    Examples
    --------
    >>> import numpy as np
    >>> from emrecon import Iterate, last, watch
    >>> log = ConvergenceLog()
    >>> run = (Iterate(number, np.full(3, number + 1.0), -1.0) for number in range(3))
    >>> _ = last(watch(run, log))
    >>> [row.sub_iteration for row in log.rows]
    [0, 1, 2]
    """

    def __init__(self, subsets: int = 1, rows: list[Row] | None = None) -> None:
        self.rows = list(rows or [])
        self._subsets = subsets
        self._began = time.perf_counter() - (self.rows[-1].seconds if self.rows else 0.0)
        self._last: Image | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.rows)} iterates>"

    def __call__(self, iterate: Iterate[Image]) -> None:
        change = float("nan")
        if self._last is not None:
            change = relative_change(iterate.params, self._last)
        self._last = iterate.params
        if self.rows and self.rows[-1].sub_iteration == iterate.number:
            return  # the first iterate of a resumed run was logged before it stopped
        self.rows.append(
            Row(
                iterate.number // self._subsets,
                iterate.number,
                iterate.log_likelihood,
                change,
                time.perf_counter() - self._began,
                iterate.penalty,
                iterate.residual,
            )
        )

    def text(self) -> str:
        """Return the log as CSV."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(Row.__slots__)
        for row in self.rows:
            change = "" if np.isnan(row.relative_change) else f"{row.relative_change:.6e}"
            writer.writerow(
                [
                    row.iteration,
                    row.sub_iteration,
                    repr(row.log_likelihood),
                    change,
                    f"{row.seconds:.3f}",
                    repr(row.penalty),
                    "" if np.isnan(row.residual_percent) else f"{row.residual_percent:.6e}",
                ]
            )
        return out.getvalue()

    def write(self, path: Path) -> None:
        """Write the log as CSV."""
        write_text(path, self.text())


@dataclass(frozen=True, eq=False)
class State:
    """What a run needs to go on from where it stopped."""

    number: int
    image: Image
    rows: list[Row]

    __repr__ = brief


class Checkpoint:
    """Saves the state every so many updates, always as one whole file.

    Parameters
    ----------
    path : Path
        File to write (``.npz``).
    every : int
        Updates between two checkpoints.
    key : str
        Name of the run, so that another run cannot take up the file.
    history : ConvergenceLog
        Its rows are saved too; let it observe before the checkpoint does.
    """

    def __init__(self, path: Path, every: int, key: str, history: ConvergenceLog) -> None:
        self._path, self._every, self._key, self._log = path, every, key, history

    def __call__(self, iterate: Iterate[Image]) -> None:
        if iterate.number and iterate.number % self._every == 0:
            self.save(iterate)

    def save(self, iterate: Iterate[Image]) -> None:
        """Save this iterate now."""
        rows = np.array([list(asdict(row).values()) for row in self._log.rows], np.float64)
        with replacing(self._path) as beside, beside.open("wb") as file:
            np.savez(file, number=iterate.number, image=iterate.params, key=self._key, rows=rows)

    @staticmethod
    def load(path: Path, key: str) -> State:
        """Read a checkpoint back.

        Raises
        ------
        FormatError
            If the file is no checkpoint, or belongs to a run with other data or settings.
        """
        try:
            with path.open("rb") as file, np.load(file) as saved:
                number, image = int(saved["number"]), saved["image"]
                stored, rows = str(saved["key"]), saved["rows"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise FormatError(f"{path} is not a checkpoint that can be read: {error}") from error
        if stored != key:
            raise FormatError(
                f"{path} belongs to a run with other data, settings or version; remove it, or "
                "run without --resume"
            )
        return State(number, image, [Row(int(r[0]), int(r[1]), *map(float, r[2:])) for r in rows])


def bars(console: Console) -> Progress:
    """Return progress bars with counts and the time left; on anything but a terminal, none."""
    from rich import progress  # noqa: PLC0415 - only where a bar is wanted

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


class Bar:
    """A progress bar with the time left, on the terminal.

    Parameters
    ----------
    console : rich.console.Console
        Where it is drawn; on anything but a terminal nothing is.
    total : int
        Updates to come.
    what : str
        Text before the bar.

    Examples
    --------
    >>> import numpy as np
    >>> from rich.console import Console
    >>> from emrecon.em import Iterate
    >>> with Bar(Console(), 2, "OSEM") as bar:
    ...     for number in range(3):
    ...         bar(Iterate(number, np.ones(3), -9.0 + number))
    """

    def __init__(self, console: Console, total: int, what: str) -> None:
        self._bar, self._what, self._open = bars(console), what, ExitStack()
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        if "numba" in sys.modules:  # else nothing will be compiled
            from emrecon.compiled import compiling  # noqa: PLC0415 - brings numba

            self._open.enter_context(compiling(self._say))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
        self._bar.stop()

    def _say(self, kernel: str) -> None:
        """Say while kernels are compiled why nothing moves."""
        text = f"{self._what} (compiling, once)" if kernel else self._what
        self._bar.update(self._task, description=text, refresh=True)

    def __call__(self, iterate: Iterate[object]) -> None:
        self._bar.update(self._task, completed=iterate.number)

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` steps are made."""
        self._bar.update(self._task, completed=done, total=total)
