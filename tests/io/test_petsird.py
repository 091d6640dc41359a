"""PETSIRD files: against what the stock library of each version reads, and damaged in any way."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emrecon.errors import EmreconError, FormatError
from emrecon.io.petsird import yardl
from emrecon.io.petsird.file import PetsirdFile
from emrecon.io.petsird.kernels import varints
from emrecon.io.petsird.write import Coincidences, write
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.geometry.tof import Timing
from phantoms.cylinder import uniform_cylinder
from phantoms.detection import Efficiencies
from phantoms.phantom import Phantom
from phantoms.shapes import Material, ellipsoid
from phantoms.simulate_events import simulate_events
from tests.damage import damaged

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
    assert np.count_nonzero(efficiencies) > 0.6 * len(events)
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


BINS = by_name("tiny").bins(count=21, max_ring_difference=4).timed(Timing.of_ps(300, 200, 5))


@pytest.fixture(scope="module")
def simulated():
    rng = np.random.default_rng(1)
    phantom = uniform_cylinder(30, 20)
    unlike = Efficiencies(0.2)
    return simulate_events(
        phantom, BINS, counts=20_000, rng=rng, randoms_fraction=0.3, efficiencies=unlike
    )


@pytest.fixture
def written(simulated, tmp_path):
    path = tmp_path / "scan.petsird"
    events = (Coincidences(*each) for each in (simulated.prompts, simulated.delayeds))
    write(path, BINS, *events, 2.0, simulated.efficiencies)
    return path


def crystal_mm(number):
    """Where a crystal is, by the rule of `emrecon.tomo.geometry.detectors`."""
    ring, crystal = np.divmod(np.asarray(number, float), 48)
    psi = 2 * np.pi * crystal / 48
    return np.stack([64 * np.sin(psi), -64 * np.cos(psi), 4 * (ring - 2.5)], axis=-1)


def test_written_events_come_back(simulated, written):
    file, events, efficiencies, ends = everything(written)
    pairs, tof = simulated.prompts
    assert len(events) == len(pairs)
    np.testing.assert_array_equal(np.unique(events[:, 0]), np.arange(0, 2000, 100))
    assert np.all(events[:, 3] >= events[:, 4])
    wanted, place = crystal_mm(pairs), tof - 2
    turned = np.abs(ends[:, 0] - wanted[:, 0]).max(axis=1) > 1e-3
    wanted[turned] = wanted[turned, ::-1]
    np.testing.assert_allclose(ends, wanted, atol=1e-4)
    np.testing.assert_array_equal(events[:, 5] - 2, np.where(turned, -place, place))
    assert 0.02 < turned.mean() < 0.98  # both orders occur
    product = simulated.efficiencies.ravel()[pairs].prod(axis=1)
    np.testing.assert_allclose(efficiencies, product, rtol=1e-6)
    assert file.detectors.timings[0, 0].like(BINS.timing)


def test_only_pairs_of_the_bins_are_in_coincidence(written):
    scanner = PetsirdFile(written).detectors
    pairs = np.array([(a, b) for a in range(288) for b in range(a + 1)])
    seen = scanner.efficiencies.of(scanner.types, (0, 0), pairs) > 0
    assert np.count_nonzero(seen) == np.prod(BINS.shape)  # each pair of crystals is in one bin
    ends = scanner.points_mm[pairs]
    aside = np.linalg.norm(ends.mean(axis=1)[:, :2], axis=1)
    inside = (aside < BINS.s_mm.max() + 0.1) & (np.ptp(ends[..., 2], axis=1) < 18)
    np.testing.assert_array_equal(seen, inside)


def test_the_stock_library_reads_what_is_written(simulated, written):
    petsird = pytest.importorskip("petsird")
    _, events, _, _ = everything(written)
    delayeds, found = 0, []
    with petsird.BinaryPETSIRDReader(str(written)) as reader:
        assert reader.read_header().scanner.model_name == "tiny"
        for block in reader.read_time_blocks():
            delayeds += len(block.value.delayed_events[0][0])
            found += [(*e.detection_bins, e.tof_idx) for e in block.value.prompt_events[0][0]]
    np.testing.assert_array_equal(np.array(found), events[:, 3:])
    assert delayeds == len(simulated.delayeds[0])


def test_simulated_randoms_are_even_and_prompts_are_as_many_as_wanted(simulated):
    assert len(simulated.prompts[0]) == pytest.approx(20_000, abs=4 * 20_000**0.5)
    late = np.bincount(simulated.delayeds[1], minlength=5)
    np.testing.assert_allclose(late, 1200, atol=4 * 1200**0.5)


def test_time_of_flight_points_to_where_the_activity_is():
    # A flipped sign would put it at (-20, -8, 3) mirrored about every line's middle.
    place = np.array([20.0, 8.0, 3.0])
    small = ellipsoid(place, (2.0, 2.0, 2.0)).filled(Material(1.0, 0.0), label=1)
    bins = BINS.timed(Timing.of_ps(100, 40, 31))
    rng = np.random.default_rng(2)
    made = simulate_events(Phantom("point", (small,), {1: "point"}), bins, counts=20_000, rng=rng)
    pairs, tof = made.prompts
    ends = crystal_mm(pairs)
    along = ends[:, 1] - ends[:, 0]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    seen = ends.mean(axis=1) + bins.timing.centres_mm[tof, None] * along
    # Each event is known to 6.4 mm along its line: the mean of 20,000 to 0.05 mm.
    np.testing.assert_allclose(seen.mean(axis=0), place, atol=0.3)


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


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), source=st.sampled_from(SOURCES))
def test_damaged_files_give_clear_errors(tmp_path_factory, data, source):
    fuzz(tmp_path_factory.mktemp("fuzz") / "x.bin", mutated(source, data.draw))


@pytest.mark.slow
def test_ten_thousand_damaged_files(tmp_path):
    rng = np.random.default_rng(1)
    whole = 0
    for number in range(10_000):
        data = damaged(SOURCES[number % len(SOURCES)], rng)
        whole += fuzz(tmp_path / f"{number}.bin", data)
    assert 0 < whole < 9000  # most are found out, some are still whole files
