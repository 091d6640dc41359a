"""Whole jobs, from files to files: what the command line, the panel and batches call."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from emrecon import io
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import FormatError, SettingsError, WriteError
from emrecon.files import replacing
from emrecon.io import sidecar
from emrecon.io.preview import preview
from emrecon.io.scan import MANIFEST, read_scan, write_manifest
from emrecon.tomo.camera import Camera
from emrecon.tomo.operator import Array
from emrecon.tomo.parts import CameraFacts, Parts
from emrecon.tomo.recon import Problem, fingerprint, prepare
from emrecon.tomo.scan import Scan
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings
from emrecon.volume import Grid, Volume
from emrecon.watchers import Checkpoint, ConvergenceLog, State

if TYPE_CHECKING:
    from phantoms.phantom import Phantom
    from phantoms.simulate import Simulation
    from phantoms.spect_acquisition import CameraSimulation

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
    parts: Parts | None = None,
    *,
    camera: CameraFacts | None = None,
    resume: bool = False,
    cache: Path | None = None,
    meters: Meters = no_meters,
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

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output; nothing is left half-written.
    """
    settings = settings or Settings()
    io.image_format(output)
    check_writable(output)
    scan, inputs = read_scan(path, parts, camera, settings.isotope)
    made = _outputs(output)
    _keep_inputs(made, inputs)
    scan.check()
    totals = _totals(scan)
    scan = scan.folded()
    wanted, settings = settings, _about_axis(settings, scan)
    key = fingerprint(scan, settings) if cache or resume or settings.checkpoint_every else ""
    kept = Sensitivities(cache, key)
    with meters("sensitivity", settings.subsets) as meter:
        progress = meter.update if meter else _silent
        problem = prepare(scan, settings, kept=kept, progress=progress)
    saved = sidecar.beside(output, ".checkpoint.npz")
    state = _state(saved, key, problem) if resume else None
    reached, history = _iterate(problem, state, saved, key, meters)
    problem = replace(problem, settings=replace(problem.settings, centre_mm=wanted.centre_mm))
    volume = _placed(problem.volume(reached.params), scan)
    facts = {
        **scan.facts,
        "duration_s": scan.duration_s,
        **_choices(parts or Parts()),
        **totals,
        **problem.facts,
        **_course(reached, history, state),
    }
    _write(made, volume, problem, history, (inputs, facts))
    if state or settings.checkpoint_every:
        saved.unlink(missing_ok=True)
    return Reconstruction(volume, problem, history, (made[-1], *made[:-1]))


def _about_axis(settings: Settings, scan: Scan) -> Settings:
    """Return the settings with the image's centre about the axis that a camera turns round."""
    origin = scan.facts.get("origin_mm")
    if not (origin and settings.centre_mm):
        return settings
    centre = np.subtract(settings.centre_mm, origin)
    return replace(settings, centre_mm=tuple(float(value) for value in centre))


def _placed(volume: Volume, scan: Scan) -> Volume:
    """Return an image where it lies in the patient, if the scan's file says where that is."""
    origin = scan.facts.get("origin_mm")
    if not origin:
        return volume
    affine = volume.affine.copy()
    affine[:3, 3] += origin
    return Volume(volume.voxels, affine, volume.unit)


def check_writable(path: Path) -> None:
    """Refuse an output that could not be written, before hours are spent on it.

    Raises
    ------
    WriteError
        If the folder is missing or no file can be made in it, or `path` is a folder.
    """
    if path.is_dir():
        raise WriteError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise WriteError(f"cannot write {path}: there is no folder {path.parent}")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}") from error


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


def _choices(parts: Parts) -> dict[str, Any]:
    """Return how the files were read, for the sidecar."""
    return {"mu_unit": parts.mu_unit or None, "listmode_span": parts.span}


def _totals(scan: Scan) -> dict[str, Any]:
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


def _keep_inputs(made: Iterable[Path], inputs: dict[str, Path]) -> None:
    """Refuse to write over what was read."""
    read = {path.resolve() for path in inputs.values()}
    for path in made:
        data = path.with_suffix(".v") if path.suffix == ".hv" else path
        if {path.resolve(), data.resolve()} & read:
            raise WriteError(f"cannot write {path}: it is one of the inputs")


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


def write_scan(folder: Path, scan: Scan) -> tuple[Path, ...]:
    """Write a scan to a folder as Interfile, one file a part; return the manifest first."""
    from emrecon.io import interfile, interfile_spect  # noqa: PLC0415 - not every job needs it

    make_folder(folder)
    named = ("prompts", "normalisation", "attenuation", "randoms", "scatter")
    parts = {name: getattr(scan, name) for name in named if getattr(scan, name) is not None}
    facts = scan.facts | ({"duration_s": scan.duration_s} if scan.duration_s else {})
    for name, data in parts.items():
        file = folder / f"{name}.hs"
        if isinstance(scan.bins, Camera):
            interfile_spect.write_projections(file, scan.bins, data, facts=facts)
        else:
            interfile.write_projections(file, scan.bins, data, facts=facts)
    write_manifest(folder / MANIFEST, **{name: f"{name}.hs" for name in parts})
    return (folder / MANIFEST, *(folder / f"{name}.hs" for name in parts))


