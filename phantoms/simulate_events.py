"""Simulated list-mode: coincidences of single crystal pairs, each on its own exact line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import DataError, SettingsError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import crystal_pairs, planes_of_rings, scanner_of
from emrecon.volume import Array, Grid, Volume
from phantoms.detection import Efficiencies
from phantoms.lines import line_integrals
from phantoms.phantom import Phantom
from phantoms.simulate import attenuation_factors

Pairs = NDArray[np.uint32]

Counted = tuple[Pairs, NDArray[np.int16]]
"""Crystals at both ends, and time-of-flight bins."""


@dataclass(frozen=True, eq=False)
class EventSimulation:
    """Simulated coincidences, and everything that was known before they were counted."""

    bins: Bins
    """The pairs in coincidence, and the time-of-flight bins."""

    prompts: tuple[Pairs, NDArray[np.int16]]
    """Crystals ``ring * crystals + crystal`` at both ends, and time-of-flight bins, by time."""

    delayeds: tuple[Pairs, NDArray[np.int16]]
    """Delayed coincidences likewise: as many as there are randoms in the mean."""

    efficiencies: Array | None
    """Efficiency of each crystal, shape ``(rings, crystals)``; None for 1."""

    truth: Volume
    """Activity in counts/mm: what a perfect reconstruction of the scan equals."""

    mu: Volume
    """Attenuation map, 1/mm."""

    labels: Volume
    """Label of every voxel's centre."""

    facts: dict[str, Any]
    """Phantom, totals, counts/mm for one unit of the phantom's activity."""

    __repr__ = brief


def simulate_events(  # noqa: PLR0913 - each is one fact of the acquisition
    phantom: Phantom,
    bins: Bins,
    *,
    counts: float,
    rng: np.random.Generator,
    randoms_fraction: float = 0.0,
    efficiencies: Efficiencies | None = None,
    attenuate: bool = True,
    grid: Grid | None = None,
) -> EventSimulation:
    """Count a phantom pair by pair: ``Poisson(scale e1 e2 a (exact line integrals) + randoms)``.

    Lines run between the middles of crystals; those of a sinogram share a view between two
    angles, which is half a crystal's step off for every other one.

    Parameters
    ----------
    phantom : Phantom
        What is in the scanner.
    bins : Bins
        Raw bins of span 1 of a ring scanner, all views, an odd number of tangential positions.
    counts : float
        Expected prompts.
    rng : numpy.random.Generator
        Source of the efficiencies (first) and of the events.
    randoms_fraction : float, optional
        Share of the expected prompts.
    efficiencies : Efficiencies, optional
        How to draw those of the crystals; 1 by default.
    attenuate : bool, optional
        Whether the phantom attenuates.
    grid : Grid, optional
        Voxels of the truth; ``bins.grid()`` by default.

    Raises
    ------
    SettingsError
        If counts or fractions make no sense, or bins gather several crystal pairs.
    DataError
        If no pair sees the phantom.
    """
    if not (counts > 0 and 0 <= randoms_fraction < 1):
        raise SettingsError(
            "counts are above zero and randoms a share from 0 to below 1, unlike "
            f"{counts} and {randoms_fraction}"
        )
    check_single_pairs(bins)
    eff = None
    if efficiencies is not None:
        eff = efficiencies.crystals(scanner_of(bins), rng).astype(np.float32)
    crystals = _crystals(bins)
    means = [_mean(phantom, bins, half, attenuate=attenuate) for half in (0, 1)]
    gains = [
        np.broadcast_to(1.0 if eff is None else eff.ravel()[ends].prod(axis=0), ends.shape[1:])
        for ends in crystals
    ]
    total = sum(np.vdot(mean.sum(axis=0), gain) for mean, gain in zip(means, gains, strict=True))
    if not total > 0:
        raise DataError("no detector pair sees the phantom: is it in the field of view?")
    scale = counts * (1 - randoms_fraction) / float(total)
    chance = counts * randoms_fraction / sum(gain.sum(dtype=np.float64) for gain in gains)
    prompts, delayeds = [], []
    for ends, mean, gain in zip(crystals, means, gains, strict=True):
        late = np.broadcast_to(chance / len(mean) * gain, mean.shape)
        prompts.append((ends, rng.poisson(mean * gain * scale + late)))
        delayeds.append((ends, rng.poisson(late)))
    grid = bins.grid() if grid is None else grid
    activity = phantom.activity(grid)
    return EventSimulation(
        bins,
        _events(prompts, rng),
        _events(delayeds, rng),
        eff,
        Volume(activity.voxels * np.float32(scale), activity.affine, "counts/mm"),
        phantom.mu_of_all(grid),
        phantom.label_map(grid),
        {
            "phantom": phantom.name,
            "labels": dict(phantom.labels),
            "expected_prompts": float(counts),
            "randoms_fraction": float(randoms_fraction),
            "attenuated": attenuate,
            "counts_per_mm_per_unit": scale,
            "activity_unit": phantom.unit,
        },
    )


