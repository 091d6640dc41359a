"""Every phantom: sound, nested, named; and each against the figures it is known by."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from emrecon.errors import EmreconError, GeometryError
from emrecon.volume import Grid
from phantoms import (
    PHANTOMS,
    Phantom,
    brain,
    derenzo,
    flip_finder,
    nema,
    shepp_logan,
    uniform_cylinder,
)
from phantoms.derenzo import rod_centres
from phantoms.nema import DIAMETERS_MM, spheres, torso
from phantoms.phantom import BONE_PER_MM, LUNG_PER_MM, WATER_PER_MM
from phantoms.shapes import sphere


@pytest.fixture(params=PHANTOMS)
def phantom(request: pytest.FixtureRequest) -> Phantom:
    return PHANTOMS[request.param]()


def points_in(phantom: Phantom, count: int = 50_000) -> np.ndarray:
    return np.random.default_rng(11).uniform(*phantom.bounds_mm, (count, 3))


def fitting_grid(phantom: Phantom, voxel: float) -> Grid:
    half = np.abs(phantom.bounds_mm).max(axis=0)
    i, j, k = (int(2 * np.ceil(reach / voxel)) for reach in half)
    return Grid.centred((i, j, k), (voxel,) * 3)


def test_the_registry_holds_phantoms_by_their_names(phantom: Phantom) -> None:
    assert PHANTOMS[phantom.name]().name == phantom.name


def test_nothing_is_negative_anywhere(phantom: Phantom) -> None:
    activity, mu, _ = phantom.at(points_in(phantom))
    assert activity.min() >= -1e-12
    assert mu.min() >= -1e-15
    assert mu.max() <= BONE_PER_MM + 1e-12
    assert activity.max() > 0
    grid = fitting_grid(phantom, 4.0)
    assert phantom.activity(grid, samples=3).voxels.min() >= 0
    assert phantom.mu(grid, samples=3).voxels.min() >= 0


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (shepp_logan, {"contrast": 3.0}),
        (shepp_logan, {"contrast": 0.0}),
        (shepp_logan, {"contrast": np.nan}),
        (derenzo, {"background": -1.0}),
        (derenzo, {"contrast": -1.0}),
        (nema, {"background": np.nan}),
        (nema, {"contrast": -4.0, "background": 1.0}),
        (nema, {"length_mm": 88.0}),
        (brain, {"white": -1.0}),
        (flip_finder, {"background": -3.0}),
        (uniform_cylinder, {"activity": np.inf}),
        (uniform_cylinder, {"mu_per_mm": -0.01}),
    ],
)
def test_values_out_of_range_are_refused(
    make: Callable[..., Phantom], wrong: dict[str, float]
) -> None:
    with pytest.raises(EmreconError, match=str(next(iter(wrong.values())))):
        make(**wrong)


def test_the_least_contrast_and_length_that_are_held() -> None:
    assert min(shepp_logan(contrast=1e-3).at((0.0, 0.0, 0.0))) >= 0
    shortest = nema(length_mm=88.5)
    activity, _, label = shortest.at(points_in(shortest))
    assert set(label) == set(nema().labels) | {0}
    assert activity.min() >= 0


def test_every_label_has_voxels_and_a_name(phantom: Phantom) -> None:
    found = set(np.unique(phantom.label_map(fitting_grid(phantom, 1.5)).voxels).astype(int))
    assert found == {0, *phantom.labels}
    assert all(phantom.labels.values())


@pytest.mark.parametrize("name", sorted(set(PHANTOMS) - {"shepp-logan"}))
def test_a_label_has_one_material(name: str) -> None:
    """So bodies lie wholly in their parents and beside their sisters."""
    phantom = PHANTOMS[name]()
    activity, mu, label = phantom.at(points_in(phantom, 100_000))
    for number in phantom.labels:
        for values in (activity[label == number], mu[label == number]):
            assert np.ptp(values) < 1e-12, phantom.labels[number]
    assert not activity[label == 0].any()


def test_volumes_have_units_and_the_bodies_totals(phantom: Phantom) -> None:
    grid = fitting_grid(phantom, 3.0)
    activity, mu = phantom.activity(grid), phantom.mu(grid)
    assert (activity.unit, mu.unit) == ("kBq/mL", "1/mm")
    if phantom.name != "brain":  # ellipsoids cut twice have no closed form
        expected = sum(body.activity * body.volume_mm3 for body in phantom.bodies)
        total = activity.voxels.sum(dtype=np.float64) * 27
        assert total == pytest.approx(expected, rel=5e-3)


def test_scaling_and_moving_take_values_along(phantom: Phantom) -> None:
    points = points_in(phantom, 20_000)
    small = phantom.scaled(0.25).at(points * 0.25)
    moved = phantom.moved((3, -2, 1)).at(points + np.array([3, -2, 1]))
    for got in (small, moved):
        for values, expected in zip(got, phantom.at(points), strict=True):
            np.testing.assert_allclose(values, expected, atol=1e-12)


def test_fitting_shrinks_only_what_is_too_large(phantom: Phantom) -> None:
    assert phantom.fitted(1000, 1000) is phantom
    small = phantom.fitted(30, 20)
    # Bounds before cuts may reach farther than the bodies, never less far.
    assert np.abs(small.bounds_mm[:, 2]).max() <= 20 + 1e-9
    inside = points_in(phantom)[phantom.at(points_in(phantom))[2] > 0]
    shrunk = inside * np.abs(small.bounds_mm).max() / np.abs(phantom.bounds_mm).max()
    assert np.hypot(shrunk[:, 0], shrunk[:, 1]).max() <= 30 + 1e-9


def test_a_shrunk_phantom_says_so_and_names_its_sizes(caplog: pytest.LogCaptureFixture) -> None:
    small = nema().fitted(147 * 0.565)
    assert "nema is shrunk to 53 %" in caplog.text
    sizes = [np.cbrt(np.prod(np.ptp(body.bounds_mm, axis=0))) for body in small.bodies[-6:]]
    names = [f"sphere {size:.3g} mm" for size in sizes]
    assert [small.labels[label] for label in range(3, 9)] == names
    assert sizes[0] < 22
    # The far side of a quarter circle of 77 mm about (70, 35).
    assert nema().radius_mm == pytest.approx(np.hypot(70, 35) + 77, rel=0.005)
    assert small.labels[2] == "lung insert"
    caplog.clear()
    assert nema().fitted(300).labels[3] == "sphere 37 mm"
    assert not caplog.text
    rods = derenzo().scaled(0.5).labels
    assert "rods 2.4 mm" in rods.values()


def test_the_uniform_cylinder_is_uniform() -> None:
    phantom = uniform_cylinder(radius_mm=40, length_mm=60, activity=7)
    activity, mu, _ = phantom.at([[0, 39.9, 29.9], [0, 40.1, 0], [0, 0, -30.1]])
    np.testing.assert_array_equal(activity, [7, 0, 0])
    np.testing.assert_array_equal(mu, [WATER_PER_MM, 0, 0])


def test_the_nema_body_has_the_area_of_its_outline() -> None:
    area = np.pi / 2 * 147**2 + np.pi / 2 * 77**2 + 140 * 77
    assert sum(part.volume_mm3 for part in torso(194)) == pytest.approx(194 * area)
    phantom = nema()
    activity, _, _ = phantom.at(points_in(phantom, 300_000))
    box = np.prod(np.diff(phantom.bounds_mm, axis=0))
    # Everything of the body but the insert is active; 0.0045 is five standard deviations.
    share = (194 * area - 194 * np.pi * 25**2) / box
    assert (activity > 0).mean() == pytest.approx(share, abs=0.0045)


def test_the_nema_spheres_have_their_sizes_contrast_and_plane() -> None:
    phantom = nema(background=5, contrast=8, cold=True)
    for ball, diameter in zip(spheres(), DIAMETERS_MM, strict=True):
        assert ball.volume_mm3 == pytest.approx(np.pi / 6 * diameter**3)
        assert np.hypot(*ball.centre_mm[:2]) == pytest.approx(57.2)
        assert ball.centre_mm[2] == 0
        expected = 0 if diameter > 25 else 40
        activity, mu, label = phantom.at(ball.centre_mm)
        assert activity == pytest.approx(expected)
        assert mu == pytest.approx(WATER_PER_MM)
        assert phantom.labels[int(label)] == f"sphere {diameter:.0f} mm"
    activity, mu, _ = phantom.at([0, 0, 0])
    assert activity == 0
    assert mu == pytest.approx(LUNG_PER_MM)


def test_derenzo_rods_stand_two_diameters_apart() -> None:
    diameters = (4.8, 6.4, 7.9, 9.5, 11.1, 12.7)
    centres = [
        (*centre, diameter)
        for sector, diameter in enumerate(diameters)
        for centre in rod_centres(diameter, 108, np.deg2rad(60 * sector + 30))
    ]
    rods = np.array(centres)
    apart = np.hypot(*(rods[:, None, :2] - rods[None, :, :2]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    for diameter in diameters:
        same = rods[:, 2] == diameter
        assert apart[np.ix_(same, same)].min() == pytest.approx(2 * diameter)
    touching = (rods[:, None, 2] + rods[None, :, 2]) / 2
    assert (apart > touching).all()
    with pytest.raises(GeometryError, match="six rod diameters"):
        derenzo(diameters_mm=(5.0,))
    with pytest.raises(GeometryError, match="no rod"):
        derenzo(radius_mm=10)


def centroids(voxels: np.ndarray) -> np.ndarray:
    """Centroid of every label but the background's, in voxels from the middle."""
    middle = (np.array(voxels.shape) - 1) / 2
    labels = range(2, int(voxels.max()) + 1)
    return np.array([np.argwhere(voxels == label).mean(axis=0) - middle for label in labels])


