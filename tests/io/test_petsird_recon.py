"""PETSIRD files to images: places, quantity, and what is refused."""

import json

import numpy as np
import pytest

from emrecon import io
from emrecon.em import last, until
from emrecon.errors import FormatError, SettingsError
from emrecon.io.petsird.events import all_pairs, reading
from emrecon.io.petsird.file import PetsirdFile
from emrecon.io.petsird.write import Coincidences, write
from emrecon.io.scan import read_scan
from emrecon.jobs.recon import reconstruct
from emrecon.stop import after
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.prepare import prepare
from emrecon.tomo.settings import Settings
from phantoms.cylinder import uniform_cylinder
from phantoms.phantom import Phantom
from phantoms.shapes import Material, ellipsoid
from phantoms.simulate_events import simulate_events
from tests.cli.test_commands import run
from tests.io.test_petsird import NEWEST, crystal_mm

BINS = by_name("tiny").bins(count=21).timed(Timing.of_ps(200, 100, 9))


def saved(path, made, seconds=10.0):
    prompts, delayeds = Coincidences(*made.prompts), Coincidences(*made.delayeds)
    write(path, made.bins, prompts, delayeds, seconds, made.efficiencies)
    return path


def by_stock(path, ours):
    """Write the same events again by the stock library alone."""
    petsird = pytest.importorskip("petsird")
    with (
        petsird.BinaryPETSIRDReader(str(ours)) as reader,
        petsird.BinaryPETSIRDWriter(str(path)) as writer,
    ):
        writer.write_header(reader.read_header())
        writer.write_time_blocks(reader.read_time_blocks())
    return path


def image_of(path, updates=15, **settings):
    with reading(path) as scan:
        problem = prepare(scan, Settings(subsets=1, **settings))
        return problem.volume(last(until(problem.iterates(), after(updates))).params)


PLACES = np.array([[18.0, -9.0, 3.0], [0.0, -24.0, -4.0], [-12.0, 21.0, 5.0]])


@pytest.mark.slow
def test_three_points_of_a_stock_file_are_at_their_places(tmp_path):
    """Half a voxel of 4 mm; a turned sign of time of flight moves the first by 36 mm."""
    bodies = tuple(
        ellipsoid(place, (1.5, 1.5, 1.5)).filled(Material(1.0, 0.0), label=k + 1)
        for k, place in enumerate(PLACES)
    )
    phantom = Phantom("points", bodies, {1: "one", 2: "two", 3: "three"})
    made = simulate_events(phantom, BINS, counts=60_000, rng=np.random.default_rng(3))
    path = by_stock(tmp_path / "stock.petsird", saved(tmp_path / "ours.petsird", made))
    volume = image_of(path, voxel_mm=(4.0, 4.0, 2.0), size=(19, 19, 11))
    where = np.stack(
        np.meshgrid(*(volume.grid().centres_mm(a) for a in range(3)), indexing="ij"), -1
    )
    for place in PLACES:
        near = np.linalg.norm(where - place, axis=-1) < 8
        found = np.average(where[near], axis=0, weights=volume.voxels[near])
        assert np.all(np.abs(found - place) < (2.0, 2.0, 1.0))
    far = np.min([np.linalg.norm(where - p, axis=-1) for p in PLACES], axis=0) > 8
    assert volume.voxels[far].sum() < 0.05 * volume.voxels.sum()


@pytest.mark.slow
def test_activity_is_right_with_attenuation_randoms_and_efficiencies(tmp_path):
    from phantoms.detection import Efficiencies

    phantom = uniform_cylinder(28, 60, mu_per_mm=0.01)
    made = simulate_events(
        phantom, BINS, counts=600_000, rng=np.random.default_rng(4), randoms_fraction=0.3,
        efficiencies=Efficiencies(0.3), grid=BINS.grid((2.0, 2.0, 2.0)),
    )  # fmt: skip
    path = saved(tmp_path / "scan.petsird", made)
    io.write_image(made.mu, tmp_path / "mu.nii.gz")
    from emrecon.tomo.inputs import Corrections

    settings = Settings(iterations=6, subsets=4, voxel_mm=(4.0, 4.0, 2.0), size=(19, 19, 11))
    for parts, wanted in (
        (Corrections(mu=tmp_path / "mu.nii.gz"), (0.98, 1.02)),
        (Corrections(), (0.5, 0.85)),
    ):
        out = tmp_path / f"{bool(parts.mu)}.nii.gz"
        done = reconstruct(path, out, settings, parts)
        x, y = (done.volume.grid().centres_mm(axis) for axis in range(2))
        inside = np.hypot(x[:, None], y) < 18
        found = done.volume.voxels[inside][:, 2:-2].mean()
        assert wanted[0] < found / made.truth.voxels.max() < wanted[1]
    assert done.images[0].facts["background"] == len(made.delayeds[0])


