"""Room for one picture between the thread that makes it and the window that shows it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """An iterate as it is to be shown."""

    number: int
    """Updates made."""

    image: Image
    """Voxels."""


class Slot:
    """Room for one picture: a newer one replaces one not yet taken.

    The worker asks `wanted` first, so that no picture is made for nobody; who takes one asks for
    the next when there is time to draw it, and gets the newest of then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Picture | None = None
        self.wanted = True

    def ask(self) -> None:
        """Want the next picture that comes."""
        self.wanted = True

    def put(self, picture: Picture) -> None:
        """Leave a picture."""
        with self._lock:
            self._held, self.wanted = picture, False

    def take(self) -> Picture | None:
        """Return the picture, if there is one, and empty the slot."""
        with self._lock:
            picture, self._held = self._held, None
            return picture
