"""Files that other programs wrote; skipped where they are not there."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from emrecon import io
from emrecon.errors import DataError, FormatError
from emrecon.io.interfile import read_geometry, read_image, read_projections
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.scan import Scan

PROJECTIONS = {
    "stir_osem_case/prompts.hs": (96, 128, 124),
    "stir_osem_case/additive.hs": (96, 128, 124),
    "stir_osem_case/template_utah.hs": (96, 128, 124),
    "pet_sinogram_2d/smalllong.hs": (64, 75, 27),
    "thorax_fdg_ct/template_sinogram.hs": (64, 192, 15),
    "pet_mmr_listmode/template_span11.hs": (252, 344, 837),
}
IMAGES = {
    "stir_osem_case/init.hv": (60, 60, 31),
    "stir_osem_case/upstream_RPTsens_seg3_PM.hv": (60, 60, 31),
    "pet_sinogram_2d/init.hv": (60, 60, 31),
    "thorax_fdg_ct/FDG_g1.hv": (155, 155, 15),
    "thorax_fdg_ct/CTAC_g1.hv": (155, 155, 15),
    "t1_brain_3mm/t1_icbm_normal_3mm_pn3_rf20.hv": (181, 217, 60),
    "brain_real_t1/chris_t1_head.nii.gz": (188, 256, 190),
}


@pytest.mark.parametrize("name", PROJECTIONS)
def test_geometry(shared_data, name):
    path = shared_data / name
    assert io.kind(path) == "projections"
    assert read_geometry(path).shape == PROJECTIONS[name]


@pytest.mark.parametrize("name", IMAGES)
def test_images(shared_data, name):
    path = shared_data / name
    assert io.kind(path) == "image"
    volume = io.read_image(path)
    assert volume.voxels.shape == IMAGES[name]
    assert np.isfinite(volume.voxels).all()


def test_kinds(shared_data):
    spect = shared_data / "spect_simset" / "input.hs"
    listmode = shared_data / "pet_mmr_listmode" / "PET_ACQ_small.l.hdr.STIR"
    assert io.kind(spect) == "projections"
    assert io.kind(listmode) == "events"
    for read, words in ((io.read_image, "holds no image"), (read_projections, "SPECT")):
        with pytest.raises(FormatError, match=words):
            read(spect)
        with pytest.raises(FormatError):
            read(listmode)


def test_geometry_is_what_stir_says(shared_data):
    folder = shared_data / "stir_osem_case"
    wanted = json.loads((folder / "case.json").read_text())["geometry"]
    read = read_projections(folder / "prompts.hs")
    bins = read.bins
    assert read.data.size == wanted["total_bins"]
    # The bins' order and sign turn with the axes from L, P to R, A.
    assert -bins.s_mm[-1] == pytest.approx(wanted["s_mm_first"], abs=1e-6)
    assert -bins.s_mm[0] == pytest.approx(wanted["s_mm_last"], abs=1e-6)
    assert bins.phi_rad[0] == pytest.approx(wanted["phi_first_view_rad"], abs=1e-9)
    steps = np.diff(bins.phi_rad)
    np.testing.assert_allclose(steps, wanted["phi_increment_rad"], rtol=1e-6)
    assert bins.radius_mm == pytest.approx(wanted["effective_ring_radius_mm"])
    for number, segment in zip((0, 1, -1, 2, -2, 3, -3, 4, -4), bins.segments, strict=True):
        assert segment.planes == wanted["axial_planes_per_segment"][str(number)]
        assert segment.ring_differences == (number, number)
        assert segment.tilt_mm == pytest.approx(number * wanted["ring_spacing_mm"])
        assert segment.step_mm == pytest.approx(wanted["ring_spacing_mm"])


def test_numbers_stand_where_the_file_has_them(shared_data):
    """Against a plain reading of the data file: segment, view, axial, tangential."""
    folder = shared_data / "stir_osem_case"
    read = read_projections(folder / "prompts.hs")
    raw = np.fromfile(folder / "prompts.s", "<f4")
    assert read.data.sum(dtype=np.float64) == raw.sum(dtype=np.float64)
    first = 96 * 128 * (12 + 13 + 14 + 15)  # segments -4 to -1 come before 0
    direct = raw[first : first + 96 * 16 * 128].reshape(96, 16, 128)
    np.testing.assert_array_equal(read.data[:, :, :16], direct.transpose(0, 2, 1)[:, ::-1, ::-1])


def test_precorrected_data_read_but_do_not_pass_for_counts(shared_data):
    read = read_projections(shared_data / "pet_sinogram_2d" / "smalllong.hs")
    assert np.count_nonzero(read.data < 0) == 36919
    with pytest.raises(DataError, match="negative in 36919 bins"):
        Scan(read.bins, read.data).check()


def test_a_mu_map_stays_in_its_own_unit(shared_data):
    image = read_image(shared_data / "thorax_fdg_ct" / "CTAC_g1.hv")
    assert 0.09 < np.percentile(image.volume.voxels, 99) < 0.2  # 1/cm: soft tissue to bone
    assert image.volume.unit == ""


def test_stirs_image_fits_stirs_counts_and_no_mirror_image_does(shared_data):
    """STIR drew the prompts from 2.15 times the projected image, plus the additive term."""
    folder = shared_data / "stir_osem_case"
    prompts = read_projections(folder / "prompts.hs")
    additive = read_projections(folder / "additive.hs").data
    grid = io.read_image(folder / "init.hv").grid()
    gantry = np.load(folder / "source_image.npy")  # [z, y, x]
    image = gantry.transpose(2, 1, 0)[::-1, ::-1, ::-1].astype(np.float32)
    counts = prompts.data.sum(dtype=np.float64)

    def misfit(candidate, bins=prompts.bins):
        """Return the squared misfit of the best two factors over its mean, and the factors."""
        forward = JosephProjector(grid, bins).forward(np.ascontiguousarray(candidate))
        terms = np.stack([forward.ravel() / grid.spacing_mm[0], additive.ravel()], 1)
        factors, rest, *_ = np.linalg.lstsq(
            terms.astype(np.float64), prompts.data.ravel().astype(np.float64)
        )
        return float(rest[0]) / counts, factors

    right, factors = misfit(image)
    # Nothing but Poisson noise is left; the projectors differ by parts in a hundred.
    assert right == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(factors, [2.15, 1.0], rtol=0.02)
    for axis in (0, 1, 2):
        assert misfit(np.flip(image, axis))[0] > 1.02
    climbing = tuple(replace(s, tilt_mm=-s.tilt_mm) for s in prompts.bins.segments)
    assert misfit(image, replace(prompts.bins, segments=climbing))[0] > right + 1e-3
