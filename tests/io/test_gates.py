"""Gates: which time and which events belong to each, and that a moving source stands still."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.errors import FormatError, GeometryError, SettingsError
from emrecon.io.gates import Gating, gates_of, triggers
from emrecon.io.petlink import sinograms as petlink
from emrecon.io.petlink.events import reading
from emrecon.tomo.gates import Clock, Gate, gates_of_intervals, phase_gates
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.operators.joseph import JosephProjector
from tests.cli.test_commands import run
from tests.io.test_petlink import TIME, random_words, written

RESPIRATORY_ON, RESPIRATORY_OFF = 0xE1001000, 0xE1001001
R_WAVE_ALONE, R_WAVE_PRIMARY, R_WAVE_SECOND = 0xE1008000, 0xE1002000, 0xE1002001
R_WAVE_LEGACY, PHASE_LEGACY, RESPIRATORY_PHASE = 0xE0000080, 0xE0000045, 0xE1005011
DEAD_TIME, BED, CONTROL = 0xBC000080, 0xC4000080, 0xFFFF0000


def with_tags(words, tags):
    """Put words after the time tags of their ms: ``{word: [ms, ...]}``."""
    for tag, times in tags.items():
        for ms in times:
            at = int(np.flatnonzero(words == np.uint32(TIME + ms))[0])
            words = np.insert(words, at + 1, np.uint32(tag))
    return words


def test_phases_share_out_the_time_between_triggers():
    triggers_ms = np.array([100, 1103, 2001, 3500], np.int64)
    gates = phase_gates(triggers_ms, 7)
    every = np.arange(5000)
    holds = np.array([gate.holds(every) for gate in gates])
    inside = (every >= 100) & (every < 3500)
    np.testing.assert_array_equal(holds.sum(axis=0), inside)
    for gate, held in zip(gates, holds, strict=True):
        assert gate.duration_s == pytest.approx(held.sum() / 1000)
        assert gate.overlap_ms(0, 1103) == held[:1103].sum()
    assert sum(gate.duration_s for gate in gates) == pytest.approx(3.4)
    phase = (every - 1103) / (2001 - 1103)
    second = (every >= 1103) & (every < 2001)
    middle = second & (np.abs(phase * 7 - 3.5) < 0.49)
    assert holds[3][middle].all()
    assert len(middle[middle]) > 100


def test_decay_of_a_gate_is_its_mean():
    gate = Gate(np.array([[0, 1000], [7000, 9000]], np.int64))
    times = np.concatenate([np.arange(0, 1, 0.001), np.arange(7, 9, 0.001)]) + 0.0005
    mean = np.mean(np.exp(-math.log(2) * times / 5.0))
    assert gate.decay_factor(5.0) == pytest.approx(1 / mean, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: phase_gates(np.array([5], np.int64), 4), "1 triggers make no cycle"),
        (lambda: phase_gates(np.array([0, 3, 6], np.int64), 8), "too short for 8 gates"),
        (lambda: gates_of_intervals([0, 1], [2, 1], [1, 2]), "in one gate alone"),
        (lambda: gates_of_intervals([0], [0], [1]), "last longer than 0 s"),
        (lambda: gates_of_intervals([-1], [2], [1]), "start at 0 s"),
        (lambda: gates_of_intervals([0, 1], [1, 1], [1, 3]), "numbered 1, 2"),
        (lambda: Gating.of_text("8", ""), "say --gate-by"),
        (lambda: Gating.of_text("8", "heart"), "not 'heart'"),
        (lambda: Gating.of_text("0", "cardiac"), "a number of phases"),
        (lambda: Gating.of_text("many", "cardiac"), "a number of phases"),
        (lambda: Gating.of_text("a.tsv", "cardiac"), "leave out --gate-by"),
    ],
)
def test_gates_that_make_no_sense(make, reason):
    with pytest.raises(SettingsError, match=reason):
        make()


def test_stretches_run_forward():
    with pytest.raises(GeometryError, match="follow one another"):
        Gate(np.array([[5, 3]], np.int64))


def test_triggers_are_told_from_all_other_words(tmp_path):
    tags = {
        RESPIRATORY_ON: [3, 20, 41], RESPIRATORY_OFF: [8, 30], RESPIRATORY_PHASE: [1, 2, 4],
        R_WAVE_PRIMARY: [5, 15, 25], R_WAVE_SECOND: [6, 16], PHASE_LEGACY: [7],
        DEAD_TIME: [9], BED: [10], CONTROL: [11],
    }  # fmt: skip
    path = written(tmp_path, with_tags(random_words(1, 5000), tags))
    np.testing.assert_array_equal(triggers(path, "respiratory"), [3, 20, 41])
    np.testing.assert_array_equal(triggers(path, "cardiac"), [5, 15, 25])
    for word in (R_WAVE_ALONE, R_WAVE_LEGACY):  # goes before the sources of an MR
        path = written(tmp_path, with_tags(random_words(1, 5000), tags | {word: [12, 34]}))
        np.testing.assert_array_equal(triggers(path, "cardiac"), [12, 34])
    del tags[R_WAVE_PRIMARY]
    path = written(tmp_path, with_tags(random_words(1, 5000), tags))
    np.testing.assert_array_equal(triggers(path, "cardiac"), [6, 16])


def test_triggers_do_not_depend_on_blocks(tmp_path, monkeypatch):
    words = with_tags(random_words(2, 5000), {RESPIRATORY_ON: list(range(2, 48, 3))})
    path = written(tmp_path, words)
    whole = triggers(path, "respiratory")
    with reading(path, 1, gates_of(path, Gating(3, "respiratory"))[0][1]) as scan:
        pairs = np.array(scan.events.pairs)
    monkeypatch.setattr(petlink, "BLOCK_WORDS", 7)
    np.testing.assert_array_equal(triggers(path, "respiratory"), whole)
    with reading(path, 1, gates_of(path, Gating(3, "respiratory"))[0][1]) as scan:
        np.testing.assert_array_equal(scan.events.pairs, pairs)


def test_every_event_is_in_one_gate_or_in_none(tmp_path):
    words = with_tags(random_words(3, 9000), {RESPIRATORY_ON: [4, 17, 29, 44]})
    path = written(tmp_path, words)
    gates, about = gates_of(path, Gating(4, "respiratory"))
    assert about["triggers"] == 4
    counted, seconds, pairs = 0, 0.0, []
    for gate in gates:
        counts = petlink.histogram(path, 1, window_s=gate)
        with reading(path, 1, gate) as scan:
            assert len(scan.events) == counts.prompt_count
            assert scan.events.duration_s == counts.duration_s == pytest.approx(gate.duration_s)
            assert scan.events.background_total == counts.delayed_count
            pairs.append(np.array(scan.events.pairs))
        counted += counts.prompt_count + counts.delayed_count
        seconds += counts.duration_s
    between = petlink.histogram(path, 1, window_s=(0.004, 0.044))
    assert counted == between.prompt_count + between.delayed_count
    assert seconds == pytest.approx(between.duration_s)
    with reading(path, 1, (0.004, 0.044)) as scan:
        together = np.concatenate(pairs).astype(np.int64)
        key = np.sort(together @ [1 << 20, 1])
        np.testing.assert_array_equal(
            key, np.sort(np.array(scan.events.pairs).astype(np.int64) @ [1 << 20, 1])
        )


def test_time_that_runs_backwards_is_noticed_within_gates(tmp_path):
    path = written(tmp_path, [TIME + 5, TIME + 19, TIME + 4, TIME + 6, TIME + 20])
    with pytest.raises(FormatError, match="backwards 1 time"):
        petlink.histogram(path, 1, window_s=Gate(np.array([[0, 30]], np.int64)))
    with pytest.raises(FormatError, match="backwards 1 time"):
        triggers(path, "cardiac")


def test_a_tag_that_is_late_by_a_few_ms_holds_the_time():
    clock = Clock()
    words = np.array([TIME + 7, 1, TIME + 3, 2, 3, TIME + 9], np.uint32)
    times, counts = clock.stretches(words)
    np.testing.assert_array_equal(times, [0, 7, 7, 9])
    np.testing.assert_array_equal(counts, [0, 2, 3, 1])


BINS = by_name("tiny").bins(span=1, count=23)
GRID = BINS.grid((4.0, 4.0, 2.0), (19, 19, 11))
PLACES = np.array([[16.0, 0.0, 4.0], [0.0, -20.0, 0.0], [-16.0, 8.0, -4.0], [12.0, 20.0, 2.0]])
CYCLES_S = 0.9, 1.2, 1.0, 0.8, 1.1
LEAD_S = 0.5


@pytest.fixture(scope="module")
def moving(tmp_path_factory) -> tuple[Path, np.ndarray, list[tuple[int, float]]]:
    """A source that is at one of four places in each quarter of cycles of unlike length.

    Before the first trigger and after the last one it is at a fifth place.
    """
    path = tmp_path_factory.mktemp("gates") / "scan.l.hdr"
    rng = np.random.default_rng(1)
    project = JosephProjector(GRID, BINS)
    means, activity = [], []
    for place in (*PLACES, np.array([0.0, 0.0, 0.0])):
        image = np.zeros(GRID.shape, np.float32)
        image[tuple(np.rint((place - GRID.origin_mm) / GRID.spacing_mm).astype(int))] = 1.0
        mean = project.forward(image)
        activity.append(4000 / mean.sum())
        means.append(mean * activity[-1])  # counts a second
    behind = np.full(BINS.shape, 400 / np.prod(BINS.shape))
    order, lengths, now, onsets, counts = [4], [LEAD_S], LEAD_S, [LEAD_S], []
    for cycle in CYCLES_S:
        order += range(4)
        lengths += [cycle / 4] * 4
        now += cycle
        onsets.append(now)
    order, lengths = [*order, 4], [*lengths, LEAD_S]
    stretches = []
    for which, seconds in zip(order, lengths, strict=True):
        drawn = list(
            petlink.sample_events(
                BINS, (means[which] + behind) * seconds, behind * seconds, seconds, rng
            )
        )
        stretches += drawn
        counts.append(int(sum(each.prompt.sum() for each in drawn)))
    petlink.write_events(path, BINS, stretches)
    with path.open("a") as header:
        header.write("isotope gamma halflife (sec):=60\n")
    data = path.with_suffix("")
    words = np.fromfile(data, "<u4")
    starts = np.rint(1000 * np.array(onsets)).astype(int)
    with_tags(words, {RESPIRATORY_ON: starts, RESPIRATORY_OFF: starts + 300}).tofile(data)
    quarters = [
        (sum(n for n, which in zip(counts, order, strict=True) if which == k), activity[k])
        for k in range(4)
    ]
    return path, np.array(onsets), quarters


HOW = ("--iterations", 3, "--subsets", 2, "--voxel-mm", 4, 4, 2, "--size", 19, 19, 11, "--span", 1)


def check_places(out: Path, quarters: list[tuple[int, float]]) -> None:
    """Each gate shows the source at its place with its activity, and counts add up."""
    image = nib.load(out)
    voxels = np.asarray(image.dataobj, np.float64)
    assert voxels.shape == (19, 19, 11, 4)
    told = json.loads(out.with_suffix("").with_suffix(".json").read_text())
    seconds = sum(CYCLES_S) / 4
    np.testing.assert_allclose(told["GateDuration"], seconds, atol=0.006)
    facts = told["Facts"]["gates"]
    counted = [each["prompts"] for each in facts]
    np.testing.assert_allclose(counted, [n for n, _ in quarters], rtol=0.004)
    where = np.stack(np.meshgrid(*map(np.arange, voxels.shape[:3]), indexing="ij"), -1)
    for gate, (place, (_, activity)) in enumerate(zip(PLACES, quarters, strict=True)):
        data = voxels[..., gate]
        peak = np.unravel_index(data.argmax(), data.shape)
        ijk = (np.linalg.inv(image.affine) @ [*place, 1])[:3]
        assert np.abs(np.array(peak) - ijk).max() < 0.5
        near = data[np.abs(where - ijk).max(axis=-1) < 3].sum()
        assert near == pytest.approx(activity, rel=0.05)  # 5,000 counts: 1.4 %
    assert told["Units"] == "counts/mm/s"


def with_r_waves(path, to):
    """Copy a file with R waves in place of its breaths."""
    words = np.fromfile(path.with_suffix(""), "<u4")
    words[words == RESPIRATORY_ON] = R_WAVE_ALONE
    words.tofile(to / path.stem)
    (to / path.name).write_bytes(path.read_bytes())
    return to / path.name


@pytest.mark.parametrize(
    ("by", "kind"),
    [(("--list-mode",), "respiratory"), ((), "respiratory"), (("--list-mode",), "cardiac")],
    ids=["events", "sinograms", "cardiac"],
)
def test_a_moving_source_stands_still_in_each_gate(moving, tmp_path, by, kind):
    path, _, quarters = moving
    path = path if kind == "respiratory" else with_r_waves(path, tmp_path)
    out = tmp_path / "gates.nii.gz"
    assert run("recon", path, "-o", out, "--gates", 4, "--gate-by", kind, *by, *HOW) == 0
    check_places(out, quarters)
    told = json.loads((tmp_path / "gates.json").read_text())
    gating = told["Facts"]["gating"]
    assert (gating["by"], gating["triggers"]) == (kind, 6)
    assert gating["cycle_s"]["median"] == pytest.approx(1.0, abs=0.01)


def test_tables_of_triggers_and_of_stretches_say_the_same(moving, tmp_path):
    path, onsets, _ = moving
    table = tmp_path / "triggers.tsv"
    table.write_text("onset\ttrial_type\n" + "".join(f"{t:.3f}\tbreath\n" for t in onsets))
    rows = [
        f"{start + k * (end - start) / 4:.6f}\t{(end - start) / 4:.6f}\t{k + 1}"
        for start, end in itertools.pairwise(onsets)
        for k in range(4)
    ]
    rest = tmp_path / "stretches.tsv"
    rest.write_text("\n".join(["onset\tduration\tgate", *rows]) + "\n")
    made = []
    for flags in (("4", "respiratory"), ("4", str(table)), (str(rest), "")):
        gates, _ = gates_of(path, Gating.of_text(*flags))
        made.append([gate.stretches_ms.tolist() for gate in gates])
    assert made[0] == made[1] == made[2]


def test_a_gate_is_as_bright_as_a_frame_of_the_same_rate(moving, tmp_path):
    """Durations count: two gates unlike in length have the same rate of a source at rest."""
    path, onsets, _ = moving
    table = tmp_path / "stretches.tsv"
    rows = [(0.0, 0.2, 1), (0.2, 0.3, 2), (onsets[-1], 0.25, 1), (onsets[-1] + 0.25, 0.25, 2)]
    text = "onset\tduration\tgate\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)
    table.write_text(text)
    out = tmp_path / "rest.nii.gz"
    assert (
        run("recon", path, "-o", out, "--list-mode", "--gates", table, "--decay-corrected", *HOW)
        == 0
    )
    told = json.loads((tmp_path / "rest.json").read_text())
    assert told["GateDuration"] == [0.45, 0.55]
    assert told["DecayCorrectionFactor"][0] == pytest.approx(1.03, abs=0.03)
    one, two = np.asarray(nib.load(out).dataobj).sum(axis=(0, 1, 2))
    assert one == pytest.approx(two, rel=0.12)  # 1,800 and 2,200 counts


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--gates", 4, "--gate-by", "cardiac"), "no cardiac triggers (it has 12 words about"),
        (("--gates", 4), "say --gate-by"),
        (("--gate-by", "respiratory"), "how many phases"),
        (("--gates", 4, "--gate-by", "respiratory", "--frames", "0:2"), "not both"),
        (("--gates", 4, "--gate-by", "{}/none.tsv"), "gate_by: there is no "),
        (("--gates", 4, "--gate-by", "{}/late.tsv"), "holds 5.25 s of a gate of 25 s"),
        (("--gates", 4, "--gate-by", "{}/back.tsv"), "triggers follow one another"),
        (("--gates", "{}/late.tsv"), "no table with onset, duration, gate"),
        (("--gates", "{}/half.tsv"), "numbered 1, 2"),
        (
            ("--gates", 4, "--gate-by", "respiratory", "--resume"),
            "have no checkpoints",
        ),
        (("--gates", 4, "--gate-by", "respiratory", "-o", "{}/x.hv"), "written as NIfTI"),
    ],
)
def test_what_gates_refuse(moving, tmp_path, capsys, flags, reason):
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "late.tsv").write_text("onset\n0\n1\n100\n")
    (tables / "back.tsv").write_text("onset\n3\n1\n")
    (tables / "half.tsv").write_text("onset\tduration\tgate\n0\t1\t1.5\n")
    out = tmp_path / "out"
    out.mkdir()
    flags = [str(flag).format(tables) for flag in flags]
    where = () if "-o" in flags else ("-o", out / "x.nii.gz")
    assert run("recon", moving[0], "--list-mode", *where, *flags, *HOW) > 0
    said = capsys.readouterr().err
    assert reason in said
    assert "Traceback" not in said
    assert not list(out.iterdir())
