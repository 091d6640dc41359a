"""Frames that were typed, or told by a file."""

from __future__ import annotations

import math

import pytest

from emrecon.errors import FormatError, SettingsError
from emrecon.io.frames import Frame, read_frames


def test_lists_and_files_say_the_same(tmp_path):
    wanted = (Frame(0.0, 60.0), Frame(60.0, 120.0), Frame(200.0, 30.5))
    assert read_frames("0:60,60:120, 200:30.5") == wanted
    bids = tmp_path / "sub-01_pet.json"
    bids.write_text('{"FrameTimesStart": [0, 60, 200], "FrameDuration": [60, 120, 30.5]}')
    assert read_frames(str(bids)) == wanted
    table = tmp_path / "frames.tsv"
    table.write_text("FrameTimesStart\tFrameDuration\n0\t60\n60\t120\n200\t30.5\n")
    assert read_frames(str(table)) == wanted
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n").join([b"\xef\xbb\xbf", b""]))
    assert read_frames(str(table)) == wanted
    assert wanted[1].window_s == (60.0, 180.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0-60", "start:duration"),
        ("0:60:90", "start:duration"),
        ("", "start:duration"),
        ("0:60,30:60", "before 60 s"),
        ("-5:60", "before 0 s"),
        ("0:0", "wanted above 0"),
        ("0:nan", "wanted above 0"),
        ("0:inf", "wanted above 0"),
    ],
)
def test_frames_that_make_no_sense(text, reason):
    with pytest.raises(SettingsError, match=reason):
        read_frames(text)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"),
        ("a.json", '{"FrameTimesStart": [0]}'),
        ("a.json", '{"FrameTimesStart": [0, 5], "FrameDuration": [5]}'),
        ("a.tsv", "start\tend\n0\t5\n"),
        ("a.tsv", "FrameTimesStart\tFrameDuration\n0\n"),
    ],
)
def test_files_that_tell_no_frames(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(FormatError, match="FrameTimesStart"):
        read_frames(str(tmp_path / name))
    with pytest.raises(FormatError, match="FrameTimesStart"):
        read_frames(str(tmp_path / "missing.json"))


def test_decay_is_made_up_for():
    half_life = 100.0
    rate = math.log(2) / half_life
    frame = Frame(50.0, 80.0)
    steps = [50 + 80 * (n + 0.5) / 10_000 for n in range(10_000)]
    mean = sum(math.exp(-rate * t) for t in steps) / len(steps)
    assert frame.decay_factor(half_life) == pytest.approx(1 / mean, rel=1e-6)