def test_randoms_of_pairs_add_to_the_delayeds(tmp_path):
    from phantoms.detection import Efficiencies

    made = simulate_events(
        uniform_cylinder(20, 20), BINS, counts=100_000, rng=np.random.default_rng(5),
        randoms_fraction=0.5, efficiencies=Efficiencies(0.3),
    )  # fmt: skip
    path = saved(tmp_path / "scan.petsird", made)
    with reading(path) as scan:
        events = scan.events
        assert events.background_total == len(made.delayeds[0])
        # Half of the events are randoms: the mean of their share among events says so too.
        around = np.linalg.norm(events.points_mm[:, None] - crystal_mm(np.arange(288)), axis=2)
        product = made.efficiencies.ravel()[around.argmin(axis=1)][events.pairs].prod(axis=1)
        chance = np.array(events.background) / product
    pairs = np.prod(BINS.shape) * BINS.timing.bins
    even = 50_000 / (pairs * np.mean(made.efficiencies) ** 2)
    assert np.median(chance) == pytest.approx(even, rel=0.03)
    assert np.std(chance) < 0.1 * even  # about 350 delayeds a crystal: 5 % each


def test_all_pairs_of_two_kinds_of_modules():
    scanner = PetsirdFile(NEWEST).detectors
    pairs = all_pairs(scanner)
    chunks = list(pairs.every())
    assert len(chunks) == pairs.chunks
    total = 0.0
    for one, two in ((0, 0), (1, 0), (1, 1)):
        a, b = (np.arange(scanner.types[kind].bins) for kind in (one, two))
        bins = np.array([(i, j) for i in a for j in b if one != two or i >= j])
        total += scanner.efficiencies.of(scanner.types, (one, two), bins).sum(dtype=float)
    assert sum(chunk.factors.sum(dtype=float) for chunk in chunks) == pytest.approx(total)


def test_frames_of_events(tmp_path):
    made = simulate_events(
        uniform_cylinder(20, 20), BINS, counts=50_000, rng=np.random.default_rng(6)
    )
    path = saved(tmp_path / "scan.petsird", made)
    how = ListmodeSettings(frames="0:4,4:6")
    settings = Settings(iterations=2, subsets=1, voxel_mm=(4.0, 4.0, 4.0), size=(19, 19, 6))
    done = reconstruct(path, tmp_path / "out.nii.gz", settings, listmode=how)
    counted = [image.facts["prompts"] for image in done.images]
    assert sum(counted) == len(made.prompts[0])
    np.testing.assert_allclose(counted, [20_000, 30_000], rtol=0.03)
    first, second = (voxels.sum() for voxels in done.volume.voxels)
    assert first == pytest.approx(second, rel=0.05)  # rates
    beyond = ListmodeSettings(frames="0:10,10:10")
    with pytest.raises(SettingsError, match="the file holds 0 s of the frame from 10 to 20 s"):
        reconstruct(path, tmp_path / "beyond.nii.gz", settings, listmode=beyond)


def test_different_times_of_flight_are_refused(tmp_path):
    with pytest.raises(FormatError, match="differs between kinds of modules"), reading(NEWEST):
        pass


def test_events_have_no_sinograms():
    with pytest.raises(SettingsError, match="have no sinograms here"):
        read_scan(NEWEST)


def test_a_simulated_folder_is_a_scan_with_its_attenuation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    how = ("--petsird", "--scanner", "tiny", "--counts", 2e4, "--seconds", 5)
    assert run("simulate", "nema", "-o", "scan", *how) == 0
    assert run("recon", "scan", "--iterations", 1, "--frames", "0:5", "--voxel-mm", 4, 4, 4) == 0
    told = json.loads((tmp_path / "recon.json").read_text())
    assert told["Inputs"]["mu"]["File"] == "mu.nii.gz"
    (facts,) = told["Facts"]["frames"]
    assert facts["prompts"] == pytest.approx(2e4, rel=0.03)
    assert run("info", "scan") == 0
    assert "mu.nii.gz" in capsys.readouterr().out
    assert run("simulate", "nema", "-o", "other", "--no-attenuate", *how) == 0
    assert "mu =" not in (tmp_path / "other" / "scan.toml").read_text()
