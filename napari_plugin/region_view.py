"""The regions of a run as they are saved with its image: means, and how sure they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QTableWidgetItem

from napari_plugin.layout import read_only_table

if TYPE_CHECKING:
    from emrecon.jobs.recon_result import ReconResult

_HEADS = ("Region", "Mean", "± SE", "SD", "FWHM\nmm", "mL")


class RegionView:
    """A table of the regions of the image that a run ended with, or of each of its images."""

    def __init__(self) -> None:
        self.widget = read_only_table(_HEADS)
        self.widget.setObjectName("region-means")
        self.widget.setToolTip(
            "<p>Of the image at the end of the run: mean, its standard error from scan to scan, "
            "spread over voxels, width of the response to a point within, and volume</p>"
        )

    def put(self, result: ReconResult | None) -> bool:
        """Show the regions of a result; return whether it has any."""
        images = () if result is None else result.images
        rows = [
            (f"{number}: " if len(images) > 1 else "", row)
            for number, image in enumerate(images, 1)
            if image.regions is not None
            for row in image.regions.rows
        ]
        self.widget.setRowCount(len(rows))
        for place, (apart, row) in enumerate(rows):
            self.widget.setHorizontalHeaderItem(1, QTableWidgetItem(f"Mean\n{row.unit}".strip()))
            values = (
                (row.mean, 4), (row.standard_error, 2), (row.sd, 3), (row.fwhm_mm, 3),
                (row.volume_ml, 4),
            )  # fmt: skip
            texts = [f"{one:.{digits}g}" if math.isfinite(one) else "" for one, digits in values]
            name = f"{apart}{row.name or row.label}"
            for column, text in enumerate((name, *texts)):
                self.widget.setItem(place, column, QTableWidgetItem(text))
        self.widget.resizeColumnsToContents()
        return bool(rows)
