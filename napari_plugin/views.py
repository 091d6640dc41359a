"""How patients are shown: radiological or neurological, never mirrored in 3D, with letters.

World axes are (S, A, R). Their order is an odd permutation of RAS, so napari's own "right-handed"
would show a mirror image in 3D: the camera looks along the depth axis turned round instead.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, get_args

from napari.components.overlays import TextOverlay

from napari_plugin.layers import KEY
from napari_plugin.preferences import preferences
from napari_plugin.units import say_unit, unit_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

Sense = Literal["radiological", "neurological"]
SENSES: tuple[Sense, ...] = get_args(Sense)

_OPPOSITE = {"R": "L", "A": "P", "S": "I"}
_PLACES = {
    "left": "middle_left", "right": "middle_right", "top": "top_center", "bottom": "bottom_center"
}  # fmt: skip
_EDGES = {side: f"emrecon_{side}" for side in _PLACES}
_COLOUR = "#e69f00"
_UNIT = "emrecon_unit"


def show(viewer: ViewerModel, sense: Sense) -> None:
    """Show a viewer's 2D planes in this sense, 3D unmirrored, and say so on the canvas.

    Radiological has the patient's right on the left of the picture, as if seen from the feet.
    """
    camera = viewer.scene.camera
    feet = sense == "radiological"
    camera.orientation = ("away", "up", "left") if feet else ("towards", "up", "right")
    _decorate(viewer)


def sense_of(viewer: ViewerModel) -> Sense | None:
    """Return the sense in which a viewer shows 2D planes; None for napari's own view."""
    upright, across = (str(name) for name in viewer.scene.camera.orientation2d)
    if upright != "up":
        return None
    return "radiological" if across == "left" else "neurological"


def prefer() -> None:
    """Show the current viewer, if there is one, in the preferred sense, unless that was done."""
    from napari import current_viewer  # noqa: PLC0415 - no viewer, no napari

    viewer = current_viewer()
    if viewer is not None and sense_of(viewer) is None:
        show(viewer, preferences().view)


def radiological(viewer: ViewerModel) -> None:
    """Show the patient's right on the left (menu)."""
    show(viewer, "radiological")


def neurological(viewer: ViewerModel) -> None:
    """Show the patient's right on the right (menu)."""
    show(viewer, "neurological")


def letters(viewer: ViewerModel) -> dict[str, str]:
    """Return where each side of a 2D picture lies in the patient; empty if that is not known."""
    names = [str(viewer.dims.axis_labels[axis]) for axis in viewer.dims.displayed[-2:]]
    if viewer.dims.ndisplay != 2 or not _in_space(viewer) or not set(names) <= set(_OPPOSITE):
        return {}
    ends = [str(end) for end in viewer.scene.camera.orientation2d]
    top, bottom = _both(names[0], first=ends[0] == "up")
    left, right = _both(names[1], first=ends[1] == "left")
    return {"left": left, "right": right, "top": top, "bottom": bottom}


def _uppermost(viewer: ViewerModel) -> Any:  # noqa: ANN401 - a layer or none
    """Return the uppermost layer that is visible."""
    seen = [layer for layer in viewer.layers if layer.visible]
    return seen[-1] if seen else None


def uppermost_image(viewer: ViewerModel) -> Any:  # noqa: ANN401 - a layer or none
    """Return the uppermost image that is visible: not labels nor shapes over it."""
    seen = [layer for layer in viewer.layers if layer.visible and hasattr(layer, "colorbar")]
    return seen[-1] if seen else None


def _in_space(viewer: ViewerModel) -> bool:
    """Return whether the uppermost layer that is visible lies in the patient."""
    layer = _uppermost(viewer)
    return layer is not None and set(_OPPOSITE) <= set(layer.axis_labels)


def said(viewer: ViewerModel) -> str:
    """Return the lines of text on the canvas."""
    return str(viewer.canvas.overlays.text.text)


