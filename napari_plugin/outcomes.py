"""Tabs for what a reconstruction has beside its image, each there where there is any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_plugin.region_view import RegionView
from napari_plugin.scatter_view import ScatterView

if TYPE_CHECKING:
    from qtpy.QtWidgets import QTabWidget

    from emrecon.jobs.recon_result import ReconResult


class Outcomes:
    """Charts of the scatter that a run simulated, and the table of its regions.

    Parameters
    ----------
    tabs : QTabWidget
        Where they go, last.
    """

    def __init__(self, tabs: QTabWidget) -> None:
        self._tabs = tabs
        self.scatter, self.regions = ScatterView(), RegionView()
        tabs.addTab(self.scatter.widget, "Scatter")
        tabs.addTab(self.regions.widget, "Region means")
        self.show(None)

    def show(self, result: ReconResult | None) -> None:
        """Show what a result has, if there is one."""
        for view in (self.scatter, self.regions):
            has = view.put(result)
            self._tabs.setTabVisible(self._tabs.indexOf(view.widget), has)
