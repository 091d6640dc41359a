"""The dock of three planes in mm with one crosshair, beside napari's own view."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QComboBox, QFormLayout, QLabel, QSlider, QWidget

from napari_plugin import slices, views
from napari_plugin.cine import Cine
from napari_plugin.dock import Dock, connected, undo_all
from napari_plugin.film import Filming
from napari_plugin.layers import AXES, look, usual, world
from napari_plugin.layout import Words, column, inside
from napari_plugin.plane_tools import PlaneTools
from napari_plugin.planes import Plane, put
from napari_plugin.turntable import Turntable
from napari_plugin.units import unit_of
from napari_plugin.view_box import ViewBox

if TYPE_CHECKING:
    from napari.components import ViewerModel

_SOON_MS = 15
_HALF, _FULL = 50, 100
_EVENTS = ("data", "set_data", "contrast_limits", "colormap", "scale", "translate", "name")


class PlanesDock(Dock):
    """Axial, coronal and sagittal planes of the active image, with another layer laid over.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer, given by napari by this name.
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, "planes", parent)
        self.layer: Layer | None = None
        self.over: Layer | None = None
        self.planes = {
            "axial": Plane(0, 1, 2), "coronal": Plane(1, 0, 2), "sagittal": Plane(2, 0, 1)
        }  # fmt: skip
        self.alone: Plane | None = None
        """The plane that is seen alone, if one is."""
        self.tools = PlaneTools()
        self.turntable = Turntable(self._source, self)
        self._watched: list[Callable[[], object]] = []
        self.cine = Cine(napari_viewer.dims, self)
        self.filming = Filming(napari_viewer, self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SOON_MS)
        self._timer.timeout.connect(self.redraw)
        self._lay_out()
        self._connect()
        self._follow()

    def resizeEvent(self, event: Any) -> None:  # noqa: ANN401, N802
        """Set the planes beside or below each other, as there is room."""
        super().resizeEvent(event)
        QTimer.singleShot(0, self._arrange)  # once the canvas has its new size too

    def showEvent(self, event: Any) -> None:  # noqa: ANN401, N802
        """Draw what was not drawn while nobody could see it."""
        super().showEvent(event)
        self._soon()

    def redraw(self) -> None:
        """Draw the three planes through the crosshair."""
        point = tuple(float(value) for value in self._viewer.dims.point)
        for plane in self.planes.values():
            self._draw(plane.image, self.layer, point, plane.depth)
            self._draw(plane.overlay, self.over, point, plane.depth)
            if len(point) >= 3:
                plane.point(point[-3:][plane.across], point[-3:][plane.upright])
        self.readout.setText(self._words(point).replace("/", "/\N{WORD JOINER}"))
        self._show_tools()

    def fit(self) -> None:
        """Show all of the image."""
        if self.layer is None:
            return
        low, high = slices.extent(self.layer)
        for plane in self.planes.values():
            plane.setRange(
                xRange=(low[plane.across], high[plane.across]),
                yRange=(low[plane.upright], high[plane.upright]),
                padding=0.02,
            )
        self.turntable.fit()

    def reset(self) -> None:
        """Show all planes, all of the image, its middle, in its usual window; no ruler."""
        self.alone = None
        self.tools.ruler.setChecked(False)
        for plane in self.planes.values():
            plane.unrule()
        self._arrange(anew=True)
        layer = self.layer
        if layer is None:
            return
        self.fit()
        low, high = slices.extent(layer)
        self._go(dict(enumerate((low + high) / 2)))
        if isinstance(layer, Image) and not layer.rgb:
            shown = look(usual(layer.data, unit_of(layer)), layer.data)
            layer.contrast_limits = shown["contrast_limits"]

    def go_to_maximum(self) -> None:
        """Move the crosshair to the greatest value of the frame that is seen."""
        source = self._source()
        if source is None or source[0].rgb:
            return
        layer, lead = source
        values = np.asarray(layer.data[lead] if lead else layer.data)
        place = np.unravel_index(int(np.nanargmax(values)), values.shape)
        there = world(layer) @ [*map(float, place), 1.0]
        self._go(dict(enumerate(map(float, there[:3]))))

    def go_to(self, plane: Plane, across: float, upright: float) -> None:
        """Move the crosshair to a place on a plane, within the image."""
        self._go({plane.across: across, plane.upright: upright})

    def window(self, right: float, up: float) -> None:
        """Make the window wider by a drag to the right, and its middle higher by a drag up.

        With Shift it is that of the layer that is laid over.
        """
        shift = QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier
        layer = self.over if shift else self.layer
        if not isinstance(layer, Image) or layer.rgb:  # labels and colours have no window
            return
        low, high = layer.contrast_limits
        width = (high - low) * math.exp(right / 150)
        middle = (low + high) / 2 + (high - low) * up / 300
        layer.contrast_limits = (middle - width / 2, middle + width / 2)

    def scroll(self, plane: Plane, steps: int) -> None:
        """Go through the planes by so many voxels."""
        if self.layer is not None:
            size = abs(float(world(self.layer)[plane.depth, plane.depth]))
            now = float(self._viewer.dims.point[-3:][plane.depth])
            self._go({plane.depth: now + steps * size})

    def _go(self, wanted: dict[int, float]) -> None:
        dims = self._viewer.dims
        if self.layer is None or dims.ndim < 3:
            return
        low, high = slices.extent(self.layer)
        for axis, place in wanted.items():
            inside = min(max(place, float(low[axis])), float(high[axis]))
            dims.set_point(dims.ndim - 3 + axis, inside)

    def _draw(self, item: Any, layer: Layer | None, point: tuple[float, ...], depth: int) -> None:  # noqa: ANN401
        section = slices.cut(layer, point, depth) if layer is not None else None
        if layer is None or section is None:
            item.hide()
            return
        if isinstance(layer, Labels):
            put(item, slices.painted(layer, section.picture), section.corner, section.step)
            return
        if not layer.rgb:
            table = slices.colours(layer, clear=layer is self.over)
            item.setLookupTable(table)
            item.setLevels(tuple(float(end) for end in layer.contrast_limits))
        put(item, section.picture, section.corner, section.step)

    def _words(self, point: tuple[float, ...]) -> str:
        if self.layer is None:
            return "Select an image layer"
        names = AXES if slices.known_axes(self.layer) else ("0", "1", "2")
        there = zip(reversed(names), reversed(point[-3:]), strict=True)
        text = "  ".join(f"{name} {value:+.1f}" for name, value in there) + " mm"
        for layer in (self.layer, self.over):
            shown = slices.value(layer, point) if layer is not None else None
            if shown is not None:
                text += f";  {' '.join(f'{one:.4g}' for one in np.atleast_1d(shown))}"
                text += f" {unit_of(layer)}".rstrip()
        return text

    def _lay_out(self) -> None:
        self.shown = QLabel("")
        self.over_box = QComboBox()
        self.over_box.setObjectName("overlay")
        self.over_box.setMinimumContentsLength(12)
        self.over_box.setToolTip("A layer to lay over the image")
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setObjectName("opacity")
        self.opacity.setRange(0, _FULL)
        self.opacity.setValue(_HALF)
        self.opacity.setToolTip("How much of the overlay is seen")
        self.canvas = pg.GraphicsLayoutWidget()
        self.canvas.setMinimumSize(150, 150)
        self.canvas.setToolTip(
            "<p>Left drag: crosshair. Right drag: window, with Shift of the overlay. "
            "Wheel: planes. Ctrl and wheel: zoom. "
            "Middle drag: shift. Double click: this plane alone, and back</p>"
        )
        self.readout = Words()
        self.view_box = ViewBox()
        whole = column(inside(self))
        head = QFormLayout()
        head.addRow("Image", self.shown)
        head.addRow("Overlay", self.over_box)
        head.addRow("Opacity", self.opacity)
        whole.addLayout(head)
        whole.addWidget(self.tools)
        whole.addWidget(self.canvas, 1)
        whole.addWidget(self.readout)
        whole.addWidget(self.view_box)
        self._columns = 0
        self._arrange()

    def _arrange(self, *, anew: bool = False) -> None:
        """Set the planes in one row, one column, or two by two, by the shape of the room."""
        wide, high = self.canvas.width(), max(1, self.canvas.height())
        seen = [self.alone] if self.alone else list(self.planes.values())
        if self.turntable.on and not self.alone:
            seen.append(self.turntable.plane)
        columns = len(seen) if wide > 1.6 * high else 1 if high > 1.6 * wide else 2
        if columns == self._columns and not anew:
            return
        self._columns = columns
        self.canvas.clear()
        for number, plane in enumerate(seen):
            self.canvas.addItem(plane, row=number // columns, col=number % columns)

    def _connect(self) -> None:
        for plane in self.planes.values():
            plane.moved.connect(partial(self.go_to, plane))
            plane.windowed.connect(self.window)
            plane.scrolled.connect(partial(self.scroll, plane))
            plane.doubled.connect(partial(self._maximise, plane))
        self._connect_tools()
        self.over_box.activated.connect(self._lay_over)
        self.opacity.valueChanged.connect(self._fade)
        self._fade(_HALF)
        self.view_box.watch(self._viewer)
        viewer = self._viewer
        self.bind(viewer.layers.selection.events.active, self._follow)
        self.bind(viewer.layers.events.inserted, self._follow)
        self.bind(viewer.layers.events.removed, self._follow)
        self.bind(viewer.dims.events.point, self._soon)
        self.bind(viewer.scene.camera.events.orientation, self._turn)
        self.at_end(partial(undo_all, self._watched))
        self._turn()

    def _connect_tools(self) -> None:
        tools = self.tools
        tools.wanted.connect(lambda r, a, s: self._go({0: s, 1: a, 2: r}))
        tools.windowed.connect(self._set_window)
        tools.maximum.clicked.connect(lambda _: self.go_to_maximum())
        tools.reset.clicked.connect(lambda _: self.reset())
        tools.ruler.toggled.connect(self._measure)
        tools.projection.toggled.connect(self._project)
        tools.cine.toggled.connect(self.cine.switch)
        tools.film.clicked.connect(
            lambda _: self.filming.ask(self.cine.scenes(), self.cine.here())
        )
        tools.rate.valueChanged.connect(self.cine.set_rate)

    def _maximise(self, plane: Plane) -> None:
        """Show a plane alone, or all again."""
        self.alone = None if self.alone is plane else plane
        self._arrange(anew=True)

    def _measure(self, on: bool) -> None:  # noqa: FBT001 - a slot
        for plane in self.planes.values():
            plane.measuring = on
            plane.unrule()

    def _project(self, on: bool) -> None:  # noqa: FBT001 - a slot
        self.turntable.switch(on)
        self._arrange(anew=True)

    def _set_window(self, low: float, high: float) -> None:
        if self.layer is not None:
            self.layer.contrast_limits = (low, high)

    def _source(self) -> tuple[Any, tuple[int, ...]] | None:
        """Return the image and where among its frames one is."""
        if self.layer is None:
            return None
        point = tuple(float(value) for value in self._viewer.dims.point)
        lead = slices.index(self.layer, point)[: self.layer.ndim - 3]
        return self.layer, tuple(lead)

    def _show_tools(self) -> None:
        """Show window and frames of the image."""
        layer = self.layer
        limits = None
        if layer is not None and not layer.rgb:
            low, high = layer.contrast_limits
            limits = float(low), float(high)
        self.tools.show_window(limits, unit_of(layer))
        frames = layer.data.shape[0] if layer is not None and layer.ndim == 4 else 1
        self.tools.show_frames(frames)

    def _follow(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        """Show the active image, or else what was shown, or else the uppermost."""
        there = [layer for layer in self._viewer.layers if slices.spatial(layer)]
        images = [layer for layer in there if isinstance(layer, Image)]
        active = [layer for layer in images if layer == self._viewer.layers.selection.active]
        kept = [layer for layer in images if layer is self.layer]
        wanted = (images[-1:] + kept + active or [None])[-1]
        changed = wanted is not self.layer
        self.layer = wanted
        self.over = self.over if self.over in there and self.over is not wanted else None
        self.over_box.clear()
        self.over_box.addItem("none", None)
        for layer in there:
            if layer is not wanted:
                self.over_box.addItem(layer.name, layer)
                if layer is self.over:
                    self.over_box.setCurrentIndex(self.over_box.count() - 1)
        self._watch()
        if changed:
            self.shown.setText(wanted.name if wanted is not None else "none")
            self._turn()
            self.fit()
        self._soon()

    def _lay_over(self, place: int) -> None:
        self.over = self.over_box.itemData(place)
        self._watch()
        self._soon()

    def _fade(self, percent: int) -> None:
        for plane in self.planes.values():
            plane.overlay.setOpacity(percent / _FULL)

    def _watch(self) -> None:
        """Be told of changes of the two layers, and of no other."""
        undo_all(self._watched)
        self.turntable.changed()
        for layer in [layer for layer in (self.layer, self.over) if layer is not None]:
            for name in _EVENTS:
                if name in layer.events:
                    self._watched.append(connected(getattr(layer.events, name), self._soon))

    def _turn(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        known = self.layer is not None and slices.known_axes(self.layer)
        turned = known and views.sense_of(self._viewer) != "neurological"
        for plane in self.planes.values():
            plane.label(AXES if known else None, turned=turned)  # type: ignore[arg-type] # three names
        self.view_box.watch(self._viewer)

    def _soon(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        """Draw in a moment, once for all that happens until then; not where nobody sees it."""
        if event is not None and event.type in {"data", "set_data", "point"}:
            self.turntable.changed()
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()
