"""Exact line integrals of a list of bodies.

A line of a sinogram is the mean line of its bin: through the middle of the bin and, where a
plane gathers several ring pairs (span), halfway between them with their mean tilt. What the
width of crystals and the spread of ring pairs blur is not modelled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins
from phantoms.kernels import lines as kernel
from phantoms.shapes import ROUND, Body

Floats = NDArray[np.float64]
Frames = tuple[Floats, Floats, NDArray[np.int64], Floats, NDArray[np.int64]]


def line_integrals(bodies: Sequence[Body], bins: Bins, values: ArrayLike) -> NDArray[np.float32]:
    """Return the integral of the bodies' values along the line of every bin.

    Lines run from detector to detector, ``l`` within `Bins.half_chord_mm`, and from infinity to
    infinity for parallel beams. Exact but for rounding, whatever the number of threads. With
    `Bins.timing` the integrals are those of each time-of-flight bin: every point of a line counts
    in a bin by the share of the Gaussian, cut off at three standard deviations, between its edges.

    Parameters
    ----------
    bodies : sequence of Body
        Bodies whose values add.
    bins : Bins
        Layout of the result.
    values : array_like
        One value a body, such as ``[body.activity for body in bodies]``.

    Returns
    -------
    ndarray
        Value times mm, shape ``bins.data_shape``, computed in float64.
    """
    kept, weights = _with_values(bodies, values)
    out = np.zeros(bins.data_shape, np.float32)
    if not kept:
        return out
    timing = bins.timing
    segments = np.array([(g.planes, g.first_mm, g.step_mm, g.tilt_mm) for g in bins.segments])
    across = np.column_stack(
        [np.cos(bins.phi_rad), np.sin(bins.phi_rad), np.zeros(bins.phi_rad.size)]
    )
    shadows = np.stack(
        [np.column_stack([across @ b.centre_mm, b.reach_mm(across)]) for b in kept], axis=1
    )
    kernel.sinogram(
        np.ascontiguousarray(bins.phi_rad, np.float64),
        np.ascontiguousarray(bins.s_mm, np.float64),
        bins.half_chord_mm,
        segments,
        frames(kept),
        shadows,
        weights,
        (0.0, 0.0) if timing is None else (timing.sigma_mm, timing.width_mm),
        out.reshape(-1, *bins.shape),
    )
    return out


def pair_integrals(
    bodies: Sequence[Body], starts_mm: ArrayLike, ends_mm: ArrayLike, values: ArrayLike
) -> Floats:
    """Return the integral of the bodies' values along the straight ways between point pairs.

    Parameters
    ----------
    bodies : sequence of Body
        Bodies whose values add.
    starts_mm, ends_mm : array_like
        End points, shape ``(n, 3)`` each.
    values : array_like
        One value a body.

    Returns
    -------
    ndarray
        Value times mm, shape ``(n,)``.
    """
    starts, ends = np.asarray(starts_mm, float), np.asarray(ends_mm, float)
    if starts.ndim != 2 or starts.shape[1] != 3 or starts.shape != ends.shape:
        raise GeometryError(f"end points are (n, 3) each, not {starts.shape} and {ends.shape}")
    total = np.zeros(len(starts))
    for body, value in zip(*_with_values(bodies, values), strict=True):
        total += value * body.chord_mm(starts, ends)
    return total


def frames(bodies: Sequence[Body]) -> Frames:
    """Return bodies as the arrays that kernels take; see `phantoms.kernels.lines.sinogram`."""
    faces = [body.faces for body in bodies]
    return (
        np.stack([body.to_unit[:3, :3] for body in bodies]),
        np.stack([body.centre_mm for body in bodies]),
        np.array([ROUND[body.kind] for body in bodies], np.int64),
        np.vstack(faces),
        np.cumsum([0] + [len(face) for face in faces]).astype(np.int64),
    )


def _with_values(bodies: Sequence[Body], values: ArrayLike) -> tuple[list[Body], Floats]:
    """Return the bodies whose value is not 0, and these values."""
    weights = np.asarray(values, float)
    if weights.shape != (len(bodies),):
        raise GeometryError(f"{len(bodies)} bodies need as many values, not {weights.shape}")
    kept = [body for body, weight in zip(bodies, weights, strict=True) if weight]
    return kept, weights[weights != 0]
