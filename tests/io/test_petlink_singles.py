"""Singles of blocks of detectors in list-mode, and the dead time of a norm's rings by them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emrecon import Corrections
from emrecon.io.petlink.block_singles import block_singles
from emrecon.io.petlink.header import header_text
from emrecon.io.scan import open_events, read_scan
from emrecon.tomo.corrections.normalisation import known_gaps
from emrecon.tomo.gates import Gate
from emrecon.tomo.geometry.presets import MMR
from tests.io.siemens_files import mmr_components, write_norm

UNITS, SCALE = 224, 8
MOST, COUNT, SINOGRAMS = 5, 64, 64 + 2 * (63 + 62 + 61 + 60 + 59)
BUSY = 28 * 2 + 5
"""The unit that counts more than others: third ring of blocks, sixth pair of blocks."""

POLLING = (
    f"%singles polling method:=instantaneous\n%singles polling interval (sec):=2\n"
    f"%singles scale factor:={SCALE}\n%total number of singles blocks:={UNITS}\n"
)
TIME, SINGLES, PROMPT = (np.uint32(top << 29) for top in (0b100, 0b101, 0b010))


def listmode(
    folder: Path, reports: dict[int, np.ndarray], *, ms: int = 6000, more: str = POLLING
) -> Path:
    """Write a scan of the mMR whose units tell their singles at some times in ms, over 8."""
    words, rng = [], np.random.default_rng(3)
    for now in range(0, ms, 10):
        words.append([TIME | np.uint32(now)])
        if now in reports:
            unit = np.arange(len(reports[now]), dtype=np.uint32)
            words.append(SINGLES | unit << np.uint32(19) | reports[now].astype(np.uint32))
            words.append([SINGLES | np.uint32(896 << 19)])  # as the scanner writes, of no unit
        words.append(PROMPT | rng.integers(0, COUNT * 252 * SINOGRAMS, 200).astype(np.uint32))
    text = header_text(MMR, "scan.l", COUNT, MOST, ms / 1000)
    text = text.replace("tagwords interval (msec):=1", "tagwords interval (msec):=10")
    (folder / "scan.l.hdr").write_text(text + more)
    np.concatenate(words).astype("<u4").tofile(folder / "scan.l")
    return folder / "scan.l.hdr"


def rates(busy: float, others: float = 1000.0) -> np.ndarray:
    """Return what the words tell: all units alike but one."""
    every = np.full(UNITS, others)
    every[BUSY] = busy
    return every


def norm(folder: Path, linear: float = -1e-6) -> Path:
    """Write a norm that loses `linear` of the efficiency for each single a second."""
    components = mmr_components()
    components[4], components[5] = np.full((2, 64), [[linear], [0]], np.float32)
    return write_norm(folder, components)


def busy_crystals() -> np.ndarray:
    """Return which crystals, in our numbering, are those of the busy unit.

    The file's rings run the other way round, and its crystals backwards, half a turn on.
    """
    busy = np.zeros((64, 504), np.bool_)
    busy[16:24, 5 * 18 + np.arange(18)] = True  # as the efficiencies stand, one crystal early
    ours = np.roll(np.roll(busy, 1, axis=1)[::-1], 252, axis=1)
    return ours & known_gaps(MMR)


def test_each_unit_has_the_mean_of_its_time(tmp_path: Path) -> None:
    path = listmode(tmp_path, {0: rates(2000), 2000: rates(3000), 4000: rates(7000)})
    for window, mean in (
        ((0.0, np.inf), 4000), ((0.0, 4.0), 2500), ((4.0, 6.0), 7000), ((2.5, 3.0), 3000),
        ((3.2, 3.6), 7000),  # between two: that nearest to the middle
        (Gate(np.array([[0, 1000], [3900, 4200]])), 4500),
    ):  # fmt: skip
        singles = block_singles(path, window)
        assert singles is not None
        assert singles.shape == (64, 504)
        assert singles[16, 90] == mean * SCALE / 2  # two blocks are a unit
        assert np.count_nonzero(singles == singles[16, 90]) == 8 * 18
        assert (singles[singles != singles[16, 90]] == 1000 * SCALE / 2).all()


def test_the_dead_time_of_a_norm_is_by_the_singles_of_each_block(tmp_path: Path) -> None:
    path = listmode(tmp_path, {0: rates(20_000), 2000: rates(10_000)})
    file = norm(tmp_path)
    plain, _ = read_scan(path, Corrections(norm=file, singles_cps=0.0))
    assert plain.normalisation is not None
    assert plain.facts["dead_time_corrected"] is False
    scan, _ = read_scan(path, Corrections(norm=file), window_s=(0.0, 2.0))
    assert scan.normalisation is not None
    others, busy = 1 - 1e-6 * 4000, 1 - 1e-6 * 80_000
    seen = plain.normalisation > 0
    share = scan.normalisation[seen] / plain.normalisation[seen]
    assert share.min() == pytest.approx(busy * others, rel=1e-5)  # no line has both ends in it
    assert share.max() == pytest.approx(others**2, rel=1e-5)
    assert scan.facts["dead_time_corrected"] is True
    assert scan.facts["dead_time_counts_per_s_range"] == [4000, 80_000]
    mean = 1 - 1e-6 * (4000 * 223 + 80_000) / 224
    assert scan.facts["dead_time_factor"] == pytest.approx(mean**-2, rel=1e-6)
    # A rate that is named goes before, one for all.
    named, _ = read_scan(path, Corrections(norm=file, singles_cps=5e4))
    assert named.normalisation is not None
    np.testing.assert_allclose(
        named.normalisation[seen], plain.normalisation[seen] * 0.95**2, rtol=1e-5
    )


def test_events_have_the_dead_time_of_their_own_blocks(tmp_path: Path) -> None:
    path, file = listmode(tmp_path, {0: rates(20_000)}), norm(tmp_path)
    factors = []
    for chosen in (Corrections(norm=file), Corrections(norm=file, singles_cps=0.0)):
        with open_events(path, chosen) as (scan, _):
            assert scan.events.factors is not None
            factors.append(np.array(scan.events.factors))
            pairs = np.array(scan.events.pairs)
            assert scan.facts["dead_time_corrected"] is (chosen.singles_cps is None)
    busy = busy_crystals().ravel()[pairs].sum(axis=1)
    kept = np.choose(busy, [0.996**2, 0.996 * 0.92, 0.92**2])
    live = factors[1] > 0
    assert live.any()
    np.testing.assert_allclose(factors[0][live], factors[1][live] * kept[live], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "told", "level"),
    [
        ({"more": ""}, "", 0),
        ({"more": POLLING.replace("224", "448")}, "not known of which detectors", logging.INFO),
        ({"more": POLLING.replace("instantaneous", "mean")}, "not known of which", logging.INFO),
        ({"reports": {}}, "tells the singles of 0 of 224 units", logging.INFO),
        ({"reports": {0: rates(9)[:220]}}, "singles of 220 of 224 units", logging.WARNING),
    ],
)
def test_what_cannot_be_told_is_left_out(
    tmp_path: Path,
    changes: dict[str, Any],
    told: str,
    level: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    path = listmode(tmp_path, **({"reports": {0: rates(20_000)}} | changes))
    scan, _ = read_scan(path, Corrections(norm=norm(tmp_path)))
    assert scan.facts["dead_time_corrected"] is False
    said = [record for record in caplog.records if told and told in record.getMessage()]
    assert [record.levelno for record in said] == ([level] if told else [])


def test_dead_time_that_cannot_be_is_left_out_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = listmode(tmp_path, {0: rates(20_000)})
    file = norm(tmp_path, linear=1e-6)
    scan, _ = read_scan(path, Corrections(norm=file))
    assert "dead time is left out: " in caplog.text
    assert scan.facts["dead_time_corrected"] is False
    (tmp_path / "old").mkdir()
    bare = write_norm(tmp_path / "old", mmr_components()[:4])
    caplog.clear()
    scan, _ = read_scan(path, Corrections(norm=bare))
    assert scan.facts["dead_time_corrected"] is False
    assert not caplog.text


def test_the_real_scan_tells_of_no_unit(tmp_path: Path, shared_data: Path) -> None:
    """Its 0.6 s are shorter than the 2 s between two polls: one word is about singles, of 896."""
    data = shared_data / "pet_mmr_listmode"
    words = np.fromfile(data / "small_listmode_file.l", "<u4")
    about = words[words >> 29 == 0b101]
    assert about.tolist() == [0xBC000000]
    path = tmp_path / "scan.l.hdr"
    path.write_bytes((data / "PET_ACQ_small.l.hdr.STIR").read_bytes())
    (tmp_path / "small_listmode_file.l").symlink_to(data / "small_listmode_file.l")
    assert block_singles(path, (0.0, np.inf)) is None
    every = SINGLES | np.arange(UNITS, dtype=np.uint32) << np.uint32(19) | np.uint32(2500)
    (tmp_path / "small_listmode_file.l").unlink()
    np.concatenate([words[:1000], every, words[1000:]]).tofile(tmp_path / "small_listmode_file.l")
    singles = block_singles(path, (0.0, np.inf))
    assert singles is not None
    np.testing.assert_array_equal(singles, 10_000)
