"""The reconstruction that the panel runs: the command line's own job, iterate by iterate.

It is made of `emrecon.jobs.begin` and `finish`, so the bits are the same. A choice can be said in
Python and as a command line, which make them again.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon import metrics
from emrecon.em import Iterate, last, until, watch
from emrecon.errors import SettingsError
from emrecon.jobs import Begun, Reconstruction, begin, finish
from emrecon.stop import pressed
from emrecon.tomo.parts import CameraFacts, Parts
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from emrecon.watchers import ConvergenceLog, Row, lengths
from napari_plugin.said import constructor, flags
from napari_plugin.session import Session

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """What to reconstruct, and how."""

    scan: Path
    """The scan, as `emrecon.io.scan.read_scan` takes it."""

    settings: Settings = field(default_factory=Settings)
    """How."""

    parts: Parts = field(default_factory=Parts)
    """Files with corrections."""

    camera: CameraFacts = field(default_factory=CameraFacts)
    """What to take from SPECT files."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A run that ended."""

    choice: Choice
    """What was run."""

    begun: Begun
    """The scan and its models."""

    reached: Iterate[Image]
    """The iterate it ended with."""

    log: ConvergenceLog
    """How every iterate fared."""

    stopped: bool
    """Whether Stop ended it, not its settings."""

    @property
    def subsets(self) -> int:
        """Return the number of updates in a pass over the data."""
        return len(self.begun.problem.models)

    def save(self, output: Path) -> Reconstruction:
        """Write the image with sidecar, picture and convergence log."""
        return finish(self.begun, self.reached, self.log, output)

    def python(self) -> str:
        """Return Python that makes this image again."""
        updates = self.reached.number if self.stopped else None
        return as_python(self.choice, updates)

    def command(self) -> str:
        """Return the command line that makes this image again.

        Raises
        ------
        SettingsError
            If the run was stopped within a pass, which no command line does.
        """
        if not self.stopped:
            return as_command(self.choice)
        passes, beyond = divmod(self.reached.number, self.subsets)
        if beyond or not passes:
            raise SettingsError(
                f"the run was stopped at update {self.reached.number}, within a pass over "
                f"{self.subsets} subsets: the command line makes whole passes. Copy as Python "
                "makes this image again"
            )
        return as_command(replace(self.choice, settings=self._whole(passes)))

    def _whole(self, passes: int) -> Settings:
        return replace(self.choice.settings, iterations=passes, tolerance=0.0)


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
        self.begun: Begun | None = None
        self.log = ConvergenceLog()
        self.nrmse: list[float] = []
        self.scored: list[int] = []
        """Updates that `nrmse` is of: those kept, and whole passes."""
        self.affine, self.unit = np.eye(4), ""

    def __call__(self, session: Session) -> Outcome:
        """Run to the end, or until stopped."""
        choice = self._choose()
        begun = begin(
            choice.scan, choice.settings, choice.parts, camera=choice.camera,
            meters=_meters(session),
        )  # fmt: skip
        problem = begun.problem
        subsets = len(problem.models)
        session.total = problem.settings.iterations * subsets
        session.history.expect(session.total)
        self.log = ConvergenceLog(subsets)
        score = self._score(begun, session)
        first = begun.volume(problem.start)
        self.affine, self.unit = first.affine, first.unit
        self.begun = begun

        def look(iterate: Iterate[Image]) -> None:
            session.look(iterate.number, lambda: _turned(begun.volume(iterate.params)))

        watched = watch(problem.iterates(), self.log, score, look)
        reached = last(until(watched, pressed(session.control), *problem.enough()))
        score(reached, always=True)
        session.last(reached.number, lambda: _turned(begun.volume(reached.params)))
        stopped = session.control.is_set() and reached.number < session.total
        return Outcome(choice, begun, reached, self.log, stopped)

    @property
    def subsets(self) -> int:
        """Return the number of updates in a pass over the data; 1 before that is known."""
        return len(self.begun.problem.models) if self.begun else 1

    def _score(self, begun: Begun, session: Session) -> Callable[..., None]:
        """Return what notes an iterate's distance from the truth, before the post-filter.

        Not of every one: on small scans that alone would take a tenth of the time.
        """
        known = self._truth()
        if known is None:
            return lambda iterate, always=False: None
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


def _turned(volume: Volume) -> Image:
    """Return the voxels as a layer shows them: axes S, A, R."""
    return volume.voxels.transpose(2, 1, 0)


def _unfiltered(begun: Begun, image: Image) -> Volume:
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


def as_python(choice: Choice, updates: int | None = None) -> str:
    """Return Python that makes the same image; of so many updates, where the run was stopped."""
    words = {"settings": choice.settings, "parts": choice.parts, "camera": choice.camera}
    given = {name: text for name, value in words.items() if (text := constructor(value))}
    imports = {
        "settings": "from emrecon.tomo.settings import Settings",
        "parts": "from emrecon.tomo.parts import Parts",
        "camera": "from emrecon.tomo.parts import CameraFacts",
    }
    whole = updates is None
    used = [imports[name] for name in given]
    arguments = [f"Path({str(choice.scan)!r})", *(["Path('recon.nii.gz')"] if whole else [])]
    arguments += [f"{key}={text}" for key, text in given.items()]
    inside = "".join(f"    {argument},\n" for argument in arguments)
    if whole:
        used.append("from emrecon.jobs import reconstruct")
        body = f"made = reconstruct(\n{inside})"
    else:
        used += [
            "from emrecon.em import last, until",
            "from emrecon.io import write_image",
            "from emrecon.jobs import begin",
            "from emrecon.stop import after",
        ]
        body = (
            f"begun = begin(\n{inside})\n"
            f"reached = last(until(begun.problem.iterates(), after({updates})))\n"
            "write_image(begun.volume(reached.params), Path('recon.nii.gz'))"
        )
    return "\n".join(["from pathlib import Path", "", *sorted(used), "", body, ""])


def as_command(choice: Choice) -> str:
    """Return the command line that makes the same image."""
    words = ["emrecon", "recon", str(choice.scan), "-o", "recon.nii.gz"]
    return shlex.join(words + flags(choice.settings, choice.parts, choice.camera))
