"""Commands of napari's menus.

Annotations are not quoted: napari gives the viewer by their type.
"""

import napari
from napari.utils.notifications import show_error

from emrecon.errors import EmreconError
from napari_plugin import units, views


def radiological(viewer: napari.Viewer) -> None:
    """Show the patient's right on the left."""
    views.show(viewer, "radiological")


def neurological(viewer: napari.Viewer) -> None:
    """Show the patient's right on the right."""
    views.show(viewer, "neurological")


def to_suv(viewer: napari.Viewer) -> None:
    """Add the selected images in SUV, where dose, weight and times stand beside their files."""
    for layer in list(viewer.layers.selection):
        try:
            data, info, _ = units.as_suv(layer)
        except EmreconError as error:
            show_error(str(error))
            return
        viewer.add_image(data, **info)
