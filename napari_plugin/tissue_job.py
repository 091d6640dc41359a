"""The segmentation that the panel runs: the command line's own job, pass by pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from emrecon import io
from emrecon.em import Iterate
from emrecon.jobs.base import Observer
from emrecon.jobs.segment import FitStage, SegmentationJob, SegmentRun
from emrecon.jobs.segment_result import SegmentResult
from emrecon.metrics.compare import onto
from emrecon.stop import pressed
from emrecon.tissue.field import State
from emrecon.volume import Volume
from napari_plugin.session import Session
from napari_plugin.tissue_seen import Seen, seen, seen_at_end


class TissueJob:
    """Segments for a session; what it has so far can be read from another thread.

    Parameters
    ----------
    job : SegmentationJob
        What to segment.
    in_memory : mapping of Volume, optional
        Images that are in no file, by the names that stand for them in the job.
    truth : callable, optional
        Returns true labels, numbered as the classes.
    show : callable, optional
        Turns labels of the first channel's grid as a layer shows them.
    """

    def __init__(
        self,
        job: SegmentationJob,
        in_memory: Mapping[Path, Volume] | None = None,
        truth: Callable[[], Volume | None] = lambda: None,
        show: Callable[[Volume], NDArray[Any]] = lambda volume: volume.voxels,
    ) -> None:
        self.job, self.in_memory = job, dict(in_memory or {})
        self._truth_of, self._show = truth, show
        self.run: SegmentRun | None = None
        self.seen: Seen | None = None
        self.stopped = False
        """Whether Stop ended it before it was fitted."""
        self.passes = 0
        self.picture_s = 0.0
        self._truth: NDArray[Any] | None = None

    def __call__(self, session: Session) -> SegmentResult:
        """Run to the end, or until stopped."""
        session.preparing(0, 0)
        in_memory = _turned_like(self.job.images[0], self.in_memory)
        run = self.job.begin(session.meters, in_memory=in_memory)
        session.preparing(0, 0)
        if (truth := self._truth_of()) is not None:
            self._truth = np.rint(onto(truth, run.channels[0], 0))
        self.run = run

        def look(stage: FitStage) -> Sequence[Observer]:
            before = self.passes
            session.stage(before + stage.updates - 1)

            def observe(iterate: Iterate[State]) -> None:
                number = before + iterate.number
                self.passes = number + 1
                session.look(number, lambda: self._picture(run, stage, iterate.params))

            return [observe]

        def fitted() -> None:
            self.stopped, session.total = session.control.is_set(), self.passes - 1
            session.note = "working out volumes and how sure they are"

        result = run.iterate(look, pressed(session.control), fitted=fitted)
        session.note = ""
        last = self.seen = seen_at_end(run.fit, result.segmentation, self._truth)
        session.last(session.number, lambda: self._turned(run, last))
        return result

    def _picture(self, run: SegmentRun, stage: FitStage, state: State) -> NDArray[Any]:
        began = time.perf_counter()
        self.seen = seen(run.fit, stage.image, stage.strides, state, self._truth)
        picture = self._turned(run, self.seen)
        self.picture_s = time.perf_counter() - began
        return picture

    def _turned(self, run: SegmentRun, what: Seen) -> NDArray[Any]:
        return self._show(Volume(what.labels, run.fit.data.own_affine))  # type: ignore[arg-type] # labels


def _turned_like(first: Path, in_memory: Mapping[Path, Volume]) -> dict[Path, Volume]:
    """Return the images in memory, their axes turned like those of the first channel's file.

    A layer shows its file's voxels turned towards R, A and S; turned back they lie on its grid.
    """
    if first in in_memory or not in_memory:
        return dict(in_memory)
    ornt = io_orientation(io.read_image(first).affine)
    return {name: _turned_to(volume, ornt) for name, volume in in_memory.items()}


def _turned_to(volume: Volume, ornt: NDArray[np.float64]) -> Volume:
    """Return a volume with its axes permuted and reversed to run along the world as given."""
    change = ornt_transform(io_orientation(volume.affine), ornt)
    voxels = np.ascontiguousarray(apply_orientation(volume.voxels, change))
    affine = volume.affine @ inv_ornt_aff(change, volume.voxels.shape)
    return Volume(voxels, affine, volume.unit)
