"""What docks share whose job is done in a process of its own, and whose files become layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QProgressBar, QPushButton, QWidget

from napari_plugin.dock import Dock
from napari_plugin.layout import Words, button, column, row
from napari_plugin.live import POLL_MS
from napari_plugin.session import Session

if TYPE_CHECKING:
    from napari.components import ViewerModel


class JobDock(Dock):
    """A dock with buttons that begin a job, one that ends it, and where it is said how it goes.

    Parameters
    ----------
    viewer : ViewerModel
        Where layers are added.
    name : str
        What it is for; its name in Qt.
    first : str
        What is said before anything was done.
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(
        self, viewer: ViewerModel, name: str, first: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(viewer, name, parent)
        self._name = name
        self.session = Session(0)
        self.at_end(lambda: self.session.close(1.5))
        self._starters: tuple[QPushButton, ...] = ()
        self.stop_button = button("stop", "Stop", f"End the {name} at once")
        self.stop_button.clicked.connect(lambda _: self.session.stop())
        self.stop_button.setEnabled(False)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.readout = Words(first)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._look)

    def footer(self, *starters: QPushButton) -> QWidget:
        """Return what stands below: the buttons that begin a job, Stop, and how it goes."""
        self._starters, last = starters, QWidget()
        below = column(last)
        below.addLayout(row(*starters, self.stop_button))
        below.addWidget(self.progress)
        below.addWidget(self.readout)
        return last

    def begin(self, work: Callable[[Session], Path]) -> None:
        """Do what makes files, in a thread; `made` is told of them."""
        self.session = Session(0)
        self.session.start(work, name=f"emrecon {self._name}")
        self._timer.start()
        self._look()

    @abstractmethod
    def finished(self, path: Path) -> None:
        """Add the layers of what was made."""

    def _look(self) -> None:
        live = self.session.live
        for each in self._starters:
            each.setEnabled(not live)
        self.stop_button.setEnabled(live)
        self.progress.setRange(0, 0 if live else 1)
        if live:
            self.readout.setText(self.session.note or "at work")
            return
        self._timer.stop()
        if self.session.phase == "failed":
            self.readout.setText(self.session.error)
            show_error(self.session.error)
        path = self.session.result
        if isinstance(path, Path):
            self.readout.setText("\n".join([*self.session.warnings, f"Kept in {path}"]))
            self.finished(path)
        elif self.session.phase == "stopped":
            self.readout.setText("stopped")
