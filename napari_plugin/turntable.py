"""A layer's maximum intensity projection that turns, beside the three planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer

from napari_plugin import slices
from napari_plugin.layers import world
from napari_plugin.planes import Plane, put
from napari_plugin.projections import VIEWS, Projections

TURN_MS = 120
"""Time between two views: a turn takes five seconds."""


class Turntable(QObject):
    """Shows the projections of an image, one after another.

    Parameters
    ----------
    source : callable
        Returns the image layer, and where among its frames one is, or None.
    parent : QObject, optional
        Qt's parent; the turning ends with it.
    """

    def __init__(
        self, source: Callable[[], tuple[Any, tuple[int, ...]] | None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._source = source
        self.plane = Plane(1, 0, 2)
        for line in self.plane.cross:
            line.hide()
        self.number = 0
        self._projections: Projections | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(TURN_MS)
        self._timer.timeout.connect(self.turn)

    @property
    def on(self) -> bool:
        """Whether it turns."""
        return bool(self._timer.isActive())

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a slot
        """Turn, or halt and let go of the projections."""
        self.changed()
        (self._timer.start if on else self._timer.stop)()
        if on:
            self.turn()

    def changed(self) -> None:
        """Be told that the image is another one, or at another frame."""
        self._projections = None

    def fit(self) -> None:
        """Show all of the projection."""
        projections = self._current()
        if projections is not None:
            wide, high = (
                projections.across * projections.pixel_mm,
                projections.up_mm * projections.view(0).shape[0],
            )
            self.plane.setRange(xRange=(-wide / 2, wide / 2), yRange=(-high / 2, high / 2))

    def turn(self) -> None:
        """Show the next view."""
        projections, source = self._current(), self._source()
        if projections is None or source is None:
            self.plane.image.hide()
            return
        layer = source[0]
        self.number = (self.number + 1) % VIEWS
        picture = projections.view(self.number)
        self.plane.image.setLookupTable(slices.colours(layer))
        self.plane.image.setLevels(tuple(float(end) for end in layer.contrast_limits))
        corner = (
            -(projections.across // 2) * projections.pixel_mm,
            -(picture.shape[0] - 1) / 2 * projections.up_mm,
        )
        put(self.plane.image, picture, corner, (projections.pixel_mm, projections.up_mm))

    def _current(self) -> Projections | None:
        source = self._source()
        if source is None or not isinstance(source[0], Image) or source[0].rgb:
            return None
        if self._projections is None:
            layer, lead = source
            matrix = world(layer)
            steps = float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[2, 2])
            self._projections = Projections(layer.data[lead] if lead else layer.data, steps)
            self.fit()
        return self._projections
