"""Reconstructions over workers: the image of one process, with one order of sums."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emrecon import Settings
from emrecon.errors import DataError, FormatError, WriteError
from emrecon.io import interfile, read_image, write_image
from emrecon.io.interfile.spect import write_projections
from emrecon.io.scan import read_scan
from emrecon.jobs import Execution
from emrecon.jobs.recon import reconstruct
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import Response
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.operators.camera import CameraProjector
from emrecon.volume import Volume
from tests.sharing.conftest import Here, shared

QUICK = Settings(iterations=2, subsets=4)


def both(scan: Path, folder: Path, settings: Settings, parts: Corrections | None = None):
    """Reconstruct in this process, and by 1, 2 and 3 workers."""
    alone = reconstruct(scan, folder / "alone.nii.gz", settings, parts)
    by_workers = [
        shared(scan, folder / f"by{n}.nii.gz", settings, parts, workers=Here(n), chunks=3)
        for n in (1, 2, 3)
    ]  # fmt: skip
    return alone, by_workers


def check(alone, by_workers) -> None:
    """Hold images and logs against each other."""
    image = alone.volume.voxels
    for made in by_workers:
        assert np.abs(made.volume.voxels - image).max() < 1e-5 * image.max()
        assert np.array_equal(made.volume.affine, alone.volume.affine)
        assert made.volume.voxels.tobytes() == by_workers[0].volume.voxels.tobytes()
        for a, b in zip(made.history.rows, alone.history.rows, strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-7)
            assert a.relative_change == pytest.approx(b.relative_change, rel=1e-4, nan_ok=True)


def facts(made) -> dict:
    found = json.loads(made.job.outputs()[1].read_text())["Facts"]
    return {key: value for key, value in found.items() if not key.startswith("seconds")}


@pytest.mark.parametrize(
    "settings",
    [
        QUICK,
        replace(QUICK, psf_fwhm_mm=(5.0,), post_fwhm_mm=(4.0,)),
        Settings(iterations=3, subsets=1, voxel_mm=(4.0, 4.0, 5.0)),
        replace(QUICK, subsets=6, ring_wide=True),
    ],
    ids=["osem", "psf", "mlem", "ring-wide"],
)
def test_same_image_as_one_process(scan, tmp_path, settings):
    """All corrections of PET; images differ by the rounding of sums in float32."""
    alone, by_workers = both(scan, tmp_path, settings)
    check(alone, by_workers)
    for made in by_workers:
        here, there = facts(alone), facts(made)
        assert there.pop("chunks") == 3
        there.pop("workers")
        assert there.keys() == here.keys()
        for name in ("prompts", "background", "randoms", "scatter"):
            assert there[name] == pytest.approx(here[name], rel=1e-12)


def test_attenuation_from_a_map_is_projected_by_each_worker(scan, tmp_path):
    parts = Corrections(mu=scan / "mu.nii.gz", mu_unit="1/mm")
    check(*both(scan, tmp_path, QUICK, parts))


def test_a_gamma_camera_on_an_orbit_that_is_no_circle(tmp_path):
    """Depth-dependent attenuation and blur; the radius differs from chunk to chunk."""
    theta = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    at = (np.arange(24) - 11.5) * 6.0
    camera = Camera(theta, 120 + 40 * np.cos(theta), at, at[7:17])
    grid = camera.grid()
    rng = np.random.default_rng(1)
    image = np.zeros(grid.shape, np.float32)
    image[6:18, 8:16, 2:8] = rng.uniform(0.5, 2, (12, 8, 6))
    mu = Volume((image > 0).astype(np.float32) * 0.015, grid.affine, "1/mm")
    mean = CameraProjector(grid, camera, Response(0.05, 2.0), mu).forward(image)
    write_projections(tmp_path / "p.hs", camera, rng.poisson(mean).astype(np.float32))
    write_image(mu, tmp_path / "mu.nii.gz")
    settings = Settings(iterations=2, subsets=4, response_mm=(0.05, 2.0))
    parts = Corrections(mu=tmp_path / "mu.nii.gz", mu_unit="1/mm")
    check(*both(tmp_path / "p.hs", tmp_path, settings, parts))


def test_views_are_read_alone_and_in_the_order_asked(scan):
    whole = interfile.read_projections(scan / "prompts.hs")
    views = np.array([5, 1, 20])
    some = interfile.read_projections(scan / "prompts.hs", only=lambda count: views)
    assert some.data.tobytes() == whole.data[views].tobytes()
    assert np.array_equal(some.bins.phi_rad, whole.bins.phi_rad[views])
    read, _ = read_scan(scan, only=lambda count: views)
    assert read.randoms.shape == some.data.shape


def test_resumed_from_a_checkpoint_to_the_same_bits(scan, tmp_path):
    """Also by another number of workers; not by other chunks, nor by one process."""
    full = shared(scan, tmp_path / "full.nii.gz", QUICK, workers=Here(2), chunks=3)
    kept = replace(QUICK, checkpoint_every=3)
    out = tmp_path / "some.nii.gz"

    class StoppedError(Exception):
        pass

    class Meter:
        def __init__(self, what, total):
            self.what = what

        def __enter__(self):
            return self

        def __exit__(self, *error): ...

        def update(self, done, total): ...

        def __call__(self, iterate):
            if iterate.number == 5:
                raise StoppedError

    with pytest.raises(StoppedError):
        shared(scan, out, kept, workers=Here(2), chunks=3, meters=Meter)
    assert (tmp_path / "some.checkpoint.npz").exists()
    with pytest.raises(FormatError, match="other data, settings or version"):
        shared(scan, out, kept, workers=Here(2), chunks=2, resume=True)
    with pytest.raises(FormatError, match="other data, settings or version"):
        reconstruct(scan, out, kept, execution=Execution(resume=True))
    again = shared(scan, out, kept, workers=Here(3), chunks=3, resume=True)
    assert facts(again)["resumed_at_update"] == 3
    assert again.volume.voxels.tobytes() == full.volume.voxels.tobytes()
    assert read_image(out).voxels.tobytes() == read_image(full.job.out).voxels.tobytes()


def test_both_workers_work_on_every_update(scan, tmp_path):
    workers = Here(2)
    shared(scan, tmp_path / "a.nii.gz", QUICK, workers=workers)
    assert 0.4 < np.mean(workers.at) < 0.6


def test_bad_data_and_outputs_are_refused_as_by_one_process(scan, tmp_path):
    negative = tmp_path / "negative.s"
    data = np.fromfile(scan / "randoms.s", np.float32)
    data[1234] = -1
    data.tofile(negative)
    header = (scan / "randoms.hs").read_text().replace("randoms.s", "negative.s")
    (tmp_path / "negative.hs").write_text(header)
    parts = Corrections(randoms=tmp_path / "negative.hs")
    with pytest.raises(DataError, match="randoms is negative in 1 bins"):
        shared(scan, tmp_path / "a.nii.gz", QUICK, parts, workers=Here(2))
    mu = tmp_path / "mu.nii.gz"
    mu.write_bytes((scan / "mu.nii.gz").read_bytes())
    parts = Corrections(mu=mu, mu_unit="1/mm")
    with pytest.raises(WriteError, match="one of the inputs"):
        shared(scan, mu, QUICK, parts, workers=Here(2))
    assert not list(tmp_path.glob("a.*"))


def test_what_workers_warn_of_is_said_once(scan, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        shared(
            scan, tmp_path / "a.nii.gz", replace(QUICK, subsets=5), workers=Here(3), chunks=3
        )  # fmt: skip
    here = [record for record in caplog.records if record.name == "emrecon.tomo.sharing"]
    said = [record.message for record in here]  # caplog hears the workers, which are here, too
    assert len([text for text in said if "do not divide" in text]) == 1, said
