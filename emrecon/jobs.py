"""Whole jobs, from files to files: what the command line, the panel and batches call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from emrecon import io
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import FormatError, SettingsError
from emrecon.files import check_writable, keep_inputs, replacing, sha256
from emrecon.io import sidecar
from emrecon.io.pictures.preview import preview
from emrecon.io.scan import read_scan
from emrecon.tomo.camera_setup import about_axis
from emrecon.tomo.chunks import Only
from emrecon.tomo.fingerprint import fingerprint
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.prepare import prepare
from emrecon.tomo.problem import Problem
from emrecon.tomo.scan import Scan
from emrecon.tomo.sensitivity import Sensitivities, key_of
from emrecon.tomo.settings import Settings
from emrecon.tomo.sharing import Workers, share
from emrecon.tomo.subset_likelihoods import silent
from emrecon.volume import Array, Volume
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
    parts: Corrections | None = None,
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
    parts : Corrections, optional
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
    io.image_format(output)
    check_writable(output)
    begun = begin(
        path, settings, parts, camera=camera, output=output, cache=cache, resume=resume,
        meters=meters, get_ready=get_ready,
    )  # fmt: skip
    saved = sidecar.beside(output, ".checkpoint.npz")
    state = _state(saved, begun.key, begun.problem) if resume else None
    reached, history = _iterate(begun.problem, state, saved, begun.key, meters)
    made = finish(begun, reached, history, output, state)
    if state or begun.wanted.checkpoint_every:
        saved.unlink(missing_ok=True)
    return made


@dataclass(frozen=True, eq=False)
class Begun:
    """A reconstruction job up to its first iterate."""

    problem: Problem
    """What is to be iterated."""

    origin_mm: tuple[float, float, float] | None
    """Where a camera's own origin lies in the patient."""

    inputs: dict[str, Path]
    """The files that were read."""

    facts: dict[str, Any]
    """What they said, for the sidecar."""

    wanted: Settings
    """The settings as given."""

    key: str
    """Name of all that decides the iterates; empty where nothing is kept."""

    def volume(self, image: Array) -> Volume:
        """Return an iterate where it lies in the patient, after the post-filter."""
        return _placed(self.problem.volume(image), self.origin_mm)


@dataclass(frozen=True)
class Order:
    """What to begin: plain data, which can go to other machines."""

    path: Path
    """The scan."""

    settings: Settings
    """How to reconstruct."""

    parts: Corrections
    """Files with corrections."""

    camera: CameraFacts
    """What stands in for what SPECT files do not say."""

    made: tuple[Path, ...]
    """Files that will be written, which must be none of the inputs."""

    keyed: bool
    """Whether the key is wanted, which takes a pass over all data."""


GetReady = Callable[[Order, Meters], Begun]
"""Reads a scan and builds its models, in this process or elsewhere."""


def begin(  # noqa: PLR0913 - as for `reconstruct`
    path: Path,
    settings: Settings | None = None,
    parts: Corrections | None = None,
    *,
    camera: CameraFacts | None = None,
    output: Path | None = None,
    resume: bool = False,
    cache: Path | None = None,
    meters: Meters = no_meters,
    get_ready: GetReady | None = None,
) -> Begun:
    """Read a scan and build its models; iterate over what comes back, then `finish`.

    Parameters are those of `reconstruct`; `output` is refused here if it is one of the inputs.
    """
    settings = settings or Settings()
    keyed = bool(cache or resume or settings.checkpoint_every)
    made = () if output is None else _outputs(output)
    order = Order(path, settings, parts or Corrections(), camera or CameraFacts(), made, keyed)
    return (get_ready or partial(prepared, cache=cache))(order, meters)


def prepared(order: Order, meters: Meters, *, cache: Path | None = None) -> Begun:
    """Read a scan and build its models in this process."""
    scan, inputs = read_scan(order.path, order.parts, order.camera, order.settings.isotope)
    keep_inputs(order.made, inputs)
    scan.check()
    totals = scan.background_totals()
    scan = scan.folded()
    settings = about_axis(order.settings, scan)
    key = fingerprint(scan, settings) if order.keyed else ""
    kept = Sensitivities(cache, key)
    with meters("sensitivity", settings.subsets) as meter:
        progress = meter.update if meter else silent
        problem = prepare(scan, settings, kept=kept, progress=progress)
    facts = facts_of(scan, order.parts) | totals | problem.facts
    return Begun(problem, scan.origin_mm, inputs, facts, order.settings, key)


@dataclass(frozen=True)
class _Load:
    """Opens the scan of an order on a worker; the files that were read are among its facts."""

    order: Order

    @contextmanager
    def __call__(self, only: Only | None) -> Iterator[Scan]:
        order = self.order
        scan, inputs = read_scan(
            order.path, order.parts, order.camera, order.settings.isotope, only=only
        )
        keep_inputs(order.made, inputs)
        yield scan.with_(facts=scan.facts | {"inputs": inputs})


def shared(order: Order, meters: Meters, *, workers: Workers, chunks: int = 0) -> Begun:
    """Have workers read a scan, each its part, and build its models there; see `share`."""
    with meters("sensitivity", order.settings.subsets) as meter:
        progress = meter.update if meter else silent
        problem = share(workers, _Load(order), order.settings, chunks, progress)
    facts = dict(problem.facts)
    inputs: dict[str, Path] = facts.pop("inputs")
    key = _key(order, inputs, facts["chunks"]) if order.keyed else ""
    facts |= _reading(order.parts)
    return Begun(problem, problem.origin_mm, inputs, facts, order.settings, key)


def _key(order: Order, inputs: dict[str, Path], chunks: int) -> str:
    """Return a name for all that decides the iterates of a shared reconstruction."""
    decides = replace(
        order.settings, iterations=1, tolerance=0.0, threads=0, checkpoint_every=0, post_fwhm_mm=()
    )
    digests = [sha256(inputs[name]) for name in sorted(inputs)]
    return key_of(version("emrecon"), chunks, decides, order.parts, order.camera, digests)


def finish(
    begun: Begun,
    reached: Iterate[Array],
    history: ConvergenceLog,
    output: Path,
    state: State | None = None,
) -> Reconstruction:
    """Write an iterate with sidecar, picture and convergence log: all of them or none."""
    io.image_format(output)
    made = _outputs(output)
    keep_inputs(made, begun.inputs)
    used = replace(begun.problem.settings, centre_mm=begun.wanted.centre_mm)
    problem = replace(begun.problem, settings=used)
    volume = begun.volume(np.asarray(reached.params))
    facts = begun.facts | _course(reached, history, state)
    _write(made, volume, problem, history, (begun.inputs, facts))
    return Reconstruction(volume, problem, history, (made[-1], *made[:-1]))


def _placed(volume: Volume, origin: tuple[float, float, float] | None) -> Volume:
    """Return an image where it lies in the patient, if the scan's file says where that is."""
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
    history = ConvergenceLog(subsets, state.rows if state else None)
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


def facts_of(scan: Scan, parts: Corrections) -> dict[str, Any]:
    """Return what a scan's files say and how they were read, for the sidecar."""
    return {**scan.facts, "duration_s": scan.duration_s, **_reading(parts)}


def _reading(parts: Corrections) -> dict[str, Any]:
    """Return how files were read, for the sidecar."""
    return {"mu_unit": parts.mu_unit or None, "listmode_span": parts.span}


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
