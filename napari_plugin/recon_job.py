"""The reconstruction that the panel runs: the command line's own job, iterate by iterate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from emrecon import metrics
from emrecon.em import Iterate
from emrecon.errors import SettingsError
from emrecon.jobs.base import Observer
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.recon_images import ReconImage
from emrecon.jobs.recon_result import ReconResult
from emrecon.stop import pressed
from emrecon.volume import Array, Volume
from emrecon.watchers import Row, lengths
from napari_plugin.session import Session

Image = NDArray[np.float32]


class ReconJob:
    """Reconstructs for a session; what it has so far can be read from another thread.

    Parameters
    ----------
    choose : callable
        Returns what to run; called in the session's thread, as it may simulate a scan first.
    truth : callable, optional
        Returns what a perfect reconstruction equals; called after `choose`.
    """

    def __init__(
        self,
        choose: Callable[[], ReconstructionJob],
        truth: Callable[[], Volume | None] = lambda: None,
    ) -> None:
        self._choose, self._truth = choose, truth
        self.image: ReconImage | None = None
        """What is iterated."""
        self.score = _Score()
        self.affine, self.unit = np.eye(4), ""
        self.names: tuple[str, ...] = ()
        """Of frames or gates."""
        self.before = 0
        """Iterates of frames before this one."""
        self._each = 1

    def __call__(self, session: Session) -> ReconResult:
        """Run to the end, or until stopped; of frames or gates, those that were whole are kept."""
        job = self._choose()
        run = job.begin(session.meters)
        images, several = len(run.images.names), job.listmode.several
        self.names = run.images.names if several else ()

        def look(image: ReconImage) -> Sequence[Observer]:
            self._expect(session, image, images)
            if not several and (truth := self._truth()) is not None:
                self.score = _score(image, truth)
            return [lambda iterate: self._observe(session, image, iterate)]

        result = run.iterate(look, pressed(session.control))
        self._last(session, result)
        return result

    def _expect(self, session: Session, image: ReconImage, images: int) -> None:
        """Say how long it will be: every image has its start, which counts too, but the first."""
        first = image.volume(image.problem.start)
        self.affine, self.unit = first.affine, first.unit
        self._each = image.updates + 1
        self.before = image.number * self._each
        session.total = images * self._each - 1
        session.history.expect(session.total)
        session.about = image.name if self.names else ""
        self.image = image

    def _observe(self, session: Session, image: ReconImage, iterate: Iterate[Array]) -> None:
        whole = iterate.number % image.subsets == 0
        if whole or session.history.wants(iterate.number):  # of all it would take too long
            self.score(image, iterate)
        number = self.before + iterate.number
        session.look(number, lambda: _turned(image.volume(iterate.params)))

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
        return list(self.image.history.rows) if self.image else []

    @property
    def subsets(self) -> int:
        """Number of updates in a pass over the data; 1 before that is known."""
        return self.image.subsets if self.image else 1

    def words(self, number: int) -> str:
        """Return what an iterate of the run is, by its number: frame and iteration."""
        image, update = divmod(number, self._each)
        whole, beyond = divmod(update, self.subsets)
        text = f"iteration {whole}" + (f" + {beyond}/{self.subsets}" if beyond else "")
        return f"{self.names[image]}, {text}" if self.names else text


@dataclass(eq=False)
class _Score:
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


def _score(image: ReconImage, known: Volume) -> _Score:
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
    return _Score(truth, length)


def _turned(volume: Volume) -> Image:
    """Return the voxels as a layer shows them: axes S, A, R."""
    return volume.voxels.transpose(2, 1, 0)


def _unfiltered(image: ReconImage, iterate: Array) -> Volume:
    """Return an iterate in its place and unit, without the post-filter."""
    settings = replace(image.problem.settings, post_fwhm_mm=())
    return replace(image, problem=replace(image.problem, settings=settings)).volume(iterate)


def likelihood_gap(rows: list[Row], subsets: int) -> tuple[list[int], list[float]]:
    """Return how far every pass is below the best, and the updates they ended with.

    The likelihoods of a pass over all subsets, each taken at its own turn, are added up: only
    such sums can be compared. What is best has no place on a logarithmic axis and is left out.
    """
    numbers = [row.sub_iteration for row in rows]
    sums = np.cumsum([0.0] + [row.log_likelihood for row in rows])
    if len(rows) < subsets:
        return [], []
    passes = sums[subsets:] - sums[:-subsets]
    gaps = float(passes.max()) - passes
    ends = numbers[subsets - 1 :]
    kept = [(n, float(gap)) for n, gap in zip(ends, gaps, strict=True) if gap > 0]
    return [n for n, _ in kept], [gap for _, gap in kept]
