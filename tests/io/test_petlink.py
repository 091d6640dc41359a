import tracemalloc

import numpy as np
import pytest

from emrecon.errors import DataError, FormatError, GeometryError, SettingsError
from emrecon.io.petlink import sinograms as petlink
from emrecon.io.petlink.events import reading
from emrecon.io.petlink.header import header_text
from emrecon.tomo.corrections.normalisation import known_gaps, ring_pairs
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.geometry.detectors import crystal_pairs, planes_of_rings
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.listmode import EVERYTHING

TINY = by_name("tiny")
MOST, COUNT = 4, 23
SINOGRAMS = 6 + 2 * (5 + 4 + 3 + 2)
TIME = 0x80000000


def written(folder, words, **changes):
    """Write words and a header by hand; keyword ``key="value"`` replaces what the header says."""
    text = header_text(TINY, "scan.l", COUNT, MOST, 1.0)
    for key, value in changes.items():
        lines = [line for line in text.splitlines() if key not in line.replace(" ", "_")]
        text = "\n".join([*lines, value])
    np.asarray(words, "<u4").tofile(folder / "scan.l")
    (folder / "scan.l.hdr").write_text(text)
    return folder / "scan.l.hdr"


def random_words(seed, events, tags=50):
    rng = np.random.default_rng(seed)
    address = rng.integers(0, SINOGRAMS * 24 * COUNT, events)
    words = address | (rng.integers(0, 3, events) > 0) << 30
    places = np.sort(rng.integers(0, events, tags))
    words = np.insert(words, places, TIME + np.arange(tags))
    return np.insert(words, rng.integers(0, words.size, 9), 0xE0000000 + 5).astype(np.uint32)


