"""The layers that a run draws on: its newest image, and its history with a slider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_plugin import views
from napari_plugin.history import History
from napari_plugin.layers import KEY, Matrix, drop, placed, sample, upper
from napari_plugin.preferences import preferences

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

Voxels = NDArray[np.float32]

_FEW = 30_000
"""Voxels by which the window follows the image, at every picture."""

_NEAR = 0.1
"""By how much the window may be off before it follows the image: each change draws twice."""


class RunLayers:
    """Shows the images of one run in a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Where.
    name : str
        Of the newest image's layer; the history's adds to it.
    """

    def __init__(self, viewer: ViewerModel, name: str) -> None:
        self._viewer, self._name = viewer, name
        self.live: Image | None = None
        self.history: Image | None = None
        self.numbers: list[int] = []
        self._affine: Matrix = np.eye(4)
        self._unit = ""
        self._window: tuple[float, float] | None = None

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
        if live is None or live not in self._viewer.layers:
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
        drop(self._viewer, self.live, self.history)
        self.live = self.history = self._window = None
        self.numbers = []
        views.say(self._viewer)

    def draw(self, image: Voxels) -> None:
        """Show the newest image (axes S, A, R)."""
        self.scrub(on=False)
        if self.live is not None and self.live.data.shape != image.shape:
            self.clear()
        if self.live is None or self.live not in self._viewer.layers:
            self.live = self._added(image)
        else:
            self.live.data = image  # bound anew: no copy, and never half an image
        self._adapt(self.live, image)
        views.say(self._viewer, "live")  # other words each time would draw all of it twice

    def series(self, history: History, times_s: tuple[float, float]) -> None:
        """Show frames as a layer with a slider over them: the time of the first, and the step."""
        drop(self._viewer, self.history)
        self.keep(history, "frames", times_s)

    def keep(
        self, history: History, what: str = "history", times_s: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        """Show the history as a layer with a slider over the updates kept, at the last."""
        frames = history.frames()
        if frames is None:
            return
        self.numbers = history.numbers
        if self.history is None or self.history not in self._viewer.layers:
            info = self._info(frames.shape[1:])
            start, step = times_s
            info["scale"] = (step, *info["scale"])
            info["translate"] = (start, *info["translate"])
            info["units"] = ("s", *info["units"])  # as time series have: see `reader`
            info["axis_labels"] = ("kept" if what == "history" else "t", *info["axis_labels"])
            window = self.live.contrast_limits if self.live is not None else (0.0, 1.0)
            self.history = self._viewer.add_image(
                frames, name=f"{self._name} {what}", contrast_limits=tuple(window), **info
            )
        else:
            self.history.visible = True  # hidden, it would not tell the slider of its length
            self.history.data = frames
        if self.live is not None:
            self._adapt(self.live, frames[-1])
            self.history.contrast_limits = tuple(self.live.contrast_limits)
        self.scrub(on=True)
        self.go(len(self.numbers) - 1)

    def go(self, place: int) -> None:
        """Show the picture at this place of the history."""
        if self.history is not None:
            self._viewer.dims.set_current_step(self._axis(), place)

    def number(self) -> int | None:
        """Return the update whose picture of the history is shown, if one is."""
        if not (self.numbers and self.history is not None and self.history.visible):
            return None
        place = int(self._viewer.dims.current_step[self._axis()])
        return self.numbers[min(place, len(self.numbers) - 1)]

    def say(self, words: str) -> None:
        """Write on the canvas what is seen."""
        views.say(self._viewer, words)

    def scrub(self, *, on: bool) -> None:
        """Show the history in place of the newest image, or the other way round."""
        if self.history is not None and self.history in self._viewer.layers:
            _see(self.history, on=on)
            if self.live is not None:
                _see(self.live, on=not on)

    def _axis(self) -> int:
        return int(self._viewer.dims.ndim - 4)

    def _info(self, shape: tuple[int, ...]) -> dict[str, Any]:
        about = {"unit": self._unit}
        place = placed(self._affine, shape[::-1])
        return {"colormap": "gray_r", "metadata": {KEY: about}, **place}

    def _added(self, data: Voxels) -> Image:
        """Add the newest image's layer, hide the counts, and show the middle of the patient."""
        if views.sense_of(self._viewer) is None:
            views.show(self._viewer, preferences().view)
        for other in self._viewer.layers:
            if "scan" in other.metadata.get(KEY, {}):
                other.visible = False
        self._window = (0.0, upper(sample(data)))
        layer: Image = self._viewer.add_image(
            data, name=self._name, contrast_limits=self._window, **self._info(data.shape)
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


def _see(layer: Image, *, on: bool) -> None:
    """Show or hide a layer; napari draws it anew even where nothing changes."""
    if layer.visible is not on:
        layer.visible = on
