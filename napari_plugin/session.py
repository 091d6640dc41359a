"""A run that can be watched and steered: a thread, the newest picture, pause, step and stop.

Nothing here knows Qt. A job is a function that is given its `Session` and shows it every
iterate; a panel looks at the session from a timer and never waits for it. A session is one run:
what it made stays with it, and a thread that is left behind can change no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from emrecon.compiled import compiling, end_helpers
from emrecon.em import Iterate
from emrecon.errors import EmreconError
from emrecon.stop import Stopped
from napari_plugin.control import POLL_S, Control
from napari_plugin.history import History
from napari_plugin.listening import warnings_of
from napari_plugin.slot import Image, Picture, Slot

log = logging.getLogger(__name__)

Phase = Literal["idle", "preparing", "running", "paused", "done", "stopped", "failed"]
"""Where a run stands."""

LIVE: tuple[Phase, ...] = ("preparing", "running", "paused")
"""Phases in which the thread is at work, or would be."""


class Uncompiled(Exception):  # noqa: N818 - no error: it is compiled, and the run begun again
    """Raised where a kernel is about to be compiled in a thread of the window's process."""


_TURN = threading.Lock()
"""Held by the run that computes: numba's plainest threading layer allows one at a time, and two
at once would only share the cores. A paused run gives its turn away."""


Job = Callable[["Session"], Any]
"""What runs in the thread: shows its session every iterate and returns what it made."""


