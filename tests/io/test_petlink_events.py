"""List-mode to events, and the folder that they lie in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emrecon.errors import FormatError, WriteError
from emrecon.io.event_store import MANIFEST, building, open_events
from emrecon.io.petlink import sinograms as petlink
from emrecon.io.petlink.events import reading
from emrecon.tomo.corrections import attenuation
from emrecon.tomo.corrections.randoms import mean_randoms
from emrecon.tomo.geometry.detectors import crystal_centres, crystal_pairs, planes_of_rings
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Volume
from tests.io.test_petlink import TIME, TINY, random_words, written


def bin_of_pairs(bins):
    """The bin of every pair of detectors, ``[detector 1, detector 2]``; -1 for none."""
    end1, end2 = (end[..., 0] for end in crystal_pairs(bins))
    planes = planes_of_rings(bins)
    table = np.full((TINY.rings, TINY.crystals) * 2, -1)
    for (view, t), c1 in np.ndenumerate(end1):
        inside = planes >= 0
        place = (view * bins.shape[1] + t) * bins.shape[2] + planes
        table[:, c1, :, end2[view, t]] = np.where(inside, place, -1)
    return table.reshape(TINY.rings * TINY.crystals, -1)


def test_events_are_those_that_are_counted(tmp_path):
    path = written(tmp_path, random_words(1, 5000))
    counts = petlink.histogram(path, 1)
    with reading(path, 1) as scan:
        place = bin_of_pairs(counts.bins)[*scan.events.pairs.T.astype(int)]
        found = np.bincount(place, minlength=counts.prompts.size).reshape(counts.bins.shape)
        np.testing.assert_array_equal(found, counts.prompts)
        assert scan.events.duration_s == counts.duration_s
        randoms = mean_randoms(counts, live=None).ravel()
        np.testing.assert_allclose(scan.events.background, randoms[place], rtol=1e-4)
        assert scan.events.background_total == counts.delayed_count
        assert scan.events.factors.min() == 1
        folder = Path(str(scan.events.pairs.filename)).parent
    assert not folder.exists()


def test_crystal_centres_lie_on_the_lines_of_their_bins():
    bins = TINY.bins(span=1)
    points = crystal_centres(TINY).reshape(TINY.rings, TINY.crystals, 3).astype(float)
    end1, end2 = (end[..., 0] for end in crystal_pairs(bins))
    middle = bins.shape[1] - 1 - bins.shape[1] // 2
    for t in (middle, middle + 2, middle - 4):  # even offsets lie in the direction of their view
        one, two = points[0, end1[:, t]], points[3, end2[:, t]]
        along = np.column_stack([-np.sin(bins.phi_rad), np.cos(bins.phi_rad)])
        across = np.column_stack([np.cos(bins.phi_rad), np.sin(bins.phi_rad)])
        for end in (one, two):
            np.testing.assert_allclose((end[:, :2] * across).sum(1), bins.s_mm[t], atol=1e-3)
        assert np.all(((two - one)[:, :2] * along).sum(1) > 0)
    assert points[3, 0, 2] - points[0, 0, 2] == pytest.approx(3 * TINY.ring_spacing_mm)


def test_attenuation_of_events_is_that_of_their_bins(tmp_path):
    path = written(tmp_path, random_words(3, 3000))
    bins = petlink.read_header(path).bins(1)
    grid = bins.grid((4.0, 4.0, TINY.ring_spacing_mm / 2))
    middle = np.hypot(*np.meshgrid(grid.centres_mm(0), grid.centres_mm(1), indexing="ij"))
    smooth = 0.01 * np.exp(-((middle / 25) ** 2))[:, :, None] * np.ones(grid.shape[2])
    mu = Volume(smooth.astype(np.float32), grid.affine, "1/mm")
    wanted = attenuation.factors(mu, bins).ravel()
    with reading(path, 1, mu=mu) as scan:
        place = bin_of_pairs(bins)[*scan.events.pairs.T.astype(int)]
        # Every other bin's view is half a step off its lines, as in any interleaved sinogram.
        np.testing.assert_allclose(scan.events.factors, wanted[place], rtol=0.02)
        assert scan.events.factors.min() < 0.8


def test_a_window_takes_its_events_alone(tmp_path):
    path = written(tmp_path, random_words(4, 3000))
    windows = (0.0, 0.02), (0.02, 0.05)
    parts = []
    for window in windows:
        with reading(path, 1, window) as scan:
            parts.append(np.array(scan.events.pairs))
            assert scan.events.duration_s == pytest.approx(window[1] - window[0])
    with reading(path, 1) as scan:
        before_any_tag = len(scan.events) - sum(map(len, parts))
        assert before_any_tag == 0
        np.testing.assert_array_equal(np.concatenate(parts), scan.events.pairs)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([TIME + 25, TIME + 3], "backwards"),
        ([TIME, (1 << 30) | ((1 << 30) - 1)], "beyond the sinograms"),
        ([], "no events"),
    ],
)
def test_damaged_files_are_refused_and_nothing_is_left(tmp_path, words, reason):
    path = written(tmp_path, words)
    with pytest.raises(FormatError, match=reason):
        with reading(path, 1, keep=tmp_path / "kept"):
            pass
    assert sorted(f.name for f in tmp_path.iterdir()) == ["scan.l", "scan.l.hdr"]


def test_a_file_cut_within_a_word_is_refused(tmp_path):
    path = written(tmp_path, random_words(1, 100))
    data = tmp_path / "scan.l"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(FormatError, match="truncated"):
        with reading(path):
            pass


def store(path, timing=None):
    rng = np.random.default_rng(1)
    with building(path, rng.random((7, 3), np.float32), timing) as made:
        for _ in range(3):
            made.add(pairs=rng.integers(0, 7, (5, 2)), background=rng.random(5))
            if timing is not None:
                made.add(tof=rng.integers(0, timing.bins, 5))
        made.add(upto=[0, 4, 4, 15])
        made.finish(duration_s=3.0, tick_s=1.0, background_total=2.5)
    return path


def test_a_store_gives_back_what_was_put_in(tmp_path):
    timing = Timing(30.0, 10.0, 9)
    events = open_events(store(tmp_path / "kept", timing))
    assert isinstance(events.pairs, np.memmap)
    assert (len(events), events.timing, events.background_total) == (15, timing, 2.5)
    assert events.tof.shape == events.background.shape == (15,)
    frame = events.between(0.9, 3.1)
    assert (len(frame), frame.duration_s, frame.start_s) == (11, 2.0, 1.0)
    assert frame.share == pytest.approx(2 / 3)
    np.testing.assert_array_equal(frame.pairs, events.pairs[4:])
    assert sorted(f.name for f in tmp_path.iterdir()) == ["kept"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda d: (d / "pairs.bin").write_bytes(b"1234"), "has 4 bytes, but 60 belong"),
        (lambda d: (d / "background.bin").unlink(), "is missing"),
        (lambda d: (d / MANIFEST).unlink(), "no folder of events"),
        (lambda d: (d / MANIFEST).write_text("[]"), "no folder of events"),
        (lambda d: (d / MANIFEST).write_text("{"), "no folder of events"),
        (
            lambda d: (d / MANIFEST).write_text(
                json.dumps(json.loads((d / MANIFEST).read_text()) | {"version": 9})
            ),
            "of version 9",
        ),
        (
            lambda d: (d / MANIFEST).write_text(
                json.dumps(json.loads((d / MANIFEST).read_text()) | {"columns": ["colour"]})
            ),
            "not known here",
        ),
    ],
)
def test_damaged_stores_are_refused(tmp_path, damage, reason):
    folder = store(tmp_path / "kept")
    damage(folder)
    with pytest.raises(FormatError, match=reason):
        open_events(folder)


def test_a_store_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with building(tmp_path / "kept", np.zeros((2, 3), np.float32)) as made:
            made.add(pairs=np.zeros((4, 2)))
            raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    store(tmp_path / "kept")
    with pytest.raises(WriteError, match="exists already"):
        store(tmp_path / "kept")
