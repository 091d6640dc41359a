"""Files that lost, gained or changed some bytes."""

from __future__ import annotations

import numpy as np


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut out, double or blank some bytes, a few times."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at, length = int(rng.integers(len(found))), int(rng.integers(1, 9))
        match rng.integers(4):
            case 0:
                found[at] ^= 1 << int(rng.integers(8))
            case 1:
                del found[at : at + length]
            case 2:
                found[at:at] = rng.bytes(length)
            case _:
                found[at : at + length] = bytes(length)
    return bytes(found)
