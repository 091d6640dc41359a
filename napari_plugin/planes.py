"""One plane of the orthogonal views: an image in mm, an overlay, a crosshair and letters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor, QFont, QTransform
from qtpy.QtWidgets import QGraphicsSimpleTextItem

CROSS, LETTER = "#d55e00", "#e69f00"

_OPPOSITE = {"R": "L", "A": "P", "S": "I"}
_MARGIN = 4


class Plane(pg.ViewBox):  # type: ignore[misc] # pyqtgraph has no types
    """A plane across one world axis; horizontal and vertical are the other two, in mm.

    Left drag or click moves the crosshair, right drag the window, the wheel goes through the
    planes; with Ctrl it zooms, and middle drag shifts.

    Parameters
    ----------
    depth, upright, across : int
        Which of the world axes (S, A, R) goes through the plane, up it, and across it.
    """

    moved = Signal(float, float)
    """Where the crosshair is wanted: across and up, in mm."""

    windowed = Signal(float, float)
    """How far the mouse was dragged with the right button, to the right and up, in pixels."""

    scrolled = Signal(int)
    """Planes to go on by."""

    def __init__(self, depth: int, upright: int, across: int) -> None:
        super().__init__(lockAspect=True, enableMenu=False)
        self.depth, self.upright, self.across = depth, upright, across
        self.image = pg.ImageItem(axisOrder="row-major")
        self.overlay = pg.ImageItem(axisOrder="row-major")
        pen = pg.mkPen(CROSS, width=1)
        self.cross = pg.InfiniteLine(angle=90, pen=pen), pg.InfiniteLine(angle=0, pen=pen)
        self.addItem(self.image)
        for item in (self.overlay, *self.cross):
            self.addItem(item, ignoreBounds=True)
        font = QFont()
        font.setBold(True)
        self.letters: dict[str, QGraphicsSimpleTextItem] = {}
        for side in ("left", "right", "top", "bottom"):
            letter = QGraphicsSimpleTextItem(self)
            letter.setBrush(QBrush(QColor(LETTER)))
            letter.setFont(font)
            letter.setZValue(10)
            self.letters[side] = letter
        self.setBackgroundColor("k")
        self.sigResized.connect(lambda _: self._place_letters())

    def label(self, names: tuple[str, str, str] | None, *, turned: bool) -> None:
        """Say where the plane's sides lie in the patient.

        Parameters
        ----------
        names : tuple of str or None
            Of the world axes, each the letter of its positive end; None if they are not known.
        turned : bool
            Whether the positive end of the horizontal axis is on the left.
        """
        self.invertX(b=turned)
        texts = dict.fromkeys(self.letters, "")
        if names is not None:
            right, top = names[self.across], names[self.upright]
            left = _OPPOSITE[right]
            if turned:
                left, right = right, left
            texts = {"left": left, "right": right, "top": top, "bottom": _OPPOSITE[top]}
        for side, text in texts.items():
            self.letters[side].setText(text)
        self._place_letters()

    def words(self) -> dict[str, str]:
        """Return the letters by side."""
        return {side: str(item.text()) for side, item in self.letters.items()}

    def point(self, across: float, upright: float) -> None:
        """Put the crosshair there."""
        self.cross[0].setValue(across)
        self.cross[1].setValue(upright)

    def wheelEvent(self, event: Any, axis: Any = None) -> None:  # noqa: ANN401, N802 - Qt's name
        """Go through the planes, or zoom with Ctrl."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().wheelEvent(event, axis)
            return
        self.scrolled.emit(1 if event.delta() > 0 else -1)
        event.accept()

    def mouseClickEvent(self, event: Any) -> None:  # noqa: ANN401, N802
        """Move the crosshair."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self._move_to(event.scenePos())

    def mouseDragEvent(self, event: Any, axis: Any = None) -> None:  # noqa: ANN401, N802
        """Move the crosshair, the window, or the picture."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self._move_to(event.scenePos())
        elif event.button() == Qt.MouseButton.RightButton:
            event.accept()
            way = event.scenePos() - event.lastScenePos()
            self.windowed.emit(float(way.x()), float(-way.y()))
        else:
            super().mouseDragEvent(event, axis)

    def _move_to(self, place: Any) -> None:  # noqa: ANN401 - a point
        there = self.mapSceneToView(place)
        self.moved.emit(float(there.x()), float(there.y()))

    def _place_letters(self) -> None:
        wide, high = self.width(), self.height()
        for side, item in self.letters.items():
            box = item.boundingRect()
            x, y = (wide - box.width()) / 2, (high - box.height()) / 2
            x = {"left": _MARGIN, "right": wide - box.width() - _MARGIN}.get(side, x)
            y = {"top": _MARGIN, "bottom": high - box.height() - _MARGIN}.get(side, y)
            item.setPos(x, y)


def put(
    item: Any,  # noqa: ANN401 - pyqtgraph has no types
    picture: NDArray[Any],
    corner: tuple[float, float],
    step: tuple[float, float],
) -> None:
    """Show numbers or colours in an item of a plane.

    Parameters
    ----------
    item : ImageItem
        Of the plane.
    picture : array
        Rows upwards, columns to the right; colours as bytes along a third axis.
    corner, step : tuple of float
        Centre of the first pixel and distance between pixels, across and up, in mm.
    """
    place = QTransform()
    place.translate(corner[0] - step[0] / 2, corner[1] - step[1] / 2)
    place.scale(*step)
    item.setTransform(place)
    if picture.ndim == 3:
        item.setLookupTable(None)
        item.setImage(picture, autoLevels=False, levels=(0, 255))
    else:
        item.setImage(np.nan_to_num(np.asarray(picture, np.float32)), autoLevels=False)
    item.show()
