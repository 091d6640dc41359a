"""Corrections of a scan from files: those that lie in its bins, and what attenuates."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.errors import FormatError, GeometryError, SettingsError
from emrecon.forms import numbered
from emrecon.io.dicom.attributes import is_dicom
from emrecon.io.formats import DescribesBins, Reading, ReadsScans, data_files, format_of, open_head
from emrecon.io.interfile.siemens_norm import facts_of_norm, read_components, usable_singles
from emrecon.io.manifest import files_of, no_rivals
from emrecon.tomo.corrections import attenuation
from emrecon.tomo.corrections.attenuation import added, in_per_mm, say_energy
from emrecon.tomo.corrections.bin_shares import BinCorrections
from emrecon.tomo.corrections.components import Singles
from emrecon.tomo.dust import without_dust
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.inputs import IN_BINS, Corrections
from emrecon.tomo.scan import Scan
from emrecon.volume import Array, Volume

log = logging.getLogger(__name__)

_LYING = {"S": "supine", "P": "prone", "DR": "on the right side", "DL": "on the left side"}
"""How a patient lies, by the end of DICOM's word for it."""

PET_KEV = 510.999
"""Energy of annihilation photons."""

AT_ONCE = 4
"""Corrections that are read at the same time."""

NO_BINS = {
    "normalisation": "the efficiencies in the file are used",
    "attenuation": "give --mu or --ct",
    "correction": "the efficiencies in the file are used; give --mu or --ct",
    "randoms": "they are estimated from the delayeds in the file",
    "additive": "give --scatter in counts; randoms are estimated from the delayeds in the file",
    "norm": "the efficiencies in the file are used",
}
"""What to do instead of giving PETSIRD a correction in bins."""


@dataclass(frozen=True, eq=False)
class Medium:
    """What attenuates, and where that is from."""

    mu: Volume | None = None
    """Attenuation map in 1/mm."""

    files: dict[str, Path] = field(default_factory=dict)
    """The files read, by what they are."""

    facts: dict[str, Any] = field(default_factory=dict)
    """Of a CT, tube voltage and the energy that it was turned to; of a mu-map, its dust."""


def read_medium(
    corrections: Corrections, energy_kev: float | None = PET_KEV, position: str = "HFS"
) -> Medium:
    """Read what attenuates photons of an energy, None where that is not known.

    Raises
    ------
    SettingsError
        If unit, tube voltage or energy are needed and not known, or two files say the same.
    GeometryError
        If the patient lies in another way than in the scan, whose position is given.
    """
    no_rivals(corrections)
    if corrections.mu:
        for path in corrections.mu:
            _check_position(path, io.patient_position(path), position)
        read = [_mu(path, corrections.mu_unit) for path in corrections.mu]
        if energy_kev is not None:
            for mu, _ in read:
                say_energy(mu, energy_kev)
        dust = sum(places for _, places in read)
        files = numbered("mu", corrections.mu)
        facts = {"mu_dust_set_to_0": dust} if dust else {}
        return Medium(added([mu for mu, _ in read]), files | data_files(files), facts)
    if corrections.ct is None:
        return Medium()
    if energy_kev is None:
        raise SettingsError("attenuation from CT needs the isotope's energy: say --isotope")
    return _medium_of_ct(corrections.ct, corrections.ct_kvp or 0.0, energy_kev, position)


def read_scatter(
    corrections: Corrections,
) -> tuple[tuple[Bins, Array] | None, dict[str, Path]]:
    """Read scatter that lies in bins of its own; return it and the files read.

    Raises
    ------
    SettingsError
        If anything else is given in bins, which events that have none cannot take.
    """
    refuse_in_bins(corrections)
    if corrections.scatter is None:
        return None, {}
    scan = _in_bins(corrections.scatter, Reading(corrections))
    if isinstance(scan.bins, Camera):
        raise FormatError(f"{corrections.scatter}: scatter of a PET scan is wanted, not of SPECT")
    files = {"scatter": corrections.scatter}
    return (scan.bins, scan.prompts), files | data_files(files)


def refuse_in_bins(corrections: Corrections) -> None:
    """Refuse corrections of bins, but for scatter, beside events that have none.

    Raises
    ------
    SettingsError
        If there are some.
    """
    for name, instead in NO_BINS.items():
        if getattr(corrections, name) is not None:
            raise SettingsError(f"--{name} lies in bins, which PETSIRD has none of: {instead}")


def singles_for(corrections: Corrections, told: Callable[[], Singles | None]) -> Singles | float:
    """Return the singles a second of a block that a normalisation's dead time is worked out with.

    Parameters
    ----------
    corrections : Corrections
        A rate that was chosen goes before what the scan tells; 0 leaves dead time out, as does
        another way to make up for it.
    told : callable
        Returns what the scan's file tells.
    """
    chosen = corrections.ring_singles_cps
    if corrections.norm is None or chosen is not None:
        return chosen or 0.0
    singles = told()
    return 0.0 if singles is None else usable_singles(corrections.norm, singles)


