"""Reconstructions of what was counted exactly: activity, place, likelihood, totals."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emrecon.em import until, watch
from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.metrics import centroid_mm
from emrecon.stop import after
from emrecon.tomo.corrections import attenuation
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.prepare import prepare, recon
from emrecon.tomo.scan import Scan
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings
from emrecon.tomo.subsets import fitting_subsets
from emrecon.volume import Grid, Volume
from emrecon.watchers import ConvergenceLog
from phantoms.cylinder import uniform_cylinder
from phantoms.flip_finder import flip_finder
from phantoms.simulate import attenuation_factors, simulate

BODY = Scanner("body", 12, 160, 6.0, 170.0, 6.0, 6.0, 85, (10, 4))
SMALL = Scanner("small", 6, 48, 5.0, 60.0, 3.0, 5.0, 23)


def small_scan(seed: int = 0, *, noise: bool = True) -> Scan:
    phantom = flip_finder().scaled(0.35)
    rng = np.random.default_rng(seed)
    return simulate(
        phantom,
        SMALL.bins(span=3),
        counts=2e5,
        rng=rng,
        randoms_fraction=0.2,
        scatter_fraction=0.1,
        noise=noise,
    ).scan


@pytest.mark.slow
def test_uniform_cylinder_comes_back_within_one_percent() -> None:
    """Noise-free exact line integrals: OSEM to convergence, 30 mm inside the cylinder."""
    bins = BODY.bins(span=3)
    phantom = uniform_cylinder(100.0, 120.0)
    made = simulate(phantom, bins, counts=1e7, rng=np.random.default_rng(0), noise=False)
    image = recon(made.scan, Settings(iterations=12, subsets=10))
    x, y, z = np.meshgrid(*(image.grid().centres_mm(a) for a in range(3)), indexing="ij")
    inside = (np.hypot(x, y) < 70) & (np.abs(z) < BODY.rings * BODY.ring_spacing_mm / 2 - 30)
    assert inside.sum() > 300
    ratio = image.voxels[inside] / made.truth.voxels[inside]
    assert ratio.mean() == pytest.approx(1, abs=0.01)


def test_attenuation_from_a_mu_map_gives_the_same_activity() -> None:
    made = simulate(
        uniform_cylinder(100.0, 120.0),
        BODY.bins(span=3),
        counts=1e7,
        rng=np.random.default_rng(0),
        noise=False,
    )
    settings = Settings(iterations=4, subsets=10)
    exact = recon(made.scan, settings)
    by_map = recon(made.scan.with_(attenuation=None, mu=made.mu), settings)
    none = recon(made.scan.with_(attenuation=None), settings)
    middle = (slice(28, 57), slice(28, 57), slice(6, 17))
    assert by_map.voxels[middle].mean() == pytest.approx(exact.voxels[middle].mean(), rel=0.01)
    assert none.voxels[middle].mean() < 0.4 * exact.voxels[middle].mean()  # e^-1.9 on the axis


def test_every_body_of_the_flip_finder_is_at_its_place() -> None:
    phantom = flip_finder()
    made = simulate(
        phantom, BODY.bins(span=1), counts=1e7, rng=np.random.default_rng(0), noise=False
    )
    image = recon(made.scan, Settings(iterations=6, subsets=8))
    check_centroids(image, made.truth, made.labels)


def check_centroids(image: Volume, truth: Volume, labels: Volume, within: float = 0.5) -> None:
    """Hold every hot body's centroid, background removed, to truth within part of a voxel."""
    marks = np.rint(labels.voxels).astype(int)
    level = float(np.median(truth.voxels[marks == 1]))
    checked = 0
    for label in np.unique(marks)[2:]:
        region = grown(marks == label, 1)
        excess = float(truth.voxels[marks == label].mean()) / level
        if excess < 1.5:  # cold and faint bodies have no centroid of their own
            continue
        places = [
            centroid_mm(np.clip(volume.voxels - level, 0, None), volume.affine, region)
            for volume in (image, truth)
        ]
        shift = np.abs(np.subtract(*places)) / image.spacing_mm
        assert shift.max() < within, (label, shift)
        checked += 1
    assert checked >= 3


