"""Simulated scans by Monte Carlo: photon pairs one by one, each scatter known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import DataError, SettingsError
from emrecon.tomo.corrections.bin_places import turned_places
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import scanner_of, sum_over_pairs
from emrecon.tomo.geometry.energy import REST_KEV
from emrecon.tomo.geometry.tof import SIGMAS, Timing
from emrecon.tomo.scan import Scan
from emrecon.volume import Array, Grid, Volume
from phantoms.detection import Efficiencies
from phantoms.monte_carlo import Coincidences, facing, followed, pairs_a_decay
from phantoms.phantom import Phantom
from phantoms.simulate import Simulation, attenuation_factors, drawn
from phantoms.simulate_events import EventSimulation, check_single_pairs, events_of

Places = NDArray[np.int64]

BODY_MM = 2.0
"""Voxels of the body that photons pass."""

BARREN = 1 << 22
"""Decays without a coincidence after which nothing is taken to be seen."""


ORDERS = ("trues", "single", "multiple")
"""Coincidences by how often their photons were scattered: never, once, more often."""


@dataclass(frozen=True, eq=False)
class PhotonScan:
    """What is scanned by Monte Carlo, and how."""

    phantom: Phantom
    """What is in the scanner."""

    bins: Bins
    """Where counts lie: raw bins of all views of a ring scanner."""

    counts: float
    """Expected prompts; whatever is random follows Poisson."""

    rng: np.random.Generator
    """Source of the efficiencies (first), and of all that is counted."""

    randoms_fraction: float = 0.0
    """Share of the prompts that are randoms."""

    efficiencies: Efficiencies | None = None
    """How to draw those of the crystals; 1 by default."""

    attenuate: bool = True
    """Whether the phantom attenuates, and so scatters."""

    resolution_mm: float = 0.0
    """FWHM of the detectors' blur, see `phantoms.monte_carlo.followed`."""

    __repr__ = brief

    def __post_init__(self) -> None:
        scanner = scanner_of(self.bins)
        if not (self.counts > 0 and 0 <= self.randoms_fraction < 1):
            raise SettingsError(
                "counts are above zero and randoms a share from 0 to below 1, unlike "
                f"{self.counts} and {self.randoms_fraction}"
            )
        if scanner.energy is None:
            raise SettingsError(
                f"the energy window of {scanner.name} is not known, which Monte Carlo needs: "
                "choose another scanner"
            )

    @cached_property
    def gains(self) -> NDArray[np.float64]:
        """Efficiency of each crystal, shape ``(rings, crystals)``."""
        scanner = scanner_of(self.bins)
        if self.efficiencies is None:
            return np.ones((scanner.rings, scanner.crystals))
        return self.efficiencies.crystals(scanner, self.rng)

    @cached_property
    def body(self) -> tuple[Volume, Volume]:
        """Activity and attenuation of all of the phantom, beyond the scanner's ends too."""
        low, high = self.phantom.bounds_mm
        i, j, k = (int(n) for n in np.ceil((high - low) / BODY_MM) + 3)
        x, y, z = (float(value) for value in low - BODY_MM)
        grid = Grid((i, j, k), (BODY_MM,) * 3, (x, y, z))
        mu = self.phantom.mu(grid)
        if not self.attenuate:
            mu = Volume(np.zeros_like(mu.voxels), mu.affine, mu.unit)
        return self.phantom.activity(grid), mu

    def seen(self, even: Array | None = None) -> Iterator[tuple[Coincidences, Places]]:
        """Yield coincidences with their bins until there are as many as there shall be.

        Parameters
        ----------
        even : array, optional
            What each bin and plane shall count less than it does, shape ``(bins, planes)``.
        """
        wanted = int(self.rng.poisson(self.counts * (1 - self.randoms_fraction)))
        have, tried, greatest = 0, 0.0, self.gains.max()
        activity, mu = self.body
        seed = int(self.rng.integers(1 << 31))
        scanner = scanner_of(self.bins)
        for some in followed(activity, mu, scanner, seed, resolution_mm=self.resolution_mm):
            place, turned = turned_places(self.bins, some.pairs)
            share = self.gains.ravel()[some.pairs].prod(axis=1) / greatest**2
            if even is not None:
                share *= even.ravel()[np.maximum(place, 0) % even.size]
            kept = np.flatnonzero((place >= 0) & (self.rng.random(len(share)) < share))
            last = kept[: wanted - have]
            decays = some.decays * len(last) / max(len(kept), 1) if len(last) else some.decays
            have, tried = have + len(last), tried + some.decays
            yield some.turned(turned).of(last, decays), place[last]
            if have >= wanted:
                return
            if not have and tried > BARREN:
                raise DataError("no detector pair sees the phantom: is it in the field of view?")

    def scale(self, decays: float) -> float:
        """Return the counts/mm that one unit of activity is, for efficiencies of `gains`."""
        activity, _ = self.body
        window = scanner_of(self.bins).energy
        assert window is not None  # noqa: S101 - refused above
        one = pairs_a_decay(self.bins, float(activity.voxels.sum(dtype=float)) * BODY_MM**3)
        return float(decays * one * window.accepts(REST_KEV) ** 2 / self.gains.max() ** 2)

    def facts(self, scale: float, orders: list[int], decays: float) -> dict[str, Any]:
        """Return what is known about the scan."""
        scattered = orders[1] + orders[2]
        return {
            "phantom": self.phantom.name,
            "labels": dict(self.phantom.labels),
            "expected_prompts": float(self.counts),
            "randoms_fraction": float(self.randoms_fraction),
            "scatter_fraction": scattered / max(orders[0] + scattered, 1),
            "multiple_over_single": orders[2] / max(orders[1], 1),
            "decays": float(decays),
            "attenuated": self.attenuate,
            "counts_per_mm_per_unit": scale,
            "activity_unit": self.phantom.unit,
        }