def read_in_bins(
    bins: Bins, corrections: Corrections, singles: Singles | float = 0.0
) -> tuple[BinCorrections | None, dict[str, Path]]:
    """Read corrections that lie in the bins of list-mode; return them and the files read.

    Parameters
    ----------
    bins : Bins
        The bins.
    corrections : Corrections
        What names them.
    singles : array or float, optional
        Singles a second of a block, for the dead time of a normalisation; see `singles_for`.

    Raises
    ------
    GeometryError
        If they do not lie in these bins.
    """
    read, files = matching(bins, Reading(corrections))
    components = None
    if corrections.norm is not None:
        components = read_components(corrections.norm, singles)
        files |= _norm_files(corrections.norm)
    if not files:
        return None, {}
    every = np.broadcast_to(np.float32(1), bins.shape)
    from_stir(read, Scan(bins, every, every))
    kept = {name: data for name, data in read.items() if data is not None}
    clean = Scan(bins, every, **kept).without_dust()
    clean.check()
    kept = {name: getattr(clean, name) for name in kept}
    everything = corrections.additive is not None
    return BinCorrections(**kept, components=components, all_background=everything), files


def read_norm(
    bins: Bins | Camera, corrections: Corrections, singles: Singles | float = 0.0
) -> tuple[dict[str, Array], dict[str, Path], dict[str, Any]]:
    """Read a normalisation by components as efficiencies of bins; return files and facts, too.

    Parameters
    ----------
    bins : Bins
        The bins of the prompts, of all views.
    corrections : Corrections
        What names it; nothing is returned where none is named.
    singles : array or float, optional
        Singles a second of a block, see `singles_for`.
    """
    if corrections.norm is None:
        return {}, {}, {}
    if isinstance(bins, Camera):
        raise SettingsError("--norm is for PET scanners, and this scan is of a gamma camera")
    efficiency = read_components(corrections.norm, singles).in_bins(bins)
    facts = facts_of_norm(corrections.norm, singles)
    return {"normalisation": efficiency}, _norm_files(corrections.norm), facts


def _norm_files(path: Path) -> dict[str, Path]:
    return {"norm": path} | data_files({"norm": path})


def matching(bins: Bins | Camera, reading: Reading) -> tuple[dict[str, Any], dict[str, Path]]:
    """Read the corrections that lie in the bins of the prompts; return them and the files read.

    Raises
    ------
    GeometryError
        If one lies in other bins.
    """
    named = {name: getattr(reading.corrections, name) for name in IN_BINS}
    files: dict[str, Path] = {name: file for name, file in named.items() if file is not None}
    arrays: dict[str, Any] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:  # reading files leaves Python to the others
        scans = [pool.submit(_in_bins, file, reading) for file in files.values()]
    for (name, file), read in zip(files.items(), scans, strict=True):
        scan = read.result()
        _refuse_other_bins(name, file, bins, scan.bins)
        arrays[name] = scan.prompts
    return arrays, files | data_files(files)


def check_corrections(path: Path, corrections: Corrections) -> None:
    """Refuse corrections that headers tell cannot be those of a scan.

    Those lie in other bins, are of another scanner, or are maps without a unit or beside the
    field of view. A normalisation is read whole, as it is small. Bins of a time of flight that is
    chosen how to read, and of gamma cameras, are left to reading.

    Parameters
    ----------
    path : Path
        Prompts or list-mode.
    corrections : Corrections
        Files with corrections of it.

    Raises
    ------
    EmreconError
        If they cannot.
    """
    bins = io.read_bins(path, corrections)
    if bins is None and io.kind(path) == "events":
        refuse_in_bins(corrections)
    _check_maps(corrections, bins)
    if corrections.norm is not None and bins is not None:
        read_components(corrections.norm, corrections.ring_singles_cps or 0.0).places(bins)
    if not (corrections.sum_tof or corrections.tof_fwhm_ps):
        _check_bins(corrections, bins)


def _check_bins(corrections: Corrections, bins: Bins | None) -> None:
    """Refuse corrections that do not lie in the bins of the prompts."""
    for name in IN_BINS:
        file = getattr(corrections, name)
        if file is None:
            continue
        form = _projections(file)
        if bins is not None and isinstance(form, DescribesBins):
            _refuse_other_bins(name, file, bins, form.read_bins(file, corrections))


def _check_maps(corrections: Corrections, bins: Bins | None) -> None:
    """Refuse maps that have no unit, one beside what the bins see, and a CT that is no image."""
    ct = corrections.ct
    if ct is not None and ct.is_file() and not is_dicom(open_head(ct)):
        io.image_header(ct)
    for mu in corrections.mu:
        header = io.image_header(mu)
        if header is None:
            continue
        _unit_of(mu, corrections.mu_unit or header.unit)
        if bins is not None and len(corrections.mu) == 1:
            attenuation.check_overlap(header, bins)


