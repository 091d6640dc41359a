"""Which settings the data at hand can use: one table, for flags, job files, panel and Python."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from emrecon import forms, io
from emrecon.errors import SettingsError
from emrecon.io.scan import reader_of
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.inputs import NO_MAP, Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings

SINOGRAMS, LISTMODE, EVENTS, CAMERA = (
    "PET sinograms",
    "list-mode that is summed to sinograms",
    "single events",
    "projections of a gamma camera",
)
"""What a reconstruction may be of."""

_BINS = {SINOGRAMS, LISTMODE}
_PET = {SINOGRAMS, LISTMODE, EVENTS}
_SUMMED = {SINOGRAMS, LISTMODE, CAMERA}
_STREAM = {LISTMODE, EVENTS}

USED_BY: dict[str, set[str]] = {
    "projector": _BINS,
    "rays": _BINS,
    "ring_wide": _BINS,
    "collimator": {CAMERA},
    "isotope": {CAMERA},
    "response_mm": {CAMERA},
    "cps_per_mbq": {CAMERA},
    "view_s": {CAMERA},
    "decayed_h": {CAMERA},
    "attenuation": _PET,
    "correction": _PET,
    "norm": _BINS | {EVENTS},
    "mlaa": {SINOGRAMS},
    "randoms": _SUMMED | {EVENTS},
    "mu_centred": {CAMERA},
    "calibration": _PET,
    "facts": _PET,
    "suv": _PET,
    "dead_time_us": _PET,
    "simulate_scatter": _PET,
    "scatter_rounds": _PET,
    "scatter_absolute": _BINS,
    "window_kev": _PET,
    "energy_resolution": _PET,
    "span": _STREAM,
    "sum_tof": {SINOGRAMS, EVENTS},
    "tof_fwhm_ps": {SINOGRAMS, EVENTS},
    "list_mode": _STREAM,
    "frames": _STREAM,
    "gates": _STREAM,
    "gate_by": _STREAM,
    "decay_corrected": _STREAM,
    "window": {CAMERA},
    "scatter_from": {CAMERA},
    "scatter_fwhm_mm": {CAMERA},
    "gate": {CAMERA},
    "radius_mm": {CAMERA},
    "start_angles_deg": {CAMERA},
    "angular_step_deg": {CAMERA},
    "direction": {CAMERA},
    "pixel_mm": {CAMERA},
    "axis_column": {CAMERA},
    "axis_mm": {CAMERA},
    "patient_position": {CAMERA},
    "first_row": {CAMERA},
    "parallel_holes": {CAMERA},
    "frame_order": {CAMERA},
}
"""Data that use a field; what is not named here is used by all."""

NEEDS = {
    "rays": ("projector", "siddon"),
    "view_s": ("cps_per_mbq", ""),
    "decayed_h": ("cps_per_mbq", ""),
    "mu_unit": ("mu", ""),
    "mu_centred": ("mu", ""),
    "ct_kvp": ("ct", ""),
    "scatter_fwhm_mm": ("scatter_from", ""),
    "gate_by": ("gates", ""),
    "beta": ("prior", ""),
    "gamma": ("prior", "rdp"),
    "epsilon": ("prior", ""),
    "edge": ("prior", "log-cosh"),
    "kappa": ("prior", ""),
    "uniform": ("prior", ""),
    "anatomy": ("prior", ""),
    "similar": ("anatomy", ""),
    "eta": ("prior", "pls"),
    "algorithm": ("prior", ""),
    "order_seed": ("prior", ""),
    "until_converged": ("prior", ""),
    "uncertainty": ("regions", ""),
    "draws": ("regions", ""),
    "draw_seed": ("regions", ""),
    "kernel_neighbours": ("kernel", ""),
    "kernel_window": ("kernel", ""),
    "kernel_width": ("kernel", ""),
    "kernel_fwhm_mm": ("kernel", ""),
    "kernel_pet_width": ("kernel", ""),
    "kernel_as_stir": ("kernel", ""),
    "mlaa_passes": ("mlaa", ""),
    "scatter_rounds": ("simulate_scatter", ""),
    "scatter_absolute": ("simulate_scatter", ""),
    "window_kev": ("simulate_scatter", ""),
    "energy_resolution": ("simulate_scatter", ""),
    "suv": ("calibration", ""),
    "dead_time_model": ("dead_time_us", ""),
    "singles_cps": ("dead_time_us or norm", ""),
}
"""Fields that say nothing without another, or one of two, and the value that this must have (any
if empty)."""

EITHER = (("prior", "kernel"), ("singles_cps", "frames"))
"""Fields that exclude each other."""


def refuse_unused(data: str, name: str, *chosen: Any) -> None:  # noqa: ANN401 - any forms
    """Refuse settings that were chosen and that the data at hand do not use.

    Parameters
    ----------
    data : str
        What is to be reconstructed: one of the words above.
    name : str
        How the scan is called.
    *chosen : form
        All settings.

    Raises
    ------
    SettingsError
        If a field differs from its default to no effect.
    """
    values = {item.name: getattr(form, item.name) for form in chosen for item in fields(form)}
    said = {name for form in chosen for name in forms.changed(form)}
    for field in [field for form in chosen for field in forms.asked(form)]:
        users = USED_BY.get(field)
        if users is not None and data not in users:
            raise SettingsError(
                f"{field} is for {' or '.join(sorted(users))}, and {name} holds {data}: "
                "leave it out"
            )
        other, value = NEEDS.get(field, ("", ""))
        named = other.split(" or ") if other else []
        given = [str(values[each]) == value if value else each in said for each in named]
        if named and not any(given):
            raise SettingsError(
                f"{field} says nothing without {other}{f' {value}' if value else ''}: give both, "
                "or leave it out"
            )
    for one, other in EITHER:
        if values.get(one) and values.get(other):
            raise SettingsError(f"give {one} or {other}, not both")


def need_map(corrections: Corrections) -> None:
    """Refuse to simulate scatter without an attenuation map.

    Raises
    ------
    SettingsError
        If neither mu nor ct is given.
    """
    if not (corrections.mu or corrections.ct):
        raise SettingsError(NO_MAP)


def sinograms_of(path: Path, corrections: Corrections, words: str) -> Bins:
    """Return the bins of PET sinograms without time of flight, as headers tell.

    Parameters
    ----------
    path : Path
        Prompts or list-mode.
    corrections : Corrections
        How it is read.
    words : str
        Why other data are refused.

    Raises
    ------
    EmreconError
        If these are no counts in bins, of a gamma camera, or with time of flight.
    """
    reader_of(path)
    bins = io.read_bins(path, corrections)
    if bins is None or bins.timing is not None:
        raise SettingsError(words)
    return bins


def data_of(path: Path, listmode: ListmodeSettings) -> str:
    """Return what is reconstructed of a file: the one place where the kinds are told apart."""
    kind = io.kind(path)
    if kind == "events":
        return EVENTS if listmode.list_mode or not io.has_bins(path) else LISTMODE
    if listmode != ListmodeSettings():
        raise SettingsError(f"{path} is no list-mode ({kind}): frames and events need it")
    if kind in {"image", "unknown"}:  # reading it says what a scan is
        return SINOGRAMS
    return CAMERA if kind == "other" or io.read_bins(path) is None else SINOGRAMS
