"""The dock for EM reconstruction: choose a scan, run, and see the iterations come in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from emrecon.errors import EmreconError, SettingsError
from emrecon.volume import Volume
from napari_plugin import samples
from napari_plugin.canvas import RunLayers
from napari_plugin.layers import KEY, file_of, volume_of
from napari_plugin.live import FIRST_S, Live
from napari_plugin.preferences import preferences
from napari_plugin.recon_job import (
    Choice,
    Outcome,
    ReconJob,
    as_command,
    as_python,
    likelihood_gap,
)
from napari_plugin.recon_panel import ReconPanel
from napari_plugin.session import Picture, Session

if TYPE_CHECKING:
    from napari.components import ViewerModel

EXAMPLE = "example:"
_LAYER = "layer:"
_CURVES_S = 2.0
"""Least time between two drawings of the curves of a run that goes on."""


class ReconDock(ReconPanel):
    """Reconstructs a scan and shows it while it does.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer, given by napari by this name.
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        self._viewer = napari_viewer
        super().__init__(self._scans, self._truths, self._files, parent)
        self.session = Session(preferences().history_bytes, FIRST_S)
        self.job: ReconJob | None = None
        self.layers = RunLayers(napari_viewer, "EM reconstruction")
        self.live = Live(self.session, self._draw, self._in_3d, self._rate, self)
        self.live.looked.connect(self._look)
        self.live.ended.connect(self._ended)
        self._halted, self._curves_next = -1, 0.0
        self._connect()
        self._layers_changed()
        self.run_bar.show_state(self.session)

    def start(self, *, paused: bool = False) -> None:
        """Run from the beginning; `paused` halts at the start image."""
        if self.session.live:
            return
        try:
            choose, truth = self._chosen()
        except EmreconError as error:
            show_error(str(error))
            return
        self.layers.renew()
        self.curves.clear()
        self.session.history.most_bytes = preferences().history_bytes
        self.job, self._halted = ReconJob(choose, truth), -1
        self.session.start(self.job, paused=paused, name="emrecon reconstruction")
        self.live.start()
        self._look()

    def pause(self) -> None:
        """Halt, or go on."""
        control = self.session.control
        (control.resume if control.paused else control.pause)()
        self._look()

    def step(self) -> None:
        """Make one update and halt."""
        if self.session.live:
            self.session.control.step()
        else:
            self.start(paused=True)
        self._look()

    def stop(self) -> None:
        """End the run after the update that is being made."""
        self.session.control.stop()

    def reset(self) -> None:
        """End the run and forget its images."""
        if not self.session.close():
            show_info("the update that is being made has to end first: press Reset again")
            return
        self.live.stop()
        self.session.clear()
        self.job = None
        self.layers.clear()
        self.curves.clear()
        self._look()

    def go_to(self, number: int) -> None:
        """Show the picture kept nearest to an update."""
        if not self.session.history.numbers:
            return
        if self.session.phase == "running":
            show_info("pause or wait for the end to look back")
            return
        self.layers.keep(self.session.history)
        self.layers.go(self.session.history.nearest(number))

    def save(self) -> None:
        """Ask for a file and write the image with all that goes with it."""
        outcome = self._outcome()
        if outcome is None:
            return
        name, _ = QFileDialog.getSaveFileName(
            self, "Save the image", "recon.nii.gz", "Images (*.nii.gz *.nii *.hv)"
        )
        if name:
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Write the image with sidecar, picture and convergence log."""
        outcome = self._outcome()
        if outcome is None:
            return
        try:
            made = outcome.save(path)
        except EmreconError as error:
            show_error(str(error))
            return
        show_info(f"wrote {', '.join(file.name for file in made.written)}")

    def copy_python(self) -> None:
        """Put Python that makes the image again on the clipboard."""
        self._copy(Outcome.python, as_python)

    def copy_command(self) -> None:
        """Put the command line that makes the image again on the clipboard."""
        self._copy(Outcome.command, as_command)

    def _copy(self, said: Callable[[Outcome], str], say: Callable[[Choice], str]) -> None:
        outcome = self.session.result
        try:
            self._must_exist()
            text = said(outcome) if isinstance(outcome, Outcome) else say(self._chosen()[0]())
        except EmreconError as error:
            show_error(str(error))
            return
        QApplication.clipboard().setText(text)
        show_info("copied; it makes the image of this run again, bit by bit")

    def _must_exist(self) -> None:
        """Refuse what would simulate an example here and now, and hold up the window."""
        name = str(self.scan.path() or "")
        if name.startswith(EXAMPLE) and not samples.is_simulated(name.removeprefix(EXAMPLE)):
            raise SettingsError("run the example once: its files are simulated then")

    def _outcome(self) -> Outcome | None:
        outcome = self.session.result
        if isinstance(outcome, Outcome):
            return outcome
        show_error("there is no image yet: run to the end, or stop the run")
        return None

    def _connect(self) -> None:
        bar = self.run_bar
        bar.run.connect(self.start)
        bar.pause.connect(self.pause)
        bar.step.connect(self.step)
        bar.stop.connect(self.stop)
        bar.reset.connect(self.reset)
        self.curves.picked.connect(self.go_to)
        self.save_button.clicked.connect(self.save)
        self.python_button.clicked.connect(self.copy_python)
        self.command_button.clicked.connect(self.copy_command)
        self.view_box.watch(self._viewer)
        events = self._viewer.layers.events
        events.inserted.connect(self._layers_changed)
        events.removed.connect(self._layers_changed)
        self._viewer.dims.events.current_step.connect(self._scrubbed)
        undo: list[Callable[[], object]] = [
            partial(events.inserted.disconnect, self._layers_changed),
            partial(events.removed.disconnect, self._layers_changed),
            partial(self._viewer.dims.events.current_step.disconnect, self._scrubbed),
        ]
        leave = partial(_leave, self.session, undo)
        self.destroyed.connect(leave)
        QApplication.instance().aboutToQuit.connect(leave)

    def _chosen(self) -> tuple[Callable[[], Choice], Callable[[], Volume | None]]:
        """Return what makes the choice, and the truth, when the thread asks for them."""
        name = str(self.scan.path() or "")
        if not name:
            raise SettingsError("choose a scan: a layer of one, a file, or an example")
        choice = Choice(Path(name), self.settings.value(), self.parts.value(), self.camera.value())
        truth = self._truth()
        if not name.startswith(EXAMPLE):
            return lambda: choice, truth or _truth_beside(choice.scan)
        phantom = name.removeprefix(EXAMPLE)

        def example() -> Choice:
            return replace(choice, scan=samples.scan_folder(phantom))

        def true() -> Volume | None:
            return _truth_beside(samples.scan_folder(phantom))()

        return example, truth or true

    def _truth(self) -> Callable[[], Volume | None] | None:
        name = str(self.truth.path() or "")
        if not name:
            return None
        if name.startswith(_LAYER):
            layer = self._viewer.layers[name.removeprefix(_LAYER)]
            volume = volume_of(layer)
            return lambda: volume
        return partial(_read, Path(name))

    def _draw(self, picture: Picture) -> None:
        job = self.job
        if job is None or job.begun is None:
            return
        if not self.live.frames:
            self.layers.place(job.affine, job.unit)
            self.curves.per_iteration(job.subsets)
        self.layers.draw(picture.image)
        self._halted = -1  # the history, which this hides, is to be shown again
        self.curves.here(picture.number)

    def _words(self, number: int) -> str:
        subsets = self.job.subsets if self.job else 1
        whole, part = divmod(number, subsets)
        return f"iteration {whole}" + (f" + {part} of {subsets} updates" if part else "")

    def _look(self) -> None:
        """Show where the run is."""
        session, job = self.session, self.job
        self.run_bar.show_state(session)
        self.show_history(session.history)
        halted = session.number if session.phase == "paused" else -1
        if halted >= 0 and halted != self._halted:
            self.layers.keep(session.history)
        self._halted = halted
        began = time.perf_counter()
        if job is None or (session.phase == "running" and began < self._curves_next):
            return
        rows, subsets = list(job.log.rows), job.subsets
        numbers = [row.sub_iteration for row in rows]
        self.curves.put("gap", *likelihood_gap(rows, subsets))
        self.curves.put("change", numbers, [row.relative_change for row in rows])
        errors = job.nrmse[: len(rows)]
        best = min(range(len(errors)), key=errors.__getitem__) if errors else None
        self.curves.put("nrmse", numbers[: len(errors)], errors, best)
        now = time.perf_counter()
        self._curves_next = now + max(_CURVES_S, 30 * (now - began))

    def _ended(self) -> None:
        self._look()
        if self.session.phase == "failed":
            show_error(self.session.error)
        elif self.session.result is not None:
            self.layers.keep(self.session.history)

    def _scrubbed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        number = self.layers.number()
        if number is not None:
            self.layers.say(self._words(number))
            self.curves.here(number)

    def _layers_changed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        self.refresh_files()

    def _scans(self) -> list[tuple[str, str]]:
        """Return what can be reconstructed: scans among the layers, newest first, and examples."""
        layers = [layer for layer in self._viewer.layers if "scan" in layer.metadata.get(KEY, {})]
        there = [(layer.name, str(file_of(layer))) for layer in reversed(layers)]
        return there + [(f"Example: PET of {name}", EXAMPLE + name) for name in samples.SCANS]

    def _truths(self) -> list[tuple[str, str]]:
        return [
            (layer.name, _LAYER + layer.name)
            for layer in self._viewer.layers
            if layer.ndim == 3 and "scan" not in layer.metadata.get(KEY, {})
        ]

    def _files(self) -> list[tuple[str, str]]:
        return [
            (layer.name, str(path))
            for layer in self._viewer.layers
            if (path := file_of(layer)) is not None
        ]

    def _in_3d(self) -> bool:
        return bool(self._viewer.dims.ndisplay == 3)

    def _rate(self) -> float:
        return preferences().live_hz


def _read(path: Path) -> Volume:
    from emrecon import io  # noqa: PLC0415 - brings nibabel

    return io.read_image(path)


def _truth_beside(scan: Path) -> Callable[[], Volume | None]:
    """Return what reads the truth of a simulated scan's folder, where there is one."""
    folder = scan if scan.is_dir() else scan.parent
    path = folder / "truth.nii.gz"
    return lambda: _read(path) if path.is_file() else None


def _leave(session: Session, undo: list[Callable[[], object]], *_: object) -> None:
    """End the run and let go of the viewer; the widget may be gone."""
    session.close()
    while undo:
        undo.pop()()
