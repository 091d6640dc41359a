"""Headers that are wrong or ask for too much are refused by name, with the line."""

from __future__ import annotations

import pytest

from emrecon import io
from emrecon.errors import FormatError
from emrecon.io.interfile import read_geometry, read_image, read_projections

REFUSED = {
    "!imaging modality": ["MR", "ultrasound"],
    "!type of data": ["ROI"],
    "!PET data type": ["Image"],
    "patient orientation": ["other"],
    "patient rotation": ["left", "other"],
    "gantry tilt angle (degrees)": ["5"],
    "Scanner geometry (BlocksOnCylindrical/Cylindrical/Generic)": ["Generic"],
    "PET scanner type": ["hexagonal"],
    "septa state": ["rotating"],
    "Number of detector layers": ["2"],
    "number of energy windows": ["2"],
    "number of time frames": ["3", "none"],
    "number of time gates": ["8"],
    "image data compression": ["gzip"],
    "imagedata byte order": ["MIDDLEENDIAN"],
    "!number format": ["ascii", "bit"],
    "!number of bytes per pixel": ["3", "four"],
    "data offset in bytes[1]": ["-4"],
    "image scaling factor[1]": ["0", "nan", "{1,2}"],
    "number of dimensions": ["3"],
    "minimum ring difference per segment": ["{-1,0,2}", "{-1,-1,1}", "{-1,0,x}"],
    "Inner ring diameter (cm)": ["wide"],
    "effective central bin size (cm)": ["0.9"],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in REFUSED.items() for value in values]
)
def test_refused_by_key_value_and_line(make_pet, key, value):
    path, _ = make_pet(most=1, **{key: value})
    with pytest.raises(FormatError) as caught:
        read_projections(path)
    message = str(caught.value)
    name = key.strip("!").partition("[")[0].strip().lower()
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if line.startswith(key))
    assert name in message.lower()
    assert value in message
    assert f"scan.hs, line {number}" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"!matrix size [2]": "{11,12,10}"}, "has 10 planes.*make 11"),
        ({"!matrix size [2]": "{11,12}"}, "2 numbers of planes"),
        ({"!matrix size [4]": "2"}, "2 segments"),
        ({"maximum ring difference per segment": "{-1,0}"}, "3 least but 2 greatest"),
        (
            {
                "minimum ring difference per segment": "{-3,-1,1}",
                "maximum ring difference per segment": "{-1,1,3}",
            },
            "ring difference -1 stands in two segments",
        ),
        (
            {
                "minimum ring difference per segment": "{-2,1,4}",
                "maximum ring difference per segment": "{-2,1,4}",
            },
            "mean ring difference 0",
        ),
        (
            {
                "minimum ring difference per segment": "{-20,0,1}",
                "maximum ring difference per segment": "{-20,0,1}",
            },
            "do not exist on 12 rings",
        ),
        ({"!matrix size [3]": "7"}, "7 views do not divide the 12"),
        ({"!matrix size [1]": "25"}, "25 bins do not fit"),
        ({"!matrix size [1]": "0"}, "above zero"),
        ({"matrix axis label [2]": "segment"}, "axes .* are tangential coordinate, segment"),
        ({"matrix axis label [1]": None}, "'matrix axis label' is missing"),
        ({"!number of bytes per pixel": None}, "'number of bytes per pixel' is missing"),
        ({"Inner ring diameter (cm)": None}, "'inner ring diameter .cm.' is missing"),
        ({"Number of rings": "-1"}, "'number of rings' is missing"),
        ({"name of data file": None}, "'name of data file' is missing"),
        ({"name of data file": "other.s"}, "no data file 'other.s'"),
        ({"!imaging modality": "nucmed"}, "SPECT projections, where PET"),
        (
            {"applied corrections": "{arc correction}", "Default bin size (cm)": None},
            "'effective central bin size .cm.' is missing",
        ),
        ({"originating system": "PRT-1", "Scanner type": "HR+"}, "is PRT-1, but .* is HR\\+"),
        ({"matrix_size [1]": "9"}, "is '8' in line .* but '9' in line"),
        ({"gantry tilt angle (degrees)\nno": "key"}, "line .*not 'key := value'"),
        ({"image data compr\nno": "key"}, "line .*not 'key := value'"),
    ],
)
def test_contradictions(make_pet, changes, match):
    path, _ = make_pet(most=1, **changes)
    with pytest.raises(FormatError, match=match) as caught:
        read_projections(path)
    assert "scan.hs" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "word"), [(-1, "truncated"), (-4000, "truncated"), (1, "long")]
)
def test_wrong_length_says_both_numbers(make_pet, change, word):
    path, _ = make_pet()
    data = path.with_suffix(".s")
    right = data.read_bytes()
    data.write_bytes(right[:change] if change < 0 else right + b"x" * change)
    with pytest.raises(FormatError, match=word) as caught:
        read_projections(path)
    assert str(len(right)) in str(caught.value)
    assert str(len(right) + change) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff\x01" * 500, b"Hello\n", b"key := value\n", b"\n\n; only\n"]
)
def test_not_interfile(tmp_path, content):
    path = tmp_path / "a.hs"
    path.write_bytes(content)
    for read in (read_geometry, read_projections, read_image):
        with pytest.raises(FormatError, match="not Interfile"):
            read(path)
    assert io.kind(path) == "unknown"
    with pytest.raises(FormatError, match="cannot tell what" if content else "empty file"):
        io.read_image(path)


def test_no_file(tmp_path):
    for read in (io.kind, io.read_image, read_projections, read_geometry):
        with pytest.raises(FormatError, match=r"cannot read .*a\.hs: No such file"):
            read(tmp_path / "a.hs")
    with pytest.raises(FormatError, match="is a folder: name a file in it"):
        io.read_image(tmp_path)


def test_projections_are_no_image(make_pet):
    path, _ = make_pet()
    with pytest.raises(FormatError, match=r"holds no image \(projections of Interfile PET\)"):
        io.read_image(path)