def test_the_flip_finder_looks_different_however_it_is_turned() -> None:
    voxels = flip_finder().label_map(Grid.centred((66, 66, 66), (3.0, 3.0, 3.0))).voxels
    plain = centroids(voxels)
    seen = 0
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            turned = np.flip(voxels.transpose(order), [a for a in range(3) if flips[a] < 0])
            change = np.abs(centroids(turned) - plain).max(axis=1)
            if order == (0, 1, 2) and flips == (1, 1, 1):
                assert change.max() == 0
            else:
                seen += 1
                # Every turn moves three bodies and more by over 10 mm.
                assert np.count_nonzero(3 * change > 10) >= 3
    assert seen == 47


def test_the_flip_finder_shows_a_shift_of_half_a_voxel() -> None:
    grid = Grid.centred((100, 100, 70), (2.0, 2.0, 2.0))
    plain = centroids(flip_finder().label_map(grid).voxels)
    for axis in range(3):
        shift = np.zeros(3)
        shift[axis] = 1.0  # mm
        moved = centroids(flip_finder().moved(shift).label_map(grid).voxels)
        found = (moved - plain).mean(axis=0)
        np.testing.assert_allclose(found, shift / 2, atol=0.1)


def test_the_flip_finder_has_no_two_bodies_alike() -> None:
    activity, _, label = flip_finder().at(points_in(flip_finder()))
    assert len({activity[label == number][0] for number in range(1, 8)}) == 7
    volumes = sorted(body.volume_mm3 for body in flip_finder().bodies[1:])
    assert min(np.diff(volumes) / volumes[:-1]) > 0.02


def test_the_brain_has_fdg_contrast_and_lies_askew() -> None:
    phantom = brain(grey=20, white=5)
    activity, mu, label = phantom.at(points_in(phantom))
    means = {name: activity[label == number].mean() for number, name in phantom.labels.items()}
    assert means["grey matter"] == pytest.approx(4 * means["white matter"])
    assert means["cerebrospinal fluid"] < means["white matter"]
    assert mu[label == 2].min() == pytest.approx(BONE_PER_MM)
    points = points_in(phantom)
    mirrored = phantom.at(points * np.array([-1, 1, 1]))[2]
    assert (mirrored != label).mean() > 0.01


def test_labels_need_names() -> None:
    with pytest.raises(GeometryError, match="without a name"):
        Phantom("x", (sphere((0, 0, 0), 1).adding(1, 0, 5),), {1: "body"})
    with pytest.raises(GeometryError, match="without a name"):
        Phantom("x", (), {})


def test_listing_phantoms_does_not_load_numba() -> None:
    code = "import sys, phantoms; sys.exit('numba' in sys.modules or 'scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
