"""Line integrals of single events against plain sampling, and against the sinogram projector."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from emrecon.errors import DataError, GeometryError
from emrecon.testing import check_operator
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.geometry.segments import ring_difference_ranges
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.lines import EventProjector, LineProjector
from emrecon.tomo.settings import Settings
from emrecon.volume import Grid
from tests.tomo.makers import SMALL

GRID = Grid((17, 14, 11), (3.0, 3.5, 4.1), (-22.0, -25.0, -19.0))
TIMING = Timing(fwhm_mm=20.0, width_mm=7.0, bins=31)
FINE = Grid((70, 66, 40), (0.7, 0.8, 1.1), (-22.0, -25.0, -19.0))  # many slabs; cut lines but for
SHORT = Timing(fwhm_mm=8.0, width_mm=4.0, bins=31)  # this timing


def random_events(count: int, seed: int = 0, timing: Timing | None = None) -> Events:
    rng = np.random.default_rng(seed)
    ends = rng.uniform(-60, 60, (2, count, 3))
    events = Events.between_ends(*ends)
    if timing is None:
        return events
    tof = rng.integers(0, timing.bins, count).astype(np.int16)
    return events.with_(tof=tof, timing=timing)


def samples(events: Events, grid: Grid, fov_mm: float):
    """Places (voxels), lengths (mm) and distances from the middle of all samples of each line."""
    for one, two in events.points_mm[events.pairs].astype(float):
        along = two - one
        axis = int(np.argmax(np.abs(along)))
        layer = grid.centres_mm(axis)
        t = (layer - one[axis]) / along[axis]
        at = one + t[:, None] * along
        seen = (t >= 0) & (t <= 1) & (np.hypot(at[:, 0], at[:, 1]) <= fov_mm)
        length = grid.spacing_mm[axis] * np.linalg.norm(along) / abs(along[axis])
        places = (at - grid.origin_mm) / grid.spacing_mm
        if axis != 2:  # along the scanner's axis the image goes on for a voxel as it ends
            last = grid.shape[2] - 1
            near = (places[:, 2] > -1) & (places[:, 2] < last + 1)
            places[near, 2] = np.clip(places[near, 2], 0, last)
            places[~near, 2] = -9
        yield places[seen], length, (t[seen] - 0.5) * np.linalg.norm(along)


def sampled(image, events: Events, grid: Grid, fov_mm: float):
    sums = []
    for e, (places, length, distance) in enumerate(samples(events, grid, fov_mm)):
        values = map_coordinates(image.astype(float), places.T, order=1, mode="grid-constant")
        if events.timing is not None:
            values *= events.timing.weights(distance)[:, events.tof[e]]
        sums.append(values.sum() * length)
    return np.array(sums)


@pytest.mark.slow
@pytest.mark.parametrize("timing", [None, TIMING])
@pytest.mark.parametrize("fov_mm", [np.inf, 17.3])
def test_forward_adds_up_samples_along_the_line(timing, fov_mm):
    events = random_events(400, 1, timing)
    image = np.random.default_rng(2).random(GRID.shape, np.float32)
    wanted = sampled(image, events, GRID, fov_mm)
    found = EventProjector(LineProjector(GRID, fov_mm), events).forward(image)
    assert np.count_nonzero(wanted) > 20
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("timing", [None, TIMING])
def test_events_are_an_operator(timing):
    operator = EventProjector(LineProjector(GRID, 24.0), random_events(5000, 3, timing))
    check_operator(operator, np.random.default_rng(4))


def test_lines_along_an_axis_and_beside_the_image():
    one = [[0, 0, -50], [0, -50, 1.3], [-50, 3, 0], [40, -50, 0], [1, 1, 1]]
    two = [[0, 0, 50], [0, 50, 1.3], [50, 3, 0], [40, 50, 0], [1, 1, 1]]
    events = Events.between_ends(one, two)
    found = EventProjector(LineProjector(GRID), events).forward(np.ones(GRID.shape, np.float32))
    # Ones, zero from one voxel beyond the ends: layers times spacing; a line without length is 0.
    np.testing.assert_allclose(found, [11 * 4.1, 14 * 3.5, 17 * 3.0, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("timing", [None, TIMING])
def test_lines_that_are_not_finite_hit_nothing(timing):
    events = random_events(300, 11)
    broken = events.points_mm.copy()
    wild = np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e10])
    at = np.arange(0, 600, 7)
    broken[at, at % 3] = wild[at % 6]
    if timing is not None:
        events = events.with_(tof=np.full(300, 15, np.int16), timing=timing)
    ones, data = np.ones(GRID.shape, np.float32), np.ones(300, np.float32)
    lines = LineProjector(GRID)
    wanted = EventProjector(lines, events).forward(ones)
    whole = np.ones(300, np.float32)
    whole[at // 2] = 0  # point p is an end of line p // 2
    operator = EventProjector(lines, events.with_(points_mm=broken))
    assert np.count_nonzero(wanted * whole) > 20
    np.testing.assert_array_equal(operator.forward(ones), wanted * whole)
    back = EventProjector(lines, events).adjoint(whole)
    np.testing.assert_array_equal(operator.adjoint(data), back)


@pytest.mark.parametrize("timing", [None, TIMING])
def test_lines_of_no_length_far_off_on_borders_and_none_at_all(timing):
    x0, y0, z0 = GRID.origin_mm
    one = [[0, 0, 0], [-50, 500, 0], [-50, y0, z0], [-50, y0 - 1.75, 0], [-50, y0 + 1.75, 0]]
    two = [[0, 0, 0], [50, 500, 0], [50, y0, z0], [50, y0 - 1.75, 0], [50, y0 + 1.75, 0]]
    one, two = [*one, [x0 - 3, 0, -50], [x0 - 2.9, 0, -50]], [*two, [x0 - 3, 0, 50], [x0, 0, 50]]
    events = Events.between_ends(one, two)
    if timing is not None:
        events = events.with_(tof=np.full(len(one), 15, np.int16), timing=timing)
    image = np.ones(GRID.shape, np.float32)
    operator = EventProjector(LineProjector(GRID), events)
    found, wanted = operator.forward(image), np.zeros(len(one))
    whole = operator.events.part(2, len(one))  # a line of no length has no direction
    wanted[2:] = sampled(image, whole, GRID, np.inf)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-3)
    if timing is None:
        np.testing.assert_allclose(found[:6], [0, 0, 51, 25.5, 51, 0], rtol=1e-5)
    back = operator.adjoint(np.ones(len(one), np.float32))
    assert back.sum() == pytest.approx(found.sum(), rel=1e-5)
    nothing = EventProjector(LineProjector(GRID), events.part(0, 0))
    assert nothing.forward(image).shape == (0,)
    assert not nothing.adjoint(np.zeros(0, np.float32)).any()


def test_bins_of_time_add_up_to_the_whole_line():
    events = random_events(300, 5)
    lines = LineProjector(GRID, 20.0)
    image = np.random.default_rng(6).random(GRID.shape, np.float32)
    whole = EventProjector(lines, events).forward(image)
    summed = np.zeros_like(whole)
    for bin_ in range(TIMING.bins):
        timed = events.with_(tof=np.full(len(events), bin_, np.int16), timing=TIMING)
        summed += EventProjector(lines, timed).forward(image)
    np.testing.assert_allclose(summed, whole, rtol=1e-4, atol=1e-3)


def test_a_late_bin_lies_towards_the_second_end():
    image = np.zeros(GRID.shape, np.float32)
    image[14, 7, 4] = 1  # at x = +20 mm
    ends = [[-60, -0.5, -2.6]], [[60, -0.5, -2.6]]
    seen = []
    for bin_ in (18, 12):  # 21 mm towards end 2, and towards end 1
        events = Events.between_ends(*ends).with_(tof=np.int16([bin_]), timing=TIMING)
        seen.append(float(EventProjector(LineProjector(GRID), events).forward(image)[0]))
    assert seen[0] > 0.5
    assert seen[1] == 0


@pytest.mark.parametrize("timing", [None, TIMING, SHORT])
def test_lines_through_many_slabs_of_the_grid(timing):
    events = random_events(70_000, 12, timing)
    operator = EventProjector(LineProjector(FINE), events)
    rng = np.random.default_rng(13)
    image = rng.random(FINE.shape, np.float32)
    found = operator.forward(image)
    wanted = sampled(image, events.part(0, 150), FINE, np.inf)
    assert np.count_nonzero(wanted) > 15
    np.testing.assert_allclose(found[:150], wanted, rtol=2e-4, atol=2e-3)
    check_operator(operator, rng)


@pytest.mark.parametrize("timing", [TIMING, SHORT])
def test_same_bits_for_any_number_of_threads(timing):
    events = random_events(200_000, 7, timing)
    operator = EventProjector(LineProjector(FINE), events)
    data = np.random.default_rng(8).random(len(events), np.float32)
    ones = np.ones(FINE.shape, np.float32)
    most = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = operator.adjoint(data), operator.forward(ones)
    finally:
        numba.set_num_threads(most)
    np.testing.assert_array_equal(alone[0], operator.adjoint(data))
    np.testing.assert_array_equal(alone[1], operator.forward(ones))


@pytest.mark.parametrize("shape", [(32768, 1, 1), (8, 6000, 6000)])
def test_refuses_a_grid_that_is_too_large_to_count_in(shape):
    with pytest.raises(GeometryError, match="too many for single lines"):
        LineProjector(Grid(shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    LineProjector(Grid((32767, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))


def whole_pairs(rings: int = 3, crystals: int = 44) -> tuple[Bins, Events]:
    """Bins of which each is one detector pair, and one event on each, in their order."""
    radius = 60.0
    views, offsets = np.arange(crystals // 2), np.arange(-7, 8)
    scanner = SMALL.__class__("pairs", rings, crystals, 4.1, radius, 0.0, 4.0, 15)
    segments = [scanner.segment(*r) for r in ring_difference_ranges(rings, 1, rings - 1)]
    bins = Bins(
        2 * np.pi * views / crystals,
        radius * np.sin(offsets * 2 * np.pi / crystals),
        tuple(segments),
        radius,
        arc_corrected=False,
    )
    angle = 2 * np.pi * np.arange(crystals) / crystals
    ring_mm = (np.arange(rings) - (rings - 1) / 2) * 4.1
    points = np.empty((rings, crystals, 3), np.float32)
    points[..., 0], points[..., 1] = radius * np.sin(angle), -radius * np.cos(angle)
    points[..., 2] = ring_mm[:, None]
    ends = []
    for view in views:
        for t in offsets:  # crystals v + t and v - t + N / 2: only even offsets of a full ring
            one, two = (view + t) % crystals, (view - t + crystals // 2) % crystals
            for segment in segments:
                difference = segment.ring_differences[0]
                ring = np.arange(max(0, -difference), rings - max(0, difference))
                first, second = ring * crystals + one, (ring + difference) * crystals + two
                ends.append(np.column_stack([first, second]))
    return bins, Events(points.reshape(-1, 3), np.concatenate(ends).astype(np.uint16))


def test_events_on_every_bin_project_as_the_sinogram():
    bins, events = whole_pairs()
    grid = bins.grid((3.0, 3.0, 4.1), (21, 23, 5))
    image = np.random.default_rng(9).random(grid.shape, np.float32)
    sinogram = JosephProjector(grid, bins, fov_mm=31.7)
    single = EventProjector(LineProjector(grid, fov_mm=31.7), events)
    wanted = sinogram.forward(image)
    np.testing.assert_allclose(single.forward(image), wanted.ravel(), rtol=1e-3, atol=1e-2)
    data = np.random.default_rng(10).random(bins.shape, np.float32)
    back = sinogram.adjoint(data)
    np.testing.assert_allclose(single.adjoint(data.ravel()), back, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("axial", [1.3, 1.7, 2.6, 3.3, 4.0, 5.2])
def test_events_see_a_long_object_to_its_end_with_voxels_of_any_size(axial):
    bins, events = whole_pairs()
    grid = grid_of(bins, Settings(voxel_mm=(3.0, 3.0, axial)))
    x, y = grid.centres_mm(0), grid.centres_mm(1)
    object_ = np.hypot(x[:, None], y) < 25
    image = np.repeat(object_[..., None].astype(np.float32), grid.shape[2], axis=2)
    single = EventProjector(LineProjector(grid, bins.fov_mm), events)
    found = single.forward(image).reshape(bins.shape)
    long = Grid((*grid.shape[:2], 99), grid.spacing_mm, (*grid.origin_mm[:2], -49 * axial))
    endless = np.repeat(image[..., :1], 99, axis=2)
    wanted = EventProjector(LineProjector(long, bins.fov_mm), events).forward(endless)
    np.testing.assert_allclose(found, wanted.reshape(bins.shape), rtol=1e-4, atol=1e-3)
    check_operator(single, np.random.default_rng(11))


def test_refuses_detectors_and_bins_that_do_not_exist():
    events = random_events(10)
    operator = EventProjector(LineProjector(GRID), events.with_(points_mm=events.points_mm[:19]))
    with pytest.raises(DataError, match="names detector 19, but there are 19"):
        operator.forward(np.zeros(GRID.shape, np.float32))
    late = random_events(10, timing=TIMING)
    late.tof[3] = 31
    with pytest.raises(DataError, match="bins run from"):
        EventProjector(LineProjector(GRID), late).adjoint(np.zeros(10, np.float32))


def test_refuses_arrays_that_do_not_fit():
    events = random_events(10)
    with pytest.raises(GeometryError, match="factors of shape"):
        events.with_(factors=np.ones(9, np.float32))
    with pytest.raises(GeometryError, match="unsigned"):
        events.with_(pairs=events.pairs.astype(np.int32))
    with pytest.raises(GeometryError, match="timing"):
        events.with_(tof=np.zeros(10, np.int16))
    with pytest.raises(GeometryError, match="image of shape"):
        EventProjector(LineProjector(GRID), events).forward(np.zeros((2, 2, 2), np.float32))
