"""The layers that a reconstruction draws on: an image, and at the end its frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_plugin.history import Frames
from napari_plugin.layers import KEY, Matrix, drop, placement, sample, upper
from napari_plugin.run_layers import RunLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

Voxels = NDArray[np.float32]

NAME = "EM reconstruction"
"""Of the image's layer; those of frames and differences add to it."""

_FEW = 30_000
"""Voxels by which the window follows the image, at every picture."""

_NEAR = 0.1
"""By how much the window may be off before it follows the image: each change draws twice."""


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
        self.frames: Any = None

    def place(self, affine: Matrix, unit: str) -> None:
        """Say where the images of the run lie (RAS) and in what unit they are."""
        if self.live is not None and not (
            np.array_equal(affine, self._affine) and unit == self._unit
        ):
            self.clear()
        self._affine, self._unit = affine, unit

    def clear(self) -> None:
        """Remove the layers."""
        super().clear()
        self.no_series()
        self._window = None

    def shown(self) -> tuple[Any, ...]:
        """Return the layers whose pictures are named on the canvas."""
        return self.live, self.frames

    def place_of_frame(self) -> int | None:
        """Return which of the frames is seen, if they are."""
        if not (self._in_viewer(self.frames) and self.frames.visible):
            return None
        return int(self._viewer.dims.current_step[self._viewer.dims.ndim - 4])

    def draw(self, image: Voxels, words: str) -> None:
        """Show an image (axes S, A, R), and say which it is."""
        if self.live is not None and self.live.data.shape != image.shape:
            self.clear()
        if not self.show(image):
            self.live = self._added(image)
        self._adapt(self.live, image)
        self.say(words)

    def series(
        self,
        frames: Frames,
        axis_s: tuple[float, float] | None,
        times_s: Sequence[tuple[float, float]],
    ) -> None:
        """Show frames as a layer with a slider over them.

        Parameters
        ----------
        frames : Frames
            The images.
        axis_s : tuple of float, optional
            Where the slider begins, and its step; none of images of something else than times.
        times_s : sequence of tuple
            Start and duration of each frame; none of gates.
        """
        self.no_series()
        info, (start, step) = self._info(frames.shape[1:]), axis_s or (0.0, 1.0)
        info["metadata"][KEY]["frames_s"] = list(times_s)
        info["scale"] = (step, *info["scale"])
        info["translate"] = (start, *info["translate"])
        unit, label = ("s", "t") if axis_s else ("pixel", "beta")  # as `reader` has them
        info["units"] = (unit, *info["units"])
        info["axis_labels"] = (label, *info["axis_labels"])
        window = tuple(self.live.contrast_limits)
        self.frames = self._viewer.add_image(
            frames, name=f"{NAME} frames", contrast_limits=window, **info
        )
        self.follow(self.frames)
        self.live.visible = False

    def no_series(self) -> None:
        """Remove the frames."""
        drop(self._viewer, self.frames)
        self.frames = None
        if self._in_viewer(self.live):
            self.live.visible = True

    def difference(self, image: Voxels, name: str) -> None:
        """Show a difference of two images, no difference in white."""
        most = upper(np.abs(sample(image)))
        look = self._info(image.shape) | {"colormap": "PiYG", "contrast_limits": (-most, most)}
        self.follow(self._viewer.add_image(image, name=name, **look))

    def _info(self, shape: tuple[int, ...]) -> dict[str, Any]:
        about = {"unit": self._unit}
        place = placement(self._affine, shape[::-1])
        return {"colormap": "gray_r", "metadata": {KEY: about}, **place}

    def _added(self, data: Voxels) -> Image:
        """Add the newest image's layer, hide the counts, and show the middle of the patient."""
        for other in self._viewer.layers:
            if "scan" in other.metadata.get(KEY, {}):
                other.visible = False
        self._window = (0.0, upper(sample(data)))
        layer: Image = self._viewer.add_image(
            data, name=NAME, contrast_limits=self._window, **self._info(data.shape)
        )
        self.follow(layer)
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
