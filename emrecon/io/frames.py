"""Frames of a dynamic scan: a list that was typed, or a file in the way of BIDS."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emrecon.errors import FormatError, SettingsError
from emrecon.files import read_text
from emrecon.tomo.corrections.decay import earlier_over_later, start_over_mean

STARTS, DURATIONS = "FrameTimesStart", "FrameDuration"
"""The names that BIDS has for the times of frames, in s."""


@dataclass(frozen=True)
class Frame:
    """A stretch of a scan."""

    start_s: float
    """Time from the start of the scan to that of the frame."""

    duration_s: float
    """Length of the frame."""

    @property
    def window_s(self) -> tuple[float, float]:
        """Start and end."""
        return self.start_s, self.start_s + self.duration_s

    def decay_factor(self, half_life_s: float) -> float:
        """Return the activity at the start of the scan over its mean during the frame."""
        before = earlier_over_later(half_life_s, self.start_s)
        return before * start_over_mean(half_life_s, self.duration_s)


def read_frames(text: str) -> tuple[Frame, ...]:
    """Return frames from ``start:duration,start:duration,...`` in s, or from a file.

    A file is a BIDS sidecar (.json) or a table (.tsv) with FrameTimesStart and FrameDuration.

    Raises
    ------
    SettingsError
        If frames overlap, have no length, or are not told so.
    FormatError
        If a file cannot be read as frames.
    """
    if text.lower().endswith((".json", ".tsv")):
        starts, durations = _of_file(Path(text))
    else:
        starts, durations = _of_list(text)
    frames = tuple(Frame(*times) for times in zip(starts, durations, strict=True))
    if not frames:
        raise SettingsError("there are no frames")
    end = 0.0
    for number, frame in enumerate(frames, 1):
        if not (frame.duration_s > 0 and math.isfinite(sum(frame.window_s))):
            raise SettingsError(f"frame {number} lasts {frame.duration_s:g} s: wanted above 0")
        if frame.start_s < end - 1e-6:
            raise SettingsError(
                f"frame {number} starts at {frame.start_s:g} s, before {end:g} s: frames follow "
                "one another, from 0 s on, each as start:duration"
            )
        end = frame.window_s[1]
    return frames


def _of_list(text: str) -> tuple[list[float], list[float]]:
    try:
        pairs = [[float(time) for time in item.split(":")] for item in text.split(",")]
        starts, durations = zip(*((start, duration) for start, duration in pairs), strict=True)
    except ValueError as error:
        raise SettingsError(
            f"frames are start:duration,start:duration,... in s, such as 0:60,60:120, or a .json "
            f"or .tsv file, not {text!r}"
        ) from error
    return list(starts), list(durations)


def _of_file(path: Path) -> tuple[list[float], list[float]]:
    try:
        text = read_text(path)
        if path.suffix.lower() == ".json":
            table = json.loads(text)
            columns: list[Sequence[object]] = [table[STARTS], table[DURATIONS]]
        else:
            rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
            columns = [[row[name] for row in rows] for name in (STARTS, DURATIONS)]
        starts, durations = ([float(str(value)) for value in column] for column in columns)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{path} does not tell frames by {STARTS} and {DURATIONS}: {error!r}"
        ) from error
    if len(starts) != len(durations):
        raise FormatError(f"{path} has {len(starts)} {STARTS} for {len(durations)} {DURATIONS}")
    return starts, durations
