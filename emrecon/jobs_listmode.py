"""Jobs on list-mode: reconstruct it event by event, or frame by frame."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import SettingsError
from emrecon.files import check_writable, keep_inputs, replacing
from emrecon.io import sidecar
from emrecon.io.frames import Frame
from emrecon.io.gates import Gating, gates_of
from emrecon.io.preview import preview
from emrecon.io.scan import read_given, read_medium, read_scan, refuse_bins
from emrecon.jobs import Meters, no_meters
from emrecon.tomo import recon
from emrecon.tomo.gates import Gate, When
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.operator import Array
from emrecon.tomo.pairs import Pairs
from emrecon.tomo.parts import Parts
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from emrecon.watchers import ConvergenceLog

log = logging.getLogger(__name__)

UNIT_OF_FRAMES = "counts/mm/s"
"""Unit of frames and gates, which are rates so that they compare."""

Stretch = Frame | Gate | None
"""What one image is made of; None for all of a file."""


@dataclass(frozen=True)
class Choice:
    """What of a list-mode file to reconstruct, and how."""

    events: bool = True
    """Event by event; else as sinograms."""

    frames: tuple[Frame, ...] = ()
    """Frames, each an image; none for one image of all the file."""

    decay_corrected: bool = False
    """Bring each frame or gate to the activity at the start of the scan."""

    gating: Gating | None = None
    """Gates, each an image, instead of frames."""


@dataclass(frozen=True, eq=False)
class Frames:
    """What a reconstruction of list-mode made."""

    volume: Volume
    """The image; with frames or gates, these first."""

    facts: list[dict[str, Any]]
    """What was found on the way, one a frame or gate."""

    history: ConvergenceLog
    """How every iterate fared; of the last frame."""

    written: tuple[Path, ...]
    """Files, the image first."""


@dataclass(eq=False)
class _Sensitivity:
    """The sensitivity of the last frame, which serves the next one with the same detectors."""

    efficiency: Array = field(default_factory=lambda: np.empty(0, np.float32))
    image: Array = field(default_factory=lambda: np.empty(0, np.float32))

    def of(self, scan: ListmodeScan, settings: Settings, meters: Meters) -> Array:
        from emrecon.tomo import listmode_recon  # noqa: PLC0415 - brings numba

        passing = isinstance(scan.bins, Pairs) and scan.bins.passing
        same = np.array_equal(self.efficiency, scan.efficiency) and not passing
        if not (self.image.size and same):
            with meters("sensitivity", listmode_recon.GROUPS) as meter:
                told = meter.update if meter else lambda done, total: None
                self.image = listmode_recon.sensitivity_of(scan, settings, told)
            self.efficiency = scan.efficiency
        return self.image


def reconstruct_listmode(
    path: Path,
    output: Path,
    settings: Settings | None = None,
    parts: Parts | None = None,
    choice: Choice | None = None,
    *,
    meters: Meters = no_meters,
) -> Frames:
    """Reconstruct list-mode, event by event or as sinograms, whole or in frames.

    Parameters
    ----------
    path : Path
        A PETLINK list-mode header, or a PETSIRD file (event by event).
    output : Path
        Image to write: ``.nii``, ``.nii.gz`` or, without frames and gates, ``.hv``.
    settings : Settings, optional
        How to reconstruct.
    parts : Parts, optional
        Files with corrections; PETSIRD takes an attenuation map or CT alone.
    choice : Choice, optional
        Frames or gates, and whether event by event.
    meters : callable, optional
        Makes the progress bars.

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output; nothing is left half-written.
    """
    settings, parts, choice = settings or Settings(), parts or Parts(), choice or Choice()
    _refuse(path, output, settings, choice)
    _refuse_backgrounds(parts, choice)
    made = (*(sidecar.beside(output, end) for end in (".json", ".csv", ".png")), output)
    keep_inputs(made, {"prompts": path})
    stretches, gates = _stretches(path, choice)
    kept, images, facts, inputs = _Sensitivity(), [], [], {}
    for number, stretch in enumerate(stretches, 1):
        name = f"{'gate' if choice.gating else 'frame'} {number}" if stretch else "list-mode"
        with _problem(path, settings, parts, choice, stretch, kept, meters) as (problem, told):
            reached, history = _iterate(problem, name, meters)
            volume = problem.volume(reached.params)
        inputs = told.pop("inputs")
        used = problem.settings
        factor = _factor(stretch, told, choice, settings)
        facts.append(told | problem.facts | {"decay_factor": factor, "updates": reached.number})
        images.append(volume.voxels * np.float32(factor / _seconds(stretch, told)))
    several = stretches != (None,)
    voxels = np.stack(images) if several else images[0]
    volume = Volume(voxels, volume.affine, UNIT_OF_FRAMES if several else volume.unit)
    about = sidecar.describe(volume, used, inputs, {"frames": facts}, history.rows)
    if not several:
        about["Facts"] = facts[0]
    if choice.gating:
        about["Facts"] = {"gates": facts, "gating": gates}
    about |= _timing(choice, facts)
    _write(made, volume, about, history)
    return Frames(volume, facts, history, (made[-1], *made[:-1]))


def _refuse(path: Path, output: Path, settings: Settings, choice: Choice) -> None:
    """Refuse what list-mode cannot do, before anything is read."""
    ending = io.image_format(output).name
    check_writable(output)
    kind = io.kind(path)
    if kind not in {"listmode", "petsird"}:
        raise SettingsError(f"{path} is no list-mode ({kind}): frames and events need it")
    if kind == "petsird" and not choice.events:
        raise SettingsError("PETSIRD is reconstructed event by event: say --list-mode")
    if choice.frames and choice.gating:
        raise SettingsError("give --frames or --gates, not both: gates within frames are not made")
    if (choice.frames or choice.gating) and ending != "NIfTI":
        raise SettingsError("several frames or gates are written as NIfTI: name it .nii.gz")
    if settings.checkpoint_every:
        raise SettingsError("list-mode by events or frames has no checkpoints: leave them out")
    if choice.decay_corrected and not (choice.frames or choice.gating):
        raise SettingsError("decay correction is for frames and gates: say --frames or --gates")


def _refuse_backgrounds(parts: Parts, choice: Choice) -> None:
    """Refuse backgrounds of a whole scan for parts of it."""
    for name in ("randoms", "scatter", "additive"):
        if getattr(parts, name) is not None and (choice.frames or choice.gating):
            raise SettingsError(
                f"--{name} holds counts of one scan, not of each frame or gate: leave it out, or "
                "reconstruct frames one by one"
            )


def _stretches(path: Path, choice: Choice) -> tuple[tuple[Stretch, ...], dict[str, Any]]:
    """Return what each image is made of, and what is known about gates."""
    if choice.gating:
        return gates_of(path, choice.gating)
    return choice.frames or (None,), {}


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


@contextmanager
def _problem(  # noqa: PLR0913, PLR0917 - one step of a story
    path: Path,
    settings: Settings,
    parts: Parts,
    choice: Choice,
    stretch: Stretch,
    kept: _Sensitivity,
    meters: Meters,
) -> Iterator[tuple[recon.Problem, dict[str, Any]]]:
    """Give the problem of one frame or gate, and what is known about it."""
    when = _when(stretch)
    if not choice.events:
        scan, inputs = read_scan(path, parts, window_s=when)
        _check_end(stretch, scan.duration_s)
        told = {**scan.facts, "duration_s": scan.duration_s, "inputs": inputs}
        yield recon.prepare(scan, settings), told
        return
    from emrecon.io import petlink_events, petlink_header, petsird_events  # noqa: PLC0415 - bring numba
    from emrecon.tomo import listmode_recon  # noqa: PLC0415

    mu, inputs = read_medium(parts)
    if io.kind(path) == "petsird":
        refuse_bins(parts)
        reading = petsird_events.reading(path, when, mu)
    else:
        bins = petlink_header.read_header(path).bins(parts.span)
        given, files = read_given(bins, parts)
        inputs |= files
        reading = petlink_events.reading(path, parts.span, when, mu, given)
    with reading as events:
        _check_end(stretch, events.events.duration_s)
        seen = kept.of(events, settings, meters)
        problem = listmode_recon.prepare(events, settings, sensitivity=seen)
        told = {**events.facts, "duration_s": events.events.duration_s}
        yield problem, told | {"inputs": {"prompts": path} | inputs, "by": "events"}


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


def _iterate(
    problem: recon.Problem, name: str, meters: Meters
) -> tuple[Iterate[Array], ConvergenceLog]:
    """Run the loop to its end; return the last iterate and the log."""
    history = ConvergenceLog(len(problem.models))
    with meters(name, problem.settings.iterations * len(problem.models)) as meter:
        observers = [history, meter] if meter else [history]
        reached = last(until(watch(problem.iterates(), *observers), *problem.enough()))
    return reached, history


def _factor(stretch: Stretch, told: dict[str, Any], choice: Choice, settings: Settings) -> float:
    """Return what a frame or gate is multiplied by for decay."""
    if stretch is None or not choice.decay_corrected:
        return 1.0
    half_life = told.get("half_life_s")
    if not half_life:
        raise SettingsError("the file does not tell the isotope's half-life: no decay correction")
    return stretch.decay_factor(float(half_life))


def _timing(choice: Choice, facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the times of frames, by the names of BIDS, or those of gates."""
    if not (choice.frames or choice.gating):
        return {}
    times: dict[str, Any] = {
        "FrameTimesStart": [frame.start_s for frame in choice.frames],
        "FrameDuration": [frame.duration_s for frame in choice.frames],
    }
    if choice.gating:
        times = {"GateDuration": [told["duration_s"] for told in facts]}
    return times | {
        "ImageDecayCorrected": choice.decay_corrected,
        "ImageDecayCorrectionTime": 0,
        "DecayCorrectionFactor": [told["decay_factor"] for told in facts],
    }


def _write(
    made: tuple[Path, ...], volume: Volume, about: dict[str, Any], history: ConvergenceLog
) -> None:
    """Write the image and what goes with it: all of them or, whatever goes wrong, none."""
    with ExitStack() as stack:
        sides = [stack.enter_context(replacing(path)) for path in made[:3]]
        sidecar.write(sides[0], about)
        history.write(sides[1])
        preview(volume, sides[2], title=about["ReconMethodName"])
        io.write_image(volume, made[3])
