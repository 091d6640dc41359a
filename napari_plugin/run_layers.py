"""The layer that any run draws on: one picture at a time, of three axes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_plugin import views
from napari_plugin.layers import drop
from napari_plugin.preferences import preferences

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RunLayers:
    """Shows the pictures of runs in a viewer, the newest or one of those that are kept.

    Parameters
    ----------
    viewer : ViewerModel
        Where.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._words = self._written = ""
        self.live: Any = None

    def clear(self) -> None:
        """Remove the layers."""
        drop(self._viewer, self.live)
        self.live = None
        self.hush()

    def show(self, picture: Any) -> bool:  # noqa: ANN401 - any array
        """Show a picture where there is a layer for it; return whether there is."""
        if not self._in_viewer(self.live):
            if views.sense_of(self._viewer) is None:
                views.show(self._viewer, preferences().view)
            return False
        self.live.data = picture  # bound anew: no copy, and never half an image
        return True

    def say(self, words: str) -> None:
        """Write on the canvas what is seen, as long as it is."""
        self._words = words
        visible = any(self._seen(layer) for layer in self.shown())
        short = words.replace(", ", "\n") if visible else ""  # the edge has a letter mid-way
        if short or views.said(self._viewer) == self._written:  # what others write stays
            views.say(self._viewer, short)
            self._written = short

    def again(self) -> None:
        """Write once more what is seen, or nothing: the layers are others."""
        self.say(self._words)

    def shown(self) -> tuple[Any, ...]:
        """Return the layers whose pictures are named on the canvas."""
        return (self.live,)

    def hush(self) -> None:
        """Write nothing on the canvas, if it is still there."""
        from psygnal import EmitLoopError  # noqa: PLC0415 - comes with napari

        with suppress(EmitLoopError, RuntimeError):
            self.say("")

    def follow(self, layer: Any) -> Any:  # noqa: ANN401 - any layer
        """Write on the canvas as goes with a layer's being visible; return it."""
        layer.events.visible.connect(lambda _: self.again())
        return layer

    def _seen(self, layer: Any) -> bool:  # noqa: ANN401 - any layer or none
        """Return whether a layer is visible, and no image above it."""
        if not self._in_viewer(layer) or not layer.visible:
            return False
        top = views.uppermost_image(self._viewer)
        layers = self._viewer.layers
        return top is None or layers.index(top) <= layers.index(layer)

    def _in_viewer(self, layer: Any) -> bool:  # noqa: ANN401 - any layer or none
        """Return whether a layer is, and is still in the viewer."""
        return layer is not None and layer in self._viewer.layers
