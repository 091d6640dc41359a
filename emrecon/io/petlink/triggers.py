"""Triggers of heartbeat and breathing among PETLINK words.

PETLINK 32-bit words (W. F. Jones, "Guideline to the PETLINK Proposal", revision J1, 2013, section
on gating; the same layout in hugolinder/odlpet ``format32.py``): with bits 31-27 equal 11100 a
word is about gating, and bits 26-24 tell its format. Format 0: bit 7 an R wave. Format 1: bit 15
an R wave; bits 14-12 the type, bits 9-0 its content: type 1 a breathing trigger (0 on, 1 off),
type 2 an R wave (0 primary, 1 secondary, 2 tertiary source), types 5 and 6 a phase or waveform of
breathing and heart, which are no triggers. A trigger has the time of the time tag before it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon.io.petlink.header import read_header
from emrecon.io.petlink.sinograms import blocks
from emrecon.tomo.gates import Clock, Times

log = logging.getLogger(__name__)

_ON, _R_WAVES = 0, (0, 1, 2)


def triggers(path: Path, source: str) -> tuple[Times, str]:
    """Return the times, in ms, of the triggers of a file, and what it has about gating in words.

    Parameters
    ----------
    path : Path
        The header.
    source : str
        ``respiratory`` or ``cardiac``.
    """
    clock, words, times = Clock(), [], []
    for block in blocks(read_header(path)):
        now, counts = clock.stretches(block)
        at = np.flatnonzero(block >> np.uint32(27) == 0b11100)
        stretch = np.searchsorted(np.cumsum(counts), at, side="right")
        words.append(block[at])
        times.append(now[stretch])
    word, time = np.concatenate(words), np.concatenate(times)
    about = f"it has {len(word)} words about gating"
    for number, chosen in enumerate(_breaths(word) if source == "respiratory" else _beats(word)):
        if chosen.any():
            if number:
                log.info("%s: %s triggers of source %d", path.name, source, number)
            return time[chosen], about
    return time[:0], about


def _breaths(words: NDArray[np.uint32]) -> list[NDArray[np.bool_]]:
    """Return which words about gating are breathing triggers."""
    type_, content = _fields(words)
    return [(type_ == 1) & (content == _ON)]


def _beats(words: NDArray[np.uint32]) -> list[NDArray[np.bool_]]:
    """Return which words about gating are R waves, by source, the one to prefer first."""
    format_ = words >> np.uint32(24) & np.uint32(7)
    type_, content = _fields(words)
    flag = np.where(format_ == 0, np.uint32(1 << 7), np.uint32(1 << 15))
    alone = (format_ <= 1) & (words & flag > 0)
    return [alone, *((type_ == 2) & (content == source) for source in _R_WAVES)]


def _fields(words: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return type and content of words of format 1; type 0 for those of other formats."""
    first = words >> np.uint32(24) & np.uint32(7) == 1
    type_ = np.where(first, words >> np.uint32(12) & np.uint32(7), 0)
    return type_.astype(np.int64), (words & np.uint32(0x3FF)).astype(np.int64)