def simulate_photons(scan: PhotonScan, grid: Grid | None = None) -> Simulation:
    """Count a phantom photon pair by photon pair.

    The efficiency of a bin is the sum over its crystal pairs, times how well they face each
    other. Randoms are the same for every crystal pair, times its efficiency, and in every
    time-of-flight bin. The scan has no scatter to correct with: `Simulation.orders` knows it.

    Parameters
    ----------
    scan : PhotonScan
        What is scanned, and how.
    grid : Grid, optional
        Voxels of the truth; those of the bins by default.
    """
    bins, timing = scan.bins, scan.bins.timing
    pairs = sum_over_pairs(bins, scan.gains)
    orders = np.zeros((3, *bins.data_shape), np.float32)
    decays = 0.0
    for some, place in scan.seen():
        tof = tof_of(some, timing, scan.rng)
        live = tof >= 0
        at = np.ravel_multi_index(
            (np.minimum(some.scatters, 2)[live], tof[live], place[live]),
            (3, timing.bins if timing else 1, pairs.size),
        )
        np.add.at(orders.reshape(-1), at, np.float32(1))
        decays += some.decays
    randoms = None
    if scan.randoms_fraction:
        share = scan.counts * scan.randoms_fraction / float(pairs.sum(dtype=float))
        randoms = pairs * np.float32(share)
    mean = orders.sum(axis=0)
    prompts = mean
    if randoms is not None:
        each = np.float32(1 / (timing.bins if timing else 1))
        late: Array = np.broadcast_to(randoms * each, bins.data_shape)
        prompts, mean = mean + drawn(late, scan.rng), mean + late
    efficiency = pairs * facing(bins).astype(np.float32)
    scale = scan.scale(decays)
    facts = scan.facts(scale, [int(order.sum(dtype=float)) for order in orders], decays)
    attenuation = attenuation_factors(scan.phantom, bins) if scan.attenuate else None
    counted = Scan(bins, prompts, efficiency, attenuation, randoms, facts=dict(facts))
    truth, labels = _truth(scan, scale, grid)
    return Simulation(
        counted, truth, scan.body[1], labels, mean, facts, dict(zip(ORDERS, orders, strict=True))
    )


def simulate_photon_events(scan: PhotonScan, grid: Grid | None = None) -> EventSimulation:
    """Count a phantom photon pair by photon pair, and keep each.

    Pairs that face each other well are counted less, so that all are as efficient as their
    crystals alone.

    Parameters
    ----------
    scan : PhotonScan
        What is scanned, and how: span 1, all views, an odd number of tangential positions.
    grid : Grid, optional
        Voxels of the truth; those of the bins by default.
    """
    check_single_pairs(scan.bins)
    timing, even = scan.bins.timing, facing(scan.bins)
    pairs, tofs, decays, orders = [], [], 0.0, np.zeros(3, np.int64)
    for some, _ in scan.seen((even.min() / even).astype(np.float32)):
        tof = tof_of(some, timing, scan.rng)
        live = tof >= 0
        pairs.append(some.pairs[live])
        tofs.append(tof[live].astype(np.int16))
        orders += np.bincount(np.minimum(some.scatters, 2)[live], minlength=3)
        decays += some.decays
    chance = scan.counts * scan.randoms_fraction
    prompts, delayeds = events_of(scan.bins, scan.gains, chance, scan.rng, (pairs, tofs))
    scale = scan.scale(decays) * float(even.min())
    truth, labels = _truth(scan, scale, grid)
    efficiencies = None if scan.efficiencies is None else scan.gains.astype(np.float32)
    facts = scan.facts(scale, [int(order) for order in orders], decays)
    return EventSimulation(
        scan.bins, prompts, delayeds, efficiencies, truth, scan.body[1], labels, facts
    )


def tof_of(some: Coincidences, timing: Timing | None, rng: np.random.Generator) -> Places:
    """Return the time-of-flight bin of each coincidence, drawn; -1 for none."""
    if timing is None:
        return np.zeros(len(some.pairs), np.int64)
    blur = rng.standard_normal(len(some.pairs))
    beyond = np.abs(blur) > SIGMAS
    while beyond.any():
        blur[beyond] = rng.standard_normal(int(beyond.sum()))
        beyond = np.abs(blur) > SIGMAS
    at = (some.places_mm + timing.sigma_mm * blur) / timing.width_mm + timing.bins / 2
    tof = np.floor(at).astype(np.int64)
    return np.where((tof >= 0) & (tof < timing.bins), tof, -1)


def _truth(scan: PhotonScan, scale: float, grid: Grid | None) -> tuple[Volume, Volume]:
    """Return the activity in counts/mm, and the labels."""
    grid = scan.bins.grid() if grid is None else grid
    activity = scan.phantom.activity(grid)
    truth = Volume(activity.voxels * np.float32(scale), activity.affine, "counts/mm")
    return truth, scan.phantom.label_map(grid)
