"""Which detectors a bin joins: crystals around the ring, rings along the axis.

Crystal ``c`` of a ring of N stands at ``R (sin psi, -cos psi)`` with ``psi = 2 pi c / N``: crystal
0 at the patient's back, numbers growing towards the patient's right. Rings are numbered along +z.

View ``v`` and tangential offset ``t`` (0 at the middle bin, where ``s = 0``) join the crystals

    ``c1 = v + floor(t / 2)``    and    ``c2 = v - ceil(t / 2) + N / 2``    (modulo N),

the interleaved sinogram of ring scanners: two neighbouring angles share a view, the even offsets
at ``phi = 2 pi v / N``, the odd ones half a step lower, both with ``s = R sin(t pi / N)``. Crystal
c1 is end 1 of the line (``l < 0``), c2 end 2. A turn of the axes by 180 degrees, as from the
scanner's axes to the patient's, maps t to -t and leaves the rule as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins, Scanner
from emrecon.volume import Array

Indices = NDArray[np.int32]


def scanner_of(bins: Bins) -> Scanner:
    """Return the scanner of `bins` whose bins are made of whole crystal pairs.

    Raises
    ------
    GeometryError
        If there is no scanner, or bins were resampled (arc correction), or views were left out.
    """
    scanner = bins.scanner
    if scanner is None:
        raise GeometryError("bins without a scanner have no crystals")
    if bins.arc_corrected:
        raise GeometryError("arc-corrected bins are mixtures of crystal pairs: give raw bins")
    views, _, _ = bins.shape
    mash = scanner.crystals // 2 / views
    first = np.deg2rad(scanner.view_offset_deg) + np.pi / scanner.crystals * (mash - 1)
    whole = first + np.arange(views) * np.pi / views
    if scanner.crystals // 2 % views or not np.allclose(bins.phi_rad, whole, atol=1e-6):
        raise GeometryError(
            f"{views} views are not all views of {scanner.name}: detector pairs are known for "
            "whole data, before subsets are taken"
        )
    return scanner


def crystal_pairs(bins: Bins) -> tuple[Indices, Indices]:
    """Return the crystals at end 1 and end 2, each of shape ``(views, bins, mashed views)``."""
    scanner = scanner_of(bins)
    views, count, _ = bins.shape
    half = scanner.crystals // 2
    view = np.arange(half).reshape(views, 1, half // views)
    offset = (np.arange(count) - (count - 1 - count // 2)).reshape(1, count, 1)
    end1 = (view + (offset >> 1)) % scanner.crystals
    end2 = (view - ((offset + 1) >> 1) + half) % scanner.crystals
    return end1.astype(np.int32), end2.astype(np.int32)


def crystal_centres(scanner: Scanner) -> Array:
    """Return where photons interact in each crystal, RAS mm, shape ``(rings * crystals, 3)``.

    Crystal ``c`` of ring ``r`` is number ``r * crystals + c``.
    """
    psi = np.deg2rad(scanner.view_offset_deg)
    psi = psi + 2 * np.pi * np.arange(scanner.crystals) / scanner.crystals
    points = np.empty((scanner.rings, scanner.crystals, 3), np.float32)
    points[..., 0] = scanner.effective_radius_mm * np.sin(psi)
    points[..., 1] = -scanner.effective_radius_mm * np.cos(psi)
    ring = np.arange(scanner.rings) - (scanner.rings - 1) / 2
    points[..., 2] = ring[:, None] * scanner.ring_spacing_mm
    return points.reshape(-1, 3)


def planes_of_rings(bins: Bins) -> Indices:
    """Return the plane of every ring pair, shape ``(rings, rings)`` for ends 1 and 2.

    Pairs whose ring difference no segment gathers have -1. With several ring differences in a
    segment, those of either parity lie in every other plane: a plane holds the pairs of one sum
    of ring numbers.
    """
    if bins.scanner is None:
        raise GeometryError("bins without a scanner have no rings")
    rings = bins.scanner.rings
    ring1, ring2 = np.indices((rings, rings))
    difference, total = ring2 - ring1, ring1 + ring2
    planes = np.full((rings, rings), -1)
    for segment, first in zip(bins.segments, bins.offsets, strict=True):
        least, greatest = segment.ring_differences
        inside = (difference >= least) & (difference <= greatest)
        nearest = 0 if least <= 0 <= greatest else min(abs(least), abs(greatest))
        along = (total - nearest) // (2 if least == greatest else 1)
        planes[inside] = (first + along)[inside]
    return planes.astype(np.int32)


def sum_over_pairs(
    bins: Bins,
    values: NDArray[np.floating],
    along: NDArray[np.floating] | None = None,
    across: NDArray[np.floating] | None = None,
) -> Array:
    """Return, for every bin, the sum over its detector pairs of the product of both values.

    Parameters
    ----------
    bins : Bins
        Raw bins of a ring scanner, of any span and mashing.
    values : array
        A value for each detector, shape ``(rings, crystals)``.
    along : array, optional
        What the products are multiplied by for each ring at end 1 and at end 2.
    across : array, optional
        What they are multiplied by for each ``(view, bin, mashed view)``, as `crystal_pairs`.
    """
    from emrecon.tomo.kernels import histogram  # noqa: PLC0415 - numba only when needed

    scanner = scanner_of(bins)
    if values.shape != (scanner.rings, scanner.crystals):
        raise GeometryError(
            f"values have shape {values.shape}, but {scanner.name} has (rings, crystals) "
            f"{(scanner.rings, scanner.crystals)}"
        )
    planes = planes_of_rings(bins)
    ring1, ring2 = np.nonzero(planes >= 0)
    plane = planes[ring1, ring2]
    order = np.argsort(plane, kind="stable")
    out = np.empty(bins.shape, np.float32)
    ends = crystal_pairs(bins)
    along = np.ones((scanner.rings,) * 2) if along is None else along
    across = np.ones(ends[0].shape) if across is None else across
    histogram.sum_pairs(
        np.ascontiguousarray(values.T, np.float32),
        *ends,
        ring1[order].astype(np.int32),
        ring2[order].astype(np.int32),
        plane[order],
        np.ascontiguousarray(along[ring1, ring2][order], np.float32),
        np.ascontiguousarray(across, np.float32),
        out,
    )
    return out
