"""How images are looked at: radiological or neurological, and the window of the chosen layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QWidget

from emrecon.errors import EmreconError
from napari_plugin import views
from napari_plugin.layers import PRESETS, blank_labels, in_space, look
from napari_plugin.layout import button
from napari_plugin.preferences import preferences
from napari_plugin.units import preset_scale

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ViewBox(QWidget):
    """A button that turns the view round, and windows by name.

    Parameters
    ----------
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer: Any = None
        self.sense = QPushButton("Neurological", self)
        self.sense.setObjectName("sense")
        self.sense.clicked.connect(self._turn)
        self.window_box = QComboBox(self)
        self.window_box.setObjectName("window")
        self.window_box.addItems(["Window…", *PRESETS])
        policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.window_box.setSizeAdjustPolicy(policy)
        self.window_box.setMinimumContentsLength(4)
        self.window_box.setToolTip("Colours and window of the selected image layers")
        self.window_box.activated.connect(self._apply)
        self.mask_button = button(
            "mask", "New mask", "Add labels on the voxels of the selected image, to be painted"
        )
        self.mask_button.clicked.connect(lambda _: self._add_mask())
        self.bar_button = button("bar", "Bar", "Show colour bars with their unit, or hide them")
        self.bar_button.setCheckable(True)
        self.bar_button.clicked.connect(lambda on: views.colour_bars(self._viewer, shown=on))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.sense)
        row.addWidget(self.window_box, 1)
        row.addWidget(self.mask_button)
        row.addWidget(self.bar_button)

    def watch(self, viewer: ViewerModel) -> None:
        """Serve a viewer, and show it in the preferred sense."""
        self._viewer = viewer
        if views.sense_of(viewer) is None:
            views.show(viewer, preferences().view)
        self._caption()

    def _turn(self) -> None:
        now = views.sense_of(self._viewer)
        views.show(self._viewer, "neurological" if now == "radiological" else "radiological")
        self._caption()

    def _caption(self) -> None:
        """Write on the button what a click makes."""
        self.bar_button.setChecked(views.has_colour_bars(self._viewer))
        now = views.sense_of(self._viewer)
        other = "Neurological" if now == "radiological" else "Radiological"
        self.sense.setText(other)
        side = "right" if other == "Neurological" else "left"
        self.sense.setToolTip(f"Show the patient's right on the {side}")

    def _add_mask(self) -> None:
        """Add labels of three axes on the voxels of the selected image, or of the uppermost."""
        images = [layer for layer in self._viewer.layers if in_space(layer)]
        chosen = [layer for layer in images if layer in self._viewer.layers.selection] or images
        if not chosen:
            show_info("open or make an image first")
            return
        self._viewer.add_labels(**blank_labels(chosen[-1], "mask"))
        self._viewer.layers[-1].mode = "paint"

    def _apply(self, place: int) -> None:
        """Give the selected layers the window that was chosen."""
        self.window_box.setCurrentIndex(0)
        if place < 1:
            return
        chosen = [
            layer for layer in self._viewer.layers.selection if hasattr(layer, "contrast_limits")
        ]
        if not chosen:
            show_info("select an image layer first")
        for layer in chosen:
            preset = PRESETS[place - 1]
            try:
                shown = look(preset, layer.data, preset_scale(preset, layer))
            except EmreconError as error:
                show_error(str(error))
                return
            layer.colormap = shown["colormap"]
            layer.contrast_limits = shown["contrast_limits"]
