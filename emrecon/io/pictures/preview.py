"""Pictures of volumes, to look at without a viewer: one PNG with three planes.

All panels are true to scale in mm and shown as radiologists do: the patient's right is on the
left of axial and coronal pictures, the front on the left of sagittal ones, the head on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError
from emrecon.io.pictures.colours import label_colour
from emrecon.metrics.compare import onto
from emrecon.volume import Volume

if TYPE_CHECKING:
    from emrecon.io.pictures.canvas import Colour, Panel, Pixels

VIEWS = (("Axial", 2, "RLAP"), ("Coronal", 1, "RLSI"), ("Sagittal", 0, "APSI"))
"""Name, axis that is looked along, and the letters left, right, top and bottom."""

_LARGEST = (430, 560)
"""Width and height in pixels of the largest panel."""

_THINNEST = 4
"""Pixels that a single slice is given at least, to be seen edge on."""

_BLOCKS = 12
"""Pixels from which on a voxel is shown as the block that it is, below it is interpolated."""

_FOOTER = "Radiological display (R is the patient's right); all panels to one scale"


def preview(  # noqa: PLR0913 - all but two may be left out
    volume: Volume,
    path: Path,
    *,
    window: tuple[float, float] | None = None,
    title: str = "",
    labels: Volume | None = None,
    names: Mapping[int, str] | None = None,
    inverted: bool = True,
    several: str = "frames",
) -> None:
    """Write central slices and maximum projections along three axes as PNG.

    With labels the slices are outlined, and stand below once more without: what lies under an
    outline is seen there.

    Several frames are averaged, and the picture says so. Voxels that are not finite are drawn as
    the lowest value, and the picture says how many there are.

    Parameters
    ----------
    volume
        What to show.
    path
        Where to; the name ends in ``.png``.
    window
        Lowest and highest value shown; by default from 0 to the 99.9th percentile of the
        object.
    title
        What the picture shows, such as the settings in short.
    labels
        A label map, on any grid, to outline on the slices.
    names
        Of the labels, for the legend.
    inverted
        Whether high values are dark on white, as for PET; else bright on black, as for MR and CT.
    several
        What the first of four axes counts, in a word.

    Raises
    ------
    SettingsError
        If the path is not a PNG, or the window is empty.
    WriteError
        If the file cannot be written.
    """
    _check_path(path)
    scene, values, notes = _scene(volume, several)
    low, high, note = _window(values, window, volume.unit)
    if not np.isfinite(values).all():
        values = np.nan_to_num(values, nan=low, posinf=low, neginf=low)
    outlines = None if labels is None else _labels_on(labels.turned(), scene.volume)
    above, below = [], []
    for view in VIEWS:
        plane = (scene.slice(values, view[1]) - low) / (high - low)
        greys = scene.grey(plane, view[1], inverted=inverted)
        if outlines is None:
            highest = (values.max(axis=view[1]) - low) / (high - low)
            highest = scene.grey(highest, view[1], inverted=inverted)
            below.append(scene.panel(highest, view, "maximum"))
        else:
            below.append(scene.panel(greys, view, "without outlines"))
            greys = _outlined(greys, scene.flat(scene.slice(outlines, view[1]), view[1]))
        above.append(scene.panel(greys, view, scene.position(view[1])))
    from emrecon.io.pictures import canvas  # noqa: PLC0415 - Pillow, only to draw

    canvas.write(
        canvas.Page(
            title=title,
            notes=[*notes, note],
            rows=[above, below],
            pixels_per_mm=scene.scale,
            footer=_FOOTER,
            bar=canvas.Bar(low, high, volume.unit),
            inverted=inverted,
            legend=[(_rgb(label), name) for label, name in (names or {}).items()],
        ),
        path,
    )


@dataclass(frozen=True)
class _Scene:
    """A volume turned towards R, A and S, and how large it is drawn."""

    volume: Volume
    scale: float
    """Pixels per mm."""

    def slice(self, voxels: NDArray[Any], axis: int) -> NDArray[Any]:
        """Return the central plane across an axis."""
        plane: NDArray[Any] = np.moveaxis(voxels, axis, 0)[voxels.shape[axis] // 2]
        return plane

    def position(self, axis: int) -> str:
        """Return where the central plane lies; an oblique one has no single coordinate."""
        number, count = self.volume.voxels.shape[axis] // 2, self.volume.voxels.shape[axis]
        if not self.volume.aligned:
            return f"plane {number + 1} of {count}"
        at = self.volume.affine[axis, 3] + number * self.volume.affine[axis, axis]
        return f"{'xyz'[axis]} = {at + 0.0:.1f} mm".replace("= -0.0", "= 0.0")

    def grey(self, plane: NDArray[np.floating], axis: int, *, inverted: bool) -> Pixels:
        """Return a plane of values 0 ... 1 as grey pixels."""
        from emrecon.io.pictures import canvas  # noqa: PLC0415 - Pillow, only to draw

        across = [self.volume.spacing_mm[other] for other in range(3) if other != axis]
        smooth = min(across) * self.scale < _BLOCKS
        greys = canvas.resized(plane[::-1, ::-1].T, self._size(axis), smooth=smooth)
        return np.repeat((255 - greys if inverted else greys)[..., None], 3, axis=2)

    def flat(self, plane: NDArray[np.number], axis: int) -> NDArray[np.number]:
        """Return a plane of labels at the panel's size, none of them mixed."""
        shown, (width, height) = plane[::-1, ::-1].T, self._size(axis)
        rows = (np.arange(height) + 0.5) / height * shown.shape[0]
        columns = (np.arange(width) + 0.5) / width * shown.shape[1]
        larger: NDArray[np.number] = shown[np.ix_(rows.astype(int), columns.astype(int))]
        return larger

    def panel(self, pixels: Pixels, view: tuple[str, int, str], place: str) -> Panel:
        """Return the panel of a view."""
        from emrecon.io.pictures import canvas  # noqa: PLC0415 - Pillow, only to draw

        name, _, letters = view
        return canvas.Panel(f"{name}, {place}", pixels, letters)

    def _size(self, axis: int) -> tuple[int, int]:
        """Return width and height of a panel in pixels."""
        extent = np.multiply(self.volume.voxels.shape, self.volume.spacing_mm) * self.scale
        width, height = np.maximum(np.rint(np.delete(extent, axis)), _THINNEST).astype(int)
        return int(width), int(height)


