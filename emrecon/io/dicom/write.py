"""DICOM NM TOMO files from a camera's counts."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError, GeometryError
from emrecon.files import replacing
from emrecon.io.dicom.frames import GATED, VECTORS
from emrecon.io.dicom.modules import (
    Study,
    decimal,
    gates_of,
    image,
    isotope,
    patient_and_study,
    short,
)
from emrecon.tomo.geometry.camera import Camera
from emrecon.volume import Array

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Study", "write_projections"]

MOST = 2**16 - 1
"""Greatest count that a file holds."""

EVEN_DEG = 1e-3
"""How far views may lie from even steps."""

POINTERS = ("window", "detector", "rotation", "interval", "slot", "view")
"""The order in which the standard lists the vectors (PS3.3, C.8.4.8)."""

_KEYWORDS = {name: keyword for name, (keyword, _) in VECTORS.items()}


def write_projections(path: Path, camera: Camera, counts: Array, study: Study) -> Path:
    """Write counts as an NM TOMO file; return its path.

    Parameters
    ----------
    path : Path
        File to write.
    camera : Camera
        Views head by head; each head's in even steps, all of one direction and size.
    counts : ndarray
        Whole numbers up to 65535, shape ``(windows, *camera.shape)``, or with gates
        ``(windows, gates, *camera.shape)``.
    study : Study
        What else the file says.

    Raises
    ------
    DataError
        If counts are no whole numbers, or too many.
    GeometryError
        If heads and views do not come out even, or counts do not fit the camera.
    WriteError
        If the file cannot be written.
    """
    gated = counts.ndim == 5
    shape = (len(study.windows), *counts.shape[1 : counts.ndim - 3], *camera.shape)
    if counts.shape != shape or counts.ndim not in {4, 5}:
        raise GeometryError(f"counts of shape {counts.shape}; windows and camera are {shape}")
    if counts.min() < 0 or counts.max() > MOST or np.any(counts != np.rint(counts)):
        raise DataError(
            f"an NM file holds counts: whole numbers from 0 to {MOST}, and these go from "
            f"{counts.min():g} to {counts.max():g}; draw them, with fewer expected where they "
            "are too many"
        )
    whole = counts.astype("<u2") if gated else counts.astype("<u2")[:, None]
    dataset = _dataset(camera, whole, study, gated=gated)
    with replacing(path) as beside:
        dataset.save_as(beside, enforce_file_format=True)
    return path


def _dataset(camera: Camera, counts: NDArray[np.uint16], study: Study, *, gated: bool) -> Dataset:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    start, sign_step = _angles(camera, study.heads)
    frames, keys = _frames(counts, study)
    digest = hashlib.sha256(frames.tobytes() + repr((study, start)).encode()).hexdigest()
    dataset = Dataset()
    dataset.update(patient_and_study(study, digest))
    dataset.update(image(camera, frames, gated=gated))
    _vectors(dataset, keys, counts.shape[:2], study, gated=gated)
    isotope(dataset, study)
    dataset.DetectorInformationSequence = [
        _head(camera, study, head, start) for head in range(study.heads)
    ]
    dataset.RotationInformationSequence = [_rotation(camera, study, start[0], sign_step)]
    if gated:
        gates_of(dataset, counts.shape[1], study)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    return dataset


def _angles(camera: Camera, heads: int) -> tuple[list[float], float]:
    """Return each head's first DICOM angle, and the step with its sign, in degrees."""
    views = camera.shape[0]
    if views % heads:
        raise GeometryError(f"{views} views are not the same number on each of {heads} heads")
    angle = (-90.0 - np.rad2deg(camera.theta_rad)).reshape(heads, -1)
    gaps = (np.diff(angle, axis=1) + 180.0) % 360.0 - 180.0
    step = float(gaps.mean()) if gaps.size else 1.0
    if gaps.size and np.abs(gaps - step).max() > EVEN_DEG:
        raise GeometryError("the views of a head are not in even steps of one direction")
    return [round(float(first) % 360.0, 6) % 360.0 for first in angle[:, 0]], round(step, 9)


