"""Two settings at once: none is lost beside another, and the sidecar tells both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import flag_groups, flag_pairs
from tests.benchmarks.flag_fuzz import Ended
from tests.benchmarks.flag_pair_tables import Table


def test_what_is_lost_beside_another_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that forgets --a beside --b, says nothing of --c, and counts with threads."""

    def command(words: list[str], folder: Path) -> Ended:
        folder.mkdir()
        does = {"--a": 1 * ("--b" not in words), "--b": 2, "--c": 4, "--threads": 8}
        (folder / "out.nii").write_text(str(sum(does[word] for word in words if word in does)))
        told = [word for word in words if word != "--c"]
        (folder / "out.json").write_text(json.dumps({"Settings": told, "Created": folder.name}))
        return Ended(0, "", "")

    monkeypatch.setattr(flag_pairs, "ended_in", command)
    settings = (("--a",), ("--b",), ("--c",))
    study = flag_pairs.Study(Table("it", ("it",), settings), tmp_path)
    assert sorted(study.faults()) == [
        ("it: --a --b", "--a changes nothing"),
        ("it: --a --c", "--c is not in the sidecar"),
        ("it: --b --c", "--c is not in the sidecar"),
        ("it: --c", "--c is not in the sidecar"),
    ]
    alone = Table("it", ("it",), (("--threads",),), frozenset({"--threads"}))
    (fault,) = flag_pairs.Study(alone, tmp_path).faults()
    assert fault == ("it: --threads", "--threads changes the result")


@pytest.mark.parametrize(
    ("run", "dry", "outcome"),
    [
        (Ended(0, "", ""), Ended(0, "", ""), ("", "", "")),
        (Ended(0, "", ""), Ended(2, "emrecon: no", ""), ("dry run: emrecon: no", "", "")),
        (Ended(2, "emrecon: no", ""), Ended(2, "emrecon: no", ""), ("", "emrecon: no", "")),
        (
            Ended(2, "emrecon: no", ""), Ended(0, "", ""), ("", "emrecon: no", "emrecon: no")
        ),
        (Ended("an exception", "", "Traceback"), Ended(0, "", ""), ("Traceback", "", "")),
        (Ended(0, "nothing", ""), Ended(0, "", ""), ("wrote nothing", "", "")),
    ],
)  # fmt: skip
def test_what_a_group_of_settings_comes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Ended, dry: Ended, outcome
) -> None:
    def command(words: list[str], folder: Path) -> Ended:
        folder.mkdir()
        if "--dry-run" in words:
            return dry
        if run.said != "nothing":
            (folder / "out.nii").touch()
        return run

    monkeypatch.setattr(flag_groups, "ended_in", command)
    assert flag_groups.outcome_of(["recon", "scan"], tmp_path) == outcome
