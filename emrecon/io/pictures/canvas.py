"""A page of panels as a PNG: headings, border letters, scale bar, colour bar, legend.

Nothing here knows volumes; see `preview`. Import it only to draw: it needs Pillow.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from emrecon.files import replacing

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]

MARGIN = 40
GAP = 28
LETTERS = 28
"""Room on each side of a panel for its letter."""

_TITLE, _HEADING, _SMALL = 30, 20, 17
_ABOVE = _HEADING + 12 + LETTERS
_LEAST_WIDTH = 760
_BAR_WIDTH = 18
_NEAREST_LETTERS = str.maketrans(
    {
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{GREATER-THAN OR EQUAL TO}": ">=",
        "\N{LESS-THAN OR EQUAL TO}": "<=",
        "\N{GREEK SMALL LETTER BETA}": "beta",
        "\N{GREEK SMALL LETTER SIGMA}": "sigma",
    }
)


@dataclass(frozen=True)
class Panel:
    """One picture with what is written around it."""

    heading: str
    """Written above."""

    pixels: Pixels
    """Colours, shape ``(height, width, 3)``."""

    letters: str
    """Where the left, right, top and bottom border lie, one letter each."""


@dataclass(frozen=True)
class Bar:
    """What the greys mean."""

    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Page:
    """All that is on one picture, from top to bottom."""

    title: str
    notes: Sequence[str]
    """Facts in small print under the title."""

    rows: Sequence[Sequence[Panel]]
    pixels_per_mm: float
    """Scale of every panel."""

    footer: str
    """Small print beside the scale bar."""

    bar: Bar | None = None
    inverted: bool = True
    """Whether low is white, on a white page; else low is black, on a dark page."""

    legend: Sequence[tuple[Colour, str]] = field(default=())
    """Colour and name of each label."""

    @property
    def colours(self) -> tuple[Colour, Colour, Colour, Colour]:
        """Return paper, ink, faint ink and hairline."""
        if self.inverted:
            return (255, 255, 255), (24, 30, 42), (104, 112, 124), (200, 205, 212)
        return (18, 20, 24), (236, 238, 241), (150, 156, 166), (70, 76, 86)


def write(page: Page, path: Path) -> None:
    """Write the page as PNG, whole or not at all."""
    image = draw(page)
    if not page.legend and all(map(_grey, itertools.chain(*page.rows))):
        image = image.convert("L")  # a third of the bytes; only the ink loses its tint
    with replacing(path) as beside:
        image.save(beside, format="PNG", compress_level=1)


def _grey(panel: Panel) -> bool:
    """Return whether a panel has no colours."""
    red, green, blue = np.moveaxis(panel.pixels, -1, 0)
    return np.array_equal(red, green) and np.array_equal(red, blue)


def resized(plane: NDArray[np.floating], size: tuple[int, int], *, smooth: bool) -> Pixels:
    """Return 0 ... 1 values as greys 0 ... 255 of another size, ``(width, height)``."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    method = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    greys = np.asarray(image.resize(size, method))
    clipped: Pixels = np.rint(255 * np.clip(greys, 0, 1)).astype(np.uint8)
    return clipped


