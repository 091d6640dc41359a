"""Whole jobs, from files to files: what the command line, the panel and batches call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from emrecon import io
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import FormatError, SettingsError
from emrecon.files import check_writable, keep_inputs, replacing
from emrecon.io import sidecar
from emrecon.io.preview import preview
from emrecon.io.scan import read_scan
from emrecon.tomo.gamma import about_axis
from emrecon.tomo.operator import Array
from emrecon.tomo.parts import CameraFacts, Parts
from emrecon.tomo.recon import Problem, fingerprint, prepare
from emrecon.tomo.scan import Scan
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from emrecon.watchers import Checkpoint, ConvergenceLog, State

log = logging.getLogger(__name__)


class Meter(Protocol):
    """Shows how far the work is, such as `emrecon.watchers.Bar`."""

    def __call__(self, iterate: Iterate[Any], /) -> object:
        """Be shown an iterate."""
        ...

    def update(self, done: int, total: int) -> object:
        """Be told how many steps are made."""
        ...


Told = tuple[dict[str, Path], dict[str, Any]]
"""Files that were read, and facts found on the way, for the sidecar."""

Meters = Callable[[str, int], AbstractContextManager[Meter | None]]
"""Makes the meter of a stage from its name and number of steps."""


@dataclass(frozen=True)
class Order:
    """What to get ready: plain data, which can go to other machines."""

    path: Path
    """The scan."""

    settings: Settings
    """How to reconstruct."""

    parts: Parts
    """Files with corrections."""

    camera: CameraFacts
    """What stands in for what SPECT files do not say."""

    made: tuple[Path, ...]
    """Files that will be written, which must be none of the inputs."""

    keyed: bool
    """Whether the key is wanted, which takes a pass over all data."""


@dataclass(frozen=True, eq=False)
class Ready:
    """A reconstruction that can begin."""

    problem: Problem
    """Models, start image, settings as used."""

    inputs: dict[str, Path]
    """Every file that was read, by what it is."""

    facts: dict[str, Any]
    """What they say, for the sidecar."""

    key: str
    """Name of all that decides the iterates; empty where it is not wanted."""


GetReady = Callable[[Order, Meters], Ready]
"""Reads a scan and builds its models, in this process or elsewhere."""


def no_meters(what: str, total: int) -> AbstractContextManager[Meter | None]:
    """Show nothing."""
    return nullcontext()


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What a reconstruction job made."""

    volume: Volume
    """The image."""

    problem: Problem
    """The models and settings as used."""

    history: ConvergenceLog
    """How every iterate fared."""

    written: tuple[Path, ...]
    """Files, the image first."""


def reconstruct(  # noqa: PLR0913 - each is one choice of the user's
    path: Path,
    output: Path,
    settings: Settings | None = None,
    parts: Parts | None = None,
    *,
    camera: CameraFacts | None = None,
    resume: bool = False,
    cache: Path | None = None,
    meters: Meters = no_meters,
    get_ready: GetReady | None = None,
) -> Reconstruction:
    """Reconstruct a scan from files to an image with sidecar, picture and convergence log.

    Parameters
    ----------
    path : Path
        The scan, see `emrecon.io.scan.read_scan`.
    output : Path
        Image to write: ``.nii``, ``.nii.gz`` or ``.hv``.
    settings : Settings, optional
        How to reconstruct.
    parts : Parts, optional
        Files with corrections.
    camera : CameraFacts, optional
        What to take from SPECT files, and what stands in for what they do not say.
    resume : bool, optional
        Take up the checkpoint of a stopped run of the same scan and settings, if there is one.
    cache : Path, optional
        Folder where the sensitivities are kept for later runs.
    meters : callable, optional
        Makes the progress bars.
    get_ready : callable, optional
        Reads the scan and builds its models; by default `prepared`, in this process.

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output; nothing is left half-written.
    """
    settings = settings or Settings()
    io.image_format(output)
    check_writable(output)
    made = _outputs(output)
    keyed = bool(cache or resume or settings.checkpoint_every)
    order = Order(path, settings, parts or Parts(), camera or CameraFacts(), made, keyed)
    ready = (get_ready or partial(prepared, cache=cache))(order, meters)
    problem, key = ready.problem, ready.key
    saved = sidecar.beside(output, ".checkpoint.npz")
    state = _state(saved, key, problem) if resume else None
    reached, history = _iterate(problem, state, saved, key, meters)
    used = replace(problem.settings, centre_mm=settings.centre_mm)
    problem = replace(problem, settings=used)
    volume = _placed(problem.volume(np.asarray(reached.params)), ready.facts)
    facts = {**ready.facts, **problem.facts, **_course(reached, history, state)}
    _write(made, volume, problem, history, (ready.inputs, facts))
    if state or settings.checkpoint_every:
        saved.unlink(missing_ok=True)
    return Reconstruction(volume, problem, history, (made[-1], *made[:-1]))


