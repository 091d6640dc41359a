"""What all docks share: they hold on to the viewer and let go of it when they close."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel

_PLACE = QEvent.Type(QEvent.registerEventType())
"""Of a dock that is to take its place."""

WIDTH = 360
"""Of a dock, in pixels: less than what is left for the canvas."""


class Leaving(QWidget):  # type: ignore[misc] # Qt has no types
    """A widget that tells when it is taken out of its window, and goes then.

    napari only sets such a widget free: it would live on, unseen, until nobody held it.
    """

    left = Signal()
    """It was taken out."""

    def changeEvent(self, event: Any) -> None:  # noqa: ANN401, N802 - Qt's name
        """Be told of a new parent, or none."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.left.emit()
            self.deleteLater()


class Dock(Leaving):
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
        self._settled = False
        leave = partial(undo_all, self._undo)
        self.left.connect(leave)
        self.destroyed.connect(leave)
        QApplication.instance().aboutToQuit.connect(leave)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's own name
        """Return the size that Qt is to begin with."""
        return QSize(WIDTH, self.HEIGHT)

    def changeEvent(self, event: Any) -> None:  # noqa: ANN401, N802 - Qt's name
        """Take a place once there is a window."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is not None:
            self._ask_for_a_place()

    def showEvent(self, event: Any) -> None:  # noqa: ANN401, N802 - Qt's own name
        """Take a place, if there was no window yet."""
        super().showEvent(event)
        if not self._settled:
            self._ask_for_a_place()

    def event(self, event: Any) -> bool:  # noqa: ANN401 - Qt's own name
        """Take a place when it is time to."""
        if event.type() == _PLACE:
            self._tabify()
            return True
        return bool(super().event(event))

    def _ask_for_a_place(self) -> None:
        """Take a place soon: before the window is laid out, which would grow with each dock."""
        first = Qt.EventPriority.HighEventPriority
        QApplication.postEvent(self, QEvent(_PLACE), first.value)

    def _tabify(self) -> None:
        """Share a place, as tabs, with another dock of this plugin: a screen holds one.

        It goes to one that has its place: of several that are opened at once, none leaves
        another that just joined it.
        """
        own = _dock_widget(self)
        window = None if own is None else own.window()
        if self._settled or own is None or not isinstance(window, QMainWindow):
            return
        self._settled = True
        for other in window.findChildren(Dock):
            there = _dock_widget(other)
            if there is None or there is own or not other._settled:  # noqa: SLF001 - of its own kind
                continue
            if there.isFloating() or _is_put_away(there):
                continue
            if window.dockWidgetArea(there) == window.dockWidgetArea(own):
                wide = there.width() if there.isVisible() else self.sizeHint().width()
                own.resize(wide, own.height())  # all tabs become as wide as the widest
                window.tabifyDockWidget(there, own)
                QTimer.singleShot(0, self._to_front)  # once it is shown
                return

    def _to_front(self) -> None:
        """Be the tab that is seen."""
        own = _dock_widget(self)
        if own is not None:
            own.raise_()

    def at_end(self, call: Callable[[], object]) -> None:
        """Have something called when the dock goes, or the window; the widget may be gone."""
        self._undo.append(call)

    def bind(self, event: Any, slot: Callable[..., object]) -> None:  # noqa: ANN401 - napari's
        """Connect to one of the viewer's events for as long as the dock is there."""
        self._undo.append(connected(event, slot))


def _is_put_away(dock: QDockWidget) -> bool:
    """Return whether a dock was hidden: not one that is about to be shown first."""
    told = dock.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide)
    return bool(dock.isHidden() and told)


def _dock_widget(widget: QWidget) -> QDockWidget | None:
    """Return what Qt docks of which a widget is a part."""
    while widget is not None and not isinstance(widget, QDockWidget):
        widget = widget.parentWidget()
    return widget


def connected(event: Any, slot: Callable[..., object]) -> Callable[[], object]:  # noqa: ANN401
    """Connect to an event; return what undoes it."""
    event.connect(slot)
    return partial(event.disconnect, slot)


def undo_all(undo: list[Callable[[], object]], *_: object) -> None:
    """Undo everything, the latest first."""
    while undo:
        undo.pop()()
