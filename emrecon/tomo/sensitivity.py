"""Where the sensitivity of each subset is kept: in memory, or in files."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emrecon.errors import WriteError
from emrecon.files import replacing
from emrecon.volume import Array

if TYPE_CHECKING:
    from emrecon.tomo.emission import Emission

log = logging.getLogger(__name__)

IN_MEMORY_BYTES = 400_000_000
"""Sensitivities of all subsets larger than this together are kept in files."""


class Sensitivities:
    """The sensitivity images of all subsets, each computed once.

    Parameters
    ----------
    folder : Path, optional
        Keep them here for later runs of the same scan; a temporary folder is used without it when
        they are too large for memory, which lasts as long as this object.
    key : str, optional
        What they depend on, see `key_of`; part of the file names.
    """

    def __init__(self, folder: Path | None = None, key: str = "") -> None:
        self._folder, self._key = folder, key
        self._kept: dict[int, Array] = {}

    def of(self, model: Emission, number: int, subsets: int) -> Callable[[], Array]:
        """Return what gives the sensitivity of subset `number`, computed now if need be."""
        size = 4 * int(np.prod(model.system.domain)) * subsets
        if self._folder is None and size <= IN_MEMORY_BYTES:
            seen = model.sensitivity_now()
            return lambda: seen
        path = self._place() / f"sensitivity-{self._key}-{number + 1}of{subsets}.npy"
        if _holds(path, model.system.domain):
            log.info("sensitivity of subset %d taken from %s", number, path)
        else:
            with replacing(path) as beside, beside.open("wb") as file:
                np.save(file, model.sensitivity_now())
        return partial(np.load, path)

    def _place(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="emrecon-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"cannot make {self._folder}: {error.strerror}") from error
        return self._folder


def key_of(*parts: object) -> str:
    """Return a short name for arrays, tuples and numbers: equal only if they all are."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(str((part.dtype, part.shape)).encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode())
        digest.update(b"|")
    return digest.hexdigest()[:16]


def _holds(path: Path, shape: tuple[int, ...]) -> bool:
    """Return whether a file holds a whole sensitivity image of this shape."""
    if not path.exists():
        return False
    try:
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        log.warning("%s is damaged: computed anew", path)
        return False
    return bool(found.shape == shape and found.dtype == np.float32)
