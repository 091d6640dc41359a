"""The images that a reconstruction makes: of each, the problem that is iterated."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emrecon.em import Iterate
from emrecon.errors import SettingsError
from emrecon.io.frames import Frame, read_frames
from emrecon.io.gates import Gating, gates_of
from emrecon.io.scan import open_events, read_scan
from emrecon.jobs.base import Execution, Meters
from emrecon.jobs.data_kinds import EVENTS
from emrecon.tomo.camera_setup import about_axis
from emrecon.tomo.gates import Gate, When
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_recon import GROUPS, sensitivity_of
from emrecon.tomo.listmode_recon import prepare as prepare_events
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.recon import UNIT, Problem, prepare
from emrecon.tomo.scan import Scan
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings
from emrecon.volume import Array, Volume
from emrecon.watchers import ConvergenceLog, State

if TYPE_CHECKING:
    from emrecon.jobs.recon import ReconstructionJob
    from emrecon.jobs.recon_result import ImageResult

UNIT_OF_FRAMES = "counts/mm/s"
"""Unit of frames and gates, which are rates so that they compare."""

Stretch = Frame | Gate | None
"""What of a scan one image is made of; None for all of it."""


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

    scale: float = 1.0
    """What counts are multiplied by: 1, or for a rate, brought to the start if so asked."""

    unit: str = UNIT
    """Unit of the image, where no calibration gives another."""

    origin_mm: tuple[float, float, float] | None = None
    """Where a camera's own origin lies in the patient."""

    history: ConvergenceLog = field(default_factory=ConvergenceLog)
    """How every iterate fared, while it is iterated."""

    @property
    def subsets(self) -> int:
        """Updates in a pass over the data."""
        return len(self.problem.models)

    @property
    def updates(self) -> int:
        """Most updates that are made."""
        return self.problem.settings.iterations * self.subsets

    def volume(self, image: Array) -> Volume:
        """Return an iterate in its unit where it lies in the patient, after the post-filter."""
        volume = self.problem.volume(np.asarray(image))
        if self.unit != UNIT:
            voxels = volume.voxels * np.float32(self.scale)
            volume = Volume(voxels, volume.affine, self.unit)
        if not self.origin_mm:
            return volume
        affine = volume.affine.copy()
        affine[:3, 3] += self.origin_mm
        return Volume(volume.voxels, affine, volume.unit)

    def done(self, reached: Iterate[Array], *, whole: bool, state: State | None) -> ImageResult:
        """Return the image that an iterate is."""
        from emrecon.jobs.recon_result import ImageResult  # noqa: PLC0415 - with the run

        facts = self.facts | {
            "updates": reached.number,
            "resumed_at_update": state.number if state else None,
        }
        return ImageResult(
            self.volume(reached.params), facts, self.history, self.problem.settings, self.inputs,
            reached, whole,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Images:
    """What a reconstruction makes images of."""

    job: ReconstructionJob
    """What is reconstructed."""

    path: Path
    """The prompts or events: what a manifest names, where there is one."""

    corrections: Corrections
    """Files with corrections, those of a manifest too."""

    data: str
    """What is reconstructed, in the words of `emrecon.jobs.data_kinds`."""

    execution: Execution
    """Cache, workers."""

    key: str
    """Name of what is kept in the cache."""

    meters: Meters
    """Makes the progress bars."""

    stretches: tuple[Stretch, ...] = field(init=False)
    """What each image is made of."""

    gates: dict[str, Any] = field(init=False)
    """What is known about gates."""

    def __post_init__(self) -> None:
        stretches, gates = _stretches(self)
        object.__setattr__(self, "stretches", stretches)
        object.__setattr__(self, "gates", gates)

    @property
    def names(self) -> tuple[str, ...]:
        """What each image is called."""
        return tuple(self._name(n, stretch) for n, stretch in enumerate(self.stretches, 1))

    def ready(self) -> Generator[ReconImage]:
        """Yield one image after another, ready to be iterated; close what yields them."""
        kept, tables = _Sensitivity(), self.job.listmode.tables()
        for number, stretch in enumerate(self.stretches):
            with self._scan(stretch) as (scan, files):
                _check_end(stretch, _duration_s(scan))
                facts = self._facts(scan)
                problem = self._problem(scan, kept)
                facts |= problem.facts
                scale, unit = 1.0, UNIT
                if stretch is not None:
                    factor = self._decay(stretch, scan)
                    facts["decay_factor"] = factor
                    scale, unit = factor / _seconds(stretch, scan), UNIT_OF_FRAMES
                origin = scan.origin_mm if isinstance(scan, Scan) else None
                yield ReconImage(
                    self.names[number], number, problem, facts, files | tables, scale, unit, origin
                )

    @contextmanager
    def _scan(self, stretch: Stretch) -> Iterator[tuple[Scan | ListmodeScan, dict[str, Path]]]:
        """Give the scan, or the events, of one image."""
        when = _when(stretch)
        if self.data == EVENTS:
            with open_events(self.path, self.corrections, when) as (events, inputs):
                yield events, inputs
            return
        job = self.job
        yield read_scan(self.path, self.corrections, job.camera, job.settings.isotope, when)

    def _problem(self, scan: Scan | ListmodeScan, kept: _Sensitivity) -> Problem:
        """Return the problem of one image."""
        settings = self.job.settings
        if isinstance(scan, ListmodeScan):
            sensitivity = kept.of(scan, settings, self.meters)
            return prepare_events(scan, settings, sensitivity=sensitivity)
        with self.meters("sensitivity", settings.subsets) as meter:
            progress = meter.update if meter else _silent
            return prepare(
                scan.folded(), about_axis(settings, scan),
                kept=Sensitivities(self.execution.cache, self.key), progress=progress,
            )  # fmt: skip

    def _name(self, number: int, stretch: Stretch) -> str:
        if stretch is None:
            return "OSEM" if self.job.settings.subsets > 1 else "MLEM"
        if isinstance(stretch, Gate):
            return f"gate {number}"
        return "frame {} ({:g} to {:g} s)".format(number, *stretch.window_s)

    def _facts(self, scan: Scan | ListmodeScan) -> dict[str, Any]:
        """Return what a scan's files say and how they were read, for the sidecar."""
        read = {
            "mu_unit": self.corrections.mu_unit or None,
            "listmode_span": self.corrections.span,
        }
        facts = {**scan.facts, "duration_s": _duration_s(scan), **read}
        if isinstance(scan, ListmodeScan):
            return facts | {"by": "events"}
        scan.check()
        totals = {"randoms": scan.randoms, "scatter": scan.scatter}
        return facts | {
            name: float(data.sum(dtype=np.float64))
            for name, data in totals.items()
            if data is not None
        }

    def _decay(self, stretch: Frame | Gate, scan: Scan | ListmodeScan) -> float:
        """Return what a frame or gate is multiplied by for decay."""
        if not self.job.listmode.decay_corrected:
            return 1.0
        half_life = scan.facts.get("half_life_s")
        if not half_life:
            raise SettingsError(
                "the file does not tell the isotope's half-life: no decay correction"
            )
        return stretch.decay_factor(float(half_life))


@dataclass(eq=False)
class _Sensitivity:
    """The sensitivity of the last frame, which serves the next one with the same detectors."""

    efficiency: Array = field(default_factory=lambda: np.empty(0, np.float32))
    image: Array = field(default_factory=lambda: np.empty(0, np.float32))

    def of(self, scan: ListmodeScan, settings: Settings, meters: Meters) -> Array:
        passing = isinstance(scan.bins, Pairs) and scan.bins.passing
        same = np.array_equal(self.efficiency, scan.efficiency) and not passing
        if not (self.image.size and same):
            with meters("sensitivity", GROUPS) as meter:
                progress = meter.update if meter else _silent
                self.image = sensitivity_of(scan, settings, progress)
            self.efficiency = scan.efficiency
        return self.image


def _stretches(images: Images) -> tuple[tuple[Stretch, ...], dict[str, Any]]:
    """Return what each image is made of, and what is known about gates."""
    listmode = images.job.listmode
    if listmode.gates:
        return gates_of(images.path, Gating.of_text(listmode.gates, listmode.gate_by))
    return (read_frames(listmode.frames) if listmode.frames else (None,)), {}


def _when(stretch: Stretch) -> When:
    """Return what of a scan to take."""
    if stretch is None:
        return EVERYTHING
    return stretch if isinstance(stretch, Gate) else stretch.window_s


def _duration_s(scan: Scan | ListmodeScan) -> float | None:
    return scan.duration_s if isinstance(scan, Scan) else scan.events.duration_s


def _seconds(stretch: Frame | Gate, scan: Scan | ListmodeScan) -> float:
    """Return the time that an image's counts are divided by: that counted, in a gate."""
    return float(_duration_s(scan) or 0) if isinstance(stretch, Gate) else stretch.duration_s


def _check_end(stretch: Stretch, duration_s: float | None) -> None:
    """Refuse a frame or gate that is longer than what the file holds of it."""
    held = duration_s or 0.0
    if isinstance(stretch, Frame) and held < 0.99 * stretch.duration_s:
        start, end = stretch.window_s
        raise SettingsError(
            f"the file holds {held:g} s of the frame from {start:g} to {end:g} s: its rate would "
            "be too low"
        )
    if isinstance(stretch, Gate) and held < 0.9 * stretch.duration_s:
        raise SettingsError(
            f"the file holds {held:g} s of a gate of {stretch.duration_s:g} s: do triggers or "
            "stretches belong to another scan?"
        )


def _silent(done: int, total: int) -> None:
    """Show nothing."""
