"""What other installed packages add, by entry points: formats, phantoms, priors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")


@cache
def installed(group: str) -> dict[str, Any]:
    """Return what other packages offer under an entry-point group, by name.

    What cannot be imported is left out with a warning, so that it stops nothing else.
    """
    loaded: dict[str, Any] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            loaded[entry.name] = entry.load()
        except Exception as error:  # noqa: BLE001 - another package's code may raise anything
            log.warning("%s %r cannot be used: %r", group, entry.name, error)
    return loaded


class Extended(Mapping[str, T], Generic[T]):
    """What this package has, by name, and last what other packages add to it.

    Parameters
    ----------
    built_in : mapping
        Of this package; these names are never replaced.
    group : str
        Entry points of other packages, looked up when they are asked for.
    """

    def __init__(self, built_in: Mapping[str, T], group: str) -> None:
        self._built_in, self._group = built_in, group

    def __getitem__(self, name: str) -> T:
        item: T = (self._built_in if name in self._built_in else installed(self._group))[name]
        return item

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from (name for name in installed(self._group) if name not in self._built_in)

    def __len__(self) -> int:
        return sum(1 for _ in self)
