"""What is chosen once, in napari's own preferences (manifest ``configurations``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PLUGIN = "emrecon"


@dataclass(frozen=True)
class Preferences:
    """The preferences of this plugin, with their defaults."""

    view: Literal["radiological", "neurological"] = "radiological"
    live_hz: float = 5.0
    history_mb: int = 512

    @property
    def history_bytes(self) -> int:
        """Most memory that the pictures kept of a run may take."""
        return self.history_mb * 1_000_000


def preferences() -> Preferences:
    """Return the preferences; the defaults where napari does not know the plugin."""
    from napari.settings import get_plugin_settings  # noqa: PLC0415 - brings napari

    try:
        stored = get_plugin_settings(PLUGIN).display
    except (KeyError, AttributeError):
        return Preferences()
    return Preferences(str(stored.view), float(stored.live_hz), int(stored.history_mb))  # type: ignore[arg-type] # the manifest allows no other words
