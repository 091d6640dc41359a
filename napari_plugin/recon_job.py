"""The reconstruction that the panel runs: the command line's own job, iterate by iterate.

It is made of the halves of `emrecon.jobs.reconstruct` and `emrecon.jobs_listmode`'s, so the bits
are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon import metrics
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import SettingsError
from emrecon.jobs import Begun, begin
from emrecon.jobs_events import Made, Part, begin_listmode
from emrecon.stop import pressed
from emrecon.volume import Volume
from emrecon.watchers import ConvergenceLog, Row, lengths
from napari_plugin.recon_outcome import Choice, ListmodeOutcome, Outcome
from napari_plugin.session import Session, Stopped

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
        self, choose: Callable[[], Choice], truth: Callable[[], Volume | None] = lambda: None
    ) -> None:
        self._choose, self._truth = choose, truth
        self.begun: Begun | Part | None = None
        self.log = ConvergenceLog()
        self.nrmse: list[float] = []
        self.scored: list[int] = []
        """Updates that `nrmse` is of: those kept, and whole passes."""
        self.affine, self.unit = np.eye(4), ""
        self.names: tuple[str, ...] = ()
        """Of frames or gates."""
        self.before = 0
        """Iterates of frames before this one."""
        self._each = 0

    def __call__(self, session: Session) -> Outcome | ListmodeOutcome:
        """Run to the end, or until stopped."""
        choice = self._choose().understood()
        if choice.by_listmode:
            return self._listmode(choice, session)
        begun = begin(
            choice.scan, choice.settings, choice.parts, camera=choice.camera,
            meters=_meters(session),
        )  # fmt: skip
        problem = begun.problem
        self._expect(session, problem.settings.iterations * len(problem.models))
        reached = self._iterate(begun, session, self._score(begun, session))
        stopped = session.control.is_set() and reached.number < session.total
        return Outcome(choice, begun, reached, self.log, stopped)

    def _listmode(self, choice: Choice, session: Session) -> ListmodeOutcome:
        """Run image after image; of several a stopped one is left out."""
        begun = begin_listmode(choice.scan, choice.settings, choice.parts, choice.listmode)
        several = choice.listmode.several
        self.names = begun.names if several else ()
        made: list[Made] = []
        whole = True
        with closing(begun.images(_meters(session))) as parts, suppress(Stopped):
            for number, part in enumerate(parts):
                updates = part.problem.settings.iterations * len(part.problem.models)
                self._expect(session, updates, len(begun.names))
                self.before, session.about = number * self._each, part.name if several else ""
                score = _no_score if several else self._score(part, session)
                reached = self._iterate(part, session, score)
                whole = not session.control.is_set() or reached.number >= updates
                if whole or not several:
                    made.append(part.done(reached, self.log))
                if not whole:
                    break
        if not made:
            raise Stopped
        if several:
            ends = range(self._each - 1, len(made) * self._each, self._each)
            session.history.replace(ends, [_turned(one.volume) for one in made])
        stopped = not whole or len(made) < len(begun.names)
        return ListmodeOutcome(choice, begun, tuple(made), stopped)

    def _expect(self, session: Session, updates: int, images: int = 1) -> None:
        """Say how long it will be: every image has its start, which counts too, but the first."""
        self._each = updates + 1
        session.total = images * self._each - 1
        session.history.expect(session.total)

    def _iterate(
        self, what: Begun | Part, session: Session, score: Callable[..., None]
    ) -> Iterate[Image]:
        """Iterate one image to its end, or until stopped."""
        problem, before = what.problem, self.before
        self.log = ConvergenceLog(len(problem.models))
        first = what.volume(problem.start)
        self.affine, self.unit = first.affine, first.unit
        self.begun = what

        def look(iterate: Iterate[Image]) -> None:
            session.look(before + iterate.number, lambda: _turned(what.volume(iterate.params)))

        watched = watch(problem.iterates(), self.log, score, look)
        reached = last(until(watched, pressed(session.control), *problem.enough()))
        score(reached, always=True)
        session.last(before + reached.number, lambda: _turned(what.volume(reached.params)))
        return reached

    def words(self, number: int) -> str:
        """Return what an iterate of the run is, by its number: frame and iteration."""
        image, update = divmod(number, self._each)
        whole, part = divmod(update, self.subsets)
        text = f"iteration {whole}" + (f" + {part}/{self.subsets}" if part else "")
        return f"{self.names[image]}, {text}" if self.names else text

    @property
    def subsets(self) -> int:
        """Return the number of updates in a pass over the data; 1 before that is known."""
        return len(self.begun.problem.models) if self.begun else 1

    def _score(self, begun: Begun | Part, session: Session) -> Callable[..., None]:
        """Return what notes an iterate's distance from the truth, before the post-filter.

        Not of every one: on small scans that alone would take a tenth of the time.
        """
        known = self._truth()
        if known is None:
            return _no_score
        begin_with = _unfiltered(begun, begun.problem.start)
        truth = metrics.match(begin_with, known)[1].astype(np.float32)
        size = lengths(truth, truth)[1]
        if not size:
            raise SettingsError("the truth is 0 everywhere: there is nothing to compare with")

        def score(iterate: Iterate[Image], *, always: bool = False) -> None:
            number = iterate.number
            whole = number % self.subsets == 0
            if self.scored[-1:] == [number]:
                return
            if not (always or whole or session.history.wants(number)):
                return
            self.scored.append(number)
            self.nrmse.append(lengths(truth, _unfiltered(begun, iterate.params).voxels)[0] / size)

        return score


def _no_score(iterate: Iterate[Image], *, always: bool = False) -> None:
    """Compare with nothing."""


def _turned(volume: Volume) -> Image:
    """Return the voxels as a layer shows them: axes S, A, R."""
    return volume.voxels.transpose(2, 1, 0)


def _unfiltered(begun: Begun | Part, image: Image) -> Volume:
    """Return an iterate in its place and unit, without the post-filter."""
    plain = replace(begun.problem, settings=replace(begun.problem.settings, post_fwhm_mm=()))
    return replace(begun, problem=plain).volume(image)


class _Meter:
    """Tells a session how far the sensitivities are."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, iterate: Iterate[Any], /) -> None:
        """Ignore iterates: the session sees them itself."""

    def update(self, done: int, total: int) -> None:
        """Pass it on."""
        self._session.preparing(done, total)


def _meters(session: Session) -> Callable[[str, int], Any]:
    @contextmanager
    def meters(what: str, total: int) -> Iterator[_Meter]:
        session.preparing(0, total)
        yield _Meter(session)

    return meters


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
