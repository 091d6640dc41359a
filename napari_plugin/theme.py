"""Colours that go with the window's theme: what is read well on dark is faint on light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QWidget


@dataclass(frozen=True)
class Colours:
    """What a theme writes in besides its own text colour."""

    axes: str
    """Of axes, captions and legends of plots."""

    warning: str
    """Of what a run warned of."""

    wrong: str
    """Of what is wrong."""


DARK = Colours(axes="#b4bac3", warning="#e69f00", wrong="#ff8b3d")
LIGHT = Colours(axes="#4b5159", warning="#8a5200", wrong="#b03c00")
_MIDDLE = 128


def colours_of(widget: QWidget) -> Colours:
    """Return the colours that are read on a widget's background."""
    background = widget.palette().color(QPalette.ColorRole.Window)
    return LIGHT if background.lightness() >= _MIDDLE else DARK


def follow(widget: QWidget, paint: Callable[[Colours], object]) -> None:
    """Paint something in a widget's colours, now and whenever its theme changes."""
    _Follower(widget, paint)


class _Follower(QObject):  # type: ignore[misc] # Qt has no types
    """Is told of another palette, as long as its widget lives."""

    def __init__(self, widget: QWidget, paint: Callable[[Colours], object]) -> None:
        super().__init__(widget)
        self._widget, self._paint = widget, paint
        self._painted: Colours | None = None
        self._follow()
        widget.installEventFilter(self)

    def eventFilter(self, _: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's own name
        """Look whether the theme is another one; the event goes on."""
        if event.type() == QEvent.Type.PaletteChange:
            self._follow()
        return False

    def _follow(self) -> None:
        """Paint if the colours are others: to paint may change the palette again."""
        colours = colours_of(self._widget)
        if colours != self._painted:
            self._painted = colours
            self._paint(colours)
