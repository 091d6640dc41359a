"""Attenuation maps that cannot lie where the counts come from are told, with millimetres."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.tomo.corrections import map_place
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.scan import Scan
from emrecon.volume import Grid, Volume
from phantoms.cylinder import uniform_cylinder
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
