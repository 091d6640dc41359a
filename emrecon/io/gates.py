"""Gates that are wanted of a list-mode file: phases between its triggers, or those of a table."""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError, SettingsError
from emrecon.files import read_text
from emrecon.io.formats import ReadsTriggers, format_of
from emrecon.tomo.gates import Gate, Times, gates_of_intervals, phase_gates

log = logging.getLogger(__name__)

ONSET, DURATION, GATE = "onset", "duration", "gate"
"""Columns of tables: times in s from the start of the scan, and the number of a gate from 1."""

KINDS = ("respiratory", "cardiac")
"""Whose triggers a file may hold."""

UNUSUAL = 2.0
"""Cycles this much longer or shorter than the median are told of."""


@dataclass(frozen=True)
class Gating:
    """How to gate: into so many phases between triggers, or by a table of stretches."""

    number: int = 0
    """Phases of a cycle."""

    by: str = ""
    """Whose triggers of the file: respiratory or cardiac."""

    triggers: Path | None = None
    """Table with the onsets of triggers, instead of those in the file."""

    stretches: Path | None = None
    """Table with onset, duration and gate of stretches, instead of triggers."""

    @classmethod
    def of_text(cls, gates: str, by: str) -> Gating:
        """Return what two flags ask for: a number or a table, and whose triggers.

        Raises
        ------
        SettingsError
            If they make no sense.
        """
        table = gates.lower().endswith(".tsv")
        if table and by:
            raise SettingsError(f"{gates} tells the stretches of all gates: leave out --gate-by")
        if table:
            return cls(stretches=Path(gates))
        if not gates.isdecimal() or not int(gates):
            raise SettingsError(
                f"gates are a number of phases, such as 8, or a table (.tsv), not {gates!r}"
            )
        if by.lower().endswith(".tsv"):
            return cls(int(gates), triggers=Path(by))
        if by not in KINDS:
            raise SettingsError(
                f"gates are by {' or '.join(KINDS)} triggers of the file, or by a table of "
                f"triggers (.tsv), not {by!r}: say --gate-by"
            )
        return cls(int(gates), by)


def gates_of(path: Path, gating: Gating) -> tuple[tuple[Gate, ...], dict[str, Any]]:
    """Return the gates of a list-mode file, and what is to be known about them.

    Raises
    ------
    SettingsError
        If the file has no such triggers, or the gates make no sense.
    FormatError
        If file or table cannot be read.
    """
    if gating.stretches:
        onset, duration, number = _table(gating.stretches, ONSET, DURATION, GATE)
        if (number % 1).any():
            raise FormatError(f"{gating.stretches}: gates are numbered 1, 2, ...")
        return gates_of_intervals(onset, duration, number), {"by": gating.stretches.name}
    if gating.triggers:
        (onset,) = _table(gating.triggers, ONSET)
        if onset.min(initial=0.0) < 0 or (np.diff(onset) <= 0).any():
            raise FormatError(f"{gating.triggers}: triggers follow one another, from 0 s on")
        times = np.rint(1000 * onset).astype(np.int64)
    else:
        times = triggers(path, gating.by)
    gates = phase_gates(times, gating.number)
    return gates, {
        "by": gating.triggers.name if gating.triggers else gating.by,
        "triggers": len(times),
        "first_trigger_s": times[0] / 1000,
        "last_trigger_s": times[-1] / 1000,
        "cycle_s": _cycles(np.diff(times) / 1000),
    }


def triggers(path: Path, source: str) -> Times:
    """Return the times, in ms, of the triggers of a list-mode file, in one pass over it.

    Parameters
    ----------
    path : Path
        The file, of any format that has triggers.
    source : str
        ``respiratory`` or ``cardiac``.

    Raises
    ------
    SettingsError
        If the file has no such triggers.
    FormatError
        If it is damaged.
    """
    form, _ = format_of(path)
    times, about = (
        form.triggers(path, source)
        if isinstance(form, ReadsTriggers)
        else (np.empty(0, np.int64), f"{form.name} has none")
    )
    if not len(times):
        raise SettingsError(
            f"{path.name} has no {source} triggers ({about}): give their times, --gate-by FILE.tsv"
        )
    return times


def _cycles(lengths: NDArray[np.float64]) -> dict[str, float]:
    """Return how long cycles are, telling of unusual ones."""
    middle = float(np.median(lengths))
    odd = int(np.count_nonzero((lengths > UNUSUAL * middle) | (lengths * UNUSUAL < middle)))
    if odd:
        log.warning(
            "%d of %d cycles are more than %g times longer or shorter than the median of %.3g s: "
            "a missed or a false trigger blurs all gates", odd, len(lengths), UNUSUAL, middle,
        )  # fmt: skip
    return {
        "median": middle, "shortest": float(lengths.min()), "longest": float(lengths.max()),
        "unusual": odd,
    }  # fmt: skip


def _table(path: Path, *names: str) -> tuple[NDArray[np.float64], ...]:
    """Return columns of numbers of a table with a line of names."""
    try:
        rows = list(csv.DictReader(StringIO(read_text(path), newline=""), delimiter="\t"))
        columns = [np.array([float(row[name]) for row in rows]) for name in names]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise FormatError(f"{path} is no table with {', '.join(names)}: {error!r}") from error
    if not rows or not all(np.isfinite(column).all() for column in columns):
        raise FormatError(f"{path} has no rows, or values that are no times")
    if max(float(column.max()) for column in columns) > 1e8:
        raise FormatError(f"{path} has times beyond 1e8 s: they are in seconds")
    return tuple(columns)
