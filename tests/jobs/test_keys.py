"""What decides a job's result is in its key, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emrecon import Corrections, forms, jobs
from emrecon.errors import FormatError
from emrecon.io import write_image
from emrecon.io.interfile import write_projections
from emrecon.jobs import base
from emrecon.jobs.convert import ConversionJob
from emrecon.jobs.known_source import Source
from emrecon.jobs.normalise import NormalisationJob
from emrecon.jobs.recon import ONLY_STOPS, ReconstructionJob
from emrecon.jobs.segment import SegmentationJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.jobs.transmission import TransmissionJob
from emrecon.stop import after
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.geometry.presets import MMR
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings
from emrecon.tomo.transmission_settings import RayFiles
from emrecon.volume import Volume
from phantoms.acquisition import Acquisition
from phantoms.spect_acquisition import CameraAcquisition
from tests.io.siemens_files import mmr_components, write_norm

SMALL = Acquisition(scanner="tiny", span=3, counts=1e5)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "scan"
    jobs.run(SimulationJob("cylinder", folder, SMALL))
    return folder


@pytest.fixture(scope="module")
def spect(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "spect"
    camera = CameraAcquisition(planes=12)
    seen = Acquisition(views=12, bins=16, counts=1e5, scatter_fraction=0.0)
    jobs.run(SimulationJob("cylinder", folder, seen, camera, dicom=True))
    return folder


def key(job: jobs.Job, **more: object) -> str:
    return base.key_of(job, base.digests(job.inputs()), **more)  # type: ignore[arg-type]


def test_every_file_that_a_form_names_is_an_input(tmp_path: Path) -> None:
    names = forms.path_names(TissueInputs) - {"priors"}
    files = {name: tmp_path / f"{name}.nii" for name in names}
    priors = tuple(tmp_path / f"p{n}.nii" for n in range(3))
    for path in (*files.values(), *priors, tmp_path / "t1.nii"):
        path.write_bytes(path.name.encode())
    given = TissueInputs(priors=priors, **files)
    job = SegmentationJob((tmp_path / "t1.nii",), None, TissueSettings(deep_grey="none"), given)
    assert set(job.inputs().values()) == {*files.values(), *priors, tmp_path / "t1.nii"}
    first = key(job)
    for path in job.inputs().values():
        before = path.read_bytes()
        path.write_bytes(before + b" changed")
        assert key(job) != first, path.name
        path.write_bytes(before)
    assert key(job) == first
    assert key(replace(job, files=replace(job.files, labels=None))) != first


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"iterations": 9}, False),
        ({"subsets": 3}, False),
        ({"projector": "siddon"}, False),
        ({"psf_fwhm_mm": (4.0,)}, False),
        ({"threads": 1}, True),
        ({"checkpoint_every": 4}, True),
    ],
)
def test_settings_count_but_those_of_the_run(scan: Path, change: dict, *, same: bool) -> None:
    job = ReconstructionJob(scan, None, Settings(subsets=4))
    other = replace(job, settings=replace(job.settings, **change))
    assert (key(job) == key(other)) == same


def test_iterates_do_not_depend_on_when_they_stop(scan: Path) -> None:
    job = ReconstructionJob(scan, None, Settings(subsets=4))
    longer = replace(job, settings=replace(job.settings, iterations=9, post_fwhm_mm=(5.0,)))
    assert key(job, leave_out=ONLY_STOPS) == key(longer, leave_out=ONLY_STOPS)


def test_efficiencies_that_differ_by_dead_time_decide_the_iterates(tmp_path: Path) -> None:
    """A rate decides those of a norm's rings, and another dead time leaves theirs out."""
    bins = MMR.bins(max_ring_difference=0, views=2)
    write_projections(tmp_path / "scan.hs", bins, np.ones(bins.shape, np.float32))
    one = Settings(iterations=1, checkpoint_every=1)
    job = ReconstructionJob(tmp_path / "scan.hs", tmp_path / "image.nii.gz", one)
    rates = ((None, 0.0), (0.0, 0.0), (1e4, 0.0), (2e4, 0.0), (1e4, 0.1))

    def keys(norm: Path | None) -> set[str]:
        chosen = [
            Corrections(norm=norm, singles_cps=rate if norm or dead else None, dead_time_us=dead)
            for rate, dead in rates
        ]
        return {replace(job, corrections=each).begin().key for each in chosen}

    components = mmr_components()
    components[4:6] = np.full((2, 64), [[-1e-6], [0]], np.float32)  # dead time of rings
    norm = write_norm(tmp_path, components)
    assert len(keys(norm)) == len(rates)
    assert len(keys(None)) == 1


