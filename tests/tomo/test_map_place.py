"""Attenuation maps that cannot lie where the counts come from are told, with millimetres."""

from __future__ import annotations

import re

import numpy as np
import pytest

from emrecon.tomo.corrections import attenuation, map_place
from emrecon.tomo.corrections.bin_places import places_of
from emrecon.tomo.corrections.direct_events import in_direct_planes
from emrecon.tomo.corrections.map_shift import say_elsewhere
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.detectors import crystal_centres, crystal_pairs, planes_of_rings
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.operators.camera import CameraProjector
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.scan import Scan
from emrecon.volume import Grid, Volume
from phantoms.cylinder import uniform_cylinder
from phantoms.lines import line_integrals
from phantoms.simulate import attenuation_factors, simulate
from tests.tomo.makers import SMALL

GRID = Grid.centred((40, 40, 16), (3.0, 3.0, 2.0))
BODY = uniform_cylinder(30.0, 100.0)


@pytest.fixture(scope="module")
def scan():
    made = simulate(
        BODY, SMALL.bins(span=3), counts=1e5, rng=np.random.default_rng(0), noise=False,
        randoms_fraction=0.5,
    )  # fmt: skip
    return made.scan


@pytest.mark.parametrize(
    ("shift", "says"),
    [
        ((0, 0, 0), ""),
        ((8, 0, 0), ""),
        ((22, 0, 0), "counts are centred at (0, 0, 0) mm (R, A, S), tissue at (22, "),
        ((0, -22, 0), "mm (R, A, S), tissue at (0, -22, "),
    ],
)
def test_counts_beside_the_body_of_a_map(scan, caplog, shift, says):
    moved = attenuation_factors(BODY.moved(shift), scan.bins)
    map_place.say_counts_beside(scan.bins, scan, moved)
    assert (says in caplog.text) if says else not caplog.text


def test_a_map_of_nothing_has_no_place(scan, caplog):
    map_place.say_counts_beside(scan.bins, scan, np.ones(scan.bins.shape, np.float32))
    assert "100 % of the counts come from beside the tissue of the mu-map, which has none;" in (
        caplog.text
    )


