"""Events in a folder of plain arrays, read where they lie: the memory does not hold them.

``events.json`` tells what the files are; ``pairs.bin``, ``tof.bin``, ``factors.bin`` and
``background.bin`` have one place an event, ``points.bin`` and ``upto.bin`` are small. Numbers are
little-endian, as in `emrecon.tomo.geometry.events.Events`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.errors import EmreconError, FormatError, WriteError
from emrecon.files import write_text
from emrecon.scratch import Scratch
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.geometry.tof import Timing
from emrecon.volume import Array

MANIFEST = "events.json"
"""The file that tells what the others are; written last."""

_VERSION = 1
_TYPES = {"tof": "<i2", "factors": "<f4", "background": "<f4", "points": "<f4", "upto": "<i8"}
_FACTS = ("background_total", "tick_s", "start_s", "duration_s")


class EventStore:
    """A folder that events are added to, a stretch at a time; see `building`."""

    def __init__(self, folder: Path, points: int, timing: Timing | None = None) -> None:
        self._folder, self._timing, self._points = folder, timing, points
        self._type = "<u2" if self._points <= 1 << 16 else "<u4"
        self._opened = ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self._count: dict[str, int] = {}

    def add(self, **columns: ArrayLike) -> None:
        """Append to columns: `pairs`, `tof`, `factors`, `background`, each in its own time.

        Raises
        ------
        WriteError
            If the disk is full.
        """
        for name, values in columns.items():
            data = np.ascontiguousarray(values, np.dtype(_TYPES.get(name, self._type)))
            if name not in self._files:
                file = (self._folder / f"{name}.bin").open("wb")
                self._files[name] = self._opened.enter_context(file)
            try:
                self._files[name].write(data.data)
            except OSError as error:
                raise WriteError(
                    f"cannot write events to {self._folder}: {error.strerror}"
                ) from error
            self._count[name] = self._count.get(name, 0) + len(data)

    def restart(self) -> None:
        """Forget all columns, for they are to be added anew."""
        for name in set(self._files) - {"points"}:
            self._files[name].seek(0)
            self._files[name].truncate()
            self._count[name] = 0

    def events(self, **facts: float) -> Events:
        """Return what was added so far, memory-mapped; `facts` are those of `Events`."""
        self.finish(**facts)
        return open_events(self._folder)

    def finish(self, **facts: float) -> None:
        """Write what the files are: from now on the folder can be opened."""
        for file in self._files.values():
            file.flush()
        manifest: dict[str, Any] = {
            "version": _VERSION,
            "events": self._count.get("pairs", 0),
            "points": self._points,
            "pairs": self._type,
            "columns": sorted(set(self._files) - {"pairs", "points"}),
            "timing": asdict(self._timing) if self._timing else None,
            **{name: float(facts.get(name, 0.0)) for name in _FACTS},
        }
        if "upto" in self._count:
            manifest["ticks"] = self._count["upto"]
        write_text(self._folder / MANIFEST, json.dumps(manifest, indent=1))

    def close(self) -> None:
        """Close the files."""
        self._opened.close()


@contextmanager
def building(
    path: Path | None, points_mm: Array, timing: Timing | None = None
) -> Iterator[EventStore]:
    """Give a store to add events to, which becomes the folder `path` if all goes well.

    Without `path` it is removed at the end. Nothing half-written is left behind.

    Raises
    ------
    WriteError
        If the folder exists already or cannot be made.
    """
    if path is not None and path.exists():
        raise WriteError(f"cannot write {path}: it exists already")
    scratch = None
    try:
        if path is None:
            scratch = Scratch("events")
            beside = scratch.path
        else:
            beside = Path(tempfile.mkdtemp(prefix=".part-events-", dir=path.parent))
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}") from error
    store = EventStore(beside, len(points_mm), timing)
    try:
        store.add(points=points_mm)
        yield store
        store.close()
        if path is not None:
            beside.chmod(0o755)
            beside.replace(path)
    except OSError as error:
        if isinstance(error, EmreconError):
            raise
        raise WriteError(f"cannot write {path or beside}: {error.strerror}") from error
    finally:
        store.close()
        scratch.close() if scratch else shutil.rmtree(beside, ignore_errors=True)


def open_events(folder: Path) -> Events:
    """Return the events of a store, memory-mapped.

    Raises
    ------
    FormatError
        If the folder is no store, or a file has been cut or is missing.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["version"] != _VERSION:
            raise FormatError(f"{folder} is of version {manifest['version']}, wanted {_VERSION}")
        count, points = int(manifest["events"]), int(manifest["points"])
        timing = Timing(**manifest["timing"]) if manifest["timing"] else None
        facts: dict[str, Any] = {name: float(manifest[name]) for name in _FACTS}
        kinds, columns = str(manifest["pairs"]), [str(name) for name in manifest["columns"]]
        ticks = int(manifest.get("ticks", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, EmreconError):
            raise
        raise FormatError(f"{folder} is no folder of events: {error!r}") from error
    if kinds not in {"<u2", "<u4"} or not set(columns) <= set(_TYPES):
        raise FormatError(f"{folder} holds columns {columns} of pairs {kinds}: not known here")
    arrays: dict[str, Any] = {
        name: _mapped(folder / f"{name}.bin", _TYPES[name], (ticks if name == "upto" else count,))
        for name in columns
    }
    return Events(
        points_mm=np.array(_mapped(folder / "points.bin", "<f4", (points, 3))),
        pairs=_mapped(folder / "pairs.bin", kinds, (count, 2)),
        timing=timing,
        **arrays,
        **facts,
    )


def _mapped(path: Path, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array in a file, which must hold it all."""
    wanted = int(np.prod(shape)) * np.dtype(kind).itemsize
    size = path.stat().st_size if path.is_file() else -1
    if size != wanted:
        state = f"has {size} bytes" if size >= 0 else "is missing"
        raise FormatError(f"{path} {state}, but {wanted} belong to its events: was it cut?")
    if not wanted:
        return np.empty(shape, np.dtype(kind))
    return np.memmap(path, np.dtype(kind), "r", shape=shape)
