"""What files hold and how their geometry is understood, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Volume

if TYPE_CHECKING:
    from emrecon.io.spect import Projections

_SHEAR = 1e-3  # cosine between axes, more than headers are rounded to


def image_summary(volume: Volume) -> dict[str, str]:
    """Return where voxels lie and what they hold."""
    from nibabel.orientations import aff2axcodes  # noqa: PLC0415 - not for other kinds of files

    voxels = volume.voxels
    shown = voxels[np.isfinite(voxels)]
    corner, far = volume.affine[:3, 3], volume.affine @ [*(n - 1 for n in voxels.shape[-3:]), 1]
    return {
        "kind": "image",
        "voxels": _times(voxels.shape[-3:]),
        "frames": str(len(voxels)) if voxels.ndim == 4 else "1",
        "voxel size": f"{_times(volume.spacing_mm)} mm",
        "axes run towards": "".join(map(str, aff2axcodes(volume.affine))) + _sheared(volume),
        "first voxel at": f"{_point(corner)} mm (RAS)",
        "last voxel at": f"{_point(far[:3])} mm (RAS)",
        "unit": volume.unit or "not stated",
        "range": f"{float(shown.min()):.6g} to {float(shown.max()):.6g}" if shown.size else "none",
        "sum": f"{float(shown.sum(dtype=np.float64)):.6g}",
        "not finite": str(voxels.size - shown.size),
    }


def _sheared(volume: Volume) -> str:
    """Return by how much axes are not at right angles, where they are not."""
    along = volume.affine[:3, :3] / np.asarray(volume.spacing_mm)
    most = float(np.abs(along.T @ along - np.eye(3)).max())
    degrees = float(np.degrees(np.arcsin(min(most, 1))))
    return f", sheared by {degrees:.3g} degrees" if most > _SHEAR else ""


def spect_summary(read: Projections) -> dict[str, str]:
    """Return where a gamma camera's counts lie, by energy window, and how they were acquired."""
    origin = read.origin_mm
    below, above = read.scatter_windows()
    scatter = [str(read.windows[n]) for n in (below, above) if n is not None]
    listed = "; ".join(f"{number} {window}" for number, window in enumerate(read.windows, 1))
    counts = read.counts if read.counts is not None else read.data[None]
    sums = ", ".join(f"{float(window.sum(dtype=np.float64)):.6g}" for window in counts)
    return {
        "kind": f"SPECT projections ({read.facts.get('format', 'unknown format')})",
        **camera_summary(read.camera, read.heads, read.facts.get("start_angle_deg", [])),
        "axis of rotation": "not known in the patient's coordinates: "
        f"{read.facts.get('origin_from', 'the file does not say')}; images are centred on it"
        if origin is None
        else f"middle of the projections at {_point(origin)} mm (RAS), "
        f"from {read.facts.get('origin_from')}",
        "energy windows": listed or "not stated",
        "sum of each window": sums,
        "scatter windows": "; ".join(scatter) or "none beside the one chosen",
        **facts_summary({key: fact for key, fact in read.facts.items() if key != "heads"}),
    }


def camera_summary(
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


def bins_summary(bins: Bins) -> dict[str, str]:
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


def facts_summary(facts: dict[str, Any]) -> dict[str, str]:
    """Return what else a file says, by name."""
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
