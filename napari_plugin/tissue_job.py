"""The segmentation that the panel runs: the command line's own job, pass by pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate
from emrecon.jobs.base import Observer
from emrecon.jobs.segment import FitStage, SegmentationJob, SegmentRun
from emrecon.jobs.segment_result import SegmentResult
from emrecon.metrics.compare import onto
from emrecon.stop import pressed
from emrecon.tissue.field import State
from emrecon.volume import Volume
from napari_plugin.elsewhere import compiled_elsewhere
from napari_plugin.session import Session
from napari_plugin.tissue_seen import Seen, seen, seen_at_end

Ready = Callable[[SegmentationJob], SegmentationJob]
"""Names the files of a job: writes layers that were made or edited in napari."""


class TissueJob:
    """Segments for a session; what it has so far can be read from another thread.

    Parameters
    ----------
    job : SegmentationJob
        What to segment.
    ready : callable, optional
        Names its files; called in the session's thread.
    truth : callable, optional
        Returns true labels, numbered as the classes.
    show : callable, optional
        Turns labels of the first channel's grid as a layer shows them.
    """

    def __init__(
        self,
        job: SegmentationJob,
        ready: Ready = lambda job: job,
        truth: Callable[[], Volume | None] = lambda: None,
        show: Callable[[Volume], NDArray[Any]] = lambda volume: volume.voxels,
    ) -> None:
        self.job, self._ready = job, ready
        self._truth_of, self._show = truth, show
        self.run: SegmentRun | None = None
        self.seen: Seen | None = None
        self.like: Volume | None = None
        """A volume on the grid of the labels, whose voxels are nothing."""
        self.stopped = False
        """Whether Stop ended it before it was fitted."""
        self.passes = 0
        self.picture_s = 0.0
        self._truth: NDArray[Any] | None = None

    def release(self) -> None:
        """Let go of the model; what is to be seen stays."""
        self.run = None

    def __call__(self, session: Session) -> SegmentResult:
        """Run to the end, or until stopped."""
        session.preparing(0, 0)
        session.words = "pass {}".format
        self.job = self._ready(self.job)
        session.compile = partial(compiled_elsewhere, self.job)
        run = self.job.begin(session.meters)
        session.go_on()
        if (truth := self._truth_of()) is not None:
            self._truth = np.rint(onto(truth, run.channels[0], 0))
        grid = np.broadcast_to(np.uint8(0), run.fit.data.mask.shape)
        self.like = Volume(grid, run.fit.data.own_affine)  # type: ignore[arg-type] # labels
        self.run = run

        def look(stage: FitStage) -> Sequence[Observer]:
            before = self.passes
            session.stage(before + stage.updates - 1)

            last: list[State | None] = [None]

            def observe(iterate: Iterate[State]) -> None:
                number, (earlier,) = before + iterate.number, last
                self.passes = number + 1
                session.look(number, lambda: self._picture(run, stage, iterate.params, earlier))
                last[0] = iterate.params

            return [observe]

        def fitted() -> None:
            self.stopped, session.total = session.control.is_set(), self.passes - 1
            session.note = "working out volumes and how sure they are"

        result = run.iterate(look, pressed(session.control), fitted=fitted)
        session.note = ""
        last = self.seen = seen_at_end(run.fit, result.segmentation, self._truth)
        session.last(session.number, lambda: self._turned(run, last))
        return result

    def _picture(
        self, run: SegmentRun, stage: FitStage, state: State, earlier: State | None
    ) -> NDArray[Any]:
        began = time.perf_counter()
        self.seen = seen(run.fit, stage.image, stage.strides, state, self._truth, earlier)
        picture = self._turned(run, self.seen)
        self.picture_s = time.perf_counter() - began
        return picture

    def _turned(self, run: SegmentRun, what: Seen) -> NDArray[Any]:
        return self._show(Volume(what.labels, run.fit.data.own_affine))  # type: ignore[arg-type] # labels
