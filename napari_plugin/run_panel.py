"""What the docks for reconstruction and segmentation share: a run that is steered and watched."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QApplication, QHBoxLayout, QLabel, QPushButton, QWidget

from emrecon.errors import EmreconError
from napari_plugin.live import FIRST_S, Live
from napari_plugin.preferences import preferences
from napari_plugin.run_bar import RunBar
from napari_plugin.session import Job, Picture, Session
from napari_plugin.view_box import ViewBox

if TYPE_CHECKING:
    from napari.components import ViewerModel

WIDTH = 360
"""Of a dock, in pixels: less than what is left for the canvas."""


class RunPanel(QWidget):
    """A dock whose buttons steer a run, which it shows while it goes.

    Parameters
    ----------
    viewer : ViewerModel
        Where the run is shown.
    keys : str, optional
        What is pressed with the function keys.
    parent : QWidget, optional
        Qt's parent.
    """

    WHAT = "run"
    """What a run makes."""

    UPDATE = "update"
    """What a step is called."""

    layers: Any
    """Shows pictures and history in the viewer."""

    def __init__(self, viewer: ViewerModel, keys: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"emrecon-{self.WHAT}")
        self._viewer, self._halted = viewer, -1
        self.session = Session(preferences().history_bytes, FIRST_S)
        self.job: Any = None
        self.run_bar = RunBar(keys)
        self.kept = QLabel("")
        self.kept.setToolTip("The most is set in napari's preferences, under emrecon")
        self.save_button = QPushButton("Save…")
        self.python_button = QPushButton("Copy as Python")
        self.command_button = QPushButton("Copy as command")
        for name in ("save", "python", "command"):
            getattr(self, f"{name}_button").setObjectName(name)
        self.view_box = ViewBox()
        self.live = Live(self.session, self._draw, self._in_3d, self._rate, self)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's own name
        """Return the size that Qt is to begin with."""
        return QSize(WIDTH, 700)

    @abstractmethod
    def refresh_files(self) -> None:
        """List what may be chosen now."""

    def start(self, *, paused: bool = False) -> None:
        """Run from the beginning; `paused` halts it at its start."""
        if self.session.live:
            return
        try:
            job = self._chosen_job()
        except EmreconError as error:
            show_error(str(error))
            return
        self._forget(again=True)
        self.session.history.most_bytes = preferences().history_bytes
        self.job, self._halted = job, -1
        self.session.start(job, paused=paused, name=f"emrecon {self.WHAT}")
        self.live.start()
        self._look()

    def pause(self) -> None:
        """Halt, or go on."""
        control = self.session.control
        (control.resume if control.paused else control.pause)()
        self._look()

    def step(self) -> None:
        """Make one step and halt."""
        if self.session.live:
            self.session.control.step()
        else:
            self.start(paused=True)
        self._look()

    def stop(self) -> None:
        """End the run after the step that is being made."""
        self.session.control.stop()

    def reset(self) -> None:
        """End the run and forget what it made."""
        if not self.session.close():
            show_info(f"the {self.UPDATE} that is being made has to end first: press Reset again")
            return
        self.live.stop()
        self.session.clear()
        self.job = None
        self._forget(again=False)
        self._look()

    def save(self) -> None:
        """Ask where to, and write what was made with all that goes with it."""
        if self._outcome() is not None and (name := self._ask()):
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Write what was made with all that goes with it."""
        outcome = self._outcome()
        if outcome is None:
            return
        try:
            made = outcome.save(path)
        except EmreconError as error:
            show_error(str(error))
            return
        files = [file.name for file in made.written]
        few = len(files) < 8
        show_info(f"wrote {', '.join(files)}" if few else f"wrote {len(files)} files to {path}")

    @abstractmethod
    def _chosen_job(self) -> Job:
        """Return what is to run; raises an `EmreconError` where what was chosen cannot."""

    @abstractmethod
    def _draw(self, picture: Picture) -> None:
        """Show a picture."""

    @abstractmethod
    def _forget(self, *, again: bool) -> None:
        """Show nothing of the last run, which may be run `again`."""

    @abstractmethod
    def _ask(self) -> str:
        """Ask for the name of what to save to."""

    @abstractmethod
    def _scrubbed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        """Say which picture of the history is seen."""

    def _connect(self) -> None:
        """Join buttons, viewer and run, and undo that when the dock goes."""
        for name in self.run_bar.buttons:
            slot = self.start if name == "run" else getattr(self, name)
            getattr(self.run_bar, name).connect(slot)
        self.live.looked.connect(self._look)
        self.live.ended.connect(self._ended)
        self.save_button.clicked.connect(self.save)
        self.view_box.watch(self._viewer)
        undo: list[Callable[[], object]] = []
        events = self._viewer.layers.events
        for emitter, slot in (
            (events.inserted, self._layers_changed),
            (events.removed, self._layers_changed),
            (self._viewer.dims.events.current_step, self._scrubbed),
        ):
            emitter.connect(slot)
            undo.append(partial(emitter.disconnect, slot))
        leave = partial(_leave, self.session, undo)
        self.destroyed.connect(leave)
        QApplication.instance().aboutToQuit.connect(leave)
        self.run_bar.show_state(self.session)

    def _look(self) -> None:
        """Show where the run is."""
        session = self.session
        self.run_bar.show_state(session)
        self.kept.setText(session.history.words())
        halted = session.number if session.phase == "paused" else -1
        if halted >= 0 and halted != self._halted:
            self.layers.keep(session.history)
        self._halted = halted

    def _ended(self) -> None:
        self._look()
        if self.session.phase == "failed":
            if not self.live.frames:  # the last run's layer, kept for this one, shows nothing
                self._forget(again=False)
            show_error(self.session.error)
        elif self.session.result is not None:
            self.layers.keep(self.session.history)

    def _outcome(self) -> Any:  # noqa: ANN401 - of either kind
        if self.session.result is None:
            show_error(f"there is no {self.WHAT} yet: run to the end, or stop the run")
        return self.session.result

    def _copy(self, say: Callable[[], str], what: str) -> None:
        """Put what makes a run again on the clipboard."""
        try:
            text = say()
        except EmreconError as error:
            show_error(str(error))
            return
        QApplication.clipboard().setText(text)
        show_info(f"copied; it makes {what}")

    def _buttons(self) -> QHBoxLayout:
        """Return save and copy in a row."""
        row = QHBoxLayout()
        row.setSpacing(3)
        for button in (self.save_button, self.python_button, self.command_button):
            row.addWidget(button)
        return row

    def _layers_changed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        self.refresh_files()

    def _in_3d(self) -> bool:
        return bool(self._viewer.dims.ndisplay == 3)

    def _rate(self) -> float:
        return preferences().live_hz


def _leave(session: Session, undo: list[Callable[[], object]], *_: object) -> None:
    """End the run and let go of the viewer; the widget may be gone."""
    session.close()
    while undo:
        undo.pop()()
