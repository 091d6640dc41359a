"""Scatter of a sinogram in the events of a PETSIRD file: each in its bin, the activity right."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("petsird", reason="petsird is not installed")

from emrecon.errors import GeometryError
from emrecon.io import interfile
from emrecon.io.petsird.events import reading
from emrecon.tomo.corrections.bin_lookup import Shared, nearest_bins
from emrecon.tomo.corrections.bin_shares import places_of
from emrecon.tomo.geometry.detectors import (
    crystal_centres,
    crystal_pairs,
    planes_of_rings,
    scanner_of,
)
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.geometry.tof import Timing
from phantoms.cylinder import uniform_cylinder
from phantoms.simulate_events import simulate_events
from tests.cli.test_commands import run
from tests.io.test_petsird_recon import BINS, saved


@pytest.mark.parametrize(("span", "views"), [(1, None), (3, None), (3, 12)])
def test_nearest_bins_are_those_that_pairs_are_counted_in(span, views):
    """Held to the rule in whole numbers by which list-mode words are put into sinograms."""
    bins = by_name("tiny").bins(span=span, count=21, views=views)
    points = crystal_centres(scanner_of(bins)).astype(float)
    pairs = np.random.default_rng(1).integers(0, len(points), (20_000, 2)).astype(np.uint32)
    pairs = pairs[places_of(bins, pairs) >= 0]
    assert len(pairs) > 5000
    found, turned = nearest_bins(bins, points[pairs])
    np.testing.assert_array_equal(found, places_of(bins, pairs))
    other, back = nearest_bins(bins, points[pairs[:, ::-1]])
    np.testing.assert_array_equal(other, found)
    np.testing.assert_array_equal(back, ~turned)


def smooth(counts: float) -> np.ndarray:
    """Scatter: broad across, and more on one side in time of flight than on the other."""
    across = np.cos(BINS.s_mm / 60)[:, None] * np.ones(BINS.shape[2])
    flight = np.exp(-0.5 * ((BINS.timing.centres_mm - 12) / 25) ** 2)[:, None, None, None]
    turn = 1 + 0.5 * np.cos(BINS.phi_rad)[:, None, None]
    mean = flight * turn * across
    return (mean * counts / mean.sum()).astype(np.float32)


def drawn(mean: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return crystals, time-of-flight bin and mean of coincidences drawn from single-pair bins."""
    rings = np.stack(np.nonzero(planes_of_rings(BINS) >= 0))
    of_plane = np.empty((2, BINS.shape[2]), np.int64)
    of_plane[:, planes_of_rings(BINS)[tuple(rings)]] = rings
    tof, view, at, plane = np.nonzero(counts := rng.poisson(mean))
    ends = [
        of_plane[end, plane] * scanner_of(BINS).crystals + around[view, at, 0]
        for end, around in enumerate(crystal_pairs(BINS))
    ]
    often = counts[tof, view, at, plane]
    pairs = np.column_stack(ends).astype(np.uint32)
    return tuple(
        np.repeat(data, often, axis=0)
        for data in (pairs, tof.astype(np.int16), mean[tof, view, at, plane])
    )


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A cylinder whose file holds scatter besides, with the sinogram of its mean."""
    folder, rng = tmp_path_factory.mktemp("scatter"), np.random.default_rng(2)
    made = simulate_events(
        uniform_cylinder(28, 60), BINS, counts=150_000, rng=rng, attenuate=False
    )
    mean = smooth(100_000)
    pairs, tof, means = drawn(mean, rng)
    both = tuple(map(np.concatenate, zip(made.prompts, (pairs, tof), strict=True)))
    object.__setattr__(made, "prompts", both)
    scatter = pairs, tof, means
    interfile.write_projections(folder / "scatter.hs", BINS, mean)
    saved(folder / "scan.petsird", made)
    return folder, made, scatter


def test_each_event_has_the_scatter_of_its_bin(scan):
    """In its time-of-flight bin, however the file turns its pair round."""
    folder, _, (pairs, tof, means) = scan
    read = interfile.read_projections(folder / "scatter.hs")
    points = crystal_centres(scanner_of(BINS))
    every = np.column_stack(np.triu_indices(len(points), 1)).astype(np.uint32)
    pairs_of_all = Pairs(points, 1, lambda: iter([Events(points, every)]))
    shared = Shared(read.bins, read.data, pairs_of_all, BINS.timing)
    assert shared.total == pytest.approx(100_000)
    events = Events(points, pairs, tof, BINS.timing)
    np.testing.assert_allclose(shared.of(events), means, rtol=1e-5)
    back = Events(points, pairs[:, ::-1], BINS.timing.bins - 1 - tof, BINS.timing)
    np.testing.assert_allclose(shared.of(back), means, rtol=1e-5)


def test_scatter_of_another_scanner_or_timing_is_refused(scan):
    folder, *_ = scan
    for bins, reason in (
        (BINS.timed(Timing.of_ps(200, 50, 9)), "9 time-of-flight bins of 7.495 mm, the events"),
        (BINS.untimed, "the scatter has no time of flight, the events"),
        (by_name("ECAT HR+").bins(max_ring_difference=1).timed(BINS.timing), "another scanner"),
    ):
        given = bins, np.broadcast_to(np.float32(1), bins.data_shape)
        with (
            pytest.raises(GeometryError, match=reason),
            reading(folder / "scan.petsird", scatter=given),
        ):
            pass


HOW = ("--iterations", 6, "--subsets", 4, "--voxel-mm", 4, 4, 2, "--size", 19, 19, 11)


def test_activity_is_right_with_scatter(scan, tmp_path):
    from emrecon.io import read_image

    folder, made, _ = scan
    out = tmp_path / "out.nii.gz"
    assert (
        run("recon", folder / "scan.petsird", "-o", out, "--scatter", folder / "scatter.hs", *HOW)
        == 0
    )
    volume = read_image(out)
    x, y = (volume.grid().centres_mm(axis) for axis in range(2))
    inside = volume.voxels[np.hypot(x[:, None], y) < 18][:, 2:-2].mean()
    assert inside / made.truth.voxels.max() == pytest.approx(1, abs=0.03)
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["Inputs"]["scatter"]["File"] == "scatter.hs"
    assert told["Facts"]["background"] == pytest.approx(100_000)
