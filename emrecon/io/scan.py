"""A scan from files: one manifest, one sinogram and its corrections, or list-mode."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.errors import FormatError, GeometryError, SettingsError
from emrecon.io import interfile
from emrecon.io.interfile.pet import ARC_CORRECTED, Choice, Flight
from emrecon.io.manifest import data_files, no_rivals, resolved
from emrecon.tomo.corrections.attenuation import in_per_mm
from emrecon.tomo.corrections.bin_shares import Given
from emrecon.tomo.gates import When
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.scan import Scan
from emrecon.volume import Array, Volume

log = logging.getLogger(__name__)

PET_KEV = 510.999
"""Energy of annihilation photons."""


def read_scan(
    path: Path,
    parts: Corrections | None = None,
    camera: CameraFacts | None = None,
    isotope: str = "",
    window_s: When = EVERYTHING,
    only: Choice | None = None,
) -> tuple[Scan, dict[str, Path]]:
    """Read a scan and its corrections.

    Parameters
    ----------
    path : Path
        A manifest (``scan.toml``, or the folder that holds it), Interfile projection data
        (prompts), a PETLINK list-mode header, or a DICOM NM TOMO file.
    parts : Corrections, optional
        Further files; they stand in for what a manifest or list-mode file gives.
    camera : CameraFacts, optional
        What to take from SPECT files, and what stands in for what they do not say.
    isotope : str, optional
        Isotope that goes before that of SPECT files.
    window_s : tuple of float, optional
        Part of a list-mode file to take, in s.
    only : callable, optional
        Given the number of views, returns those to read. It is asked only where a part can be
        read alone (Interfile PET): any other scan is read whole.

    Returns
    -------
    Scan
        The scan. That of a gamma camera lies about its axis of rotation, the attenuation map too;
        `Scan.origin_mm` says where in the patient the camera's origin is.
    dict of Path
        Every file that was read, by what it is.
    """
    path, parts = resolved(path, parts or Corrections())
    camera = camera or CameraFacts()
    flight = Flight(parts.sum_tof, parts.tof_fwhm_ps)
    only = only if io.kind(path) == "projections" else None
    scan = _prompts(path, parts, camera, isotope, window_s, only)
    no_rivals(parts)
    if camera.scatter_from and (parts.scatter or parts.additive):
        raise SettingsError("give --scatter-from or a file with scatter, not both")
    inputs = {"prompts": path}
    changes: dict[str, Any] = {}
    for name in IN_BINS:
        file = getattr(parts, name)
        if file is not None:
            inputs[name] = file
            changes[name] = _matching(file, scan.bins, name, camera, flight, only)
    if parts.mu is not None:
        inputs["mu"] = parts.mu
        changes["mu"] = _about_axis(_mu(parts.mu, parts.mu_unit), scan, path)
    elif parts.ct is not None:
        mu, kvp, files = _mu_of_ct(parts.ct, parts.ct_kvp, _energy_kev(scan))
        inputs |= files
        changes["mu"] = _about_axis(mu, scan, path)
        changes["facts"] = scan.facts | {"ct_kvp": kvp, "mu_kev": _energy_kev(scan)}
    _from_stir(changes, scan)
    return scan.with_(**changes), inputs | data_files(inputs)


def wants_listmode(path: Path, how: ListmodeSettings) -> bool:
    """Return whether a scan is taken as list-mode: so asked, or a file of events alone."""
    asked = how != ListmodeSettings()
    if asked or not path.exists():  # reading it will say so
        return asked
    return io.kind(resolved(path, Corrections())[0]) == "petsird"


@contextmanager
def open_events(
    path: Path, corrections: Corrections, window_s: When = EVERYTHING
) -> Iterator[tuple[ListmodeScan, dict[str, Path]]]:
    """Give the events of a list-mode file, and the files read."""
    mu, inputs = read_medium(corrections)
    if io.kind(path) == "petsird":
        from emrecon.io.petsird import events as petsird_events  # noqa: PLC0415 - numba

        scatter, files = read_scatter(corrections)
        reading = petsird_events.reading(path, window_s, mu, scatter)
    else:
        from emrecon.io.petlink import events as petlink_events  # noqa: PLC0415 - numba
        from emrecon.io.petlink import header  # noqa: PLC0415

        bins = header.read_header(path).bins(corrections.span)
        given, files = read_given(bins, corrections)
        reading = petlink_events.reading(path, corrections.span, window_s, mu, given)
    with reading as events:
        yield events, {"prompts": path} | inputs | files


IN_BINS = ("normalisation", "attenuation", "randoms", "scatter", "correction", "additive")
"""Corrections that are projection data."""


def read_medium(parts: Corrections) -> tuple[Volume | None, dict[str, Path]]:
    """Read what attenuates the events of a PET scan; return it in 1/mm, and the files read."""
    no_rivals(parts)
    if parts.mu is not None:
        return _mu(parts.mu, parts.mu_unit), {"mu": parts.mu}
    if parts.ct is not None:
        mu, _, files = _mu_of_ct(parts.ct, parts.ct_kvp, PET_KEV)
        return mu, files
    return None, {}


def read_scatter(parts: Corrections) -> tuple[tuple[Bins, Array] | None, dict[str, Path]]:
    """Read scatter that lies in bins of its own; return it and the files read.

    Raises
    ------
    SettingsError
        If anything else is given in bins, which events that have none cannot take.
    """
    for name, instead in NO_BINS.items():
        if getattr(parts, name) is not None:
            raise SettingsError(f"--{name} lies in bins, which PETSIRD has none of: {instead}")
    if parts.scatter is None:
        return None, {}
    read = interfile.read_projections(parts.scatter, Flight(parts.sum_tof, parts.tof_fwhm_ps))
    files = {"scatter": parts.scatter}
    return (read.bins, read.data), files | data_files(files)


NO_BINS = {
    "normalisation": "the efficiencies in the file are used",
    "attenuation": "give --mu or --ct",
    "correction": "the efficiencies in the file are used; give --mu or --ct",
    "randoms": "they are estimated from the delayeds in the file",
    "additive": "give --scatter in counts; randoms are estimated from the delayeds in the file",
}
"""What to do instead of giving PETSIRD a correction in bins."""


def read_given(bins: Bins, parts: Corrections) -> tuple[Given | None, dict[str, Path]]:
    """Read corrections that lie in the bins of list-mode; return them and the files read.

    Raises
    ------
    GeometryError
        If they do not lie in these bins.
    """
    files = {name: getattr(parts, name) for name in IN_BINS if getattr(parts, name) is not None}
    if not files:
        return None, {}
    flight = Flight(parts.sum_tof, parts.tof_fwhm_ps)
    read: dict[str, Any] = {
        name: _matching(file, bins, name, CameraFacts(), flight, None)
        for name, file in files.items()
    }
    every = np.broadcast_to(np.float32(1), bins.shape)
    _from_stir(read, Scan(bins, every, every))
    kept = {name: data for name, data in read.items() if data is not None}
    Scan(bins, every, **kept).check()
    found = files | data_files(files)
    return Given(**kept, all_background=parts.additive is not None), found


def _prompts(
    path: Path,
    parts: Corrections,
    camera: CameraFacts,
    isotope: str,
    window_s: When,
    only: Choice | None,
) -> Scan:
    """Read the prompts, and for list-mode what comes with them."""
    kind = io.kind(path)
    if kind == "listmode":
        from emrecon.io.petlink import sinograms as petlink  # noqa: PLC0415 - brings numba

        return petlink.read_scan(path, span=parts.span, window_s=window_s)
    if kind == "projections":
        read = interfile.read_projections(path, Flight(parts.sum_tof, parts.tof_fwhm_ps), only)
        _raw(path, read.facts)
        seconds = read.facts.get("duration_s")
        return Scan(read.bins, read.data, duration_s=seconds, facts=dict(read.facts))
    if kind in {"spect", "dicom"}:
        return _camera_scan(path, camera, isotope)
    if kind == "petsird":
        raise SettingsError(
            f"{path} holds single events, which have no sinograms here: emrecon recon takes them "
            "one by one"
        )
    raise FormatError(
        f"{path} is no scan that can be read here ({kind}): give Interfile projection data, "
        "PETLINK list-mode, a DICOM NM TOMO file, or a folder with scan.toml"
    )


def _raw(path: Path, facts: dict[str, Any]) -> None:
    """Refuse what are no counts by the header's own word, and warn of corrected ones."""
    kind = str(facts.get("pet_data_type") or "emission").lower()
    if kind != "emission":
        raise FormatError(f"{path}: prompts are wanted, but its 'PET data type' is {kind!r}")
    done = facts.get("applied_corrections") or []
    words = [done] if isinstance(done, str) else list(done)
    if others := [word for word in words if word not in {"none", *ARC_CORRECTED}]:
        log.warning(
            "%s says that %s was applied: corrected data are not Poisson, and the model must not "
            "correct for it again", path.name, " and ".join(others),
        )  # fmt: skip


