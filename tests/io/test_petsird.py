"""PETSIRD files: against what the stock library of each version reads, and damaged in any way."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emrecon.errors import EmreconError, FormatError
from emrecon.io import yardl
from emrecon.io.kernels import varints
from emrecon.io.petsird import PetsirdFile

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(GOLDEN.glob("petsird-*.bin"))
NEWEST = GOLDEN / "petsird-0.12.0.bin"


def everything(path):
    """All events of a file in its order: start, module types, detection bins, time of flight."""
    file = PetsirdFile(path)
    rows, effs, ends = [], [], []
    scanner = file.detectors
    for block in file.blocks():
        fixed = np.full((len(block.bins), 3), (block.start_ms, *block.pair))
        rows.append(np.column_stack([fixed, block.bins, block.tof]))
        effs.append(scanner.efficiencies.of(scanner.types, block.pair, block.bins))
        crystals = [scanner.crystals(k, block.bins[:, e]) for e, k in enumerate(block.pair)]
        ends.append(scanner.points_mm[np.stack(crystals, axis=1)])
    return file, np.concatenate(rows), np.concatenate(effs), np.concatenate(ends)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_reads_what_the_stock_library_reads(path):
    stock = np.load(path.with_suffix(".npz"))
    file, events, efficiencies, ends = everything(path)
    assert file.detectors.model == "two kinds of modules"
    np.testing.assert_array_equal(events, stock["events"])
    assert len(events) > 50
    assert set(map(tuple, events[:, 1:3])) == {(0, 0), (1, 0), (1, 1)}
    np.testing.assert_allclose(efficiencies, stock["efficiencies"], rtol=1e-6)
    np.testing.assert_allclose(ends, stock["ends_mm"], atol=2e-5)
    assert file.share == 1.0


def test_there_is_a_file_of_each_version_that_is_said_to_be_read():
    assert [path.stem for path in FILES] == [
        f"petsird-{version}" for version in ("0.11.1", "0.12.0", "0.7.2", "0.9.1")
    ]


def test_time_of_flight_is_known_by_pair_of_module_types():
    timings = PetsirdFile(NEWEST).detectors.timings
    assert {pair: (t.bins, t.width_mm, t.fwhm_mm) for pair, t in timings.items()} == {
        (0, 0): (5, 40.0, 30.0), (1, 0): (3, 40.0, 31.0), (1, 1): (3, 40.0, 32.0)
    }  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300)))
def test_numbers_come_back(numbers):
    numbers = np.array(numbers, np.uint64)
    data = np.zeros(10 * len(numbers), np.uint8)
    size = varints.encode(numbers, data)
    out = np.empty_like(numbers)
    assert varints.decode(data[:size], 0, out) == size
    np.testing.assert_array_equal(out, numbers)
    if size:
        assert varints.decode(data[: size - 1], 0, out) == varints.TRUNCATED


@pytest.mark.parametrize("tail", [[0x80] * 10 + [1], [0xFF] * 9 + [2]])
def test_numbers_beyond_64_bits_are_refused(tail):
    data = np.array(tail, np.uint8)
    assert varints.decode(data, 0, np.empty(1, np.uint64)) == varints.TOO_LONG
    with pytest.raises(FormatError, match="more than 64 bits"):
        yardl.Cursor(data, "x").numbers(yardl.VARINT, (1,))


def with_schema(path, change):
    """Copy the newest file with its schema changed by a function on text."""
    data = NEWEST.read_bytes()
    cursor = yardl.Cursor(np.frombuffer(data, np.uint8), "x")
    cursor.at = 9
    schema = change(cursor.text()).encode()
    length = np.empty(10, np.uint8)
    size = varints.encode(np.array([len(schema)], np.uint64), length)
    path.write_bytes(data[:9] + length[:size].tobytes() + schema + data[cursor.at :])
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"tofIdx"', '"tof"'), "CoincidenceEvent has no tofIdx"),
        (lambda text: text.replace('"name":"PETSIRD"', '"name":"MRD"'), "protocol MRD"),
        (lambda text: text.replace("PETSIRD.SGID", "PETSIRD.Group"), "Group"),
        (lambda text: text.replace('"tofIdx","type":"uint32"', '"tofIdx","type":"float32"'),
         "an event is not"),
        (lambda text: text[:-1], "not JSON"),
        (lambda text: "[]", "not a yardl schema"),
        (lambda text: text.replace('"SGID","type":"int32"', '"SGID","type":"PETSIRD.SGID"'),
         "without end"),
    ],
)  # fmt: skip
def test_other_schemas_are_refused_by_name(tmp_path, change, said):
    path = with_schema(tmp_path / "other.bin", change)
    with pytest.raises(FormatError, match=said):
        PetsirdFile(path)


def test_records_that_are_not_used_may_be_unknown(tmp_path):
    path = with_schema(tmp_path / "other.bin", lambda text: text.replace("signalID", "number"))
    _, events, _, _ = everything(path)
    np.testing.assert_array_equal(events, everything(NEWEST)[1])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not start"),
        (b"yardl", "does not start"),
        (b"yardl\x02\x00\x00\x00", "encoding 2"),
        (b"PETSIRD\n" * 9, "does not start"),
    ],
)
def test_what_is_no_yardl_file_is_refused(tmp_path, content, said):
    path = tmp_path / "x.petsird"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=said):
        PetsirdFile(path)


def test_every_truncation_is_noticed(tmp_path):
    data = NEWEST.read_bytes()
    path = tmp_path / "cut.bin"
    for size in range(len(data) - 1, 0, -211):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError):
            everything(path)
        path = path.with_name(f"cut{size}.bin")


def stream_at(data):
    """Where the time blocks start."""
    file = PetsirdFile(NEWEST)
    return file._cursor.at


def test_shuffled_blocks_are_noticed(tmp_path):
    data = NEWEST.read_bytes()
    # Time intervals are two numbers of one byte each at the head of every block of events.
    at = [m.start() for m in re.finditer(rb"\x00[\x00\x0a\x14\x1e][\x0a\x14\x1e\x28]\x00", data)]
    at = [each for each in at if each > stream_at(data)]
    assert len(at) == 4
    swapped = bytearray(data)
    swapped[at[0] + 1 : at[0] + 3], swapped[at[1] + 1 : at[1] + 3] = b"\x0a\x14", b"\x00\x0a"
    path = tmp_path / "shuffled.bin"
    path.write_bytes(swapped)
    with pytest.raises(FormatError, match="shuffled"):
        everything(path)


def mutated(data, draw):
    """Flip, cut out, double or overwrite bytes."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(1, 9))
        match draw(st.integers(0, 4)):
            case 0:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
            case _:
                del data[at:]
    return bytes(data)


def fuzz(path, data):
    """Read a damaged file; anything but an EmreconError or success is a failure."""
    path.write_bytes(data)
    try:
        everything(path)
    except EmreconError:
        return False
    finally:
        path.unlink()
    return True


SOURCES = [path.read_bytes() for path in FILES]


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), source=st.sampled_from(SOURCES))
def test_damaged_files_give_clear_errors(tmp_path_factory, data, source):
    fuzz(tmp_path_factory.mktemp("fuzz") / "x.bin", mutated(source, data.draw))


@pytest.mark.slow
def test_ten_thousand_damaged_files(tmp_path):
    rng = np.random.default_rng(1)
    whole = 0
    for number in range(10_000):
        data = bytearray(SOURCES[number % len(SOURCES)])
        for _ in range(rng.integers(1, 6)):
            at, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
            match rng.integers(4):
                case 0:
                    data[at] ^= 1 << int(rng.integers(8))
                case 1:
                    del data[at : at + length]
                case 2:
                    data[at:at] = rng.bytes(length)
                case _:
                    data[at : at + length] = bytes(length)
        whole += fuzz(tmp_path / f"{number}.bin", bytes(data))
    assert 0 < whole < 9000  # most are found out, some are still whole files