def check_single_pairs(bins: Bins) -> None:
    """Refuse bins that gather several crystal pairs, or lack one of two mirrored positions."""
    views, count, _ = bins.shape
    single = all(len(set(segment.ring_differences)) == 1 for segment in bins.segments)
    if not single or views * 2 != scanner_of(bins).crystals or count % 2 == 0:
        raise SettingsError(
            "events are of single crystal pairs: span 1, all views and an odd number of "
            f"tangential positions are needed, not {views} views and {count} positions"
        )


def _halves(bins: Bins) -> tuple[slice, slice]:
    """Return the even and the odd tangential offsets."""
    first = (bins.s_mm.size - 1 - bins.s_mm.size // 2) % 2
    return slice(first, None, 2), slice(1 - first, None, 2)


def _crystals(bins: Bins) -> list[NDArray[np.uint32]]:
    """Return the crystals at both ends by parity, each ``(2, views, bins, planes)``."""
    planes = planes_of_rings(bins)
    rings = np.empty((2, bins.planes), np.int64)
    for ring1, ring2 in zip(*np.nonzero(planes >= 0), strict=True):
        rings[:, planes[ring1, ring2]] = ring1, ring2
    around = np.stack([end[..., 0] for end in crystal_pairs(bins)])
    crystals = scanner_of(bins).crystals
    return [
        (rings[:, None, None, :] * crystals + around[:, :, half, None]).astype(np.uint32)
        for half in _halves(bins)
    ]


def _mean(phantom: Phantom, bins: Bins, half: int, *, attenuate: bool) -> Array:
    """Return the attenuated integrals of every other tangential offset at their true angles."""
    step = np.pi / scanner_of(bins).crystals
    some = replace(bins, phi_rad=bins.phi_rad - half * step, s_mm=bins.s_mm[_halves(bins)[half]])
    mean = line_integrals(phantom.bodies, some, phantom.activities)
    np.maximum(mean, 0, out=mean)  # rounding, where bodies cancel
    if attenuate:
        mean *= attenuation_factors(phantom, some)
    return mean if bins.timing else mean[None]


def events_of(
    bins: Bins,
    gains: NDArray[np.floating],
    chance: float,
    rng: np.random.Generator,
    counted: tuple[list[Pairs], list[NDArray[np.int16]]],
) -> tuple[Counted, Counted]:
    """Return prompts of what was counted and of randoms, and delayeds, each in an order drawn.

    Parameters
    ----------
    bins : Bins
        Bins of single pairs.
    gains : array
        Efficiency of each crystal, shape ``(rings, crystals)``.
    chance : float
        Randoms to expect.
    rng : numpy.random.Generator
        Source of what is random.
    counted : tuple of list
        Pairs and time-of-flight bins.
    """
    tofs = bins.timing.bins if bins.timing else 1
    ends = _crystals(bins)
    rates = [gains.ravel()[each].prod(axis=0) for each in ends]
    share = chance / tofs / sum(float(rate.sum(dtype=float)) for rate in rates)
    late = [np.broadcast_to(rate * share, (tofs, *rate.shape)) for rate in rates]
    both = [
        [(each, rng.poisson(mean)) for each, mean in zip(ends, late, strict=True)]
        for _ in range(2)
    ]
    return _events(both[0], rng, *counted), _events(both[1], rng)


def _events(
    counted: list[tuple[NDArray[np.uint32], NDArray[np.int64]]],
    rng: np.random.Generator,
    pairs: Sequence[Pairs] = (),
    tofs: Sequence[NDArray[np.int16]] = (),
) -> Counted:
    """Return one event for every count, and those that are events, in an order drawn at random."""
    pairs, tofs = list(pairs), list(tofs)
    for crystals, counts in counted:
        tof, place = np.nonzero(counts.reshape(len(counts), -1))
        often = counts.reshape(len(counts), -1)[tof, place]
        pairs.append(np.repeat(crystals.reshape(2, -1).T[place], often, axis=0))
        tofs.append(np.repeat(tof.astype(np.int16), often))
    order = rng.permutation(sum(map(len, tofs)))
    return np.concatenate(pairs)[order], np.concatenate(tofs)[order]