def _camera_scan(path: Path, camera: CameraFacts, isotope: str) -> Scan:
    """Read the projections of a gamma camera."""
    from emrecon.io import spect  # noqa: PLC0415 - not for PET

    read = spect.read_projections(path, camera, isotope)
    origin = read.origin_mm
    facts = dict(read.facts) | {"origin_mm": origin and list(origin)}  # for the sidecar
    scatter = None
    if camera.scatter_from:
        scatter = spect.scatter_estimate(read, camera.scatter_from, camera.scatter_fwhm_mm)
        facts |= {"scatter_from": camera.scatter_from, "scatter_fwhm_mm": camera.scatter_fwhm_mm}
    duration_s = read.facts.get("duration_s")
    return Scan(
        read.camera, read.data, scatter=scatter, duration_s=duration_s, origin_mm=origin,
        facts=facts,
    )  # fmt: skip


def _matching(
    path: Path,
    bins: Bins | Camera,
    what: str,
    camera: CameraFacts,
    flight: Flight,
    only: Choice | None,
) -> Array:
    """Read projection data that must lie in the same bins as the prompts."""
    if isinstance(bins, Camera):
        from emrecon.io import spect  # noqa: PLC0415 - not for PET

        seen = spect.read_projections(path, camera)
        data, difference = seen.data, bins.difference(seen.camera)
    else:
        read = interfile.read_projections(path, flight, only)
        data, difference = read.data, bins.difference(read.bins)
    if difference:
        raise GeometryError(f"{what} ({path.name}) does not fit the prompts: {difference}")
    return data


