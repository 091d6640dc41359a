"""The reconstruction job: a scan from files to an image with sidecar, picture and log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from emrecon import io
from emrecon.brief import brief
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import FormatError, SettingsError
from emrecon.files import hashing, keep_inputs
from emrecon.io.manifest import resolved
from emrecon.jobs import base, input_files
from emrecon.jobs.anatomy import check_on_grid
from emrecon.jobs.base import Estimate, Execution, Look, Meters, no_meters, nobody
from emrecon.jobs.bundle import check_outputs
from emrecon.jobs.data_kinds import CAMERA, EVENTS, data_of, need_map, refuse_unused
from emrecon.jobs.prior_images import check_guides
from emrecon.jobs.quantify import Quantifier
from emrecon.jobs.recon_choice import ReconChoice
from emrecon.jobs.recon_estimate import estimate
from emrecon.jobs.recon_image import ImageResult, ReconImage
from emrecon.jobs.recon_images import Images
from emrecon.jobs.recon_regions import measured
from emrecon.jobs.recon_result import ReconResult
from emrecon.stop import Enough, Rule, Stopped
from emrecon.tomo.anatomy_settings import AnatomySettings
from emrecon.tomo.inputs import IN_BINS, CameraFacts, Corrections
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.penalised import refuse_few_updates
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings
from emrecon.volume import Array
from emrecon.watchers import Checkpoint, ConvergenceLog, State
from emrecon.workers import check_address

log = logging.getLogger(__name__)

ONLY_STOPS = base.PINNED | {
    "iterations", "tolerance", "until_converged", "post_fwhm_mm", "cps_per_mbq", "view_s",
    "decayed_h", "uncertainty", "draws", "draw_seed", "suv", "dead_time_us", "dead_time_model",
    "singles_cps",
}  # fmt: skip
"""Settings that say when to stop or how an iterate is shown, and decide no iterate."""

BY_NORM = {"dead_time_us", "singles_cps"}
"""Those of them that decide the efficiencies of a norm, with its dead time or without."""

ONLY_SHOWN = {"calibration", "facts", "regions", "regions data", "region names"}
"""Inputs that decide no iterate, likewise."""


@dataclass(frozen=True)
class ReconstructionJob(ReconChoice):
    """Reconstruct a scan by MLEM or OSEM, or with a prior: whole, by events, frames or gates.

    Examples
    --------
    >>> from emrecon import Settings
    >>> job = ReconstructionJob(Path("scan"), Path("image.nii.gz"), Settings(iterations=2))
    >>> [path.name for path in job.outputs()]
    ['image.nii.gz', 'image.json', 'image.csv', 'image.png']
    """

    __repr__ = brief

    def check(self, execution: Execution) -> None:
        """Refuse what settings, headers and tables decide.

        Raises
        ------
        EmreconError
            If one of them cannot be read, or they do not go together.
        """
        self._checked(execution)

    def estimate(self) -> Estimate:
        """Return what it is likely to need, from the headers of its files.

        Raises
        ------
        EmreconError
            If a header cannot be read.
        """
        return estimate(self)

    def begin(self, meters: Meters = no_meters, execution: Execution | None = None) -> ReconRun:
        """Find out what images are made, and refuse what cannot be.

        Raises
        ------
        EmreconError
            If anything is wrong with input, settings or output.
        """
        fitted = self.penalty.fitted(self.settings)
        if fitted != self.settings:  # what takes no subsets
            return replace(self, settings=fitted).begin(meters, execution)
        execution = execution or Execution()
        path, corrections, data, inputs = self._checked(execution)
        saves = self.settings.checkpoint_every or execution.SAVES
        keyed = execution.resume or execution.cache or saves
        decide = {what: path for what, path in inputs.items() if what not in ONLY_SHOWN}
        shown = ONLY_STOPS if corrections.norm is None else ONLY_STOPS - BY_NORM
        key = base.key_of(self, base.digests(decide), shown) if keyed else ""
        if keyed and execution.workers:  # other chunks round otherwise
            key += f"-{execution.chunks}"
        state = self._state(key) if execution.resume else None
        images = Images(self, path, corrections, data, execution, inputs, key, meters)
        return ReconRun(self, images, key, {} if state is None else {0: state})

    def _checked(self, execution: Execution) -> tuple[Path, Corrections, str, dict[str, Path]]:
        """Return prompts, corrections, kind of data and inputs; refuse what goes with none."""
        series = self.out is not None and io.is_series(self.out)
        if self.out is not None:
            self.check_format()
            makes, anywhere = self.out if series else None, execution.MAKES_FOLDERS
            check_outputs(self.outputs(), {}, makes, anywhere=anywhere)
        path, corrections = resolved(self.scan, self.corrections)
        data = data_of(path, self.listmode)
        _refuse_settings(self, data, path.name, corrections)
        fitted = self.penalty.fitted(self.settings)
        refuse_few_updates(self.penalty, fitted.iterations, fitted.subsets)
        _refuse_execution(self, execution, data, corrections)
        inputs = self.inputs()
        keep_inputs(self.outputs(), inputs)
        decayed = self.listmode.decay_corrected
        facts = Quantifier.of(corrections, data, decay_corrected=decayed).facts
        if series and data == CAMERA:
            raise SettingsError("DICOM PT is of PET, not of a gamma camera: name it .nii.gz")
        if series:
            facts.require("TimeZero", "ScanStart", purpose="a DICOM series")
        input_files.check_data(inputs, self.camera)
        input_files.check_corrections(path, corrections)
        grid = input_files.grid_of_scan(path, corrections, self.settings)
        if grid is not None:
            check_guides(self.penalty, self.kernel, self.anatomical, grid)
            if self.regions.regions is not None:
                check_on_grid([self.regions.regions], grid)
        return path, corrections, data, inputs

    def _state(self, key: str) -> State | None:
        """Return where a stopped run stood, if it left a checkpoint."""
        saved = self.checkpoint
        if saved is None or not saved.exists():
            log.warning("no checkpoint %s: starting from the beginning", saved and saved.name)
            return None
        state = Checkpoint.load(saved, key)
        log.info("resumed at update %d", state.number)
        return state


@dataclass(frozen=True, eq=False)
class ReconRun:
    """A reconstruction up to its first iterate."""

    job: ReconstructionJob
    """What is reconstructed."""

    images: Images
    """Gives each image, ready to be iterated."""

    key: str
    """Name of all that decides the iterates; empty where nothing is kept."""

    states: Mapping[int, State]
    """Where images stood, by their numbers, that are gone on with."""

    __repr__ = brief

    def iterate(self, look: Look = nobody, *rules: Rule) -> ReconResult:
        """Iterate image after image; of several, one that a rule stopped is left out.

        Raises
        ------
        SettingsError
            If the checkpoint is beyond the last update, or a rule stopped the first of several.
        """
        done: list[ImageResult] = []
        several, whole = self.job.several, True
        inputs = self.images.inputs.values() if self.job.out else ()
        with closing(self.images.ready()) as images, hashing(inputs), suppress(Stopped):
            for image in images:
                before = done[-1].reached.params if done and self.job.penalty.betas else None
                result = self._one(image, look, rules, before)
                whole = result.whole
                if whole or not several:
                    done.append(result)
                if not whole:
                    break
        if not done:
            raise SettingsError("the run was stopped before its first image was whole")
        complete = whole and len(done) == len(self.images.names)
        return ReconResult(self.job, self.images, tuple(done), stopped=not complete)

    def _one(
        self, image: ReconImage, look: Look, rules: tuple[Rule, ...], before: Array | None
    ) -> ImageResult:
        """Iterate one image to its end; in a sweep from the one before it."""
        problem, state = image.problem, self.states.get(image.number)
        if state is not None:
            _check(state, problem.start.shape, image)
        rows = state.rows if state else None
        history = ConvergenceLog(image.subsets, rows)
        observers: list[base.Observer] = [history]
        every, saved = self._every(image), self.job.checkpoint
        if every and saved is not None:
            observers.append(Checkpoint(saved, every, self.key, history))
        shown = replace(image, history=history)
        observers += look(shown)
        run = problem.iterates(state.image, state.number) if state else problem.iterates()
        if before is not None:
            run = problem.iterates(before, problem.warm)
        earlier = [row.objective for row in state.rows[:-1]] if state else []
        enough = Enough(problem.enough(earlier))
        reached: Iterate[Array] = last(until(watch(run, *observers), enough, *rules))
        done = shown.done(reached, whole=enough.reached, state=state)
        chosen = self.job.regions
        if not enough.reached:
            chosen = replace(chosen, uncertainty="none")
        return replace(done, regions=measured(shown, reached, chosen, self.images.meters, rules))

    def _every(self, image: ReconImage) -> int:
        """Return after how many updates the state is saved; 0 is never."""
        every = self.job.settings.checkpoint_every
        if every is None and self.images.execution.SAVES and not self.job.several:
            every = image.subsets
        period = image.problem.period
        return -(-(every or 0) // period) * period  # a run goes on from these alone


def _check(state: State, shape: tuple[int, ...], image: ReconImage) -> None:
    """Refuse a state that this image cannot have had."""
    if state.image.shape != shape:
        raise FormatError("the checkpoint holds an image of another shape: remove it")
    if state.number > image.updates:
        raise SettingsError(f"the checkpoint is already at update {state.number}: nothing to do")


def _refuse_settings(
    job: ReconstructionJob, data: str, name: str, corrections: Corrections
) -> None:
    """Refuse settings that say nothing, of these data or beside each other."""
    chosen = (job.settings, corrections, job.camera, job.listmode, job.penalty)
    refuse_unused(data, name, *chosen, job.kernel, job.regions)
    if corrections.simulate_scatter:
        need_map(corrections)
        if corrections.additive is not None:
            raise SettingsError(
                "--additive holds randoms and scatter together: give --randoms, and --scatter "
                "simulate"
            )
    in_bins = any(getattr(corrections, correction) for correction in IN_BINS)
    if data == EVENTS and (corrections.sum_tof or corrections.tof_fwhm_ps) and not in_bins:
        raise SettingsError(
            "sum_tof and tof_fwhm_ps are for files of bins, and no correction of single events "
            "is one: leave them out"
        )
    job.regions.check(prior=bool(job.penalty.prior))
    guides = (*job.penalty.anatomy, *job.kernel.kernel)
    job.anatomical.check(guided=bool(guides), tissues=any(path.is_dir() for path in guides))
    if job.listmode.several and job.penalty.betas:
        raise SettingsError("several betas are of one image: leave out frames and gates")


def _refuse_execution(
    job: ReconstructionJob, execution: Execution, data: str, corrections: Corrections
) -> None:
    """Refuse ways of carrying it out that this job has not."""
    several, shared = job.listmode.several, bool(execution.workers)
    refused = {
        "frames, gates and several betas have no checkpoints: leave them out": job.several
        and (job.settings.checkpoint_every or execution.resume),
        "frames and gates take neither --cache nor --workers: leave them out": several
        and (execution.cache or shared),
        "the sensitivity of single events is not kept: leave out --cache": execution.cache
        and data == EVENTS,
        "--chunks are for --workers": execution.chunks and not shared,
        "--mlaa does not run on --workers: leave one of them out": shared and corrections.mlaa,
        "give --cache or --workers: each worker keeps its share in memory": execution.cache
        and shared,
    }
    for words, wrong in refused.items():
        if wrong:
            raise SettingsError(words)
    if shared:
        check_address(execution.workers)
    if execution.cache:
        check_outputs((execution.cache / "sensitivities",), {}, anywhere=True)
    for name in ("randoms", "scatter", "additive"):
        if getattr(corrections, name) is not None and several:
            raise SettingsError(
                f"--{name} holds counts of one scan, not of each frame or gate: leave it out, or "
                "reconstruct frames one by one"
            )


def reconstruct(  # noqa: PLR0913 - each is one choice of the user's
    scan: Path,
    out: Path | None = None,
    settings: Settings | None = None,
    corrections: Corrections | None = None,
    *,
    camera: CameraFacts | None = None,
    listmode: ListmodeSettings | None = None,
    penalty: Penalty | None = None,
    kernel: KernelSettings | None = None,
    anatomical: AnatomySettings | None = None,
    regions: RegionSettings | None = None,
    execution: Execution | None = None,
    meters: Meters = no_meters,
) -> ReconResult:
    """Reconstruct a scan from files, as ``emrecon recon`` does, to the same bits.

    Parameters
    ----------
    scan : Path
        Any scan: a folder, Interfile, DICOM NM, PETLINK or PETSIRD; see `ReconstructionJob`.
    out : Path, optional
        Image to write, with sidecar, picture and convergence log; nothing is written without.
    settings : Settings, optional
        How to reconstruct.
    corrections : Corrections, optional
        Files with corrections.
    camera : CameraFacts, optional
        What to take from SPECT files, and what stands in for what they do not say.
    listmode : ListmodeSettings, optional
        Event by event, in frames or in gates.
    penalty : Penalty, optional
        A prior, and the algorithm that takes it.
    kernel : KernelSettings, optional
        Images of which kernel EM takes what looks alike.
    anatomical : AnatomySettings, optional
        What is made of an anatomy or a kernel's images.
    regions : RegionSettings, optional
        Labels of regions to measure, and where their standard errors come from.
    execution : Execution, optional
        Checkpoint, cache, workers.
    meters : callable, optional
        Makes the progress bars.

    Raises
    ------
    EmreconError
        If anything is wrong with input, settings or output; nothing is left half-written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import emrecon as em
    >>> from phantoms.acquisition import Acquisition
    >>> like = Acquisition(scanner="tiny", counts=2e5)
    >>> with TemporaryDirectory() as name:
    ...     scan, image = Path(name) / "scan", Path(name) / "image.nii.gz"
    ...     _ = em.run(em.SimulationJob("flip-finder", scan, like))
    ...     _ = em.reconstruct(scan, image, em.Settings(iterations=1, subsets=4))
    ...     em.read_image(image).unit
    'counts/mm'
    """
    job = ReconstructionJob(
        scan, out, settings or Settings(), corrections or Corrections(), camera or CameraFacts(),
        listmode or ListmodeSettings(), penalty or Penalty(), kernel or KernelSettings(),
        anatomical or AnatomySettings(), regions or RegionSettings(),
    )  # fmt: skip
    if out is not None:
        result, _ = base.run(job, meters, execution)
        return result  # type: ignore[return-value] # of this job
    return job.begin(meters, execution).iterate()
