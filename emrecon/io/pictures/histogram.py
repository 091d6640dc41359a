"""A picture of intensities and the classes that explain them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon.files import replacing
from emrecon.io.pictures.colours import label_colour

Floats = NDArray[np.float64]

_WIDE, _HIGH, _LEFT, _TOP, _FOOT = 900, 480, 30, 50, 60


@dataclass(frozen=True, eq=False)
class Curve:
    """A density to be drawn over the histogram."""

    name: str
    """For the legend."""

    values: Floats
    """Density at each bin, on the scale of the counts."""


def histogram(
    edges: Floats, counts: Floats, curves: Sequence[Curve], path: Path, *, title: str = ""
) -> None:
    """Write a histogram, the densities of classes over it, and their sum in black, as PNG.

    Parameters
    ----------
    edges : array, shape (b + 1,)
        Of the bins.
    counts : array, shape (b,)
        Voxels in each bin.
    curves : sequence of Curve
        One a class.
    path : Path
        Where to.
    title : str, optional
        What it shows.

    Raises
    ------
    WriteError
        If the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - only to draw

    image = Image.new("RGB", (_WIDE, _HIGH), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(15)
    total = np.sum([curve.values for curve in curves], axis=0)
    top = float(max(counts.max(), total.max(), 1e-12))
    across = _LEFT + (np.arange(len(counts)) + 0.5) * (_WIDE - 2 * _LEFT) / len(counts)
    floor = _HIGH - _FOOT

    def heights(values: Floats) -> list[tuple[float, float]]:
        rise = floor - (floor - _TOP) * values / top
        return [(float(x), float(y)) for x, y in zip(across, rise, strict=True)]

    outline = [(across[0], floor), *heights(counts), (across[-1], floor)]
    draw.polygon(outline, fill=(215, 215, 215))
    for n, curve in enumerate(curves):
        draw.line(heights(curve.values), fill=label_colour(n + 1), width=3)
        draw.text((_LEFT + 90 * n, _HIGH - 26), curve.name, label_colour(n + 1), font)
    draw.line(heights(total), fill="black", width=1)
    draw.line([(_LEFT, floor), (_WIDE - _LEFT, floor)], fill="black")
    for share in np.linspace(0, 1, 6):
        x = _LEFT + share * (_WIDE - 2 * _LEFT)
        value = edges[0] + share * (edges[-1] - edges[0])
        draw.text((x, floor + 6), f"{value:.4g}", "black", font, anchor="ma")
    draw.text((_LEFT, 14), title, "black", font)
    with replacing(path) as beside:
        image.save(beside, format="PNG")
