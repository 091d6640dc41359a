"""PETLINK list-mode to events: one pass over the words, and what is known about each pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emrecon.io.event_store import EventStore, building
from emrecon.io.petlink.header import ListmodeHeader, read_header, say_duration
from emrecon.io.petlink.sinograms import blocks, sinogram_rings
from emrecon.tomo.corrections.bin_shares import BinCorrections, Shares
from emrecon.tomo.corrections.map_place import events_survival
from emrecon.tomo.corrections.normalisation import find_live, known_gaps, live_pairs
from emrecon.tomo.corrections.randoms import singles
from emrecon.tomo.gates import When
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import crystal_centres, sum_over_pairs
from emrecon.tomo.geometry.events import CHUNK
from emrecon.tomo.listmode import EVERYTHING
from emrecon.tomo.listmode_scan import Coincidences, ListmodeScan
from emrecon.volume import Array, Volume

Floats = NDArray[np.float64]


@contextmanager
def reading(
    path: Path,
    span: int = 11,
    window_s: When = EVERYTHING,
    mu: Volume | None = None,
    in_bins: BinCorrections | None = None,
    keep: Path | None = None,
) -> Iterator[ListmodeScan]:
    """Give a list-mode file as events, each with the randoms and attenuation of its own pair.

    The events lie in a folder, memory-mapped, which is removed at the end.

    Parameters
    ----------
    path : Path
        The header, or the data file beside it.
    span : int, optional
        Axial compression of the bins that the sensitivity is summed in.
    window_s : tuple of float or Gate, optional
        Time in s at which to start, and before which to stop.
    mu : Volume, optional
        Attenuation map in 1/mm.
    in_bins : BinCorrections, optional
        Corrections in the bins of that span, looked up for each event.
    keep : Path, optional
        Where to leave the folder of events.

    Yields
    ------
    ListmodeScan
        The scan. Detectors that are dead take no part.

    Raises
    ------
    FormatError
        If header or words cannot be honoured, see `emrecon.io.petlink.sinograms.histogram`.
    """
    header = read_header(path)
    bins = header.bins(span)
    points = crystal_centres(header.scanner)
    with building(keep, points) as store:
        seen = _coincidences(header, window_s, store)
        delayed, prompt = seen.fans
        live = known_gaps(header.scanner)
        live &= find_live(prompt + delayed, header.scanner.block_crystals)
        total = float(delayed.sum()) / 2  # two ends an event
        shares = Shares(bins, live, in_bins) if in_bins else None
        rates = None
        if total and (in_bins is None or in_bins.own_randoms):
            rates = _rates(delayed, bins, header.max_ring_difference, live)
        expected = (0.0 if rates is None else total) + (shares.background_total if shares else 0.0)
        facts = {"duration_s": seen.duration_s, "background_total": expected}
        events = store.events(**facts)
        survival: Iterable[Array | np.float32] = repeat(np.float32(1))
        if mu is not None:
            survival = events_survival(mu, bins, events.subset(0, 1, CHUNK), lambda: expected)
        for survived, chunk in zip(survival, events.subset(0, 1, CHUNK), strict=False):
            factors, background = _known(chunk.pairs, live, rates, shares)
            store.add(factors=factors * survived)
            if expected:
                store.add(background=background)
        efficiency = shares.efficiency if shares else live_pairs(bins, live)
        about = header.facts | {
            "prompts": len(events),
            "delayeds": int(total),
            "dead_detectors": int(np.count_nonzero(~live)),
            "span": span,
        }
        yield ListmodeScan(store.events(**facts), bins, efficiency, mu, header.exam, about)


def _known(
    pairs: NDArray[np.unsignedinteger],
    live: NDArray[np.bool_],
    rates: Floats | None,
    shares: Shares | None,
) -> tuple[Array, Array]:
    """Return efficiency and background of pairs of detectors."""
    one, two = pairs.T
    factors = (live.ravel()[one] & live.ravel()[two]).astype(np.float32)
    background = np.zeros(len(pairs), np.float32)
    if rates is not None:
        background += rates.ravel()[one] * rates.ravel()[two]
    if shares is not None:
        efficiency, counts = shares.of(pairs)
        factors *= efficiency
        background += counts
    return factors, background


def _coincidences(header: ListmodeHeader, window_s: When, store: EventStore) -> Coincidences:
    """Put the prompts of a file into a store, and return what else was counted."""
    rings = sinogram_rings(header.scanner.rings, header.max_ring_difference)
    seen = Coincidences(header.scanner, header.count, rings, window_s, header.tag_ms)
    store.add(pairs=np.empty((0, 2), np.uint16))
    for words in blocks(header):
        store.add(pairs=seen.add(words))
        if seen.finished:
            break
    seen.check()
    say_duration(header, seen.duration_s, whole=window_s == EVERYTHING)
    return seen


def _rates(delayed: NDArray[np.int64], bins: Bins, most: int, live: NDArray[np.bool_]) -> Floats:
    """Return rates of single detectors whose products are the mean randoms of their pairs."""
    total = float(delayed.sum()) / 2
    if not total:
        return np.zeros(live.shape)
    rates = singles(delayed, bins, most, live)
    modelled = float(sum_over_pairs(bins, rates).sum(dtype=np.float64))
    return np.asarray(rates * np.sqrt(total / modelled), np.float64)
