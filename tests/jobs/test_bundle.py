"""Files of a job: all are written, or none, whatever goes wrong and for every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon import jobs
from emrecon.batch import Job as BatchJob
from emrecon.batch import Record, Store, plan
from emrecon.batch.bids import describe_derivative, keep_other_datasets
from emrecon.cli import main
from emrecon.errors import DataError, EmreconError, WriteError
from emrecon.io import sidecar
from emrecon.jobs.bundle import check_outputs, written_together
from emrecon.jobs.calibrate import CalibrationJob
from emrecon.jobs.convert import ConversionJob
from emrecon.jobs.measure import MeasurementJob
from emrecon.jobs.normalise import NormalisationJob
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.segment import SegmentationJob
from emrecon.jobs.simulate import PhantomJob, SimulationJob
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition

SMALL = Acquisition(scanner="tiny", span=3, counts=1e5)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "scan"
    jobs.run(SimulationJob("cylinder", folder, SMALL))
    return folder


def every_kind(scan: Path, out: Path) -> list[jobs.Job]:
    quick = Settings(iterations=1, subsets=1)
    tissue = TissueSettings(classes=2, contrast="other", bias_mm=0, iterations=1, mixed=0)
    inside = TissueInputs(mask=scan / "labels.nii.gz")
    return [
        ReconstructionJob(scan, out / "a.nii.gz", quick),
        ReconstructionJob(scan, out / "b.hv", quick),
        SegmentationJob((scan / "truth.nii.gz",), out / "tissue", tissue, inside),
        SimulationJob("cylinder", out / "scan", SMALL),
        PhantomJob("cylinder", out / "phantom", (8.0,)),
        ConversionJob(scan / "mu.nii.gz", out / "mu.hv"),
        MeasurementJob(scan / "truth.nii.gz", scan, out=out / "m.json"),
    ]


KINDS = range(7)


@pytest.mark.parametrize("number", KINDS)
def test_what_is_written_was_announced(scan: Path, tmp_path: Path, number: int) -> None:
    job = every_kind(scan, tmp_path)[number]
    _, written = jobs.run(job)
    there = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(written) <= there <= set(job.outputs())
    assert written[0] == job.outputs()[0]


@pytest.mark.parametrize("number", KINDS)
@pytest.mark.parametrize("broken", ["first", "last"])
def test_nothing_new_is_left_when_a_file_cannot_take_its_place(
    scan: Path, tmp_path: Path, number: int, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier files of the same names are as they were."""
    job = every_kind(scan, tmp_path)[number]
    jobs.run(job)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_bytes(b"earlier")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    replace, places = Path.replace, []

    def fails(self: Path, target: Path) -> Path:
        if ".part-" not in str(target):
            places.append(target)
            if len(places) == (1 if broken == "first" else len(before)):
                raise OSError(28, "No space left on device")
        return replace(self, target)

    result = job.begin().iterate()
    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(WriteError, match="No space left"):
        result.write()
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_sidecar_that_cannot_be_written_leaves_no_file_of_a_segmentation(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("emrecon.io.sidecar.write", fails)
    with pytest.raises(EmreconError, match="No space left"):
        jobs.run(every_kind(scan, tmp_path)[2])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", KINDS)
def test_a_file_in_the_way_is_told_before_anything_is_computed(
    scan: Path, tmp_path: Path, number: int
) -> None:
    """Such as ``segment -o t1.nii.gz/sub``."""
    (tmp_path / "t1.nii.gz").write_text("a file")
    with pytest.raises(WriteError, match=r"is a file, not a folder|no folder"):
        every_kind(scan, tmp_path / "t1.nii.gz")[number].begin()
    assert (tmp_path / "t1.nii.gz").read_text() == "a file"


def test_inputs_are_not_written_over(tmp_path: Path) -> None:
    image = tmp_path / "i.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), image)
    before = image.read_bytes()
    for job in (
        MeasurementJob(image, image, out=image),
        ConversionJob(image, image),
    ):
        with pytest.raises(WriteError, match="one of the inputs"):
            jobs.run(job)
    assert image.read_bytes() == before


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        written_together(tmp_path / "a", tmp_path / "a", "x") as beside,
    ):
        (beside / "x").write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    check_outputs([tmp_path / "a" / "x"], {}, makes=tmp_path / "a")


def test_an_image_of_another_scan_is_not_written_over(scan: Path, tmp_path: Path) -> None:
    job = ReconstructionJob(scan, tmp_path / "a.nii.gz")
    job.keep_others()  # nothing is there
    written = [path for path in job.outputs() if path.suffix != ".json"]
    about = {"Inputs": {"prompts": sidecar.file_facts(scan / "prompts.hs")}}
    for path in written:
        path.write_text("mine")
    with pytest.raises(WriteError, match=r"does not come of .*prompts\.hs.*--overwrite"):
        job.keep_others()
    sidecar.write(tmp_path / "a.json", about)
    job.keep_others()  # made of this scan: done again
    replace(job, scan=scan / "scan.toml").keep_others()
    about["Inputs"]["prompts"]["SHA256"] = "0" * 64
    sidecar.write(tmp_path / "a.json", about)
    with pytest.raises(WriteError, match="--overwrite"):
        job.keep_others()
    (tmp_path / "b.png").write_bytes(b"my picture")
    with pytest.raises(WriteError, match=r"b\.png exists already"):
        replace(job, out=tmp_path / "b.hv").keep_others()


