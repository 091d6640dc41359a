"""Where the sensitivity of each subset is kept: in memory, or in files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from emrecon.errors import WriteError
from emrecon.files import replacing
from emrecon.scratch import Scratch
from emrecon.volume import Array

Compute = Callable[[], Array]

Keep = Callable[[Compute], Array]
"""Gives a sensitivity: what is computed by the function that it takes, or was before."""

log = logging.getLogger(__name__)

IN_MEMORY_BYTES = 400_000_000
"""Sensitivities of all subsets larger than this together are kept in files."""


class InMemory:
    """Keeps one sensitivity in memory."""

    def __init__(self) -> None:
        self._image: Array | None = None

    def __call__(self, compute: Compute) -> Array:
        if self._image is None:
            self._image = compute()
        return self._image


def unkept(compute: Compute) -> Array:
    """Return a sensitivity that is asked for once."""
    return compute()


class Sensitivities:
    """The sensitivity images of all subsets, each computed once.

    Parameters
    ----------
    folder : Path, optional
        Keep them here for later runs of the same scan; a temporary folder is used without it when
        they are too large for memory, which lasts as long as this object.
    key : str, optional
        Name of all that they depend on; part of the file names.
    """

    def __init__(self, folder: Path | None = None, key: str = "") -> None:
        self._folder, self._key = folder, key
        self._scratch: Scratch | None = None
        self._held: dict[int, InMemory] = {}
        self._ready: set[str] = set()

    def of(self, number: int, subsets: int, shape: tuple[int, ...]) -> Keep:
        """Return what keeps the sensitivity of subset `number` of so many, of this shape."""
        size = 4 * int(np.prod(shape)) * subsets
        if self._folder is None and size <= IN_MEMORY_BYTES:
            return self._held.setdefault(number, InMemory())
        name = f"sensitivity-{self._key}-{number + 1}of{subsets}.npy"
        return partial(self._in_file, name, shape)

    def _in_file(self, name: str, shape: tuple[int, ...], compute: Compute) -> Array:
        path = self._place() / name
        if name not in self._ready:
            if _holds(path, shape):
                log.info("sensitivity taken from %s", path)
            else:
                kept = replacing(path, lasting=self._scratch is None)
                with kept as beside, beside.open("wb") as file:
                    np.save(file, compute())
            self._ready.add(name)
        return np.asarray(np.load(path, mmap_mode="r"))  # the system's own memory: no copy

    def _place(self) -> Path:
        if self._folder is None:
            self._scratch = Scratch("sensitivity")  # goes with this
            self._folder = self._scratch.path
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"cannot make {self._folder}: {error.strerror}") from error
        return self._folder


def _holds(path: Path, shape: tuple[int, ...]) -> bool:
    """Return whether a file holds a whole sensitivity image of this shape."""
    if not path.exists():
        return False
    try:
        stored = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        log.warning("%s is damaged: computed anew", path)
        return False
    return bool(stored.shape == shape and stored.dtype == np.float32)
