"""What all docks share: they hold on to the viewer and let go of it when they close."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel

WIDTH = 360
"""Of a dock, in pixels: less than what is left for the canvas."""


class Dock(QWidget):
    """A widget beside the canvas.

    Parameters
    ----------
    viewer : ViewerModel
        What it works on.
    name : str
        What it is for; its name in Qt.
    parent : QWidget, optional
        Qt's parent.
    """

    HEIGHT = 700
    """To begin with, in pixels."""

    def __init__(self, viewer: ViewerModel, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"emrecon-{name}")
        self._viewer = viewer
        self._undo: list[Callable[[], object]] = []
        leave = partial(undo_all, self._undo)
        self.destroyed.connect(leave)
        QApplication.instance().aboutToQuit.connect(leave)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's own name
        """Return the size that Qt is to begin with."""
        return QSize(WIDTH, self.HEIGHT)

    def at_end(self, call: Callable[[], object]) -> None:
        """Have something called when the dock goes, or the window; the widget may be gone."""
        self._undo.append(call)

    def bind(self, event: Any, slot: Callable[..., object]) -> None:  # noqa: ANN401 - napari's
        """Connect to one of the viewer's events for as long as the dock is there."""
        self._undo.append(connected(event, slot))


def connected(event: Any, slot: Callable[..., object]) -> Callable[[], object]:  # noqa: ANN401
    """Connect to an event; return what undoes it."""
    event.connect(slot)
    return partial(event.disconnect, slot)


def undo_all(undo: list[Callable[[], object]], *_: object) -> None:
    """Undo everything, the latest first."""
    while undo:
        undo.pop()()
