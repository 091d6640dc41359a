"""A scan from files: one manifest, one sinogram and its corrections, or list-mode."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.errors import FormatError, GeometryError, SettingsError
from emrecon.files import write_text
from emrecon.io import interfile
from emrecon.tomo.attenuation import in_per_mm
from emrecon.tomo.bins import Bins
from emrecon.tomo.camera import Camera
from emrecon.tomo.operator import Array
from emrecon.tomo.parts import CameraFacts, Parts
from emrecon.tomo.scan import Scan
from emrecon.volume import Volume

MANIFEST = "scan.toml"
"""Name of the manifest in a folder that holds a scan."""


def read_scan(
    path: Path,
    parts: Parts | None = None,
    camera: CameraFacts | None = None,
    isotope: str = "",
) -> tuple[Scan, dict[str, Path]]:
    """Read a scan and its corrections.

    Parameters
    ----------
    path : Path
        A manifest (``scan.toml``, or the folder that holds it), Interfile projection data
        (prompts), a PETLINK list-mode header, or a DICOM NM TOMO file.
    parts : Parts, optional
        Further files; they stand in for what a manifest or list-mode file gives.
    camera : CameraFacts, optional
        What to take from SPECT files, and what stands in for what they do not say.
    isotope : str, optional
        Isotope that goes before that of SPECT files.

    Returns
    -------
    Scan
        The scan. That of a gamma camera lies about its axis of rotation, the attenuation map too;
        ``facts["origin_mm"]`` says where in the patient the camera's origin is.
    dict of Path
        Every file that was read, by what it is.
    """
    parts = parts or Parts()
    if path.is_dir():
        path = path / MANIFEST
    if path.suffix == ".toml":
        path, parts = read_manifest(path, parts)
    camera = camera or CameraFacts()
    scan = _prompts(path, parts, camera, isotope)
    _one_of(parts, "correction", "normalisation", "attenuation")
    _one_of(parts, "mu", "attenuation", "correction")
    _one_of(parts, "ct", "mu", "attenuation", "correction")
    _one_of(parts, "additive", "randoms", "scatter")
    if camera.scatter_from and (parts.scatter or parts.additive):
        raise SettingsError("give --scatter-from or a file with scatter, not both")
    inputs = {"prompts": path}
    changes: dict[str, Any] = {}
    for name in ("normalisation", "attenuation", "randoms", "scatter", "correction", "additive"):
        file = getattr(parts, name)
        if file is not None:
            inputs[name] = file
            changes[name] = _matching(file, scan.bins, name, camera)
    _from_stir(changes)
    if parts.mu is not None:
        inputs["mu"] = parts.mu
        changes["mu"] = _about_axis(_mu(parts.mu, parts.mu_unit), scan, path)
    elif parts.ct is not None:
        mu, kvp, files = _mu_of_ct(parts.ct, parts.ct_kvp, scan)
        inputs |= files
        changes["mu"] = _about_axis(mu, scan, path)
        changes["facts"] = scan.facts | {"ct_kvp": kvp, "mu_kev": _energy_kev(scan)}
    return scan.with_(**changes), inputs


def read_manifest(path: Path, over: Parts) -> tuple[Path, Parts]:
    """Return the prompts and the parts that a manifest names; `over` goes before it."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FormatError(f"{path} does not exist: a folder needs it to be a scan") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"{path} is not a manifest that can be read: {error}") from error
    known = {field.name for field in fields(Parts)} | {"prompts"}
    if unknown := sorted(set(table) - known):
        raise FormatError(f"{path}: unknown key {unknown[0]!r}; known are {sorted(known)}")
    if "prompts" not in table:
        raise FormatError(f"{path}: no 'prompts'")
    given = {
        field.name: getattr(over, field.name)
        for field in fields(Parts)
        if getattr(over, field.name) != field.default
    }
    plain = {"mu_unit", "ct_kvp", "span"}
    named: dict[str, Any] = {
        key: value if key in plain else path.parent / str(value)
        for key, value in table.items()
        if key != "prompts"
    }
    return path.parent / str(table["prompts"]), Parts(**(named | given))


def write_manifest(path: Path, prompts: str, **parts: str | int) -> None:
    """Write a manifest: file names relative to it, by what they are."""
    named = {"prompts": prompts, **parts}
    lines = [f"{key} = {json.dumps(value)}" for key, value in named.items()]  # also TOML
    write_text(path, "\n".join(lines) + "\n")


