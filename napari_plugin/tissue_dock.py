"""The dock for EM segmentation: choose images, run, and see classes and histogram settle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtWidgets import QFileDialog, QWidget

from emrecon import io
from emrecon.errors import SettingsError
from emrecon.jobs.as_code import as_command, as_python
from emrecon.jobs.segment import SegmentationJob
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings
from emrecon.volume import Volume
from napari_plugin import views
from napari_plugin.channel_list import ChannelList
from napari_plugin.form import FileChooser, Form
from napari_plugin.layers import KEY, file_of, volume_of
from napari_plugin.mixture_plot import ClassTable, MixturePlot
from napari_plugin.preferences import preferences
from napari_plugin.run_panel import RunPanel
from napari_plugin.session import Picture
from napari_plugin.tissue_job import TissueJob
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

    WHAT, UPDATE = "segmentation", "pass"
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
        self._lay_out(
            {"Images": self.channels, "Truth": self.truth},
            {"Settings": self.settings, "Mask, priors, means": self.inputs},
            {self.plot: 3, self.table: 0},
        )
        self.layers = TissueLayers(napari_viewer)
        self._connect()

    def refresh_files(self) -> None:
        """List what may be chosen now."""
        super().refresh_files()
        self.channels.refresh()

    def _as_python(self) -> str:
        return as_python(self._job_to_copy())

    def _as_command(self) -> str:
        return as_command(self._job_to_copy())

    def _job_to_copy(self) -> SegmentationJob:
        """Return the job that was run, or what is chosen.

        Raises
        ------
        SettingsError
            If it was stopped, or if some of it is in memory and in no file.
        """
        job = self._chosen_job() if self.session.result is None else self.job
        if job.stopped:
            raise SettingsError("a stopped segmentation cannot be made again: run it to its end")
        if job.in_memory:
            names = ", ".join(map(str, job.in_memory))
            raise SettingsError(f"save to files first, as nothing else can name them: {names}")
        return replace(job.job, out=_OUT)

    def _ask(self) -> str:
        title = "Folder to write the segmentation to"
        return str(QFileDialog.getExistingDirectory(self, title))

    def _chosen_job(self) -> TissueJob:
        images = self.channels.paths()
        if not images:
            raise SettingsError("tick an image to segment, or add a file")
        job = SegmentationJob(images, None, self.settings.value(), self.inputs.value())
        names = set(job.named().values())
        in_memory = {
            Path(layer.name): volume_of(layer)
            for layer in self._viewer.layers
            if Path(layer.name) in names
        }
        truth = self._truth(job.settings.names)
        return TissueJob(job, in_memory, truth, lambda labels: shown(labels, 0)[0])

    def _forget(self, *, again: bool) -> None:
        self.layers.clear()
        self.plot.clear()
        self.table.put(())
        self.stage.setText("")

    def _truth(self, names: tuple[str, ...]) -> Callable[[], Volume | None]:
        path = self.truth.path()
        if path is None:
            return lambda: None
        if str(path) not in self._viewer.layers:
            return partial(io.read_image, path)
        layer = self._viewer.layers[str(path)]
        volume = _renumbered(volume_of(layer), layer, names)
        return lambda: volume

    def _draw(self, picture: Picture) -> None:
        job = self.job
        if job is None or job.run is None or job.seen is None:
            return
        data, now = job.run.fit.data, job.seen
        grid = Volume(now.labels, data.affine)  # type: ignore[arg-type] # labels
        self.layers.draw(picture.image, grid, now.rows)
        self._halted = -1  # the history, which this hides, is to be shown again
        self.plot.put(now)
        self.table.put(now.rows)
        self.stage.setText(now.stage)

    def _scrubbed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        number = self.layers.number()
        if number is not None:
            views.say(self._viewer, f"pass {number}")

    def _ended(self) -> None:
        super()._ended()
        result = self.session.result
        if result is None or self.job.seen is None:
            return
        maps = [
            (row.name, row.colour, result.segmentation.volume(share))
            for row, share in zip(
                self.job.seen.rows, result.segmentation.probabilities.T, strict=True
            )
        ]
        self.layers.add_maps(maps)

    def _images(self) -> list[tuple[str, str]]:
        """Return what may be channels: images by their file, or by name where there is none."""
        return [
            (layer.name, str(file_of(layer) or layer.name))
            for layer in self._viewer.layers
            if isinstance(layer, Image) and self._usable(layer)
        ]

    def _labels(self) -> list[tuple[str, str]]:
        return [
            (layer.name, layer.name)
            for layer in self._viewer.layers
            if isinstance(layer, Labels) and self._usable(layer)
        ]

    def _files(self) -> list[tuple[str, str]]:
        """Return masks and priors; labels may have been painted on, so not by their file."""
        return self._labels() + self._images()

    def _usable(self, layer: Layer) -> bool:
        own = layer.name.startswith(NAME) and KEY in layer.metadata
        return layer.ndim == 3 and not own and "scan" not in layer.metadata.get(KEY, {})

    def _rate(self) -> float:
        """Return how often to draw: pictures are made by the run, which they may not slow down."""
        made_in = self.job.picture_s if self.job is not None else 0.0
        return min(preferences().live_hz, _SHARE / max(made_in, 1e-3))


def _renumbered(volume: Volume, layer: Layer, names: tuple[str, ...]) -> Volume:
    """Return labels numbered as the classes, where the layer has labels of the classes' names."""
    features = layer.features
    if not {"index", "name"} <= set(features.columns):
        return volume
    known = dict(zip(features["name"], features["index"], strict=True))
    if not set(names) & set(known):
        return volume
    marks = np.rint(volume.voxels)
    made = np.zeros(volume.voxels.shape, np.float32)
    for number, name in enumerate(names, 1):
        if name in known:
            made[marks == int(known[name])] = number
    return Volume(made, volume.affine)
