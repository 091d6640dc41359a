"""DICOM NM images of tomographic acquisitions (TOMO and GATED TOMO), as cameras write them.

Frames are told apart by the vectors that index them. Angles and orientation are those of the
standard, about the patient, and are turned to R, A, S in `emrecon.io.dicom.orbit`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError
from emrecon.io.dicom.attributes import Attributes, open_dicom
from emrecon.io.dicom.frames import Frames, frames_of, pixel_values, slope
from emrecon.io.dicom.orbit import Orbit, orbit_of
from emrecon.io.dicom.windows import chosen_window, nuclide_of, windows_of
from emrecon.io.spect import Projections, emission_kev
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.collimator import ISOTOPES, isotope_named
from emrecon.tomo.inputs import CameraFacts
from emrecon.volume import Array

log = logging.getLogger(__name__)

STORAGE = "1.2.840.10008.5.1.4.1.1.20"
"""SOP class of Nuclear Medicine Image Storage."""

TOMO = ("TOMO", "GATED TOMO")
"""Third word of ImageType for what a camera counted around the patient."""

CORRECTED = {"ATTN": "attenuation", "SCAT": "scatter"}
"""Words of CorrectedImage for what a model must not correct again."""

SUPINE = {"F-10340", "40199007"}
PRONE = {"F-10310", "1240000"}
HEAD_FIRST = {"F-10470", "102540008"}
FEET_FIRST = {"F-10480", "102541007"}
"""Codes of how a patient lies, in SNOMED RT and SNOMED CT."""


def is_acquisition(path: Path) -> bool:
    """Return whether a DICOM file holds an NM TOMO or GATED TOMO acquisition."""
    return not _other(open_dicom(path, pixels=False))


def read_projections(
    path: Path, supplied: CameraFacts | None = None, isotope: str = ""
) -> Projections:
    """Read the projections of an NM TOMO file.

    Parameters
    ----------
    path : Path
        The file.
    supplied : CameraFacts, optional
        What to choose, and what stands in for what the file does not say.
    isotope : str, optional
        Isotope that goes before the file's.

    Raises
    ------
    FormatError
        If it is another kind of DICOM file, is damaged, or contradicts itself or leaves out what
        decides where counts lie; it names the attribute, and the flag that supplies it.
    """
    supplied = supplied or CameraFacts()
    dataset = open_dicom(path)
    if other := _other(dataset):
        raise FormatError(f"{path} is {other}; wanted is an NM TOMO acquisition")
    words = dataset.words("CorrectedImage")
    if done := [what for word, what in CORRECTED.items() if word in words]:
        log.warning(
            "%s says that %s was corrected for (CorrectedImage): such data are not Poisson, and "
            "the model must not correct for it again",
            path, " and ".join(done),
        )  # fmt: skip
    frames = frames_of(dataset, supplied)
    position = _position(dataset, supplied)
    orbit = orbit_of(dataset, frames.places, supplied, position)
    windows = windows_of(dataset, len(frames.index))
    nuclide = isotope_named(isotope).name if isotope else nuclide_of(dataset)
    chosen = chosen_window(windows, nuclide, _peaks_kev(nuclide), supplied)
    order = np.argsort(np.round(orbit.angle_deg % 360.0, 3), kind="stable")
    counts = _counts(dataset, frames, orbit, supplied)[:, order]
    camera = type(orbit.camera)(
        orbit.camera.theta_rad[order], orbit.camera.radius_mm[order],
        orbit.camera.u_mm, orbit.camera.z_mm,
    )  # fmt: skip
    lows, highs = zip(*windows[chosen].ranges_kev, strict=True)
    exam = ExamInfo(
        nuclide=nuclide,
        emission_kev=emission_kev(nuclide, windows[chosen]),
        window_kev=(min(lows), max(highs)),
        duration_s=_duration_s(dataset, frames),
        view_s=_view_s(dataset.items(_ROTATIONS)[0]),
        patient_position=position,
    )
    facts = _facts(dataset, frames, orbit, supplied) | {
        "patient_position": position,
        "view_duration_s": exam.view_s,
        "duration_s": exam.duration_s,
        "radionuclide": nuclide,
        "emission_kev": exam.emission_kev,
        "energy_window": str(windows[chosen]),
        "energy_window_kev": [min(lows), max(highs)],
    }
    return Projections(
        camera,
        counts[chosen],
        exam,
        facts,
        origin_mm=orbit.origin_mm,
        origin_unknown=orbit.origin_source if orbit.origin_mm is None else "",
        windows=windows,
        chosen=chosen,
        counts=counts,
        heads=tuple(frames.places[order, 0].tolist()),
    )


def _other(dataset: Attributes) -> str:
    """Return in words what else a file is than an NM TOMO acquisition; empty if it is one."""
    kind = "\\".join(dataset.words("ImageType"))
    if dataset.text("SOPClassUID") != STORAGE or dataset.text("Modality") != "NM":
        name = dataset.value("SOPClassUID")
        what = dataset.text("Modality") or "no modality"
        return f"DICOM of another kind: {getattr(name, 'name', name)} (Modality {what})"
    words = dataset.words("ImageType")
    if len(words) < 4 or words[2] not in TOMO:
        extra = ", that is images already reconstructed" if "RECON" in kind else ""
        return f"an NM image of ImageType (0008,0008) {kind}{extra}"
    if words[3] != "EMISSION":
        return f"an NM image of ImageType (0008,0008) {kind}, not of emission"
    return ""


def _position(dataset: Attributes, supplied: CameraFacts) -> str:
    """Return how the patient lies: HFS, HFP, FFS or FFP."""
    if supplied.patient_position:
        return supplied.patient_position.upper()
    coded = _coded_position(dataset)
    stated = dataset.text("PatientPosition").upper()
    if coded and stated and coded != stated:
        raise dataset.refusal(
            "PatientPosition", f"the code sequences say {coded}", "--patient-position"
        )
    if not (coded or stated):
        raise dataset.refusal(
            "PatientGantryRelationshipCodeSequence",
            "how the patient lies is to be coded here and in PatientOrientationCodeSequence "
            "(0054,0410)",
            "--patient-position",
        )
    if (coded or stated) not in {"HFS", "HFP", "FFS", "FFP"}:
        raise dataset.refusal(
            "PatientPosition", "HFS, HFP, FFS and FFP are read", "--patient-position"
        )
    return coded or stated


def _coded_position(dataset: Attributes) -> str:
    """Return the position that the code sequences tell, empty where they are missing."""
    gantry = {item.text("CodeValue") for item in dataset.items(_GANTRY)}
    turned = {
        modifier.text("CodeValue")
        for item in dataset.items("PatientOrientationCodeSequence")
        for modifier in item.items("PatientOrientationModifierCodeSequence")
    }
    if not (gantry and turned):
        return ""
    first = "HF" if gantry & HEAD_FIRST else "FF" if gantry & FEET_FIRST else ""
    lies = "S" if turned & SUPINE else "P" if turned & PRONE else ""
    if not (first and lies):
        raise dataset.refusal(
            _GANTRY,
            f"codes {sorted(gantry)} and {sorted(turned)}: head or feet first, supine or prone "
            "are read",
            "--patient-position",
        )
    return first + lies


_ROTATIONS = "RotationInformationSequence"
_GANTRY = "PatientGantryRelationshipCodeSequence"


def _counts(
    dataset: Attributes, frames: Frames, orbit: Orbit, supplied: CameraFacts
) -> NDArray[np.float32]:
    """Return counts ``[window, view, u, z]``: gates chosen or added, planes from feet to head."""
    index, values = frames.index, pixel_values(dataset)
    slots = index.shape[2]
    if supplied.gate > slots:
        raise dataset.refusal("NumberOfTimeSlots", f"there is no gate {supplied.gate} (--gate)")
    if supplied.gate:
        index = index[:, :, supplied.gate - 1 : supplied.gate]
    elif slots > 1:
        log.info("%s: %d gates are added", dataset.path, slots)
    out = np.zeros((index.shape[0], index.shape[3], *values.shape[:0:-1]), np.float32)
    for window in range(len(out)):
        for place, upright in enumerate(orbit.upright):
            frame: Array = values[index[window, :, :, place].ravel()].sum(axis=0)
            out[window, place] = frame[::-1].T if upright else frame[:, ::-1].T
    return out


def _facts(
    dataset: Attributes, frames: Frames, orbit: Orbit, supplied: CameraFacts
) -> dict[str, Any]:
    """Return what else a file says about the acquisition; nothing that names the patient."""
    turn = dataset.items(_ROTATIONS)[0]
    head = dataset.items("DetectorInformationSequence")[0]
    doses = [
        item.number("RadionuclideTotalDose")
        for item in dataset.items("RadiopharmaceuticalInformationSequence")
    ]
    slots = frames.index.shape[2]
    return {
        "format": "DICOM NM",
        "image_type": "\\".join(dataset.words("ImageType")),
        "heads": len(np.unique(frames.places[:, 0])),
        "start_angle_deg": _starts(frames, orbit),
        "rotation_direction": supplied.direction.upper() or turn.text("RotationDirection"),
        "counts_of_stored_1": float(slope(dataset)),
        "detector_motion": dataset.text("TypeOfDetectorMotion"),
        "gates": slots,
        "gate": supplied.gate or ("all added" if slots > 1 else None),
        "collimator": head.text("CollimatorGridName"),
        "camera": _joined(dataset, "Manufacturer", "ManufacturerModelName"),
        "acquired": _joined(dataset, "AcquisitionDate", "AcquisitionTime"),
        "dose_mbq": next((dose for dose in doses if dose is not None), None),
        "table_height_mm": turn.number("TableHeight"),
        "table_traverse_mm": turn.number("TableTraverse"),
        "origin_from": orbit.origin_source,
    }


def _joined(dataset: Attributes, *keywords: str) -> str:
    return " ".join(filter(None, map(dataset.text, keywords)))


def _duration_s(dataset: Attributes, frames: Frames) -> float | None:
    """Return the time from the first view to the end of the last; heads count together."""
    total = 0.0
    for number, turn in enumerate(dataset.items(_ROTATIONS), 1):
        view_s = _view_s(turn)
        if view_s is None:
            return None
        views = frames.places[frames.places[:, 1] == number, 2]
        total += view_s * (int(views.max()) if views.size else 0)
    return total


def _view_s(turn: Attributes) -> float | None:
    """Return how long a view of a rotation counts."""
    view_ms = turn.number("ActualFrameDuration")
    return None if view_ms is None else view_ms / 1000


def _starts(frames: Frames, orbit: Orbit) -> list[float]:
    """Return the angle of each head's first view."""
    first = frames.places[:, 2] == 1
    _, at = np.unique(frames.places[first, 0], return_index=True)
    return [float(angle) for angle in orbit.angle_deg[first][at]]


def _peaks_kev(nuclide: str) -> tuple[float, ...]:
    """Return the energies at which an isotope is imaged, the main one first."""
    emitter = ISOTOPES.get(nuclide)
    return () if emitter is None else tuple(energy for energy, _ in emitter.lines)
