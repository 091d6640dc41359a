"""Flags with numbers that no one means, and files of others: one line each, nothing partial."""

from __future__ import annotations

import bz2
from pathlib import Path

import pytest

from tests.benchmarks import flag_fuzz, foreign_files


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("fuzz")
    return dict(line for command in flag_fuzz.commands(folder) for line in command.lines())


def test_the_commands_end_well_as_they_are(tmp_path: Path) -> None:
    """Else all flags would be refused for another reason than their values."""
    for command in flag_fuzz.commands(tmp_path):
        words = [*command.words, *(word for words in command.base for word in words)]
        ended = flag_fuzz.ended_in(words, tmp_path / f"run {command.name}")
        assert (ended.code, ended.fault) == (0, ""), command.name


BAD = (
    "recon events --voxel-mm 1e-9",
    "recon NM --radius-mm 1e-9",
    "recon SPECT --start-angles-deg inf",
    "recon SPECT --pixel-mm 1e-9",
    "recon PET --psf-fwhm-mm nan",
    "recon PET --subsets 1e9",
    "recon PET --iterations many",
    "info --axis-mm nan",
    "convert events --stop-s inf",
    "phantom --voxel-mm 1e-9",
    "simulate --counts 1e30",
    "simulate NM --patient-mm nan",
    "simulate NM --bin-mm 1e9",
    "simulate events --seconds -1",
)
"""What once ended in a traceback, in warnings of Python's, or in files that hold nan."""


@pytest.mark.parametrize("name", BAD)
def test_what_no_one_means(every: dict[str, list[str]], tmp_path: Path, name: str) -> None:
    assert flag_fuzz.fault(every[name], tmp_path / "run") == ""


@pytest.mark.slow
def test_a_seventh_of_all_flags_and_values(every: dict[str, list[str]], tmp_path: Path) -> None:
    """Every flag stands in it, as there are eight values: seven and eight have no divisor."""
    assert len(every) > 500
    sample = list(every.items())[3::7]
    wrong = {name: flag_fuzz.fault(line, tmp_path / name) for name, line in sample}
    assert not {name: words for name, words in wrong.items() if words}


def test_files_that_are_not_as_their_names_say(tmp_path: Path) -> None:
    (tmp_path / "empty.nii").write_bytes(b"")
    (tmp_path / "text.dcm").write_bytes(b"not DICOM" * 100)
    (tmp_path / "packed.nii.gz").write_bytes(bz2.compress(b"x" * 1000))
    for path in sorted(tmp_path.iterdir()):
        assert foreign_files.faults(path, tmp_path) == []


@pytest.mark.slow
def test_every_ninth_file_that_other_packages_bring(tmp_path: Path) -> None:
    found = list(foreign_files.files())
    assert found
    wrong = {path: foreign_files.faults(path, tmp_path) for path in found[::9]}
    assert not {path: words for path, words in wrong.items() if words}
