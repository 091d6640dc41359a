"""Random groups of settings of every command, some of them as no one means them.

``python -m tests.benchmarks.flag_groups [LINES [SEED [WORDS]]]`` runs so many lines of each table,
or of those whose name holds the words. `tests.benchmarks.flag_pairs` runs every two settings
that a user may mean; here are one to six at once, of which some are of `flag_fuzz`. A dry run
of each line may refuse nothing that the run does not; what it lets through is printed, for data to
be the only reason.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.flag_fuzz import (
    FILES,
    VALUES,
    WORDS,
    Command,
    commands,
    ended_in,
    flags,
)
from tests.benchmarks.flag_pair_data import Words
from tests.benchmarks.flag_pair_tables import Table, tables

ODD = 0.3
"""Share of the settings that no one means."""

MOST = 6
"""Settings of a line at most."""

DRY = ("recon", "segment")
"""Commands with dry runs."""

PLAUSIBLE = ("1", "2", "3", "0.5", "10", "40")
"""Numbers that many flags take."""


def odd_settings(every: list[Command], name: str, folder: Path) -> list[Words]:
    """Return all flags of a command, with what no one means and with what some take."""
    taken = {form: None for command in every if command.words[0] == name for form in command.taken}
    settings: list[Words] = []
    for flag, count, kinds in flags(tuple(taken)):
        values: list[str] = []
        if kinds & {int, float}:
            values += [*VALUES, *PLAUSIBLE]
        if str in kinds:
            values += WORDS
        if Path in kinds:
            values += [str(folder / file) for file in FILES]
        values += [str(kind) for kind in kinds if not isinstance(kind, type)]
        settings += [(flag, *[value] * count) for value in values]
        if bool in kinds:
            settings += [(flag,), (flag.replace("--", "--no-", 1),)]
    return settings


def groups(table: Table, odd: list[Words], rng: random.Random) -> Iterator[tuple[Words, ...]]:
    """Yield groups of settings without end."""
    while True:
        chosen = [
            rng.choice(odd if odd and (rng.random() < ODD or not table.settings) else
                       table.settings)
            for _ in range(rng.randint(1, MOST))
        ]  # fmt: skip
        yield tuple(chosen)


def outcome_of(words: list[str], folder: Path) -> tuple[str, str, str]:
    """Return what is wrong with a line, what it was refused for, and how a dry run differs."""
    ended = ended_in(words, folder / "run")
    written = any((folder / "run").iterdir())
    shutil.rmtree(folder / "run")
    refused = _last(ended.said) if ended.code else ""
    if ended.fault:
        return ended.fault, "", ""
    if not ended.code and not written and words[0] not in {"info", "metrics"}:
        return "wrote nothing", "", ""
    if words[0] not in DRY:
        return "", refused, ""
    dry = ended_in([*words, "--dry-run"], folder / "run")
    shutil.rmtree(folder / "run")
    if dry.fault or (dry.code and not ended.code):
        return f"dry run: {dry.fault or _last(dry.said)}", "", ""
    return "", refused, refused if ended.code and not dry.code else ""


def _last(said: str) -> str:
    return (said.strip().splitlines() or [""])[-1]


def main() -> int:
    """Run the lines; print what ended badly, and what only a run refused."""
    arguments = sys.argv[1:]
    lines, seed = (int(arguments[n]) if len(arguments) > n else d for n, d in ((0, 40), (1, 0)))
    name, bad, count, refused = " ".join(arguments[2:]), 0, 0, 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "odd").mkdir()
        every = commands(folder / "odd")
        (folder / "tables").mkdir()
        of_pairs = tables(folder / "tables")
        known = {table.base[0] for table in of_pairs}
        alone = [
            Table(one.name, (*one.words, *(w for words in one.base for w in words)), ())
            for one in every
            if one.words[0] not in known or one.name not in {table.name for table in of_pairs}
        ]
        for table in (*of_pairs, *alone):
            if name not in table.name:
                continue
            odd = odd_settings(every, table.base[0], folder / "odd")
            rng = random.Random(f"{seed} {table.name}")  # noqa: S311 - no secret
            for _, group in zip(range(lines), groups(table, odd, rng), strict=False):
                wrong, refusal, later = outcome_of(table.words(group), folder)
                count, refused, bad = count + 1, refused + bool(refusal), bad + bool(wrong)
                if wrong or later:
                    said = wrong or f"only when data were read: {later}"
                    line = f"{table.name}: {' '.join(w for one in group for w in one)}: {said}"
                    print(f"--- {line.replace(place, '')}", flush=True)  # noqa: T201
            print(f"{table.name}: done, {count} lines, {refused} refused", flush=True)  # noqa: T201
    print(f"{bad} of {count} ended badly")  # noqa: T201
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
