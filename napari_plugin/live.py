"""Looks at a session from a timer, and draws no more than there is time for."""

from __future__ import annotations

import time
from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer, Signal

from napari_plugin.session import Picture, Session

POLL_MS = 40
PATIENCE_S = 1.0
"""How long a picture is waited for before counters are shown without one."""

FIRST_S = 10.0
"""How long the first update of a run waits for the start image to be drawn."""

SHARE = 0.02
"""Most of the wall time that drawing may take: while the window's thread draws, a run on two
cores hardly gets on."""

FIRST_GAP_S = 0.3
"""Least time between the start image and the next picture: an example is done in a second."""

IN_3D_S = 2.0
"""Least time between pictures while the canvas shows 3D, which software draws in seconds."""


class Live(QObject):
    """Takes pictures from a session's slot and passes them on in the GUI's thread.

    Parameters
    ----------
    session : Session
        What is watched.
    draw : callable
        Shows a picture; how long that takes, with the repaint after it, decides when the next
        is asked for.
    in_3d : callable
        Whether the canvas shows 3D.
    live_hz : callable
        Most pictures a second.
    parent : QObject, optional
        Qt's parent; the timer ends with it.
    """

    looked = Signal()
    """Some time went by: show counters, buttons, curves."""

    ended = Signal()
    """The run ended, for whatever reason; its last picture was drawn."""

    def __init__(
        self,
        session: Session,
        draw: Callable[[Picture], None],
        in_3d: Callable[[], bool],
        live_hz: Callable[[], float],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._draw, self._in_3d, self._hz = session, draw, in_3d, live_hz
        self._next, self._began, self._phase = 0.0, 0.0, ""
        self.frame_s = 0.0
        self.frames = 0
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.look)

    def start(self) -> None:
        """Begin to look."""
        self._next, self._phase, self.frames, self.frame_s = 0.0, "", 0, 0.0
        self._timer.start()

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()

    def look(self) -> None:
        """Look once, if it is time: whatever changes in a window with a canvas redraws all of it.

        A picture is waited for a while; where the run halts or ends there is no waiting.
        """
        now, phase = time.perf_counter(), self._session.phase
        going = self._session.live  # before the slot: the last picture is left before the end
        changed = phase != self._phase
        if going and not changed and now < self._next:
            return
        picture = self._session.slot.take()
        if not self.frames and phase == "running":
            waits = True  # the start image is being made, and the run waits until it is seen
        else:
            waits = going and not changed and now < self._next + PATIENCE_S
        if picture is None and waits:
            self._session.slot.ask()
            return
        self._phase = phase
        self._show(picture)
        if not going:
            self._timer.stop()
            self.ended.emit()

    def _show(self, picture: Picture | None) -> None:
        self._began = time.perf_counter()
        if picture is not None:
            self._draw(picture)
            self.frames += 1
        self.looked.emit()
        self._next = float("inf")  # until this is painted
        QTimer.singleShot(0, self._painted)

    def _painted(self) -> None:
        """Come after the repaint that this caused, in the queue of events."""
        now = time.perf_counter()
        if self.frames:
            self._session.seen.set()
        if self.frames > 1:  # the first one makes the layer, and shows no more than the start
            self.frame_s = now - self._began
        least = IN_3D_S if self._in_3d() else 1.0 / max(self._hz(), 0.01)
        if self.frames == 1:  # it is not known yet how long one takes
            least = max(least, FIRST_GAP_S)
        self._next = now + max(least - self.frame_s, self.frame_s * (1 / SHARE - 1))
