"""Run, Pause, Step, Stop and Reset, with their keys on them, progress and time left."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.layout import OneLine
from napari_plugin.layout import row as layout_row
from napari_plugin.live import SHARES
from napari_plugin.number_box import NumberBox
from napari_plugin.session import Session

BUTTONS = {
    "run": ("Run", "F5", "Start from the beginning; earlier runs stay in the list."),
    "pause": ("Pause", "F6", "Halt after the update that is being made, or go on."),
    "step": ("Step", "F7", "Make one update and halt; starts a run halted if there is none."),
    "stop": ("Stop", "F8", "End after the update that is being made; its image can be saved."),
    "reset": ("Reset", "F9", "End the run and forget all runs, their images and curves."),
}
"""Caption, key and help of each button, by name."""

SLOW = "Slow motion"


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

    watched = Signal(float, float)
    """How to look on: share of the processor time, and seconds an update in slow motion."""

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
        self.progress.setMinimumWidth(40)
        self.mode, self.pace = _modes(), _pace()
        self.mode.currentTextChanged.connect(self._watch)
        self.pace.valueChanged.connect(self._watch)
        self.status = OneLine("")
        second = layout_row(self.progress, self.mode, self.pace)
        second.setStretch(0, 1)
        whole.addLayout(row)
        whole.addLayout(second)
        whole.addWidget(self.status)

    def how(self) -> tuple[float, float]:
        """Return what `watched` tells."""
        slow = self.mode.currentText() == SLOW
        pace_s = 1.0 / self.pace.value() if slow else 0.0
        return SHARES[self.mode.currentText()], pace_s

    def _watch(self, _: object) -> None:
        self.pace.setVisible(self.mode.currentText() == SLOW)
        self.watched.emit(*self.how())

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
            # a bar that never rests would draw the window, canvas and all, 25 times a second
            self.progress.setRange(0, max(1, session.ready_of))
            self.progress.setValue(session.ready)
            self.progress.setFormat("getting ready")
        else:
            self.progress.setRange(0, max(1, session.total))
            self.progress.setValue(session.number)
            self.progress.setFormat("%p %" if session.total else "")
        self.progress.setUpdatesEnabled(True)
        words = state_words(session)
        self.status.setText(words)
        self.status.setToolTip(words)

    def _caption(self, name: str, text: str) -> None:
        """Write on a button; Qt forgets a button's key when its text changes."""
        button, key = self.buttons[name], self._keys + BUTTONS[name][1]
        wanted = f"{text}\n{key}"
        if button.text() != wanted:
            button.setText(wanted)
            button.setShortcut(key)


def _modes() -> QComboBox:
    """Return the choice of how to look on."""
    box = QComboBox()
    box.setObjectName("mode")
    box.addItems(list(SHARES))
    box.setToolTip(
        "<p>Quick: a picture now and then, at hardly any cost. Watch: as many as a tenth of the "
        "processor's time draws. Slow motion: every update is shown, so many a second</p>"
    )
    return box


def _pace() -> NumberBox:
    """Return the updates a second of slow motion."""
    box = NumberBox()
    box.setObjectName("pace")
    box.setRange(0.1, 10.0)
    box.setValue(1.0)
    box.setDecimals(1)
    box.setSuffix(" /s")
    box.setToolTip("Updates a second in slow motion")
    box.hide()
    return box


def state_words(session: Session) -> str:
    """Return in words where a session is."""
    if session.note:
        return session.note
    if session.phase == "preparing":
        return "reading, and preparing the model"
    reached = session.words(session.number)
    if session.phase in {"running", "paused"}:
        left = session.seconds_left()
        time = "" if left is None else f", {duration(left)} left"
        return f"{session.phase}: {reached}{time}"
    if session.phase == "stopped" and session.result is None:
        return "stopped before it began"
    if session.phase in {"done", "stopped"}:
        return f"{session.phase} at {reached} after {duration(session.seconds_spent)}"
    return {"idle": "ready", "failed": "failed, for the reason above"}[session.phase]


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
