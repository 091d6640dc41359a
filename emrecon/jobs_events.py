"""The images that a reconstruction of list-mode makes: of each, the model that is iterated."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.em import Iterate
from emrecon.errors import SettingsError
from emrecon.io.frames import Frame, read_frames
from emrecon.io.gates import Gating, gates_of
from emrecon.io.manifest import resolved
from emrecon.io.scan import read_given, read_medium, read_scan, read_scatter
from emrecon.jobs import Meters, no_meters
from emrecon.tomo.gates import Gate, When
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.prepare import prepare
from emrecon.tomo.problem import Problem
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import GROUPS, sensitivity_of, silent
from emrecon.volume import Array, Volume
from emrecon.watchers import ConvergenceLog

UNIT_OF_FRAMES = "counts/mm/s"
"""Unit of frames and gates, which are rates so that they compare."""

Stretch = Frame | Gate | None
"""What one image is made of; None for all of a file."""


@dataclass(frozen=True, eq=False)
class Part:
    """A frame, a gate or all of a file, ready to be iterated."""

    name: str
    """Which it is."""

    problem: Problem
    """What is to be iterated; its events are there until the next part is asked for."""

    facts: dict[str, Any]
    """What was found on the way."""

    inputs: dict[str, Path]
    """The files that were read."""

    scale: float
    """What counts are multiplied by: 1, or for a rate, brought to the start if so asked."""

    unit: str
    """Of the image."""

    def volume(self, image: Array) -> Volume:
        """Return an iterate in its unit, after the post-filter."""
        volume = self.problem.volume(image)
        return Volume(volume.voxels * np.float32(self.scale), volume.affine, self.unit)

    def done(self, reached: Iterate[Array], history: ConvergenceLog) -> Made:
        """Return the image that an iterate is."""
        facts = self.facts | {"updates": reached.number}
        volume = self.volume(np.asarray(reached.params))
        return Made(volume, facts, history, self.problem.settings, self.inputs)


@dataclass(frozen=True, eq=False)
class Made:
    """A frame, a gate or all of a file, reconstructed."""

    volume: Volume
    """The image."""

    facts: dict[str, Any]
    """What was found on the way."""

    history: ConvergenceLog
    """How every iterate fared."""

    settings: Settings
    """The settings as used."""

    inputs: dict[str, Path]
    """The files that were read."""


@dataclass(frozen=True, eq=False)
class Begun:
    """A reconstruction of list-mode of which it is known what images it makes."""

    path: Path
    """The events."""

    settings: Settings
    """How to reconstruct."""

    parts: Corrections
    """Files with corrections."""

    how: ListmodeSettings
    """Frames or gates, and whether event by event."""

    stretches: tuple[Stretch, ...]
    """What each image is made of."""

    gates: dict[str, Any]
    """What is known about gates."""

    @property
    def names(self) -> tuple[str, ...]:
        """What each image is called."""
        return tuple(_name(n, stretch) for n, stretch in enumerate(self.stretches, 1))

    def images(self, meters: Meters = no_meters) -> Generator[Part]:
        """Yield one image after another, ready to be iterated; close what yields them."""
        kept = _Sensitivity()
        for name, stretch in zip(self.names, self.stretches, strict=True):
            with self._problem(stretch, kept, meters) as (problem, told):
                inputs = told.pop("inputs") | self.how.tables()
                factor = self._decay(stretch, told)
                facts = told | problem.facts | {"decay_factor": factor}
                scale = factor / _seconds(stretch, told)
                unit = UNIT_OF_FRAMES if stretch else "counts/mm"
                yield Part(name, problem, facts, inputs, scale, unit)

    @contextmanager
    def _problem(
        self, stretch: Stretch, kept: _Sensitivity, meters: Meters
    ) -> Iterator[tuple[Problem, dict[str, Any]]]:
        """Give the problem of one frame or gate, and what is known about it."""
        path, parts, when = self.path, self.parts, _when(stretch)
        petsird = io.kind(path) == "petsird"
        if not (self.how.list_mode or petsird):
            scan, inputs = read_scan(path, parts, window_s=when)
            _check_end(stretch, scan.duration_s)
            told = {**scan.facts, "duration_s": scan.duration_s, "inputs": inputs}
            yield prepare(scan, self.settings), told
            return
        from emrecon.io.petlink import events as petlink_events  # noqa: PLC0415 - bring numba
        from emrecon.io.petlink import header as petlink_header  # noqa: PLC0415 - bring numba
        from emrecon.io.petsird import events as petsird_events  # noqa: PLC0415 - bring numba

        mu, inputs = read_medium(parts)
        if petsird:
            scatter, files = read_scatter(parts)
            reading = petsird_events.reading(path, when, mu, scatter)
        else:
            bins = petlink_header.read_header(path).bins(parts.span)
            given, files = read_given(bins, parts)
            reading = petlink_events.reading(path, parts.span, when, mu, given)
        inputs |= files
        with reading as events:
            _check_end(stretch, events.events.duration_s)
            seen = kept.of(events, self.settings, meters)
            problem = prepare(events, self.settings, sensitivity=seen)
            told = {**events.facts, "duration_s": events.events.duration_s}
            yield problem, told | {"inputs": {"prompts": path} | inputs, "by": "events"}

    def _decay(self, stretch: Stretch, told: dict[str, Any]) -> float:
        """Return what a frame or gate is multiplied by for decay."""
        if stretch is None or not self.how.decay_corrected:
            return 1.0
        half_life = told.get("half_life_s")
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
                told = meter.update if meter else silent
                self.image = sensitivity_of(scan, settings, told)
            self.efficiency = scan.efficiency
        return self.image


def begin_listmode(
    path: Path,
    settings: Settings | None = None,
    parts: Corrections | None = None,
    how: ListmodeSettings | None = None,
) -> Begun:
    """Find out what images a reconstruction makes.

    Parameters are those of `emrecon.jobs_listmode.reconstruct_listmode`.
    """
    settings, how = settings or Settings(), how or ListmodeSettings()
    path, parts = resolved(path, parts or Corrections())
    _refuse(path, settings, parts, how)
    return Begun(path, settings, parts, how, *stretches(path, how))


def _refuse(path: Path, settings: Settings, parts: Corrections, how: ListmodeSettings) -> None:
    """Refuse what list-mode cannot do, before anything is read."""
    if (kind := io.kind(path)) not in {"listmode", "petsird"}:
        raise SettingsError(f"{path} is no list-mode ({kind}): frames and events need it")
    if settings.checkpoint_every:
        raise SettingsError("list-mode by events or frames has no checkpoints: leave them out")
    for name in ("randoms", "scatter", "additive"):
        if getattr(parts, name) is not None and how.several:
            raise SettingsError(
                f"--{name} holds counts of one scan, not of each frame or gate: leave it out, or "
                "reconstruct frames one by one"
            )


def stretches(path: Path, how: ListmodeSettings) -> tuple[tuple[Stretch, ...], dict[str, Any]]:
    """Return what each image is made of, and what is known about gates.

    Raises
    ------
    SettingsError
        If frames or gates make no sense, or the file has no such triggers.
    FormatError
        If file or table cannot be read.
    """
    if how.gates:
        return gates_of(path, Gating.of_text(how.gates, how.gate_by))
    return (read_frames(how.frames) if how.frames else (None,)), {}


def _name(number: int, stretch: Stretch) -> str:
    if stretch is None:
        return "list-mode"
    if isinstance(stretch, Gate):
        return f"gate {number}"
    return "frame {} ({:g} to {:g} s)".format(number, *stretch.window_s)


def _when(stretch: Stretch) -> When:
    """Return what of a scan to take."""
    if stretch is None:
        return EVERYTHING
    return stretch if isinstance(stretch, Gate) else stretch.window_s


def _seconds(stretch: Stretch, told: dict[str, Any]) -> float:
    """Return the time that an image's counts are divided by: that counted, in a gate."""
    if stretch is None:
        return 1.0
    return float(told["duration_s"]) if isinstance(stretch, Gate) else stretch.duration_s


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
