"""The layers that a segmentation draws on: its labels, and at the end the probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import Colormap
from nibabel.orientations import io_orientation

from napari_plugin import nifti_layers, views
from napari_plugin.labels import named
from napari_plugin.layers import KEY, Info, drop, placed
from napari_plugin.preferences import preferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from emrecon.volume import Volume
    from napari_plugin.history import History
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
    place = placed(to_ras, data.shape)
    note = " (resampled to be shown)" if copied else ""
    return data.transpose(), {"name": note, "metadata": {KEY: about}, **place}


class TissueLayers:
    """Shows the labels of one run, and its probabilities, in a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Where.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.labels: Labels | None = None
        self.history: Labels | None = None
        self.numbers: list[int] = []
        self.maps: list[Layer] = []

    def clear(self) -> None:
        """Remove the layers."""
        drop(self._viewer, self.labels, self.history, *self.maps)
        self.labels, self.history, self.numbers, self.maps = None, None, [], []
        views.say(self._viewer)

    def draw(self, array: Any, like: Volume, rows: Sequence[Row]) -> None:  # noqa: ANN401
        """Show labels as `shown` turns them; `like` is a volume on their grid."""
        self._scrub(on=False)
        if self.labels is None or self.labels not in self._viewer.layers:
            if views.sense_of(self._viewer) is None:
                views.show(self._viewer, preferences().view)
            _, info = shown(like, 0)
            names = {place: row.name for place, row in enumerate(rows, 1)}
            look = named(names, list(names), {n: rows[n - 1].colour for n in names})
            name = f"{NAME} labels{info.pop('name')}"
            self.labels = self._viewer.add_labels(array, name=name, opacity=0.5, **info, **look)
        else:
            self.labels.data = array
        views.say(self._viewer, "live")

    def keep(self, history: History) -> None:
        """Show the labels kept as a layer with a slider over the passes, at the last."""
        frames, labels = history.frames(), self.labels
        if frames is None or labels is None or labels not in self._viewer.layers:
            return
        self.numbers = history.numbers
        if self.history is None or self.history not in self._viewer.layers:
            self.history = self._viewer.add_labels(
                frames, name=f"{NAME} history", opacity=labels.opacity, colormap=labels.colormap,
                scale=(1.0, *labels.scale), translate=(0.0, *labels.translate),
                units=("s", *labels.units), axis_labels=("kept", *labels.axis_labels),
                metadata={KEY: {}},
            )  # fmt: skip
        else:
            self.history.visible = True  # hidden, it would not tell the slider of its length
            self.history.data = frames
        self._scrub(on=True)
        dims = self._viewer.dims
        dims.set_current_step(dims.ndim - 4, len(self.numbers) - 1)

    def number(self) -> int | None:
        """Return the pass whose labels of the history are shown, if some are."""
        if not (self.numbers and self.history is not None and self.history.visible):
            return None
        place = int(self._viewer.dims.current_step[self._viewer.dims.ndim - 4])
        return self.numbers[min(place, len(self.numbers) - 1)]

    def _scrub(self, *, on: bool) -> None:
        """Show the history in place of the newest labels, or the other way round."""
        if self.history is not None and self.history in self._viewer.layers:
            for layer, wanted in ((self.history, on), (self.labels, not on)):
                if layer is not None and layer.visible is not wanted:
                    layer.visible = wanted

    def add_maps(self, maps: Sequence[tuple[str, str, Volume]]) -> None:
        """Add maps from 0 to 1, hidden: name, colour and volume of each."""
        for name, colour, volume in maps:
            data, info = shown(volume, 1)
            full = f"{NAME} probability of {name}{info.pop('name')}"
            ramp = Colormap(["black", colour], name=f"emrecon {name} {colour}")
            layer = self._viewer.add_image(
                data, name=full, colormap=ramp, contrast_limits=(0.0, 1.0), visible=False,
                blending="additive", **info,
            )  # fmt: skip
            self.maps.append(layer)
        if self.labels is not None and self.labels in self._viewer.layers:
            self._viewer.layers.selection.active = self.labels