def _mu_of_ct(path: Path, kvp: float, energy_kev: float) -> tuple[Volume, float, dict[str, Path]]:
    """Return a CT as an attenuation map, its tube voltage, and the files that it is in."""
    from emrecon.io.dicom.ct import read_ct  # noqa: PLC0415 - not every scan has one
    from emrecon.tomo.materials import mu_map  # noqa: PLC0415

    ct, stated = read_ct(path)
    if not (kvp or stated):
        raise SettingsError(f"the tube voltage of {path.name} is not known: say --ct-kvp")
    used = kvp or stated or 0.0
    files = (
        [file for file in sorted(path.iterdir()) if file.is_file()] if path.is_dir() else [path]
    )
    named = {f"ct {number}" if len(files) > 1 else "ct": f for number, f in enumerate(files, 1)}
    return mu_map(ct, energy_kev, used), used, named


def _energy_kev(scan: Scan) -> float:
    """Return the energy of the photons that a scan counts."""
    if not isinstance(scan.bins, Camera):
        return PET_KEV
    energy = scan.facts.get("emission_kev")
    if energy is None:
        raise SettingsError("attenuation from CT needs the isotope's energy: say --isotope")
    return float(energy)


def _about_axis(mu: Volume, scan: Scan, path: Path) -> Volume:
    """Return an attenuation map, which lies in the patient, about a camera's axis of rotation."""
    if not isinstance(scan.bins, Camera) or scan.facts.get("format") == "Interfile":
        return mu
    origin = scan.origin_mm
    if origin is None:
        raise FormatError(
            f"{path}: where the axis of rotation lies in the patient is not known "
            f"({scan.facts.get('origin_from')}), so the attenuation map cannot be placed "
            "(supply it with --axis-mm)"
        )
    affine = mu.affine.copy()
    affine[:3, 3] -= origin
    return Volume(mu.voxels, affine, mu.unit)


def _from_stir(parts: dict[str, Any], scan: Scan) -> None:
    """Turn STIR's correction and additive term into efficiency and background.

    The additive term holds all of the background, divided by all of the factors.
    """
    correction, additive = parts.pop("correction", None), parts.pop("additive", None)
    others = {"normalisation", "attenuation", "mu"} & set(parts)
    if correction is not None:
        live = correction > 0
        np.divide(1.0, correction, out=correction, where=live)
        parts["normalisation"] = correction
    elif additive is not None and (others or scan.normalisation is not None):
        raise SettingsError(
            "--additive is in STIR's sense, background times --correction: give both, or give "
            "--randoms and --scatter as counts"
        )
    if additive is not None:
        if correction is not None:
            additive *= correction
        parts["scatter"], parts["randoms"] = additive, None


def _mu(path: Path, unit: str) -> Volume:
    """Read an attenuation map in 1/mm, by the unit given or the one the file states."""
    mu = io.read_image(path)
    if not (unit or mu.unit):
        raise SettingsError(
            f"the unit of {path.name} is not known: say --mu-unit 1/mm or --mu-unit 1/cm"
        )
    return in_per_mm(mu, unit or mu.unit)