def grown(mask: np.ndarray, times: int) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return binary_dilation(mask, iterations=times)


@pytest.mark.parametrize("psf", [(), (6.0,)])
def test_likelihood_never_falls_and_totals_are_kept(psf: tuple[float, ...]) -> None:
    scan = small_scan()
    problem = prepare(scan, Settings(iterations=8, subsets=1, psf_fwhm_mm=psf))
    log = ConvergenceLog()
    *_, last = until(watch(problem.iterates(), log), *problem.enough())
    values = [row.log_likelihood for row in log.rows]
    assert all(b >= a - 1e-7 * abs(a) for a, b in pairwise(values))
    (likelihood,) = problem.likelihoods
    explained = float((last.params * likelihood.sensitivity).sum(dtype=np.float64))
    without = recon_total(scan)
    assert explained < without  # background explains its share


def recon_total(scan: Scan) -> float:
    """Counts that MLEM without background explains: all that were measured."""
    bare = scan.with_(randoms=None, scatter=None)
    problem = prepare(bare, Settings(iterations=2, subsets=1))
    *_, last = until(problem.iterates(), after(2))
    explained = float((last.params * problem.likelihoods[0].sensitivity).sum(dtype=np.float64))
    on_lines = float(scan.prompts.sum(dtype=np.float64, where=reached(bare, problem.grid)))
    assert explained == pytest.approx(on_lines, rel=1e-5)
    return explained


def reached(scan: Scan, grid: Grid) -> np.ndarray:
    return JosephProjector(grid, scan.bins).forward(np.ones(grid.shape, np.float32)) > 0


def test_start_explains_the_total() -> None:
    scan = small_scan()
    problem = prepare(scan, Settings(subsets=4))
    expected = sum(
        float((problem.start * likelihood.sensitivity).sum(dtype=np.float64))
        for likelihood in problem.likelihoods
    )
    background = float((scan.randoms + scan.scatter).sum(dtype=np.float64))
    assert expected + background == pytest.approx(float(scan.prompts.sum()), rel=1e-5)
    assert problem.facts["prompts"] == pytest.approx(float(scan.prompts.sum()))
    assert problem.facts["background"] == pytest.approx(background, rel=1e-6)


def test_missing_bins_are_not_asked() -> None:
    """Half the views dead: the image still comes back, whatever the dead bins hold."""
    made = simulate(
        uniform_cylinder(30.0, 60.0), SMALL.bins(span=3), counts=1e6,
        rng=np.random.default_rng(0), noise=False,
    )  # fmt: skip
    dead = np.ones(made.scan.bins.shape, np.float32)
    dead[3::4] = 0
    wild = made.scan.prompts.copy()
    wild[3::4] = 1e4
    settings = Settings(iterations=10, subsets=3)
    whole = recon(made.scan, settings).voxels
    part = recon(made.scan.with_(prompts=wild, normalisation=dead), settings).voxels
    middle = (slice(10, 13), slice(10, 13), slice(4, 7))
    assert part[middle].mean() == pytest.approx(whole[middle].mean(), rel=0.03)


def test_voxels_that_nothing_sees_stay_zero() -> None:
    scan = small_scan()
    tall = recon(scan, Settings(iterations=2, subsets=4, voxel_mm=(6, 6, 2.5), size=(18, 18, 31)))
    assert tall.voxels[:, :, 0].max() == 0
    assert np.isfinite(tall.voxels).all()
    assert tall.voxels[9, 9, 15] > 0


