"""A scan from files: one manifest, one file of prompts and its corrections, or list-mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon import io
from emrecon.errors import FormatError, SettingsError
from emrecon.io.corrections import (
    PET_KEV,
    from_stir,
    matching,
    read_medium,
    read_norm,
    singles_for,
)
from emrecon.io.formats import (
    Choice,
    Format,
    Reading,
    ReadsEvents,
    ReadsScans,
    TellsSingles,
    data_files,
    format_of,
    formats,
    identify,
)
from emrecon.io.manifest import resolved
from emrecon.tomo.corrections.components import Singles
from emrecon.tomo.corrections.consistency import checked
from emrecon.tomo.corrections.map_place import on_axis, say_half_voxel
from emrecon.tomo.gates import When
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.scan import Scan
from emrecon.volume import Volume


def read_scan(
    path: Path,
    corrections: Corrections | None = None,
    camera: CameraFacts | None = None,
    isotope: str = "",
    window_s: When = EVERYTHING,
    only: Choice | None = None,
) -> tuple[Scan, dict[str, Path]]:
    """Read a scan and its corrections.

    Parameters
    ----------
    path : Path
        A manifest (``scan.toml``, or the folder that holds it), projection data (prompts), or
        list-mode that can be counted into sinograms, of any known format.
    corrections : Corrections, optional
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

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import emrecon as em
    >>> from phantoms.acquisition import Acquisition
    >>> like = Acquisition(scanner="tiny", counts=1e4)
    >>> with TemporaryDirectory() as name:
    ...     _ = em.run(em.SimulationJob("cylinder", Path(name) / "scan", like))
    ...     scan, files = em.read_scan(Path(name) / "scan")
    >>> scan.prompts.shape == scan.bins.shape, "randoms" in files
    (True, True)
    """
    path, corrections = resolved(path, corrections or Corrections())
    camera = camera or CameraFacts()
    views = _Asked(only) if only else None
    reading = Reading(corrections, camera, isotope, window_s, views)
    scan = reader_of(path).read_scan(path, reading)
    if camera.scatter_from and (corrections.scatter or corrections.additive):
        raise SettingsError("give --scatter-from or a file with scatter, not both")
    if views and not views.asked:
        reading = replace(reading, views=None)
    changes, files = matching(scan.bins, reading)
    whole = scan.bins
    if corrections.norm and views and views.asked:
        whole = io.read_bins(path, corrections) or whole
    singles = singles_for(corrections, lambda: _block_singles(path, window_s))
    by_crystals, norm_files, norm_facts = read_norm(whole, corrections, singles)
    if by_crystals and whole is not scan.bins and views:
        chosen = views(whole.shape[0])
        by_crystals = {n: np.ascontiguousarray(data[chosen]) for n, data in by_crystals.items()}
    if by_crystals and scan.normalisation is not None:  # 0 where detectors are dead
        by_crystals["normalisation"] *= scan.normalisation > 0
    changes |= by_crystals
    medium = read_medium(corrections, _energy_kev(scan), scan.exam.patient_position)
    if medium.mu is not None:
        changes["mu"] = _mu_in_scan(medium.mu, scan, path, centred=bool(corrections.mu_centred))
    from_stir(changes, scan)
    changes["facts"] = scan.facts | medium.facts | norm_facts
    prompts = {"prompts": path}
    files = prompts | data_files(prompts) | files | norm_files | medium.files
    return checked(scan.with_(**changes).without_dust()), files


def _block_singles(path: Path, window_s: When) -> Singles | None:
    """Return the singles of blocks that a scan's file tells."""
    form, _ = format_of(path)
    return form.block_singles(path, window_s) if isinstance(form, TellsSingles) else None


