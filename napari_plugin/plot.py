"""Curves that grow while a run goes on; a click goes to an iterate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QTabBar, QVBoxLayout, QWidget

AXES = "#8d949e"
"""Of axes and letters: seen on dark and on light."""

LINE, MARK, HERE = "#56b4e9", "#e69f00", "#d55e00"


_MANY = 300
"""Points from which on only the line through them is drawn."""


def plot_widget(parent: QWidget | None = None) -> Any:  # noqa: ANN401 - pyqtgraph has no types
    """Return an empty plot in the panel's colours that the mouse does not move."""
    plot = pg.PlotWidget(parent, background=None)
    item = plot.getPlotItem()
    item.setMenuEnabled(False)
    item.hideButtons()
    item.getViewBox().setMouseEnabled(x=False, y=False)
    for side in ("left", "bottom"):
        axis = item.getAxis(side)
        axis.setPen(AXES)
        axis.setTextPen(AXES)
        axis.enableAutoSIPrefix(enable=False)
    item.showGrid(x=True, y=True, alpha=0.25)
    return plot


class Curves(QWidget):
    """Several curves over the updates of a run, one shown at a time.

    Parameters
    ----------
    kinds : dict of tuple
        By name: caption of the tab, what the vertical axis shows, whether it is logarithmic.
    parent : QWidget, optional
        Qt's parent.
    """

    picked = Signal(int)
    """A click on the plot: the update nearest to it."""

    def __init__(
        self, kinds: dict[str, tuple[str, str, bool]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._kinds, self._names = kinds, list(kinds)
        self._data: dict[str, tuple[list[float], list[float]]] = {n: ([], []) for n in kinds}
        self._marks: dict[str, int | None] = dict.fromkeys(kinds)
        self._per, self._here = 1, -1
        self.tabs = QTabBar(self)
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(True)
        for caption, _, _ in kinds.values():
            self.tabs.addTab(caption)
        self.tabs.currentChanged.connect(lambda _: self._draw())
        self.plot = plot_widget(self)
        self.plot.setMinimumHeight(110)
        self.plot.setToolTip("Click to see the image of an iteration")
        item = self.plot.getPlotItem()
        self._line = item.plot(pen=pg.mkPen(LINE, width=2), symbol="o", symbolSize=4,
                               symbolBrush=LINE, symbolPen=None)  # fmt: skip
        self._best = item.plot(pen=None, symbol="star", symbolSize=14, symbolBrush=MARK)
        self._now = pg.InfiniteLine(pen=pg.mkPen(HERE, style=Qt.PenStyle.DashLine))
        item.addItem(self._now, ignoreBounds=True)
        self._now.hide()
        self.said = QLabel("", self)
        self.plot.scene().sigMouseClicked.connect(self._clicked)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.tabs)
        whole.addWidget(self.plot, 1)
        whole.addWidget(self.said)
        self._draw()

    @property
    def shown(self) -> str:
        """Name of the curve that is shown."""
        return self._names[int(self.tabs.currentIndex())]

    def per_iteration(self, updates: int) -> None:
        """Count iterations of so many updates along the horizontal axis."""
        self._per = max(1, updates)

    def put(
        self, name: str, numbers: Sequence[int], values: Sequence[float], best: int | None = None
    ) -> None:
        """Show a curve: values by update; `best` is the place of one to mark."""
        pairs = [(n, v) for n, v in zip(numbers, values, strict=True) if math.isfinite(v)]
        self._data[name] = [n for n, _ in pairs], [v for _, v in pairs]
        self._marks[name] = numbers[best] if best is not None and len(numbers) else None
        if name == self.shown:
            self._draw()

    def data(self, name: str) -> tuple[list[float], list[float]]:
        """Return the updates and values of a curve."""
        return self._data[name]

    def here(self, number: int) -> None:
        """Mark the update whose image is seen; below 0 is none."""
        self._here = number
        self._now.setVisible(number >= 0)
        self._now.setValue(max(0, number) / self._per)

    def clear(self) -> None:
        """Show nothing."""
        for name in self._names:
            self._data[name], self._marks[name] = ([], []), None
        self.here(-1)
        self._draw()

    def pick(self, iteration: float) -> None:
        """Choose the update nearest to a place on the horizontal axis."""
        numbers = max((numbers for numbers, _ in self._data.values()), key=len)
        if numbers:
            self.picked.emit(int(min(numbers, key=lambda n: abs(n / self._per - iteration))))

    def _draw(self) -> None:
        caption, upright, logarithmic = self._kinds[self.shown]
        item = self.plot.getPlotItem()
        numbers, values = self._data[self.shown]
        item.setLabel("bottom", "iteration")
        item.setLabel("left", f"log10 ({upright})" if logarithmic else upright)
        across = [n / self._per for n in numbers]
        if logarithmic:  # few even ticks: pyqtgraph's own log axis prints them over each other
            across = [x for x, v in zip(across, values, strict=True) if v > 0]
            values = [math.log10(v) for v in values if v > 0]
        self._line.setData(across, values, symbol="o" if len(across) < _MANY else None)
        mark = self._marks[self.shown]
        if mark is not None and mark in numbers:
            best = self._data[self.shown][1][numbers.index(mark)]
            self._best.setData([mark / self._per], [best])
            self.said.setText(f"best {caption}: {best:.4g} at iteration {mark / self._per:.3g}")
        else:
            self._best.setData([], [])
            self.said.setText("")

    def _clicked(self, event: Any) -> None:  # noqa: ANN401 - pyqtgraph has no types
        box = self.plot.getPlotItem().getViewBox()
        if self.plot.getPlotItem().sceneBoundingRect().contains(event.scenePos()):
            self.pick(float(box.mapSceneToView(event.scenePos()).x()))
