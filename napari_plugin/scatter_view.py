"""What the scatter of a run was made of, as the picture that is saved with its image."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QLabel

from emrecon.jobs.recon_scatter import draw_scatter

if TYPE_CHECKING:
    from emrecon.jobs.recon_result import ReconResult


class ScatterView(QLabel):  # type: ignore[misc] # Qt has no types
    """Shows the charts of a run's scatter: prompts, randoms, and scatter, predicted and fitted."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("scatter")
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._charts = QPixmap()
        self.setMinimumSize(100, 80)

    def put(self, result: ReconResult | None) -> bool:
        """Show the scatter of a result; return whether it has any."""
        held = [] if result is None else [image.scatter for image in result.images]
        if not any(estimate is not None for estimate in held):
            self._charts = QPixmap()
            self.clear()
            return False
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.scatter.png"
            draw_scatter(held, path)
            self._charts = QPixmap(str(path))
        self._fit()
        return True

    def resizeEvent(self, event: object) -> None:  # noqa: N802 - Qt's name
        """Fit the charts into the width that there is."""
        super().resizeEvent(event)
        if not self._charts.isNull():
            self._fit()

    def _fit(self) -> None:
        smooth = Qt.TransformationMode.SmoothTransformation
        self.setPixmap(self._charts.scaledToWidth(max(100, self.width()), smooth))
