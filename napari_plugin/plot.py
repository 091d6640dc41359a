"""Curves that grow while a run goes on; a click goes to an iterate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QApplication, QSizePolicy, QTabBar, QVBoxLayout, QWidget

from napari_plugin.layout import OneLine
from napari_plugin.theme import Colours, follow

LINES = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2")
"""Of lines: without yellow, which is not seen on light; blue, hard to see on dark, comes last."""

MARK, HERE = "#e69f00", "#d55e00"

OPTIONAL = {"prior"}
"""Curves whose tab is there where a run has them."""

_MANY = 100
"""Points from which on only the line through them is drawn: dots would touch."""

SIDES = ("left", "bottom")
"""Axes that a plot has."""


def plot_widget(parent: QWidget | None = None, *, legend: bool = False) -> Any:  # noqa: ANN401 - pyqtgraph has no types
    """Return an empty plot in the theme's colours that the mouse does not move."""
    plot = pg.PlotWidget(parent, background=None)
    expanding, any_height = QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored
    plot.setSizePolicy(expanding, any_height)  # it would like 480 pixels, more than there are
    item = plot.getPlotItem()
    item.setMenuEnabled(False)
    item.hideButtons()
    item.getViewBox().setMouseEnabled(x=False, y=False)
    for side in SIDES:
        axis = item.getAxis(side)
        axis.enableAutoSIPrefix(enable=False)
        axis.setStyle(maxTickLevel=0)  # finer lines take as long to draw as all the rest
    item.showGrid(x=True, y=True, alpha=0.15)
    item.layout.setContentsMargins(0, 0, 4, 6)  # a fifth of the label hangs out of its axis
    if legend:
        item.addLegend(offset=(-1, 1))
    follow(plot, partial(_colour, item))
    return plot


def number_axes(plot: Any, *, curve: bool) -> None:  # noqa: ANN401 - pyqtgraph has no types
    """Write numbers at the axes if there is a curve: those of an empty plot mean nothing."""
    for side in SIDES:
        axis = plot.getPlotItem().getAxis(side)
        if axis.style["showValues"] is not curve:
            axis.setStyle(showValues=curve)


def _colour(item: Any, colours: Colours) -> None:  # noqa: ANN401 - pyqtgraph has no types
    """Draw axes and legend in a theme's colours."""
    for side in SIDES:
        item.getAxis(side).setPen(colours.axes)
        item.getAxis(side).setTextPen(colours.axes)
    if item.legend is not None:
        item.legend.setLabelTextColor(colours.axes)


def pen(colour: str, width: int = 1, **how: Any) -> Any:  # noqa: ANN401 - pyqtgraph has no types
    """Return a pen of so many of Qt's pixels: pyqtgraph counts those of the screen."""
    return pg.mkPen(colour, width=width * QApplication.instance().devicePixelRatio(), **how)


@dataclass(frozen=True, eq=False)
class Line:
    """The curves of one run."""

    colour: str
    """Of its line."""

    per: int
    """Updates in an iteration."""

    values: Mapping[str, tuple[Sequence[int], Sequence[float]]]
    """By name of the curve: updates, and values."""

    marks: dict[str, int] = field(default_factory=dict)
    """By name of the curve: the update that is the best."""

    def points(self, name: str, *, logarithmic: bool) -> tuple[list[float], list[float]]:
        """Return what is drawn of a curve: iterations, and values or their logarithms."""
        numbers, values = self.values.get(name, ((), ()))
        usable = [
            (n / self.per, v)
            for n, v in zip(numbers, values, strict=True)
            if math.isfinite(v) and (v > 0 or not logarithmic)
        ]
        return [x for x, _ in usable], [math.log10(v) if logarithmic else v for _, v in usable]


