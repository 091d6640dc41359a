"""What the docks for reconstruction and segmentation share: a run that is steered and watched."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QApplication, QHBoxLayout, QLabel, QPushButton, QTabWidget, QWidget

from emrecon.errors import EmreconError
from napari_plugin.dock import Dock
from napari_plugin.form import FileChooser, Form
from napari_plugin.layout import column, lines, scrolled
from napari_plugin.live import FIRST_S, Live
from napari_plugin.preferences import preferences
from napari_plugin.run_bar import RunBar
from napari_plugin.run_layers import RunLayers
from napari_plugin.session import Job, Picture, Session
from napari_plugin.view_box import ViewBox

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RunPanel(Dock):
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

    SAVED = ""
    """What is written, for the tooltip of Save."""

    layers: RunLayers
    """Shows pictures and history in the viewer."""

    def __init__(self, viewer: ViewerModel, keys: str = "", parent: QWidget | None = None) -> None:
        super().__init__(viewer, self.WHAT, parent)
        self._halted = -1
        self.session = Session(preferences().history_bytes, FIRST_S)
        self.at_end(self.session.close)
        self.job: Any = None
        self.run_bar = RunBar(keys)
        self.kept = QLabel("")
        self.kept.setToolTip("The most is set in napari's preferences, under emrecon")
        self.stage = QLabel("")
        self.save_button = _button("save", "Save…", self.SAVED)
        again = f"that makes the same {self.WHAT}, to the clipboard"
        self.python_button = _button("python", "Copy as Python", f"Python {again}")
        self.command_button = _button("command", "Copy as command", f"The command {again}")
        self.view_box = ViewBox()
        self.live = Live(self.session, self._draw, self._in_3d, self._rate, self)

    def refresh_files(self) -> None:
        """List what may be chosen now."""
        for chooser in self.findChildren(FileChooser):
            chooser.refresh()

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
        if self._result() is not None and (name := self._ask()):
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Write what was made with all that goes with it."""
        result = self._result()
        if result is None:
            return
        try:
            files = [file.name for file in result.write(path)]
        except EmreconError as error:
            show_error(str(error))
            return
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
    def _as_python(self) -> str:
        """Return Python that makes the last run again, or does what is chosen."""

    @abstractmethod
    def _as_command(self) -> str:
        """Return the command that makes the last run again, or does what is chosen."""

    @abstractmethod
    def _scrubbed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        """Say which picture of the history is seen."""

    def _lay_out(
        self,
        data: Mapping[str, QWidget],
        tabs: Mapping[str, Form[Any]],
        pictures: Mapping[QWidget, int],
    ) -> None:
        """Set out data, forms, the run, and pictures with their share of the room."""
        whole, head, self.tabs = column(self), lines(), QTabWidget()
        for caption, widget in data.items():
            head.addRow(caption, widget)
        for caption, form in tabs.items():
            self.tabs.addTab(scrolled(form), caption)
        whole.addLayout(head)
        whole.addWidget(self.tabs, 3)
        whole.addWidget(self.run_bar)
        for widget, share in pictures.items():
            whole.addWidget(widget, share)
        whole.addLayout(_row(self.kept, self.stage))
        whole.addLayout(_row(self.save_button, self.python_button, self.command_button))
        whole.addWidget(self.view_box)

    def _connect(self) -> None:
        """Join buttons, viewer and run."""
        for name in self.run_bar.buttons:
            slot = self.start if name == "run" else getattr(self, name)
            getattr(self.run_bar, name).connect(slot)
        self.live.looked.connect(self._look)
        self.live.ended.connect(self._ended)
        self.save_button.clicked.connect(self.save)
        self.python_button.clicked.connect(lambda: self._copy(self._as_python))
        self.command_button.clicked.connect(lambda: self._copy(self._as_command))
        self.view_box.watch(self._viewer)
        self.bind(self._viewer.layers.events.inserted, self._layers_changed)
        self.bind(self._viewer.layers.events.removed, self._layers_changed)
        self.bind(self._viewer.dims.events.current_step, self._scrubbed)
        self.run_bar.show_state(self.session)
        self._layers_changed()

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

    def _result(self) -> Any:  # noqa: ANN401 - of either kind
        if self.session.result is None:
            show_error(f"there is no {self.WHAT} yet: run to the end, or stop the run")
        return self.session.result

    def _copy(self, say: Callable[[], str]) -> None:
        """Put what makes a run again on the clipboard."""
        try:
            text = say()
        except EmreconError as error:
            show_error(str(error))
            return
        QApplication.clipboard().setText(text)
        show_info(f"copied; it makes this {self.WHAT} again, bit by bit")

    def _layers_changed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        self.refresh_files()

    def _in_3d(self) -> bool:
        return bool(self._viewer.dims.ndisplay == 3)

    def _rate(self) -> float:
        return preferences().live_hz


def _button(name: str, caption: str, text: str) -> QPushButton:
    """Return a button with its name in Qt and its tooltip."""
    button = QPushButton(caption)
    button.setObjectName(name)
    button.setToolTip(text)
    return button


def _row(*widgets: QWidget) -> QHBoxLayout:
    """Return widgets side by side."""
    row = QHBoxLayout()
    row.setSpacing(3)
    for widget in widgets:
        row.addWidget(widget)
    return row
