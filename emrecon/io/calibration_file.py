"""The small file that keeps a PET scanner's calibration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emrecon.errors import FormatError
from emrecon.files import read_text
from emrecon.io import sidecar
from emrecon.io.formats import Kind
from emrecon.tomo.corrections.quantity import PetCalibration
from emrecon.tomo.inputs import CameraFacts

FACTOR, SCANNER, EFFICIENCIES = "BqPerMLPerCountPerMMPerSecond", "Scanner", "EfficienciesFrom"

CORRECTED = "CorrectedFor"
"""What the cylinder was corrected for; files of before do not say."""


def write_calibration(path: Path, calibration: PetCalibration, about: dict[str, Any]) -> None:
    """Write a calibration, and how it was found.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    content: dict[str, Any] = {
        SCANNER: calibration.scanner,
        FACTOR: calibration.factor,
        EFFICIENCIES: calibration.efficiencies,
    }
    if calibration.corrected is not None:
        content[CORRECTED] = sorted(calibration.corrected)
    sidecar.write(path, content | about | {"GeneratedBy": sidecar.generated_by()})


def read_calibration(path: Path) -> PetCalibration:
    """Read a calibration that `emrecon calibrate` wrote.

    Raises
    ------
    FormatError
        If it is none.
    """
    try:
        content = json.loads(read_text(path))
        factor, scanner, source = (content[key] for key in (FACTOR, SCANNER, EFFICIENCIES))
        made = content.get(CORRECTED)
        corrected = None if made is None else frozenset(made)
        return PetCalibration(float(factor), str(scanner), str(source), corrected)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{path} is no calibration that can be read: a file of `emrecon calibrate` has "
            f"{SCANNER}, {FACTOR} and {EFFICIENCIES}"
        ) from error


class _CalibrationFile:
    """Calibrations: no scan, but read as --calibration of one."""

    name = "calibration"

    def kind(self, head: bytes, path: Path) -> Kind | None:
        """Return ``other`` for JSON that begins with what a calibration says first."""
        keys = (b"{", f'"{SCANNER}"'.encode(), f'"{FACTOR}"'.encode())
        return "other" if head.startswith(keys[0]) and all(key in head for key in keys) else None

    def describe(self, path: Path, camera: CameraFacts) -> dict[str, str]:
        calibration = read_calibration(path)
        made = calibration.corrected
        return {
            "kind": "calibration of a PET scanner (emrecon calibrate)",
            "scanner": calibration.scanner,
            "factor": f"{calibration.factor:.6g} Bq/mL for a count/mm a second",
            "efficiencies from": calibration.efficiencies,
            "corrected for": "not said" if made is None else ", ".join(sorted(made)) or "nothing",
        }


FORMATS = (_CalibrationFile(),)
"""Formats of this file."""
