"""What other installed packages add, by entry points: formats, phantoms, priors."""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import entry_points
from typing import Any

log = logging.getLogger(__name__)


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
