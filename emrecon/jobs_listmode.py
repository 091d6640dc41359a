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
from emrecon.io.preview import preview
from emrecon.io.scan import read_medium, read_scan
from emrecon.jobs import Meters, no_meters
from emrecon.tomo import recon
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.operator import Array
from emrecon.tomo.parts import Parts
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from emrecon.watchers import ConvergenceLog

log = logging.getLogger(__name__)

UNIT_OF_FRAMES = "counts/mm/s"
"""Unit of frames, which are rates so that they compare."""


@dataclass(frozen=True)
class Choice:
    """What of a list-mode file to reconstruct, and how."""

    events: bool = True
    """Event by event; else as sinograms."""

    frames: tuple[Frame, ...] = ()
    """Frames, each an image; none for one image of all the file."""

    decay_corrected: bool = False
    """Bring each frame to the activity at the start of the scan."""


@dataclass(frozen=True, eq=False)
class Frames:
    """What a reconstruction of list-mode made."""

    volume: Volume
    """The image; with frames, time first."""

    facts: list[dict[str, Any]]
    """What was found on the way, one a frame."""

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

        if not (self.image.size and np.array_equal(self.efficiency, scan.efficiency)):
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
        Image to write: ``.nii``, ``.nii.gz`` or, without frames, ``.hv``.
    settings : Settings, optional
        How to reconstruct.
    parts : Parts, optional
        Files with corrections; event by event an attenuation map or CT alone.
    choice : Choice, optional
        Frames, and whether event by event.
    meters : callable, optional
        Makes the progress bars.

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output; nothing is left half-written.
    """
    settings, parts, choice = settings or Settings(), parts or Parts(), choice or Choice()
    _refuse(path, output, settings, choice)
    made = (*(sidecar.beside(output, end) for end in (".json", ".csv", ".png")), output)
    keep_inputs(made, {"prompts": path})
    kept, images, facts, inputs = _Sensitivity(), [], [], {}
    for number, frame in enumerate(choice.frames or (None,), 1):
        window = frame.window_s if frame else EVERYTHING
        with _problem(path, settings, parts, choice, window, kept, meters) as (problem, told):
            name = f"frame {number}" if frame else "list-mode"
            reached, history = _iterate(problem, name, meters)
            volume = problem.volume(reached.params)
        inputs = told.pop("inputs")
        used = problem.settings
        factor = _factor(frame, told, choice, settings)
        facts.append(told | problem.facts | {"decay_factor": factor, "updates": reached.number})
        images.append(volume.voxels * np.float32(factor / frame.duration_s if frame else factor))
    voxels = np.stack(images) if choice.frames else images[0]
    volume = Volume(voxels, volume.affine, UNIT_OF_FRAMES if choice.frames else volume.unit)
    about = sidecar.describe(volume, used, inputs, {"frames": facts}, history.rows)
    if not choice.frames:
        about["Facts"] = facts[0]
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
    if choice.frames and ending != "NIfTI":
        raise SettingsError("several frames are written as NIfTI: name the image .nii.gz")
    if settings.checkpoint_every:
        raise SettingsError("list-mode by events or frames has no checkpoints: leave them out")
    if choice.decay_corrected and not choice.frames:
        raise SettingsError("decay correction is for frames: say --frames")


@contextmanager
def _problem(  # noqa: PLR0913, PLR0917 - one step of a story
    path: Path,
    settings: Settings,
    parts: Parts,
    choice: Choice,
    window_s: tuple[float, float],
    kept: _Sensitivity,
    meters: Meters,
) -> Iterator[tuple[recon.Problem, dict[str, Any]]]:
    """Give the problem of one frame, and what is known about it."""
    if not choice.events:
        scan, inputs = read_scan(path, parts, window_s=window_s)
        _check_end(window_s, scan.duration_s)
        told = {**scan.facts, "duration_s": scan.duration_s, "inputs": inputs}
        yield recon.prepare(scan, settings), told
        return
    from emrecon.io import petlink_events, petsird_events  # noqa: PLC0415 - bring numba
    from emrecon.tomo import listmode_recon  # noqa: PLC0415

    mu, inputs = read_medium(parts)
    if io.kind(path) == "petsird":
        reading = petsird_events.reading(path, window_s, mu)
    else:
        reading = petlink_events.reading(path, parts.span, window_s, mu)
    with reading as events:
        _check_end(window_s, events.events.duration_s)
        seen = kept.of(events, settings, meters)
        problem = listmode_recon.prepare(events, settings, sensitivity=seen)
        told = {**events.facts, "duration_s": events.events.duration_s}
        yield problem, told | {"inputs": {"prompts": path} | inputs, "by": "events"}


def _check_end(window_s: tuple[float, float], duration_s: float | None) -> None:
    """Refuse a frame that is longer than what the file holds of it."""
    wanted = window_s[1] - window_s[0]
    if window_s != EVERYTHING and (duration_s or 0.0) < 0.99 * wanted:
        raise SettingsError(
            f"the file holds {duration_s or 0.0:g} s of the frame from {window_s[0]:g} to "
            f"{window_s[1]:g} s: its rate would be too low"
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


def _factor(
    frame: Frame | None, told: dict[str, Any], choice: Choice, settings: Settings
) -> float:
    """Return what a frame is multiplied by for decay."""
    if frame is None or not choice.decay_corrected:
        return 1.0
    half_life = told.get("half_life_s")
    if not half_life:
        raise SettingsError("the file does not tell the isotope's half-life: no decay correction")
    return frame.decay_factor(float(half_life))


def _timing(choice: Choice, facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the times of the frames by the names of BIDS."""
    if not choice.frames:
        return {}
    return {
        "FrameTimesStart": [frame.start_s for frame in choice.frames],
        "FrameDuration": [frame.duration_s for frame in choice.frames],
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
