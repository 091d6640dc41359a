"""The layers that any run draws on: its newest picture, and its history with a slider."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from napari_plugin import views
from napari_plugin.layers import drop
from napari_plugin.preferences import preferences

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_plugin.history import Frames, History


class RunLayers:
    """Shows the pictures of one run in a viewer: the newest one, or one of those that are kept.

    Parameters
    ----------
    viewer : ViewerModel
        Where.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.live: Any = None
        self.history: Any = None
        self.numbers: list[int] = []

    def clear(self) -> None:
        """Remove the layers."""
        drop(self._viewer, self.live, self.history)
        self.live = self.history = None
        self.numbers = []
        views.say(self._viewer)

    def show(self, picture: Any) -> bool:  # noqa: ANN401 - any array
        """Show the newest picture where there is a layer for it; return whether there is."""
        self._scrub(on=False)
        if not self._in_viewer(self.live):
            if views.sense_of(self._viewer) is None:
                views.show(self._viewer, preferences().view)
            return False
        self.live.data = picture  # bound anew: no copy, and never half an image
        return True

    def keep(self, history: History) -> None:
        """Show the history as a layer with a slider over the pictures kept, at the last."""
        frames = history.frames()
        if frames is None or self.live is None:
            return
        self.numbers = history.numbers
        if self._in_viewer(self.history):
            self.history.visible = True  # hidden, it would not tell the slider of its length
            self.history.data = frames
        else:
            self.history = self._history_layer(frames)
        self._match(frames)
        self._scrub(on=True)
        self.go(len(self.numbers) - 1)

    def go(self, place: int) -> None:
        """Show the picture at this place of the history."""
        if self.history is not None:
            self._viewer.dims.set_current_step(self._axis(), place)

    def number(self) -> int | None:
        """Return the number of the picture of the history that is shown, if one is."""
        if not (self.numbers and self.history is not None and self.history.visible):
            return None
        place = int(self._viewer.dims.current_step[self._axis()])
        return self.numbers[min(place, len(self.numbers) - 1)]

    def say(self, words: str) -> None:
        """Write on the canvas what is seen; other words each time would draw all of it twice."""
        views.say(self._viewer, words)

    def _in_viewer(self, layer: Any) -> bool:  # noqa: ANN401 - any layer or none
        """Return whether a layer is, and is still in the viewer."""
        return layer is not None and layer in self._viewer.layers

    @abstractmethod
    def _history_layer(self, frames: Frames) -> Any:  # noqa: ANN401 - a layer
        """Add the layer of the history."""

    def _match(self, frames: Frames) -> None:
        """Show the history as the newest picture is shown."""

    def _scrub(self, *, on: bool) -> None:
        """Show the history in place of the newest picture, or the other way round."""
        if self._in_viewer(self.history):
            for layer, wanted in ((self.history, on), (self.live, not on)):
                if layer is not None and layer.visible is not wanted:  # else it is drawn anew
                    layer.visible = wanted

    def _axis(self) -> int:
        return int(self._viewer.dims.ndim - 4)
