"""Every two settings of a command at once, on scans as small as they come.

``python -m tests.benchmarks.flag_pairs`` runs all tables, or with words those whose name holds
them. Single flags are tried by `tests.benchmarks.flag_fuzz`; what goes wrong between two shows
here: one that does nothing beside the other, or of which the sidecar says nothing, and whatever
does not end in a result or in one line.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.flag_fuzz import ended_in
from tests.benchmarks.flag_pair_data import Words
from tests.benchmarks.flag_pair_tables import Table, tables

UNTOLD = frozenset({
    "Created", "Convergence", "seconds_iterating", "Inputs", "GeneratedBy", "File",
})  # fmt: skip
"""What differs between two runs that did the same, or says which files there were."""

Lines = tuple[Words, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a command."""

    fault: str = ""
    data: str = ""
    said: Any = None
    refused: str = ""


@dataclass(frozen=True)
class Study:
    """The outcomes of a table."""

    table: Table
    folder: Path
    outcomes: dict[Lines, Outcome] = field(default_factory=dict)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with each line of the table: the flags, and what it is."""
        for settings in self.table.lines():
            outcome = self.outcomes[settings] = self._run(settings)
            name = f"{self.table.name}: {' '.join(word for one in settings for word in one)}"
            if outcome.fault:
                yield name, outcome.fault
            elif not settings and outcome.refused:
                yield name, outcome.refused
            elif settings and not outcome.refused:
                yield from ((name, fault) for fault in self._unheard(settings, outcome))

    def _run(self, settings: Lines) -> Outcome:
        out = self.folder / "run"
        ended = ended_in(self.table.words(settings), out)
        if ended.fault or ended.code:
            outcome = Outcome(ended.fault, refused=ended.said)
        else:
            outcome = Outcome(data=_data(out), said=_told(out))
        shutil.rmtree(out)
        return outcome

    def _unheard(self, settings: Lines, outcome: Outcome) -> Iterator[str]:
        """Yield what a run of settings did not do or tell, beside that without one of them."""
        bare = self.outcomes[()]
        for one in settings:
            rest = tuple(other for other in settings if other != one)
            without, alone = self.outcomes.get(rest), self.outcomes[one,]
            if without is None or without.refused or self.table.implied(one, rest):
                continue
            if one[0] in self.table.silent:
                if outcome.data != without.data:
                    yield f"{one[0]} changes the result"
                continue
            matters = not alone.refused and alone.data != bare.data
            if matters and outcome.data == without.data:
                yield f"{one[0]} changes nothing"
            if self.table.told and outcome.said == without.said:
                yield f"{one[0]} is not in the sidecar"


def _data(folder: Path) -> str:
    """Return a digest of all that was written but sidecars, logs and pictures."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in {".json", ".csv", ".png"}:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _told(folder: Path) -> list[Any]:
    """Return what the sidecars say, but for what no setting decides."""
    files = sorted(path for path in folder.rglob("*.json") if path.is_file())
    return [_kept(json.loads(path.read_text())) for path in files]


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _kept(item) for name, item in value.items() if name not in UNTOLD}
    return [_kept(item) for item in value] if isinstance(value, list) else value


def main() -> int:
    """Run all tables, or those whose name holds the words; print what is wrong, and refusals."""
    words, bad, count = " ".join(sys.argv[1:]), 0, 0
    with tempfile.TemporaryDirectory() as place:

        def say(line: str) -> None:
            print(line.replace(place, ""), flush=True)  # noqa: T201

        for table in tables(Path(place)):
            if words not in table.name:
                continue
            study = Study(table, Path(place))
            for name, fault in study.faults():
                bad += 1
                say(f"--- {name}: {fault}")
            count += len(study.outcomes)
            refusals = Counter(one.refused for one in study.outcomes.values() if one.refused)
            say(f"{table.name}: {len(study.outcomes)} lines, {refusals.total()} refused:")
            for refusal, times in refusals.most_common():
                say(f"  {times} x {refusal.strip().splitlines()[-1]}")
    print(f"{bad} faults in {count} lines")  # noqa: T201
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
