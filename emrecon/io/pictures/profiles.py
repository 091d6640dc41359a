"""Charts of a few lines each, one below the other, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emrecon.files import replacing

if TYPE_CHECKING:
    from PIL import ImageDraw

Floats = NDArray[np.float64]

_WIDE, _HIGH, _LEFT, _RIGHT, _TOP, _FOOT = 900, 300, 90, 30, 58, 34
_COLOURS = ((110, 110, 110), (86, 180, 233), (230, 159, 0), (0, 114, 178))
_DECADES = 4.0


@dataclass(frozen=True, eq=False)
class Line:
    """Values side by side."""

    name: str
    """For the legend."""

    values: Floats
    """One a place, equally spaced."""

    colour: int
    """Which of four it has: the same in all charts that show the same."""


@dataclass(frozen=True, eq=False)
class Chart:
    """Lines over the same places."""

    title: str
    """What the places are."""

    lines: Sequence[Line]
    """Lines of equal length."""

    logarithmic: bool = False
    """Whether decades down to the least value, at most four, are shown instead of all from 0."""


def charts(some: Sequence[Chart], path: Path, *, title: str = "") -> None:
    """Write charts one below the other as PNG.

    Parameters
    ----------
    some : sequence of Chart
        What is drawn, from top to bottom.
    path : Path
        Where to.
    title : str, optional
        What all of it shows.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    from PIL import Image, ImageDraw  # noqa: PLC0415 - only to draw

    image = Image.new("RGB", (_WIDE, _HIGH * len(some)), "white")
    draw = ImageDraw.Draw(image)
    for number, chart in enumerate(some):
        name = f"{title}: {chart.title}" if title else chart.title
        _chart(draw, chart, name, number * _HIGH)
    with replacing(path) as beside:
        image.save(beside, format="PNG")


def _chart(draw: ImageDraw.ImageDraw, chart: Chart, name: str, above: int) -> None:
    """Draw one chart below a height."""
    from PIL import ImageFont  # noqa: PLC0415 - only to draw

    font = ImageFont.load_default(15)
    every = np.concatenate([line.values for line in chart.lines])
    top = float(max(1e-12, every.max()))
    least = float(every[every > 0].min(initial=top))
    decades = min(_DECADES, max(1.0, np.ceil(np.log10(top / least))))
    floor, room = above + _HIGH - _FOOT, _HIGH - _FOOT - _TOP
    count = len(chart.lines[0].values)
    across = _LEFT + (np.arange(count) + 0.5) * (_WIDE - _LEFT - _RIGHT) / count

    def share(values: Floats) -> Floats:
        if not chart.logarithmic:
            return np.asarray(np.clip(values / top, 0, 1))
        return np.asarray(1 + np.log10(np.maximum(values / top, 10**-decades)) / decades)

    marks = 10.0 ** -np.arange(decades + 1) if chart.logarithmic else np.linspace(0, 1, 5)
    for mark in marks * top:
        y = floor - room * float(share(np.array([mark]))[0])
        draw.line([(_LEFT, y), (_WIDE - _RIGHT, y)], fill=(225, 225, 225))
        draw.text((_LEFT - 8, y), f"{mark:.3g}", "black", font, anchor="rm")
    for line in chart.lines:
        heights = floor - room * share(line.values)
        places = [(float(x), float(y)) for x, y in zip(across, heights, strict=True)]
        draw.line(places, fill=_COLOURS[line.colour], width=2)
    for place in range(0, count, max(1, round((count - 1) / 5))):
        draw.text((float(across[place]), floor + 6), str(place), "black", font, anchor="ma")
    draw.text((_LEFT, above + 10), name, "black", font)
    x = float(_LEFT)
    for line in chart.lines:
        draw.text((x, above + 32), line.name, _COLOURS[line.colour], font)
        x += draw.textlength(line.name, font) + 24
