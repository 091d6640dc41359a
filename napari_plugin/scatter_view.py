"""What the scatter of a run was made of: the charts saved with its image, drawn larger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QWidget

from emrecon.jobs.recon_scatter import scatter_charts
from napari_plugin.layout import Words, column, scrolled
from napari_plugin.plot import LINES, pen, plot_widget

if TYPE_CHECKING:
    from emrecon.io.pictures.profiles import Chart
    from emrecon.jobs.recon_result import ReconResult

_HIGH = 130
"""Height of a chart, in pixels."""


class ScatterView:
    """Shows the scatter of a run: prompts, randoms, and scatter, predicted and fitted."""

    def __init__(self) -> None:
        body = QWidget()
        body.setObjectName("scatter")
        self._column = column(body)
        self.widget = scrolled(body)
        self.plots: list[Any] = []
        self._heads: list[Words] = []

    def put(self, result: ReconResult | None) -> bool:
        """Show the scatter of a result; return whether it has any."""
        some = [] if result is None else scatter_charts([one.scatter for one in result.images])
        while len(self.plots) < len(some):
            self._heads.append(Words())
            self.plots.append(plot_widget())
            self.plots[-1].setFixedHeight(_HIGH)
            self._column.addWidget(self._heads[-1])
            self._column.addWidget(self.plots[-1])
        for place, (head, plot) in enumerate(zip(self._heads, self.plots, strict=True)):
            for widget in (head, plot):
                widget.setVisible(place < len(some))
            if place < len(some):
                head.setText(_legend(some[place]))
                _draw(plot, some[place])
        return bool(some)


def _legend(chart: Chart) -> str:
    """Return title and names of the lines, each after its colour."""
    names = (
        f'<span style="color:{LINES[line.colour]}">\N{BLACK SQUARE}</span> {line.name}'
        for line in chart.lines
    )
    title = f"{chart.title}, log10" if chart.logarithmic else chart.title
    return f"<b>{title}</b><br>{' &nbsp; '.join(names)}"


def _draw(plot: Any, chart: Chart) -> None:  # noqa: ANN401 - pyqtgraph has no types
    item = plot.getPlotItem()
    item.clear()
    for line in chart.lines:
        values = np.asarray(line.values, float)
        if chart.logarithmic:
            values = np.log10(np.where(values > 0, values, np.nan))
        item.plot(values, pen=pen(LINES[line.colour], 2), connect="finite")
    if not chart.logarithmic:
        item.setYRange(0, max(float(np.max(line.values)) for line in chart.lines))
