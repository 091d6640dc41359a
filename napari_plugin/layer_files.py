"""Layers as files: what a job reads is the layer as it is, edited, moved or made in napari.

A layer that is as it was read stands for its own file. Any other is written, in its place, to the
user's cache folder under the checksum of what it holds: the same layer is the same file.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from emrecon import forms
from emrecon.errors import EmreconError, SettingsError
from napari_plugin.layers import KEY, LABELS, Info
from napari_plugin.samples import cache_folder

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

T = TypeVar("T")

LAYER = "layer:"
"""Begins what stands for a layer where a file may be chosen."""

_KEPT_S = 30 * 24 * 3600.0
"""How long a layer that was written is kept after it was last used."""


@dataclass(frozen=True, eq=False)
class Taken:
    """A layer as it was when it was chosen."""

    name: str
    data: Any
    about: Info
    kind: str

    def file(self, like: Path | None = None) -> Path:
        """Return the file that holds it: its own while that is the same, else one that is written.

        Parameters
        ----------
        like : Path, optional
            Image along whose axes it is written, where it came from no file with axes.

        Raises
        ------
        EmreconError
            If it is no image in space, or cannot be written; or if it is a scan whose counts
            were changed.
        """
        known = self.about["metadata"].get(KEY, {})
        path = known.get("scan") or known.get("path")
        if path and self._is(Path(path)):
            return Path(path)
        if "scan" in known:
            raise SettingsError(
                f"the counts of {self.name} were changed in napari, and a scan is read from its "
                "file: open it again"
            )
        return self._written(like)

    def _is(self, path: Path) -> bool:
        """Return whether a file holds this layer, and nothing else."""
        from napari_plugin.reader import read  # noqa: PLC0415 - brings readers
        from napari_plugin.writer import matrix  # noqa: PLC0415 - brings nibabel

        try:
            layers = read(path)
        except EmreconError:
            return False
        if len(layers) != 1:
            return False
        data, info, _ = layers[0]
        if data.shape != self.data.shape:
            return False
        there, here = (matrix(one, data.ndim) for one in (info, self.about))
        scan = "scan" in info["metadata"][KEY]  # which has no place
        close = scan or np.allclose(there, here, rtol=0, atol=1e-6)
        return close and np.array_equal(np.asarray(data), np.asarray(self.data))

    def _written(self, like: Path | None) -> Path:
        from napari_plugin.writer import matrix, write  # noqa: PLC0415 - brings nibabel

        voxels = np.ascontiguousarray(self.data)
        digest = hashlib.sha256(voxels.tobytes())
        digest.update(f"{voxels.dtype} {voxels.shape} {self.kind}".encode())
        digest.update(matrix(self.about, voxels.ndim).tobytes())
        about = self.about if like is None else self._along(like)
        digest.update(str(about["metadata"].get("nifti", {}).get("ornt")).encode())
        stem = re.sub(r"[^\w.-]+", "_", self.name)
        folder = cache_folder().parent / "layers"
        path = folder / digest.hexdigest()[:16] / f"{stem}.nii"
        if path.exists():
            path.touch()
            return path
        _forget_old(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, voxels, about, labels=self.kind == "labels")
        return path

    def _along(self, like: Path) -> Info:
        """Return what is known of it, with the axes of an image where it came with none."""
        if "nifti" in self.about["metadata"]:
            return self.about
        import nibabel as nib  # noqa: PLC0415 - heavy

        from emrecon import io  # noqa: PLC0415 - brings readers

        image = io.read_image(like)
        header = nib.Nifti1Header()
        header.set_intent(LABELS if self.kind == "labels" else 0)
        header.set_xyzt_units("mm")
        header.set_sform(image.affine, 1)
        header.set_qform(image.affine, 1)
        kept = {
            "header": header, "affine": image.affine, "shape": image.voxels.shape,
            "ornt": nib.io_orientation(image.affine), "display_only": False,
        }  # fmt: skip
        return self.about | {"metadata": self.about["metadata"] | {"nifti": kept}}


def taken(layer: Layer) -> Taken:
    """Return a layer as it is now; voxels that may be painted on are copied."""
    data, about, kind = layer.as_layer_data_tuple()
    painted = isinstance(data, np.ndarray) and "scan" not in about["metadata"].get(KEY, {})
    held = data.copy() if painted else data
    return Taken(layer.name, held, about, kind)


def choice(layer: Layer) -> tuple[str, str]:
    """Return a layer as something to choose: its name, and what stands for it."""
    return layer.name, LAYER + layer.name


def chosen(viewer: ViewerModel, *values: Any) -> Mapping[Path, Taken]:  # noqa: ANN401 - forms, paths
    """Return the layers, as they are now, that the paths of forms stand for.

    Raises
    ------
    SettingsError
        If one is not there any more.
    """
    named = {Path(LAYER + layer.name): layer for layer in viewer.layers}
    files = {}
    for path in _paths(*values):
        if not str(path).startswith(LAYER):
            continue
        if path not in named:
            raise SettingsError(f"there is no {str(path).removeprefix(LAYER)!r} among the layers")
        files[path] = taken(named[path])
    return files


def with_files(form: T, layers: Mapping[Path, Taken], like: Path | None = None) -> T:
    """Return a form with the files of the layers that its paths stand for."""
    return forms.with_paths(form, lambda path: file_for(path, layers, like))


def file_for(path: Path, layers: Mapping[Path, Taken], like: Path | None = None) -> Path:
    """Return the file of the layer that a path stands for, or the path itself."""
    return layers[path].file(like) if path in layers else path


def _paths(*values: Any) -> list[Path]:  # noqa: ANN401 - forms, paths
    paths: list[Path] = []
    for value in values:
        if isinstance(value, Path):
            paths.append(value)
        elif value is not None:
            paths += forms.paths_in(value).values()
    return paths


def _forget_old(folder: Path) -> None:
    """Remove what was not used for long."""
    for path in folder.glob("*/*"):
        if time.time() - path.stat().st_mtime > _KEPT_S:
            path.unlink(missing_ok=True)
