"""Orders that a person gives to a run: pause, go on, step, stop."""

from __future__ import annotations

import threading

POLL_S = 0.1
"""How long a thread waits before it looks again."""


class Control:
    """What a person may do to a run; the run asks at every iterate.

    Nothing is lost if several orders come within one iterate: the last one counts, and every
    step is made.
    """

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._paused, self._stopped, self._steps = False, False, 0

    def reset(self, *, paused: bool = False) -> None:
        """Forget all orders; begin paused if wanted."""
        with self._change:
            self._paused, self._stopped, self._steps = paused, False, 0

    def pause(self) -> None:
        """Halt at the next iterate."""
        self._order(paused=True)

    def resume(self) -> None:
        """Go on."""
        self._order(paused=False)

    def step(self) -> None:
        """Make one update and halt; a run that is going halts at its next iterate."""
        with self._change:
            self._steps += int(self._paused)
            self._paused = True
            self._change.notify_all()

    def stop(self) -> None:
        """End at the next iterate, paused or not."""
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def is_set(self) -> bool:
        """Return whether to stop: a control is a flag for `emrecon.stop.pressed`."""
        return self._stopped

    @property
    def paused(self) -> bool:
        """Whether the run is to halt at its next iterate."""
        return self._paused and not self._stopped

    def must_halt(self) -> bool:
        """Return whether the iterate at hand is where the run halts; takes one step if not."""
        with self._change:
            if not self.paused:
                return False
            if self._steps:
                self._steps -= 1
                return False
            return True

    def wait(self) -> None:
        """Return once the run may go on, with one step taken if that is why."""
        with self._change:
            while self.paused and not self._steps:
                self._change.wait(POLL_S)
            self._steps -= int(self.paused and self._steps > 0)

    def _order(self, *, paused: bool) -> None:
        with self._change:
            self._paused, self._steps = paused, 0
            self._change.notify_all()
