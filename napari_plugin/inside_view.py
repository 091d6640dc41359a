"""The teaching view: the five pictures of one update of EM, which step with the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_plugin.dock import Leaving
from napari_plugin.inside import Inside
from napari_plugin.layout import OneLine
from napari_plugin.theme import Colours, follow

PANELS = {
    "measured": ("1  measured y", "inferno"),
    "expected": ("2  expected now  A x + b", "inferno"),
    "ratio": ("3  ratio  y / (A x + b)", "CET-D1"),
    "correction": ("4  projected back / sensitivity", "CET-D1"),
    "next": ("5  x times 4 = next image", "CET-L1"),
}
"""Caption and colours of each picture, by name."""

IN_COUNTS = ("measured", "expected", "ratio")
_WIDE, _HIGH = 900, 280
"""Size to begin with, in pixels."""

_SINOGRAM, _VIEW = "sinogram of a plane", "projection of a view"


class InsideView(Leaving):
    """Shows one update: counts of a plane or view, and a slice of the images.

    Parameters
    ----------
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("emrecon-inside")
        self.inside: Inside | None = None
        self.canvas = pg.GraphicsLayoutWidget()
        self.canvas.setBackground(None)
        self.canvas.setMinimumSize(200, 120)
        self._captions: dict[str, Any] = {}
        self.items = {name: self._item(place, name) for place, name in enumerate(PANELS)}
        follow(self.canvas, self._colour)
        self.way = QComboBox()
        self.way.setObjectName("way")
        self.way.addItems([_SINOGRAM, _VIEW])
        self.way.setToolTip("What is shown of the counts")
        self.place, self.slice = _slider("place"), _slider("slice")
        self.place.setToolTip("Which plane or view of the counts")
        self.slice.setToolTip("Which axial slice of the images")
        self.readout = OneLine("Run, pause or step: the update that follows is shown")
        self.way.currentTextChanged.connect(lambda _: self._ranged(middle=True))
        for slider in (self.place, self.slice):
            slider.valueChanged.connect(lambda _: self._draw())
        below = QHBoxLayout()
        for widget, share in (
            (self.way, 0),
            (self.place, 1),
            (QLabel("slice"), 0),
            (self.slice, 1),
        ):
            below.addWidget(widget, share)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(4, 4, 4, 4)
        whole.setSpacing(2)
        whole.addWidget(self.canvas, 1)
        whole.addLayout(below)
        whole.addWidget(self.readout)

    def _item(self, place: int, name: str) -> Any:  # noqa: ANN401 - pyqtgraph has no types
        """Return what shows one of the pictures, with its caption above."""
        caption, colours = PANELS[name]
        self._captions[name] = self.canvas.addLabel(caption, 0, place)
        box = self.canvas.addViewBox(1, place, lockAspect=name not in IN_COUNTS)
        box.setMouseEnabled(x=False, y=False)
        item = pg.ImageItem(axisOrder="row-major")
        table = pg.colormap.get(colours)
        if name == "next":
            # dark on white, as the image itself is shown; to reverse it would reverse all views'
            table = pg.ColorMap(None, table.getColors()[::-1])
        item.setColorMap(table)
        box.addItem(item)
        if name not in IN_COUNTS:
            box.invertX()  # the patient's right is on the left
        return item

    def _colour(self, colours: Colours) -> None:
        """Write the captions in the theme's colour."""
        for name, label in self._captions.items():
            label.setText(PANELS[name][0], color=colours.axes)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's own name
        """Return the size to begin with: pictures that are large enough to read."""
        return QSize(_WIDE, _HIGH)

    def put(self, inside: Inside) -> None:
        """Show an update."""
        new = self.inside is None or self.inside.image.shape != inside.image.shape
        self.inside = inside
        self._ranged(middle=new)

    def pictures(self) -> dict[str, Any]:
        """Return what is shown, by name: rows upwards, columns to the right."""
        inside = self.inside
        if inside is None:
            return {}
        k = min(self.slice.value(), inside.image.shape[2] - 1)
        shown = {"correction": inside.correction[:, :, k].T, "next": inside.next[:, :, k].T}
        if inside.counts is not None:
            axis = 2 if self.way.currentText() == _SINOGRAM else 0
            at = min(self.place.value(), inside.counts.measured.shape[axis] - 1)
            for name in IN_COUNTS:
                cut = np.take(getattr(inside.counts, name), at, axis)
                shown[name] = cut if axis == 2 else cut.T
        return shown

    def _ranged(self, *, middle: bool = False) -> None:
        """Give the sliders their ends, and draw."""
        inside = self.inside
        if inside is None:
            return
        ends = {self.slice: inside.image.shape[2]}
        if inside.counts is not None:
            axis = 2 if self.way.currentText() == _SINOGRAM else 0
            ends[self.place] = inside.counts.measured.shape[axis]
        for slider, count in ends.items():
            slider.blockSignals(True)  # noqa: FBT003 - Qt's own name
            slider.setRange(0, count - 1)
            if middle:
                slider.setValue(count // 2)
            slider.blockSignals(False)  # noqa: FBT003
        self._draw()

    def _draw(self) -> None:
        inside, shown = self.inside, self.pictures()
        if inside is None:
            return
        most = max(
            (float(shown[name].max()) for name in IN_COUNTS[:2] if name in shown), default=1
        )
        peak = float(np.quantile(inside.next, 0.9995)) or 1.0
        levels = {"ratio": (0, 2), "correction": (0, 2), "next": (0, peak)}
        for name, item in self.items.items():
            item.setVisible(name in shown)
            if name in shown:
                item.setImage(shown[name], levels=levels.get(name, (0, max(most, 1e-6))))
                rows, columns = shown[name].shape
                item.getViewBox().setRange(QRectF(0, 0, columns, rows), padding=0.02)
        number, subsets = inside.subset
        words = f"update {inside.number + 1}: subset {number} of {subsets}"
        if inside.counts is not None:
            total, mean = (
                float(inside.counts.measured.sum()),
                float(inside.counts.expected.sum()),
            )
            words += f"; {total:,.0f} counts measured, {mean:,.0f} expected"
        else:
            words += "; single events lie in no bins"
        words += f"; log-likelihood {inside.log_likelihood:.6g}"
        self.readout.setText(f"{words}. Ratios: blue 0, white 1, red 2 and more")


def _slider(name: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setObjectName(name)
    return slider
