"""EM over single events: as in bins where binning loses nothing, in chunks, in subsets."""

from __future__ import annotations

from itertools import repeat

import numpy as np
import pytest

from emrecon.em import em, last, until
from emrecon.errors import GeometryError
from emrecon.stop import after
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.listmode_emission import ListmodeEmission
from emrecon.tomo.operators.algebra import Chain
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.lines import EventProjector, LineProjector
from tests.tomo.test_lines import whole_pairs

FOV_MM = 31.7


def ring_case(seed: int = 1, mean: float = 30.0):
    """Counts in bins that are one detector pair each, and the same counts as events."""
    rng = np.random.default_rng(seed)
    bins, pairs = whole_pairs()
    grid = bins.grid((3.0, 3.0, 4.1), (21, 23, 5))
    projector = JosephProjector(grid, bins, fov_mm=FOV_MM)
    image = np.zeros(grid.shape, np.float32)
    image[6:14, 8:17, 1:4] = 1
    image[9:11, 10:12, 2] = 4
    factors = rng.uniform(0.2, 1.0, bins.shape).astype(np.float32)
    factors[:, 3] = 0  # dead
    background = rng.uniform(0, 2, bins.shape).astype(np.float32)
    model = factors * projector.forward(image)
    scale = mean / model.mean()
    counts = rng.poisson(scale * model + background).astype(np.float32)
    counts[factors == 0] = 0
    order = np.repeat(np.arange(counts.size), counts.ravel().astype(int))
    rng.shuffle(order)
    events = Events(
        pairs.points_mm,
        pairs.pairs[order],
        factors=factors.ravel()[order],
        background=background.ravel()[order],
        background_total=float(background[factors > 0].sum()),
    )
    binned = Emission(projector, counts, factors, background)
    return grid, binned, events


def run(likelihood, start, updates):
    return last(until(em(repeat(Mlem(likelihood)), start), after(updates)))


def test_events_and_sinogram_give_the_same_image_after_the_same_updates():
    grid, binned, events = ring_case()
    lines = LineProjector(grid, FOV_MM)
    single = ListmodeEmission(lines, events, binned.sensitivity)
    start = (binned.sensitivity > 0).astype(np.float32)
    for updates in (1, 20):
        wanted, found = run(binned, start, updates), run(single, start, updates)
        spread = np.abs(found.params - wanted.params).max() / wanted.params.max()
        assert spread < 1e-3
        assert found.log_likelihood == pytest.approx(wanted.log_likelihood, rel=1e-5)
    assert wanted.params.max() > 3 * wanted.params.mean()


def test_the_sum_over_pairs_is_the_sensitivity():
    grid, binned, _ = ring_case()
    _, pairs = whole_pairs()
    factors = binned.factors.ravel()
    summed = EventProjector(LineProjector(grid, FOV_MM), pairs).adjoint(factors)
    np.testing.assert_allclose(summed, binned.sensitivity, rtol=1e-3, atol=1e-2)


def test_likelihood_rises_with_resolution_model_and_chunks_change_nothing():
    grid, binned, events = ring_case(2, mean=3.0)
    blur = Blur(grid, (5.0, 5.0, 5.0))
    sensitivity = Chain(binned.system, blur).adjoint(binned.factors)
    lines = LineProjector(grid, FOV_MM)
    model = ListmodeEmission(lines, events, sensitivity, blur=blur)
    start = (sensitivity > 0).astype(np.float32)
    likelihoods = [i.log_likelihood for i in until(em(repeat(Mlem(model)), start), after(8))]
    assert np.all(np.diff(likelihoods) > 0)
    small = ListmodeEmission(lines, events, sensitivity, blur=blur, at_once=257)
    np.testing.assert_allclose(small.expect(start)[0], model.expect(start)[0], rtol=1e-4)


