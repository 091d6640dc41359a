"""Metrics against closed forms."""

import logging

import numpy as np
import pytest
from scipy.special import erf

from emrecon import metrics
from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.volume import Grid, Volume

SPHERES = [
    ((57.2 * np.cos(a), 57.2 * np.sin(a), 3.0), d)
    for a, d in zip(np.radians(range(0, 360, 60)), (10, 13, 17, 22, 28, 37), strict=True)
]
RING = [(100 * np.cos(a), 100 * np.sin(a), 3.0) for a in np.radians(range(15, 375, 30))]


def volume(voxels, grid):
    return Volume(np.asarray(voxels, np.float32), grid.affine)


def coordinates(grid):
    return np.meshgrid(*(grid.centres_mm(axis) for axis in range(3)), indexing="ij", sparse=True)


def linear(grid):
    """A field that linear interpolation reproduces exactly."""
    x, y, z = coordinates(grid)
    return 100 + 0.5 * x - 0.25 * y + 2 * z


def test_errors_are_their_closed_forms():
    rng = np.random.default_rng(1)
    truth = rng.uniform(1, 2, (9, 8, 7)).astype(np.float32)
    error = rng.normal(0.3, 0.1, truth.shape)
    image = truth.astype(np.float64) + error
    assert metrics.bias(image, truth) == pytest.approx(error.mean(), rel=1e-12)
    assert metrics.rmse(image, truth) ** 2 == pytest.approx(
        error.mean() ** 2 + error.var(), rel=1e-12
    )
    assert metrics.nrmse(2 * truth, truth) == pytest.approx(1, rel=1e-12)


def test_the_mask_is_all_that_counts():
    truth = np.ones((4, 4, 4), np.float32)
    image = truth.copy()
    mask = np.zeros(truth.shape, bool)
    mask[1:3, 1:3, 1:3] = True
    image[~mask] = np.nan
    image[1, 1, 1] = 3
    assert metrics.rmse(image, truth, mask) == pytest.approx(np.sqrt(4 / 8))
    assert metrics.bias(image, truth, mask) == pytest.approx(2 / 8)
    with pytest.raises(DataError, match="56 voxels inside the mask are not finite"):
        metrics.rmse(image, truth)
    with pytest.raises(DataError, match="empty"):
        metrics.bias(image, truth, ~mask & mask)
    with pytest.raises(GeometryError, match=r"match\(\)"):
        metrics.rmse(image[1:], truth)


def test_float32_voxels_are_summed_in_float64():
    truth = np.full((200, 100, 100), 1e4, np.float32)
    image = truth + np.float32(0.125)
    assert metrics.bias(image, truth) == 0.125


@pytest.mark.parametrize("shape", [(16, 12, 14), (16, 12, 4), (16, 12, 2), (16, 12, 1)])
def test_ssim_is_one_only_for_equal_images(shape):
    rng = np.random.default_rng(2)
    truth = rng.uniform(0, 1, shape)
    assert metrics.ssim(truth, truth) == pytest.approx(1, abs=1e-12)
    assert metrics.ssim(truth + rng.normal(0, 0.3, shape), truth) < 0.9
    mask = np.zeros(shape, bool)
    mask[4:12, 4:8] = True
    assert metrics.ssim(truth, truth, mask) == pytest.approx(1, abs=1e-12)


def test_ssim_of_a_shifted_image_is_the_luminance_term():
    truth = np.random.default_rng(3).uniform(0, 1, (7, 7, 7))
    truth = (truth - truth.min()) / np.ptp(truth)
    mean, shift = truth.mean(), 0.4
    wanted = (2 * mean * (mean + shift) + 1e-4) / (mean**2 + (mean + shift) ** 2 + 1e-4)
    # A 7-voxel cube has one window that fits; C1 = (0.01 L)^2 with L = 1.
    assert metrics.ssim(truth + shift, truth) == pytest.approx(wanted, rel=1e-9)


def test_ssim_refuses_what_it_cannot_measure():
    with pytest.raises(DataError, match="constant"):
        metrics.ssim(np.zeros((8, 8, 8)), np.ones((8, 8, 8)))
    with pytest.raises(DataError, match="3 x 3"):
        metrics.ssim(np.zeros((8, 2, 2)), np.zeros((8, 2, 2)))


def test_match_leaves_equal_grids_alone():
    grid = Grid.centred((6, 5, 4), (2, 2, 3))
    rng = np.random.default_rng(4)
    a, b = (volume(rng.random(grid.shape), grid) for _ in "ab")
    image, truth = metrics.match(a, b)
    assert image.dtype == truth.dtype == np.float64
    np.testing.assert_array_equal(image, a.voxels)
    np.testing.assert_array_equal(truth, b.voxels)


