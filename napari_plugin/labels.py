"""Label maps: names and colours, from the files beside them."""

from __future__ import annotations

import csv
import logging
import re
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.files import read_text
from emrecon.io import sidecar
from emrecon.io.pictures.colours import label_colour
from napari_plugin.layers import Info

log = logging.getLogger(__name__)

ABSENT = "n/a"
"""What BIDS tables hold where there is no value."""

_HEX = re.compile("#[0-9A-Fa-f]{6}")


def label_info(path: Path, data: Any) -> Info:  # noqa: ANN401 - array
    """Return names and colours of a label map as a napari Labels layer takes them.

    Parameters
    ----------
    path : Path
        The label map; beside it a BIDS table (``.tsv``: index, name, color) or emrecon's JSON.
    data : array
        The labels; every one there is, or is named, is given a colour.
    """
    names, colours = _table(path)
    names = names or sidecar.label_names(path)
    there = {int(value) for value in np.unique(np.asarray(data))}
    return named(names, sorted((there | set(names)) - {0}), colours)


def named(names: dict[int, str], labels: list[int], colours: dict[int, str] | None = None) -> Info:
    """Return colours and names for labels above 0, as a napari Labels layer takes them."""
    from napari.utils.colormaps import DirectLabelColormap  # noqa: PLC0415 - heavy

    chosen: dict[int | None, str] = {
        label: (colours or {}).get(label, label_colour(place))
        for place, label in enumerate(labels, 1)
    }
    table: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    table.update(chosen)
    index = [0, *labels]
    features = {"index": index, "name": ["", *(names.get(n, f"label {n}") for n in labels)]}
    return {"colormap": DirectLabelColormap(color_dict=table), "features": features}


def _table(path: Path) -> tuple[dict[int, str], dict[int, str]]:
    """Return names and colours from the BIDS table beside a label map; it is optional."""
    file = sidecar.beside(path, ".tsv")
    if not file.exists():
        return {}, {}
    try:
        rows = list(csv.DictReader(StringIO(read_text(file), newline=""), delimiter="\t"))
        indexed = {int(row["index"]): row for row in rows}
    except (ValueError, KeyError, TypeError, OSError, csv.Error) as error:
        log.warning("%s is no table of index, name and color, and is ignored: %r", file, error)
        return {}, {}
    names = {index: row.get("name") or ABSENT for index, row in indexed.items()}
    colours = {index: row.get("color") or ABSENT for index, row in indexed.items()}
    if unread := sorted(
        {text for text in colours.values() if not _HEX.fullmatch(text)} - {ABSENT}
    ):
        log.warning("%s: %s is no colour such as #ff0000, and is ignored", file, unread[0])
    return (
        {index: name for index, name in names.items() if name != ABSENT},
        {index: text for index, text in colours.items() if _HEX.fullmatch(text)},
    )
