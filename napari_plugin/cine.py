"""Goes through frames, again and again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer

FIRST_HZ = 4
"""Frames a second to begin with."""


class Cine(QObject):
    """Moves a viewer along the axis before those of space.

    Parameters
    ----------
    dims : Dims
        Of the viewer.
    parent : QObject
        Qt's parent; it ends with it.
    """

    def __init__(self, dims: Any, parent: QObject) -> None:  # noqa: ANN401 - napari's
        super().__init__(parent)
        self._dims = dims
        self._timer = QTimer(self)
        self.set_rate(FIRST_HZ)
        self._timer.timeout.connect(self.go_on)

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a slot
        """Play, or halt."""
        (self._timer.start if on else self._timer.stop)()

    def set_rate(self, hz: int) -> None:
        """Play so many frames a second."""
        self._timer.setInterval(1000 // hz)

    def scenes(self) -> list[Callable[[], object]]:
        """Return what shows each frame, in order; nothing where there are none."""
        axis = self._dims.ndim - 4
        if axis < 0:
            return []
        count = round(float(self._dims.nsteps[axis]))
        return [partial(self._dims.set_current_step, axis, place) for place in range(count)]

    def here(self) -> Callable[[], object]:
        """Return what shows again the frame that is seen."""
        return partial(self._dims.set_point, range(self._dims.ndim), self._dims.point)

    def go_on(self) -> None:
        """Go to the next frame, or the first after the last."""
        axis = self._dims.ndim - 4
        if axis >= 0:
            count = round(float(self._dims.nsteps[axis]))
            self._dims.set_current_step(axis, (self._dims.current_step[axis] + 1) % count)
