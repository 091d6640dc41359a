"""What settings and headers decide is refused before data are read: in dry runs and plans, too."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emrecon import jobs
from emrecon.cli import main
from emrecon.errors import EmreconError
from emrecon.io import write_image
from emrecon.io.interfile import write_projections
from emrecon.jobs.base import Execution, Unattended
from emrecon.jobs.bundle import check_outputs
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.geometry.presets import ECAT_931
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition
from tests.io.siemens_files import mmr_components, write_norm


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of scans whose counts cannot be read any more, and of an image."""
    folder = tmp_path_factory.mktemp("checks")
    for name, more in (("scan", {}), ("timed", {"tof_fwhm_ps": 300.0}), ("spans", {"span": 1})):
        like = Acquisition(scanner="tiny", counts=1e4, **more)
        jobs.run(SimulationJob("cylinder", folder / name, like))
        shutil.copytree(folder / name, folder / f"whole-{name}")
    for name in ("scan", "timed", "spans"):
        for data in (folder / name).glob("*.s"):
            data.write_bytes(b"")
    (folder / "alone.toml").write_text('prompts = "scan/prompts.hs"\n')
    voxels = np.random.default_rng(0).normal(100, 20, (8, 8, 8)).astype(np.float32)
    write_image(Volume(voxels, np.eye(4)), folder / "image.nii")
    (folder / "image.json").write_text(json.dumps({"Units": "counts/mm"}))
    write_image(Volume(voxels, np.eye(4), "Bq/mL"), folder / "active.nii")
    write_image(Volume(voxels[1:], np.eye(4)), folder / "small.nii")
    shutil.copy(folder / "image.nii", folder / "cut.nii")
    os.truncate(folder / "cut.nii", 1000)
    packed = gzip.compress((folder / "image.nii").read_bytes())
    (folder / "packed.nii.gz").write_bytes(packed[:-100])
    (folder / "short.nii.gz").write_bytes(gzip.compress((folder / "cut.nii").read_bytes()))
    aside = np.eye(4)
    aside[:3, 3] = 500, 0, 0
    write_image(Volume(voxels, aside, "1/mm"), folder / "aside.nii")
    write_image(Volume(np.stack([voxels, voxels]), np.eye(4), "1/mm"), folder / "frames.nii")
    write_image(Volume(voxels, np.eye(4), "1/mm"), folder / "mu.nii")
    write_norm(folder, mmr_components())
    old = ECAT_931.bins(max_ring_difference=0, views=2)
    write_projections(folder / "old.hs", old, np.ones(old.shape, np.float32))
    for image in ("active", "cut", "packed"):
        shutil.copy(folder / "image.json", folder / f"{image}.json")
    (folder / "facts.json").write_text("{}")
    return folder


