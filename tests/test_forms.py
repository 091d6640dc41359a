"""Settings sent through every face come back equal: one reader and one printer."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path

import pytest

from emrecon import forms, jobs
from emrecon.batch import read_jobs
from emrecon.cli import app
from emrecon.errors import SettingsError
from emrecon.jobs.as_code import as_command, as_python
from emrecon.jobs.calibrate import CalibrationJob
from emrecon.jobs.convert import ConversionJob
from emrecon.jobs.cylinder import Cylinder
from emrecon.jobs.known_source import Source
from emrecon.jobs.measure import MeasurementJob
from emrecon.jobs.normalise import NormalisationJob
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.segment import SegmentationJob
from emrecon.jobs.simulate import PhantomJob, SimulationJob
from emrecon.jobs.transmission import TransmissionJob
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.inputs import Binning, CameraFacts, Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.settings import Settings
from emrecon.tomo.transmission_settings import RayFiles, TransmissionSettings
from phantoms.acquisition import Acquisition
from phantoms.spect_acquisition import CameraAcquisition

IMAGE, FOLDER = Path("/some where/out.nii.gz"), Path("/some where/out")
JOBS = [
    ReconstructionJob(Path("/a folder/scan"), IMAGE),
    ReconstructionJob(
        Path("/prompts.hs"), IMAGE,
        Settings(size=(9, 9, 5), centre_mm=(-10.0, 0.5, -3e-05), ring_wide=True,
                 checkpoint_every=24, tolerance=1e-6),
        Corrections(mu=Path("/m u.nii.gz"), mu_unit="1/cm", span=7, tof_fwhm_ps=214.5),
    ),
    ReconstructionJob(
        Path("/x.dcm"), IMAGE,
        Settings(collimator="Siemens Symbia LEHR", decayed_h=-1.5, checkpoint_every=2),
        camera=CameraFacts(scatter_from="tew", radius_mm=(1 / 3, 210.5), axis_mm=(1, -2, 3),
                           frame_order=("view", "window"), parallel_holes=True),
    ),
    ReconstructionJob(
        Path("/events.l.hdr"), IMAGE, Settings(post_fwhm_mm=(4.0, 5.25, 6.0)),
        listmode=ListmodeSettings(gates="8", gate_by="cardiac", decay_corrected=True),
    ),
    SegmentationJob(
        (Path("/t1.nii"), Path("/t2 w.nii")), FOLDER,
        TissueSettings(classes=4, covariance="full", neighbours=26, outliers=False, beta="auto",
                       scale=0.4),
        TissueInputs(priors=(Path("/a b.nii"), Path("/c,d.nii")), prior_classes=(1, 2, 2)),
    ),
    SegmentationJob((Path("/t1.nii"),), FOLDER, TissueSettings(beta=0.25, bias_mm=0.0),
                    TissueInputs(mask=Path("/m.nii"), means=(10.0, 20.5, 30.0))),
    SimulationJob("brain", FOLDER, Acquisition(span=3, views=24, counts=1e16, attenuate=False),
                  petsird=True, seconds=2.5),
    SimulationJob("nema", FOLDER, Acquisition(noise=False),
                  CameraAcquisition(patient_mm=(0.0, -3.0, 1e-7)), dicom=True),
    PhantomJob("derenzo", FOLDER, (1.5, 2.0, 2.5)),
    ConversionJob(Path("/a.hdr"), FOLDER, Binning(start_s=1.5, max_ring_difference=4)),
    NormalisationJob(
        Path("/a folder/scan"), Path("/some where/n.hs"),
        Source(radius_mm=100.5, at_mm=(1 / 3, -2.0)),
        Corrections(randoms=Path("/r.hs"), mu=Path("/m.nii")),
    ),
    CalibrationJob(Path("/c.nii"), Path("/some where/c.json"),
                   Cylinder(activity_mbq=74.5, volume_ml=6283.0, assayed_h=-1, isotope="I-124")),
    ReconstructionJob(
        Path("/prompts.hs"), IMAGE,
        corrections=Corrections(
            mu=(Path("/body x.nii"), Path("/bed.v.hdr")), norm=Path("/n.n.hdr"),
            calibration=Path("/c.json"), facts=Path("/a b.json"), suv=True,
            dead_time_us=1.25, dead_time_model="paralysable", singles_cps=21000.0,
        ),
    ),
    ReconstructionJob(  # what is said though it goes without saying
        Path("/a folder/scan"), IMAGE,
        corrections=Corrections(
            mu_centred=False, ct_kvp=0.0, span=11, sum_tof=False, tof_fwhm_ps=0.0,
            dead_time_us=0.0, dead_time_model="nonparalysable", singles_cps=0.0, suv=False,
        ),
    ),
    TransmissionJob(
        Path("/x y.h5"), IMAGE, RayFiles(pixel_mm=0.01, axis_column=300.5, sum_columns=2),
        TransmissionSettings(quick=2, size=(9, 9, 2)), Penalty("rdp", 0.5),
    ),
    TransmissionJob(Path("/c.hs"), IMAGE, RayFiles(Path("/b.hs"), Path("/s c.hs"), 0.25)),
    MeasurementJob(Path("/a.nii"), Path("/b.nii"), nema=True, out=Path("/x.json")),
]  # fmt: skip
"""Of every kind, with values of every type."""

every_job = pytest.mark.parametrize("job", JOBS, ids=lambda job: type(job).__name__)


def held(job: jobs.Job) -> list[object]:
    """Return the forms that a job holds."""
    return [v for item in fields(job) if is_dataclass(v := getattr(job, item.name))]


@every_job
def test_commands_fill_in_the_same_job(job, monkeypatch) -> None:
    """The flags are those of `emrecon.forms.as_flags`; the command makes the job of them."""
    heard = []
    monkeypatch.setattr("emrecon.jobs.run", lambda job, *_: heard.append(job) or 1 / 0)
    monkeypatch.setattr(ConversionJob, "keep_others", lambda job: None)  # asks what the source is
    monkeypatch.setattr(MeasurementJob, "begin", lambda job, *_: heard.append(job) or 1 / 0)
    _, *words = shlex.split(as_command(job))
    with pytest.raises(ZeroDivisionError):
        app(words, exit_on_error=False, print_error=False)
    assert heard == [job]


@every_job
def test_python_makes_the_same_job(job, monkeypatch) -> None:
    heard = []
    monkeypatch.setattr("emrecon.jobs.run", lambda job: (heard.append(job), ()))
    monkeypatch.setattr(
        "emrecon.jobs.recon.reconstruct", lambda **about: heard.append(ReconstructionJob(**about))
    )
    exec(compile(as_python(job), "copied", "exec"), {})  # noqa: S102 - what is tested
    names = {type(form).__name__: type(form) for form in (job, *held(job))} | {"Path": Path}
    assert eval(forms.as_python(job), names) == job  # noqa: S307
    assert heard == [job]


@every_job
def test_a_job_file_gives_the_same_job(job, tmp_path: Path) -> None:
    first, *rest = fields(job)
    source = getattr(job, first.name)
    source = list(source) if isinstance(source, tuple) else [source]
    own = [item.name for item in rest if item.name != "out"]
    plain = {n: v for n in own if not is_dataclass(v := getattr(job, n)) and v is not None}
    entry = {
        "kind": job.KIND,
        "input": str(source[0]),
        "channels": [str(path) for path in source[1:]],
        "output": str(job.out),
        **{name: forms.to_plain(value) for name, value in plain.items()},
    }
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in entry.items())
    (tmp_path / "jobs.toml").write_text(f"[[scan]]\n{text}{forms.as_toml(*held(job))}")
    (one,), _ = read_jobs(tmp_path / "jobs.toml")
    assert one.work == job


@every_job
def test_plain_values_and_sidecars_hold_the_same_settings(job) -> None:
    assert jobs.from_plain(json.loads(json.dumps(jobs.plain(job)))) == job
    for form in held(job):
        assert forms.filled(type(form), json.loads(json.dumps(forms.plain(form)))) == form
        if isinstance(form, Settings | TissueSettings):  # as sidecars write them
            assert forms.filled(type(form), json.loads(json.dumps(asdict(form)))) == form


@every_job
def test_the_panel_shows_the_same_settings(job, request) -> None:
    pytest.importorskip("napari", reason="napari is not installed")
    pytest.importorskip("pytestqt", reason="pytest-qt is not installed")
    qtbot = request.getfixturevalue("qtbot")
    from napari_plugin.form import Form

    for value in held(job):
        form = Form(type(value)())
        qtbot.addWidget(form)
        assert form.value() == type(value)()
        form.fill(value)
        assert form.value() == value


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("auto", "auto"), ("0.5", 0.5), ("2", 2.0), ("1e-3", 1e-3)],
)
def test_a_number_or_a_word(words, wanted) -> None:
    hint = forms.types_of(TissueSettings)["beta"]
    assert forms.from_text(words, hint, "beta") == wanted
    assert forms.from_text(forms.to_text(wanted), hint, "beta") == wanted
    with pytest.raises(SettingsError, match="Beta: 'much' is not a number or auto"):
        forms.from_text("much", hint, "Beta")
    with pytest.raises(SettingsError, match="'3,3,2' is not a number, or several with spaces"):
        forms.from_text(["3,3,2"], tuple[float, ...], "--voxel-mm")
