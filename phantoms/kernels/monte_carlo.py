"""Photon pairs through voxels of matter, one by one, to a cylinder of crystals."""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np

from emrecon.compiled import inline, kernel, share

BLOCK = 1 << 14
"""Decays of a block, which has random numbers of its own."""

KEVS = 512
"""Entries of the tables over the energy, one a keV."""

Matter = namedtuple("Matter", "mu low spacing most extra")
"""Attenuation (float32 voxels, 1/mm), corner of the grid and size of voxels in mm, the greatest
attenuation, and by keV the attenuation relative to that at 511 keV."""

Source = namedtuple("Source", "below voxels low spacing")
"""Cumulative activity of the voxels that hold any, their indices ``(n, 3)``, and the grid."""

Ring = namedtuple("Ring", "radius half rings crystals spacing turned accepts least blur")
"""Cylinder of crystals, the angle of crystal 0, and by keV the probability that a photon counts;
below the least energy none does. It is seen where it is but for the blur, a standard deviation in
mm along and around the cylinder."""

_inline = inline()


@_inline
def _seeded(seed: int, block: int, state: np.ndarray) -> None:
    """Fill the state of a generator from a seed and the number of a block (splitmix64)."""
    x = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(block)
    for n in range(4):
        x += np.uint64(0x9E3779B97F4A7C15)
        z = x
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state[n] = z ^ (z >> np.uint64(31))


@_inline
def _uniform(state: np.ndarray) -> float:
    """Return a number above 0 and below 1 (xoshiro256+)."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    result = s0 + s3
    t = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return (np.float64(result >> np.uint64(11)) + 0.5) * (1.0 / (1 << 53))


@_inline
def _deflected(kev: float, state: np.ndarray) -> tuple[float, float]:
    """Return cosine and energy after a Compton scatter, by Kahn's rejection."""
    a = kev / 510.999
    while True:
        r2, r3 = _uniform(state), _uniform(state)
        if _uniform(state) <= (1 + 2 * a) / (9 + 2 * a):
            ratio = 1 + 2 * a * r2
            if r3 <= 4 * (1 / ratio - 1 / (ratio * ratio)):
                return 1 - (ratio - 1) / a, kev / ratio
        else:
            ratio = (1 + 2 * a) / (1 + 2 * a * r2)
            cosine = 1 - (ratio - 1) / a
            if r3 <= 0.5 * (cosine * cosine + 1 / ratio):
                return cosine, kev / ratio


@_inline
def _turned(way: np.ndarray, cosine: float, azimuth: float) -> None:
    """Turn a unit vector by an angle, about itself by an azimuth."""
    sine = math.sqrt(max(0.0, 1 - cosine * cosine))
    a, b = sine * math.cos(azimuth), sine * math.sin(azimuth)
    x, y, z = way[0], way[1], way[2]
    if abs(z) < 0.99:
        across = math.sqrt(x * x + y * y)
        way[0] = cosine * x + (a * x * z - b * y) / across
        way[1] = cosine * y + (a * y * z + b * x) / across
        way[2] = cosine * z - a * across
    else:
        across = math.sqrt(y * y + z * z)
        way[0] = cosine * x - a * across
        way[1] = cosine * y + (a * x * y + b * z) / across
        way[2] = cosine * z + (a * x * z - b * y) / across
    length = math.sqrt(way[0] ** 2 + way[1] ** 2 + way[2] ** 2)
    way[0], way[1], way[2] = way[0] / length, way[1] / length, way[2] / length


@_inline
def _beyond(at: np.ndarray, way: np.ndarray, matter: Matter) -> bool:
    """Return whether a photon is outside the grid and does not come back."""
    for axis in range(3):
        low = matter.low[axis]
        high = low + matter.spacing[axis] * matter.mu.shape[axis]
        if (at[axis] < low and way[axis] <= 0) or (at[axis] > high and way[axis] >= 0):
            return True
    return False


@_inline
def _mu(at: np.ndarray, matter: Matter) -> float:
    """Return the attenuation at a place, 0 outside the grid."""
    i = math.floor((at[0] - matter.low[0]) / matter.spacing[0])
    j = math.floor((at[1] - matter.low[1]) / matter.spacing[1])
    k = math.floor((at[2] - matter.low[2]) / matter.spacing[2])
    n = matter.mu.shape
    if i < 0 or j < 0 or k < 0 or i >= n[0] or j >= n[1] or k >= n[2]:
        return 0.0
    return float(matter.mu[i, j, k])


@_inline
def _tracked(
    at: np.ndarray, way: np.ndarray, matter: Matter, least: float, state: np.ndarray
) -> tuple[float, int, float]:
    """Follow a photon until it has left the matter; return energy, scatters and path.

    The energy is 0 once it is below the least that counts. Woodcock's way: steps as in the
    densest matter, at whose ends the photon scatters with the share that there is of it.
    """
    kev, scatters, path = 510.999, 0, 0.0
    while not _beyond(at, way, matter):
        free = 1.0 / (matter.most * matter.extra[int(kev)])
        step = -math.log(_uniform(state)) * free
        for axis in range(3):
            at[axis] += step * way[axis]
        path += step
        if _uniform(state) * matter.most >= _mu(at, matter):
            continue
        cosine, kev = _deflected(kev, state)
        if kev < least:
            return 0.0, scatters, path
        _turned(way, cosine, 2 * math.pi * _uniform(state))
        scatters += 1
    return kev, scatters, path


