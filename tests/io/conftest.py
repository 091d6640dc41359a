"""Interfile files made by hand, without the writer under test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

# A small ring: 12 rings, 24 detectors, every figure different.
RINGS, CRYSTALS, SPACING_CM, DIAMETER_CM, DEPTH_CM = 12, 24, 0.7, 20.0, 0.5


def pet_header(**changes):
    """Return the keys of a PET header; a change to None removes one."""
    keys = {
        "!imaging modality": "PT",
        "name of data file": "scan.s",
        "originating system": "Unknown",
        "!type of data": "PET",
        "patient orientation": "head_in",
        "patient rotation": "supine",
        "imagedata byte order": "LITTLEENDIAN",
        "!PET data type": "Emission",
        "applied corrections": "{None}",
        "!number format": "float",
        "!number of bytes per pixel": "4",
        "number of dimensions": "4",
        "matrix axis label [4]": "segment",
        "!matrix size [4]": "3",
        "matrix axis label [3]": "view",
        "!matrix size [3]": "12",
        "matrix axis label [2]": "axial coordinate",
        "!matrix size [2]": "{11,12,11}",
        "matrix axis label [1]": "tangential coordinate",
        "!matrix size [1]": "8",
        "minimum ring difference per segment": "{-1,0,1}",
        "maximum ring difference per segment": "{-1,0,1}",
        "Scanner parameters": "",
        "Number of rings": str(RINGS),
        "Number of detectors per ring": str(CRYSTALS),
        "Inner ring diameter (cm)": str(DIAMETER_CM),
        "Average depth of interaction (cm)": str(DEPTH_CM),
        "Distance between rings (cm)": str(SPACING_CM),
        "Default bin size (cm)": "1.1",
        "View offset (degrees)": "0",
        "Maximum number of non-arc-corrected bins": "10",
        "Number of detector layers": "1",
        "end scanner parameters": "",
        "number of time frames": "1",
    }
    keys |= changes
    lines = [f"{key} := {value}" for key, value in keys.items() if value is not None]
    return "\n".join(["!INTERFILE  :=", *lines, "!END OF INTERFILE :=", ""])


def segments(span, most=None):
    """Return (least, greatest, planes) of segments from the most negative to the most positive."""
    half = span // 2
    most = RINGS - 1 if most is None else most
    positive = [(low, min(low + span - 1, most)) for low in range(half + 1, most + 1, span)]
    ranges = [(-high, -low) for low, high in reversed(positive)] + [(-half, half)] + positive
    return [
        (low, high, RINGS - abs(low) if span == 1 else 2 * (RINGS - _nearest(low, high)) - 1)
        for low, high in ranges
    ]


def _nearest(low, high):
    return 0 if low <= 0 <= high else min(abs(low), abs(high))


@pytest.fixture
def make_pet(tmp_path):
    """Return a function that writes a scan, every number its own place in the list of bins.

    The file is written straight from STIR's rules; the numbers of one segment are counted with
    the tangential axis fastest, then axial, then view. Returned are the path of the header and,
    for each number in the file's own numbering, (least, greatest, view, axial, tangential).
    """

    def make(
        *,
        span=1,
        order=None,
        by_view=True,
        dtype="<f4",
        offset=0,
        timings=None,
        most=None,
        views=12,
        bins=8,
        values=None,
        **changes,
    ):
        segs = segments(span, most)
        segs = [segs[n] for n in (order or range(len(segs)))]
        places, blocks, number = [], [], 0
        for low, high, planes in segs:
            shape = (views, planes, bins)
            block = np.arange(number, number + np.prod(shape), dtype=np.float64).reshape(shape)
            places += [
                (low, high, v, a, t)
                for v, a, t in itertools.product(range(views), range(planes), range(bins))
            ]
            number += block.size
            block = block if values is None else values(block)
            blocks.append(block if by_view else block.transpose(1, 0, 2))
        stored = [b * w for w in (timings or [1]) for b in blocks]
        data = b"".join(np.ascontiguousarray(b).astype(dtype).tobytes() for b in stored)
        (tmp_path / "scan.s").write_bytes(b"\x7f" * offset + data)
        view_axis, axial_axis = (3, 2) if by_view else (2, 3)
        keys = {
            f"matrix axis label [{view_axis}]": "view",
            f"!matrix size [{view_axis}]": str(views),
            f"matrix axis label [{axial_axis}]": "axial coordinate",
            f"!matrix size [{axial_axis}]": "{" + ",".join(str(p) for _, _, p in segs) + "}",
            "!matrix size [1]": str(bins),
            "!matrix size [4]": str(len(segs)),
            "minimum ring difference per segment": "{" + ",".join(str(s[0]) for s in segs) + "}",
            "maximum ring difference per segment": "{" + ",".join(str(s[1]) for s in segs) + "}",
        }
        if offset:
            keys["data offset in bytes[1]"] = str(offset)
        if timings:
            keys |= {
                "number of dimensions": "5",
                "matrix axis label [5]": "timing positions",
                "!matrix size [5]": str(len(timings)),
            }
        kind = np.dtype(dtype)
        keys["!number format"] = {"f": "float", "i": "signed integer", "u": "unsigned integer"}[
            kind.kind
        ]
        keys["!number of bytes per pixel"] = str(kind.itemsize)
        keys["imagedata byte order"] = "BIGENDIAN" if dtype[0] == ">" else "LITTLEENDIAN"
        path = tmp_path / "scan.hs"
        path.write_text(pet_header(**keys | changes))
        return path, places

    return make