def test_match_goes_through_flipped_permuted_and_coarser_axes():
    fine = Grid.centred((40, 40, 30), (2, 2, 2))
    truth = volume(linear(fine), fine)
    turned = Volume(
        np.ascontiguousarray(truth.voxels[::-1].transpose(2, 0, 1)),
        fine.affine @ np.array([[0, -1, 0, 39], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]),
    )
    coarse = Grid.centred((12, 11, 9), (3.1, 4.3, 5.0))
    image = volume(linear(coarse), coarse)
    mirrored = Volume(
        np.ascontiguousarray(image.voxels[:, ::-1]),
        coarse.affine @ np.array([[1, 0, 0, 0], [0, -1, 0, 10], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    )
    for one in (image, mirrored):
        for other in (truth, turned):
            assert metrics.rmse(*metrics.match(one, other)) < 2e-5  # float32 of values near 100
    np.testing.assert_array_equal(turned.ras().voxels, truth.voxels)


def test_match_takes_what_lies_beyond_the_truth_as_zero():
    small = Grid((4, 4, 4), (2, 2, 2), (0, 0, 0))
    large = Grid((8, 4, 4), (1, 2, 2), (-3.75, 0, 0))
    _, truth = metrics.match(
        volume(np.zeros(large.shape), large), volume(np.ones((4,) * 3), small)
    )
    # The truth's first voxel begins at -1 mm: centres up to -1.75 lie outside, -0.75 inside.
    np.testing.assert_array_equal(truth[:3], 0)
    np.testing.assert_array_equal(truth[3:], 1)


@pytest.mark.parametrize(("hot", "told"), [(slice(0, 12), True), (slice(8, 12), False)])
def test_what_an_image_holds_beyond_the_truth_is_said(caplog, hot, told):
    grid, half = Grid((12, 4, 4), (2, 2, 2), (0, 0, 0)), Grid((6, 4, 4), (2, 2, 2), (12, 0, 0))
    values = np.zeros(grid.shape)
    values[hot] = 3
    metrics.match(volume(values, grid), volume(np.ones(half.shape), half))
    assert ("50 % of the image lies beyond the edge of the truth" in caplog.text) is told


def test_labels_of_nothing_are_refused():
    grid = Grid.centred((4, 4, 4), (2, 2, 2))
    ones, nothing = volume(np.ones(grid.shape), grid), volume(np.zeros(grid.shape), grid)
    with pytest.raises(DataError, match="0 everywhere in the image"):
        metrics.regions(ones, ones, nothing)
    assert metrics.regions(ones, ones, nothing, {0: "air"})[0].voxels == 64


def test_match_refuses_what_does_not_belong_together(caplog):
    grid = Grid.centred((4, 4, 4), (2, 2, 2))
    far = Grid((4, 4, 4), (2, 2, 2), (500, 0, 0))
    ones = np.ones(grid.shape, np.float32)
    with pytest.raises(GeometryError, match=r"do not overlap.*\(503, 3, 3\)"):
        metrics.match(volume(ones, grid), volume(ones, far))
    with pytest.raises(GeometryError, match="one frame is wanted, not of 2"):
        metrics.match(volume(ones, grid), volume([ones, ones], grid))
    with caplog.at_level(logging.WARNING):
        metrics.match(Volume(ones, grid.affine, "Bq/mL"), Volume(ones, grid.affine, "1/mm"))
    assert "Bq/mL is compared with a truth in 1/mm" in caplog.text


def test_centroid_follows_the_affine():
    voxels = np.zeros((5, 6, 7))
    voxels[1, 2, 3], voxels[3, 2, 3] = 1, 3
    affine = np.array([[0, -2, 0, 10], [3, 0, 0, -5], [0, 0, 4, 1], [0, 0, 0, 1.0]])
    assert metrics.centroid_mm(voxels, affine) == pytest.approx((6, 2.5, 13))
    mask = voxels == 1
    assert metrics.centroid_mm(voxels, affine, mask) == pytest.approx((6, -2, 13))
    assert metrics.centroid_mm(voxels + 5, affine, background=5) == pytest.approx((6, 2.5, 13))
    with pytest.raises(DataError, match="above 3"):
        metrics.centroid_mm(voxels, affine, background=3)


def test_regions_give_recovery_volume_and_place():
    grid = Grid.centred((10, 10, 10), (2, 2, 5))
    labels = np.zeros(grid.shape)
    labels[2:5, 2:5, 2:5], labels[6:8, 6:9, 7] = 7, 2
    truth = np.select([labels == 7, labels == 2], [4.0, 10.0], 0)
    image = 0.8 * truth
    image[2, 2, 2] += 2.7
    one, two = metrics.regions(
        volume(image, grid), volume(truth, grid), volume(labels, grid), {7: "liver"}
    )
    assert (one.label, one.name, one.voxels, one.volume_ml) == (2, "", 6, pytest.approx(0.12))
    assert (one.mean, one.truth_mean) == pytest.approx((8, 10))
    assert one.recovery == pytest.approx(0.8)
    assert one.sd == pytest.approx(0, abs=1e-6)
    assert one.centroid_mm == pytest.approx((4, 5, 12.5))  # constant: the geometric centre
    assert (two.label, two.name, two.voxels) == (7, "liver", 27)
    assert two.mean == pytest.approx(3.3)
    assert two.sd == pytest.approx(2.7 * np.sqrt(26) / 27)
    assert two.centroid_mm == pytest.approx((-5, -5, -12.5))  # only the spot, free of the warmth


def test_regions_on_other_grids_and_without_truth():
    fine = Grid.centred((40, 40, 20), (1, 1, 2))
    x, y, z = coordinates(fine)
    labels = volume((x > 0) + 0 * y + 0 * z, fine)
    coarse = Grid.centred((8, 8, 4), (5, 5, 10))
    image = volume(np.full(coarse.shape, 6), coarse)
    rows = metrics.regions(image, volume(3 * labels.voxels, fine), labels, {0: "air", 1: "body"})
    assert [(row.name, row.voxels) for row in rows] == [("air", 128), ("body", 128)]
    assert rows[0].recovery is None  # the truth is 0 there
    assert rows[1].recovery == pytest.approx(2)
    (row,) = metrics.regions(image, None, labels)
    assert (row.truth_mean, row.recovery, row.mean) == (None, None, 6)
    with pytest.raises(DataError, match="whole numbers"):
        metrics.regions(image, None, volume(labels.voxels / 2, fine))


def iq_image(hot=4.0, background=1.0):
    """Rods wider than the spheres' circles, so that no pixel of a circle is mixed."""
    grid = Grid((130, 125, 16), (2.1, 2.2, 3.3), (-135, -137, -22))
    x, y, _ = coordinates(grid)
    voxels = np.full(grid.shape, background)
    for (cx, cy, _), d in SPHERES:
        voxels[np.broadcast_to((x - cx) ** 2 + (y - cy) ** 2 < (d / 2 + 3) ** 2, grid.shape)] = hot
    return voxels, grid


@pytest.mark.parametrize(("hot", "contrast"), [(4.0, 4.0), (0.0, 0.0)])
def test_an_ideal_image_recovers_all_contrast(hot, contrast):
    rows = metrics.contrast_recovery(volume(*iq_image(hot)), SPHERES, RING, contrast)
    assert [row.diameter_mm for row in rows] == [10, 13, 17, 22, 28, 37]
    for row in rows:
        assert row.recovery_percent == pytest.approx(100, abs=1e-4)
        assert row.variability_percent == pytest.approx(0, abs=1e-4)


def test_contrast_formula_hot_and_cold_side_by_side():
    image = volume(*iq_image(hot=2.5))
    hot, cold = metrics.contrast_recovery(image, SPHERES[:2], RING, [4, 0])
    assert hot.recovery_percent == pytest.approx(100 * (2.5 - 1) / (4 - 1), abs=1e-4)
    assert cold.recovery_percent == pytest.approx(100 * (1 - 2.5), abs=1e-4)
    with pytest.raises(SettingsError, match="2 spheres"):
        metrics.contrast_recovery(image, SPHERES[:2], RING, [4])
    with pytest.raises(SettingsError, match="not 1"):
        metrics.contrast_recovery(image, SPHERES[:2], RING, 1.0)


def blurred_sphere(r, radius, sigma):
    """A uniform ball convolved with a Gaussian, at distance r from its centre."""
    near, far = (radius - r) / (np.sqrt(2) * sigma), (radius + r) / (np.sqrt(2) * sigma)
    tails = np.exp(-(near**2)) - np.exp(-(far**2))
    return (erf(near) + erf(far)) / 2 - sigma / (np.sqrt(2 * np.pi) * r) * tails


@pytest.mark.parametrize("diameter", [10, 22, 37])
def test_blurred_spheres_have_the_recovery_of_the_closed_form(diameter):
    grid = Grid.centred((60, 60, 31), (1, 1, 2))
    x, y, z = coordinates(grid)
    sigma, centre = 6 / 2.3548, (1.3, -2.1, 0.0)
    r = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + z**2)
    image = 1 + 3 * blurred_sphere(np.maximum(r, 1e-6), diameter / 2, sigma)
    # Background circles need room: take them as points in a wide margin of the value 1.
    image = np.pad(image, ((0, 60), (0, 0), (0, 0)), constant_values=1)
    corner = [(70.0, 0.0, 0.0)]
    (row,) = metrics.contrast_recovery(volume(image, grid), [(centre, diameter)], corner, 4)
    fine = (np.arange(2000) + 0.5) / 2000 * diameter / 2
    wanted = np.average(blurred_sphere(fine, diameter / 2, sigma), weights=fine)
    # Pixels of 1 mm sample a profile curved over 2.5 mm: second-order errors below 1 %.
    assert row.recovery_percent == pytest.approx(100 * wanted, rel=0.01)


def test_background_variability_is_the_spread_between_all_circles():
    grid = Grid((130, 125, 16), (2.1, 2.2, 3.3), (-135, -137, -22))
    steps = np.array([3.0, 0.0, 6.0, -3.0, 9.0]) + 10
    planes = np.zeros(16)
    centres = grid.centres_mm(2)
    for value, offset in zip(steps, (0, -10, 10, -20, 20), strict=True):
        planes[np.argmin(np.abs(centres - 3 - offset))] = value
    image = volume(np.broadcast_to(planes, grid.shape), grid)
    (row,) = metrics.contrast_recovery(image, SPHERES[:1], RING, 4)
    assert row.background == pytest.approx(13)
    spread = np.std(np.repeat(steps, 12), ddof=1)
    assert row.variability_percent == pytest.approx(100 * spread / 13, rel=1e-6)
    assert metrics.lung_residual(image, (0, 0, 3), RING) == pytest.approx([100] * 5)


def test_background_variability_of_white_noise():
    grid = Grid((130, 130, 16), (2, 2, 3), (-129, -129, -22))
    image = volume(np.random.default_rng(5).normal(10, 1, grid.shape), grid)
    rows = metrics.contrast_recovery(image, [((0, 0, 3), 13.0), ((0, 0, 3), 28.0)], RING, 4)
    for row in rows:
        pixels = np.pi * row.diameter_mm**2 / 4 / 4
        # A circle of n pixels has the spread 1 / sqrt(n), a little less for its soft edge;
        # 60 circles tell it to 1 / sqrt(118) = 9 %: three of these.
        assert row.variability_percent == pytest.approx(10 / np.sqrt(pixels), rel=0.3)


def test_partial_pixels_make_the_area_right():
    grid = Grid.centred((30, 30, 16), (4, 4, 3))
    image = np.zeros(grid.shape)
    image[15] = 1  # a band from 0 to 4 mm
    (row,) = metrics.contrast_recovery(
        volume(image + 1, grid), [((3.0, 1.0, 0), 10.0)], [(-40, 30, 0), (40, 30, 0)], 2
    )
    # The part of a disk of radius 5 at 3 mm between 0 and 4 mm: strip from -3 to 1 of its centre.
    strip = [t * np.sqrt(25 - t**2) + 25 * np.arcsin(t / 5) for t in (-3, 1)]
    wanted = (strip[1] - strip[0]) / (np.pi * 25)
    assert row.recovery_percent == pytest.approx(100 * wanted, abs=0.5)  # raster of 1/4 mm


def test_contrast_does_not_depend_on_how_the_axes_are_stored():
    rng = np.random.default_rng(6)
    voxels, grid = iq_image()
    image = volume(voxels + rng.normal(0, 0.1, voxels.shape), grid)
    turned = np.array([[-1, 0, 0, 129], [0, -1, 0, 124], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    lps = Volume(np.ascontiguousarray(image.voxels[::-1, ::-1]), grid.affine @ turned)
    for a, b in zip(
        metrics.contrast_recovery(image, SPHERES, RING, 4),
        metrics.contrast_recovery(lps, SPHERES, RING, 4),
        strict=True,
    ):
        assert a.recovery_percent == pytest.approx(b.recovery_percent, rel=1e-9)
        assert a.variability_percent == pytest.approx(b.variability_percent, rel=1e-9)


def test_lung_residual_plane_by_plane():
    voxels, grid = iq_image()
    x, y, z = coordinates(grid)
    lung = np.broadcast_to(x**2 + y**2 < 25**2, voxels.shape)
    voxels[lung] = np.broadcast_to(0.1 + 0.001 * z, voxels.shape)[lung]
    nearest = [z.ravel()[np.argmin(np.abs(z - 3 - dz))] for dz in (0, -10, 10, -20, 20)]
    found = metrics.lung_residual(volume(voxels, grid), (0, 0, 3), RING)
    assert found == pytest.approx([10 + 0.1 * at for at in nearest], rel=1e-5)


def body(sp):
    """The background of the image-quality phantom: torso outline less spheres and lung."""
    grid = Grid.centred((int(340 / sp), int(300 / sp), 15), (sp, sp, 4))
    x, y, z = coordinates(grid)
    y = y + 35
    corners = np.hypot(np.maximum(np.abs(x) - 70, 0), y) < 77
    allowed = np.where(y >= 0, np.hypot(x, y) < 147, corners) & (np.hypot(x, y) > 25) & (z > -99)
    for (cx, cy, cz), d in SPHERES:
        allowed &= (x - cx) ** 2 + (y - cy) ** 2 + (z - cz + 3) ** 2 > d**2 / 4
    return volume(allowed, grid)


def test_background_circles_keep_their_distance_in_the_nema_body():
    allowed = body(2.0)
    centres = metrics.background_rois(allowed, 0.0)
    assert centres.shape == (12, 3)
    x, y = centres[:, 0], centres[:, 1] + 35
    assert np.all(np.where(y >= 0, np.hypot(x, y) <= 147 - 33.5, y >= -77 + 33.5))
    for (cx, cy, _), d in [*SPHERES, ((0, 0, 0), 50)]:
        # The map knows its edges to half a pixel's diagonal.
        assert np.hypot(x - cx, y - cy).min() >= d / 2 + 33.5 - 1.5
    apart = np.hypot(*(centres[:, None, :2] - centres[:, :2]).transpose(2, 0, 1))
    assert apart[~np.eye(12, dtype=bool)].min() >= 37
    np.testing.assert_array_equal(centres, metrics.background_rois(allowed, 0.0))


def test_background_circles_heed_all_five_planes():
    grid = Grid.centred((100, 100, 15), (3, 3, 4))
    allowed = np.ones(grid.shape)
    allowed[:50, :, 12] = 0  # z = 20 mm
    centres = metrics.background_rois(volume(allowed, grid), 0.0, count=4)
    assert centres[:, 0].min() >= 33.5 - 1.5
    with pytest.raises(GeometryError, match="no room for 12"):
        metrics.background_rois(volume(allowed, grid), 0.0, diameter_mm=120)
    with pytest.raises(GeometryError, match="no room for 2"):
        metrics.background_rois(volume(0 * allowed, grid), 0.0, count=2)
    with pytest.raises(SettingsError, match="two circles"):
        metrics.background_rois(volume(allowed, grid), 0.0, count=1)


def test_circles_outside_the_image_are_refused():
    voxels, grid = iq_image()
    image = volume(voxels, grid)
    with pytest.raises(GeometryError, match="leaves the image"):
        metrics.contrast_recovery(image, [((130, 0, 3), 37.0)], RING, 4)
    with pytest.raises(GeometryError, match="z = 83 mm"):
        metrics.contrast_recovery(image, [((0, 0, 83.0), 37.0)], RING, 4)
    with pytest.raises(GeometryError, match="z = -27 mm"):
        metrics.contrast_recovery(image, SPHERES, np.array(RING) - (0, 0, 20), 4)
    with pytest.raises(GeometryError, match="on one plane"):
        metrics.contrast_recovery(image, SPHERES, np.array(RING)[:, :2], 4)
    thick = volume(voxels[:, :, :5], Grid(grid.shape, (2.1, 2.2, 25.0), (-135, -137, -47)))
    with pytest.raises(GeometryError, match="too coarse"):
        metrics.contrast_recovery(thick, SPHERES, RING, 4)
    with pytest.raises(DataError, match="mean of 0"):
        metrics.contrast_recovery(volume(0 * voxels, grid), SPHERES, RING, 4)


@pytest.mark.parametrize(
    ("scale", "told"), [(1.0, False), (0.6, False), (0.1, True), (10.0, True)]
)
def test_a_truth_of_another_size_is_told(caplog, scale, told):
    shape = (9, 9, 9)
    image = volume(np.ones(shape), Grid.centred(shape, (2.0, 2.0, 2.0)))
    truth = volume(np.ones(shape), Grid.centred(shape, (2 * scale,) * 3))
    metrics.match(image, truth)
    assert ("litres" in caplog.text) is told
