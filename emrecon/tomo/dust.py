"""Values a hair below 0, as arithmetic in float32 and resampling leave them."""

from __future__ import annotations

import logging

import numpy as np

from emrecon.volume import Array

log = logging.getLogger(__name__)

SHARE = 1e-6
"""Most that dust lies below 0, as a share of the maximum: some roundings of float32."""

MU_SHARE = 1e-2
"""The same for attenuation maps, which resampling by splines has left with noise in air."""

COUNTS = frozenset({"prompts", "randoms", "scatter"})
"""What is counted: there dust may also lie below 0 by `SHARE` of one count."""


def without_dust(data: Array, name: str) -> tuple[Array, int]:
    """Return data with dust set to 0, and in how many places that was.

    Where anything lies farther below 0, or is not finite, the data come back as they are, for
    their checks to refuse.

    Parameters
    ----------
    data : ndarray of float32
        Values that should not be negative.
    name : str
        ``mu``, or the part of a `Scan` that they are.
    """
    least, most = float(np.min(data)), float(np.max(data))
    share = MU_SHARE if name == "mu" else SHARE
    limit = share * max(most, 1.0 if name in COUNTS else 0.0)
    if not 0.0 > least >= -limit:
        return data, 0
    places = int(np.count_nonzero(data < 0))
    log.warning("%s: %d values from %g to 0 are taken as 0", name, places, least)
    return np.maximum(data, np.float32(0)), places
