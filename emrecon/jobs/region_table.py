"""The table of regions of an image, and its text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from emrecon.brief import brief


@dataclass(frozen=True)
class RegionRow:
    """A region of an image."""

    label: int
    """Value in the label map."""

    name: str
    """What the label stands for; empty where nothing says so."""

    mean: float
    """Mean of the image, in its unit."""

    sd: float
    """Standard deviation over the region's voxels."""

    standard_error: float
    """Standard deviation of that mean from scan to scan; NaN where it was not wanted."""

    fwhm_mm: float
    """Width of the response to a point at the region's innermost voxel; NaN likewise, and where
    the image is 0."""

    volume_ml: float
    """Volume of the region's voxels."""

    unit: str
    """Of mean, standard deviation and standard error."""


@dataclass(frozen=True, eq=False)
class RegionTable:
    """The regions of an image, and where their standard errors come from."""

    rows: tuple[RegionRow, ...]
    """A row a label, in order."""

    facts: dict[str, Any]
    """Method, and what it came to, for the sidecar."""

    __repr__ = brief


def as_tsv(tables: Sequence[tuple[Mapping[str, Any], RegionTable]]) -> str:
    """Return tables as one text, with what tells them apart in columns before the others'."""
    return text_of([{**apart, **asdict(row)} for apart, one in tables for row in one.rows])


def columns_of(regions: RegionTable) -> dict[str, float]:
    """Return what a sweep shows of each region: contrast to the first one, and noise.

    Contrast is the mean over that of the first label, less 1; noise the standard deviation over
    the mean; both in percent.
    """
    first, shown = regions.rows[0].mean, {}
    for row in regions.rows:
        shown[f"contrast_percent_{row.label}"] = _percent(row.mean - first, first)
        shown[f"noise_percent_{row.label}"] = _percent(row.sd, row.mean)
    return shown


def _percent(one: float, other: float) -> float:
    return 100 * one / other if other else math.nan


def text_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of the same columns as the text of a table."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:  # noqa: ANN401 - a cell of a table
    """Return a value as tables of BIDS have it."""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else "n/a"
    return str(value) or "n/a"
