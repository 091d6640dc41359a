"""The layers that a segmentation draws on: its labels, and at the end the probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import Colormap
from nibabel.orientations import io_orientation

from napari_plugin import nifti_layers
from napari_plugin.labels import named
from napari_plugin.layers import KEY, Info, drop, placement
from napari_plugin.run_layers import RunLayers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from emrecon.volume import Volume
    from napari_plugin.tissue_seen import Row

NAME = "Tissue"


def shown(volume: Volume, order: int) -> tuple[Any, Info]:
    """Return a volume's array (S, A, R) and its place; an oblique one is resampled to be shown.

    Parameters
    ----------
    volume : Volume
        Of three axes.
    order : int
        How an oblique one is resampled: 0 nearest, 1 linear.
    """
    ornt = io_orientation(volume.affine)
    data, to_ras, copied = nifti_layers.shown(volume.voxels, volume.affine, ornt, order)
    about = {"unit": volume.unit}
    place = placement(to_ras, data.shape)
    note = " (resampled to be shown)" if copied else ""
    return data.transpose(), {"name": note, "metadata": {KEY: about}, **place}


class TissueLayers(RunLayers):
    """Shows the labels of one run, and its probabilities, in a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Where.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self.maps: list[Layer] = []

    def clear(self) -> None:
        """Remove the layers."""
        drop(self._viewer, *self.maps)
        self.maps = []
        super().clear()

    def draw(self, array: Any, like: Volume, rows: Sequence[Row], words: str) -> None:  # noqa: ANN401
        """Show labels as `shown` turns them; `like` is a volume on their grid."""
        if self.live is not None and self.live.data.shape != array.shape:
            self.clear()
        if not self.show(array):
            _, info = shown(like, 0)
            names = {place: row.name for place, row in enumerate(rows, 1)}
            look = named(names, list(names), {n: rows[n - 1].colour for n in names})
            name = f"{NAME} labels{info.pop('name')}"
            self.live = self.follow(
                self._viewer.add_labels(array, name=name, opacity=0.5, **info, **look)
            )
        self.say(words)

    def add_maps(self, maps: Sequence[tuple[str, str, Volume]]) -> None:
        """Add maps from 0 to 1, hidden, in place of those of another run.

        Name, colour and volume of each.
        """
        drop(self._viewer, *self.maps)
        self.maps = []
        for name, colour, volume in maps:
            data, info = shown(volume, 1)
            full = f"{NAME} probability of {name}{info.pop('name')}"
            ramp = Colormap(["black", colour], name=f"emrecon {name} {colour}")
            layer = self._viewer.add_image(
                data, name=full, colormap=ramp, contrast_limits=(0.0, 1.0), visible=False,
                blending="additive", **info,
            )  # fmt: skip
            self.maps.append(layer)
        if self._in_viewer(self.live):
            self._viewer.layers.selection.active = self.live
