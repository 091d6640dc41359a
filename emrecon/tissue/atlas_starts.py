"""Where the alignment of an atlas starts, and how far it went."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.align import REACH_MM, Alignment
from emrecon.tissue.kernels import atlas as kernel

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

OVERLAP = 0.1
"""Share of an image's points in the brain of the maps from which headers are worth a start."""


def starting_maps(aligned: Alignment, maps: Floats32, affine: Floats) -> list[Floats]:
    """Return image mm to atlas mm: with the middles together, and as the headers have it.

    The headers' map takes part only if it puts a tenth of the image's points into the brain of the
    maps; from farther off there is no slope to climb.
    """
    corner = maps[:: maps.shape[0] - 1, :: maps.shape[1] - 1, :: maps.shape[2] - 1]
    inner = maps[..., corner.mean(axis=(0, 1, 2)) < 0.5]  # some maps count what is outside as CSF
    total = (inner if inner.shape[3] else maps).sum(axis=3)
    index = np.stack(np.nonzero(total > 0.5), axis=1)
    brain = (index @ affine[:3, :3].T + affine[:3, 3]).mean(axis=0)
    shown = aligned.places[aligned.bins > 0] * REACH_MM + aligned.middle
    bright = aligned.places[aligned.bins > np.median(aligned.bins)] * REACH_MM + aligned.middle
    starts = []
    for middle in (aligned.middle, bright.mean(axis=0), aligned.middle + np.array([0, 0, 30.0])):
        starts.append(np.eye(4))
        starts[-1][:3, 3] = brain - middle
    out = np.empty((len(shown), maps.shape[3]), np.float32)
    to_maps = np.linalg.inv(affine)
    kernel.sample(maps, shown @ to_maps[:3, :3].T + to_maps[:3, 3], out)
    if (out.sum(axis=1) > 0.5).mean() > OVERLAP:
        starts.append(np.eye(4))
    return starts


def quarter_turns() -> list[Floats]:
    """Return the 23 turns that bring axes onto axes, no mirror images, without the one at rest."""
    turns = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = signs
            if np.linalg.det(turn) > 0 and not np.array_equal(turn, np.eye(3)):
                turns.append(turn)
    return turns


def angle(one: Floats, two: Floats) -> float:
    """Return by how many degrees two maps turn differently."""
    parts = []
    for matrix in (one, two):
        left, _, right = np.linalg.svd(matrix[:3, :3])
        parts.append(left @ right)
    cosine = (np.trace(parts[0].T @ parts[1]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def shift_mm(matrix: Floats, middle: Floats) -> float:
    """Return by how much a map moves the middle of an image."""
    return float(np.linalg.norm(matrix[:3, :3] @ middle + matrix[:3, 3] - middle))