def write_simulation(folder: Path, made: Simulation) -> tuple[Path, ...]:
    """Write a simulated scan with its truth, as NIfTI, and a picture of it."""
    files = write_scan(folder, made.scan)
    preview(made.truth, folder / "truth.png", title="truth")
    volumes = _volumes(folder, truth=made.truth, mu=made.mu, labels=made.labels)
    names = sidecar.write_label_names(folder / "labels.nii.gz", made.facts["labels"])
    return (*files, *volumes, names, folder / "truth.png")


def write_camera_simulation(folder: Path, made: CameraSimulation) -> tuple[Path, ...]:
    """Write a simulated SPECT scan as DICOM NM TOMO with its truth, as NIfTI, and a picture."""
    from emrecon.io.nm_write import Study, write_projections  # noqa: PLC0415 - brings pydicom
    from emrecon.io.spect import Window  # noqa: PLC0415

    how = made.acquisition
    r, a, s = how.patient_mm
    order = ("window", "rotation", "detector", "view")
    study = Study(
        tuple(Window(name, ((low, high),)) for name, low, high in made.windows_kev),
        how.source().name,
        how.heads,
        how.view_s,
        how.position,
        (r, a, s),
        ("window", "rotation", "view", "detector") if how.detector_fastest else order,
        collimator=how.collimator,
        description=made.facts["phantom"],
    )
    make_folder(folder)
    projections = write_projections(folder / "projections.dcm", made.camera, made.counts, study)
    mu = {} if made.mu is None else {"mu": made.mu}
    volumes = _volumes(folder, truth=made.truth, labels=made.labels, **mu)
    parts = {"mu": "mu.nii.gz", "mu_unit": "1/mm"} if mu else {}
    write_manifest(folder / MANIFEST, projections.name, **parts)
    preview(made.truth, folder / "truth.png", title="truth")
    names = sidecar.write_label_names(folder / "labels.nii.gz", made.facts["labels"])
    return (folder / MANIFEST, projections, *volumes, names, folder / "truth.png")


def write_phantom(
    folder: Path, phantom: Phantom, voxel_mm: tuple[float, float, float]
) -> tuple[Path, ...]:
    """Write a phantom's activity, attenuation and labels as NIfTI, and a picture of it."""
    low, high = phantom.bounds_mm
    reach = np.maximum(-low, high)
    i, j, k = (int(np.ceil(2 * r / v)) + 2 for r, v in zip(reach, voxel_mm, strict=True))
    grid = Grid.centred((i, j, k), voxel_mm)
    make_folder(folder)
    activity = phantom.activity(grid)
    preview(activity, folder / "activity.png", title=phantom.name)
    labels = phantom.label_map(grid)
    volumes = _volumes(folder, activity=activity, mu=phantom.mu(grid), labels=labels)
    names = sidecar.write_label_names(folder / "labels.nii.gz", phantom.labels)
    return (*volumes, names, folder / "activity.png")


def convert_listmode(
    path: Path,
    folder: Path,
    span: int,
    max_ring_difference: int | None = None,
    window_s: tuple[float, float] = (0.0, float("inf")),
) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """Turn list-mode into a folder of sinograms; return the files and what was counted."""
    from emrecon.io import petlink  # noqa: PLC0415 - not every job needs it

    scan = petlink.read_scan(path, span, max_ring_difference, window_s=window_s)
    return write_scan(folder, scan), scan.facts


def convert_spect(path: Path, folder: Path, camera: CameraFacts | None = None) -> tuple[Path, ...]:
    """Turn a SPECT file into a folder of Interfile, one energy window of it."""
    scan, _ = read_scan(path, camera=camera)
    if scan.facts.get("origin_mm"):
        log.warning(
            "Interfile cannot say that the axis is at %s mm (RAS)", scan.facts["origin_mm"]
        )
    return write_scan(folder, scan)


def convert_image(path: Path, output: Path) -> Path:
    """Write an image in the format that the ending of `output` names."""
    io.image_format(output)
    check_writable(output)
    _keep_inputs([output], {"image": path})
    io.write_image(io.read_image(path), output)
    return output


def is_listmode(path: Path) -> bool:
    """Return whether a file is list-mode."""
    return io.kind(path) == "listmode"


def is_spect(path: Path) -> bool:
    """Return whether a file holds projections of a gamma camera, or is other DICOM."""
    return io.kind(path) in {"spect", "dicom"}


def _volumes(folder: Path, **volumes: Volume) -> tuple[Path, ...]:
    """Write volumes as NIfTI under their names, labels as whole numbers."""
    from emrecon.io import nifti  # noqa: PLC0415 - brings nibabel

    for name, volume in volumes.items():
        nifti.write(volume, folder / f"{name}.nii.gz", labels=name == "labels")
    return tuple(folder / f"{name}.nii.gz" for name in volumes)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents where they do not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot make the folder {folder}: {error.strerror}") from error


def _silent(done: int, total: int) -> None:
    """Show nothing."""
