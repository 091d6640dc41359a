"""The dock for EM segmentation: choose images, run, and see classes and histogram settle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtWidgets import QFileDialog, QWidget

from emrecon import io
from emrecon.errors import SettingsError
from emrecon.volume import Volume
from napari_plugin import views
from napari_plugin.layers import KEY, file_of, volume_of
from napari_plugin.preferences import preferences
from napari_plugin.session import Picture
from napari_plugin.tissue_job import Choice, TissueJob
from napari_plugin.tissue_layers import NAME, TissueLayers, shown
from napari_plugin.tissue_panel import TissuePanel
from napari_plugin.tissue_said import as_command, as_python

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


_SHARE = 0.08
"""Most of the run's time that its pictures may take."""


class TissueDock(TissuePanel):
    """Segments images and shows it while it does.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer, given by napari by this name.
    parent : QWidget, optional
        Qt's parent.
    """

    WHAT, UPDATE = "segmentation", "pass"

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        self._viewer = napari_viewer  # asked for what may be chosen
        super().__init__(napari_viewer, self._images, self._labels, self._files, parent)
        self.layers = TissueLayers(napari_viewer)
        self.python_button.clicked.connect(lambda _: self._copy_one(as_python))
        self.command_button.clicked.connect(lambda _: self._copy_one(as_command))
        self._connect()

    def _copy_one(self, say: Callable[[Choice], str]) -> None:
        outcome = self.session.result

        def text() -> str:
            if outcome is not None and outcome.stopped:
                raise SettingsError(
                    "a stopped segmentation cannot be made again: run it to its end"
                )
            return say(self._chosen() if outcome is None else outcome.choice)

        self._copy(text, "the files of this segmentation again")

    def _ask(self) -> str:
        title = "Folder to write the segmentation to"
        return str(QFileDialog.getExistingDirectory(self, title))

    def _chosen_job(self) -> TissueJob:
        choice = self._chosen()
        truth = self._truth(choice.settings.names)
        return TissueJob(choice, truth, lambda labels: shown(labels, 0)[0])

    def _forget(self, *, again: bool) -> None:
        self.layers.clear()
        self.plot.clear()
        self.table.put(())
        self.stage.setText("")

    def _chosen(self) -> Choice:
        images = self.channels.paths()
        if not images:
            raise SettingsError("tick an image to segment, or add a file")
        inputs = self.inputs.value()
        used = [*images, inputs.mask, inputs.exclude, *inputs.priors]
        names = {path for path in used if path is not None}
        given = {
            Path(layer.name): volume_of(layer)
            for layer in self._viewer.layers
            if Path(layer.name) in names
        }
        return Choice(images, self.settings.value(), inputs, given)

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
        if job is None or job.begun is None or job.seen is None:
            return
        data, now = job.begun.fit.data, job.seen
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
        outcome = self.session.result
        if outcome is None or self.job.seen is None:
            return
        result, rows = outcome.result, self.job.seen.rows
        made = [result.volume(share) for share in result.probabilities.T]
        self.layers.add_maps(
            [(row.name, row.colour, map_) for row, map_ in zip(rows, made, strict=True)]
        )

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