def prepared(order: Order, meters: Meters, *, cache: Path | None = None) -> Ready:
    """Read a scan and build its models in this process."""
    settings = order.settings
    scan, inputs = read_scan(order.path, order.parts, order.camera, settings.isotope)
    keep_inputs(order.made, inputs)
    scan.check()
    facts = facts_of(scan, order.parts, background_totals(scan))
    scan = scan.folded()
    settings = about_axis(settings, scan)
    key = fingerprint(scan, settings) if order.keyed else ""
    with meters("sensitivity", settings.subsets) as meter:
        progress = meter.update if meter else _silent
        problem = prepare(scan, settings, kept=Sensitivities(cache, key), progress=progress)
    return Ready(problem, inputs, facts, key)


def _placed(volume: Volume, facts: dict[str, Any]) -> Volume:
    """Return an image where it lies in the patient, if the scan's file says where that is."""
    origin = facts.get("origin_mm")
    if not origin:
        return volume
    affine = volume.affine.copy()
    affine[:3, 3] += origin
    return Volume(volume.voxels, affine, volume.unit)


def _state(saved: Path, key: str, problem: Problem) -> State | None:
    """Return where a stopped run stood, if it left a checkpoint."""
    if not saved.exists():
        log.warning("no checkpoint %s: starting from the beginning", saved.name)
        return None
    state = Checkpoint.load(saved, key)
    if state.image.shape != problem.start.shape:
        raise FormatError(f"{saved} holds an image of another shape: remove it")
    log.info("resumed at update %d", state.number)
    return state


def _iterate(
    problem: Problem, state: State | None, saved: Path, key: str, meters: Meters
) -> tuple[Iterate[Array], ConvergenceLog]:
    """Run the loop to its end; return the last iterate and the log."""
    subsets = len(problem.models)
    history = ConvergenceLog(subsets, state.rows if state else None, problem.change)
    observers: list[Callable[[Iterate[Array]], object]] = [history]
    if problem.settings.checkpoint_every:
        observers.append(Checkpoint(saved, problem.settings.checkpoint_every, key, history))
    if state and state.number > problem.settings.iterations * subsets:
        raise SettingsError(f"the checkpoint is already at update {state.number}: nothing to do")
    run = problem.iterates(state.image, state.number) if state else problem.iterates()
    earlier = [row.log_likelihood for row in state.rows[:-1]] if state else []
    name = "OSEM" if subsets > 1 else "MLEM"
    with meters(name, problem.settings.iterations * subsets) as meter:
        observers += [meter] if meter else []
        reached = last(until(watch(run, *observers), *problem.enough(earlier)))
    return reached, history


def facts_of(scan: Scan, parts: Parts, totals: dict[str, float]) -> dict[str, Any]:
    """Return what a scan and its files say, for the sidecar."""
    read = {"mu_unit": parts.mu_unit or None, "listmode_span": parts.span}
    return {**scan.facts, "duration_s": scan.duration_s, **read, **totals}


def background_totals(scan: Scan) -> dict[str, float]:
    """Return the counts of each background, for the sidecar."""
    parts = {"randoms": scan.randoms, "scatter": scan.scatter}
    return {
        name: float(data.sum(dtype=np.float64)) for name, data in parts.items() if data is not None
    }


def _course(
    reached: Iterate[Array], history: ConvergenceLog, state: State | None
) -> dict[str, Any]:
    """Return how the run went, for the sidecar."""
    return {
        "updates": reached.number,
        "resumed_at_update": state.number if state else None,
        "seconds_iterating": history.rows[-1].seconds,
    }


def _outputs(image: Path) -> tuple[Path, ...]:
    """Return the files of a reconstruction, the image last."""
    return (*(sidecar.beside(image, suffix) for suffix in (".json", ".csv", ".png")), image)


def _write(
    made: tuple[Path, ...], volume: Volume, problem: Problem, history: ConvergenceLog, told: Told
) -> None:
    """Write the image and what goes with it: all of them or, whatever goes wrong, none.

    Everything is written under other names first; an image of two files (Interfile) comes last
    of those that are.
    """
    used = problem.settings
    title = f"{'OSEM' if used.subsets > 1 else 'MLEM'} {used.iterations} x {used.subsets}"
    with ExitStack() as stack:
        about, log_file, picture = (stack.enter_context(replacing(path)) for path in made[:3])
        inputs, facts = told
        sidecar.write(about, sidecar.describe(volume, used, inputs, facts, history.rows))
        history.write(log_file)
        preview(volume, picture, title=title)
        io.write_image(volume, made[3])


def _silent(done: int, total: int) -> None:
    """Show nothing."""
