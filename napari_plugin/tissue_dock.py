"""The dock for EM segmentation: choose images, run, and see classes and histogram settle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image as NapariImage
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QWidget

from emrecon import io
from emrecon.errors import SettingsError
from emrecon.jobs.as_code import as_command, as_python
from emrecon.jobs.segment import SegmentationJob
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from napari_plugin.channel_list import ChannelList
from napari_plugin.file_chooser import FileChooser
from napari_plugin.form import Form
from napari_plugin.history import Image
from napari_plugin.layer_files import choice, chosen, file_for, with_files
from napari_plugin.layers import KEY
from napari_plugin.mixture_plot import ClassTable, MixturePlot, Responsibilities
from napari_plugin.preferences import preferences
from napari_plugin.run_panel import RunPanel
from napari_plugin.runs import Kept
from napari_plugin.tissue_job import Ready, TissueJob
from napari_plugin.tissue_layers import NAME, TissueLayers, shown

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_OUT = Path("segmentation")
"""Folder that is written by what is copied."""

_SHARE = 0.08
"""Most of the run's time that its pictures may take."""


class TissueDock(RunPanel):
    """Segments images and shows it while it does.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer, given by napari by this name.
    parent : QWidget, optional
        Qt's parent.
    """

    WHAT = "segmentation"
    SAVED = "Write labels, probabilities, fractions, bias field, pictures and sidecar to a folder"

    layers: TissueLayers

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, "Shift+", parent)
        self.channels = ChannelList(self._images)
        self.truth = FileChooser("Choose the true labels", self._labels)
        self.truth.setObjectName("truth")
        self.truth.setToolTip(
            "<p>True labels, to see the overlap (Dice) with: labels with the classes' names, or "
            "numbered as they are</p>"
        )
        self.inputs: Form[TissueInputs] = Form(TissueInputs(), self._files)
        self.settings: Form[Settings] = Form(Settings())
        self.plot, self.table = MixturePlot(), ClassTable()
        self.voxel = Responsibilities()
        self._clicked_mm: tuple[float, float, float] | None = None
        self._lay_out(
            {"Images": self.channels, "Truth": self.truth},
            {"Settings": self.settings, "Mask, priors, means": self.inputs},
            {self.plot: 3, self.table: 0, self.voxel: 0},
        )
        self.layers = TissueLayers(napari_viewer)
        self._connect()
        napari_viewer.mouse_drag_callbacks.append(self._clicked)
        self.at_end(partial(napari_viewer.mouse_drag_callbacks.remove, self._clicked))

    def refresh_files(self) -> None:
        """List what may be chosen now."""
        super().refresh_files()
        self.channels.refresh()

    def _as_python(self) -> str:
        return as_python(self._job_to_copy())

    def _as_command(self) -> str:
        return as_command(self._job_to_copy())

    def _job_to_copy(self) -> SegmentationJob:
        """Return the job that is shown, or what is chosen.

        Raises
        ------
        SettingsError
            If it was stopped, or an earlier pass is seen.
        """
        run = self.shown
        if run is None or run.session.result is None:
            job, ready = self._chosen()
            return replace(ready(job), out=_OUT)
        if run.job.stopped:
            raise SettingsError("a stopped segmentation cannot be made again: run it to its end")
        if self.number not in {None, run.session.number}:
            raise SettingsError(
                "this is a pass on the way: go to the last, which can be made again"
            )
        done: SegmentationJob = run.job.job
        return replace(done, out=_OUT)

    def _seen_result(self, result: Any) -> Any:  # noqa: ANN401 - of a segmentation
        """Return the result; passes on the way have no volumes, and are not saved."""
        run = self.shown
        if run is not None and self.number not in {None, run.session.number}:
            raise SettingsError("this is a pass on the way: go to the last, which can be saved")
        return result

    def _ask(self) -> str:
        title = "Folder to write the segmentation to"
        return str(QFileDialog.getExistingDirectory(self, title))

    def _chosen(self) -> tuple[SegmentationJob, Ready]:
        """Return the job, and what names its files in the thread that runs it."""
        images = self.channels.paths()
        if not images:
            raise SettingsError("tick an image to segment, or add a file")
        job = SegmentationJob(images, None, self.settings.value(), self.inputs.value())
        layers = chosen(self._viewer, *images, job.files)

        def ready(job: SegmentationJob) -> SegmentationJob:
            first = file_for(job.images[0], layers)
            rest = (file_for(path, layers, first) for path in job.images[1:])
            return replace(job, images=(first, *rest), files=with_files(job.files, layers, first))

        return job, ready

    def _chosen_job(self) -> TissueJob:
        job, ready = self._chosen()
        truth = self._truth(job.settings.names)
        return TissueJob(job, ready, truth, lambda labels: shown(labels, 0)[0])

    def _about(self, job: TissueJob) -> tuple[str, str]:
        settings = job.job.settings
        return f"{settings.classes} classes", as_command(replace(job.job, out=_OUT))

    def _forget(self) -> None:
        self.layers.clear()
        self.plot.clear()
        self.table.put(())
        self.stage.setText("")

    def _truth(self, names: tuple[str, ...]) -> Callable[[], Volume | None]:
        path = self.truth.path()
        if path is None:
            return lambda: None
        layers = chosen(self._viewer, path)
        if path not in layers:
            return partial(io.read_image, path)
        layer = layers[path]
        return lambda: _renumbered(io.read_image(layer.file()), layer.about["features"], names)

    def _show(self, run: Kept, number: int, image: Image) -> None:
        job = run.job
        now = job.seen
        if now is None:
            return
        live = self.number is None and run.session.live
        self.layers.draw(image, job.like, now.labelled, f"pass {number}{', live' * live}")
        if self.number in {None, run.session.number}:
            self.plot.put(now)
            self.table.put(now.labelled)
            self.stage.setText(now.stage)
            self._look_at_voxel()

    def look_at(self, ras_mm: tuple[float, float, float]) -> None:
        """Show what each class has of the voxel at a place, from now on with every pass."""
        self._clicked_mm = ras_mm
        self._look_at_voxel()

    def _clicked(self, viewer: Any, event: Any) -> None:  # noqa: ANN401 - napari's
        """Look at the voxel that was clicked."""
        if len(event.position) >= 3:
            s, a, r = (float(value) for value in event.position[-3:])
            self.look_at((r, a, s))

    def _look_at_voxel(self) -> None:
        run, place = self.shown, self._clicked_mm
        if run is None or place is None or run.job.seen is None:
            return
        to_voxel = np.linalg.inv(run.job.like.affine)
        i, j, k = (round(float(v)) for v in (to_voxel @ [*place, 1.0])[:3])
        shares = run.job.seen.responsibilities((i, j, k))
        self.voxel.put(run.job.seen.rows, shares, f"voxel {i}, {j}, {k}")

    def _changed_run(self) -> None:
        self.layers.add_maps([])

    def show_run(self, run: Kept) -> None:
        """Show a run that is kept, with its probabilities."""
        super().show_run(run)
        self._add_maps(run)

    def _ended(self) -> None:
        super()._ended()
        if self.shown is not None and self.shown.session is self.session:
            self._add_maps(self.shown)

    def _add_maps(self, run: Kept) -> None:
        result = run.session.result
        if result is None or run.job.seen is None or self.shown is not run:
            return
        maps = [
            (row.name, row.colour, result.segmentation.volume(share))
            for row, share in zip(
                run.job.seen.rows, result.segmentation.probabilities.T, strict=True
            )
        ]
        self.layers.add_maps(maps)

    def _images(self) -> list[tuple[str, str]]:
        """Return what may be channels."""
        return self._of_kind(NapariImage)

    def _labels(self) -> list[tuple[str, str]]:
        return self._of_kind(Labels)

    def _of_kind(self, kind: type[Layer]) -> list[tuple[str, str]]:
        there = [layer for layer in self._viewer.layers if isinstance(layer, kind)]
        return [choice(layer) for layer in there if self._usable(layer)]

    def _files(self) -> list[tuple[str, str]]:
        """Return masks and priors."""
        return self._labels() + self._images()

    def _usable(self, layer: Layer) -> bool:
        own = layer.name.startswith(NAME) and KEY in layer.metadata
        return layer.ndim == 3 and not own and "scan" not in layer.metadata.get(KEY, {})

    def _rate(self) -> float:
        """Return how often to draw: pictures are made by the run, which they may not slow down."""
        made_in = self.job.picture_s if self.job is not None else 0.0
        return min(preferences().live_hz, _SHARE / max(made_in, 1e-3))


def _renumbered(volume: Volume, features: Any, names: tuple[str, ...]) -> Volume:  # noqa: ANN401
    """Return labels numbered as the classes, where they have the classes' names."""
    if not {"index", "name"} <= set(features.columns):
        return volume
    known = dict(zip(features["name"], features["index"], strict=True))
    if not set(names) & set(known):
        return volume
    marks = np.rint(volume.voxels)
    renumbered = np.zeros(volume.voxels.shape, np.float32)
    for number, name in enumerate(names, 1):
        if name in known:
            renumbered[marks == int(known[name])] = number
    return Volume(renumbered, volume.affine)