def test_sensitivities_are_taken_from_the_cache(tmp_path: Path) -> None:
    scan, settings = small_scan(), Settings(iterations=1, subsets=4)
    first = prepare(scan, settings, kept=Sensitivities(tmp_path, "key"))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    stamps = [file.stat().st_mtime_ns for file in files]
    again = prepare(scan, settings, kept=Sensitivities(tmp_path, "key"))
    assert [file.stat().st_mtime_ns for file in files] == stamps
    plain = prepare(scan, settings)
    for a, b, c in zip(first.likelihoods, again.likelihoods, plain.likelihoods, strict=True):
        np.testing.assert_array_equal(a.sensitivity, b.sensitivity)
        np.testing.assert_array_equal(a.sensitivity, c.sensitivity)
    other = prepare(scan, settings, kept=Sensitivities(tmp_path, "other"))
    assert len(list(tmp_path.iterdir())) == 8
    np.testing.assert_array_equal(other.start, first.start)


def test_large_sensitivities_go_to_files(monkeypatch: pytest.MonkeyPatch) -> None:
    scan, settings = small_scan(), Settings(iterations=1, subsets=4)
    in_memory = recon(scan, settings)
    flushed: list[int] = []
    monkeypatch.setattr("emrecon.tomo.sensitivity.IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("os.fsync", flushed.append)
    np.testing.assert_array_equal(recon(scan, settings).voxels, in_memory.voxels)
    assert not flushed  # these go with the run: no one waits for the disk


def test_subsets_that_do_not_divide_the_views(caplog: pytest.LogCaptureFixture) -> None:
    assert fitting_subsets(7, 24) == 6
    assert "7 subsets do not divide 24 views evenly: 6" in caplog.text
    assert fitting_subsets(12, 24) == 12
    assert fitting_subsets(10, 13) == 13
    assert fitting_subsets(8, 61) == 8
    assert "they hold 7 or 8 views" in caplog.text
    assert fitting_subsets(99, 13) == 13
    assert prepare(small_scan(), Settings(subsets=7)).settings.subsets == 6


def test_post_filter_and_psf_smooth() -> None:
    scan = small_scan()
    settings = Settings(iterations=4, subsets=4)
    plain = recon(scan, settings)
    smooth = recon(scan, Settings(iterations=4, subsets=4, post_fwhm_mm=(10.0,)))
    assert smooth.voxels.max() < 0.8 * plain.voxels.max()
    assert smooth.unit == plain.unit == "counts/mm"


def test_stops_when_flat() -> None:
    log = ConvergenceLog(4)
    recon(small_scan(), Settings(iterations=200, subsets=4, tolerance=1e-3), log)
    assert 8 < log.rows[-1].sub_iteration < 200


@pytest.mark.slow
def test_parallel_beam_slices_are_reconstructed() -> None:
    bins = Bins.parallel(np.arange(60) * np.pi / 60, np.arange(-30.0, 31.0) * 2, 3, 2.0)
    made = simulate(
        uniform_cylinder(40.0, 60.0), bins, counts=1e6, rng=np.random.default_rng(0),
        noise=False, attenuate=False,
    )  # fmt: skip
    image = recon(made.scan, Settings(iterations=10, subsets=6))
    assert image.voxels.shape == (61, 61, 3)
    assert image.voxels[25:36, 25:36].mean() == pytest.approx(
        made.truth.voxels[30, 30, 1], rel=0.01
    )


def mu_volume(shift: float = 0.0, value: float = 0.0096) -> Volume:
    grid = Grid((20, 20, 20), (4.0, 4.0, 4.0), (-38.0 + shift, -38.0, -38.0))
    return Volume(np.full(grid.shape, value, np.float32), grid.affine, "1/mm")


def test_attenuation_is_exp_of_minus_the_path() -> None:
    bins = SMALL.bins()
    centre = attenuation.factors(mu_volume(), bins)[0, 11, 2]  # along y through the middle
    assert centre == pytest.approx(np.exp(-0.0096 * 80), rel=1e-3)


def test_oblique_mu_map_is_resampled() -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    straight = mu_volume()
    oblique = Volume(straight.voxels, turn @ straight.affine, "1/mm")
    found = np.log(attenuation.factors(oblique, SMALL.bins())[0, 11, 2])
    # 80 / cos(0.3) mm of path, whose blurred ends may err by half a 4 mm voxel each
    assert found == pytest.approx(-0.0096 * 80 / np.cos(0.3), abs=0.0096 * 5)


@pytest.mark.parametrize(
    ("mu", "unit", "says"),
    [
        (mu_volume(value=0.0096), "1/cm", "is it in 1/mm"),
        (mu_volume(value=0.096), "1/mm", "is it in 1/cm"),
        (mu_volume(), "1/m", "not '1/m'"),
        (mu_volume(value=-0.01), "1/mm", "negative"),
    ],
)
def test_mu_maps_that_make_no_sense(mu: Volume, unit: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        attenuation.in_per_mm(mu, unit)


@pytest.mark.parametrize(
    ("value", "kev", "told"),
    [
        (0.0153, 511, True), (0.0149, 364, True), (0.0098, 140.5, True), (0.0096, 208, True),
        (0.0096, 511, False), (0.0105, 364, False), (0.0153, 140.5, False), (0.0145, 159, False),
        (0.0, 511, False),
    ],
)  # fmt: skip
def test_mu_maps_of_another_energy_are_told(value, kev, told, caplog) -> None:
    attenuation.say_energy(mu_volume(value=value), kev)
    assert ("is it a map for another energy?" in caplog.text) is told


def test_what_lies_beyond_the_field_of_view_attenuates_too() -> None:
    """Bins that were trimmed see a narrow cylinder, but photons pass the whole body."""
    phantom = uniform_cylinder(50.0, 60.0)
    bins = SMALL.bins(count=9)
    assert bins.fov_mm < 25
    grid = Grid.centred((60, 60, 20), (2.0, 2.0, 3.0))
    found = attenuation.factors(phantom.mu(grid), bins)
    exact = attenuation_factors(phantom, bins)
    np.testing.assert_allclose(np.log(found), np.log(exact), rtol=0.02)


def test_oblique_mu_map_beside_the_field_of_view() -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    turn[:3, 3] = [0, 0, 400]
    straight = mu_volume()
    with pytest.raises(GeometryError, match="do not overlap"):
        attenuation.factors(Volume(straight.voxels, turn @ straight.affine, "1/mm"), SMALL.bins())


def test_mu_map_of_several_frames() -> None:
    four = Volume(np.stack([mu_volume().voxels] * 2), mu_volume().affine, "1/mm")
    with pytest.raises(GeometryError, match="one frame, not 2"):
        attenuation.factors(four, SMALL.bins())


def test_metal_and_air_in_a_mu_map_are_plausible(caplog: pytest.LogCaptureFixture) -> None:
    voxels = mu_volume().voxels.copy()
    voxels[5, 5, 5] = 0.07  # steel
    attenuation.in_per_mm(Volume(voxels, np.eye(4)), "1/mm")
    attenuation.in_per_mm(Volume(0 * voxels, np.eye(4)), "1/cm")
    assert "nothing attenuates" in caplog.text
    with pytest.raises(SettingsError, match="HU"):
        attenuation.in_per_mm(Volume(voxels * 2000, np.eye(4)), "1/cm")


def test_end_planes_of_a_uniform_cylinder_with_a_resolution_model() -> None:
    """Activity goes on beyond the axial field of view: the last planes must not overshoot."""
    made = simulate(
        uniform_cylinder(40.0, 200.0), SMALL.bins(span=3), counts=1e6,
        rng=np.random.default_rng(0), noise=False,
    )  # fmt: skip
    settings = Settings(iterations=8, subsets=4, psf_fwhm_mm=(6.0,), post_fwhm_mm=(6.0,))
    image = recon(made.scan, settings).voxels[8:13, 8:13]
    middle = image[..., 4:7].mean()
    assert image[..., 0].mean() == pytest.approx(middle, rel=0.05)
    assert image[..., -1].mean() == pytest.approx(middle, rel=0.05)


def test_uneven_subsets_come_to_the_same_image() -> None:
    """13 views in 4 subsets: one holds a view more, and its sensitivity makes up for it."""
    bins = Bins.parallel(np.arange(13) * np.pi / 13, np.arange(-20.0, 21.0) * 2, 2, 2.0)
    made = simulate(
        uniform_cylinder(25.0, 60.0), bins, counts=1e6, rng=np.random.default_rng(0),
        noise=False, attenuate=False,
    )  # fmt: skip
    problem = prepare(made.scan, Settings(subsets=4))
    assert [one.system.range[0] for one in problem.likelihoods].count(4) == 1
    uneven = recon(made.scan, Settings(iterations=30, subsets=4))
    mlem = recon(made.scan, Settings(iterations=120, subsets=1))
    inside = made.truth.voxels == made.truth.voxels.max()
    assert uneven.voxels[inside].mean() == pytest.approx(mlem.voxels[inside].mean(), rel=0.01)


def test_mu_map_beside_the_field_of_view() -> None:
    with pytest.raises(GeometryError, match="do not overlap"):
        attenuation.factors(mu_volume(shift=200), SMALL.bins())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: {"prompts": s.prompts - 1}, "prompts is negative"),
        (lambda s: {"prompts": np.where(s.prompts > 5, np.nan, s.prompts)}, "NaN"),
        (lambda s: {"randoms": -s.randoms}, "randoms is negative"),
        (lambda s: {"attenuation": 1 / s.attenuation}, "survival"),
        (lambda s: {"randoms": s.randoms + 100}, "nothing left"),
        (lambda s: {"prompts": 0 * s.prompts, "randoms": None, "scatter": None}, "nothing left"),
        (lambda s: {"normalisation": 0 * s.prompts}, "no voxel"),
    ],
)
def test_data_no_model_can_have_made(change, says: str) -> None:
    scan = small_scan()
    with pytest.raises(DataError, match=says):
        recon(scan.with_(**change(scan)), Settings(iterations=1, subsets=4))


