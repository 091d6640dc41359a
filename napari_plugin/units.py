"""What the numbers of an image are: their unit in words, and what makes them SUV."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.errors import EmreconError, SettingsError
from emrecon.io import sidecar
from emrecon.io.pet_facts import PetFacts, read_pet_facts
from napari_plugin.layers import FIXED, KEY, look

log = logging.getLogger(__name__)

SUV = "g/mL"
"""Unit of standardised uptake values by body weight."""

BECQUEREL = {"Bq/mL": 1.0, "kBq/mL": 1e3, "BQML": 1.0}
"""Units of concentration, in Bq/mL."""


def unit_of(layer: Any) -> str:  # noqa: ANN401 - a layer or none
    """Return the unit of a layer's values; empty where that is not known, or there is no layer."""
    return "" if layer is None else str(layer.metadata.get(KEY, {}).get("unit", ""))


def facts_of(path: Path) -> PetFacts:
    """Return what the sidecar beside an image says of it; nothing where there is none, or broken.

    It is optional here, and often of another program.
    """
    beside = sidecar.beside(path, ".json")
    try:
        return read_pet_facts(beside) if beside.is_file() else PetFacts()
    except EmreconError as error:
        log.info("%s", error)
        return PetFacts()


def suv_per_unit(layer: Any) -> float:  # noqa: ANN401 - a layer
    """Return the standardised uptake value of 1 in a layer's unit.

    Raises
    ------
    SettingsError
        If it is no concentration, or dose, weight or times are not known; in words.
    """
    unit, about = unit_of(layer), layer.metadata.get(KEY, {})
    if unit == SUV:
        return 1.0
    if unit not in BECQUEREL:
        raise SettingsError(
            f"{layer.name} is in {unit or 'a unit that is not known'}: SUV are of an image in "
            "Bq/mL. Reconstruct with a calibration and facts, and say yes to SUV under Corrections"
        )
    if "facts" in about:  # of the file itself
        return BECQUEREL[unit] * PetFacts(about["facts"]).suv_per_bq_per_ml
    if "path" not in about:
        raise SettingsError(f"{layer.name} is no file with a sidecar, which has dose and weight")
    return BECQUEREL[unit] * facts_of(Path(about["path"])).suv_per_bq_per_ml


def preset_scale(preset: str, layer: Any) -> float:  # noqa: ANN401 - a layer
    """Return how many of a preset's unit a 1 in a layer is; 1 of those without.

    Values in a unit that is not known are taken to be SUV where that is asked for.

    Raises
    ------
    SettingsError
        If a layer's unit cannot be turned into that of the preset; in words.
    """
    wanted, unit = FIXED.get(preset, ("", 0.0))[0], unit_of(layer)
    if not wanted or (wanted == SUV and not unit):
        return 1.0
    if wanted == SUV:
        return suv_per_unit(layer)
    if unit not in BECQUEREL:
        raise SettingsError(
            f"{layer.name} is in {unit or 'a unit that is not known'}, and this window in {wanted}"
        )
    return BECQUEREL[unit] / BECQUEREL[wanted]


def as_suv(layer: Any) -> tuple[Any, dict[str, Any], str]:  # noqa: ANN401 - a layer
    """Return a layer's image in SUV, as another layer.

    Raises
    ------
    SettingsError
        If that cannot be known; in words.
    """
    data = np.asarray(layer.data, np.float32) * np.float32(suv_per_unit(layer))
    about = layer.metadata[KEY] | {"unit": SUV}
    about.pop("path", None)  # whose values are others
    place = {name: getattr(layer, name) for name in ("scale", "translate", "units", "axis_labels")}
    info = {"name": f"{layer.name} SUV", "metadata": {KEY: about}, **place}
    return data, info | look("PET, SUV 0 to 6", data), "image"


def say_unit(layer: Any) -> None:  # noqa: ANN401 - a layer
    """Have napari's status bar say the unit after a layer's value."""
    if "get_status" in vars(layer):
        return
    plain = layer.get_status

    def with_unit(*where: Any, **how: Any) -> dict[str, str]:  # noqa: ANN401 - napari's
        status, unit = dict(plain(*where, **how)), unit_of(layer)
        if unit and status.get("value"):
            for name in ("value", "coordinates"):
                status[name] = f"{status[name]} {unit}"
        return status

    layer.get_status = with_unit