def _frames(
    counts: NDArray[np.uint16], study: Study
) -> tuple[NDArray[np.uint16], dict[str, list[int]]]:
    """Return the frames in the order wanted, and the vectors that tell them apart."""
    windows, gates, views, bins, planes = counts.shape
    rows = counts.transpose(0, 1, 2, 4, 3)
    rows = rows[..., ::-1, :] if study.first_row == "head" else rows[..., ::-1]
    sizes = {
        "window": windows, "interval": 1, "slot": gates, "detector": study.heads,
        "rotation": 1, "view": views // study.heads,
    }  # fmt: skip
    laid_out = rows.reshape(*sizes.values(), planes, bins)
    names = list(VECTORS)
    order = [*sorted(GATED - set(study.frame_order)), *study.frame_order]
    laid_out = laid_out.transpose(*(names.index(name) for name in order), 6, 7)
    keys = np.array(list(itertools.product(*(range(1, sizes[n] + 1) for n in order))))
    vectors = {name: keys[:, at].tolist() for at, name in enumerate(order)}
    return np.ascontiguousarray(laid_out).reshape(-1, planes, bins), vectors


def _vectors(
    dataset: Dataset, keys: dict[str, list[int]], sizes: tuple[int, ...], study: Study,
    *, gated: bool,
) -> None:  # fmt: skip
    from pydicom.tag import Tag

    names = [name for name in POINTERS if gated or name not in GATED]
    dataset.FrameIncrementPointer = [Tag(_KEYWORDS[name]) for name in names]
    for name in names:
        setattr(dataset, _KEYWORDS[name], keys[name])
    dataset.NumberOfEnergyWindows = sizes[0]
    dataset.NumberOfDetectors = study.heads
    dataset.NumberOfRotations = 1
    if gated:
        dataset.NumberOfRRIntervals = 1
        dataset.NumberOfTimeSlots = sizes[1]


def _head(camera: Camera, study: Study, head: int, start: list[float]) -> Dataset:
    """Return the description of a head: its frame is a plane at the radius from the axis."""
    from pydicom.dataset import Dataset

    views = camera.shape[0] // study.heads
    radii = camera.radius_mm[head * views : (head + 1) * views]
    t = np.deg2rad(start[head])
    across = np.array([-np.cos(t), np.sin(t), 0.0])
    normal = np.array([np.sin(t), np.cos(t), 0.0])
    up = np.array([0.0, 0.0, 1.0])
    r, a, s = study.origin_mm
    upright = study.first_row == "head"
    u, z = (camera.u_mm[0], camera.z_mm[-1]) if upright else (camera.u_mm[-1], camera.z_mm[0])
    at = np.array([-r, -a, s]) + radii[0] * normal + u * across + z * up
    side = 1.0 if upright else -1.0
    item = Dataset()
    item.CollimatorGridName = short(study.collimator)
    item.CollimatorType = "PARA"
    item.FocalDistance = "0"
    item.StartAngle = decimal(start[head])
    item.RadialPosition = [decimal(r) for r in (radii[:1] if np.ptp(radii) < 1e-6 else radii)]
    item.ImageOrientationPatient = [decimal(v) for v in (*(side * across), *(-side * up))]
    item.ImagePositionPatient = [decimal(v) for v in at]
    return item


def _rotation(camera: Camera, study: Study, start: float, step: float) -> Dataset:
    from pydicom.dataset import Dataset

    views = camera.shape[0] // study.heads
    item = Dataset()
    item.StartAngle = decimal(start)
    item.AngularStep = decimal(abs(step))
    item.RotationDirection = "CW" if step < 0 else "CC"
    item.ScanArc = decimal(abs(step) * views)
    item.ActualFrameDuration = round(study.view_s * 1000)
    item.NumberOfFramesInRotation = views
    item.TableHeight = "0"
    item.TableTraverse = "0"
    return item
