"""Label maps: names and colours, from the files beside them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from emrecon.errors import FormatError
from emrecon.io import sidecar
from napari_plugin.layers import Info

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Colours that all eyes tell apart (Okabe and Ito, Color Universal Design, 2008)."""


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
        label: (colours or {}).get(label, COLOURS[place % len(COLOURS)])
        for place, label in enumerate(labels)
    }
    table: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    table.update(chosen)
    index = [0, *labels]
    features = {"index": index, "name": ["", *(names.get(n, f"label {n}") for n in labels)]}
    return {"colormap": DirectLabelColormap(color_dict=table), "features": features}


def _table(path: Path) -> tuple[dict[int, str], dict[int, str]]:
    """Return names and colours from the BIDS table beside a label map, if there is one."""
    file = sidecar.beside(path, ".tsv")
    if not file.exists():
        return {}, {}
    try:
        with file.open(encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text, delimiter="\t"))
        names = {int(row["index"]): str(row["name"]) for row in rows}
        colours = {int(row["index"]): row["color"] for row in rows if row.get("color")}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise FormatError(f"{file} is no table of index, name and color: {error!r}") from error
    return names, colours