class Session:
    """One run, in a thread of its own.

    Parameters
    ----------
    history_bytes : int
        Most memory for the pictures that are kept.
    first_s : float, optional
        How long the first update may wait for the first picture to be seen: to make a layer
        takes a window a second or two, in which a run beside it hardly gets on.
    """

    def __init__(self, history_bytes: int, first_s: float = 0.0) -> None:
        self.control, self.slot = Control(), Slot()
        self.seen = threading.Event()
        """Set by who watches, once a picture was drawn."""
        self._first_s = first_s
        self.history = History(history_bytes)
        self.phase: Phase = "idle"
        self.error: str = ""
        self.note: str = ""
        self.warnings: list[str] = []
        """What the run warned of, in order, each once."""
        self.words: Callable[[int], str] = "update {}".format
        """Says what an iterate is, by its number."""
        self.pace_s = 0.0
        """Least time between two updates, each of which is shown: slow motion."""
        self.result: Any = None
        self.number, self.total = 0, 0
        self.ready, self.ready_of = 0, 0
        self.compile: Callable[[Session], None] | None = None
        """Compiles elsewhere what the run needs; told by the job before it begins, used once."""
        self.thread: threading.Thread | None = None
        self._spent, self._since, self._first, self._before = 0.0, 0.0, 0, 0.0
        self._elsewhere = False

    @property
    def live(self) -> bool:
        """Whether a run is under way."""
        return self.phase in LIVE

    def start(self, job: Job, *, paused: bool = False, name: str = "emrecon") -> None:
        """Start the run; `paused` halts it at its first iterate.

        Raises
        ------
        RuntimeError
            If it was started before.
        """
        if self.phase != "idle":
            raise RuntimeError("a session is one run: begin another")
        self.control.reset(paused=paused)
        self.phase = "preparing"
        self.thread = threading.Thread(target=self._run, args=(job,), name=name, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End the run at its next iterate; at once where it has none yet.

        What is being prepared then ends by itself, at its next step, and is forgotten.
        """
        self.control.stop()
        if self.phase == "preparing":
            self.phase, self.note = "stopped", ""

    def forget(self) -> None:
        """Let go of pictures and result at once: a result knows its session, a circle of both."""
        self.history, self.result = History(0), None

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread to end; return whether it has."""
        if self.thread is not None:
            self.thread.join(timeout_s)
            return not self.thread.is_alive()
        return True

    def close(self, timeout_s: float = 5.0) -> bool:
        """End the run, paused or not, and wait for its last iterate; return whether it ended."""
        iterating = self.phase in {"running", "paused"}
        self.stop()
        return self.join(timeout_s) if iterating else True

    def preparing(self, done: int, total: int) -> None:
        """Be told how much of what comes before the first iterate is done.

        Raises
        ------
        Stopped
            If the run is to end before it began.
        """
        self.ready, self.ready_of = done, total
        self.go_on()

    def go_on(self) -> None:
        """Be asked, before the first iterate, whether to go on.

        Raises
        ------
        Stopped
            If the run is to end before it began.
        """
        if self.control.is_set():
            raise Stopped

    @contextmanager
    def meters(self, what: str, total: int) -> Iterator[_Meter]:
        """Give a meter of what comes before an iterate, as jobs take them.

        Yields
        ------
        _Meter
            Passes on what is done.
        """
        self.note = what
        self.preparing(0, total)
        yield _Meter(self.preparing)
        self.note = ""

    def stage(self, total: int) -> None:
        """Be told that the run goes on at another pace, and ends at update `total`."""
        self.total, self._first, self._before = total, self.number, self._spent

    def look(self, number: int, show: Callable[[], Image]) -> None:
        """Be shown an iterate: pass its picture on, keep it, and halt here if told to.

        Parameters
        ----------
        number : int
            Updates made.
        show : callable
            Makes the picture; called only if somebody wants it.
        """
        first = self._count(number)
        slow = self.pace_s > 0
        halt = self.control.must_halt()
        keep = halt or self.history.wants(number)
        if keep or slow or self.slot.wanted:
            image = show()
            if keep:
                self.history.keep(number, image)
            if halt or slow or self.slot.wanted:
                self.slot.put(Picture(number, image))
        if slow and not halt:
            self._linger()
        if halt:
            self._halt()
        elif first:
            self._await_seen()

    def last(self, number: int, show: Callable[[], Image]) -> None:
        """Be shown the iterate that the run ended with."""
        image = show()
        self.history.keep(number, image)
        self.slot.put(Picture(number, image))

    def seconds_left(self) -> float | None:
        """Return how long the run will go on as it went so far; None where that is not known."""
        done = self.number - self._first
        if done < 1 or not self.total:
            return None
        each = (self._spent - self._before) / done + self.pace_s
        return each * max(0, self.total - self.number)

    @property
    def seconds_spent(self) -> float:
        """Time iterated, without pauses."""
        return self._spent

    def _count(self, number: int) -> bool:
        """Take the time; return whether this is the first iterate."""
        now, first = time.perf_counter(), self.phase == "preparing"
        if first:
            self._first, self._spent, self._before = number, 0.0, 0.0
            self.phase = "running"
        else:
            self._spent += now - self._since
        self._since, self.number = now, number
        return first

    def _await_seen(self) -> None:
        """Wait, for a while, until the first picture was drawn."""
        end = time.perf_counter() + self._first_s
        while time.perf_counter() < end and not (self.control.is_set() or self.control.paused):
            if self.seen.wait(POLL_S):
                break
        self._since = time.perf_counter()

    def _linger(self) -> None:
        """Wait until it is time for the next update, or orders come."""
        end = time.perf_counter() + self.pace_s
        while (left := min(end, time.perf_counter() + POLL_S) - time.perf_counter()) > 0:
            if self.control.is_set() or self.control.paused or not self.pace_s:
                break
            time.sleep(left)
        self._since = time.perf_counter()

    def _halt(self) -> None:
        """Wait, without the turn, until told to go on."""
        self.phase = "paused"
        _TURN.release()
        try:
            self.control.wait()
        finally:
            self._take_turn(stoppable=False)
            self.phase = "running"
            self._since = time.perf_counter()

    def _take_turn(self, *, stoppable: bool) -> bool:
        while not _TURN.acquire(timeout=POLL_S):
            self.note = "waiting for another run"
            if stoppable and self.control.is_set():
                return False
        self.note = ""
        return True

    def _run(self, job: Job) -> None:
        """Be the thread."""
        if not self._take_turn(stoppable=True):
            self._end("stopped")
            return
        try:
            with warnings_of(self.warnings), compiling(self._compiles):
                result = self._made_by(job)
        except Stopped:
            self._end("stopped")
        except EmreconError as error:
            self._end("failed", " ".join(str(error).split()))
        except MemoryError:
            self._end("failed", "out of memory: choose larger voxels or fewer of them")
        except Exception as error:  # a thread has nobody else to tell
            ends = self.control.is_set()  # and so may the interpreter, around it
            log.log(logging.DEBUG if ends else logging.ERROR, "the run failed", exc_info=True)
            self._end("failed", f"unexpected {type(error).__name__}: {error}")
        else:
            self._end("stopped" if self.control.is_set() else "done", result=result)
        finally:
            end_helpers()  # no thread is left of a run
            _TURN.release()

    def _made_by(self, job: Job) -> Any:  # noqa: ANN401 - a job's result
        """Return what a job makes; begin it again once its kernels were compiled elsewhere."""
        self._elsewhere = True
        try:
            return job(self)
        except Uncompiled:
            self._elsewhere = False
            assert self.compile is not None, "raised where there is one"  # noqa: S101
            self.note = "compiling, once: it is kept"
            self.compile(self)
            self.note = ""
            return job(self)

    def _compiles(self, what: str) -> None:
        """Be told which kernel is compiled; "" once all are."""
        if not what:
            self.note = ""
            return
        if self.phase == "preparing":
            if self._elsewhere and self.compile is not None:
                raise Uncompiled
            self.note = f"compiling {what}, once: it is kept"
        if self.phase != "running":  # an update that is begun is made
            self.go_on()

    def _end(self, phase: Phase, error: str = "", *, result: Any = None) -> None:  # noqa: ANN401
        """Say how it ended; a run that was told to stop before it began has no more to say."""
        if self.phase == "stopped":
            return
        if phase == "failed" and self.control.is_set():
            phase, error = "stopped", ""
        self.result, self.error, self.note, self.phase = result, error, "", phase


@dataclass(frozen=True)
class _Meter:
    """Is told how far preparations are; iterates are looked at by the session itself."""

    update: Callable[[int, int], None]

    def __call__(self, iterate: Iterate[Any], /) -> None:
        """Ignore an iterate."""