def draw(page: Page) -> Image.Image:
    """Return the page."""
    columns = [max(map(_needed, column)) for column in zip(*page.rows, strict=True)]
    heights = [max(p.pixels.shape[0] for p in row) + _ABOVE + LETTERS for row in page.rows]
    grid = sum(columns) + GAP * (len(columns) - 1)
    width = max(_LEAST_WIDTH, grid + GAP + _bar_width(page.bar))
    title = _wrapped(page.title, _TITLE, width)
    notes = _wrapped("  ·  ".join(page.notes), _SMALL, width)
    footer = _wrapped(page.footer, _SMALL, width)
    across = _legend_columns(page.legend, width)
    top = MARGIN + len(title) * _line(_TITLE) + len(notes) * _line(_SMALL) + 14
    under = top + sum(heights) + GAP * len(heights)
    names = under + 36 + len(footer) * _line(_SMALL) + 10
    bottom = names + math.ceil(len(page.legend) / across) * _line(_SMALL)
    paper, ink, faint, _ = page.colours
    image = Image.new("RGB", (width + 2 * MARGIN, bottom + MARGIN - 14), paper)
    y = _text(image, title, _TITLE, ink, MARGIN)
    _text(image, notes, _SMALL, faint, y)
    _panels(image, page, top, (columns, heights))
    if page.bar:
        span = (top + _ABOVE, under - GAP - LETTERS)
        _colour_bar(image, page, page.bar, (MARGIN + grid + GAP, *span))
    _scale_bar(image, page, under, columns[0])
    _text(image, footer, _SMALL, faint, under + 36)
    _legend(image, page, names, (across, width // across))
    return image


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return four to nine round values from low to high, with their text."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min(
        (1.0, 2.0, 5.0, 10.0), key=lambda factor: abs(math.log(factor * power / rough))
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(n * step, f"{n * step:.6g}") for n in range(first, last + 1)]


def _panels(
    image: Image.Image, page: Page, top: int, sizes: tuple[Sequence[int], Sequence[int]]
) -> None:
    """Draw all panels, each in the middle of its column and row."""
    y = top
    for row, height in zip(page.rows, sizes[1], strict=True):
        x = MARGIN
        for panel, column in zip(row, sizes[0], strict=True):
            _panel(image, page, panel, (x, y, column, height))
            x += column + GAP
        y += height + GAP


def _panel(image: Image.Image, page: Page, panel: Panel, box: tuple[int, int, int, int]) -> None:
    """Draw a panel in the middle of its box (left, top, width, height)."""
    left, top, column, room = box
    height, width = panel.pixels.shape[:2]
    x = left + (column - width) // 2
    y = top + _ABOVE + (room - _ABOVE - LETTERS - height) // 2
    image.paste(Image.fromarray(panel.pixels), (x, y))
    _, ink, faint, hairline = page.colours
    pen = ImageDraw.Draw(image)
    pen.rectangle((x - 1, y - 1, x + width, y + height), outline=hairline)
    pen.text((left + column // 2, top), _plain(panel.heading), ink, _font(_HEADING), anchor="ma")
    half = LETTERS // 2 + 1
    places = (
        (x - half, y + height // 2),
        (x + width + half, y + height // 2),
        (x + width // 2, y - half),
        (x + width // 2, y + height + half),
    )
    for letter, place in zip(panel.letters, places, strict=True):
        pen.text(place, letter, faint, _font(_HEADING), anchor="mm")


def _colour_bar(image: Image.Image, page: Page, bar: Bar, place: tuple[int, int, int]) -> None:
    """Draw the greys from low to high with ticks, at x between top and bottom."""
    x, top, bottom = place
    _, ink, faint, hairline = page.colours
    bottom = min(bottom, top + 420)
    ramp = np.linspace(0, 255, bottom - top)
    greys = ramp if page.inverted else ramp[::-1]
    strip = np.repeat(np.rint(greys).astype(np.uint8)[:, None], _BAR_WIDTH, axis=1)
    image.paste(Image.fromarray(strip).convert("RGB"), (x, top))
    pen = ImageDraw.Draw(image)
    pen.rectangle((x - 1, top - 1, x + _BAR_WIDTH, bottom), outline=hairline)
    pen.text((x, top - 12), _plain(bar.unit), ink, _font(_HEADING), anchor="ld")
    for value, text in ticks(bar.low, bar.high):
        y = bottom - 1 - round((value - bar.low) / (bar.high - bar.low) * (bottom - top - 1))
        pen.line((x + _BAR_WIDTH + 1, y, x + _BAR_WIDTH + 6, y), faint)
        pen.text((x + _BAR_WIDTH + 11, y), text, faint, _font(_SMALL), anchor="lm")


def _scale_bar(image: Image.Image, page: Page, y: int, room: int) -> None:
    """Draw 5 cm, or the longest round length that fits a smaller picture."""
    ink = page.colours[1]
    lengths = (50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1)
    length = next((mm for mm in lengths if mm * page.pixels_per_mm <= room), lengths[-1])
    end = MARGIN + round(length * page.pixels_per_mm)
    pen = ImageDraw.Draw(image)
    pen.rectangle((MARGIN, y + 9, end - 1, y + 11), ink)
    for x in (MARGIN, end - 2):
        pen.rectangle((x, y + 4, x + 1, y + 16), ink)
    text = f"{length / 10:g} cm" if length >= 10 else f"{length:g} mm"
    pen.text((end + 12, y + 10), text, ink, _font(_HEADING), anchor="lm")


def _legend(image: Image.Image, page: Page, y: int, columns: tuple[int, int]) -> None:
    """Draw swatches and names in so many columns of so many pixels."""
    _, ink, _, hairline = page.colours
    pen = ImageDraw.Draw(image)
    across, width = columns
    for number, (colour, name) in enumerate(page.legend):
        row, column = divmod(number, across)
        x, middle = MARGIN + column * width, y + row * _line(_SMALL) + _line(_SMALL) // 2
        pen.rectangle((x, middle - 7, x + 20, middle + 7), colour, hairline)
        pen.text((x + 28, middle), _plain(name), ink, _font(_SMALL), anchor="lm")


def _text(image: Image.Image, lines: Sequence[str], size: int, ink: Colour, y: int) -> int:
    """Write lines at the left margin and return where the next would go."""
    pen = ImageDraw.Draw(image)
    for line in lines:
        pen.text((MARGIN, y), line, ink, _font(size), anchor="la")
        y += _line(size)
    return y


def _needed(panel: Panel) -> int:
    """Return the width of a panel with its letters and heading."""
    return max(len(panel.pixels[0]) + 2 * LETTERS, _width(panel.heading, _HEADING))


def _bar_width(bar: Bar | None) -> int:
    """Return the width of the colour bar with its text."""
    if bar is None:
        return 0
    texts = max(_width(text, _SMALL) for _, text in ticks(bar.low, bar.high))
    return max(_BAR_WIDTH + 14 + texts, _width(bar.unit, _HEADING))


def _legend_columns(legend: Sequence[tuple[Colour, str]], width: int) -> int:
    """Return how many names fit side by side."""
    widest = max((_width(name, _SMALL) for _, name in legend), default=0)
    return max(1, width // (widest + 28 + 24))


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Return the text in lines that fit, broken at spaces, or inside a word that is too long."""
    lines: list[str] = []
    line = ""
    for word in _plain(text).split(" "):
        if line and _width(f"{line} {word}", size) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        while _width(line, size) > width:
            fits = next(n for n in range(len(line) - 1, 0, -1) if _width(line[:n], size) <= width)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line else lines


def _plain(text: str) -> str:
    """Return the text in letters that the built-in font has."""
    parts = unicodedata.normalize("NFKD", " ".join(text.split())).translate(_NEAREST_LETTERS)
    kept = (c for c in parts if not unicodedata.combining(c))
    return "".join(c if c.isascii() or c in "·°±" else "?" for c in kept)


def _width(text: str, size: int) -> int:
    """Return how wide a text comes out."""
    return math.ceil(_font(size).getlength(_plain(text)))


def _line(size: int) -> int:
    """Return the distance between two lines of text."""
    return round(1.45 * size)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the built-in font, the same on every machine."""
    return ImageFont.load_default(size)
