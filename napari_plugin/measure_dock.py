"""The dock that measures: a live table of regions, profiles, contrast and noise, time curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from napari.layers import Image, Labels, Shapes
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QTabBar,
    QTableWidgetItem,
    QWidget,
)

from emrecon.errors import EmreconError, WriteError
from emrecon.files import write_text
from napari_plugin import measure, slices
from napari_plugin.dock import Dock, connected, undo_all
from napari_plugin.layers import in_space
from napari_plugin.layout import Words, button, column, inside, lines, read_only_table, row
from napari_plugin.measure import Values
from napari_plugin.plot import HERE, LINES, number_axes, pen, plot_widget
from napari_plugin.run_panel import RunPanel
from napari_plugin.units import unit_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SOON_MS = 150
_EVENTS = ("data", "set_data", "paint", "labels_update", "scale", "translate", "name")
_HEADS = ("Region", "Mean", "SD", "Noise\n%", "Bias\n%", "Truth", "Max", "mL")
_OF_TRUTH = (4, 5)
"""Columns that there are with a truth."""

_WIDEST = 96
"""Of the column of names, in pixels; a tooltip shows all of a name."""

_AXES = ("scale", "translate", "units", "axis_labels")
_PROFILE, _NOISE, _TIME = "Profile", "Contrast and noise", "Time"


class MeasureDock(Dock):
    """Measures an image in regions, against a truth where there is one.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer, given by napari by this name.
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, "measure", parent)
        self.rows: list[measure.Row] = []
        self.masks: dict[str, measure.Mask] = {}
        self.image_box, self.region_box, self.truth_box = (QComboBox() for _ in range(3))
        boxes = {"image": self.image_box, "regions": self.region_box, "truth": self.truth_box}
        for name, box in boxes.items():
            box.setObjectName(name)
            box.setMinimumContentsLength(12)
        self.region_box.setToolTip("Labels, or shapes drawn in a plane; a line is a profile")
        self.table, self.tabs = read_only_table(_HEADS), QTabBar()
        for caption in (_PROFILE, _NOISE, _TIME):
            self.tabs.addTab(caption)
        self.plot = plot_widget(legend=True)
        self.plot.setMinimumHeight(120)
        self.columns: dict[str, Sequence[object]] = {}
        """What is plotted, by the head that it has in a file."""
        self.readout = Words()
        self.area_button = button("area", "New area", "Draw an ellipse in the plane that is shown")
        self.line_button = button("line", "New line", "Draw a line for a profile")
        self.csv_button = button("csv", "Save CSV…", "Write the table")
        self.curve_button = button("curve-csv", "Save curves…", "Write what is plotted as CSV")
        self._watched: list[Callable[[], object]] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SOON_MS)
        self._timer.timeout.connect(self.measure)
        self._lay_out()
        self._connect()
        self._list()

    def measure(self) -> None:
        """Measure what is chosen, and show it."""
        image, layer = self._layer(self.image_box), self._layer(self.region_box)
        self.rows, self.masks = [], {}
        self.readout.setText("")
        try:
            if image is not None and layer is not None:
                self.masks = measure.regions(layer, image)
                truth, values = self._truth(image), self._frame(image)
                size = measure.voxel_ml(image)
                self.rows = measure.table(values, self.masks, size, truth)
        except EmreconError as error:
            self.readout.setText(str(error))
        self._fill()
        self._draw()

    def save_to(self, path: Path) -> None:
        """Write the table as CSV."""
        self._write(path, measure.text(self.rows, unit_of(self._layer(self.image_box))))

    def save_curves_to(self, path: Path) -> None:
        """Write what is plotted as CSV."""
        if not self.columns:
            show_error("nothing is plotted: there is nothing to write")
            return
        self._write(path, measure.columns_text(self.columns))

    def _write(self, path: Path, text: str) -> None:
        try:
            write_text(path, text)
        except WriteError as error:
            show_error(str(error))
            return
        show_info(f"wrote {path.name}")

    def _lay_out(self) -> None:
        whole, head = column(inside(self)), lines()
        head.addRow("Image", self.image_box)
        head.addRow("Regions", self.region_box)
        head.addRow("Truth", self.truth_box)
        whole.addLayout(head)
        whole.addLayout(row(self.area_button, self.line_button, self.csv_button))
        whole.addWidget(self.table, 1)
        whole.addLayout(row(self.tabs, self.curve_button))
        whole.addWidget(self.plot, 1)
        whole.addWidget(self.readout)

    def _connect(self) -> None:
        for box in (self.image_box, self.region_box, self.truth_box):
            box.currentIndexChanged.connect(lambda _: self._watch())
        self.tabs.currentChanged.connect(lambda _: self._draw())
        self.table.itemSelectionChanged.connect(self._draw)
        self.area_button.clicked.connect(lambda _: self._new("add_ellipse"))
        self.line_button.clicked.connect(lambda _: self._new("add_line"))
        self.csv_button.clicked.connect(lambda _: self._ask("regions.csv", self.save_to))
        self.curve_button.clicked.connect(lambda _: self._ask("curves.csv", self.save_curves_to))
        self.bind(self._viewer.layers.events.inserted, self._list)
        self.bind(self._viewer.layers.events.removed, self._list)
        self.bind(self._viewer.dims.events.current_step, self._soon)
        self.at_end(partial(undo_all, self._watched))

    def _list(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        """List the layers that may be chosen, keeping what is; at first those that are seen."""
        layers = list(self._viewer.layers)
        images = [layer for layer in layers if isinstance(layer, Image) and in_space(layer)]
        areas = [layer for layer in layers if isinstance(layer, Labels | Shapes)]
        for box, there in (
            (self.image_box, images), (self.region_box, areas), (self.truth_box, [None, *images]),
        ):  # fmt: skip
            kept = box.currentData()
            box.blockSignals(True)  # noqa: FBT003 - Qt's own name
            box.clear()
            for layer in there:
                box.addItem("none" if layer is None else layer.name, layer)
            places = [at for at, layer in enumerate(there) if layer == kept]
            box.setCurrentIndex(places[0] if places else self._seen_of(there))
            box.blockSignals(False)  # noqa: FBT003
        self._watch()

    def _seen_of(self, layers: Sequence[Any]) -> int:
        """Return the place of the layer that is looked at: active, or else the uppermost."""
        active = self._viewer.layers.selection.active
        seen = [at for at, layer in enumerate(layers) if layer is not None and layer.visible]
        if None in layers or not seen:
            return 0
        return next((at for at in seen if layers[at] is active), seen[-1])

    def _watch(self) -> None:
        """Be told of changes of the layers that are chosen."""
        undo_all(self._watched)
        for layer in map(self._layer, (self.image_box, self.region_box, self.truth_box)):
            for name in _EVENTS:
                if layer is not None and name in layer.events:
                    self._watched.append(connected(getattr(layer.events, name), self._soon))
        self._soon()

    def _soon(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        """Measure in a moment, once for all that happens until then."""
        if not self._timer.isActive():
            self._timer.start()

    def _layer(self, box: QComboBox) -> Any:  # noqa: ANN401 - a layer or none
        layer = box.currentData()
        return layer if layer is not None and layer in self._viewer.layers else None

    def _frame(self, image: Image) -> Values:
        """Return the frame that is seen of an image."""
        lead = slices.index(image, tuple(self._viewer.dims.point))[: image.ndim - 3]
        return np.asarray(image.data[tuple(lead)])

    def _truth(self, image: Image) -> Values | None:
        truth = self._layer(self.truth_box)
        return None if truth is None else measure.truth_on(truth, image)

    def _fill(self) -> None:
        unit = unit_of(self._layer(self.image_box))
        self.table.setHorizontalHeaderItem(1, QTableWidgetItem(f"Mean\n{unit}".strip()))
        self.table.setRowCount(len(self.rows))
        for place, one in enumerate(self.rows):
            values = (one.mean, one.sd, one.noise_percent, one.bias_percent, one.truth,
                      one.maximum, one.ml)  # fmt: skip
            cells = [one.region, *("" if value is None else f"{value:.4g}" for value in values)]
            for at, cell in enumerate(cells):
                self.table.setItem(place, at, QTableWidgetItem(cell))
                self.table.item(place, at).setToolTip(cell)
        for of_truth in _OF_TRUTH:
            self.table.setColumnHidden(of_truth, self._layer(self.truth_box) is None)
        self.table.resizeColumnsToContents()
        self.table.setColumnWidth(0, min(_WIDEST, self.table.columnWidth(0)))

    def _draw(self) -> None:
        """Draw what the tab asks for."""
        item = self.plot.getPlotItem()
        item.clear()
        item.enableAutoRange()
        self.columns = {}
        image, layer = self._layer(self.image_box), self._layer(self.region_box)
        if image is not None and layer is not None:
            which = self.tabs.tabText(self.tabs.currentIndex())
            {_PROFILE: self._profile, _NOISE: self._noise, _TIME: self._time}[which](image, layer)
        number_axes(self.plot, curve=bool(self.columns))

    def _profile(self, image: Image, layer: Any) -> None:  # noqa: ANN401 - a layer
        if not isinstance(layer, Shapes):
            return
        item, truth, unit = self.plot.getPlotItem(), self._truth(image), unit_of(image)
        item.setLabel("bottom", "mm along the line")
        item.setLabel("left", unit or "value")
        for name, values in (("truth", truth), ("image", self._frame(image))):
            profile = None if values is None else measure.profile(layer, image, values)
            if profile is not None:
                colour = LINES[len(self.columns) % len(LINES)]
                item.plot(*profile, pen=pen(colour, 2), name=name)
                self.columns |= {"mm": list(profile[0]), _head(name, unit): list(profile[1])}

    def _noise(self, image: Image, layer: Any) -> None:  # noqa: ANN401 - a layer
        """Draw contrast against noise of the pictures kept of the run that is shown."""
        names, run = self._compared(), self._run(image)
        if len(names) < 2 or run is None:
            self.readout.setText(
                "two regions (signal, then background) of a run's image are wanted"
            )
            return
        self.readout.setText(f"{names[0]} over {names[1]}: select two rows for others")
        areas = [self.masks[name] for name in names]
        pictures = run.session.history.frames()
        kept = [pictures[at] for at in range(len(pictures))]
        contrast, noise = measure.contrast_and_noise(kept, areas[0], areas[1])
        item = self.plot.getPlotItem()
        item.setLabel("bottom", "noise of the background in %")
        item.setLabel("left", "contrast in %")
        line = pen(LINES[1], 2)
        item.plot(noise, contrast, pen=line, symbol="o", symbolSize=5)
        numbers = run.session.history.numbers
        self.columns = {"update": numbers, "noise (%)": noise, "contrast (%)": contrast}

    def _compared(self) -> list[str]:
        """Return the regions that are selected in the table, or else the first two."""
        chosen = [index.row() for index in self.table.selectionModel().selectedRows()]
        rows = chosen if len(chosen) == 2 else range(len(self.rows))
        return [self.rows[row].region for row in rows][:2]

    def _time(self, image: Image, layer: Any) -> None:  # noqa: ANN401 - a layer
        """Draw the mean of each region over the frames."""
        if image.ndim != 4:
            self.readout.setText("an image of frames is wanted")
            return
        frames = [np.asarray(image.data[at]) for at in range(image.data.shape[0])]
        times, unit = measure.frame_times(image), unit_of(image)
        middles = [start + duration / 2 for start, duration in times]
        item = self.plot.getPlotItem()
        item.setLabel("bottom", "seconds")
        item.setLabel("left", unit or "mean")
        starts, durations = zip(*times, strict=True)
        self.columns = {"start (s)": starts, "duration (s)": durations}
        curves = measure.curves(frames, self.masks)
        for place, (name, means) in enumerate(curves.items()):
            line = pen(LINES[place % len(LINES)], 2)
            item.plot(middles, means, pen=line, symbol="o", symbolSize=5, name=name)
            self.columns[_head(name, unit)] = means
        most = max((max(means) for means in curves.values()), default=0.0)
        item.setYRange(0, 1.25 * most or 1.0)  # from 0: else noise would look like kinetics
        self._say_frame(image, times)

    def _say_frame(self, image: Image, times: list[tuple[float, float]]) -> None:
        """Mark the frame that is seen, and say when it was."""
        place = slices.index(image, tuple(self._viewer.dims.point))[0]
        start, duration = times[place]
        line = pg.InfiniteLine(start + duration / 2, pen=pen(HERE, style=Qt.PenStyle.DashLine))
        self.plot.getPlotItem().addItem(line, ignoreBounds=True)
        end = start + duration
        self.readout.setText(f"frame {place + 1} of {len(times)}: {start:g} to {end:g} s")

    def _run(self, image: Image) -> Any:  # noqa: ANN401 - a run or none
        """Return the run whose pictures an image shows."""
        for panel in self.window().findChildren(RunPanel):
            if panel.layers.live == image and panel.shown is not None:
                return panel.shown
        return None

    def _new(self, mode: str) -> None:
        """Add a layer to draw on, in the place of the image, or take the one that is chosen."""
        layer = self._layer(self.region_box)
        image = self._layer(self.image_box)
        if not isinstance(layer, Shapes):
            # on the image's own voxels and units: else napari draws neither in its own
            axes = {} if image is None else {name: getattr(image, name)[-3:] for name in _AXES}
            look = {"face_color": "transparent", "edge_color": LINES[0], "edge_width": 0.5}
            layer = self._viewer.add_shapes(ndim=3, name="regions", **look, **axes)
            self.region_box.setCurrentIndex(self.region_box.findText(layer.name))
            self._watch()
        self._viewer.layers.selection.active = layer
        layer.mode = mode

    def _ask(self, name: str, save: Callable[[Path], None]) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save as CSV", name, "*.csv")
        if name:
            save(Path(name))


def _head(name: str, unit: str) -> str:
    """Return the head of a column of values in a unit."""
    return f"{name} ({unit})" if unit else name
