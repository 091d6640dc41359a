"""Colours of labels, the same in pictures, tables and napari."""

from __future__ import annotations

import colorsys

COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""Of the first labels: all eyes tell them apart (Okabe and Ito, Color Universal Design, 2008)."""


def label_colour(label: int) -> str:
    """Return the colour of a label from 1 on, different from those of the labels beside it.

    Examples
    --------
    >>> label_colour(1), label_colour(8)
    ('#56b4e9', '#79dc74')
    """
    number = label - 1
    if 0 <= number < len(COLOURS):
        return COLOURS[number]
    lightness, saturation = ((0.42, 0.85), (0.66, 0.6), (0.3, 0.7))[number % 3]
    shares = colorsys.hls_to_rgb((number * 0.618034) % 1, lightness, saturation)
    return "#" + "".join(f"{round(255 * share):02x}" for share in shares)