CYLINDER = {"bq_per_ml": 1.0, "isotope": "F-18", "duration_s": 60.0}
REFUSED = {
    "recon scan": [
        ({"checkpoint_every": 1, "frames": "0:1"}, "is no list-mode"),
        ({"mlaa": True, "attenuation": "scan/attenuation.hs"}, "give --mlaa or --attenuation"),
        ({"suv": True}, "suv says nothing without calibration"),
        ({"out": "series"}, "a DICOM series needs"),
        ({"out": "recon.hv", "prior": "rdp", "beta": [0.1, 0.2]}, "are written as NIfTI"),
        ({}, "prompts.s is truncated: it has 0 bytes"),
    ],
    "recon whole-scan": [
        ({"randoms": "whole-spans/randoms.hs"}, "randoms (randoms.hs) does not fit the prompts"),
        ({"normalisation": "image.nii"}, "image.nii is no projection data"),
        ({"mu": "image.nii"}, "the unit of image.nii is not known"),
        ({"mu": "cut.nii"}, "cut.nii is truncated: it has 1000 bytes of 2400"),
        ({"mu": "packed.nii.gz", "mu_unit": "1/mm"}, "packed.nii.gz as an image: Compressed file"),
        ({"mu": "short.nii.gz", "mu_unit": "1/mm"}, "short.nii.gz is truncated: it has 1000 byte"),
        ({"mu": "aside.nii"}, "the mu-map lies from 499.5 to 507.5 mm along x"),
        ({"mu": "frames.nii"}, "a mu-map has one frame, not 2"),
        ({"norm": "norm.n.hdr"}, "the normalisation is of Siemens mMR (64 rings"),
        ({"prior": "rdp", "kappa": "aside.nii"}, "aside.nii lies wholly beside the image"),
        ({"prior": "rdp", "anatomy": "aside.nii"}, "aside.nii lies wholly beside the image"),
        ({"kernel": "aside.nii"}, "aside.nii lies wholly beside the image"),
        ({"regions": "aside.nii"}, "aside.nii lies wholly beside the image"),
        ({"prior": "pls", "anatomy": "frames.nii"}, "one anatomy, not 2 images"),
        ({"prior": "rdp", "anatomy": "packed.nii.gz"}, "packed.nii.gz as an image"),
        ({"voxel_mm": 500.0}, "show nothing of a field of view"),
        ({"ct": "facts.json"}, "facts.json"),
        ({"projector": "siddon", "voxel_mm": [4.0, 4.0, 5.0]}, "the siddon projector, as STIR"),
        ({"projector": "siddon", "centre_mm": [90.0, 0.0, 0.0]}, "the siddon projector, as STIR"),
        (
            {
                "mu": "mu.nii",
                "scatter": "simulate",
                "additive": "whole-scan/randoms.hs",
                "correction": "whole-scan/normalisation.hs",
            },
            "give --",
        ),
    ],
    "recon old.hs": [
        ({"mu": "mu.nii", "scatter": "simulate"}, "the energy window of ECAT 931 is not known"),
        (
            {"mu": "mu.nii", "scatter": "simulate", "window_kev": [250.0, 850.0]},
            "the energy resolution of ECAT 931 is not known",
        ),
        ({"norm": "norm.n.hdr"}, "the normalisation is of Siemens mMR"),
    ],
    "segment packed.nii.gz": [({}, "packed.nii.gz as an image: Compressed file")],
    "segment short.nii.gz": [({}, "short.nii.gz is truncated")],
    "segment image.nii": [
        ({"classes": "auto", "means": [1, 2, 3]}, "classes auto finds their number"),
        ({"align": "affine"}, "align is about priors"),
        ({"prior_classes": [1, 2, 3]}, "prior_classes is about priors"),
        ({"means": [1, 2, 3], "labels": "image.nii"}, "means and labels"),
        ({"five_tissue": True}, "five_tissue tells cortical"),
        ({"mask": "small.nii"}, "the mask ((7, 8, 8) voxels) does not lie on the first"),
        ({"exclude": "small.nii"}, "the exclusion mask ((7, 8, 8) voxels) does not lie"),
        ({"labels": "cut.nii"}, "cut.nii is truncated"),
        ({"volume": 2}, "every image holds one volume alone"),
    ],
    "transmission alone.toml": [
        ({}, "without the object: give --blank"),
        ({"blank": "spans/prompts.hs"}, "lies in other bins than the counts"),
        ({"blank": "scan/prompts.hs", "pixel_mm": 1.0}, "pixel_mm says nothing about projections"),
    ],
    "transmission whole-scan/prompts.hs": [
        (
            {"blank": "whole-scan/prompts.hs", "prior": "rdp", "anatomy": "aside.nii"},
            "aside.nii lies wholly beside the image",
        ),
        (
            {"blank": "whole-scan/prompts.hs", "prior": "rdp", "kappa": "aside.nii"},
            "aside.nii lies wholly beside the image",
        ),
        ({"blank": "whole-scan/prompts.hs", "voxel_mm": 500.0}, "show nothing of a field of view"),
    ],
    "transmission scan": [({"blank": "scan/prompts.hs"}, "which transmission does not use")],
    "transmission timed/prompts.hs": [
        ({"blank": "scan/prompts.hs"}, "sinograms without time of flight")
    ],
    "normalise alone.toml": [
        ({}, "what was scanned?"),
        ({"radius_mm": 40.0, "norm": "facts.json"}, "efficiencies are what is estimated"),
        ({"radius_mm": 40.0, "simulate_scatter": True}, "scatter is not simulated here"),
    ],
    "normalise timed/prompts.hs": [({"radius_mm": 40.0}, "without time of flight")],
    "calibrate image.nii": [
        ({}, "does not say isotope"),
        (CYLINDER, "does not say scanner"),
        (CYLINDER | {"scanner": "tiny", "isotope": "Xx-1"}, "Xx-1"),
        ({"isotope": "F-18", "duration_s": 60.0, "scanner": "tiny"}, "how active is the cylinder"),
    ],
    "calibrate active.nii": [(CYLINDER | {"scanner": "tiny"}, "active.nii is in Bq/mL")],
    "calibrate packed.nii.gz": [(CYLINDER | {"scanner": "tiny"}, "packed.nii.gz as an image")],
    "calibrate cut.nii": [(CYLINDER | {"scanner": "tiny"}, "cut.nii is truncated")],
    "scatter image.nii": [
        ({"like": "alone.toml"}, "from an attenuation map"),
        ({"like": "whole-scan", "mu": "active.nii", "mu_unit": "1/mm"}, "in no stated unit"),
        ({"like": "old.hs", "mu": "mu.nii"}, "the energy window of ECAT 931 is not known"),
        (
            {"like": "whole-scan", "mu": "mu.nii", "norm": "norm.n.hdr"},
            "the normalisation is of Siemens mMR",
        ),
        ({"like": "whole-scan", "mu": "aside.nii"}, "the mu-map lies from"),
    ],
    "convert scan/prompts.hs": [
        ({"span": 3}, "span and times are for list-mode"),
        ({}, "prompts.s is truncated"),
    ],
    "convert cut.nii": [({"out": "copy.nii"}, "cut.nii is truncated")],
    "simulate cylinder": [
        ({"petsird": True, "seconds": 1e30}, "at most 86400 seconds, a day, not 1e+30"),
        ({"petsird": True, "seconds": 0.0}, "more than 0"),
    ],
    "phantom cylinder": [({"voxel_mm": 1e-3}, "this phantom")],
    "metrics image.nii": [
        ({"truth": "image.nii", "nema": True}, "--nema needs --labels"),
        ({"truth": "cut.nii"}, "cut.nii is truncated"),
        ({"truth": "packed.nii.gz"}, "packed.nii.gz as an image"),
    ],
}
"""Settings of jobs, and why they are refused."""

