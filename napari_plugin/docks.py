"""The docks by name, as the manifest gives them: what they need may not be installed.

napari's plugin manager installs a package without its extras. A dock then says what to type.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

_MODULES = {
    "ReconDock": "recon_dock",
    "TissueDock": "tissue_dock",
    "PlanesDock": "planes_dock",
    "SimulateDock": "simulate_dock",
    "MeasureDock": "measure_dock",
    "TransmissionDock": "transmission_dock",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a kind of widget
    """Return a dock, or what says why there is none."""
    if name not in _MODULES:
        raise AttributeError(name)
    try:
        return getattr(import_module(f"napari_plugin.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        return _missing(str(error.name))


def _missing(package: str) -> type[QWidget]:
    """Return a widget that says how to install a package."""

    class Missing(QWidget):  # type: ignore[misc] # Qt has no types
        """Stands where a dock would."""

        def __init__(self, parent: QWidget | None = None) -> None:
            super().__init__(parent)
            command = f'{sys.executable} -m pip install "emrecon[napari]"'
            label = QLabel(
                f"<p>This needs the package <b>{package}</b>, which is not installed. Type this "
                f"in a terminal, and start napari again:</p><p><code>{command}</code></p>"
            )
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            QVBoxLayout(self).addWidget(label)

    return Missing