def test_a_stopped_run_goes_on_with_regions(scan: Path, tmp_path: Path) -> None:
    """What is measured of an image decides none of its iterates."""
    out, labels = tmp_path / "a.nii", RegionSettings(scan / "labels.nii.gz", "none")
    job = ReconstructionJob(scan, out, Settings(iterations=2, subsets=3, checkpoint_every=1))
    job.begin().iterate(base.nobody, after(2))
    more = replace(job, regions=labels)
    result, _ = jobs.run(more, execution=jobs.Execution(resume=True))
    assert result.summary().resumed_at == 2


def test_the_bytes_of_a_correction_count(scan: Path, tmp_path: Path) -> None:
    job = ReconstructionJob(scan, None)
    randoms = scan / "randoms.s"
    first, before = key(job), randoms.read_bytes()
    randoms.write_bytes(before[:-4] + b"\x00\x00\x80\x3f")
    assert key(job) != first
    randoms.write_bytes(before)


@pytest.mark.parametrize("field", ["kappa", "anatomy", "kernel", "regions", "activity", "blank"])
def test_the_data_of_a_header_count(field: str, scan: Path, tmp_path: Path) -> None:
    header = tmp_path / "x.hv"
    write_image(Volume(np.ones((4, 4, 4), np.float32), np.diag([4.0, 4, 4, 1])), header)
    prompts = scan / "prompts.hs"
    made: dict[str, jobs.Job] = {
        "kappa": ReconstructionJob(scan, penalty=Penalty("rdp", kappa=header)),
        "anatomy": ReconstructionJob(scan, penalty=Penalty("rdp", anatomy=(header,))),
        "kernel": ReconstructionJob(scan, kernel=KernelSettings((header,))),
        "regions": ReconstructionJob(scan, regions=RegionSettings(header)),
        "activity": NormalisationJob(scan, source=Source(activity=header)),
        "blank": TransmissionJob(prompts, rays=RayFiles(blank=header)),
    }
    job, data = made[field], header.with_suffix(".v")
    first = key(job)
    assert {header, data} <= set(job.inputs().values())
    data.write_bytes(data.read_bytes()[:-4] + b"\x00\x00\x00\x40")
    assert key(job) != first


def test_what_is_told_of_an_image_counts_for_its_series(tmp_path: Path) -> None:
    image, about = tmp_path / "x.nii", tmp_path / "x.json"
    write_image(Volume(np.ones((4, 4, 4), np.float32), np.diag([4.0, 4, 4, 1])), image)
    about.write_text("{}")
    assert about in ConversionJob(image, tmp_path / "series").inputs().values()
    assert about not in ConversionJob(image, tmp_path / "y.hv").inputs().values()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pet", "spect"])
def test_a_checkpoint_of_another_version_is_refused(
    kind: str, scan: Path, spect: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(iterations=2, subsets=3, checkpoint_every=1)
    job = ReconstructionJob(scan if kind == "pet" else spect, tmp_path / "a.nii", settings)
    job.begin().iterate(base.nobody, after(2))
    assert job.checkpoint.exists()
    monkeypatch.setattr("emrecon.jobs.base.version", lambda package: "0.0.1")
    with pytest.raises(FormatError, match="other data, settings or version"):
        jobs.run(job, execution=jobs.Execution(resume=True))


@pytest.mark.parametrize("kind", ["pet", "spect"])
def test_sensitivities_of_another_version_are_not_taken(
    kind: str, scan: Path, spect: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    job = ReconstructionJob(
        scan if kind == "pet" else spect, None, Settings(iterations=1, subsets=3)
    )
    job.begin(execution=jobs.Execution(cache=cache)).iterate()
    first = set(cache.iterdir())
    monkeypatch.setattr("emrecon.jobs.base.version", lambda package: "0.0.1")
    job.begin(execution=jobs.Execution(cache=cache)).iterate()
    assert len(set(cache.iterdir()) - first) == len(first) == 3


def test_a_job_survives_json() -> None:
    job = SegmentationJob(
        (Path("a b.nii"),), Path("o"), TissueSettings(beta="auto"), TissueInputs(means=(1.0, 2.0))
    )
    assert jobs.from_plain(forms.to_plain(jobs.plain(job))) == job