OUTS = {"segment": "out", "normalise": "out.hs", "scatter": "out.hs", "convert": "out",
        "simulate": "out", "phantom": "out",
        "calibrate": "out.json", "metrics": "out.json"}  # fmt: skip


@pytest.mark.parametrize(
    ("what", "settings", "words"),
    [(what, settings, words) for what, all_of in REFUSED.items() for settings, words in all_of],
)
def test_a_check_refuses_what_a_run_would_and_reads_no_data(
    files: Path, monkeypatch: pytest.MonkeyPatch, what: str, settings: dict, words: str
) -> None:
    monkeypatch.chdir(files)
    kind, source = what.split()
    options = dict(settings)
    out = Path(options.pop("out", OUTS.get(kind, "out.nii")))
    job = jobs.from_options(kind, [source], out, options)
    ends: list[Callable[[], object]] = [
        lambda: job.check(Execution()), lambda: job.check(Unattended()), job.begin,
    ]  # fmt: skip
    for end in ends:
        with pytest.raises(EmreconError) as refused:
            end()
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--cache", "kept", "--workers", "2"), "give --cache or --workers"),
        (("--cache", "image.nii/kept"), "image.nii is a file, not a folder"),
        (("--chunks", "2"), "--chunks are for --workers"),
        (("--prior", "rdp", "--beta", "0.1,0.2", "--resume"), "have no checkpoints"),
        (("-o", "nowhere/out.nii"), "there is no folder nowhere"),
        (("-o", "image.nii/out.nii"), "image.nii is a file, not a folder"),
    ],
)
def test_a_dry_run_refuses_ways_of_execution_and_outputs(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys, flags, words
) -> None:
    monkeypatch.chdir(files)
    said = []
    for dry in ((), ("--dry-run",)):
        with pytest.raises(SystemExit):
            main(("recon", "scan", *flags, *dry))
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert words in said[0]


def test_a_dry_run_refuses_workers_without_dask(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(files)
    monkeypatch.setattr("emrecon.workers.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(("recon", "whole-scan", "-o", "out.nii", "--workers", "2", "--dry-run"))
    assert "dask is not installed: pip install 'emrecon[dask]'" in capsys.readouterr().err


def test_a_batch_plans_what_its_jobs_would_refuse(files: Path, tmp_path: Path, capsys) -> None:
    """Those that run make the folders of their outputs."""
    for name in ("alone.toml", "image.nii", "image.json", "scan"):
        copy = shutil.copytree if (files / name).is_dir() else shutil.copy
        copy(files / name, tmp_path / name)
    table = tmp_path / "jobs.toml"
    table.write_text("""out = "results/deep"
[[scan]]
kind = "transmission"
input = "alone.toml"
[[scan]]
kind = "calibrate"
name = "cylinder"
input = "image.nii"
[[scan]]
kind = "convert"
name = "copy"
input = "image.nii"
output = "further/down/image.nii.gz"
""")
    with pytest.raises(SystemExit) as left:
        main(["batch", str(table), "--dry-run"])
    out, err = capsys.readouterr()
    said = " ".join(out.split())
    assert not err
    assert left.value.code == 0
    assert "1 to do, 0 done already, 2 that cannot be done" in said
    assert "give --blank" in said


def test_a_folder_that_is_made_may_be_missing_but_not_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_outputs((tmp_path / "a" / "b" / "out.nii",), {}, anywhere=True)
    for outputs, anywhere, words in (
        (tmp_path / "a" / "out.nii", False, "there is no folder"),
        (tmp_path / "file" / "a" / "out.nii", True, "is a file, not a folder"),
    ):
        with pytest.raises(EmreconError, match=words):
            check_outputs((outputs,), {}, anywhere=anywhere)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
