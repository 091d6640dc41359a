"""The dock for EM segmentation: choose images, run, and see classes and histogram settle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from emrecon import io
from emrecon.errors import EmreconError, SettingsError
from emrecon.volume import Volume
from napari_plugin import views
from napari_plugin.layers import KEY, file_of, volume_of
from napari_plugin.live import Live
from napari_plugin.preferences import preferences
from napari_plugin.session import Picture, Session
from napari_plugin.tissue_job import Choice, Outcome, TissueJob
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

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        self._viewer = napari_viewer
        super().__init__(self._images, self._labels, self._files, parent)
        self.session = Session(preferences().history_bytes)
        self.job: TissueJob | None = None
        self.layers = TissueLayers(napari_viewer)
        self.live = Live(self.session, self._draw, self._in_3d, self._rate, self)
        self.live.looked.connect(self._look)
        self.live.ended.connect(self._ended)
        self._halted = -1
        self._connect()
        self.run_bar.show_state(self.session)

    def start(self, *, paused: bool = False) -> None:
        """Run from the beginning; `paused` halts at the first estimate."""
        if self.session.live:
            return
        try:
            choice = self._chosen()
            truth = self._truth(choice.settings.names)
        except EmreconError as error:
            show_error(str(error))
            return
        self.layers.clear()
        self.plot.clear()
        self.table.put(())
        self.session.history.most_bytes = preferences().history_bytes
        self.job, self._halted = TissueJob(choice, truth, lambda labels: shown(labels, 0)[0]), -1
        self.session.start(self.job, paused=paused, name="emrecon segmentation")
        self.live.start()
        self._look()

    def pause(self) -> None:
        """Halt, or go on."""
        control = self.session.control
        (control.resume if control.paused else control.pause)()
        self._look()

    def step(self) -> None:
        """Make one pass and halt."""
        if self.session.live:
            self.session.control.step()
        else:
            self.start(paused=True)
        self._look()

    def stop(self) -> None:
        """End the run: what stages are left make one pass each."""
        self.session.control.stop()

    def reset(self) -> None:
        """End the run and forget what it made."""
        if not self.session.close():
            show_info("the pass that is being made has to end first: press Reset again")
            return
        self.live.stop()
        self.session.clear()
        self.job = None
        self.layers.clear()
        self.plot.clear()
        self.table.put(())
        self.stage.setText("")
        self._look()

    def save(self) -> None:
        """Ask for a folder and write there what the command line writes."""
        if self._outcome() is None:
            return
        name = QFileDialog.getExistingDirectory(self, "Folder to write the segmentation to")
        if name:
            self.save_to(Path(name))

    def save_to(self, folder: Path) -> None:
        """Write labels, maps, pictures and sidecar to a folder."""
        outcome = self._outcome()
        if outcome is None:
            return
        try:
            made = outcome.save(folder)
        except EmreconError as error:
            show_error(str(error))
            return
        show_info(f"wrote {len(made.written)} files to {folder}")

    def _copy(self, say: Callable[[Choice], str]) -> None:
        """Put what makes this segmentation again on the clipboard."""
        outcome = self.session.result
        ended = isinstance(outcome, Outcome)
        if ended and outcome.stopped:
            show_error("a stopped segmentation cannot be made again: run it to its end")
            return
        try:
            text = say(outcome.choice if ended else self._chosen())
        except EmreconError as error:
            show_error(str(error))
            return
        QApplication.clipboard().setText(text)
        show_info("copied; it makes the files of this segmentation again")

    def _outcome(self) -> Outcome | None:
        outcome = self.session.result
        if isinstance(outcome, Outcome):
            return outcome
        show_error("there is no segmentation yet: run to the end, or stop the run")
        return None

    def _connect(self) -> None:
        bar = self.run_bar
        bar.run.connect(self.start)
        bar.pause.connect(self.pause)
        bar.step.connect(self.step)
        bar.stop.connect(self.stop)
        bar.reset.connect(self.reset)
        self.save_button.clicked.connect(self.save)
        self.python_button.clicked.connect(lambda _: self._copy(as_python))
        self.command_button.clicked.connect(lambda _: self._copy(as_command))
        self.view_box.watch(self._viewer)
        events = self._viewer.layers.events
        events.inserted.connect(self._layers_changed)
        events.removed.connect(self._layers_changed)
        steps = self._viewer.dims.events.current_step
        steps.connect(self._scrubbed)
        undo: list[Callable[[], object]] = [
            partial(steps.disconnect, self._scrubbed),
            partial(events.inserted.disconnect, self._layers_changed),
            partial(events.removed.disconnect, self._layers_changed),
        ]
        leave = partial(_leave, self.session, undo)
        self.destroyed.connect(leave)
        QApplication.instance().aboutToQuit.connect(leave)

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

    def _look(self) -> None:
        session = self.session
        self.run_bar.show_state(session)
        self.kept.setText(session.history.words())
        halted = session.number if session.phase == "paused" else -1
        if halted >= 0 and halted != self._halted:
            self.layers.keep(session.history)
        self._halted = halted

    def _scrubbed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        number = self.layers.number()
        if number is not None:
            views.say(self._viewer, f"pass {number}")

    def _ended(self) -> None:
        self._look()
        if self.session.phase == "failed":
            show_error(self.session.error)
        outcome = self.session.result
        if not isinstance(outcome, Outcome) or self.job is None or self.job.seen is None:
            return
        self.layers.keep(self.session.history)
        result, rows = outcome.result, self.job.seen.rows
        made = [result.volume(share) for share in result.probabilities.T]
        self.layers.add_maps(
            [(row.name, row.colour, map_) for row, map_ in zip(rows, made, strict=True)]
        )

    def _layers_changed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        self.refresh_files()

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

    def _in_3d(self) -> bool:
        return bool(self._viewer.dims.ndisplay == 3)

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


def _leave(session: Session, undo: list[Callable[[], object]], *_: object) -> None:
    """End the run and let go of the viewer; the widget may be gone."""
    session.close()
    while undo:
        undo.pop()()
