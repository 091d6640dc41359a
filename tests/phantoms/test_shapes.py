"""Bodies: points, volumes and chords against closed forms and against counting points."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.errors import GeometryError
from phantoms.disc import disc_area
from phantoms.shapes import Body, Material, box, cylinder, ellipsoid, rotation, sphere

TURN = rotation(20, -35, 50)
BODIES = {
    "ellipsoid": ellipsoid((5, -8, 3), (40, 25, 30), TURN),
    "ellipsoid cut twice": sphere((1, 2, 3), 30).clipped((1, 1, 0), 10).clipped((0, 1, 2), 8),
    "cylinder": cylinder((3, 9, -5), (30, 20), 50, TURN),
    "cylinder cut aslant": cylinder((-10, 4, 6), (30, 20), 50, TURN).clipped((1, 1, 0.3), 4),
    "box": box((3, 9, -5), (30, 40, 50), TURN),
    "box cut": box((3, 9, -5), (30, 40, 50), TURN).clipped((-1, 2, 1), 15),
}


@pytest.mark.parametrize("name", BODIES)
def test_chords_are_those_of_the_membership_function(name: str) -> None:
    body, steps = BODIES[name], 4000
    rng = np.random.default_rng(1)
    starts, ends = rng.uniform(-60, 60, (2, 200, 3))
    shares = (np.arange(steps) + 0.5) / steps
    points = starts[:, None] + shares[:, None] * (ends - starts)[:, None]
    lengths = np.linalg.norm(ends - starts, axis=1)
    counted = body.contains(points).mean(axis=1) * lengths
    chords = body.chord_mm(starts, ends)
    assert np.count_nonzero(counted) > 30
    # A chord has two ends, each known to half a step.
    np.testing.assert_allclose(chords, counted, atol=1.01 * lengths.max() / steps)


def test_chord_of_a_sphere_is_twice_the_root_of_r2_minus_d2() -> None:
    distances = np.array([0.0, 3.0, 6.0, 9.999, 10.001])
    starts = np.column_stack([1 + distances, np.full(5, -100.0), np.full(5, 7.0)])
    ends = starts + np.array([0, 200, 0])
    expected = 2 * np.sqrt(np.maximum(100 - distances**2, 0))
    chords = sphere((1, 5, 7), 10).chord_mm(starts, ends)
    np.testing.assert_allclose(chords, expected, atol=1e-6)


def test_a_chord_ends_where_the_way_ends() -> None:
    chord = sphere((0, 0, 0), 10).chord_mm([[0, 0, 0]], [[3, 4, 0]])
    np.testing.assert_allclose(chord, [5.0])


def test_ways_along_a_cylinder_run_from_cap_to_cap() -> None:
    body = cylinder((0, 0, 0), (5, 5), 12)
    inside, outside = body.chord_mm([[1, 2, -50], [5, 1, -50]], [[1, 2, 50], [5, 1, 50]])
    assert inside == pytest.approx(12)
    assert outside == 0


def test_two_halves_make_a_whole_where_they_meet() -> None:
    ball = sphere((0, 0, 0), 10)
    halves = ball.clipped((0, 1, 0), 0), ball.clipped((0, -1, 0), 0)
    ends = np.array([[-20.0, 0, 0]]), np.array([[20.0, 0, 0]])
    assert sum(half.chord_mm(*ends)[0] for half in halves) == pytest.approx(20)


@pytest.mark.parametrize(
    ("body", "volume"),
    [
        (ellipsoid((1, 2, 3), (4, 5, 6), TURN), 4 / 3 * np.pi * 120),
        (sphere((1, 2, 3), 4).clipped((0, 0, 1), 3), 2 / 3 * np.pi * 64),
        (cylinder((1, 2, 3), (4, 5), 6, TURN), np.pi * 120),
        (cylinder((1, 2, 3), (4, 5), 6).clipped((1, 0, 0), 1), np.pi * 60),
        (cylinder((0, 0, 0), (4, 4), 6).clipped((1, 1, 0), 0).clipped((-1, 1, 0), 0), np.pi * 24),
        (cylinder((0, 0, 0), (4, 4), 6).clipped((0, 0, 1), 1), np.pi * 64),
        (box((1, 2, 3), (4, 5, 6), TURN), 120),
        (box((1, 2, 3), (4, 5, 6)).clipped((0, -1, 0), -2), 60),
    ],
)
def test_volumes_are_exact(body: Body, volume: float) -> None:
    assert body.volume_mm3 == pytest.approx(volume, rel=1e-12)


def test_a_cap_of_an_ellipsoid_is_that_of_counted_points() -> None:
    body = ellipsoid((1, 2, 3), (14, 25, 16), TURN).clipped((1, -2, 0.5), 6)
    low, high = body.bounds_mm
    points = np.random.default_rng(3).uniform(low, high, (400_000, 3))
    share = body.contains(points).mean()
    # Binomial: 0.0008 is one standard deviation, 5 of them bound chance.
    assert body.volume_mm3 / np.prod(high - low) == pytest.approx(share, abs=0.004)


def test_the_disc_s_area_is_that_of_counted_points() -> None:
    angles = np.deg2rad([10, 100, 170, 290])
    cuts = np.column_stack([np.cos(angles), np.sin(angles), [0.7, 0.4, 0.9, 0.2]])
    points = np.random.default_rng(4).uniform(-1, 1, (400_000, 2))
    inside = (points**2).sum(axis=1) <= 1
    inside &= (points @ cuts[:, :2].T <= cuts[:, 2]).all(axis=1)
    assert disc_area(cuts) == pytest.approx(4 * inside.mean(), abs=0.016)


def test_volumes_without_closed_form_are_refused() -> None:
    for name in ("ellipsoid cut twice", "cylinder cut aslant", "box cut"):
        with pytest.raises(GeometryError, match="no closed form"):
            _ = BODIES[name].volume_mm3


@pytest.mark.parametrize("name", BODIES)
def test_bounds_and_reach_touch_the_body(name: str) -> None:
    body = BODIES[name]
    uncut = Body(body.kind, body.centre_mm, body.half_axes_mm)
    points = np.random.default_rng(5).uniform(-70, 70, (300_000, 3))
    found = points[uncut.contains(points)]
    low, high = uncut.bounds_mm
    assert (found.min(axis=0) >= low).all()
    assert (found.max(axis=0) <= high).all()
    assert np.abs(found.min(axis=0) - low).max() < 6  # the corners of a turned box are sharp
    way = np.array([0.6, 0.64, 0.48])
    width = np.abs((found - body.centre_mm) @ way).max()
    assert width <= body.reach_mm(way) < width + 6


def test_turns_are_right_handed() -> None:
    np.testing.assert_allclose(rotation(z_deg=90) @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(rotation(x_deg=90) @ [0, 1, 0], [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(rotation(y_deg=90) @ [0, 0, 1], [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(
        rotation(10, 20, 30), rotation(z_deg=30) @ rotation(y_deg=20) @ rotation(x_deg=10)
    )


@pytest.mark.parametrize("name", BODIES)
def test_scaled_and_moved_bodies_hold_the_scaled_and_moved_points(name: str) -> None:
    body = BODIES[name]
    points = np.random.default_rng(6).uniform(-50, 50, (20_000, 3))
    inside = body.contains(points)
    assert 0 < inside.mean() < 1
    np.testing.assert_array_equal(body.scaled(0.3).contains(points * 0.3), inside)
    shift = np.array([4, -7, 9])
    np.testing.assert_array_equal(body.moved(shift).contains(points + shift), inside)


def test_a_filled_body_adds_what_its_parent_lacks() -> None:
    parent, child = Material(2, 0.01), Material(8, 0.004)
    outer = sphere((0, 0, 0), 10).filled(parent)
    inner = sphere((0, 0, 0), 5).filled(child, inside=parent, label=3)
    assert outer.activity + inner.activity == child.activity
    assert outer.mu_per_mm + inner.mu_per_mm == pytest.approx(child.mu_per_mm)
    assert inner.label == 3


def test_bodies_without_size_are_refused() -> None:
    with pytest.raises(GeometryError, match="above zero"):
        ellipsoid((0, 0, 0), (1, 0, 1))
    with pytest.raises(GeometryError, match="three half-axes"):
        Body("box", np.zeros(3), np.zeros((3, 3)))
    with pytest.raises(GeometryError, match="normal"):
        sphere((0, 0, 0), 1).clipped((0, 0, 0), 1)
    with pytest.raises(GeometryError, match="not 'cone'"):
        Body("cone", np.zeros(3), np.eye(3))  # type: ignore[arg-type]
