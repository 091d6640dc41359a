"""Singles of blocks of detectors among PETLINK words.

With the top three bits 101 a word tells how often a unit of blocks counted: bits 28-19 are the
number of the unit, bits 18-0 its singles a second, over the header's ``%singles scale factor``
(W. F. Jones, "Guideline to the PETLINK Proposal", section on dead time; the same layout in
hugolinder/odlpet ``format32.py`` and NiftyPET/NIPET ``hst.cu``). The 224 units of the mMR are two
blocks side by side each, 28 in a ring of blocks, around the ring first (NiftyPET/NIPET
``norm.cu``). Numbers beyond these occur, in UCL/STIR's ``small_listmode_file.l``, too: they are
of no unit, and passed over, as is a unit that tells of 0.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon.io.interfile.header import Header, normal, parse
from emrecon.io.petlink.header import ListmodeHeader, read_header
from emrecon.io.petlink.sinograms import blocks
from emrecon.tomo.gates import Clock, Gate, When
from emrecon.tomo.geometry.bins import Scanner
from emrecon.tomo.geometry.presets import MMR

log = logging.getLogger(__name__)

_SINGLES = 0b101

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """How the units that singles are told of lie in a scanner, in the file's own axes."""

    crystals: int
    """Crystals of a unit around the ring, those in the gaps between blocks too."""

    rings: int
    """Rings of a unit."""

    blocks: int
    """Blocks of a unit."""

    def count(self, scanner: Scanner) -> int:
        """Return how many there are."""
        return scanner.crystals // self.crystals * (scanner.rings // self.rings)

    def of_crystals(self, scanner: Scanner, singles: Floats) -> Floats:
        """Return the singles of a block for each crystal, shape ``(rings, crystals)``."""
        table = singles.reshape(-1, scanner.crystals // self.crystals) / self.blocks
        return np.repeat(np.repeat(table, self.rings, axis=0), self.crystals, axis=1)


UNITS = {MMR.name: Units(crystals=18, rings=8, blocks=2)}
"""Units of the scanners of which they are known."""


def block_singles(path: Path, window_s: When) -> Floats | None:
    """Return the singles a second of the block of each crystal, while a scan or a part of it ran.

    Parameters
    ----------
    path : Path
        The header.
    window_s : tuple of float or Gate
        What of the scan is meant. A unit that tells nothing in it has what it told at the time
        nearest to its middle.

    Returns
    -------
    array or None
        Shape ``(rings, crystals)``, in the file's own axes; None where the file does not tell
        them, or not of which detectors, which is logged.
    """
    header = read_header(path)
    units, scale = _described(header, parse(header.path))
    if units is None:
        return None
    times, unit, rate = _reports(header, units.count(header.scanner))
    told = np.unique(unit)
    if len(told) < units.count(header.scanner):
        log.log(
            logging.WARNING if told.size else logging.INFO,
            "%s tells the singles of %d of %d units of blocks: they are not used",
            path.name, len(told), units.count(header.scanner),
        )  # fmt: skip
        return None
    inside, middle = _inside(times, window_s)
    means = [_mean(rate[unit == n], times[unit == n], inside[unit == n], middle) for n in told]
    return units.of_crystals(header.scanner, np.array(means) * scale)


def _described(header: ListmodeHeader, text: Header) -> tuple[Units | None, float]:
    """Return the units that a header describes, and what their numbers are multiplied by."""
    keys = ("%total number of singles blocks", "%singles scale factor", "%singles polling method")
    if any(text.entry(key) is None for key in keys):
        return None, 0.0
    count, scale = text.integer(keys[0]), text.number(keys[1])
    units = UNITS.get(header.scanner.name)
    instant = normal(text.text(keys[2])) == "instantaneous"
    if units is None or units.count(header.scanner) != count or not (instant and scale > 0):
        log.info("%s: not known of which detectors its %d units are", header.path.name, count)
        return None, 0.0
    return units, scale


def _reports(
    header: ListmodeHeader, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return the time in ms, the unit and the number of all words about singles above 0."""
    clock, words, times = Clock(), [], []
    for block in blocks(header):
        now, counts = clock.stretches(block)
        at = np.flatnonzero(block >> np.uint32(29) == _SINGLES)
        words.append(block[at])
        times.append(now[np.searchsorted(np.cumsum(counts), at, side="right")])
    word, time = np.concatenate(words), np.concatenate(times)
    unit = (word >> np.uint32(19) & np.uint32(0x3FF)).astype(np.int64)
    rate = (word & np.uint32(0x7FFFF)).astype(np.float64)
    usable = (unit < count) & (rate > 0)
    return time[usable], unit[usable], rate[usable]


def _inside(times: NDArray[np.int64], window_s: When) -> tuple[NDArray[np.bool_], float]:
    """Return which times are meant, and the middle of what is, in ms."""
    if isinstance(window_s, Gate):
        edges = window_s.stretches_ms
        return window_s.holds(times), float(edges.mean()) if edges.size else 0.0
    start, stop = (1000 * edge for edge in window_s)
    last = min(stop, float(times.max(initial=0)) + 1)
    return (times >= start) & (times < stop), (start + last) / 2


def _mean(
    rate: Floats, times: NDArray[np.int64], inside: NDArray[np.bool_], middle: float
) -> float:
    """Return the mean of a unit's numbers that are meant, or that nearest to the middle."""
    if inside.any():
        return float(rate[inside].mean())
    return float(rate[np.argmin(np.abs(times - middle))])