def _refuse_other_bins(name: str, file: Path, bins: Bins | Camera, other: Bins | Camera) -> None:
    """Refuse a correction that does not lie in the bins of the prompts."""
    if difference := _difference(bins, other):
        raise GeometryError(f"{name} ({file.name}) does not fit the prompts: {difference}")


def from_stir(arrays: dict[str, Any], scan: Scan) -> None:
    """Turn STIR's correction and additive term into efficiency and background.

    The additive term holds all of the background, divided by all of the factors.
    """
    correction, additive = arrays.pop("correction", None), arrays.pop("additive", None)
    others = {"normalisation", "attenuation", "mu"} & set(arrays)
    if correction is not None:
        live = correction > 0
        np.divide(1.0, correction, out=correction, where=live)
        arrays["normalisation"] = correction
    elif additive is not None and (others or scan.normalisation is not None):
        raise SettingsError(
            "--additive is in STIR's sense, background times --correction: give both, or give "
            "--randoms and --scatter as counts"
        )
    if additive is not None:
        if correction is not None:
            additive *= correction
        arrays["scatter"], arrays["randoms"] = additive, None


def _in_bins(path: Path, reading: Reading) -> Scan:
    """Read projection data that need not be counts."""
    return _projections(path).read_scan(path, reading.of_correction())


def _projections(path: Path) -> ReadsScans:
    """Return the format of projection data."""
    form, kind = format_of(path)
    if kind != "projections" or not isinstance(form, ReadsScans):
        norm = "; a Siemens normalisation is given as --norm" if kind == "other" else ""
        raise FormatError(f"{path} is no projection data ({kind} of {form.name}){norm}")
    return form


def _difference(bins: Bins | Camera, other: Bins | Camera) -> str:
    """Return in words how bins differ; empty where they are the same."""
    if isinstance(bins, Camera) and isinstance(other, Camera):
        return bins.difference(other)
    if isinstance(bins, Bins) and isinstance(other, Bins):
        return bins.difference(other)
    return "one is of a ring scanner, the other of a gamma camera"


def _medium_of_ct(path: Path, kvp: float, energy_kev: float, position: str) -> Medium:
    """Return a CT as an attenuation map."""
    from emrecon.io.dicom.ct import read_ct  # noqa: PLC0415 - not every scan has one
    from emrecon.tomo.materials import mu_map  # noqa: PLC0415

    ct = read_ct(path)
    _check_position(path, ct.position, position)
    used = kvp or ct.kvp
    if not used:
        raise SettingsError(f"the tube voltage of {path.name} is not known: say --ct-kvp")
    facts = {"ct_kvp": used, "mu_kev": energy_kev}
    return Medium(mu_map(ct.volume, energy_kev, used), files_of("ct", path), facts)


def _check_position(path: Path, stated: str | None, position: str) -> None:
    """Refuse what attenuates a patient who lies in another way than in the scan.

    Parameters
    ----------
    path : Path
        Map or CT.
    stated : str or None
        How its patient lies, as `emrecon.io.patient_position` has it.
    position : str
        How the patient of the scan lies.
    """
    if stated is None or stated == position or (not stated and position == "HFS"):
        return
    if not stated:
        raise GeometryError(
            f"{path.name} does not say how the patient lies, who is {position} in the scan: state "
            "'patient orientation' and 'patient rotation' in its header, or give it as NIfTI"
        )
    if stated[2:] != position[2:]:
        raise GeometryError(
            f"{path.name} is of a patient who lies {_LYING.get(stated[2:], 'otherwise')} "
            f"({stated}), the scan of one who lies {_LYING.get(position[2:], 'otherwise')} "
            f"({position}): give what attenuates in the scan's position, correct the header that "
            "is wrong, or give a map that was brought to the scan as NIfTI"
        )
    log.warning(
        "%s is of a patient who lies %s, the scan of one who lies %s: both are turned as their "
        "headers say",
        path.name, stated, position,
    )  # fmt: skip


def _mu(path: Path, unit: str) -> tuple[Volume, int]:
    """Read an attenuation map in 1/mm, by the unit that was named or the one the file states.

    Dust is set to 0; the second is in how many voxels.
    """
    mu = io.read_image(path)
    unit = _unit_of(path, unit or mu.unit)
    voxels, dust = without_dust(mu.voxels, "mu")
    return in_per_mm(Volume(voxels, mu.affine, mu.unit), unit), dust


def _unit_of(path: Path, unit: str) -> str:
    """Return the unit of an attenuation map, which is needed."""
    if not unit:
        raise SettingsError(
            f"the unit of {path.name} is not known: say --mu-unit 1/mm or --mu-unit 1/cm"
        )
    return unit