def test_parts_of_another_shape() -> None:
    scan = small_scan()
    with pytest.raises(GeometryError, match="randoms has shape"):
        scan.with_(randoms=scan.randoms[1:])
    with pytest.raises(DataError, match="not both"):
        scan.with_(mu=mu_volume())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"iterations": 0}, "iterations must be 1 or more"),
        ({"tolerance": -1.0}, "tolerance must be 0"),
        ({"tolerance": float("nan")}, "tolerance must be 0"),
        ({"voxel_mm": (1.0, 2.0)}, "takes 1 or 3 numbers, not 2"),
        ({"voxel_mm": (1.0, 0.0, 1.0)}, "above zero"),
        ({"psf_fwhm_mm": (1.0, 2.0)}, "takes 1 or 3"),
        ({"psf_fwhm_mm": (-1.0,)}, "zero or more"),
        ({"size": (10, 10)}, "takes 3"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Settings(**wrong)


def test_more_threads_than_there_are() -> None:
    with pytest.raises(SettingsError, match="threads wanted"):
        prepare(small_scan(), Settings(threads=100_000))


def test_same_bits_for_any_number_of_threads() -> None:
    import numba

    scan = small_scan()
    most = numba.config.NUMBA_NUM_THREADS
    images = [
        recon(scan, Settings(iterations=2, subsets=4, psf_fwhm_mm=(5.0,), threads=n))
        for n in sorted({1, min(2, most), most})
    ]
    for image in images[1:]:
        np.testing.assert_array_equal(image.voxels, images[0].voxels)
