"""The images that a reconstruction makes: of each, the problem that is iterated."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.brief import brief
from emrecon.errors import SettingsError
from emrecon.heard import heard
from emrecon.io.frames import Frame, read_frames
from emrecon.io.gates import Gating, gates_of
from emrecon.io.scan import open_events, read_scan
from emrecon.jobs.anatomy import Anatomy
from emrecon.jobs.base import Execution, Meters
from emrecon.jobs.data_kinds import CAMERA, EVENTS
from emrecon.jobs.prior_images import Guide
from emrecon.jobs.quantify import Quantifier, Quantity
from emrecon.jobs.recon_attenuation import with_attenuation
from emrecon.jobs.recon_choice import ReconChoice
from emrecon.jobs.recon_image import ReconImage
from emrecon.jobs.recon_scatter import Refill, simulated, with_scatter
from emrecon.tomo.camera_setup import about_axis
from emrecon.tomo.chunks import Only
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.gates import Gate, When
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_scan import ListmodeScan
from emrecon.tomo.prepare import prepare
from emrecon.tomo.problem import Problem
from emrecon.tomo.scan import Scan
from emrecon.tomo.scatter_loop import ScatterEstimate
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import GROUPS, sensitivity_of, silent
from emrecon.volume import Array

Stretch = Frame | Gate | None
"""What of a scan one image is made of; None for all of it."""


@dataclass(frozen=True, eq=False)
class Images:
    """What a reconstruction makes images of."""

    job: ReconChoice
    """What is reconstructed."""

    path: Path
    """The prompts or events: what a manifest names, where there is one."""

    corrections: Corrections
    """Files with corrections, those of a manifest too."""

    data: str
    """What is reconstructed, in the words of `emrecon.jobs.data_kinds`."""

    execution: Execution
    """Cache, workers."""

    inputs: dict[str, Path]
    """Every file that is read, by what it is."""

    key: str
    """Name of what is kept in the cache."""

    meters: Meters
    """Makes the progress bars."""

    stretches: tuple[Stretch, ...] = field(init=False)
    """What each image is made of."""

    gates: dict[str, Any] = field(init=False)
    """What is known about gates."""

    quantifier: Quantifier = field(init=False)
    """Turns counts/mm into what was asked for."""

    __repr__ = brief

    def __post_init__(self) -> None:
        stretches, gates = _stretches(self)
        quantifier = Quantifier.of(
            self.corrections, self.data, decay_corrected=self.job.listmode.decay_corrected
        )
        object.__setattr__(self, "quantifier", quantifier)
        object.__setattr__(self, "stretches", stretches)
        object.__setattr__(self, "gates", gates)

    @property
    def names(self) -> tuple[str, ...]:
        """What each image is called."""
        if betas := self.job.penalty.betas:
            return tuple(f"beta {beta:g}" for beta in betas)
        return tuple(self._name(n, stretch) for n, stretch in enumerate(self.stretches, 1))

    def ready(self) -> Generator[ReconImage]:
        """Yield one image after another, ready to be iterated; close what yields them."""
        if self.execution.workers:
            yield from self._shared()
            return
        kept, settings, guide = _Sensitivity(), self.job.settings, self._guide
        for number, stretch in enumerate(self.stretches):
            with self._load(stretch)(None) as read:
                _check_end(stretch, read.duration_s)
                self._refuse_other_quantity(stretch, read)
                scan, mu = with_attenuation(read, self.corrections, settings, self.meters)
                scan, scatter = with_scatter(scan, self.corrections, settings.threads, self.meters)
                facts = self._facts(scan)
                for other, problem in enumerate(guide.of(self._problem(scan, kept))):
                    all_facts = facts | problem.facts | guide.anatomy.facts
                    image = self._image(number + other, problem, all_facts)
                    yield replace(image, scatter=scatter, mu=mu)

    def _shared(self) -> Iterator[ReconImage]:
        """Yield the one image whose data lie on workers."""
        from emrecon.tomo.sharing import share  # noqa: PLC0415 - few runs are shared
        from emrecon.workers import opened  # noqa: PLC0415 - brings Dask

        settings, execution = self.job.settings, self.execution
        load, scatter = self._scattering()
        with opened(execution.workers, settings.threads) as workers:
            with self.meters("sensitivity", settings.subsets) as meter:
                progress = meter.update if meter else silent
                problem = share(workers, load, settings, execution.chunks, progress)
            guide = self._guide
            for number, one in enumerate(guide.of(problem)):
                all_facts = one.facts | guide.anatomy.facts | self._reading()
                yield replace(self._image(number, one, all_facts), scatter=scatter)

    def _scattering(self) -> tuple[Load, ScatterEstimate | None]:
        """Return what opens the scan on a worker, and the scatter that it fills in there.

        That is simulated here, of the whole scan, which is then let go of.
        """
        load = self._load(None)
        if not self.corrections.simulate_scatter:
            return load, None
        with ExitStack() as held:
            # the workers, who read the same, have warnings said
            with heard(every_thread=True, silent=True):
                scan = held.enter_context(load(None))
            scatter = simulated(scan, self.corrections, self.job.settings.threads, self.meters)
        assert scatter is not None  # noqa: S101 - as it is asked for
        kept = replace(scatter, scatter=np.empty(0, np.float32), attenuation=None)
        return replace(load, refill=Refill.of(scatter)), kept

    def _image(self, number: int, problem: Problem, facts: dict[str, Any]) -> ReconImage:
        """Return an image with its name, place and unit."""
        exam = problem.exam
        stretch = self.stretches[0 if self.job.penalty.betas else number]
        quantity = self._quantity(stretch, exam, facts)
        told: dict[str, Any] = {"efficiencies_from": self.quantifier.efficiencies}
        if self.data != CAMERA:
            told["corrected_for"] = sorted(self.quantifier.corrected)
        facts = facts | quantity.facts | told
        image = ReconImage(
            self.names[number], number, problem, facts, self.inputs, quantity, problem.origin_mm
        )
        self.quantifier.refuse_other_dose(image.volume(problem.start), facts)
        return image

    def _quantity(self, stretch: Stretch, exam: ExamInfo, facts: dict[str, Any]) -> Quantity:
        """Return what an image is multiplied by."""
        return self.quantifier.quantity(stretch, exam, facts, exam.duration_s)

    def _refuse_other_quantity(self, stretch: Stretch, scan: Scan | ListmodeScan) -> None:
        """Refuse, before any work, what the image of a scan cannot be multiplied by."""
        if isinstance(scan, ListmodeScan):
            prompts = float(len(scan.events))
        else:
            prompts = float(scan.prompts.sum(dtype=np.float64))
        facts, exam = self._facts(scan) | {"prompts": prompts}, scan.exam.lasting(scan.duration_s)
        self._quantity(stretch, exam, facts)
        if stretch is None and exam.duration_s:
            self.quantifier.say_other_duration(exam.duration_s)

    def _load(self, stretch: Stretch) -> Load:
        """Return what opens the scan, or the events, of one image."""
        job = self.job
        return Load(
            self.path, self.corrections, job.camera, job.settings.isotope, _when(stretch),
            events=self.data == EVENTS,
        )  # fmt: skip

    def _problem(self, scan: Scan | ListmodeScan, kept: _Sensitivity) -> Problem:
        """Return the problem of one image."""
        settings = self.job.settings
        if isinstance(scan, ListmodeScan):
            sensitivity = kept.of(scan, settings, self.meters)
            return prepare(scan, settings, sensitivity=sensitivity)
        with self.meters("sensitivity", settings.subsets) as meter:
            return prepare(
                scan.folded(), about_axis(settings, scan),
                kept=Sensitivities(self.execution.cache, self.key),
                progress=meter.update if meter else silent,
            )  # fmt: skip

    @property
    def _guide(self) -> Guide:
        """What other images do to the problems."""
        anatomy = Anatomy(self.job.anatomical)
        return Guide(self.job.penalty, self.job.kernel, anatomy, self.meters)

    def _name(self, number: int, stretch: Stretch) -> str:
        if stretch is None:
            return self.job.method
        if isinstance(stretch, Gate):
            return f"gate {number}"
        return "frame {} ({:g} to {:g} s)".format(number, *stretch.window_s)

    def _facts(self, scan: Scan | ListmodeScan) -> dict[str, Any]:
        """Return what a scan's files say and how they were read, for the sidecar."""
        facts = {**scan.facts, "duration_s": scan.duration_s, **self._reading()}
        if isinstance(scan, ListmodeScan):
            return facts | {"by": "events"}
        scan.check()
        return facts | scan.background_totals()

    def _reading(self) -> dict[str, Any]:
        """Return how files were read, for the sidecar."""
        return {
            "mu_unit": self.corrections.mu_unit or None,
            "mu_centred": self.corrections.mu_centred or None,
            "listmode_span": self.corrections.listmode_span,
        }


