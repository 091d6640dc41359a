"""Fan sums: what each detector of a ring scanner has to do with all its partners."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import GeometryError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.detectors import crystal_pairs, planes_of_rings, scanner_of
from emrecon.volume import Array

Floats = NDArray[np.float64]


class Fans:
    """Sums over the bins of every detector; the same bits with any number of threads.

    Parameters
    ----------
    bins : Bins
        Raw bins of all views of a ring scanner, of any span and mashing.
    """

    def __init__(self, bins: Bins) -> None:
        scanner = scanner_of(bins)
        self._shapes = bins.shape, (scanner.rings, scanner.crystals)
        end1, end2 = crystal_pairs(bins)
        view, at, _ = np.indices(end1.shape, np.int32)
        sides = [
            np.stack([view, at, other, np.full_like(view, end)], axis=-1).reshape(-1, 4)
            for end, other in ((0, end2), (1, end1))
        ]
        crystal = np.concatenate([end1.ravel(), end2.ravel()])
        order = np.argsort(crystal, kind="stable")
        self._places = np.ascontiguousarray(np.concatenate(sides)[order], np.int32)
        counts = np.bincount(crystal, minlength=scanner.crystals)
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        planes = planes_of_rings(bins)
        ring1, ring2 = np.nonzero(planes >= 0)
        self._rings = ring1.astype(np.int32), ring2.astype(np.int32), planes[ring1, ring2]

    def of(self, values: Floats, data: Array) -> Floats:
        """Return ``value_i sum_j value_j data(bin of i and j)`` of every detector i.

        Parameters
        ----------
        values : array
            A value for each detector, shape ``(rings, crystals)``.
        data : array
            A value for each bin.
        """
        from emrecon.tomo.kernels import fans  # noqa: PLC0415 - numba only when needed

        if (data.shape, values.shape) != self._shapes:
            raise GeometryError(
                f"data and values have shapes {data.shape} and {values.shape}, wanted "
                f"{self._shapes}"
            )
        out = np.empty(values.T.shape)
        fans.fan_sums(
            np.ascontiguousarray(values.T, np.float64), self._starts, self._places, *self._rings,
            np.ascontiguousarray(data, np.float32), out,
        )  # fmt: skip
        return np.ascontiguousarray(out.T)
