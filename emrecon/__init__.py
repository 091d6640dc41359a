"""Expectation-maximisation for medical images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emrecon.em import Iterate, Model, em, last, until, watch

if TYPE_CHECKING:
    from emrecon.jobs import reconstruct
    from emrecon.tomo.prepare import prepare, recon
    from emrecon.tomo.scan import Scan
    from emrecon.tomo.settings import Settings
    from emrecon.volume import Grid, Volume

__all__ = [
    "Grid",
    "Iterate",
    "Model",
    "Scan",
    "Settings",
    "Volume",
    "em",
    "last",
    "prepare",
    "recon",
    "reconstruct",
    "until",
    "watch",
]

_LATER = {
    "Grid": "emrecon.volume",
    "Scan": "emrecon.tomo.scan",
    "Settings": "emrecon.tomo.settings",
    "Volume": "emrecon.volume",
    "prepare": "emrecon.tomo.prepare",
    "recon": "emrecon.tomo.prepare",
    "reconstruct": "emrecon.jobs",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import the heavier public names when they are first asked for (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module 'emrecon' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - keeps the package's import quick

    return getattr(import_module(_LATER[name]), name)
