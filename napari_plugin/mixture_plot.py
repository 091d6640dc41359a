"""The histogram of an image with the densities of its classes, and the table of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHeaderView,
    QLabel,
    QProgressBar,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_plugin.plot import number_axes, pen, plot_widget
from napari_plugin.theme import Colours, follow

if TYPE_CHECKING:
    from napari_plugin.tissue_seen import Row, Seen

_LEAST = 0.5
"""Where a logarithmic axis of counts begins."""

_HEAD, _ROW = 30, 22
"""Heights in the table, in pixels."""

_COLUMNS = ("Class", "Mean", "SD", "Weight", "mL", "Dice")


class MixturePlot(QWidget):
    """Counts of intensities in grey, each class in its colour, their sum dashed.

    A thin dotted curve of each class is that before the last M-step.

    Parameters
    ----------
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = plot_widget(self)
        self.plot.setMinimumHeight(110)
        self.plot.setToolTip(
            "Voxels by intensity of channel 1 without the bias field; each class, and their sum"
        )
        item = self.plot.getPlotItem()
        item.setLabel("bottom", "intensity of channel 1")
        item.setLabel("left", "voxels")
        self.counts = item.plot(pen=None, brush=pg.mkBrush(141, 148, 158, 110), stepMode="center")
        self.total = item.plot()
        self.classes: list[Any] = []
        self.before: list[Any] = []
        self.log_box = QCheckBox("Logarithmic", self)
        self.log_box.setObjectName("log")
        self.log_box.toggled.connect(lambda _: self._draw())
        self._seen: Seen | None = None
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.plot, 1)
        whole.addWidget(self.log_box)
        follow(self, self._colour)
        self.clear()

    def _colour(self, colours: Colours) -> None:
        """Draw the sum of the classes in the theme's colour."""
        self.total.setPen(pen(colours.axes, 2, style=Qt.PenStyle.DashLine))

    def put(self, seen: Seen) -> None:
        """Show a mixture."""
        self._seen = seen
        self._draw()

    def clear(self) -> None:
        """Show nothing."""
        self._seen = None
        for curve in (*self.classes, *self.before):
            self.plot.getPlotItem().removeItem(curve)
        self.classes, self.before = [], []
        self.counts.setData([0, 1], [0])
        self.total.setData([], [])
        number_axes(self.plot, curve=False)

    def _draw(self) -> None:
        seen, item = self._seen, self.plot.getPlotItem()
        if seen is None:
            return
        number_axes(self.plot, curve=True)
        logarithmic = self.log_box.isChecked()
        least = _LEAST if logarithmic else 0.0
        item.setLogMode(x=False, y=logarithmic)
        middle = (seen.edges[1:] + seen.edges[:-1]) / 2
        floor = float(np.log10(least)) if logarithmic else 0.0
        self.counts.setFillLevel(floor)
        self.counts.setData(seen.edges, np.maximum(seen.counts, least))
        self.total.setData(middle, np.maximum(seen.parts.sum(axis=1), least))
        if len(self.classes) != len(seen.rows):
            for curve in (*self.classes, *self.before):
                item.removeItem(curve)
            dotted = Qt.PenStyle.DotLine
            self.classes = [item.plot(pen=pen(row.colour, 2)) for row in seen.rows]
            self.before = [item.plot(pen=pen(r.colour, style=dotted)) for r in seen.rows]
        for curve, density in zip(self.classes, seen.parts.T, strict=True):
            curve.setData(middle, np.maximum(density, least))
        self._draw_before(middle, least)

    def _draw_before(self, middle: Any, least: float) -> None:  # noqa: ANN401 - an array
        """Draw each class as it was before the M-step, where there was one."""
        before = None if self._seen is None else self._seen.before
        for place, curve in enumerate(self.before):
            if before is None:
                curve.setData([], [])
            else:
                curve.setData(middle, np.maximum(before[:, place], least))


class Responsibilities(QWidget):
    """How much of one voxel each class explains, as bars from 0 to 1.

    Parameters
    ----------
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.readout = QLabel("click a voxel to see what each class has of it", self)
        self.readout.setObjectName("responsibilities")
        self.bars: list[QProgressBar] = []
        self._whole = QVBoxLayout(self)
        self._whole.setContentsMargins(0, 0, 0, 0)
        self._whole.setSpacing(1)
        self._whole.addWidget(self.readout)

    def put(self, rows: Sequence[Row], shares: Sequence[float] | None, position: str) -> None:
        """Show the shares of a voxel, None where it is not in the mask."""
        while len(self.bars) < len(rows):
            self.bars.append(QProgressBar(self))
            self.bars[-1].setFixedHeight(14)
            self._whole.addWidget(self.bars[-1])
        outside = shares is None
        self.readout.setText(f"{position}: outside the mask" if outside else f"{position}:")
        for place, bar in enumerate(self.bars):
            there = not outside and place < len(rows)
            bar.setVisible(there)
            if there and shares is not None:
                row, share = rows[place], float(shares[place])
                bar.setValue(round(100 * share))
                bar.setFormat(f"{row.name} {share:.3f}")
                words = (
                    "QProgressBar {color: black}" if share > 0.6 else ""
                )  # they lie on the chunk
                bar.setStyleSheet(f"{words} QProgressBar::chunk {{background: {row.colour}}}")


class ClassTable(QTableWidget):
    """Name, colour, mean, spread, weight, volume and overlap of each class.

    Parameters
    ----------
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_COLUMNS), parent)
        self.setObjectName("classes-table")
        self.setHorizontalHeaderLabels(list(_COLUMNS))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        head = self.horizontalHeader()
        head.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        head.setMinimumSectionSize(30)
        self._fit(0)
        self.setToolTip(
            "Mean and SD of the first channel, the others' in each cell's tooltip; weight in the "
            "mixture; Dice: overlap with the truth"
        )

    def put(self, rows: Sequence[Row]) -> None:
        """Show the classes."""
        self.setRowCount(len(rows))
        self._fit(len(rows))
        for place, row in enumerate(rows):
            score = "" if row.dice is None else f"{row.dice:.3f}"
            texts = (
                row.name, f"{row.mean[0]:.4g}", f"{row.sd[0]:.3g}", f"{row.weight:.3f}",
                f"{row.ml:.1f}", score,
            )  # fmt: skip
            tips = {1: row.mean, 2: row.sd}
            for column, text in enumerate(texts):
                cell = QTableWidgetItem(text)
                if column == 0:
                    cell.setIcon(_swatch(row.colour))
                if column in tips:
                    cell.setToolTip(", ".join(f"{value:.5g}" for value in tips[column]))
                self.setItem(place, column, cell)

    def _fit(self, rows: int) -> None:
        """Take the height of the rows, of three to five; more are scrolled to."""
        self.setFixedHeight(_HEAD + _ROW * min(max(rows, 3), 5))

    def texts(self) -> list[list[str]]:
        """Return what is in the cells, row by row."""
        across, down = range(self.columnCount()), range(self.rowCount())
        return [[str(self.item(row, column).text()) for column in across] for row in down]


def _swatch(colour: str) -> QIcon:
    picture = QPixmap(12, 12)
    picture.fill(QColor(colour))
    return QIcon(picture)
