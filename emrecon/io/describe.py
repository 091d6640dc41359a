"""What a file is, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes

from emrecon import io
from emrecon.errors import FormatError
from emrecon.io.interfile.header import parse
from emrecon.io.interfile.pet import Flight
from emrecon.io.manifest import MANIFEST, read_manifest
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.tof import Timing
from emrecon.tomo.inputs import CameraFacts, Corrections


def describe(path: Path, camera: CameraFacts | None = None) -> dict[str, str]:
    """Return what a file holds and how its geometry is understood, by name.

    Parameters
    ----------
    path : Path
        The file, or a folder that holds a scan.
    camera : CameraFacts, optional
        What stands in for what SPECT files do not say.

    Raises
    ------
    FormatError
        If the file cannot be read, or is of no known kind.
    """
    if path.is_dir() or path.name == MANIFEST:
        return _folder(path if path.is_dir() else path.parent, camera)
    kind = io.kind(path)
    if kind == "image":
        return _image(path)
    if kind == "projections":
        return {"kind": "PET projections (Interfile)", **_counts(path)}
    if kind == "listmode":
        return _listmode(path)
    if kind == "petsird":
        return _petsird(path)
    if kind in {"spect", "dicom"}:
        return _spect(path, camera)
    raise FormatError(
        f"cannot tell what {path} is: no NIfTI, Interfile, PETLINK, PETSIRD or DICOM header"
    )


def _folder(path: Path, camera: CameraFacts | None) -> dict[str, str]:
    prompts, parts = read_manifest(path / MANIFEST, Corrections())
    named = {"prompts": prompts.name}
    named |= {key: Path(str(v)).name for key, v in vars(parts).items() if isinstance(v, Path)}
    return describe(prompts, camera) | {"kind": "scan in a folder", **named}


def _spect(path: Path, camera: CameraFacts | None) -> dict[str, str]:
    from emrecon.io import spect  # noqa: PLC0415 - not for PET

    read = spect.read_projections(path, camera)
    origin = read.origin_mm
    below, above = read.scatter_windows()
    scatter = [str(read.windows[n]) for n in (below, above) if n is not None]
    listed = "; ".join(f"{number} {window}" for number, window in enumerate(read.windows, 1))
    counts = read.counts if read.counts is not None else read.data[None]
    sums = ", ".join(f"{float(part.sum(dtype=np.float64)):.6g}" for part in counts)
    return {
        "kind": f"SPECT projections ({read.facts['format']})",
        **camera_geometry(read.camera, read.heads, read.facts.get("start_angle_deg", [])),
        "axis of rotation": "not known in the patient's coordinates: "
        f"{read.facts.get('origin_from', 'the file does not say')}; images are centred on it"
        if origin is None
        else f"middle of the projections at {_point(origin)} mm (RAS), "
        f"from {read.facts.get('origin_from')}",
        "energy windows": listed or "not stated",
        "sum of each window": sums,
        "scatter windows": "; ".join(scatter) or "none beside the one chosen",
        **_facts({key: fact for key, fact in read.facts.items() if key != "heads"}),
    }


def camera_geometry(
    camera: Camera, heads: tuple[int, ...] = (), starts_deg: Sequence[float] = ()
) -> dict[str, str]:
    """Return in words where a gamma camera's counts lie.

    Parameters
    ----------
    camera : Camera
        Where they lie.
    heads : tuple of int, optional
        The head of every view, from 1; one head without.
    starts_deg : sequence of float, optional
        DICOM angle at which each head began; without, views are in the order of time.
    """
    numbers = np.asarray(heads or (1,) * camera.shape[0])
    words = {"views, bins, planes": _times(camera.shape)}
    for at, head in enumerate(np.unique(numbers)):
        theta = np.rad2deg(camera.theta_rad[numbers == head])
        radii = camera.radius_mm[numbers == head]
        gaps = np.abs((np.diff(theta) + 180) % 360 - 180)
        steps = f", {np.median(gaps):.4g} degrees apart" if gaps.size else ""
        reach = f"{radii.min():.4g}" + (f" to {radii.max():.4g}" if np.ptp(radii) > 0.01 else "")
        first = -90.0 - starts_deg[at] if at < len(starts_deg) else float(theta[0])
        words[f"head {head}"] = (
            f"{theta.size} views{steps}, the first from {_side(first)}; "
            f"collimator {reach} mm from the axis"
        )
    grid = camera.grid()
    return words | {
        "bins": f"{camera.u_mm[0]:.2f} to {camera.u_mm[-1]:.2f} mm, {camera.bin_mm:.4g} mm each",
        "planes": f"{camera.planes} of {camera.plane_mm:.4g} mm, feet to head",
        "field of view": f"radius {camera.fov_mm:.4g} mm",
        "default image": f"{_times(grid.shape)} voxels of {_times(grid.spacing_mm)} mm",
    }


SIDES = (
    "the patient's right", "right and in front", "in front of the patient", "left and in front",
    "the patient's left", "left and behind", "behind the patient", "right and behind",
)  # fmt: skip
"""Where a camera looks from, by eighths of a turn; theta = 0 is R, 90 degrees A."""


def _side(theta_deg: float) -> str:
    """Return in words where a camera at this angle stands."""
    return f"{SIDES[round(theta_deg / 45) % 8]} ({theta_deg % 360:.4g} degrees from R towards A)"


def _image(path: Path) -> dict[str, str]:
    volume = io.read_image(path)
    voxels = volume.voxels
    corner, far = volume.affine[:3, 3], volume.affine @ [*(n - 1 for n in voxels.shape[-3:]), 1]
    return {
        "kind": "image",
        "voxels": _times(voxels.shape[-3:]),
        "frames": str(len(voxels)) if voxels.ndim == 4 else "1",
        "voxel size": f"{_times(volume.spacing_mm)} mm",
        "axes run towards": "".join(str(code) for code in aff2axcodes(volume.affine)),
        "first voxel at": f"{_point(corner)} mm (RAS)",
        "last voxel at": f"{_point(far[:3])} mm (RAS)",
        "unit": volume.unit or "not stated",
        "range": f"{float(voxels.min()):.6g} to {float(voxels.max()):.6g}",
        "sum": f"{float(voxels.sum(dtype=np.float64)):.6g}",
        "not finite": str(int(np.count_nonzero(~np.isfinite(voxels)))),
    }


def _counts(path: Path) -> dict[str, str]:
    from emrecon.io import interfile  # noqa: PLC0415 - an image does not need it

    named = path.parent / parse(path).text("name of data file", default="")
    missing, flight = "", Flight()
    try:
        bins = interfile.read_geometry(path)
    except FormatError as error:  # perhaps only time of flight is not described
        missing, flight = str(error), Flight(summed=True)
        bins = interfile.read_geometry(path, flight)
    words = geometry(bins) | ({"time of flight": f"cannot be used: {missing}"} if missing else {})
    if not named.is_file():
        return {"data": "missing", **words}
    read = interfile.read_projections(path, flight)
    data = read.data
    return {
        **words,
        "sum": f"{float(data.sum(dtype=np.float64)):.6g}",
        "range": f"{float(data.min()):.6g} to {float(data.max()):.6g}",
        "negative bins": str(int(np.count_nonzero(data < 0))),
        "bins that are 0": f"{100 * float(np.mean(data == 0)):.1f} %",
        **_facts(read.facts),
    }


def _listmode(path: Path) -> dict[str, str]:
    from emrecon.io.petlink import sinograms as petlink  # noqa: PLC0415 - brings numba

    counts = petlink.histogram(path, keep_delayeds=False)
    return {
        "kind": "PET list-mode (PETLINK, 32 bit)",
        "prompts": f"{counts.prompt_count:,}",
        "delayeds": f"{counts.delayed_count:,}",
        "duration": f"{counts.duration_s:g} s",
        "events dropped": str(counts.dropped),
        **geometry(counts.bins),
        **_facts(petlink.read_header(path).facts),
    }


def _petsird(path: Path) -> dict[str, str]:
    from emrecon.io.petsird.file import PetsirdFile  # noqa: PLC0415 - brings numba

    file = PetsirdFile(path)
    scanner = file.detectors
    prompts = delayeds = 0
    start, stop = 0, 0
    for number, block in enumerate(file.blocks()):
        prompts, delayeds = prompts + len(block.bins), delayeds + len(block.delayeds)
        start, stop = block.start_ms if not number else start, block.stop_ms
    points = scanner.points_mm
    modules = [f"{t.modules} of {t.elements} crystals, {t.energies} energy" for t in scanner.types]
    timings = [
        f"{t.bins} of {t.width_mm:g} mm, FWHM {t.fwhm_mm:g} mm ({t.fwhm_ps:.0f} ps)"
        for t in scanner.timings.values()
    ]
    return {
        "kind": "PET list-mode (PETSIRD)",
        "prompts": f"{prompts:,}",
        "delayeds": f"{delayeds:,}",
        "time": f"{start / 1000:g} to {stop / 1000:g} s",
        "scanner": scanner.model,
        "crystals": f"{len(points)}, {np.hypot(*points[:, :2].T).max():.1f}"
        " mm from the axis at most",
        "axial": f"{points[:, 2].min():.1f} to {points[:, 2].max():.1f} mm",
        "modules": "; ".join(modules),
        "time-of-flight bins": "; ".join(timings) or "none",
    }


def geometry(bins: Bins) -> dict[str, str]:
    """Return in words where bins lie."""
    phi, tilt = np.rad2deg(bins.phi_rad), bins.plane_tilt_mm
    ranges = [segment.ring_differences for segment in bins.segments]
    grid = bins.grid()
    scanner = bins.scanner
    ring = scanner and (
        f"{scanner.rings} rings of {scanner.crystals} crystals, {scanner.ring_spacing_mm:g} mm "
        f"apart, radius {scanner.radius_mm:g} + {scanner.doi_mm:g} mm"
    )
    return {
        "scanner": scanner.name if scanner else "none: parallel beams",
        **({"rings": ring} if ring else {}),
        "views, bins, planes": _times(bins.shape),
        "views": f"{phi[0]:.4g} to {phi[-1]:.4g} degrees",
        "bins": f"{bins.s_mm[0]:.2f} to {bins.s_mm[-1]:.2f} mm, {bins.bin_mm:.4g} mm in the "
        f"middle, {'' if bins.arc_corrected else 'not '}arc-corrected",
        "segments": f"{len(ranges)}: ring differences {_ranges(ranges)}",
        "tilt": f"{tilt.min():.4g} to {tilt.max():.4g} mm between the ends",
        "axial extent": f"{bins.plane_z_mm.min():.4g} to {bins.plane_z_mm.max():.4g} mm",
        **({"time of flight": _flight(bins.timing)} if bins.timing else {}),
        "field of view": f"radius {bins.fov_mm:.4g} mm",
        "default image": f"{_times(grid.shape)} voxels of {_times(grid.spacing_mm)} mm",
    }


def _flight(timing: Timing) -> str:
    """Return time-of-flight bins and resolution in words."""
    return (
        f"{timing.bins} bins of {timing.width_mm:.4g} mm ({timing.width_ps:.4g} ps) along the "
        f"line, resolution {timing.fwhm_mm:.4g} mm ({timing.fwhm_ps:.4g} ps)"
    )


def _ranges(ranges: list[tuple[int, int]]) -> str:
    """Return the ring differences of all segments, shortened where there are many."""
    words = [str(low) if low == high else f"{low}..{high}" for low, high in ranges]
    return ", ".join(words if len(words) < 14 else [*words[:5], "...", *words[-2:]])


def _facts(facts: dict[str, Any]) -> dict[str, str]:
    skip = {"format", "prompts", "delayeds", "scanner"}
    return {
        key.replace("_", " "): ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
        for key, value in facts.items()
        if key not in skip and value not in (None, "", [])
    }


def _times(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.5g}" for value in values)


def _point(values: Any) -> str:  # noqa: ANN401 - any three numbers
    return "(" + ", ".join(f"{float(value):.3f}" for value in values) + ")"
