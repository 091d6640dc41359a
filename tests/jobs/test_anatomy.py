"""Tissues as what a prior or a kernel compares: a folder of them, or a T1 segmented on the way."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emrecon import io, jobs
from emrecon.errors import DataError, EmreconError, SettingsError
from emrecon.io import sidecar
from emrecon.jobs.anatomy import Anatomy, files_of
from emrecon.jobs.as_code import as_command
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.anatomy_settings import AnatomySettings
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.settings import Settings
from emrecon.volume import Grid, Volume
from phantoms import brain, mri
from phantoms.acquisition import Acquisition

TISSUE_OF = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}
FEW = Settings(
    subsets=4, iterations=4, voxel_mm=(6.0, 6.0, 4.85), size=(30, 36, 15), psf_fwhm_mm=(4.0,)
)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A folder with a scan of a brain, its T1 and the fractions of its tissues."""
    folder = tmp_path_factory.mktemp("anatomy")
    like = Acquisition(views=24, bins=144, span=3, max_ring_difference=1, counts=3e5)
    jobs.run(SimulationJob("brain", folder / "scan", like))
    true = mri.from_phantom(brain(), TISSUE_OF, Grid.centred((50, 60, 56), (3.0, 3.0, 3.0)), 2)
    t1, _ = mri.acquire(true, mri.Scan(bias_percent=5), np.random.default_rng(0))
    io.write_image(Volume(t1.voxels * true.mask, t1.affine), folder / "sub_T1w.nii.gz")
    (folder / "tissue").mkdir()
    for n, name in enumerate(("CSF", "GM", "WM")):
        image = Volume(true.fractions[..., n], true.affine)
        io.write_image(image, folder / "tissue" / f"sub_T1w_label-{name}_fraction.nii.gz")
    return folder


def chosen(way, path, **more):
    if way == "prior":
        return {"penalty": Penalty("rdp", anatomy=(path,)), **more}
    return {"kernel": KernelSettings((path,)), **more}


@pytest.mark.parametrize("way", ["prior", "kernel"])
def test_a_folder_of_tissues_is_its_fractions(head, tmp_path, way):
    out = tmp_path / "image.nii.gz"
    job = ReconstructionJob(head / "scan", out, FEW, **chosen(way, head / "tissue"))
    files = job.inputs()
    what = "anatomy" if way == "prior" else "kernel"
    assert [files[f"{what}{n}"].name for n in (1, 2, 3)] == [
        f"sub_T1w_label-{name}_fraction.nii.gz" for name in ("CSF", "GM", "WM")
    ]
    folder, _ = jobs.run(job)
    paths = tuple(sorted((head / "tissue").iterdir()))
    same = {"penalty": Penalty("rdp", anatomy=paths)} if way == "prior" else {
        "kernel": KernelSettings(paths)
    }  # fmt: skip
    listed = ReconstructionJob(head / "scan", None, FEW, **same).begin().iterate()
    assert np.array_equal(folder.volume.voxels, listed.volume.voxels)
    assert "tissue" in as_command(job)


def test_of_a_folder_the_fractions_that_its_sidecar_names(tmp_path):
    """Parts, fractions in a template and those of an earlier run lie beside them."""
    labels = ("CSF", "GM", "WM", "CGM", "SGM", "class1")
    others = ("t1_space-MNI_label-GM_fraction.nii.gz", "t1_label-GM_probseg.nii.gz")
    for name in (*(f"t1_label-{label}_fraction.nii.gz" for label in labels), *others):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="tissues of t1, t1_space-MNI"):
        files_of([tmp_path])
    sidecar.write_label_names(tmp_path / "t1_dseg.nii.gz", {1: "CSF", 2: "GM", 3: "WM", 4: "x"})
    wanted = [f"t1_label-{label}_fraction.nii.gz" for label in ("CSF", "GM", "WM")]
    assert [file.name for file in files_of([tmp_path])] == wanted