@pytest.mark.parametrize(("first", "second"), [("a.nii.gz", "a.hv"), ("a.hv", "a.nii")])
def test_sidecar_and_picture_of_an_image_in_another_format_are_kept(
    scan: Path, tmp_path: Path, first: str, second: str
) -> None:
    (tmp_path / first).write_text("image")
    about = {"Inputs": {"prompts": sidecar.file_facts(scan / "prompts.hs")}}
    sidecar.write(tmp_path / "a.json", about)
    ReconstructionJob(scan, tmp_path / first).keep_others()
    with pytest.raises(WriteError, match=f"take over sidecar and picture of {first}"):
        ReconstructionJob(scan, tmp_path / second).keep_others()


def test_a_scan_that_was_not_simulated_is_not_written_over(scan: Path, tmp_path: Path) -> None:
    SimulationJob("nema", scan).keep_others()  # simulated, and can be so again
    SimulationJob("nema", tmp_path / "new").keep_others()
    own = tmp_path / "own"
    own.mkdir()
    (own / "prompts.hs").write_text("!INTERFILE :=\n")
    for manifest in (None, 'prompts = "prompts.hs"\n'):
        if manifest:
            (own / "scan.toml").write_text(manifest)
        with pytest.raises(WriteError, match="does not come of a simulation"):
            SimulationJob("nema", own).keep_others()


def test_names_of_labels_are_an_input_of_a_measurement(scan: Path) -> None:
    job = MeasurementJob(scan / "truth.nii.gz", scan, out=scan / "labels.json")
    with pytest.raises(WriteError, match="one of the inputs"):
        job.begin()


def test_no_command_writes_over_files_that_are_not_its_own(scan: Path, tmp_path: Path) -> None:
    """Each kind of job knows its own files, or writes over none."""
    image, other = scan / "truth.nii.gz", scan / "mu.nii.gz"
    facts = {"Inputs": {"image": sidecar.file_facts(image)}}
    phantom, norm = tmp_path / "phantom", tmp_path / "norm.hs"
    own: dict[Path, tuple[jobs.Job, dict[str, object]]] = {
        tmp_path / "c.json": (CalibrationJob(image, tmp_path / "c.json"), facts),
        tmp_path / "norm.json": (
            NormalisationJob(scan, norm),
            {"Inputs": {"prompts": sidecar.file_facts(scan / "prompts.hs")}},
        ),
        phantom / "labels.json": (PhantomJob("nema", phantom), {"Phantom": "derenzo"}),
    }
    phantom.mkdir()
    for path, (job, about) in own.items():
        job.keep_others()  # nothing is there
        path.write_text("{}")
        with pytest.raises(WriteError, match="--overwrite"):
            job.keep_others()
        sidecar.write(path, about)
        job.keep_others()
    with pytest.raises(WriteError, match="--overwrite"):
        CalibrationJob(other, tmp_path / "c.json").keep_others()
    with pytest.raises(WriteError, match="does not come of a phantom"):
        PhantomJob("nema", scan).keep_others()
    for job in (
        ConversionJob(image, tmp_path / "c.json"),
        MeasurementJob(image, image, out=tmp_path / "c.json"),
    ):
        with pytest.raises(WriteError, match=r"c\.json exists already: name another"):
            job.keep_others()


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_commands_write_over_files_when_that_is_said(
    scan: Path, tmp_path: Path, more: list[str]
) -> None:
    image, out = str(scan / "truth.nii.gz"), tmp_path / "out.nii"
    for words in (["convert", image], ["metrics", image, "--truth", image]):
        out.write_text("mine")
        with pytest.raises(SystemExit) as left:
            main([*words, "-o", str(out), *more])
        assert (left.value.code, out.read_bytes() == b"mine") == (
            (0, False) if more else (1, True)
        )


def test_a_batch_writes_over_no_files_but_its_own(scan: Path, tmp_path: Path) -> None:
    work = ReconstructionJob(scan, tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").write_text("mine")
    store, job = Store(tmp_path / "batch"), BatchJob("a", work)
    assert [one.todo for one in plan([job], store)] == ["refuse"]
    assert [one.todo for one in plan([job], store, resume=True)] == ["refuse"]
    assert [one.todo for one in plan([job], store, overwrite=True)] == ["run"]
    store.make()
    store.save(Record("a", "recon", "running"))
    assert [one.todo for one in plan([job], store, resume=True)] == ["run"]


def test_derivatives_of_another_program_are_kept(tmp_path: Path) -> None:
    keep_other_datasets(tmp_path)
    about = tmp_path / "dataset_description.json"
    for text in ("{}", '{"GeneratedBy": [{"Name": "fMRIPrep"}]}', "no JSON"):
        about.write_text(text)
        with pytest.raises(WriteError, match="does not come of emrecon"):
            keep_other_datasets(tmp_path)
    describe_derivative(tmp_path, tmp_path)
    keep_other_datasets(tmp_path)


def test_a_link_to_what_is_not_here_is_named(tmp_path: Path) -> None:
    """As in a DataLad dataset whose content was not fetched."""
    (tmp_path / "t1.nii.gz").symlink_to(tmp_path / "annex")
    with pytest.raises(DataError, match="is a link to what is not here"):
        SegmentationJob((tmp_path / "t1.nii.gz",), tmp_path / "out").inputs()
