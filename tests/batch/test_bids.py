"""BIDS datasets: what is found in them, and derivatives that the validator takes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.batch import bids_jobs
from emrecon.batch.bids_names import derivative, entities, named
from emrecon.cli import main
from emrecon.errors import DataError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two participants, one with sessions: a T1-weighted image each, raw PET of the first."""
    folder = tmp_path_factory.mktemp("bids") / "raw"
    for where in ("sub-01/anat/sub-01", "sub-02/ses-a/anat/sub-02_ses-a_acq-fast"):
        path = folder / f"{where}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        nib.save(_brain(), path)
    shutil.copytree(made, folder / "sourcedata/sub-01/pet/sub-01_trc-FDG_run-1_pet")
    (folder / "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.10.0"}')
    return folder


def _brain() -> nib.Nifti1Image:
    """Three shells of different brightness, and nothing outside."""
    x = np.linspace(-1, 1, 32)
    radius = np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)
    tissue = np.select([radius < 0.45, radius < 0.7, radius < 0.9], [3.0, 2.0, 1.0], 0.0)
    noise = np.random.default_rng(1).normal(0, 0.08, tissue.shape)
    image = nib.Nifti1Image(
        np.where(tissue > 0, 100 * (tissue + noise), 0).astype(np.float32),
        np.eye(4) * [4, 4, 4, 1],
    )
    image.set_qform(image.affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    return image


def test_what_is_found(dataset: Path, tmp_path: Path) -> None:
    found = {job.name: job for job in bids_jobs(dataset, tmp_path / "out")}
    assert {name: job.kind for name, job in found.items()} == {
        "sub-01_T1w": "segment",
        "sub-01_trc-FDG_rec-osem_run-1_pet": "recon",
        "sub-02_ses-a_acq-fast_T1w": "segment",
    }
    one = bids_jobs(dataset, tmp_path / "out", participants=["sub-02"], sessions=["a"])
    assert [job.name for job in one] == ["sub-02_ses-a_acq-fast_T1w"]
    with pytest.raises(DataError, match="no participant 03; it has 01, 02"):
        bids_jobs(dataset, tmp_path / "out", participants=["03"])
    with pytest.raises(DataError, match="nothing to do"):
        bids_jobs(dataset, tmp_path / "out", participants=["02"], sessions=["b"])


def test_names() -> None:
    found = entities(Path("sourcedata/sub-7/ses-x/pet/scan one.l.hdr"))
    assert named(found) == "sub-7_ses-x"
    assert named(entities(Path("sub-7/anat/sub-7_run-2_acq-a_T1w.nii"))) == "sub-7_acq-a_run-2"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("sub-S_02/anat/sub-S_02_T1w.nii", "'sub-S_02' is not one of its entities"),
        ("sub-a.b/anat/sub-a.b_T1w.nii", "'sub-a.b' is not"),
        ("sub-1/anat/sub-2_T1w.nii", "another participant"),
        ("sub-1/ses-a/anat/sub-1_ses-b_T1w.nii", "participant or session"),
        ("sub-1/ses-a/anat/sub-1_T1w.nii", "participant or session"),
        ("sub-1/anat/sub-1_ses-b_T1w.nii", "participant or session"),
        ("sub-1/anat/sub-1_foo-2_T1w.nii", "'foo-2' is not"),
        ("sub-1/anat/sub-1_run-1_run-2_T1w.nii", "each once"),
        ("sub-1/anat/sub-1_desc-two-words_T1w.nii", "'desc-two-words' is not"),
        ("sub-1/anat/sub-1_run-é_T1w.nii", "is not"),
        ("sub-1/anat/sub-1.nii", "no name of BIDS"),
    ],
)
def test_names_that_are_none(path: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        entities(Path(path))


def raw(folder: Path, *names: str) -> Path:
    """Return a dataset of empty files: nothing is read before it runs."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.10.0"}')
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ("sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_T1w.nii.gz"),
        ("sub-1/anat/sub-1_acq-a_run-1_T1w.nii", "sub-1/anat/sub-1_run-1_acq-a_T1w.nii"),
        ("sub-1/anat/sub-1_acq-a_T1w.nii", "sub-1/anat/sub-1_acq-A_T1w.nii"),
        ("sourcedata/sub-1/pet/one.hs", "sourcedata/sub-1/pet/two.hs"),
        ("sourcedata/sub-1/pet/sub-1_rec-x_pet.hs", "sourcedata/sub-1/pet/sub-1_pet.l.hdr"),
    ],
)
def test_results_of_one_name_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=f"{Path(names[0]).name}.*the same names"):
        bids_jobs(raw(tmp_path / "raw", *names), tmp_path / "out")


def test_pet_has_no_acq(tmp_path: Path) -> None:
    (job,) = bids_jobs(raw(tmp_path / "a", "sourcedata/sub-1/pet/scan one.hs"), tmp_path / "out")
    assert job.name == "sub-1_rec-osem_pet"
    acquired = raw(tmp_path / "b", "sourcedata/sub-1/pet/sub-1_acq-x_pet.hs")
    with pytest.raises(DataError, match="has no acq-"):
        bids_jobs(acquired, tmp_path / "out")


def test_derivatives_of_derivatives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A name has one description, and copies in a template's space are no further scans."""
    names = ("sub-1_desc-preproc_T1w.nii", "sub-1_space-MNI152_desc-preproc_T1w.nii")
    (job,) = bids_jobs(raw(tmp_path / "raw", *(f"sub-1/anat/{n}" for n in names)), tmp_path / "o")
    assert f"{names[1]} is left out" in caplog.text
    ends = ("dseg.json", "label-GM_probseg.nii.gz", "label-GM_fraction.nii.gz", "corrected.nii.gz")
    assert [derivative(job.publish["parts"], end) for end in ends] == [
        "sub-1_desc-preproc_dseg.json",
        "sub-1_label-GM_desc-preproc_probseg.nii.gz",
        "sub-1_label-GM_desc-preprocfraction_probseg.nii.gz",
        "sub-1_desc-preprocbiascorrected_T1w.nii.gz",
    ]


@pytest.fixture(scope="module")
def derived(dataset: Path) -> Path:
    """What is made of the dataset."""
    out, config = dataset.parent / "out", dataset.parent / "how.toml"
    config.write_text("[recon]\niterations = 1\nsubsets = 4\n[segment]\nstarts = 2\n")
    given = ["batch", dataset, out, "participant", "--config", config, "-j", "2"]
    with pytest.raises(SystemExit) as left:
        main([str(token) for token in given])
    assert left.value.code == 0
    return out


def test_names_of_derivatives(derived: Path) -> None:
    start = derived / "sub-02/ses-a/anat/sub-02_ses-a_acq-fast"
    names = ["dseg.nii.gz", "dseg.tsv", "dseg.json", "label-GM_probseg.nii.gz"]
    for name in (*names, "label-WM_desc-fraction_probseg.nii.gz", "desc-biascorrected_T1w.json"):
        assert Path(f"{start}_{name}").exists()
    labels = np.asarray(nib.load(f"{start}_dseg.nii.gz").dataobj)
    assert labels[16, 16, 16] == 3
    assert not list((derived / "batch/work").iterdir())


def test_what_derivatives_say(derived: Path) -> None:
    pet = derived / "sub-01/pet/sub-01_trc-FDG_rec-osem_run-1_pet"
    told = json.loads(Path(f"{pet}.json").read_text())
    assert told["ReconMethodName"] == "OSEM"
    assert told["ReconMethodParameterValues"] == [4, 1]
    assert told["Sources"] == ["bids:raw:sourcedata/sub-01/pet/sub-01_trc-FDG_run-1_pet"]
    assert nib.load(f"{pet}.nii.gz").get_fdata().sum() == pytest.approx(told["Image"]["Sum"])
    about = json.loads((derived / "dataset_description.json").read_text())
    assert about["DatasetType"] == "derivative"
    assert about["DatasetLinks"] == {"raw": "../raw"}


def test_the_validator_takes_them(derived: Path) -> None:
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("needs bids-validator-deno: emrecon[bids]")
    done = subprocess.run(
        [validator, str(derived), "--format", "json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert not [issue for issue in issues if issue["severity"] == "error"]
    assert done.returncode == 0


def test_other_contrasts_are_left_out_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("T1w.nii", "T2w.nii", "run-1_FLAIR.nii.gz", "run-2_FLAIR.nii.gz", "T1w.json")
    dataset = raw(tmp_path / "raw", *(f"sub-1/anat/sub-1_{name}" for name in names))
    (job,) = bids_jobs(dataset, tmp_path / "out")
    assert job.name == "sub-1_T1w"
    assert "2 FLAIR, 1 T2w in anat are left out" in caplog.text


def test_participants_of_whom_nothing_is_done_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("sub-1/anat/sub-1_T1w.nii", "sub-2/anat/sub-2_T1w.NII", "sub-3/func/sub-3_bold.nii")
    dataset = raw(tmp_path / "raw", *names)
    (job,) = bids_jobs(dataset, tmp_path / "out")
    assert job.name == "sub-1_T1w"
    assert "nothing is done of 2 participants: 2, 3" in caplog.text