@contextmanager
def open_events(
    path: Path, corrections: Corrections | None = None, window_s: When = EVERYTHING
) -> Iterator[tuple[ListmodeScan, dict[str, Path]]]:
    """Give the events of a list-mode file, one by one, and every file that was read.

    Parameters
    ----------
    path : Path
        A list-mode file of any known format, or the manifest of one.
    corrections : Corrections, optional
        Further files; the events' factors and background hold them.
    window_s : tuple of float or Gate, optional
        Time in s at which to start, and before which to stop.

    Yields
    ------
    ListmodeScan
        The events, in files that are removed at the end.
    dict of Path
        The files, by what they are.

    Raises
    ------
    FormatError
        If the file holds no events, or is damaged.
    SettingsError
        If corrections are of a kind that these events cannot take.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import emrecon as em
    >>> from phantoms.acquisition import Acquisition
    >>> like = Acquisition(scanner="tiny", counts=1e4)
    >>> with TemporaryDirectory() as name:
    ...     _ = em.run(em.SimulationJob("cylinder", Path(name) / "scan", like, petsird=True))
    ...     with em.open_events(Path(name) / "scan" / "scan.petsird") as (scan, files):
    ...         print(sorted(files))
    ['prompts']
    """
    path, corrections = resolved(path, corrections or Corrections())
    form, kind = format_of(path)
    if kind != "events" or not isinstance(form, ReadsEvents):
        known = ", ".join(form.name for form in formats() if isinstance(form, ReadsEvents))
        raise FormatError(f"{path} is no list-mode ({kind} of {form.name}); known are {known}")
    prompts = {"prompts": path}
    with form.open_events(path, corrections, window_s) as (scan, files):
        yield scan, prompts | data_files(prompts) | files


class _Asked:
    """Chooses views as another does, and remembers whether it was asked."""

    def __init__(self, choose: Choice) -> None:
        self._choose = choose
        self.asked = False

    def __call__(self, views: int) -> NDArray[np.intp]:
        self.asked = True
        return self._choose(views)


def must_be_scan(path: Path) -> tuple[Format, str]:
    """Return the format of a file of counts, and what it holds.

    Raises
    ------
    FormatError
        If it is no such file.
    """
    identified = identify(path)
    if identified is None or identified[1] not in {"projections", "events", "other"}:
        known = ", ".join(form.name for form in formats() if isinstance(form, ReadsScans))
        form, held = identified or format_of(path)  # which refuses an unknown one by its name
        raise FormatError(
            f"{path} is no scan ({held} of {form.name}): known are {known}, or a folder with "
            "scan.toml"
        )
    return identified


def reader_of(path: Path) -> ReadsScans:
    """Return the format of a file with counts in bins, or that can be counted into some.

    Raises
    ------
    EmreconError
        If it is no such file.
    """
    identified = must_be_scan(path)
    if not isinstance(identified[0], ReadsScans) and identified[1] != "events":
        raise FormatError(f"{path} is no scan, but a file of {identified[0].name}")
    if not isinstance(identified[0], ReadsScans):
        raise SettingsError(
            f"{path} holds single events, which have no sinograms here: emrecon recon takes them "
            "one by one"
        )
    return identified[0]


def _energy_kev(scan: Scan) -> float | None:
    """Return the energy of the photons that a scan counts, as far as it is known."""
    return scan.exam.emission_kev if isinstance(scan.bins, Camera) else PET_KEV


def _mu_in_scan(mu: Volume, scan: Scan, path: Path, *, centred: bool) -> Volume:
    """Return an attenuation map, which lies in the patient, about a camera's axis of rotation."""
    if isinstance(scan.bins, Camera) and centred:
        return on_axis(mu, scan.bins)
    if scan.origin_unknown:
        raise FormatError(
            f"{path}: where the axis of rotation lies in the patient is not known "
            f"({scan.origin_unknown}), so the attenuation map cannot be placed "
            "(supply it with --axis-mm)"
        )
    if scan.origin_mm is None:
        if isinstance(scan.bins, Camera):
            say_half_voxel(mu, scan.bins)
        return mu
    affine = mu.affine.copy()
    affine[:3, 3] -= scan.origin_mm
    return Volume(mu.voxels, affine, mu.unit)
