"""Commands of napari's menus.

Annotations are not quoted: napari gives the viewer by their type.
"""

import napari

from napari_plugin import views


def radiological(viewer: napari.Viewer) -> None:
    """Show the patient's right on the left."""
    views.show(viewer, "radiological")


def neurological(viewer: napari.Viewer) -> None:
    """Show the patient's right on the right."""
    views.show(viewer, "neurological")
