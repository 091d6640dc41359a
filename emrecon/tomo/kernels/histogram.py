"""Counting list-mode words into sinograms, and summing over the detector pairs of every bin.

Compiled inner loops without checks: callers (`emrecon.tomo.listmode`, `detectors`)
make sure that shapes and types fit.
"""

from __future__ import annotations

import numpy as np

from emrecon.compiled import kernel, share
from emrecon.tomo.gates import STEP_BACK_MS

# Places in the state that `count_words` carries from block to block.
NOW, FIRST, LAST, BACKWARDS, TIME_TAGS, OTHER_TAGS, OUT_OF_RANGE, DROPPED, FINISHED = range(9)
DELAYEDS, STEPS_BACK = 9, 10
STATE = 11
"""Length of the state."""


@kernel()
def count_words(words, window, ring1, ring2, plane, crystals, delayeds, prompts, fans, state):
    """Add the events among `words` to sinograms and fan sums.

    Parameters
    ----------
    words : uint32 (n,)
        PETLINK 32-bit words.
    window : int64 (2,)
        Time in ms at which to start counting, and before which to stop.
    ring1, ring2, plane : int32 (sinograms,)
        Rings of both ends, and the plane (-1: none) to count in, of every sinogram of the file.
    crystals : int
        Crystals a ring; the file has half as many views.
    delayeds, prompts : float32 (views, bins, planes)
        Counts; bins run against those of the file. Delayeds may be empty: then only their sum
        is counted.
    fans : int64 (2, crystals, rings)
        Counts of delayeds and of prompts that each crystal took part in.
    state : int64 (STATE,)
        Time and totals so far.
    """
    views, bins, _ = prompts.shape
    half = crystals // 2
    counting = state[NOW] >= window[0]
    keep = delayeds.size > 0
    for word in words:
        if word >> np.uint32(31):
            _count_tag(word, window, state)
            counting = state[NOW] >= window[0]
            if state[FINISHED]:
                return
        elif counting:
            kind = np.uint64(word >> np.uint32(30))
            sinogram, view, bin_ = _unpack(word & np.uint32(0x3FFFFFFF), bins, half)
            if sinogram >= np.uint64(plane.size):
                state[OUT_OF_RANGE] += 1
                continue
            end1, end2 = _ends(view, bin_, bins, half)
            fans[kind, end1, np.uint64(ring1[sinogram])] += 1
            fans[kind, end2, np.uint64(ring2[sinogram])] += 1
            target = plane[sinogram]
            mashed = _quotient(view * views, 1.0 / half)
            if target < 0:
                state[DROPPED] += 1
            elif kind:
                prompts[mashed, np.uint64(bin_), np.uint64(target)] += np.float32(1.0)
            else:
                state[DELAYEDS] += 1
                if keep:
                    delayeds[mashed, np.uint64(bin_), np.uint64(target)] += np.float32(1.0)


@kernel()
def _quotient(number, inverse):
    """Return a whole quotient, faster than by division: half a step away from any rounding."""
    return np.uint64((number + 0.5) * inverse)


@kernel()
def _unpack(address, bins, half):
    """Return the sinogram, view and bin of an address."""
    rest = np.int64(_quotient(np.int64(address), 1.0 / bins))
    sinogram = _quotient(rest, 1.0 / half)
    view = rest - np.int64(sinogram) * half
    return sinogram, view, bins - 1 - (np.int64(address) - rest * bins)


@kernel()
def _ends(view, bin_, bins, half):
    """Return the crystals at both ends: the rule of `emrecon.tomo.geometry.detectors`."""
    offset = bin_ - (bins - 1 - bins // 2)
    end1 = view + (offset >> 1)
    end2 = view - ((offset + 1) >> 1) + half
    if end1 < 0:
        end1 += 2 * half
    elif end1 >= 2 * half:
        end1 -= 2 * half
    if end2 < 0:
        end2 += 2 * half
    elif end2 >= 2 * half:
        end2 -= 2 * half
    return np.uint64(end1), np.uint64(end2)


@kernel()
def _count_tag(word, window, state):
    """Take note of a tag: the time, or anything else."""
    if word >> np.uint32(29) != np.uint32(4):
        state[OTHER_TAGS] += state[NOW] >= window[0]
        return
    now = np.int64(word & np.uint32(0x1FFFFFFF))
    if 0 < state[NOW] - now <= STEP_BACK_MS:
        state[STEPS_BACK] += 1
        now = state[NOW]
    state[BACKWARDS] += now < state[NOW]
    state[NOW] = now
    if now >= window[1]:
        state[FINISHED] = 1
    elif now >= window[0]:
        if state[TIME_TAGS] == 0:
            state[FIRST] = now
        state[LAST] = now
        state[TIME_TAGS] += 1


def sum_pairs(values, end1, end2, ring1, ring2, plane, along, across, out):
    """Set every bin of `out` to the sum over its detector pairs of the product of two values.

    Parameters
    ----------
    values : float32 (crystals, rings)
        Value of each crystal.
    end1, end2 : int32 (views, bins, mash)
        Crystals at both ends of a bin's lines.
    ring1, ring2, plane : int32 (ring pairs,)
        Rings at both ends, and the plane they belong to.
    along : float32 (ring pairs,)
        What the products of a ring pair are multiplied by.
    across : float32 (views, bins, mash)
        What the products of a pair of crystals are multiplied by.
    out : float32 (views, bins, planes)
        Result; each view is written by one thread alone.
    """
    share(_views, len(end1), values, end1, end2, ring1, ring2, plane, along, across, out)


@kernel()
def _views(begin, end, values, end1, end2, ring1, ring2, plane, along, across, out):
    """Set some of the views."""
    _, bins, mash = end1.shape
    for view in range(begin, end):
        for bin_ in range(bins):
            row = out[view, bin_]
            row[:] = np.float32(0.0)
            for m in range(mash):
                value1 = values[end1[view, bin_, m]]
                value2 = values[end2[view, bin_, m]]
                factor = across[view, bin_, m]
                for pair in range(plane.size):
                    product = value1[ring1[pair]] * value2[ring2[pair]]
                    row[plane[pair]] += product * (along[pair] * factor)