def test_randoms_beside_the_body_are_no_sign(scan, caplog):
    """Nor are dead bins; without the randoms a half of the counts lies anywhere."""
    right = attenuation_factors(BODY, scan.bins)
    dead = np.ones(scan.bins.shape, np.float32)
    dead[3] = 0
    prompts = scan.prompts.copy()
    prompts[3] = 1e6
    map_place.say_counts_beside(scan.bins, scan.with_(normalisation=dead, prompts=prompts), right)
    assert not caplog.text
    map_place.say_counts_beside(scan.bins, scan.with_(randoms=None), right)
    assert "is all of the background given?" in caplog.text


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("oblique", [False, True])
def test_maps_that_end_within_the_field_of_view(caplog, axis, oblique):
    bins = SMALL.bins()
    turn = np.eye(4)
    if oblique:
        turn[:2, :2] = [[0.98, -0.199], [0.199, 0.98]]
    mu = BODY.mu(GRID)
    map_place.say_cover(Volume(mu.voxels, turn @ mu.affine), bins)
    assert not caplog.text  # all of it is there
    short = mu.voxels.take(range(GRID.shape[axis] // 2), axis)
    map_place.say_cover(Volume(short, turn @ mu.affine), bins)
    if axis == 2:
        assert "covers -16.0 to 0.0 mm of the axial field of view -8.2 to 8.2" in caplog.text
    else:
        assert f"ends in tissue at {'xy'[axis]} = -2 mm" in caplog.text or oblique
        assert f"ends in tissue at {'xy'[axis]}" in caplog.text


def test_tissue_beyond_the_planes_or_the_field_of_view_may_be_cut(caplog):
    mu = Volume(np.full(GRID.shape, 0.0096, np.float32), GRID.affine)
    map_place.say_cover(mu, SMALL.bins())
    assert not caplog.text


@pytest.mark.parametrize(("shift", "told"), [(0, False), (12, False), (60, True)])
def test_counts_of_a_camera_beside_the_shadow_of_a_map(caplog, shift, told):
    theta = np.arange(12) * np.pi / 6
    u = np.arange(-20, 21) * 4.0
    camera = Camera(theta, np.full(12, 150.0), u, np.arange(-4, 5) * 4.0)
    chord = 2 * np.sqrt(np.maximum(30.0**2 - u**2, 0))
    prompts = np.tile(chord[:, None].astype(np.float32), (12, 1, 9))
    mu = BODY.moved((0, shift, 0)).mu(Grid.centred((60, 60, 20), (4.0, 4.0, 4.0)))
    map_place.say_camera_counts_beside(camera, Scan(camera, prompts), mu)
    assert ("mu-map: its middle is at (0, 60, 0) mm (R, A, S)" in caplog.text) is told
    caplog.clear()
    nothing = Volume(0 * mu.voxels, mu.affine)
    map_place.say_camera_counts_beside(camera, Scan(camera, prompts), nothing)
    assert "100 % of the counts" in caplog.text
    assert "which has none" in caplog.text


@pytest.mark.parametrize(("background", "told"), [(0, True), (300, False)])
def test_events_beside_the_body_of_a_map(monkeypatch, caplog, background, told):
    """All of the background may lie there."""
    survival = [np.full(300, 1.0, np.float32), np.full(700, 0.3, np.float32)]
    monkeypatch.setattr(map_place, "event_factors", lambda *_: iter(survival))
    mu = BODY.mu(GRID)
    read = map_place.events_survival(mu, SMALL.bins(), (), lambda: background)
    assert [len(part) for part in read] == [300, 700]
    assert ("30 % of the counts" in caplog.text) is told
    assert ("middle is at (0, 0, 0) mm" in caplog.text) is told


@pytest.mark.parametrize(("shift", "told"), [(0, False), (4, False), (24, True)])
def test_many_randoms_do_not_hide_events_beside_a_map(caplog, shift, told):
    """Half of the events are random, of which only some meet no tissue where the map is right."""
    rng = np.random.default_rng(0)
    turns = np.arange(96) * 2 * np.pi / 96
    points = np.stack([100 * np.cos(turns), 100 * np.sin(turns), 0 * turns], 1).astype(np.float32)
    pairs = rng.integers(0, 96, (200_000, 2)).astype(np.uint16)
    one, two = points[pairs].transpose(1, 0, 2)
    step = two - one
    with np.errstate(invalid="ignore"):
        away = np.abs(one[:, 0] * step[:, 1] - one[:, 1] * step[:, 0]) / np.hypot(*step.T[:2])
    trues, randoms = pairs[away < 28][:10_000], pairs[away < SMALL.bins().fov_mm][:10_000]
    events = Events(points, rng.permutation(np.concatenate([trues, randoms])))
    mu = BODY.moved((0, shift, 0)).mu(GRID)
    list(map_place.events_survival(mu, SMALL.bins(), [events], lambda: len(randoms)))
    assert ("counts come from beside" in caplog.text) is told


WIDE = Scanner("wide", 8, 96, 8.0, 200.0, 0.0, 6.0, 63)


def lopsided(layout):
    """Counts of an activity everywhere in an ellipse with air in one half of it, and its map."""
    grid = Grid.centred((72, 72, 32), (5.0, 5.0, 4.0))
    x, y, z = np.meshgrid(*map(grid.centres_mm, range(3)), indexing="ij")
    body = ((x / 130) ** 2 + (y / 90) ** 2 < 1) & (abs(z) < 50)
    lung = ((x / 110) ** 2 + ((y - 35) / 35) ** 2 < 1) & body
    mu = Volume((0.0096 * body - 0.007 * lung).astype(np.float32), grid.affine, "1/mm")
    activity = (body + 2.0 * (np.hypot(x - 60, y + 20) < 20) * body).astype(np.float32)
    if isinstance(layout, Camera):
        mean = CameraProjector(grid, layout, None, mu).forward(activity)
    else:
        mean = JosephProjector(grid, layout).forward(activity)
        mean *= attenuation.factors(mu, layout)
    counts = np.random.default_rng(2).poisson(mean * (3e5 / mean.sum())).astype(np.float32)
    return Scan(layout, counts), mu


@pytest.fixture(scope="module", params=["ring", pytest.param("camera", marks=pytest.mark.slow)])
def lopsided_scan(request):
    if request.param == "ring":
        return lopsided(WIDE.bins(span=3, views=24))
    theta = np.arange(24) * np.pi / 12
    u, z = np.arange(-24, 25) * 8.0, np.arange(-6, 7) * 8.0
    return lopsided(Camera(theta, np.full(24, 220.0), u, z))


@pytest.mark.parametrize(
    ("shift", "signs", "says"),
    [
        ((0, 0, 0), (1, 1, 1), ""),
        ((4, -3, 3), (1, 1, 1), ""),
        ((20, 0, 0), (1, 1, 1), "moved by (-"),
        ((0, -20, 0), (1, 1, 1), "moved by ("),
        ((-14, 14, 0), (1, 1, 1), "moved by ("),
        ((0, 50, 0), (1, 1, 1), "moved by ("),
        ((0, 0, 0), (1, -1, 1), "turned front to back"),
        ((0, 0, 0), (-1, -1, 1), "turned "),
    ],
)
def test_maps_elsewhere_are_told_by_the_counts(lopsided_scan, caplog, shift, signs, says):
    """The activity of a body is in all of it, so no count lies beside a map displaced a little."""
    scan, mu = lopsided_scan
    affine = np.diag([*signs, 1.0]) @ mu.affine
    affine[:3, 3] += shift
    say_elsewhere(scan, Volume(mu.voxels, affine, mu.unit))
    assert (says in caplog.text) if says else not caplog.text
    if "moved" in says:
        told = re.search(r"moved by \((.*), (.*), (.*)\) mm", caplog.text)
        assert np.abs(np.add([float(word) for word in told.groups()], shift)).max() < 8


def test_counts_that_nothing_attenuated_are_told(lopsided_scan, caplog):
    scan, mu = lopsided_scan
    if isinstance(scan.bins, Camera):
        pytest.skip("there are no factors to divide by")
    corrected = scan.prompts / attenuation.factors(mu, scan.bins)
    say_elsewhere(scan.with_(prompts=corrected), mu)
    assert "fit better without the mu-map" in caplog.text


@pytest.mark.parametrize(("times", "says"), [(0.5, "twice"), (2, "half")])
def test_maps_of_another_density_are_told(lopsided_scan, caplog, times, says):
    scan, mu = lopsided_scan
    say_elsewhere(scan, Volume(np.float32(times) * mu.voxels, mu.affine, mu.unit))
    assert f"fit better with the mu-map {says} as dense" in caplog.text


@pytest.mark.parametrize(
    ("radius", "times", "moved", "says"),
    [
        (40, 1, 0, ""),
        (60, 1, 0, ""),
        (80, 1, 0, ""),
        (130, 1, 0, ""),
        (150, 1, 0, ""),
        (60, 0.5, 0, ""),
        (130, 0.5, 0, ""),
        (150, 1, 20, "moved by (0, -18, 0) mm"),
    ],
)
def test_a_cylinder_by_which_scanners_are_calibrated_fits_its_own_map(
    caplog, radius, times, moved, says
):
    """Its counts fit twice the density better, which is no reason to doubt the map.

    They do so with any density, as about the axis of what is round another activity explains
    them: by a coarse image alone they would speak for twice the density of 40 mm at any. Nor is
    its edge a reason to doubt the place, nor are planes along the axis, which are all alike.
    """
    bins = by_name("HR+").bins(span=9, max_ring_difference=4, views=24, count=144)
    phantom = uniform_cylinder(radius_mm=radius)
    lines = np.maximum(line_integrals(phantom.bodies, bins, phantom.activities), 0)
    counts = lines * attenuation_factors(phantom, bins)
    scan = Scan(bins, counts * np.float32(1e7 / counts.sum()))
    mu = phantom.moved((0, moved, 0)).mu(bins.grid((6.0, 6.0, 6.0)))
    say_elsewhere(scan, Volume(np.float32(times) * mu.voxels, mu.affine, mu.unit))
    assert (says in caplog.text) if says else not caplog.text


def test_few_counts_tell_nothing_of_a_map(lopsided_scan, caplog):
    scan, mu = lopsided_scan
    thin = np.random.default_rng(0).binomial(scan.prompts.astype(int), 1e-3).astype(np.float32)
    say_elsewhere(scan.with_(prompts=thin), mu)
    assert not caplog.text


def one_by_one(scan, kind):
    """Return a scan's counts as events of detector pairs, a third of them random."""
    bins, scanner, rng = scan.bins, scan.bins.scanner, np.random.default_rng(5)
    table = planes_of_rings(bins)
    rings = np.nonzero(table >= 0)
    ends = [
        end.reshape(-1, 1) + ring * scanner.crystals
        for end, ring in zip(crystal_pairs(bins), rings, strict=True)
    ]
    column = np.arange(ends[0].shape[0])[:, None] // (crystal_pairs(bins)[0].shape[2])
    place = (column * bins.planes + table[rings]).ravel()
    order = np.argsort(place, kind="stable")
    pairs, place = np.stack(ends, -1).reshape(-1, 2)[order].astype(np.uint16), place[order]
    many = np.bincount(place, minlength=scan.prompts.size)
    counted = np.repeat(np.arange(scan.prompts.size), scan.prompts.ravel().astype(int))
    first = np.searchsorted(place, counted)
    trues = pairs[first + (rng.random(counted.size) * many[counted]).astype(int)]
    randoms = rng.permutation(np.tile(trues, (3, 1)).ravel()).reshape(-1, 2)
    randoms = randoms[places_of(bins, randoms) >= 0][: len(trues) // 2]
    assert len(randoms) == len(trues) // 2
    events = Events(
        crystal_centres(scanner), rng.permutation(np.concatenate([trues, randoms])),
        background_total=float(len(randoms)),
    )  # fmt: skip
    if kind == "ring":
        return ListmodeScan(events, bins, np.ones(bins.shape, np.float32))
    each = Events(events.points_mm, pairs, factors=(1 / many[place]).astype(np.float32))
    chunks = [each.part(0, 100_000), each.part(100_000, len(each))]
    return ListmodeScan(events, Pairs(events.points_mm, 2, lambda: iter(chunks)), np.empty(0))


@pytest.mark.parametrize("kind", ["ring", "pairs"])
def test_maps_elsewhere_are_told_by_events(kind, caplog):
    scan, mu = lopsided(WIDE.bins(span=3, views=24))
    direct = in_direct_planes(one_by_one(scan, kind))
    planes = scan.bins.segments[0].planes
    if kind == "ring":
        assert direct.prompts.sum() == pytest.approx(
            1.5 * scan.prompts[..., :planes].sum(), rel=0.2
        )
    assert direct.randoms.sum() == pytest.approx(direct.prompts.sum() / 3, rel=0.15)
    say_elsewhere(direct, mu)
    assert not caplog.text
    affine = mu.affine.copy()
    affine[0, 3] += 20
    say_elsewhere(direct, Volume(mu.voxels, affine, mu.unit))
    told = re.search(r"moved by \((.*), (.*), (.*)\) mm", caplog.text)
    assert float(told[1]) == pytest.approx(-20, abs=14)
