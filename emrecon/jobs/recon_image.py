"""One image of a reconstruction: ready to be iterated, and reconstructed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.brief import brief
from emrecon.em import Iterate
from emrecon.jobs.quantify import Quantity
from emrecon.jobs.region_table import RegionTable
from emrecon.tomo.problem import Problem
from emrecon.tomo.scatter_loop import ScatterEstimate
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Volume
from emrecon.watchers import ConvergenceLog, State


@dataclass(frozen=True, eq=False)
class ImageResult:
    """A frame, a gate or all of a scan, reconstructed."""

    volume: Volume
    """The image."""

    facts: dict[str, Any]
    """What the files said and was counted, for the sidecar."""

    history: ConvergenceLog
    """How every iterate fared."""

    settings: Settings
    """The settings as used."""

    inputs: dict[str, Path]
    """The files that were read."""

    reached: Iterate[Array]
    """The iterate that the image is of."""

    whole: bool
    """Whether its settings ended it, and no other rule."""

    scatter: ScatterEstimate | None = None
    """Its scatter, where that was simulated."""

    mu: Volume | None = None
    """Its attenuation map, where that was estimated."""

    regions: RegionTable | None = None
    """Its regions, where such were named."""

    __repr__ = brief

    @property
    def passes(self) -> int:
        """How many passes were made, a begun one counting."""
        return -(-self.reached.number // self.settings.subsets)


@dataclass(frozen=True, eq=False)
class ReconImage:
    """A frame, a gate or all of a scan, ready to be iterated."""

    name: str
    """Which it is."""

    number: int
    """Its place among the images of the run, from 0."""

    problem: Problem
    """What is iterated; its data are there until the next image is asked for."""

    facts: dict[str, Any]
    """What the files said and was counted, for the sidecar."""

    inputs: dict[str, Path]
    """The files that were read."""

    quantity: Quantity = field(default_factory=Quantity)
    """What counts are multiplied by, and the unit of that."""

    origin_mm: tuple[float, float, float] | None = None
    """Where a camera's own origin lies in the patient."""

    scatter: ScatterEstimate | None = None
    """Its scatter, where that was simulated."""

    mu: Volume | None = None
    """Its attenuation map, where that was estimated."""

    history: ConvergenceLog = field(default_factory=ConvergenceLog)
    """How every iterate fared, while it is iterated."""

    __repr__ = brief

    @property
    def subsets(self) -> int:
        """Number of updates in a pass over the data."""
        return len(self.problem.models)

    @property
    def updates(self) -> int:
        """Most updates that are made."""
        return self.problem.updates

    def volume(self, image: Array) -> Volume:
        """Return an iterate in its unit where it lies in the patient, after the post-filter."""
        volume = self.problem.volume(np.asarray(image))
        if self.quantity != Quantity():
            voxels = volume.voxels * np.float32(self.quantity.scale)
            volume = Volume(voxels, volume.affine, self.quantity.unit)
        if not self.origin_mm:
            return volume
        affine = volume.affine.copy()
        affine[:3, 3] += self.origin_mm
        return Volume(volume.voxels, affine, volume.unit)

    def done(self, reached: Iterate[Array], *, whole: bool, state: State | None) -> ImageResult:
        """Return the image that an iterate is."""
        facts = self.facts | {
            "updates": reached.number,
            "expected_over_prompts": self.problem.balance(reached.params),
            "resumed_at_update": state.number if state else None,
        }
        if self.problem.penalised is not None:
            facts |= self.problem.penalised.report(self.history.rows)
        return ImageResult(
            self.volume(reached.params), facts, self.history, self.problem.settings, self.inputs,
            reached, whole, self.scatter, self.mu,
        )  # fmt: skip