def test_subsets_share_out_all_events_once():
    _, _, events = ring_case()
    for subsets in (1, 3, 7):
        seen = [part.pairs for n in range(subsets) for part in events.subset(n, subsets, 1000)]
        together = np.concatenate(seen)
        assert len(together) == len(events)
        np.testing.assert_array_equal(
            np.sort(together.view("u4").ravel()), np.sort(events.pairs.copy().view("u4").ravel())
        )
        assert subsets == 1 or max(len(s) for s in seen) <= 1000


def test_ordered_subsets_come_near_the_same_image_sooner():
    grid, binned, events = ring_case(3, mean=100.0)
    lines, seen = LineProjector(grid, FOV_MM), binned.sensitivity
    start = (seen > 0).astype(np.float32)
    goal = run(ListmodeEmission(lines, events, seen), start, 24).params
    models = [Mlem(ListmodeEmission(lines, events, seen, (n, 6))) for n in range(6)]
    fast = last(until(em(models * 4, start), after(23))).params
    slow = run(ListmodeEmission(lines, events, seen), start, 4).params
    distance = [float(np.linalg.norm(x - goal)) for x in (fast, slow)]
    assert distance[0] < 0.5 * distance[1]


def test_a_turned_timing_puts_a_source_elsewhere():
    """A source off the middle comes back at its place, and does not if the sign is turned."""
    rng = np.random.default_rng(5)
    _, pairs = whole_pairs()
    grid, _, _ = ring_case()
    timing = Timing(fwhm_mm=15.0, width_mm=5.0, bins=41)
    place = np.array([15.0, -21.0, 0.0])
    source = np.zeros(grid.shape, np.float32)
    i, j, k = np.rint((place - grid.origin_mm) / grid.spacing_mm).astype(int)
    source[i, j, k] = 1
    lines = LineProjector(grid, FOV_MM)
    seen = EventProjector(lines, pairs).forward(source)
    chosen = rng.choice(len(pairs), 20_000, p=seen / seen.sum(dtype=float))
    ends = pairs.points_mm[pairs.pairs[chosen]].astype(float)
    middle, along = ends.mean(axis=1), ends[:, 1] - ends[:, 0]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    distance = ((place - middle) * along).sum(axis=1) + rng.normal(0, timing.sigma_mm, 20_000)
    bin_ = np.clip(np.rint(distance / timing.width_mm) + 20, 0, 40).astype(np.int16)
    sensitivity = EventProjector(lines, pairs).adjoint(np.ones(len(pairs), np.float32))
    start = (sensitivity > 0).astype(np.float32)
    peaks = []
    for tof in (bin_, (40 - bin_).astype(np.int16)):
        events = pairs.with_(pairs=pairs.pairs[chosen], tof=tof, timing=timing)
        image = run(ListmodeEmission(lines, events, sensitivity), start, 10).params
        at = np.array(np.unravel_index(np.argmax(image), image.shape))
        peaks.append(float(np.abs(at - (i, j, k)).max()))
    assert peaks[0] <= 0.5
    assert peaks[1] > 1


def test_refuses_what_does_not_fit():
    grid, binned, events = ring_case()
    lines, seen = LineProjector(grid, FOV_MM), binned.sensitivity
    with pytest.raises(GeometryError, match="sensitivity of shape"):
        ListmodeEmission(lines, events, seen[1:])
    with pytest.raises(GeometryError, match="subset 3 of 3"):
        ListmodeEmission(lines, events, seen, (3, 3))


@pytest.mark.parametrize(
    ("number", "subsets"), [(2_118_770, 8), (20_011, 12), (999_983, 21), (70, 3)]
)
def test_subsets_have_as_many_events_each(number, subsets):
    """Of 2,118,770 in 8 some had 1.5 % more, by which the image of the last was too low."""
    pairs = np.zeros((number, 2), np.uint16)
    events = Events(np.zeros((1, 3), np.float32), pairs)
    counts = [sum(len(some) for some in events.subset(n, subsets)) for n in range(subsets)]
    assert sum(counts) == number
    assert max(counts) - min(counts) <= max(1, 0.01 * number / subsets)
