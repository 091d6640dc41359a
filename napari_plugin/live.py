"""Looks at a session from a timer, and draws no more than there is time for."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QObject, QTimer, Signal

from napari_plugin.session import Session
from napari_plugin.slot import Picture

POLL_MS = 40

FIRST_S = 10.0
"""How long the first update of a run waits for the start image to be drawn."""

SHARES = {"Quick": 0.01, "Watch": 0.12, "Slow motion": 1.0}
"""Ways to look on, each with the most of the processor time that the window's thread may draw for
(software that draws takes half as much again in other threads): by the processor, as a busy
machine makes neither pictures dearer nor the run longer in it. In slow motion the run waits."""

WORDS_SHARE = 0.05
"""Most of the wall time that counters and curves may take, as long as they come twice a second."""

OFTEN_S, SELDOM_S = 0.2, 0.4
"""Least and most time between the beginnings of two looks at counters and curves."""

FIRST_GAP_S = 0.3
"""Least time between the start image and the next picture: an example is done in a second."""

IN_3D_S = 2.0
"""Least time between pictures while the canvas shows 3D, which software draws in seconds."""


class Live(QObject):
    """Takes pictures from a session's slot and passes them on in the GUI's thread.

    Parameters
    ----------
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
        draw: Callable[[Picture], None],
        in_3d: Callable[[], bool],
        live_hz: Callable[[], float],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._draw, self._in_3d, self._hz = draw, in_3d, live_hz
        self._session: Session | None = None
        self.share = SHARES["Quick"]
        self._next, self._next_words, self._began, self._phase = 0.0, 0.0, 0.0, ""
        self._next_used, self._began_used = 0.0, 0.0
        self._told: tuple[object, ...] = ()
        self.frame_s = 0.0
        self.frames = 0
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.look)

    def start(self, session: Session) -> None:
        """Begin to look at a run."""
        self._session = session
        self._next, self._next_used, self._next_words, self._phase = 0.0, 0.0, 0.0, ""
        self.frames, self.frame_s, self._told = 0, 0.0, ()
        self._timer.start()

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()

    def again(self, share: float) -> None:
        """Take so much of the processor time from now on, and draw at once."""
        self.share, self._next_used = share, 0.0
        self._next = min(self._next, time.perf_counter())

    def look(self) -> None:
        """Look once, if it is time: whatever changes in a window with a canvas redraws all of it.

        Pictures come as there is time to draw them, counters in between.
        """
        session, now = self._session, time.perf_counter()
        if session is None:
            return
        phase = session.phase
        going = session.live  # before the slot: the last picture is left before the end
        changed = phase != self._phase
        picture = None
        due = now >= self._next and time.process_time() >= self._next_used
        if changed or phase != "running" or due:  # a run that halts is held up by no picture
            picture = session.slot.take()
            session.slot.ask()
        state = (session.number, session.note, session.ready, len(session.warnings))
        stands = now < self._next_words or state == self._told
        if picture is None and going and not changed and stands:
            return
        self._phase, self._told = phase, state
        self._show(picture)
        if not going:
            self._timer.stop()
            self.ended.emit()

    def _show(self, picture: Picture | None) -> None:
        self._began, self._began_used = time.perf_counter(), time.thread_time()
        if picture is not None:
            self._draw(picture)
            self.frames += 1
        self.looked.emit()
        after, self._next, self._next_words = self._next, float("inf"), float("inf")
        QTimer.singleShot(0, partial(self._painted, picture is not None, after))

    def _painted(self, drawn: bool, after: float) -> None:  # noqa: FBT001 - a slot
        """Come after the repaint that this caused, in the queue of events."""
        now, used = time.perf_counter(), time.thread_time() - self._began_used
        took = now - self._began
        self._next_words = self._began + min(max(took / WORDS_SHARE, OFTEN_S), SELDOM_S)
        if not drawn:
            self._next = after
            return
        if self._session is not None:
            self._session.seen.set()
        least = IN_3D_S if self._in_3d() else 1.0 / max(self._hz(), 0.01)
        if self.frames > 1:  # the first one makes the layer, and shows no more than the start
            self.frame_s = took
            self._next_used = time.process_time() + used * (1 / self.share - 1)
        else:  # it is not known yet how much one takes
            least = max(least, FIRST_GAP_S)
        self._next = now + max(least - self.frame_s, 0.0)
