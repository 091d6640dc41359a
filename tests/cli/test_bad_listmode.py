"""Damaged list-mode through the command line: one clear line, a code above 0, and no output."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from emrecon.errors import EmreconError
from emrecon.io.gates import triggers
from emrecon.io.petlink import sinograms as petlink
from emrecon.io.petlink.events import reading
from emrecon.tomo.gates import phase_gates
from tests.cli.test_commands import run
from tests.damage import damaged
from tests.io.test_gates import RESPIRATORY_ON, with_tags
from tests.io.test_petlink import TIME, random_words, written
from tests.io.test_petsird import NEWEST, with_schema
from tests.io.test_petsird_shapes import Box

pytestmark = pytest.mark.slow

PARTS = {
    "whole": ("--list-mode",),
    "sinograms": (),
    "frames": ("--list-mode", "--frames", "0:0.02,0.02:0.02"),
    "gates": ("--list-mode", "--gates", "2", "--gate-by", "respiratory"),
    "gated sinograms": ("--gates", "2", "--gate-by", "respiratory"),
}
FUZZED = int(os.environ.get("EMRECON_FUZZ", "3000"))
"""Damaged files that are tried; 10,000 take 30 CPU s."""

HOW = ("--iterations", 1, "--subsets", 1, "--voxel-mm", 8, 8, 8)


def words() -> np.ndarray:
    return with_tags(random_words(1, 4000), {RESPIRATORY_ON: [2, 20, 44]})


def cut(path: Path) -> None:
    data = path.with_suffix("")
    data.write_bytes(data.read_bytes()[:-3])


def shuffled(path: Path) -> None:
    data = np.fromfile(path.with_suffix(""), "<u4")
    half = len(data) // 2
    np.concatenate([data[half:], data[:half]]).tofile(path.with_suffix(""))


def out_of_range(path: Path) -> None:
    data = np.fromfile(path.with_suffix(""), "<u4")
    after = int(np.flatnonzero(data == TIME + 10)[0])
    data[after + 1 : after + 9] = 0x7FFFFFF0
    data.tofile(path.with_suffix(""))


def wide(path: Path) -> None:
    text = path.read_text().replace("words format (bits):=32", "words format (bits):=64")
    path.write_text(text)


def empty(path: Path) -> None:
    path.with_suffix("").write_bytes(b"")


def refused(path: Path, out: Path, capsys, part: str, reason: str) -> None:
    assert run("recon", path, "-o", out / "x.nii.gz", *PARTS[part], *HOW) in {1, 2}
    said = capsys.readouterr().err
    assert reason in said
    assert sum(line.startswith("emrecon: ") for line in said.splitlines()) == 1
    assert "Traceback" not in said
    assert not list(out.iterdir())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "truncated"),
        (shuffled, "time runs backwards"),
        (out_of_range, "beyond the sinograms"),
        (wide, "words format"),
        (empty, "holds no events"),
    ],
)
def test_damaged_petlink(tmp_path, out, capsys, part, damage, reason) -> None:
    path = written(tmp_path, words())
    damage(path)
    if (damage, part) == (shuffled, "frames"):
        reason = "tells no time from"  # its first word is a late one
    refused(path, out, capsys, part, reason)


@pytest.mark.parametrize("part", PARTS)
def test_whole_petlink(tmp_path, out, part) -> None:
    path = written(tmp_path, words())
    flags = () if part == "whole" else ("--span", 1)
    assert run("recon", path, "-o", out / "x.nii.gz", *PARTS[part], *HOW, *flags) == 0


@pytest.fixture(scope="module")
def box(tmp_path_factory) -> bytes:
    """A small file with triggers, dead time and 4 blocks of events."""
    petsird = pytest.importorskip("petsird")
    from tests.io.test_petsird_time import trigger

    scanner, rng = Box(petsird), np.random.default_rng(2)
    header = scanner.header()
    kind = petsird.ExternalSignalTypeEnum.RESP_TRIGGER
    header.exam = petsird.ExamInformation(
        external_signals=[petsird.ExternalSignal(type=kind, description="", id=7)]
    )
    path = tmp_path_factory.mktemp("box") / "box.petsird"
    alive = petsird.AliveTimeFractions(
        singles_alive_time_fractions=[
            np.full(len(each), 0.9, np.float32) for each in scanner.singles
        ]
    )
    with petsird.BinaryPETSIRDWriter(str(path)) as writer:
        writer.write_header(header)
        dead = petsird.DeadTimeTimeBlock(
            time_interval=petsird.TimeInterval(start=0, stop=60), alive_time_fractions=alive
        )
        writer.write_time_blocks([petsird.TimeBlock.DeadTimeTimeBlock(dead)])
        for number in range(6):
            block = petsird.EventTimeBlock(
                time_interval=petsird.TimeInterval(start=10 * number, stop=10 * number + 10),
                prompt_events=scanner.events(rng, 30),
            )
            writer.write_time_blocks([petsird.TimeBlock.EventTimeBlock(block)])
            if number % 2 == 0:
                writer.write_time_blocks([trigger(10 * number + 10, 7)])
    return path.read_bytes()


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


BAD = {
    "cut": (lambda data: data[:-40], "truncated"),
    # The second and third blocks: case 0 of the choice, their times.
    "shuffled": (
        lambda data: changed(data, b"\x01\x00\x14\x1e\x00", b"\x01\x00\x32\x3c\x00"),
        "shuffled",
    ),
    # The number of prompts of the first list is 90; the first detector follows.
    "out of range": (
        lambda data: changed(
            data, b"\x01\x00\x14\x1e\x00\x02\x01\x5a", b"\x01\x00\x14\x1e\x00\x02\x01\x5b"
        ),
        "damaged",
    ),
}


@pytest.mark.parametrize("part", ["whole", "frames", "gates"])
@pytest.mark.parametrize("kind", BAD)
def test_damaged_petsird(box, tmp_path, out, capsys, part, kind) -> None:
    damage, reason = BAD[kind]
    path = tmp_path / "bad.petsird"
    path.write_bytes(damage(box))
    refused(path, out, capsys, part, reason)


@pytest.mark.parametrize("part", ["whole", "frames", "gates"])
def test_petsird_of_another_version(tmp_path, out, capsys, part) -> None:
    path = with_schema(tmp_path / "x.petsird", lambda text: text.replace('"tofIdx"', '"tof"'))
    refused(path, out, capsys, part, "version that cannot be read: its CoincidenceEvent has no")


@pytest.mark.parametrize("part", ["whole", "frames", "gates"])
def test_whole_petsird(box, tmp_path, out, part) -> None:
    path = tmp_path / "box.petsird"
    path.write_bytes(box)
    assert run("recon", path, "-o", out / "x.nii.gz", *PARTS[part], *HOW) == 0
    assert NEWEST.exists()


def gone_through(path: Path, number: int) -> None:
    """Read triggers, gates and the events in them; sometimes as a reconstruction would."""
    for gate in phase_gates(triggers(path, "respiratory"), 2):
        petlink.histogram(path, 1, window_s=gate)
        if number % 50 == 0:
            with reading(path, 1, gate):
                pass


def test_thousands_of_damaged_petlink_files(tmp_path) -> None:
    rng = np.random.default_rng(3)
    path = written(tmp_path, with_tags(random_words(1, 300), {RESPIRATORY_ON: [2, 20, 44]}))
    header, data = path.read_bytes(), path.with_suffix("").read_bytes()
    whole = 0
    for number in range(FUZZED):
        of_header = number % 3 == 0
        path.write_bytes(damaged(header, rng) if of_header else header)
        path.with_suffix("").write_bytes(data if of_header else damaged(data, rng))
        try:
            gone_through(path, number)
        except EmreconError:
            continue
        whole += 1
    assert 0 < whole < 0.95 * FUZZED


def test_hundreds_of_damaged_petsird_files_with_dead_time_and_triggers(box, tmp_path) -> None:
    from emrecon.io.petsird.deadtime import AliveTime
    from emrecon.io.petsird.file import PetsirdFile

    rng = np.random.default_rng(4)
    path, whole = tmp_path / "x.petsird", 0
    for _ in range(FUZZED // 10):
        path.write_bytes(damaged(box, rng))
        try:
            file = PetsirdFile(path)
            alive = AliveTime(file.detectors.types, (0.0, 1.0))
            for _ in file.blocks(alive.add):
                pass
            if alive.stated:
                alive.applied(file.detectors.efficiencies, 60.0)
            phase_gates(triggers(path, "respiratory"), 2)
        except EmreconError:
            continue
        whole += 1
    assert 0 < whole < 0.09 * FUZZED
