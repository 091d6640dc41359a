"""The small file that keeps a PET scanner's calibration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emrecon.errors import FormatError
from emrecon.files import read_text
from emrecon.io import sidecar
from emrecon.tomo.corrections.quantity import PetCalibration

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