def _prompts(path: Path, parts: Parts, camera: CameraFacts, isotope: str) -> Scan:
    """Read the prompts, and for list-mode what comes with them."""
    kind = io.kind(path)
    if kind == "listmode":
        from emrecon.io import petlink  # noqa: PLC0415 - brings numba

        return petlink.read_scan(path, span=parts.span)
    if kind == "projections":
        read = interfile.read_projections(path)
        return Scan(read.bins, read.data, facts=dict(read.facts))
    if kind in {"spect", "dicom"}:
        return _camera_scan(path, camera, isotope)
    raise FormatError(
        f"{path} is no scan that can be read here ({kind}): give Interfile projection data, "
        "PETLINK list-mode, a DICOM NM TOMO file, or a folder with scan.toml"
    )


def _camera_scan(path: Path, camera: CameraFacts, isotope: str) -> Scan:
    """Read the projections of a gamma camera."""
    from emrecon.io import spect  # noqa: PLC0415 - not for PET

    read = spect.read_projections(path, camera, isotope)
    facts = dict(read.facts) | {"origin_mm": read.origin_mm and list(read.origin_mm)}
    scatter = None
    if camera.scatter_from:
        scatter = spect.scatter_estimate(read, camera.scatter_from, camera.scatter_fwhm_mm)
        facts |= {"scatter_from": camera.scatter_from, "scatter_fwhm_mm": camera.scatter_fwhm_mm}
    duration_s = read.facts.get("duration_s")
    return Scan(read.camera, read.data, scatter=scatter, duration_s=duration_s, facts=facts)


def _matching(path: Path, bins: Bins | Camera, what: str, camera: CameraFacts) -> Array:
    """Read projection data that must lie in the same bins as the prompts."""
    if isinstance(bins, Camera):
        from emrecon.io import spect  # noqa: PLC0415 - not for PET

        seen = spect.read_projections(path, camera)
        data, difference = seen.data, bins.difference(seen.camera)
    else:
        read = interfile.read_projections(path)
        data, difference = read.data, bins.difference(read.bins)
    if difference:
        raise GeometryError(f"{what} ({path.name}) does not fit the prompts: {difference}")
    return data


def _mu_of_ct(path: Path, kvp: float, scan: Scan) -> tuple[Volume, float, dict[str, Path]]:
    """Return a CT as an attenuation map, its tube voltage, and the files that it is in."""
    from emrecon.io.ct import read_ct  # noqa: PLC0415 - not every scan has one
    from emrecon.tomo.hounsfield import mu_map  # noqa: PLC0415

    ct, stated = read_ct(path)
    if not (kvp or stated):
        raise SettingsError(f"the tube voltage of {path.name} is not known: say --ct-kvp")
    used = kvp or stated or 0.0
    files = (
        [file for file in sorted(path.iterdir()) if file.is_file()] if path.is_dir() else [path]
    )
    named = {f"ct {number}" if len(files) > 1 else "ct": f for number, f in enumerate(files, 1)}
    return mu_map(ct, _energy_kev(scan), used), used, named


def _energy_kev(scan: Scan) -> float:
    """Return the energy of the photons that a scan counts."""
    if not isinstance(scan.bins, Camera):
        return 510.999
    energy = scan.facts.get("emission_kev")
    if energy is None:
        raise SettingsError("attenuation from CT needs the isotope's energy: say --isotope")
    return float(energy)


def _about_axis(mu: Volume, scan: Scan, path: Path) -> Volume:
    """Return an attenuation map, which lies in the patient, about a camera's axis of rotation."""
    if not isinstance(scan.bins, Camera) or scan.facts.get("format") == "Interfile":
        return mu
    origin = scan.facts.get("origin_mm")
    if origin is None:
        raise FormatError(
            f"{path}: where the axis of rotation lies in the patient is not known "
            f"({scan.facts.get('origin_from')}), so the attenuation map cannot be placed "
            "(supply it with --axis-mm)"
        )
    affine = mu.affine.copy()
    affine[:3, 3] -= origin
    return Volume(mu.voxels, affine, mu.unit)


def _from_stir(parts: dict[str, Any]) -> None:
    """Turn STIR's correction and additive term into efficiency and background."""
    correction, additive = parts.pop("correction", None), parts.pop("additive", None)
    if correction is not None:
        live = correction > 0
        np.divide(1.0, correction, out=correction, where=live)
        parts["normalisation"] = correction
    if additive is not None:
        if correction is not None:
            additive *= correction
        parts["scatter"] = additive


def _mu(path: Path, unit: str) -> Volume:
    """Read an attenuation map in 1/mm, by the unit given or the one the file states."""
    mu = io.read_image(path)
    if not (unit or mu.unit):
        raise SettingsError(
            f"the unit of {path.name} is not known: say --mu-unit 1/mm or --mu-unit 1/cm"
        )
    return in_per_mm(mu, unit or mu.unit)


def _one_of(parts: Parts, name: str, *others: str) -> None:
    for other in others:
        if getattr(parts, name) is not None and getattr(parts, other) is not None:
            raise SettingsError(f"give --{name} or --{other}, not both")
