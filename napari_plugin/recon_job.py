"""The reconstruction that the panel runs: the command line's own job, iterate by iterate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from emrecon import metrics
from emrecon.em import Iterate
from emrecon.errors import SettingsError
from emrecon.jobs.base import Observer
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.recon_image import ReconImage
from emrecon.jobs.recon_result import ReconResult
from emrecon.stop import pressed
from emrecon.tomo.problem import UNIT
from emrecon.volume import Array, Volume
from emrecon.watchers import ConvergenceLog, Row, State, lengths
from napari_plugin.elsewhere import compiled_elsewhere
from napari_plugin.history import History
from napari_plugin.inside import Inside, look_inside
from napari_plugin.session import Session

Image = NDArray[np.float32]


Ready = Callable[[ReconstructionJob, Session], ReconstructionJob]
"""Names the files of a job: simulates an example, writes a layer that was edited."""


def as_it_is(job: ReconstructionJob, session: Session) -> ReconstructionJob:
    """Take a job whose files are all there."""
    return job


class ReconJob:
    """Reconstructs for a session; what it has so far can be read from another thread.

    Parameters
    ----------
    job : ReconstructionJob
        What to run.
    ready : callable, optional
        Names its files; called in the session's thread, as that may take long.
    truth : callable, optional
        Returns what a perfect reconstruction equals; called after `ready`.
    """

    def __init__(
        self,
        job: ReconstructionJob,
        ready: Ready = as_it_is,
        truth: Callable[[], Volume | None] = lambda: None,
    ) -> None:
        self.job, self._ready, self._truth = job, ready, truth
        self.image: ReconImage | None = None
        """What is iterated, until `release`."""
        self.log = ConvergenceLog()
        self.score = Score()
        self.affine, self.unit = np.eye(4), ""
        self.names: tuple[str, ...] = ()
        """Of frames or gates."""
        self.before = 0
        """Iterates of frames before this one."""
        self.subsets = 1
        """Number of updates in a pass over the data; 1 before that is known."""
        self.latest: Iterate[Array] | None = None
        """The iterate that was made last."""
        self.wants_inside = False
        """Whether each picture comes with the update that follows it."""
        self.inside: Inside | None = None
        self._each = 1
        self._states: dict[int, State] = {}
        self._earlier: tuple[Score, History] | None = None

    def further(self, iterations: int, result: ReconResult, history: History) -> ReconJob:
        """Return what makes so many iterations more of a run, from where each image ended.

        Raises
        ------
        SettingsError
            If it is of several betas.
        """
        if self.job.penalty.betas:
            raise SettingsError("images of several betas cannot be gone on with: run them again")
        passes = result.images[0].reached.number // self.subsets + iterations
        settings = replace(self.job.settings, iterations=passes)
        job = ReconJob(replace(self.job, settings=settings), self._ready, self._truth)
        job._states = {
            number: State(one.reached.number, one.reached.params, list(one.history.rows))
            for number, one in enumerate(result.images)
        }
        if not result.several:
            job._earlier = self.score, history
        return job

    def __call__(self, session: Session) -> ReconResult:
        """Run to the end, or until stopped; of frames or gates, those that were whole are kept."""
        job = self._ready(self.job, session)
        session.compile = partial(compiled_elsewhere, job)
        run = job.begin(session.meters)
        session.go_on()
        images, several = len(run.images.names), run.job.several
        self.names = run.images.names if several else ()
        if self._states:
            run = replace(run, states=self._states)
        if self._earlier is not None:
            session.history.take_over(self._earlier[1])

        def look(image: ReconImage) -> Sequence[Observer]:
            self._expect(session, image, images)
            if not several and (truth := self._truth()) is not None:
                earlier = self._earlier[0] if self._earlier else Score()
                self.score = _score(image, truth, earlier)
            return [lambda iterate: self._observe(session, image, iterate)]

        result = run.iterate(look, pressed(session.control))
        self._last(session, result)
        self._earlier, self._states = None, {}
        return result

    def release(self) -> None:
        """Let go of the data that were reconstructed; curves and names stay."""
        self.image = self.latest = self.inside = None

    def _expect(self, session: Session, image: ReconImage, images: int) -> None:
        """Say how long it will be: every image has its start, which counts too, but the first."""
        first = image.volume(image.problem.start)
        self.affine, self.unit = first.affine, first.unit
        self._each = image.updates + 1
        self.before = image.number * self._each
        self.subsets, self.log, self.image = image.subsets, image.history, image
        session.total = images * self._each - 1
        session.history.expect(session.total)
        session.words = self.words

    def _observe(self, session: Session, image: ReconImage, iterate: Iterate[Array]) -> None:
        whole = iterate.number % image.subsets == 0
        if whole or session.history.wants(iterate.number):  # of all it would take too long
            self.score(image, iterate)
        number, self.latest = self.before + iterate.number, iterate

        def show() -> Image:
            if self.wants_inside:
                self.inside = look_inside(image.problem, iterate)
            return _turned(image.volume(iterate.params))

        session.look(number, show)

    def look_at(self, number: int, picture: Image) -> Inside:
        """Return the update that follows an iterate; not while this job computes.

        Raises
        ------
        SettingsError
            If the iterate is not at hand: the data were let go of, or it is shown filtered.
        """
        image, update = self.image, number - self.before
        if image is None or self.latest is None:
            raise SettingsError("the data of this run are not in memory any more: run it again")
        if self.latest.number == update:
            return look_inside(image.problem, self.latest)
        changed = image.volume(self.latest.params)
        if changed.unit != UNIT or not np.array_equal(changed.voxels, self.latest.params):
            raise SettingsError("an earlier image is kept filtered: step through the run instead")
        params = np.ascontiguousarray(picture.transpose(2, 1, 0))
        return look_inside(image.problem, Iterate(update, params, float("nan")))

    def _last(self, session: Session, result: ReconResult) -> None:
        """Show the image that the run ended with; of frames or gates, keep those in its place."""
        reached, image = result.images[-1].reached, self.image
        assert image is not None, "a result has an image"  # noqa: S101
        self.score(image, reached)
        volumes = [_turned(one.volume) for one in result.images]
        session.last((len(volumes) - 1) * self._each + reached.number, lambda: volumes[-1])
        if self.names:
            ends = range(self._each - 1, len(volumes) * self._each, self._each)
            session.history.replace(ends, volumes)

    @property
    def rows(self) -> list[Row]:
        """How every iterate of the image fared so far."""
        return list(self.log.rows)

    def words(self, number: int) -> str:
        """Return what an iterate of the run is, by its number: frame and iteration."""
        image, update = divmod(number, self._each)
        whole, beyond = divmod(update, self.subsets)
        text = f"iteration {whole}" + (f" + {beyond}/{self.subsets}" if beyond else "")
        text = text if update else "start image"
        return f"{self.names[image]}, {text}" if self.names else text


@dataclass(eq=False)
class Score:
    """The distance of iterates from the truth, before the post-filter; none without a truth."""

    truth: Array | None = None
    """Image that a perfect reconstruction equals, on its voxels."""

    length: float = 0.0
    """Of the truth, over all voxels."""

    nrmse: list[float] = field(default_factory=list)
    """Root mean square error over that of 0."""

    updates: list[int] = field(default_factory=list)
    """What `nrmse` is of."""

    def __call__(self, image: ReconImage, iterate: Iterate[Array]) -> None:
        """Measure an iterate, unless that was done."""
        if self.truth is None or self.updates[-1:] == [iterate.number]:
            return
        distance, _ = lengths(self.truth, _unfiltered(image, iterate.params).voxels)
        self.updates.append(iterate.number)
        self.nrmse.append(distance / self.length)


def _score(image: ReconImage, known: Volume, earlier: Score) -> Score:
    """Return what measures the iterates of an image.

    Raises
    ------
    SettingsError
        If the truth is 0 everywhere.
    """
    start = _unfiltered(image, image.problem.start)
    truth = metrics.match(start, known)[1].astype(np.float32)
    length = lengths(truth, truth)[1]
    if not length:
        raise SettingsError("the truth is 0 everywhere: there is nothing to compare with")
    return Score(truth, length, list(earlier.nrmse), list(earlier.updates))


def _turned(volume: Volume) -> Image:
    """Return the voxels as a layer shows them: axes S, A, R."""
    return volume.voxels.transpose(2, 1, 0)


def _unfiltered(image: ReconImage, iterate: Array) -> Volume:
    """Return an iterate in its place and unit, without the post-filter."""
    settings = replace(image.problem.settings, post_fwhm_mm=())
    return replace(image, problem=replace(image.problem, settings=settings)).volume(iterate)


def pass_sums(values: Sequence[float], subsets: int) -> list[float]:
    """Return what values of subsets, such as log-likelihoods, come to in every pass.

    Those of a pass over all subsets, each taken at its own turn, are added up: only such sums can
    be compared. There is none before the end of the first pass.
    """
    if len(values) < subsets:
        return []
    sums = np.cumsum([0.0, *values])
    return list(sums[subsets:] - sums[:-subsets])


def gaps(values: list[float]) -> list[float]:
    """Return how far values are below the best, which has no place on a logarithmic axis."""
    most = max(values, default=0.0)
    return [most - value or float("nan") for value in values]
