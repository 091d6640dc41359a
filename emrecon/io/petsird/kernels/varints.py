"""Whole numbers of varying length (LEB128: seven bits a byte, lowest first), many at a time."""

from __future__ import annotations

import numba as nb
import numpy as np

TRUNCATED, TOO_LONG = -1, -2
"""What `decode` returns instead of a place: the data end, or a number has more than 64 bits."""


@nb.njit(cache=True, nogil=True)
def decode(data, at, out):
    """Fill `out` with numbers; return the place after the last, or why there is none.

    Parameters
    ----------
    data : uint8 (n,)
        Bytes.
    at : int
        Where the first number starts.
    out : uint64 (m,)
        Numbers.
    """
    size = data.size
    for k in range(out.size):
        if at >= size:
            return TRUNCATED
        byte = np.uint64(data[at])
        at += 1
        number = byte & np.uint64(127)
        shift = np.uint64(7)
        while byte > np.uint64(127):
            if at >= size:
                return TRUNCATED
            if shift > np.uint64(63):
                return TOO_LONG
            byte = np.uint64(data[at])
            at += 1
            if shift == np.uint64(63) and byte > np.uint64(1):
                return TOO_LONG
            number |= (byte & np.uint64(127)) << shift
            shift += np.uint64(7)
        out[k] = number
    return at


@nb.njit(cache=True, nogil=True)
def encode(numbers, out):
    """Write numbers; return how many bytes they took.

    Parameters
    ----------
    numbers : uint64 (m,)
        Numbers.
    out : uint8 (n,)
        Bytes, ten a number at most.
    """
    at = 0
    for k in range(numbers.size):
        number = numbers[k]
        while number > np.uint64(127):
            out[at] = np.uint8((number & np.uint64(127)) | np.uint64(128))
            number >>= np.uint64(7)
            at += 1
        out[at] = np.uint8(number)
        at += 1
    return at