@dataclass(frozen=True)
class Load:
    """Opens a scan, or its events, in this process or on a worker."""

    path: Path
    """The prompts or events."""

    corrections: Corrections
    """Files with corrections."""

    camera: CameraFacts
    """What stands in for what SPECT files do not say."""

    isotope: str
    """Isotope that goes before that of SPECT files."""

    when: When
    """What of list-mode to take."""

    events: bool
    """Whether single events are wanted."""

    refill: Refill | None = None
    """Puts in the scatter that was simulated before, if it was."""

    @contextmanager
    def __call__(self, only: Only | None) -> Iterator[Scan | ListmodeScan]:
        """Give the scan; where a part can be read alone, of the views that `only` chooses.

        Yields
        ------
        Scan or ListmodeScan
            Counts, or events while the context lasts.
        """
        if self.events:
            with open_events(self.path, self.corrections, self.when) as (events, _):
                yield self._filled(events)
            return
        parts = self.path, self.corrections, self.camera, self.isotope, self.when, only
        yield self._filled(read_scan(*parts)[0])

    def _filled(self, scan: Scan | ListmodeScan) -> Scan | ListmodeScan:
        """Return a scan with the scatter that was simulated of it before, if there is any."""
        return scan if self.refill is None else self.refill(scan)


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
                progress = meter.update if meter else silent
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
