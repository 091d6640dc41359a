"""How patients are shown: radiological or neurological, never mirrored in 3D, with letters.

World axes are (S, A, R). Their order is an odd permutation of RAS, so napari's own "right-handed"
would show a mirror image in 3D: the camera looks along the depth axis turned round instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from napari_plugin.preferences import preferences

if TYPE_CHECKING:
    from napari.components import ViewerModel

Sense = Literal["radiological", "neurological"]
SENSES: tuple[Sense, ...] = get_args(Sense)

_OPPOSITE = {"R": "L", "A": "P", "S": "I"}


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


def letters(viewer: ViewerModel) -> str:
    """Return in words where the picture's left and top lie in the patient; empty if unknown."""
    names = [str(viewer.dims.axis_labels[axis]) for axis in viewer.dims.displayed[-2:]]
    seen = [layer for layer in viewer.layers if layer.visible]
    patient = not seen or set(_OPPOSITE) <= set(seen[-1].axis_labels)
    if viewer.dims.ndisplay != 2 or not patient or not set(names) <= set(_OPPOSITE):
        return ""
    ends = [str(end) for end in viewer.scene.camera.orientation2d]
    top = names[0] if ends[0] == "up" else _OPPOSITE[names[0]]
    left = names[1] if ends[1] == "left" else _OPPOSITE[names[1]]
    return f"{left} on the left, {top} on top"


def say(viewer: ViewerModel, text: str = "") -> None:
    """Write a line of text, and what lies on the left and on top, on the canvas."""
    overlay = viewer.canvas.overlays.text
    lines = [line for line in (text, letters(viewer)) if line]
    overlay.text, overlay.visible = "\n".join(lines), bool(lines)
    in_3d = viewer.dims.ndisplay == 3
    viewer.canvas.overlays.axes.visible = in_3d or bool(letters(viewer))


def _decorate(viewer: ViewerModel) -> None:
    """Show scale, axes and letters, and keep the letters right."""
    viewer.canvas.overlays.scale_bar.visible = True
    overlay = viewer.canvas.overlays.text
    overlay.position, overlay.font_size = "top_left", 12

    def again(event: Any = None) -> None:  # noqa: ANN401 - any event
        first, *_ = overlay.text.split("\n")
        say(viewer, "" if " on the left" in first else first)

    known = viewer.dims.events.order.callbacks
    if not any(getattr(callback, "__qualname__", "") == again.__qualname__ for callback in known):
        for event in (viewer.dims.events.order, viewer.dims.events.ndisplay):
            event.connect(again)
        viewer.dims.events.axis_labels.connect(again)
        viewer.layers.events.inserted.connect(again)
        viewer.scene.camera.events.orientation.connect(again)
    again()