def _scene(volume: Volume, several: str) -> tuple[_Scene, NDArray[np.float32], list[str]]:
    """Return the scene, its values and what is to be said about them."""
    frames = volume.voxels.shape[0] if volume.voxels.ndim == 4 else 1
    voxels = volume.voxels if frames == 1 else volume.voxels.mean(axis=0, dtype=np.float64)
    turned = Volume(voxels.reshape(volume.voxels.shape[-3:]), volume.affine, volume.unit).turned()
    i, j, k = np.multiply(turned.voxels.shape, turned.spacing_mm)
    scale = min(_LARGEST[0] / max(i, j), _LARGEST[1] / max(j, k))
    counts = " x ".join(str(n) for n in turned.voxels.shape)
    notes = [f"{counts} voxels of " + " x ".join(f"{d:.4g}" for d in turned.spacing_mm) + " mm"]
    if frames > 1:
        notes.append(f"mean of {frames} {several}")
    if not turned.aligned:
        notes.append("oblique, shown along its own axes")
    lost = turned.voxels.size - int(np.count_nonzero(np.isfinite(turned.voxels)))
    if lost:
        notes.append(f"{lost} voxels not finite, shown as lowest")
    return _Scene(turned, scale), turned.voxels.astype(np.float32, copy=False), notes


def _window(
    values: NDArray[np.float32], window: tuple[float, float] | None, unit: str
) -> tuple[float, float, str]:
    """Return the lowest and highest value shown, and what to say about them."""
    if window is not None:
        low, high, note = *window, ""
        if not (np.isfinite([low, high]).all() and low < high):
            raise SettingsError(f"a window runs from a lower to a higher value, not {window}")
    else:
        finite = np.isfinite(values)
        low, high, note = _usual_window(values if finite.all() else values[finite])
    first, last = (f"{float(f'{value:.4g}'):g}" for value in (low, high))  # 11690, not 1.169e+04
    return low, high, f"shown from {first} to {last} {unit}".rstrip() + note


def _usual_window(values: NDArray[np.float32]) -> tuple[float, float, str]:
    """Return 0 to the 99.9th percentile of the object, or what comes nearest for other images.

    The object is what is above 1 % of the maximum, so that a small one in a large field of view
    does not saturate.
    """
    if not values.size:
        return 0.0, 1.0, ""
    if values.max() > 0:
        return 0.0, _bright(values, 0.01 * values.max()), " (99.9th percentile)"
    low, high = min(0.0, float(values.min())), float(values.max())
    return low, high if high > low else low + 1, ""


_EACH = 4
"""Distance along each axis of the values that tell about where the brightest begin."""


def _bright(values: NDArray[np.float32], floor: float) -> float:
    """Return the 99.9th percentile of the values above a floor, sorting but the brightest."""
    count = int(np.count_nonzero(values > floor))
    some = values[(slice(None, None, _EACH),) * values.ndim]
    some = some[some > floor]
    near = np.quantile(some, 0.99) if len(some) else floor
    top = values[values > near]
    place = 0.999 * (count - 1) - (count - len(top))  # among the brightest, if they are enough
    if place < 0:
        return float(np.percentile(values[values > floor], 99.9))
    return float(np.quantile(top, place / max(len(top) - 1, 1)))


def _labels_on(labels: Volume, image: Volume) -> NDArray[np.number]:
    """Return the labels at the image's voxels: their own numbers where the grids are the same."""
    same = labels.voxels.shape == image.voxels.shape[-3:]
    if same and np.allclose(labels.affine, image.affine, rtol=0, atol=1e-5):
        return labels.voxels
    return onto(labels, image, order=0)


def _outlined(greys: Pixels, flat: NDArray[np.number]) -> Pixels:
    """Return the picture with two pixels of colour on borders, that of the higher label."""
    around = np.pad(flat, 1, mode="edge")
    sides = [around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]
    higher, lower = np.maximum.reduce([flat, *sides]), np.minimum.reduce([flat, *sides])
    present, which = np.unique(higher, return_inverse=True)
    palette = np.array([_rgb(int(label)) for label in present], np.uint8)
    return np.where((higher != lower)[..., None], palette[which.reshape(flat.shape)], greys)


def _rgb(label: int) -> Colour:
    """Return the colour of a label."""
    red, green, blue = bytes.fromhex(label_colour(label)[1:])
    return red, green, blue


def _check_path(path: Path) -> None:
    """Refuse a name that is not a PNG's."""
    if path.suffix.lower() != ".png":
        raise SettingsError(f"a preview is a PNG: {path.name} must end in .png")
