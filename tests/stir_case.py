"""The STIR OSEM case: its files in emrecon's axes and units, its subsets, and how to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.em import em, until
from emrecon.io import interfile
from emrecon.stop import after
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.operators.algebra import Operator
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.siddon import Siddon
from emrecon.tomo.prepare import recon
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Grid

VOXEL_MM = (4.44114, 4.44114, 3.375)
SIZE = (60, 60, 31)
# STIR counts voxels from -n // 2, so that the middle of an even grid lies half a voxel off the
# axis: towards R and A once turned to RAS.
CENTRE_MM = (VOXEL_MM[0] / 2, VOXEL_MM[1] / 2, 0.0)
SUBSETS = 12
FILTER_MM = 10.0

System = Callable[[Bins], Operator]


@dataclass(frozen=True)
class Case:
    """Counts and STIR's images."""

    folder: Path

    @cached_property
    def scan(self) -> Scan:
        prompts = interfile.read_projections(self.folder / "prompts.hs")
        additive = interfile.read_projections(self.folder / "additive.hs")
        return Scan(prompts.bins, prompts.data, scatter=additive.data)

    @cached_property
    def grid(self) -> Grid:
        return self.scan.bins.grid(VOXEL_MM, SIZE, CENTRE_MM)

    def stir(self, name: str) -> Array:
        """Return an array of STIR's in RAS: stored [z, y, x] towards I, P, L."""
        return np.ascontiguousarray(np.load(self.folder / name)[::-1, ::-1, ::-1].T)

    @cached_property
    def start(self) -> Array:
        """STIR's start image, 1 inside the field of view, in counts per mm."""
        return interfile.read_image(self.folder / "init.hv").volume.voxels / VOXEL_MM[0]

    @cached_property
    def source(self) -> Array:
        """The activity that the counts were drawn from, without its noise."""
        return Blur(self.grid, (FILTER_MM,) * 3).forward(self.stir("source_image.npy"))

    @cached_property
    def inside(self) -> np.ndarray:
        """Where the source is above half its median."""
        typical = np.median(self.source[self.source > 0.1 * self.source.max()])
        return self.source > typical / 2

    @cached_property
    def regions(self) -> dict[str, np.ndarray]:
        """The end planes; axial thirds, quadrants and thirds of activity of the rest."""
        k = np.arange(SIZE[2])
        ends = self.inside & ((k == 0) | (k == SIZE[2] - 1))
        rest = self.inside & ~ends
        found = {"end planes": ends}
        for name, planes in zip(
            ("lower", "middle", "upper"), np.array_split(k[1:-1], 3), strict=True
        ):
            found[f"{name} planes"] = rest & np.isin(k, planes)
        x, y = self.grid.centres_mm(0)[:, None, None], self.grid.centres_mm(1)[:, None]
        for name, where in {"right": x > 0, "left": x <= 0}.items():
            found[f"{name} anterior"] = rest & where & (y > 0)
            found[f"{name} posterior"] = rest & where & (y <= 0)
        low, high = np.quantile(self.source[rest], [1 / 3, 2 / 3])
        found["low activity"] = rest & (self.source < low)
        found["medium activity"] = rest & (self.source >= low) & (self.source < high)
        found["high activity"] = rest & (self.source >= high)
        return found

    def nrms(self, found: Array, wanted: Array, where: np.ndarray | None = None) -> float:
        """Return the root mean square of the difference over that of `wanted`."""
        where = self.inside if where is None else where
        return float(np.linalg.norm((found - wanted)[where]) / np.linalg.norm(wanted[where]))

    def ratios(self, found: Array, wanted: Array) -> dict[str, float]:
        """Return the mean of every region as a share of the wanted one, less 1."""
        return {
            name: float(found[where].mean(dtype=float) / wanted[where].mean(dtype=float) - 1)
            for name, where in self.regions.items()
        }

    def displacement(self, found: Array, wanted: Array) -> list[float]:
        """Return how far `found` lies from `wanted` along each axis, in voxels.

        Where the parabola through the squared differences at -1, 0, +1 voxel is lowest; without
        the planes at either end, whose steps would pull it along.
        """
        where = self.inside.copy()
        where[:, :, :3] = where[:, :, -3:] = False
        here = self.nrms(found, wanted, where) ** 2
        moved = []
        for axis in range(3):
            down, up = (self.nrms(np.roll(found, n, axis), wanted, where) ** 2 for n in (-1, 1))
            moved.append((up - down) / 2 / (up + down - 2 * here))
        return moved

    def filtered(self, image: Array) -> Array:
        return Blur(self.grid, (FILTER_MM,) * 3).forward(image)

    def noiseless(self) -> Array:
        """Return the mean counts of the source, as many as were measured, by STIR's rays."""
        scan = self.scan
        counts = Siddon(self.grid, scan.bins).forward(self.source)
        signal = scan.prompts.sum(dtype=float) - scan.scatter.sum(dtype=float)
        return counts * np.float32(signal / counts.sum(dtype=float)) + scan.scatter

    def osem(
        self,
        system: System,
        counts: Array | None = None,
        subsets: list[list[int]] | None = None,
        at: Iterable[int] = (48,),
    ) -> dict[int, Array]:
        """Run OSEM from STIR's start, by default over its subsets in its order; in its units."""
        scan, models = self.scan, []
        counts = scan.prompts if counts is None else counts
        for views in subsets or stir_subsets(scan.bins.shape[0]):
            bins = replace(scan.bins, phi_rad=scan.bins.phi_rad[views])
            likelihood = Emission(system(bins), counts[views], None, scan.scatter[views])
            models.append(Mlem(likelihood))
        iterates = until(em(cycle(models), self.start), after(max(at)))
        return {i.number: i.params * VOXEL_MM[0] for i in iterates if i.number in at}

    def product(self, **choices: Any) -> Array:
        """Run OSEM as ``emrecon recon`` does, at 48 updates; in STIR's units."""
        settings = Settings(
            subsets=SUBSETS,
            voxel_mm=VOXEL_MM,
            size=SIZE,
            centre_mm=CENTRE_MM,
            iterations=4,
        )
        return recon(self.scan, replace(settings, **choices)).voxels * VOXEL_MM[0]

    def siddon(self, bins: Bins) -> Operator:
        return Siddon(self.grid, bins)

    def joseph(self, bins: Bins) -> Operator:
        return JosephProjector(self.grid, bins, bins.fov_mm)

    def joseph_ring_wide(self, bins: Bins) -> Operator:
        return JosephProjector(self.grid, bins, bins.fov_mm, ring_wide=True)


def stir_subsets(views: int) -> list[list[int]]:
    """Return STIR's subsets: views that mirror each other stay together.

    Every view is mirrored onto one of the first eighth of a turn (0 to views / 4); those count.
    """
    turned = np.arange(views) % (views // 2)
    basic = np.minimum(turned, views // 2 - turned)
    return [np.flatnonzero(basic % SUBSETS == n).tolist() for n in range(SUBSETS)]
