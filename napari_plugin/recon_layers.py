"""The layers that a reconstruction draws on: its newest image, and its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_plugin.history import Frames, History
from napari_plugin.layers import KEY, Matrix, drop, placed, sample, upper
from napari_plugin.run_layers import RunLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

Voxels = NDArray[np.float32]

_NAME = "EM reconstruction"
"""Of the newest image's layer; the history's adds to it."""

_FEW = 30_000
"""Voxels by which the window follows the image, at every picture."""

_NEAR = 0.1
"""By how much the window may be off before it follows the image: each change draws twice."""

_KEPT = ("history", "kept", (0.0, 1.0))
"""What a history is, along which axis, from where and in steps of what."""


class ReconLayers(RunLayers):
    """Shows the images of one run in a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Where.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._affine: Matrix = np.eye(4)
        self._unit = ""
        self._window: tuple[float, float] | None = None
        self._series = _KEPT

    def place(self, affine: Matrix, unit: str) -> None:
        """Say where the images of the run lie (RAS) and in what unit they are."""
        if self.live is not None and not (
            np.array_equal(affine, self._affine) and unit == self._unit
        ):
            self.clear()
        self._affine, self._unit = affine, unit

    def renew(self) -> None:
        """Forget the images of the last run, but keep the layer: to make one takes a second."""
        live, window = self.live, self._window
        if not self._in_viewer(live):
            self.clear()
            return
        self.live = None
        self.clear()
        self.live, self._window = live, window
        live.data = np.broadcast_to(np.float32(0), live.data.shape)
        live.visible = True
        if not self._viewer.layers.selection:  # the history was selected
            self._viewer.layers.selection.active = live

    def clear(self) -> None:
        """Remove the layers."""
        super().clear()
        self._window, self._series = None, _KEPT

    def draw(self, image: Voxels) -> None:
        """Show the newest image (axes S, A, R)."""
        if self.live is not None and self.live.data.shape != image.shape:
            self.clear()
        if not self.show(image):
            self.live = self._added(image)
        self._adapt(self.live, image)
        self.say("live")

    def series(self, history: History, times_s: tuple[float, float]) -> None:
        """Show frames as a layer with a slider over them: the time of the first, and the step."""
        drop(self._viewer, self.history)
        self._series = ("frames", "t", times_s)
        self.keep(history)

    def _history_layer(self, frames: Frames) -> Image:
        what, axis, (start, step) = self._series
        info = self._info(frames.shape[1:])
        info["scale"] = (step, *info["scale"])
        info["translate"] = (start, *info["translate"])
        info["units"] = ("s", *info["units"])  # as time series have: see `reader`
        info["axis_labels"] = (axis, *info["axis_labels"])
        window = tuple(self.live.contrast_limits)
        name = f"{_NAME} {what}"
        layer: Image = self._viewer.add_image(frames, name=name, contrast_limits=window, **info)
        return layer

    def _match(self, frames: Frames) -> None:
        self._adapt(self.live, frames[-1])
        self.history.contrast_limits = tuple(self.live.contrast_limits)

    def _info(self, shape: tuple[int, ...]) -> dict[str, Any]:
        about = {"unit": self._unit}
        place = placed(self._affine, shape[::-1])
        return {"colormap": "gray_r", "metadata": {KEY: about}, **place}

    def _added(self, data: Voxels) -> Image:
        """Add the newest image's layer, hide the counts, and show the middle of the patient."""
        for other in self._viewer.layers:
            if "scan" in other.metadata.get(KEY, {}):
                other.visible = False
        self._window = (0.0, upper(sample(data)))
        layer: Image = self._viewer.add_image(
            data, name=_NAME, contrast_limits=self._window, **self._info(data.shape)
        )
        middle = [(low + high) / 2 for low, high in zip(*layer.extent.world, strict=True)]
        dims = self._viewer.dims
        dims.set_point(range(dims.ndim - 3, dims.ndim), middle)
        self._viewer.reset_view()
        return layer

    def _adapt(self, layer: Image, data: Voxels) -> None:
        """Let the window follow the image until a person has set it."""
        now = tuple(float(end) for end in layer.contrast_limits)
        if self._window is None or not np.allclose(now, self._window, rtol=1e-5):
            self._window = None
            return
        wanted = upper(sample(data, _FEW))
        if abs(wanted - now[1]) > _NEAR * now[1]:
            self._window = (0.0, wanted)
            layer.contrast_limits = self._window
