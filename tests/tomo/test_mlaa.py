"""Activity and attenuation together: steps that never fall, the scale, a map that is found."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise, repeat

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from emrecon.em import em
from emrecon.errors import GeometryError, SettingsError
from emrecon.tomo.algorithms.mlaa import Joint, Mlaa
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.joint import estimate_attenuation
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.prepare import recon
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.volume import Grid, Volume
from phantoms.phantom import LUNG_PER_MM, WATER_PER_MM, Phantom
from phantoms.shapes import Material, cylinder
from phantoms.simulate import Simulation, simulate
from tests.tomo.makers import random_grid, ring_bins

RING = Scanner("one ring", 1, 176, 10.0, 410.0, 7.0, 8.0, 50)
VISION = Timing.of_ps(210, 210, 13)
SETTINGS = Settings(subsets=11, voxel_mm=(8.0, 8.0, 10.0), size=(48, 48, 1))


def wild(seed: int, *, scatter: bool, flat: bool) -> tuple[Mlaa, Joint]:
    """Return counts that no image explains, some of them dead or 0, and where to begin."""
    rng = np.random.default_rng(seed)
    bins = ring_bins(seed)
    timed, grid = bins.timed(Timing(40.0, 30.0, 5)), random_grid(seed, bins)
    system = JosephProjector(grid, timed)
    factors = rng.uniform(0.5, 1, bins.shape).astype(np.float32)
    factors[rng.random(bins.shape) < 0.1] = 0
    background = rng.uniform(0, 3, bins.shape if flat else timed.data_shape).astype(np.float32)
    counts = rng.poisson(4.0, timed.data_shape) * (rng.random(timed.data_shape) < 0.7)
    summed = JosephProjector(grid, timed, summed=True)
    emission = Emission(
        system, counts.astype(np.float32), factors, background if scatter else None, None, summed
    )
    activity = rng.uniform(0, 2, grid.shape).astype(np.float32)
    mu = rng.uniform(0, 0.02, grid.shape).astype(np.float32)
    mu[rng.random(grid.shape) < 0.2] = 0
    return Mlaa(emission, JosephProjector(grid, bins)), Joint(activity, mu)


@pytest.mark.parametrize("background", ["none", "timed", "flat"])
@pytest.mark.parametrize("seed", range(3))
def test_the_likelihood_never_falls(seed: int, background: str) -> None:
    model, start = wild(seed, scatter=background != "none", flat=background == "flat")
    run = list(islice(em(repeat(model), start), 12))
    size = float(np.sum(model.emission.counts)) + abs(run[0].log_likelihood)
    for before, after in pairwise(one.log_likelihood for one in run):
        assert after >= before - 1e-7 * size
    assert run[-1].log_likelihood > run[0].log_likelihood + 1e-4 * size
    assert all(np.isfinite(part).all() and part.min() >= 0 for one in run for part in one.params)


def test_both_steps_see_the_same_likelihood() -> None:
    """That of rays is that of counts, at any activity and map."""
    model, at = wild(1, scatter=True, flat=True)
    other = Joint(at.activity[::-1].copy(), at.mu[:, ::-1].copy())
    as_counts, as_rays = (
        [
            model.attenuated(one.mu).expect(one.activity)[1],
            model.rays(one.activity).expect(one.mu)[1],
        ]
        for one in (at, other)
    )
    assert as_counts[0] - as_counts[1] == pytest.approx(as_rays[0] - as_rays[1], abs=1e-2)


def test_lines_that_are_not_those_of_the_counts_are_refused() -> None:
    model, _ = wild(0, scatter=False, flat=False)
    with pytest.raises(GeometryError, match="takes time-of-flight counts along"):
        replace(model, lines=model.emission.system)


@pytest.fixture(scope="module")
def thorax() -> Simulation:
    """A slice of a chest with a hot lesion in a lung, 40 % randoms and scatter: 3 million."""
    tissue, lung = Material(4.0, WATER_PER_MM), Material(1.5, LUNG_PER_MM)
    lesion = Material(16.0, WATER_PER_MM)
    bodies = [
        cylinder((0, 0, 0), (150, 100), 60).filled(tissue, label=1),
        cylinder((75, 5, 0), (50, 65), 60).filled(lung, inside=tissue, label=2),
        cylinder((-75, 5, 0), (50, 65), 60).filled(lung, inside=tissue, label=2),
        cylinder((75, 5, 0), (16, 16), 60).filled(lesion, inside=lung, label=3),
    ]
    phantom = Phantom("thorax", tuple(bodies), {1: "tissue", 2: "lungs", 3: "lesion"})
    bins = RING.bins(span=1, max_ring_difference=0, views=44, count=48).timed(VISION)
    return simulate(
        phantom, bins, counts=3e6, rng=np.random.default_rng(1), randoms_fraction=0.2,
        scatter_fraction=0.2, grid=Grid.centred((48, 48, 1), (8.0, 8.0, 10.0)),
    )  # fmt: skip


def known(made: Simulation, radius_mm: float) -> Volume:
    """Return the map as it is known outside the lungs, to a distance from the axis; else 0."""
    grid = made.mu.grid()
    away = np.hypot(grid.centres_mm(0)[:, None], grid.centres_mm(1))[:, :, None]
    voxels = np.where((away < radius_mm) & (made.labels.voxels <= 1), made.mu.voxels, 0)
    return Volume(voxels.astype(np.float32), made.mu.affine, "1/mm")


def means(made: Simulation, image: Volume) -> list[float]:
    """Return the means in tissue, lungs and lesion, a voxel from their edges."""
    labels = made.labels.voxels[:, :, 0]
    parts = [binary_erosion(labels == label) for label in (1, 2, 3)]
    return [float(image.voxels[:, :, 0][part].mean()) for part in parts]


@pytest.mark.slow
@pytest.mark.parametrize(("radius_mm", "most"), [(40, 0.08), (300, 0.04)])
def test_map_and_activity_come_out(thorax: Simulation, radius_mm: float, most: float) -> None:
    """Of what is known in 40 ml of the mediastinum, or everywhere but in the lungs.

    An error of 1 % of the map where it is known is one of 4 % of the activity: ones along all
    lines are 0.0021 per mm in the middle of a disc of 150 mm, and 1 % of water over that is 0.045.
    Without attenuation three quarters of the activity are missing.
    """
    bare = thorax.scan.with_(attenuation=None)
    right = np.array(means(thorax, recon(thorax.scan, SETTINGS)))
    assert np.all(means(thorax, recon(bare, SETTINGS)) < 0.4 * right)
    estimate = estimate_attenuation(bare.with_(mu=known(thorax, radius_mm)), SETTINGS, 3)
    off = np.subtract(means(thorax, estimate.mu), means(thorax, thorax.mu))
    assert np.all(np.abs(off) < 0.0006)  # 6 % of water
    corrected = means(thorax, recon(bare.with_(mu=estimate.mu), SETTINGS))
    assert np.all(np.abs(corrected / right - 1) < most)
    assert abs(estimate.facts["log_scales"][-1]) < 0.05


@pytest.mark.slow
def test_the_scale_is_that_of_what_is_known(thorax: Simulation) -> None:
    """Whatever else the counts say: of a denser one, map and activity follow."""
    bare, usual = thorax.scan.with_(attenuation=None), known(thorax, 40)
    found = []
    for mu in (usual, times(usual, 1.05)):
        estimate = estimate_attenuation(bare.with_(mu=mu), SETTINGS, 1)
        image = recon(bare.with_(mu=estimate.mu), SETTINGS)
        found.append((estimate.mu.voxels.sum(), image.voxels.sum()))
    (map_, activity), (denser, brighter) = found
    assert denser > 1.02 * map_
    assert brighter > 1.1 * activity


def times(mu: Volume, factor: float) -> Volume:
    """Return a map of other values."""
    return Volume(mu.voxels * np.float32(factor), mu.affine, mu.unit)


def test_what_tells_no_attenuation_is_refused(thorax: Simulation) -> None:
    bare, mu = thorax.scan.with_(attenuation=None), known(thorax, 40)
    flat = Scan(thorax.scan.bins.untimed, bare.prompts.sum(axis=0), mu=mu)
    aside = Volume(np.roll(mu.voxels, 22, axis=0), mu.affine, mu.unit)
    for scan, why in (
        (flat, "without time of flight"),
        (bare, r"scale of attenuation open: give mlaa a map \(mu or ct\) that is above 0"),
        (bare.with_(mu=times(mu, 0)), "scale of attenuation open: give"),
        (bare.with_(mu=aside), "the map is 0 in all of the body"),
    ):
        with pytest.raises(SettingsError, match=why):
            estimate_attenuation(scan, SETTINGS, 1)