def test_a_folder_without_tissues_or_with_two_heads_is_refused(head, tmp_path):
    for names, words in (
        ((), "without fractions"),
        (("a_label-GM_fraction.nii.gz", "b_label-GM_fraction.nii.gz"), "tissues of a, b"),
    ):
        for name in names:
            (tmp_path / name).touch()
        job = ReconstructionJob(head / "scan", None, FEW, **chosen("kernel", tmp_path))
        with pytest.raises(DataError, match=words):
            job.begin()


@pytest.mark.slow
def test_tissues_that_lie_elsewhere_than_the_counts_are_warned_of(head, caplog):
    fractions = [io.read_image(path) for path in sorted((head / "tissue").iterdir())]
    seen = sum(share * one.voxels for share, one in zip((0.3, 4.0, 1.0), fractions, strict=True))
    for shift_mm in (0.0, 30.0):
        assert "fit the counts best" not in caplog.text
        affine = fractions[0].affine.copy()
        affine[0, 3] += shift_mm
        first = Volume(np.asarray(seen, np.float32), affine)
        Anatomy(AnatomySettings()).on(first.grid(), (head / "tissue",), lambda at=first: at)
    assert "the tissues fit the counts best 30 mm and" in caplog.text


@pytest.mark.slow
def test_a_t1_is_segmented_and_aligned_on_the_way(head, tmp_path):
    """In one command; a T1 that lies 8 mm off gives about the image of the true tissues."""
    volume = io.read_image(head / "sub_T1w.nii.gz")
    affine = volume.affine.copy()
    affine[:3, 3] += (6.0, -5.0, 0.0)
    path, out = tmp_path / "moved_T1w.nii.gz", tmp_path / "image.nii.gz"
    io.write_image(Volume(volume.voxels, affine), path)
    wanted, plain = (
        ReconstructionJob(head / "scan", None, FEW, **choice).begin().iterate().volume.voxels
        for choice in (chosen("kernel", head / "tissue"), {})
    )
    more = {"anatomical": AnatomySettings(segment_anatomy=True, align_anatomy="rigid")}
    job = ReconstructionJob(head / "scan", out, FEW, **chosen("kernel", path, **more))
    result, _ = jobs.run(job)
    off, other = (np.sqrt(np.mean((one - wanted) ** 2)) for one in (result.volume.voxels, plain))
    assert off < 0.5 * other
    about = json.loads((tmp_path / "image.json").read_text())
    assert set(about["Facts"]["tissue_ml"]) == {"CSF", "GM", "WM"}
    assert about["Facts"]["anatomy_moved_mm"] == pytest.approx(np.hypot(6, 5), abs=2.5)
    assert about["Settings"]["segment_anatomy"] is True
    assert "--segment-anatomy --align-anatomy rigid" in as_command(job)


@pytest.mark.parametrize(
    ("settings", "more", "words"),
    [
        ({"segment_anatomy": True}, {}, "say nothing without anatomy or kernel"),
        ({"align_anatomy": "rigid"}, {"kernel": "T1"}, "rigid follows tissues"),
        ({"segment_anatomy": True}, {"kernel": "tissue"}, "is for a T1"),
    ],
)
def test_what_makes_no_sense_is_refused(head, settings, more, words):
    paths = {"T1": head / "sub_T1w.nii.gz", "tissue": head / "tissue"}
    kernel = KernelSettings((paths[more["kernel"]],)) if more else None
    job = ReconstructionJob(
        head / "scan", None, FEW,
        kernel=kernel or KernelSettings(), anatomical=AnatomySettings(**settings),
    )  # fmt: skip
    with pytest.raises(EmreconError, match=words):
        job.begin()


def test_several_images_are_not_segmented_together(head):
    paths = (head / "sub_T1w.nii.gz",) * 2
    job = ReconstructionJob(
        head / "scan", None, FEW,
        kernel=KernelSettings(paths), anatomical=AnatomySettings(segment_anatomy=True),
    )  # fmt: skip
    with pytest.raises(SettingsError, match="takes one image, not 2"):
        job.begin().iterate()