def slow_decode(words, bins, window_ms=(0, 1 << 30)):
    """Decode word by word from the description of the format, in whole numbers."""
    order = [(0, at) for at in range(6)]
    for size in range(1, MOST + 1):
        order += [(-size, at) for at in range(6 - size)] + [(size, at) for at in range(6 - size)]
    planes = planes_of_rings(bins)
    mash = 24 // bins.shape[0]
    counts = {True: np.zeros(bins.shape), False: np.zeros(bins.shape)}
    now = 0
    for word in words.tolist():
        if word >= TIME:
            now = word - TIME if word < 0xA0000000 else now
        elif window_ms[0] <= now < window_ms[1]:
            address = word % (1 << 30)
            difference, at = order[address // (24 * COUNT)]
            lower = 5 - abs(difference) - at  # from our lower end instead of theirs
            one, two = lower + max(-difference, 0), lower + max(difference, 0)
            if planes[one, two] >= 0:
                place = address // COUNT % 24 // mash, COUNT - 1 - address % COUNT
                counts[word >= 1 << 30][*place, planes[one, two]] += 1
    return counts[True], counts[False]


@pytest.mark.parametrize(
    ("span", "most", "views"), [(1, None, None), (3, None, 12), (5, 3, None), (1, 2, 8)]
)
def test_words_are_counted_as_the_format_says(tmp_path, span, most, views):
    words = random_words(1, 5000)
    counts = petlink.histogram(written(tmp_path, words), span, most, views)
    prompts, delayeds = slow_decode(words, counts.bins)
    np.testing.assert_array_equal(counts.prompts, prompts)
    np.testing.assert_array_equal(counts.delayeds, delayeds)
    assert counts.prompt_count + counts.delayed_count == 5000
    assert counts.dropped == 5000 - prompts.sum() - delayeds.sum()
    assert (counts.time_tags, counts.other_tags, counts.duration_s) == (50, 9, 0.05)
    assert counts.max_ring_difference == MOST


def test_fan_sums_are_those_of_the_crystals_at_both_ends(tmp_path):
    counts = petlink.histogram(written(tmp_path, random_words(2, 4000)), 1)
    end1, end2 = crystal_pairs(counts.bins)
    planes = planes_of_rings(counts.bins)
    for data, fans in (
        (counts.prompts, counts.prompt_fans),
        (counts.delayeds, counts.delayed_fans),
    ):
        wanted = np.zeros((6, 48))
        for one, two in zip(*np.nonzero(planes >= 0), strict=True):
            np.add.at(wanted[one], end1[..., 0], data[:, :, planes[one, two]])
            np.add.at(wanted[two], end2[..., 0], data[:, :, planes[one, two]])
        np.testing.assert_array_equal(fans, wanted)


def test_addresses_are_the_lines_of_stirs_gantry_turned_to_the_patients_axes(tmp_path):
    """Both ends of every line, by STIR's formulas from its own indices, lie on our bin's line."""
    radius, spacing = TINY.effective_radius_mm, TINY.ring_spacing_mm
    bins = TINY.bins(span=1, max_ring_difference=MOST)
    address = np.arange(0, SINOGRAMS * 24 * COUNT, 307)
    rest, tangential = np.divmod(address, COUNT)
    sinogram, view = np.divmod(rest, 24)
    sizes = [6, *(6 - d for d in range(1, MOST + 1) for _ in (0, 1))]
    deltas = [0, *(sign * d for d in range(1, MOST + 1) for sign in (-1, 1))]
    delta = np.repeat(deltas, sizes)[sinogram]
    axial = np.concatenate([np.arange(n) - (n - 1) / 2 for n in sizes])[sinogram]
    phi = view * np.pi / 24
    s = radius * np.sin((tangential - COUNT // 2) * np.pi / 48)
    chord = np.sqrt(radius**2 - s**2)
    # Read back one at a time: the only bin that is not empty is the bin of that address.
    counted = [
        petlink.histogram(written(tmp_path, [number | 1 << 30]), 1).prompts for number in address
    ]
    views, places, planes = np.concatenate([np.argwhere(data) for data in counted]).T
    angle, half = bins.phi_rad[views], bins.half_chord_mm[places]
    for l_stir in (-chord, chord):
        x, y = s * np.cos(phi) - l_stir * np.sin(phi), s * np.sin(phi) + l_stir * np.cos(phi)
        z = axial * spacing + l_stir * delta * spacing / (2 * chord)
        x, y, z = -x, -y, -z  # left, back, feet -> right, front, head
        np.testing.assert_allclose(
            x * np.cos(angle) + y * np.sin(angle), bins.s_mm[places], atol=1e-9
        )
        along = -x * np.sin(angle) + y * np.cos(angle)
        climb = along / half * bins.plane_tilt_mm[planes] / 2
        np.testing.assert_allclose(z, bins.plane_z_mm[planes] + climb, atol=1e-9)


def test_time_window_counts_what_lies_in_it(tmp_path):
    words = random_words(3, 3000)
    path = written(tmp_path, words)
    counts = petlink.histogram(path, 1, window_s=(0.010, 0.030))
    prompts, delayeds = slow_decode(words, counts.bins, (10, 30))
    np.testing.assert_array_equal(counts.prompts, prompts)
    np.testing.assert_array_equal(counts.delayeds, delayeds)
    assert (counts.time_tags, counts.duration_s) == (20, 0.02)
    parts = [
        petlink.histogram(path, 1, window_s=window).prompt_count
        for window in ((0.0, 0.02), (0.02, 0.05))
    ]
    assert sum(parts) == petlink.histogram(path, 1).prompt_count
    with pytest.raises(GeometryError, match="time window"):
        petlink.histogram(path, 1, window_s=(0.02, 0.01))
    with pytest.raises(FormatError, match=r"ends at 0\.049 s"):
        petlink.histogram(path, 1, window_s=(1.0, 2.0))


def test_memory_is_bounded_and_blocks_change_nothing(tmp_path, monkeypatch):
    path = written(tmp_path, random_words(4, 1_000_000))
    whole = petlink.histogram(path, 1)
    monkeypatch.setattr(petlink, "BLOCK_WORDS", 4096)
    shares = []
    tracemalloc.start()
    blocks = petlink.histogram(path, 1, progress=shares.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(blocks.prompts, whole.prompts)
    np.testing.assert_array_equal(blocks.delayed_fans, whole.delayed_fans)
    assert len(shares) > 200
    assert shares[-1] == 1.0
    assert peak < 2 * blocks.prompts.nbytes + 1e6  # the file has 4e6 bytes
    assert whole.delayed_sum == whole.delayeds.sum(dtype=np.float64)


def test_delayeds_may_be_summed_only(tmp_path):
    path = written(tmp_path, random_words(5, 100_000))
    whole, lean = petlink.histogram(path, 1), petlink.histogram(path, 1, keep_delayeds=False)
    assert lean.delayeds is None
    assert lean.delayed_sum == whole.delayeds.sum(dtype=np.float64) > 10_000
    np.testing.assert_array_equal(lean.prompts, whole.prompts)
    np.testing.assert_array_equal(lean.delayed_fans, whole.delayed_fans)


def test_written_events_come_back(tmp_path):
    rng = np.random.default_rng(5)
    bins = TINY.bins(span=1, max_ring_difference=MOST)
    stretches = [
        petlink.Events(
            *(rng.integers(0, size, number) for size in bins.shape),
            rng.random(number) < 0.7,
            0.1,
        )
        for number in (5000, 0, 700)
    ]
    path = tmp_path / "scan.l.hdr"
    petlink.write_events(path, bins, stretches)
    counts = petlink.histogram(path, 1)
    for prompt, data in ((True, counts.prompts), (False, counts.delayeds)):
        wanted = np.zeros(bins.shape)
        for few in stretches:
            chosen = few.prompt == prompt
            np.add.at(wanted, (few.view[chosen], few.bin[chosen], few.plane[chosen]), 1)
        np.testing.assert_array_equal(data, wanted)
    assert (counts.duration_s, counts.time_tags) == (0.3, 300)
    first = petlink.histogram(path, 1, window_s=(0.0, 0.1))
    assert first.prompt_count + first.delayed_count == 5000
    header = petlink.read_header(tmp_path / "scan.l")
    assert header.path == path
    assert header.scanner == TINY
    assert header.facts["patient_position"] == "HFS"


def test_a_scanner_nobody_knows_comes_back_from_its_figures(tmp_path):
    scanner = Scanner("toy", 3, 20, 5.0, 70.0, 3.5, 10.0, 9)
    path = tmp_path / "toy.l.hdr"
    petlink.write_events(path, scanner.bins(span=1), [])
    assert petlink.read_header(path).scanner == scanner


def test_sampled_events_have_the_means_they_are_drawn_from(tmp_path):
    bins = TINY.bins(span=1, max_ring_difference=2)
    rng = np.random.default_rng(6)
    prompts, delayeds = rng.random((2, *bins.shape)) * np.array([8.0, 2.0]).reshape(2, 1, 1, 1)
    prompts[3] = 0
    path = tmp_path / "scan.l.hdr"
    events = petlink.sample_events(bins, prompts, delayeds, 0.5, rng)
    petlink.write_events(path, bins, events)
    counts = petlink.histogram(path, 1)
    assert counts.prompts[3].max() == 0
    assert counts.duration_s == 0.5
    for data, mean in ((counts.prompts, prompts), (counts.delayeds, delayeds)):
        some = mean > 0
        chi2 = np.mean((data[some] - mean[some]) ** 2 / mean[some])
        # Each term has mean 1 and variance 2 + 1 / mean; there are about 10,000.
        spread = np.sqrt(np.mean(2 + 1 / mean[some]) / some.sum())
        assert chi2 == pytest.approx(1.0, abs=5 * spread)
    with pytest.raises(DataError, match="negative"):
        list(petlink.sample_events(bins, -prompts, delayeds, 0.5, rng))
    with pytest.raises(GeometryError, match="shape"):
        list(petlink.sample_events(bins, prompts[1:], delayeds, 0.5, rng))


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path):
    bins = TINY.bins(span=1)
    path = tmp_path / "scan.l.hdr"
    one = np.array([0])

    def events(plane=0, seconds=0.1):
        return [petlink.Events(one, one, one + plane, one == 0, seconds)]

    with pytest.raises(SettingsError, match=r"NAME\.l\.hdr"):
        petlink.write_events(tmp_path / "scan.hdr", bins, events())
    with pytest.raises(GeometryError, match="span-1"):
        petlink.write_events(path, TINY.bins(span=3), events())
    with pytest.raises(GeometryError, match="span-1"):
        petlink.write_events(path, TINY.bins(views=12), events())
    with pytest.raises(GeometryError, match="below"):
        petlink.write_events(path, bins, events(plane=36))
    with pytest.raises(GeometryError, match="1 ms"):
        petlink.write_events(path, bins, events(seconds=0.0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"axial_compression": "%axial compression:=11"}, "axial compression"),
        ({"LM_event": "%LM event and tag words format (bits):=64"}, "words format"),
        ({"TOF_time": "%number of TOF time bins:=13"}, "TOF|tof"),
        ({"orientation": "%patient orientation:=FFP"}, "patient orientation"),
        ({"name_space": "%SMS-MI header name space:=PETLINK raw data"}, "name space"),
        ({"data_format": "data format:=Sinogram"}, "data format"),
        ({"ring_difference": "%maximum ring difference:=6"}, "maximum ring difference"),
        ({"ring_difference": ""}, "maximum ring difference"),
        ({"number_of_views": "%number of views:=12"}, "number of views"),
        ({"number_of_rings": "number of rings:=7"}, "number of rings"),
        ({"crystal_radius": "gantry crystal radius (cm):=7"}, "crystal radius"),
        ({"name_of_data": "name of data file:=other.l"}, "no data file"),
        ({"duration": "end horizontal bed position (mm):=9"}, "bed"),
        (
            {"originating": "originating system:=toy", "depth_of": ""},
            "average depth of interaction",
        ),
    ],
)
def test_headers_that_cannot_be_honoured_are_refused_by_name(tmp_path, change, match):
    path = written(tmp_path, random_words(7, 100), **change)
    with pytest.raises(FormatError, match=match):
        petlink.read_header(path)


def test_damaged_words_are_refused(tmp_path):
    words = random_words(8, 100)
    path = written(tmp_path, words)
    (tmp_path / "scan.l").write_bytes(words.tobytes()[:-1])
    with pytest.raises(FormatError, match="truncated"):
        petlink.histogram(path)
    beyond = SINOGRAMS * 24 * COUNT
    with pytest.raises(FormatError, match="2 events have a bin address beyond"):
        petlink.histogram(written(tmp_path, [*words, beyond, beyond + 9]), 1)
    with pytest.raises(FormatError, match="backwards 1 time"):
        petlink.histogram(written(tmp_path, [TIME + 25, TIME + 14]), 1)


@pytest.mark.parametrize(("last_ms", "told"), [(2000, False), (500_000, True)])
def test_time_that_jumps_ahead_is_told(tmp_path, caplog, last_ms, told):
    """The header plans 1 s."""
    path = written(tmp_path, [TIME, 5, TIME + 900, 6, TIME + last_ms])
    petlink.read_scan(path, 1)
    assert ("time tags run over 500" in caplog.text) is told
    with reading(path, 1):
        assert caplog.text.count("its header plans 1 s") == 2 * told


def test_words_may_start_behind_other_bytes(tmp_path, caplog):
    words = random_words(8, 100)
    path = written(tmp_path, words, data_offset="data offset in bytes:=12")
    (tmp_path / "scan.l").write_bytes(b"\xff" * 12 + words.tobytes())
    expected = np.count_nonzero((words < TIME) & (words >= 1 << 30))
    assert petlink.read_scan(path, 1).facts["prompts"] == expected
    assert "not known here" not in caplog.text


@pytest.mark.parametrize(("window_s", "told"), [(EVERYTHING, True), ((0.0, 0.5), False)])
def test_time_that_ends_before_the_plan_is_told(tmp_path, caplog, window_s, told):
    plan = "image duration (sec):=600"
    path = written(tmp_path, [TIME, 5, TIME + 900, 6, TIME + 2000], image_duration=plan)
    petlink.read_scan(path, 1, window_s=window_s)
    with reading(path, 1, window_s):
        assert caplog.text.count("plans 600 s: the scan was stopped, or the file cut") == 2 * told


def test_a_time_tag_that_is_late_by_a_few_ms_is_read(tmp_path, caplog):
    words = [(1 << 30) | number for number in range(30)]
    tags = [TIME + 5, *words[:10], TIME + 9, *words[10:20], TIME + 7, *words[20:], TIME + 10]
    counts = petlink.histogram(written(tmp_path, tags), 1)
    plain = petlink.histogram(written(tmp_path, [*tags[:22], *tags[23:]]), 1)
    np.testing.assert_array_equal(counts.prompts, plain.prompts)
    assert counts.duration_s == plain.duration_s == pytest.approx(0.006)
    assert "1 time tags step back" in caplog.text


@pytest.mark.parametrize("reads", [petlink.histogram, petlink.read_scan])
def test_frames_before_the_first_time_are_told_when_it_is(tmp_path, reads):
    path = written(tmp_path, [TIME + 100_000, (1 << 30) | 5, TIME + 100_001, TIME + 102_000])
    with pytest.raises(FormatError, match="no time from 0 to 1 s: its time goes on at 100 s"):
        reads(path, 1, window_s=(0.0, 1.0))
    assert petlink.histogram(path, 1, window_s=(100.0, 101.0)).prompt_count == 1


def test_a_data_file_alone_is_refused(tmp_path):
    path = written(tmp_path, random_words(9, 10))
    (tmp_path / "copy.hdr").write_text(path.read_text())
    with pytest.raises(FormatError, match="2 headers beside it"):
        petlink.read_header(tmp_path / "scan.l")
    path.unlink()
    (tmp_path / "copy.hdr").unlink()
    with pytest.raises(FormatError, match="0 headers beside it"):
        petlink.read_header(tmp_path / "scan.l")
    with pytest.raises(FormatError, match="cannot read"):
        petlink.read_header(path)


def test_more_than_the_file_holds_is_refused(tmp_path):
    path = written(tmp_path, random_words(10, 10))
    with pytest.raises(GeometryError, match="up to 4, not 5"):
        petlink.histogram(path, 1, 5)
    with pytest.raises(GeometryError, match="odd"):
        petlink.histogram(path, 2)


def test_a_file_without_time_tags_has_no_duration(tmp_path):
    path = written(tmp_path, random_words(11, 2000, tags=0))
    assert petlink.histogram(path, 1).duration_s == 0
    assert petlink.read_scan(path, 3).duration_s is None


def test_a_scan_has_live_pairs_and_smoothed_randoms(tmp_path):
    scan = petlink.read_scan(written(tmp_path, random_words(12, 20_000)), 3, views=12)
    scan.check()
    np.testing.assert_array_equal(
        scan.normalisation, np.broadcast_to(2 * ring_pairs(scan.bins), scan.bins.shape)
    )
    assert scan.randoms.sum() == pytest.approx(scan.facts["delayeds"], rel=1e-5)
    # Events are spread evenly over all addresses, so their expectation goes with the pairs.
    mean = scan.normalisation * (scan.facts["delayeds"] / scan.normalisation.sum())
    assert np.abs(scan.randoms / mean - 1).max() < 0.3


def test_a_scan_without_delayeds_has_no_randoms(tmp_path):
    words = random_words(13, 2000)
    words[words < TIME] |= 1 << 30
    assert petlink.read_scan(written(tmp_path, words), 3).randoms is None


@pytest.fixture(scope="module")
def mmr(shared_data):
    path = shared_data / "pet_mmr_listmode" / "PET_ACQ_small.l.hdr.STIR"
    if not path.is_file():
        pytest.skip("no mMR list-mode file")
    return path


def test_real_scan_has_its_known_totals(mmr):
    counts = petlink.histogram(mmr)
    assert (counts.prompt_count, counts.delayed_count) == (218_881, 35_320)
    assert counts.prompts.sum(dtype=np.float64) == 218_881
    assert counts.delayeds.sum(dtype=np.float64) == 35_320
    assert (counts.dropped, counts.time_tags, counts.duration_s) == (0, 613, 0.613)
    assert counts.bins.shape == (252, 344, 837)
    planes = [segment.planes for segment in counts.bins.segments]
    assert planes == [127, 115, 115, 93, 93, 71, 71, 49, 49, 27, 27]  # as the header says


def test_real_scan_in_span_11_is_the_sum_of_span_1(mmr):
    words = np.fromfile(mmr.parent / "small_listmode_file.l", "<u4")
    prompt = (words >> 30) == 1
    address = (words[prompt] & 0x3FFFFFFF).astype(np.int64)
    ring1, ring2 = petlink.sinogram_rings(64, 60)
    counts = petlink.histogram(mmr, 11, 16)
    plane = planes_of_rings(counts.bins)[ring1, ring2][address // (252 * 344)]
    kept = plane >= 0
    place = address // 344 % 252, 343 - address % 344, plane
    wanted = np.zeros(counts.bins.shape, np.float32)
    np.add.at(wanted, tuple(index[kept] for index in place), 1)
    np.testing.assert_array_equal(counts.prompts, wanted)
    assert counts.prompts.sum(dtype=np.float64) == kept.sum()
    assert counts.prompt_count == kept.size
    assert counts.dropped > np.count_nonzero(~kept) > 0  # delayeds, too


def test_real_scan_shows_the_gaps_and_gets_randoms_that_fit_the_delayeds(mmr):
    scan = petlink.read_scan(mmr.parent / "small_listmode_file.l", 11, 5)
    scan.check()
    assert scan.facts["dead_detectors"] == np.count_nonzero(~known_gaps(by_name("mMR")))
    assert scan.prompts[scan.normalisation == 0].sum() == 0
    assert scan.randoms[scan.normalisation == 0].max() == 0
    delayeds = petlink.histogram(mmr, 11, 5).delayeds
    total = delayeds.sum(dtype=np.float64)
    assert scan.randoms.sum(dtype=np.float64) == pytest.approx(total, rel=1e-5)
    for axes in ((0, 2), (0, 1), (1, 2)):  # profiles over bins, planes, views
        got, wanted = (a.sum(axis=axes, dtype=np.float64) for a in (scan.randoms, delayeds))
        # At most 4 standard deviations of a mean of so many squares from 1.
        chi2 = np.mean((wanted - got)[got > 0] ** 2 / got[got > 0])
        assert chi2 == pytest.approx(1.0, abs=4 * np.sqrt(2 / got.size))
    assert scan.duration_s == 0.613
    assert scan.facts["radionuclide"] == "F-18"