def say(viewer: ViewerModel, text: str = "") -> None:
    """Write lines of text on the canvas."""
    overlay = viewer.canvas.overlays.text
    if text == overlay.text:
        return
    lines = overlay.text.count("\n"), text.count("\n")
    with _in_place(viewer) if overlay.text and text and lines[0] == lines[1] else nullcontext():
        overlay.text, overlay.visible = text, bool(text)


def _in_place(viewer: ViewerModel) -> AbstractContextManager[object]:
    """Keep what is written on the canvas where it is while words at its upper left change.

    They move nothing as long as they are as many lines; but napari would set out all of it again
    after the next draw, and then, as its places are rounded, draw a second time.
    """
    held: AbstractContextManager[object] = viewer.canvas.events.blocker_all()
    return held


def colour_bars(viewer: ViewerModel, *, shown: bool) -> None:
    """Show the colour bar of the uppermost image that is visible, if it lies in space, or none."""
    viewer.canvas.overlays[_UNIT].visible = shown
    _letter(viewer)


def has_colour_bars(viewer: ViewerModel) -> bool:
    """Return whether colour bars are shown."""
    overlays = viewer.canvas.overlays
    return _UNIT in overlays and bool(overlays[_UNIT].visible)


def _both(name: str, *, first: bool) -> tuple[str, str]:
    """Return an axis's positive and negative end, or the other way round."""
    return (name, _OPPOSITE[name]) if first else (_OPPOSITE[name], name)


def _decorate(viewer: ViewerModel) -> None:
    """Show scale and letters (in 3D axes), and keep them right."""
    overlays = viewer.canvas.overlays
    overlays.scale_bar.visible = True
    overlays.text.position, overlays.text.font_size = "top_left", 10
    if _EDGES["left"] not in overlays:
        for side, place in _PLACES.items():
            overlays[_EDGES[side]] = TextOverlay(
                position=place, font_size=14, color=_COLOUR, box=True, box_color="#000000"
            )
        overlays[_UNIT] = TextOverlay(position="top_right", font_size=11, visible=False)
        _watch(viewer)
    _letter(viewer)


def _watch(viewer: ViewerModel) -> None:
    """Keep what is written on the canvas right, whatever changes."""

    def again(event: Any = None) -> None:  # noqa: ANN401 - any event
        _letter(viewer)

    def seen(layer: Any) -> None:  # noqa: ANN401 - a layer
        layer.events.visible.connect(again)
        say_unit(layer)

    def inserted(event: Any) -> None:  # noqa: ANN401 - any event
        seen(event.value)
        _letter(viewer)

    dims, layers, camera = viewer.dims.events, viewer.layers.events, viewer.scene.camera.events
    for emitter in (
        *(dims.order, dims.ndisplay, dims.axis_labels),
        *(layers.removed, layers.reordered, camera.orientation),
    ):
        emitter.connect(again)
    for layer in viewer.layers:
        seen(layer)
    layers.inserted.connect(inserted)


def _letter(viewer: ViewerModel) -> None:
    """Write at each edge of the canvas what lies there, where known, and the unit with its bar."""
    by_side, overlays = letters(viewer), viewer.canvas.overlays
    for side, name in _EDGES.items():
        overlay, letter = overlays[name], by_side.get(side, "")
        if (overlay.text, overlay.visible) != (letter, bool(letter)):
            overlay.text, overlay.visible = letter, bool(letter)
    top = uppermost_image(viewer)
    overlays[_UNIT].text = unit_of(top)
    for layer in viewer.layers:
        if hasattr(layer, "colorbar"):
            seen = layer is top and "scan" not in layer.metadata.get(KEY, {})
            layer.colorbar.visible = seen and bool(overlays[_UNIT].visible)
    overlays.axes.visible = viewer.dims.ndisplay == 3
    counts = _uppermost(viewer) is not None and not _in_space(viewer)
    if overlays.scale_bar.visible is counts:  # bins have no millimetres
        overlays.scale_bar.visible = not counts
