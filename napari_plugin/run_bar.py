"""Run, Pause, Step, Stop and Reset, with their keys on them, progress and time left."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.session import Session

BUTTONS = {
    "run": ("Run", "F5", "Start from the beginning."),
    "pause": ("Pause", "F6", "Halt after the update that is being made, or go on."),
    "step": ("Step", "F7", "Make one update and halt; starts a run halted if there is none."),
    "stop": ("Stop", "F8", "End after the update that is being made; its image can be saved."),
    "reset": ("Reset", "F9", "End the run and forget its images and curves."),
}
"""Caption, key and help of each button, by name."""


class RunBar(QWidget):
    """The buttons that steer a run, and how far it is.

    Parameters
    ----------
    keys : str, optional
        What is pressed with the function keys, such as ``Shift+``, so that two panels differ.
    parent : QWidget, optional
        Qt's parent.
    """

    run = Signal()
    pause = Signal()
    step = Signal()
    stop = Signal()
    reset = Signal()

    def __init__(self, keys: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keys = keys
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(3)
        row = QGridLayout()
        row.setSpacing(3)
        self.buttons: dict[str, QPushButton] = {}
        for place, (name, (_, _, text)) in enumerate(BUTTONS.items()):
            button = QPushButton(self)
            button.setObjectName(name)
            button.setToolTip(text)
            button.setMinimumWidth(20)
            button.clicked.connect(getattr(self, name).emit)
            row.addWidget(button, 0, place)
            self.buttons[name] = button
            self._caption(name, BUTTONS[name][0])
        self.progress = QProgressBar(self)
        self.progress.setTextVisible(True)
        self.status = QLabel("", self)
        self.status.setWordWrap(True)
        whole.addLayout(row)
        whole.addWidget(self.progress)
        whole.addWidget(self.status)

    def show_state(self, session: Session) -> None:
        """Show where a session is, and which buttons mean something now."""
        live = session.live
        for name, useful in {
            "run": not live,
            "pause": live,
            "step": True,
            "stop": live,
            "reset": session.phase != "idle",
        }.items():
            self.buttons[name].setEnabled(useful)
        self._caption("pause", "Resume" if live and session.control.paused else "Pause")
        self.progress.setUpdatesEnabled(False)  # it would repaint the whole window at once
        if session.phase == "preparing":
            self.progress.setRange(0, session.ready_of)
            self.progress.setValue(session.ready)
            self.progress.setFormat("getting ready")
        else:
            self.progress.setRange(0, max(1, session.total))
            self.progress.setValue(session.number)
            self.progress.setFormat("%v of %m updates" if session.total else "")
        self.progress.setUpdatesEnabled(True)
        self.status.setText(state_words(session))

    def _caption(self, name: str, text: str) -> None:
        """Write on a button; Qt forgets a button's key when its text changes."""
        button, key = self.buttons[name], self._keys + BUTTONS[name][1]
        wanted = f"{text}\n{key}"
        if button.text() != wanted:
            button.setText(wanted)
            button.setShortcut(key)


def state_words(session: Session) -> str:
    """Return in words where a session is."""
    if session.note:
        return session.note
    if session.phase == "preparing":
        return "reading, and preparing the model"
    if session.phase in {"running", "paused"}:
        left = session.seconds_left()
        time = "" if left is None else f", {duration(left)} left"
        about = f"{session.about}: " if session.about else ""
        return f"{about}{session.phase} at update {session.number}{time}"
    if session.phase in {"done", "stopped"}:
        return (
            f"{session.phase} at update {session.number} after {duration(session.seconds_spent)}"
        )
    return {"idle": "ready", "failed": session.error}[session.phase]


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
