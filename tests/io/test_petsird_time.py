"""What PETSIRD files of the stock library say over time besides events: dead time, triggers."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from emrecon.errors import FormatError
from emrecon.io.gates import triggers
from emrecon.io.petsird.deadtime import AliveTime
from emrecon.io.petsird.events import all_pairs, reading
from emrecon.io.petsird.file import PetsirdFile
from emrecon.io.petsird.scanner import Efficiencies, ModuleType
from emrecon.tomo.gates import Gate
from phantoms.cylinder import uniform_cylinder
from phantoms.phantom import Phantom
from phantoms.shapes import Material, ellipsoid
from phantoms.simulate_events import simulate_events
from tests.cli.test_commands import run
from tests.io.test_petsird_recon import BINS, image_of, saved

petsird = pytest.importorskip("petsird")

pytestmark = pytest.mark.slow

MODULES, PLACES = 8, 36
"""Modules of the tiny scanner, and crystals in each."""


def interval(start, stop):
    return petsird.TimeInterval(start=start, stop=stop)


def dead_time(start, stop, singles, pairs):
    """A block about dead time: `singles` of detection bins, `pairs` of modules (square)."""
    cell = np.empty(1, object)
    cell[0] = [[float(pairs[m, n]) for n in range(m + 1)] for m in range(len(pairs))]
    alive = petsird.AliveTimeFractions(
        singles_alive_time_fractions=[np.asarray(singles, np.float32)],
        module_pair_alive_time_fractions=[[cell]],
    )
    block = petsird.DeadTimeTimeBlock(
        time_interval=interval(start, stop), alive_time_fractions=alive
    )
    return petsird.TimeBlock.DeadTimeTimeBlock(block)


def trigger(ms, number):
    block = petsird.ExternalSignalTimeBlock(time_interval=interval(ms, ms), signal_id=number)
    return petsird.TimeBlock.ExternalSignalTimeBlock(block)


def rewritten(path, source, change, exam=None):
    """Write a file again by the stock library, its list of blocks changed."""
    with petsird.BinaryPETSIRDReader(str(source)) as reader:
        header, blocks = reader.read_header(), list(reader.read_time_blocks())
    header.exam = exam
    with petsird.BinaryPETSIRDWriter(str(path)) as writer:
        writer.write_header(header)
        writer.write_time_blocks(change(blocks))
    return path


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    made = simulate_events(
        uniform_cylinder(28, 60), BINS, counts=60_000, rng=np.random.default_rng(4),
        randoms_fraction=0.2, grid=BINS.grid((4.0, 4.0, 4.0)),
    )  # fmt: skip
    return saved(tmp_path_factory.mktemp("petsird") / "scan.petsird", made, 2.0)


@pytest.fixture(scope="module")
def short(simulated, tmp_path_factory):
    """The first block alone."""
    path = tmp_path_factory.mktemp("short") / "scan.petsird"
    return rewritten(path, simulated, lambda blocks: blocks[:1])


def shares():
    """Unlike shares of time alive: of detection bins, and of pairs of modules."""
    rng = np.random.default_rng(6)
    singles = rng.uniform(0.6, 1.0, MODULES * PLACES)
    pairs = rng.uniform(0.7, 1.0, (MODULES, MODULES))
    return singles, np.tril(pairs) + np.tril(pairs, -1).T


def test_dead_time_is_made_up_for(simulated, tmp_path):
    """Events are lost as the file says, by another share in its second half."""
    scanner = PetsirdFile(simulated).detectors
    assert scanner.types == (ModuleType(0, MODULES, PLACES, 1),)
    singles, pairs = shares()
    rng = np.random.default_rng(7)

    def thinned(blocks, *, told):
        for number, block in enumerate(blocks):
            late = number >= len(blocks) // 2
            if number in {0, len(blocks) // 2} and told:
                yield dead_time(1000 * late, 1000 * late + 1000, singles, pairs * (1 - 0.2 * late))
            for events in (block.value.prompt_events, block.value.delayed_events):
                bins = np.array([each.detection_bins for each in events[0][0]])
                alive = (
                    singles[bins].prod(axis=1) * pairs[bins[:, 0] // PLACES, bins[:, 1] // PLACES]
                )
                keep = rng.random(len(bins)) < alive * (1 - 0.2 * late)
                events[0][0] = [
                    each for each, kept in zip(events[0][0], keep, strict=True) if kept
                ]
            yield block

    how = {"voxel_mm": (4.0, 4.0, 4.0), "size": (19, 19, 6)}
    whole = image_of(simulated, 5, **how).voxels[5:14, 5:14, 1:5].mean()
    found = []
    for told in (True, False):
        path = rewritten(
            tmp_path / f"{told}.petsird", simulated, lambda b, t=told: thinned(b, told=t)
        )
        found.append(image_of(path, 5, **how).voxels[5:14, 5:14, 1:5].mean() / whole)
    assert found[0] == pytest.approx(1, abs=0.025)  # 40,000 events are left
    assert found[1] == pytest.approx(0.64 * 0.85 * 0.9, abs=0.03)


def test_efficiencies_are_the_products_that_the_schema_tells(simulated, tmp_path):
    singles, pairs = shares()
    blocks = [dead_time(0, 1500, singles, pairs), dead_time(1500, 2000, singles, pairs / 2)]
    path = rewritten(tmp_path / "dead.petsird", simulated, lambda rest: [*blocks, *rest])
    plain, file = PetsirdFile(simulated).detectors, PetsirdFile(path)
    bins = np.array([(200, 3), (287, 287), (24, 23), (150, 10)])
    base = plain.efficiencies.of(plain.types, (0, 0), bins)
    for when, late in (
        ((0.0, 9.0), 0.875),
        ((0.0, 1.5), 1.0),
        ((1.0, 2.0), 0.75),
        (Gate(np.array([[1400, 1600]])), 0.75),
    ):
        alive = AliveTime(plain.types, when)
        for _ in PetsirdFile(path).blocks(alive.add):
            pass
        made = alive.applied(plain.efficiencies, 100.0).of(plain.types, (0, 0), bins)
        share = singles[bins].prod(axis=1) * pairs[bins[:, 0] // PLACES, bins[:, 1] // PLACES]
        np.testing.assert_allclose(made, base * share * late, rtol=1e-5)
    with reading(path) as scan:
        assert scan.facts["dead_time"] == "corrected"
        assert scan.bins.passing
        total = sum(chunk.factors.sum(dtype=float) for chunk in scan.bins.every())
        everywhere = sum(c.factors.sum(dtype=float) for c in all_pairs(plain).every())
        assert 0.3 < total / everywhere < 0.6
    assert file.share < 1


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        (lambda s, p: [dead_time(0, 30, s, p)], r"told for 0\.03 s of the 0\.1 s"),
        (lambda s, p: [dead_time(0, 0, s, p)], "told for 0 s"),
        (lambda s, p: [dead_time(0, 2000, 2 * s, p)], "from 0 .dead. to 1"),
        (lambda s, p: [dead_time(0, 2000, s[1:], p)], "a table of"),
        (lambda s, p: [dead_time(0, 2000, s, p[1:, 1:])], "not one table of"),
    ],
)
def test_dead_time_that_makes_no_sense(short, tmp_path, blocks, reason):
    told = blocks(*shares())
    path = rewritten(tmp_path / "dead.petsird", short, lambda rest: [*told, *rest])
    with pytest.raises(FormatError, match=reason), reading(path):
        pass


def test_older_tables_of_dead_time():
    """Before version 0.10: a matrix, or one number for all modules, or none."""
    types = (ModuleType(0, 2, 3, 1),)
    nothing = Efficiencies(2.0, (), {}, {})
    for table, wanted in (
        ([[np.array([[0.5, 0.4], [0.4, 0.6]], np.float32)]], 0.4),
        ([[np.array([[0.3]], np.float32)]], 0.3),
        (None, 1.0),
    ):
        alive = AliveTime(types, (0.0, 1.0))
        given = {"singlesAliveTimeFractions": [np.full(6, 0.5, np.float32)]}
        given["moduleCoincidenceAliveTimeFractions"] = table
        alive.add({"timeInterval": {"start": 0, "stop": 10}, "aliveTimeFractions": given})
        made = alive.applied(nothing, 10.0).of(types, (0, 0), np.array([[4, 1]]))
        assert made[0] == pytest.approx(2.0 * 0.25 * wanted)


WHERE = np.array([[18.0, -9.0, 3.0], [-12.0, 21.0, -4.0]])


@pytest.fixture(scope="module")
def breathing(tmp_path_factory):
    """A source that is at one place in the first half of each second, elsewhere in the second."""
    folder = tmp_path_factory.mktemp("breathing")
    blocks = []
    for place in WHERE:
        body = ellipsoid(place, (1.5, 1.5, 1.5)).filled(Material(1.0, 0.0), label=1)
        made = simulate_events(
            Phantom("point", (body,), {1: "one"}),
            BINS,
            counts=20_000,
            rng=np.random.default_rng(3),
        )
        source = saved(folder / "one.petsird", made, 4.0)
        with petsird.BinaryPETSIRDReader(str(source)) as reader:
            reader.read_header()
            blocks.append(list(reader.read_time_blocks()))
    kinds = petsird.ExternalSignalTypeEnum
    exam = petsird.ExamInformation(
        external_signals=[
            petsird.ExternalSignal(type=kinds.RESP_TRIGGER, description="belt", id=7),
            petsird.ExternalSignal(type=kinds.ECG_TRACE, description="", id=8),
        ]
    )

    def mixed(_):
        for number, pair in enumerate(zip(*blocks, strict=True)):
            if number % 10 == 0:
                yield trigger(100 * number, 7)
                yield trigger(100 * number + 3, 8)
            yield pair[number % 10 >= 5]

    return rewritten(folder / "scan.petsird", source, mixed, exam)


def test_a_breathing_source_stands_still_in_each_gate(breathing, tmp_path):
    np.testing.assert_array_equal(triggers(breathing, "respiratory"), [0, 1000, 2000, 3000])
    out = tmp_path / "gates.nii.gz"
    how = ("--iterations", 6, "--subsets", 1, "--voxel-mm", 4, 4, 2, "--size", 19, 19, 11)
    gates = ("--gates", 2, "--gate-by", "respiratory")
    assert run("recon", breathing, "-o", out, "--list-mode", *gates, *how) == 0
    image = nib.load(out)
    told = json.loads((tmp_path / "gates.json").read_text())
    assert told["GateDuration"] == [1.5, 1.5]
    counted = [each["prompts"] for each in told["Facts"]["gates"]]
    np.testing.assert_allclose(counted, 7500, rtol=0.05)
    for gate, place in enumerate(WHERE):
        data = np.asarray(image.dataobj)[..., gate]
        at = np.stack(np.meshgrid(*map(np.arange, data.shape), indexing="ij"), -1)
        found = np.average(at.reshape(-1, 3), axis=0, weights=data.ravel())
        world = image.affine[:3, :3] @ found + image.affine[:3, 3]
        assert np.all(np.abs(world - place) < (2.0, 2.0, 1.0))


def test_what_gates_of_petsird_refuse(breathing, tmp_path, capsys):
    for flags, reason in (
        ((2, "cardiac"), "no cardiac triggers (its signals are ecgTrace, respTrigger)"),
        ((20, "respiratory"), "to 100 ms, and stretches of a gate last 50 ms"),
    ):
        out = tmp_path / "x.nii.gz"
        asked = ("--list-mode", "--gates", flags[0], "--gate-by", flags[1])
        assert run("recon", breathing, "-o", out, *asked) > 0
        assert reason in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
