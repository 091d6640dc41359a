"""Headers as editors, cameras and converters leave them: all are read alike."""

from __future__ import annotations

import codecs

import numpy as np
import pytest

from emrecon import io
from emrecon.errors import FormatError, WriteError
from emrecon.io.formats import data_files, open_head
from emrecon.io.interfile.header import is_interfile, parse
from emrecon.io.interfile.spect import read_projections
from emrecon.volume import Volume
from tests.io.test_interfile_spect import PLANES, VIEWS, stored, written

PATIENT = "!INTERFILE :=\npatient name := Gro\xdf, \xc5ke \u0160\xf8ren\n"


@pytest.fixture
def scan(tmp_path):
    return written(tmp_path, stored("HFS", 0, -36), **{"start angle": "0"})


@pytest.mark.parametrize(
    "left",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.replace("!INTERFILE :=\n", PATIENT).encode(),
        lambda text: text.replace("!INTERFILE :=\n", PATIENT).encode("cp1252", "replace"),
        lambda text: text.replace("RFILE :=", "RFILE :=\n\x0c\nexam type := \x0bb", 1).encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("!END OF INTERFILE :=\n", "\x1a\0\0\x1a").encode(),
        lambda text: text.replace("!END OF INTERFILE :=\n", "").encode() + bytes(512),
        lambda text: text.replace("INTERFILE :=\n", "INTERFILE\n").encode(),
        lambda text: text.replace("start angle :=", "start angle : =").encode(),
        lambda text: text.replace("orbit", "time 10:00\nheart rate = 60\norbit").encode(),
    ],
    ids=[
        "UTF-8 mark", "UTF-16", "UTF-16 big end first", "UTF-8", "Windows-1252", "form feed", "CR",
        "^Z", "NUL", "ends without :=", "blank in :=", "words",
    ],
)  # fmt: skip
def test_reads_the_same(scan, left):
    scan.write_bytes(left(scan.read_text()))
    assert is_interfile(open_head(scan))
    assert io.kind(scan) == "projections"
    read = read_projections(scan)
    assert read.camera.shape[::2] == (VIEWS, PLANES)
    assert read.camera.radius_mm[0] == 150.0


def test_names_of_files_are_text(scan):
    scan.with_suffix(".s").rename(scan.with_name("\xc5ngstr\xf6m.s"))
    scan.write_text(scan.read_text().replace("a.s", "\xc5ngstr\xf6m.s"), encoding="utf-8")
    assert len(data_files({"prompts": scan})) == 1
    assert read_projections(scan).data.any()


def test_a_malformed_line_is_named_among_what_is_ignored(scan):
    scan.write_text(scan.read_text().replace("orbit", "exposure 20 s\norbit"))
    assert "exposure 20 s" in read_projections(scan).facts["ignored_keys"]


@pytest.mark.parametrize(
    "line", ["radius 150", "gantry tilt angle (degrees) = 5", "data offs", "= 5", "radius [2]: 9"]
)
def test_a_malformed_line_that_may_decide_is_refused(scan, line):
    scan.write_text(scan.read_text().replace("orbit", f"{line}\norbit"))
    with pytest.raises(FormatError, match=r"a\.hs, line \d+: not 'key := value'"):
        read_projections(scan)


def test_continued_lines_keep_their_number(scan):
    scan.write_text("!INTERFILE :=\nradii := {1, \\\n 2}\n\nradius := 3\n")
    header = parse(scan)
    assert header.numbers("radii") == [1.0, 2.0]
    entry = header.entry("radius")
    assert entry is not None
    assert entry.line == 5


@pytest.mark.parametrize("name", ["a b", "ä", "a%20s", "日本", "a'b", "$HOME", "-x", "a:=b"])
def test_names_that_a_header_holds(tmp_path, name):
    volume = Volume(np.ones((3, 4, 5), np.float32), np.eye(4))
    io.write_image(volume, tmp_path / f"{name}.hv")
    assert io.read_image(tmp_path / f"{name}.hv").voxels.any()


@pytest.mark.parametrize("name", ["a\nb", "a;b", "a\\b", "'a'b", "a\udcff", " a"])
def test_names_that_no_header_holds_are_refused(tmp_path, name):
    volume = Volume(np.ones((3, 4, 5), np.float32), np.eye(4))
    with pytest.raises(WriteError, match="holds no such name"):
        io.write_image(volume, tmp_path / f"{name}.hv")
    assert not list(tmp_path.iterdir())