@_inline
def _seen_at(z: float, angle: float, ring: Ring, state: np.ndarray) -> tuple[float, float]:
    """Return where along and around the cylinder a photon is seen, by Box and Muller."""
    size = ring.blur * math.sqrt(-2 * math.log(_uniform(state)))
    azimuth = 2 * math.pi * _uniform(state)
    z += size * math.cos(azimuth)
    if abs(z) > ring.half:  # no crystal lies beyond the last
        z = math.copysign(2 * ring.half, z) - z
    return z, angle + size * math.sin(azimuth) / ring.radius


@_inline
def _crystal(at: np.ndarray, way: np.ndarray, ring: Ring, state: np.ndarray) -> tuple[int, float]:
    """Return the crystal that sees a photon cross the cylinder, and the way there; -1 for none."""
    a = way[0] ** 2 + way[1] ** 2
    b = at[0] * way[0] + at[1] * way[1]
    c = at[0] ** 2 + at[1] ** 2 - ring.radius**2
    root = b * b - a * c
    if a < 1e-12 or root < 0:
        return -1, 0.0
    t = (math.sqrt(root) - b) / a
    z = at[2] + t * way[2]
    if abs(z) >= ring.half:
        return -1, 0.0
    angle = math.atan2(at[0] + t * way[0], -at[1] - t * way[1])
    if ring.blur > 0:
        z, angle = _seen_at(z, angle, ring, state)
    row = math.floor((z + ring.half) / ring.spacing)
    if row < 0 or row >= ring.rings:
        return -1, 0.0
    turn = (angle - ring.turned) / (2 * math.pi) * ring.crystals
    return row * ring.crystals + math.floor(turn + 0.5) % ring.crystals, t


@_inline
def _emitted(source: Source, state: np.ndarray, at: np.ndarray, way: np.ndarray) -> None:
    """Draw place and direction of a pair."""
    n = np.searchsorted(source.below, _uniform(state) * source.below[-1], side="right")
    n = min(n, len(source.below) - 1)
    for axis in range(3):
        inside = source.voxels[n, axis] + _uniform(state)
        at[axis] = source.low[axis] + source.spacing[axis] * inside
    way[2] = 2 * _uniform(state) - 1
    across, azimuth = math.sqrt(1 - way[2] ** 2), 2 * math.pi * _uniform(state)
    way[0], way[1] = across * math.cos(azimuth), across * math.sin(azimuth)


@_inline
def _one_block(
    number: int, seed: int, source: Source, matter: Matter, ring: Ring,
    pairs: np.ndarray, orders: np.ndarray, places: np.ndarray,
) -> int:  # fmt: skip
    """Follow the decays of one block; return how many were counted."""
    state = np.empty(4, np.uint64)
    _seeded(seed, number, state)
    at, way = np.empty((2, 3)), np.empty((2, 3))
    count = 0
    for _ in range(BLOCK):
        _emitted(source, state, at[0], way[0])
        for axis in range(3):
            at[1, axis], way[1, axis] = at[0, axis], -way[0, axis]
        accepted, length = 1.0, 0.0
        for end in range(2):
            kev, scatters, path = _tracked(at[end], way[end], matter, ring.least, state)
            if kev == 0.0:
                accepted = 0.0
                break
            crystal, beyond = _crystal(at[end], way[end], ring, state)
            if crystal < 0:
                accepted = 0.0
                break
            accepted *= ring.accepts[int(kev)]
            pairs[count, end], orders[count, end] = crystal, min(scatters, 255)
            length = path + beyond - length
        if accepted > 0 and _uniform(state) < accepted:
            places[count] = -0.5 * length  # of the way to end 2 less that to end 1
            count += 1
    return count


def coincidences(
    first: int, seed: int, source: Source, matter: Matter, ring: Ring,
    pairs: np.ndarray, orders: np.ndarray, places: np.ndarray, counts: np.ndarray,
) -> None:  # fmt: skip
    """Follow blocks of decays from the number `first` on, one a row of the arrays.

    Parameters
    ----------
    first, seed : int
        Number of the first block, and seed.
    source, matter, ring : namedtuple
        Where pairs come from, what they pass, what counts them.
    pairs : uint32 (blocks, BLOCK + 1, 2)
        Gets the crystals, ``ring * crystals + crystal``.
    orders : uint8 (blocks, BLOCK + 1, 2)
        Gets how often each photon was scattered.
    places : float32 (blocks, BLOCK + 1)
        Gets half the difference of their ways, positive where end 2 was nearer.
    counts : int64 (blocks,)
        Gets how many of each block were counted.
    """
    inputs = source, matter, ring, pairs, orders, places, counts
    share(_blocks, len(counts), first, seed, *inputs)


@kernel()
def _blocks(
    begin: int, end: int, first: int, seed: int, source: Source, matter: Matter, ring: Ring,
    pairs: np.ndarray, orders: np.ndarray, places: np.ndarray, counts: np.ndarray,
) -> None:  # fmt: skip
    """Follow some of the blocks."""
    for row in range(begin, end):
        counts[row] = _one_block(
            first + row, seed, source, matter, ring, pairs[row], orders[row], places[row]
        )
