"""One plane of the orthogonal views: an image in mm, an overlay, a crosshair and letters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor, QFont, QTransform
from qtpy.QtWidgets import QGraphicsSimpleTextItem

from napari_plugin.plot import pen

CROSS, LETTER = "#d55e00", "#e69f00"

_OPPOSITE = {"R": "L", "A": "P", "S": "I"}
_MARGIN = 4


class _Boxed(QGraphicsSimpleTextItem):  # type: ignore[misc] # Qt has no types
    """Words on black, which are read over a white image, too."""

    def paint(self, painter: Any, *how: Any) -> None:  # noqa: ANN401 - Qt's
        """Draw the box, and the words on it."""
        painter.fillRect(self.boundingRect(), QColor("black"))
        super().paint(painter, *how)


class Plane(pg.ViewBox):  # type: ignore[misc] # pyqtgraph has no types
    """A plane across one world axis; horizontal and vertical are the other two, in mm.

    Left drag or click moves the crosshair, right drag the window, the wheel goes through the
    planes; with Ctrl it zooms, and middle drag shifts. A double click has the plane alone.

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

    doubled = Signal()
    """A double click: the plane is wanted alone, or not any more."""

    def __init__(self, depth: int, upright: int, across: int) -> None:
        super().__init__(lockAspect=True, enableMenu=False)
        self.depth, self.upright, self.across = depth, upright, across
        self.image = pg.ImageItem(axisOrder="row-major")
        self.overlay = pg.ImageItem(axisOrder="row-major")
        cross = pen(CROSS)
        self.cross = pg.InfiniteLine(angle=90, pen=cross), pg.InfiniteLine(angle=0, pen=cross)
        self.measuring = False
        """Whether a drag is a ruler."""
        self.ruler = pg.PlotCurveItem(pen=pen(LETTER, 2))
        self.length = pg.TextItem(color=LETTER, anchor=(0.5, 1.2), fill="black")
        self.length.hide()
        self.addItem(self.image)
        for item in (self.overlay, *self.cross, self.ruler, self.length):
            self.addItem(item, ignoreBounds=True)
        font = QFont()
        font.setBold(True)
        self.letters: dict[str, _Boxed] = {}
        for side in ("left", "right", "top", "bottom"):
            letter = _Boxed(self)
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

    def rule(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a line between two places in mm, and write its length."""
        self.ruler.setData([start[0], end[0]], [start[1], end[1]])
        self.length.setText(f"{math.dist(start, end):.1f} mm")
        self.length.show()
        self.length.setPos((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)

    def unrule(self) -> None:
        """Remove the ruler."""
        self.ruler.setData([], [])
        self.length.setText("")
        self.length.hide()

    def wheelEvent(self, event: Any, axis: Any = None) -> None:  # noqa: ANN401, N802 - Qt's name
        """Go through the planes, or zoom with Ctrl."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().wheelEvent(event, axis)
            return
        self.scrolled.emit(1 if event.delta() > 0 else -1)
        event.accept()

    def mouseClickEvent(self, event: Any) -> None:  # noqa: ANN401, N802
        """Move the crosshair; twice, have the plane alone."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            if event.double():
                self.doubled.emit()
            elif not self.measuring:
                self._move_to(event.scenePos())

    def mouseDragEvent(self, event: Any, axis: Any = None) -> None:  # noqa: ANN401, N802
        """Move the crosshair or the end of the ruler, the window, or the picture."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            if self.measuring:
                ends = event.buttonDownScenePos(), event.scenePos()
                start, end = (self._place(each) for each in ends)
                self.rule(start, end)
            else:
                self._move_to(event.scenePos())
        elif event.button() == Qt.MouseButton.RightButton:
            event.accept()
            way = event.scenePos() - event.lastScenePos()
            self.windowed.emit(float(way.x()), float(-way.y()))
        else:
            super().mouseDragEvent(event, axis)

    def _move_to(self, place: Any) -> None:  # noqa: ANN401 - a point
        self.moved.emit(*self._place(place))

    def _place(self, point: Any) -> tuple[float, float]:  # noqa: ANN401 - a point
        """Return a point of the scene in mm, across and up."""
        there = self.mapSceneToView(point)
        return float(there.x()), float(there.y())

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
