"""What napari asks to open files: images in place, label maps with names, counts of scans."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emrecon import io
from emrecon.errors import EmreconError, FormatError
from emrecon.io.dicom.attributes import is_dicom
from emrecon.io.formats import Format, HasDataFiles, format_of, identify, open_head
from emrecon.io.manifest import MANIFEST
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.scan import Scan
from emrecon.volume import Volume
from napari_plugin import views
from napari_plugin.layers import KEY, Info, look, usual, volume_info

log = logging.getLogger(__name__)

LayerData = tuple[Any, ...]
"""Data, what goes with them, and the kind of layer, as napari has it."""
Reader = Callable[[str], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return what reads a file, or None where it is none of ours (npe2)."""
    if not isinstance(path, str):
        return None
    place = Path(path)
    if place.suffix == ".toml" or _events(place):
        return read_path
    try:
        if place.is_dir():
            return read_path if (place / MANIFEST).exists() or _has_slices(place) else None
        return read_path if identify(place) else None
    except EmreconError:
        return read_path  # ours by its name: reading it says what is wrong


def read_path(path: str) -> list[LayerData]:
    """Return the layers of a file, and turn the viewer to the view that is preferred.

    Single events are no image: they are chosen as the scan to reconstruct.
    """
    from napari import current_viewer  # noqa: PLC0415 - no viewer, no napari

    events, viewer = _events(Path(path)), current_viewer()
    if events and viewer is not None:
        _, dock = viewer.window.add_plugin_dock_widget("emrecon", "EM reconstruction")
        dock.scan.box.setEditText(str(events))
        return [(None,)]  # napari's word for a file that was read, but is no layer
    layers = read(events or Path(path))
    views.prefer()
    return layers


def _events(path: Path) -> Path | None:
    """Return the file that names single events: this one, or the header beside it."""
    if not path.is_file():
        return None
    beside = sorted(path.parent.glob("*.hdr*")) if path.suffix == ".l" else [path]
    for header in beside:
        try:
            identified = identify(header)
        except EmreconError:
            continue
        if (
            identified
            and identified[1] == "events"
            and (header == path or _names(identified[0], header, path))
        ):
            return header
    return None


def _names(form: Format, header: Path, data: Path) -> bool:
    """Return whether a header says that its data lie in a file."""
    files = form.data_files(header) if isinstance(form, HasDataFiles) else ()
    return data.resolve() in {file.resolve() for file in files}


def read(path: Path) -> list[LayerData]:
    """Return the layers of a file.

    Raises
    ------
    EmreconError
        If it cannot be read.
    """
    if (path / MANIFEST).exists() or path.suffix == ".toml":
        return [scan_layer(path)]
    if path.is_dir() or is_dicom(open_head(path)):
        return [_dicom_layer(path)]
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
    if form.name in {"NIfTI", "MGH"}:
        from napari_plugin import nifti_layers  # noqa: PLC0415 - brings nibabel

        return nifti_layers.read(path)
    return [volume_layer(io.read_image(path), path.stem, path)]


def _has_slices(folder: Path) -> bool:
    """Return whether a folder holds DICOM files."""
    return bool(_slices(folder))


def _slices(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return [file for file in files if is_dicom(open_head(file))]


def _dicom_layer(path: Path) -> LayerData:
    """Return the counts of a gamma camera, or the image of a series of slices."""
    from emrecon.io.dicom import ct, pet_images  # noqa: PLC0415 - brings pydicom
    from emrecon.io.dicom.pet_exam import read_exam_facts  # noqa: PLC0415

    if path.is_file() and format_of(path)[1] == "projections":
        return scan_layer(path)
    pet = {pet_images.is_slice(file) for file in (_slices(path) if path.is_dir() else [path])}
    if len(pet) != 1:
        what = "slices of PET and of something else" if pet else "no DICOM slices"
        raise FormatError(f"{path} holds {what}: open one file of the series that is wanted")
    name = path.name if path.is_dir() else path.parent.name
    if pet == {False}:
        return volume_layer(ct.read_ct(path).volume, name, path)
    layer = volume_layer(pet_images.read_image(path), name, path)
    first = _slices(path)[0] if path.is_dir() else path
    try:
        layer[1]["metadata"][KEY]["facts"] = read_exam_facts(first).values
    except EmreconError as error:  # which the image is seen without
        log.warning("%s", error)
    return layer


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
