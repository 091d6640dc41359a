"""Settings that the data at hand cannot use are refused by name, before anything runs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from emrecon import forms, jobs
from emrecon.errors import SettingsError
from emrecon.jobs.base import forms_of
from emrecon.jobs.data_kinds import (
    CAMERA,
    EVENTS,
    LISTMODE,
    NEEDS,
    SINOGRAMS,
    USED_BY,
    refuse_unused,
)
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition
from tests.io.test_petlink import random_words, written

DATA = (SINOGRAMS, LISTMODE, EVENTS, CAMERA)


def test_the_table_names_fields_that_exist() -> None:
    known = forms.names(*forms_of(ReconstructionJob))
    assert set(USED_BY) | set(NEEDS) <= known
    assert forms.names(CameraFacts) | forms.names(ListmodeSettings) <= set(USED_BY)


VALUES = {float | None: 2.0, str: "1", int: 3, float: 2.0, bool: True}
CHOICES = {
    "projector": "siddon", "scatter_from": "tew", "direction": "CW", "patient_position": "HFS",
    "first_row": "head", "pixel_mm": (4.0, 4.0), "axis_mm": (0.0, 0.0, 1.0),
    "response_mm": (0.1, 1.0), "frames": "0:1", "frame_order": ("view",), "isotope": "Tc-99m",
    "radius_mm": (200.0,), "start_angles_deg": (0.0,), "scatter_rounds": 5, "mlaa_passes": 4,
    "window_kev": (430.0, 610.0), "energy_resolution": 0.12, "beta": 0.1, "gamma": 1.0,
    "epsilon": 0.1, "edge": 0.1, "eta": 0.1, "anatomy": (Path("x.nii"),), "algorithm": "bsrem",
    "uncertainty": "none", "dead_time_model": "paralysable",
}  # fmt: skip


def chosen(field: str) -> object:
    """Return a form with a value in this field that it takes."""
    for form in (
        Settings,
        Corrections,
        CameraFacts,
        ListmodeSettings,
        Penalty,
        KernelSettings,
        RegionSettings,
    ):
        for item in fields(form):
            if item.name == field:
                _, hint = forms.without_none(forms.types_of(form)[field])
                value = CHOICES.get(field, Path("x.hs") if Path in forms._scalars(hint) else None)
                more = {"frames": "0:1"} if field == "decay_corrected" else {}
                more |= {"gates": "4"} if field == "gate_by" else {}
                return form(**{field: VALUES.get(hint) if value is None else value, **more})
    raise AssertionError(field)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("field", sorted(set(USED_BY) - set(NEEDS)))
def test_a_field_is_taken_by_the_data_that_use_it_alone(field: str, data: str) -> None:
    if data in USED_BY[field]:
        refuse_unused(data, "scan.hs", chosen(field))
    else:
        with pytest.raises(SettingsError, match=rf"^(?:\w+) is for .*, and scan.hs holds {data}"):
            refuse_unused(data, "scan.hs", chosen(field))


@pytest.mark.parametrize("field", sorted(NEEDS))
def test_a_field_that_needs_another_says_which(field: str) -> None:
    other = NEEDS[field][0]
    forms_ = [Settings(), Corrections(), CameraFacts(), ListmodeSettings(), Penalty(),
              KernelSettings(), RegionSettings()]  # fmt: skip
    if field == "gate_by":
        return  # the form itself refuses it
    value = chosen(field)
    forms_ = [value if type(form) is type(value) else form for form in forms_]
    data = next(iter(USED_BY.get(field, {SINOGRAMS})))
    with pytest.raises(SettingsError, match=rf"{field} says nothing without {other}"):
        refuse_unused(data, "scan.hs", *forms_)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds") / "scan"
    jobs.run(SimulationJob("cylinder", folder, Acquisition(scanner="tiny", span=3, counts=1e4)))
    return folder


@pytest.mark.parametrize("field", ["axis_column", "scatter_from", "cps_per_mbq", "frames", "span"])
def test_a_job_refuses_before_it_reads_the_counts(scan: Path, field: str) -> None:
    (scan / "prompts.s").rename(scan / "away")
    try:
        form = chosen(field)
        names = {Settings: "settings", Corrections: "corrections", CameraFacts: "camera",
                 ListmodeSettings: "listmode"}  # fmt: skip
        with pytest.raises(SettingsError, match=f"{field} is for|is no list-mode"):
            ReconstructionJob(scan, None, **{names[type(form)]: form}).begin()
    finally:
        (scan / "away").rename(scan / "prompts.s")


@pytest.mark.parametrize("chosen", [{"sum_tof": True}, {"tof_fwhm_ps": 300.0}])
def test_single_events_without_bins_have_no_bins_of_time_to_sum(tmp_path: Path, chosen) -> None:
    path = written(tmp_path, random_words(8, 100))
    job = ReconstructionJob(
        path, None, corrections=Corrections(**chosen), listmode=ListmodeSettings(list_mode=True)
    )
    with pytest.raises(SettingsError, match="no correction of single events is one"):
        job.begin()
