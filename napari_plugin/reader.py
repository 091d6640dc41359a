"""What napari asks to open files: images in place, label maps with names, counts of scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.errors import EmreconError, FormatError
from emrecon.io.formats import format_of, identify
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.scan import Scan
from emrecon.volume import Volume
from napari_plugin import views
from napari_plugin.layers import KEY, Info, look, usual, volume_info

LayerData = tuple[Any, Info, str]
Reader = Callable[[str], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return what reads a file, or None where it is none of ours (npe2)."""
    if not isinstance(path, str):
        return None
    place = Path(path)
    if place.is_dir() or place.suffix == ".toml":
        return read_path
    try:
        return read_path if identify(place) else None
    except EmreconError:
        return read_path  # ours by its name: reading it says what is wrong


def read_path(path: str) -> list[LayerData]:
    """Return the layers of a file, and turn the viewer to the view that is preferred."""
    made = read(Path(path))
    views.prefer()
    return made


def read(path: Path) -> list[LayerData]:
    """Return the layers of a file.

    Raises
    ------
    EmreconError
        If it cannot be read.
    """
    if path.is_dir() or path.suffix == ".toml":
        return [scan_layer(path)]
    form, kind = format_of(path)
    if kind == "projections":
        return [scan_layer(path)]
    if kind == "events":
        raise FormatError(
            f"{path} holds single events, which are no image: choose it as the scan in "
            "Plugins > EM reconstruction"
        )
    if kind != "image":
        raise FormatError(f"{path} holds nothing that can be shown ({kind} of {form.name})")
    if form.name == "NIfTI":
        from napari_plugin import nifti_layers  # noqa: PLC0415 - brings nibabel

        return nifti_layers.read(path)
    return [volume_layer(io.read_image(path), path.stem, path)]


def volume_layer(volume: Volume, name: str, path: Path | None = None) -> LayerData:
    """Return a volume as an image layer."""
    voxels, info = volume_info(volume)
    about = {"unit": volume.unit} | ({"path": str(path)} if path else {})
    chosen = look(usual(voxels, volume.unit), voxels)
    return voxels, {"name": name, "metadata": {KEY: about}, **info, **chosen}, "image"


def scan_layer(path: Path) -> LayerData:
    """Return a scan's prompts as an image layer; the layer knows its file."""
    from emrecon.io.scan import read_scan  # noqa: PLC0415 - not every file is a scan

    scan, _ = read_scan(path)
    name = path.parent.name if path.suffix == ".toml" else path.stem
    return prompts_layer(scan, f"{name} prompts", path)


def prompts_layer(scan: Scan, name: str, path: Path) -> LayerData:
    """Return prompts ``[view, bin, plane]`` as an image layer (plane, view, bin).

    It lies about the origin. Bins are as wide as they are, views and planes drawn as wide: they
    have no millimetres, but napari shows no units at all where layers disagree on them.
    """
    data = scan.prompts.transpose(2, 0, 1)
    bins = scan.bins
    wide = bins.bin_mm if isinstance(bins, Bins) else float(bins.u_mm[1] - bins.u_mm[0])
    info: Info = {
        "name": name,
        "scale": (wide,) * 3,
        "translate": [-(n - 1) / 2 * wide for n in data.shape],
        "units": ("mm",) * 3,
        "axis_labels": ("plane", "view", "bin"),
        "metadata": {KEY: {"scan": str(path)}},
        "colormap": "inferno",
        "contrast_limits": (0.0, max(1.0, float(np.max(scan.prompts)))),
    }
    return data, info, "image"