class Curves(QWidget):
    """Several curves over the iterations of runs, one kind shown at a time.

    Parameters
    ----------
    kinds : dict of tuple
        By name: caption of the tab, what is drawn, whether it is its logarithm.
    parent : QWidget, optional
        Qt's parent.
    """

    picked = Signal(int)
    """A click on the plot: the update of the foremost run nearest to it."""

    def __init__(
        self, kinds: dict[str, tuple[str, str, bool]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._kinds, self._names = kinds, list(kinds)
        self._lines: list[Line] = []
        self._drawn: list[Any] = []
        self._put: list[tuple[str, Line, bool]] = []
        """What each of `_drawn` shows: which curve, whose, and whether it is in front."""
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
        item.setLabel("bottom", "iteration")
        self._best = item.plot(pen=None, symbol="star", symbolSize=14, symbolBrush=MARK)
        self._now = pg.InfiniteLine(pen=pen(HERE, style=Qt.PenStyle.DashLine))
        item.addItem(self._now, ignoreBounds=True)
        self._now.hide()
        self.readout = OneLine("")
        self.plot.scene().sigMouseClicked.connect(self._clicked)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.tabs)
        whole.addWidget(self.plot, 1)
        whole.addWidget(self.readout)
        self.put(())

    @property
    def shown(self) -> str:
        """Name of the curve that is shown."""
        return self._names[int(self.tabs.currentIndex())]

    def per_iteration(self, updates: int) -> None:
        """Count iterations of so many updates along the horizontal axis."""
        self._per = max(1, updates)

    def put(self, lines: Sequence[Line]) -> None:
        """Show the curves of these runs, the last in front."""
        self._lines = list(lines)
        for place, name in enumerate(self._names):
            if name in OPTIONAL:
                there = any(line.values.get(name, ((), ()))[0] for line in lines)
                self.tabs.setTabVisible(place, there)
        self._draw()

    def data(self, name: str) -> tuple[list[float], list[float]]:
        """Return the iterations and values of a curve of the foremost run."""
        return self._lines[-1].points(name, logarithmic=False) if self._lines else ([], [])

    def here(self, number: int) -> None:
        """Mark the update whose image is seen; below 0 is none."""
        self._here = number
        self._now.setVisible(number >= 0)
        self._now.setValue(max(0, number) / self._per)

    def clear(self) -> None:
        """Show nothing."""
        self.here(-1)
        self.put(())

    def pick(self, iteration: float) -> None:
        """Choose the update nearest to a place on the horizontal axis."""
        if self._lines:
            line = self._lines[-1]
            numbers = max((numbers for numbers, _ in line.values.values()), key=len)
            if numbers:
                picked = min(numbers, key=lambda n: abs(n / line.per - iteration))
                self.picked.emit(int(picked))

    def _draw(self) -> None:
        logarithmic = self._kinds[self.shown][2]
        item = self.plot.getPlotItem()
        while len(self._drawn) < len(self._lines):
            self._drawn.append(item.plot([], []))
        while len(self._drawn) > len(self._lines):
            item.removeItem(self._drawn.pop())
        put = [(self.shown, line, line is self._lines[-1]) for line in self._lines]
        last, self._put = self._put, put
        for place, (drawn, (_, line, front)) in enumerate(zip(self._drawn, put, strict=True)):
            if last[place : place + 1] == [put[place]]:
                continue  # of a run that has ended
            # few even ticks: pyqtgraph's own log axis prints them over each other
            across, values = line.points(self.shown, logarithmic=logarithmic)
            few = len(across) < _MANY
            drawn.setData(
                across, values, pen=pen(line.colour, 2 if front else 1),
                symbol="o" if few and front else None, symbolSize=4, symbolBrush=line.colour,
                symbolPen=None,
            )  # fmt: skip
        number_axes(
            self.plot,
            curve=any(len(line.values.get(self.shown, ((),))[0]) > 1 for line in self._lines),
        )
        self._mark()
        self.plot.scene().prepareForPaint()  # not when it draws, which would draw all again

    def _mark(self) -> None:
        """Star the best of the foremost run, and say what is drawn: there is no room beside it."""
        self._best.setData([], [])
        _, words, logarithmic = self._kinds[self.shown]
        words = f"log10 of {words}" if logarithmic else words
        self.readout.setText(words)
        if not self._lines:
            return
        line = self._lines[-1]
        across, values = line.points(self.shown, logarithmic=logarithmic)
        mark = line.marks.get(self.shown)
        if not across and self.shown in {"likelihood", "gap"}:
            self.readout.setText(f"{words}: known after the first pass")
        elif mark is not None and mark / line.per in across:
            best = values[across.index(mark / line.per)]
            self._best.setData([mark / line.per], [best])
            self.readout.setText(f"{words}: best {best:.4g} at iteration {mark / line.per:.3g}")
        elif values:
            self.readout.setText(f"{words}: {values[-1]:.6g} at iteration {across[-1]:.3g}")

    def _clicked(self, event: Any) -> None:  # noqa: ANN401 - pyqtgraph has no types
        box = self.plot.getPlotItem().getViewBox()
        if self.plot.getPlotItem().sceneBoundingRect().contains(event.scenePos()):
            self.pick(float(box.mapSceneToView(event.scenePos()).x()))
