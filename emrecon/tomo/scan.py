"""A scan: what was counted, and everything known about how."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import DataError, GeometryError
from emrecon.tomo.dust import without_dust
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.collimator import Response
from emrecon.volume import Array, Volume

_BELOW = {
    "prompts": "counts that were corrected before are not Poisson: give the raw prompts, and the "
    "corrections as factors and backgrounds",
    "randoms": "they are mean counts, at least 0",
    "scatter": "it is mean counts, at least 0",
    "normalisation": "it is detection efficiency, at least 0",
    "attenuation": "it is survival probability, from 0 to 1",
}
"""What is wrong with negative values."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Counts in bins, with the corrections that make them quantitative.

    The model is ``prompts ~ Poisson(normalisation * attenuation * A x + randoms + scatter)``.
    Every array has the shape of `bins`; what is None is 1 for a factor and 0 for a background.
    With time of flight the prompts have one more axis in front. Factors are the same for all
    time-of-flight bins and do not have it; randoms and scatter may: without it, they are the
    counts of all time-of-flight bins together, spread evenly over them.
    In a gamma camera attenuation and resolution depend on depth: they are part of ``A``, from
    `mu` and `response`.

    Examples
    --------
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> scan = Scan(bins, np.ones(bins.shape, np.float32))
    >>> scan.with_(randoms=np.full(bins.shape, 0.1, np.float32)).randoms.shape
    (12, 17, 1)
    """

    bins: Bins | Camera
    """Where the counts lie."""

    prompts: Array
    """Measured coincidences, counts."""

    normalisation: Array | None = None
    """Detection efficiency; 0 marks a bin that is dead or missing."""

    attenuation: Array | None = None
    """Attenuation factors, survival probability between 0 and 1."""

    randoms: Array | None = None
    """Mean random coincidences in the bin as measured, counts."""

    scatter: Array | None = None
    """Mean scattered coincidences in the bin as measured, counts."""

    mu: Volume | None = None
    """Attenuation map in 1/mm, when attenuation is to be computed from it."""

    response: Response | None = None
    """How the resolution of a camera falls with distance; None for a perfect collimator."""

    duration_s: float | None = None
    """Length of the acquisition."""

    origin_mm: tuple[float, float, float] | None = None
    """Where the camera's own origin lies in the patient, RAS; None where that is not known."""

    origin_unknown: str = ""
    """Why nothing else in the patient can be placed about a camera; empty where it can."""

    exam: ExamInfo = field(default_factory=ExamInfo)
    """Isotope, energies, times and patient position."""

    facts: dict[str, Any] = field(default_factory=dict)
    """What the files said, in words and numbers for the sidecar; nothing is decided by them."""

    __repr__ = brief

    def __post_init__(self) -> None:
        for name in ("prompts", "normalisation", "attenuation", "randoms", "scatter"):
            data = getattr(self, name)
            if data is not None and data.shape not in self._shapes(name):
                raise GeometryError(
                    f"{name} has shape {data.shape}, but the scan's (views, bins, planes) are "
                    f"{' or '.join(map(str, self._shapes(name)))}"
                )
        if self.mu is not None and self.attenuation is not None:
            raise DataError("give attenuation factors or a mu-map, not both")
        camera = isinstance(self.bins, Camera)
        if camera and self.attenuation is not None:
            raise DataError(
                "photons of a bin of a gamma camera come from all depths and have no one "
                "attenuation factor: give a mu-map"
            )
        if self.response is not None and not camera:
            raise DataError("a collimator's response is for gamma cameras; use psf_fwhm_mm here")

    def _shapes(self, name: str) -> tuple[tuple[int, ...], ...]:
        """Return the shapes that a part may have."""
        if isinstance(self.bins, Camera) or self.bins.timing is None:
            return (self.bins.shape,)
        flat, timed = self.bins.shape, self.bins.data_shape
        if name == "prompts":
            return (timed,)
        return (flat, timed) if name in {"randoms", "scatter"} else (flat,)

    def with_(self, **parts: Any) -> Scan:  # noqa: ANN401 - any field
        """Return the same scan with some parts replaced."""
        return replace(self, **parts)

    def of_views(self, views: slice | NDArray[np.intp]) -> Scan:
        """Return some of the views, in the order given; without copies for a slice.

        Time-of-flight bins come before the views: their data are copied.
        """
        named = ("prompts", "normalisation", "attenuation", "randoms", "scatter")
        parts = {name: getattr(self, name) for name in named}
        chosen = {
            name: np.ascontiguousarray(data[..., views, :, :])
            for name, data in parts.items()
            if data is not None
        }
        numbers = np.arange(self.bins.shape[0])[views]
        return self.with_(bins=self.bins.of_views(numbers), **chosen)

    def background_totals(self) -> dict[str, float]:
        """Return the counts of each background, for the sidecar."""
        parts = {"randoms": self.randoms, "scatter": self.scatter}
        return {
            name: float(data.sum(dtype=np.float64))
            for name, data in parts.items()
            if data is not None
        }

    def folded(self) -> Scan:
        """Return the same model in fewer arrays, changing those of this scan in place.

        Attenuation is multiplied into the normalisation, and scatter added to the randoms. A full
        clinical sinogram takes 0.3 GB, so a job that has read the parts for itself saves two.
        This scan is not to be used afterwards.
        """
        parts: dict[str, Any] = {}
        if self.normalisation is not None and self.attenuation is not None:
            np.multiply(self.normalisation, self.attenuation, out=self.normalisation)
            parts["attenuation"] = None
        if self.randoms is not None and self.scatter is not None:
            parts["randoms"] = together(self.randoms, self.scatter)
            parts["scatter"] = None
        return replace(self, **parts)

    def without_dust(self) -> Scan:
        """Return the scan with dust set to 0, see `emrecon.tomo.dust`, counted in the facts."""
        changes, dust = {}, {}
        for name in _BELOW:
            data = getattr(self, name)
            clean, places = (data, 0) if data is None else without_dust(data, name)
            if places:
                changes[name], dust[name] = clean, places
        if not dust:
            return self
        return self.with_(**changes, facts=self.facts | {"dust_set_to_0": dust})

    def check(self) -> None:
        """Refuse values that no Poisson model can have produced.

        Raises
        ------
        DataError
            If any part has negative, infinite or NaN values.
        """
        for name, below in _BELOW.items():
            data = getattr(self, name)
            if data is None:
                continue
            low, high = float(np.min(data)), float(np.max(data))  # NaN makes both NaN
            if not np.isfinite(low + high):
                bad = int(np.count_nonzero(~np.isfinite(data)))
                raise DataError(f"{name} holds NaN or infinite values in {bad} bins")
            if low < 0:
                bad = int(np.count_nonzero(data < 0))
                raise DataError(f"{name} is negative in {bad} bins (least {low:g}); {below}")
        if self.attenuation is not None and float(np.max(self.attenuation)) > 1.0 + 1e-4:
            raise DataError(
                f"attenuation factors reach {float(np.max(self.attenuation)):g}; they are "
                "survival probabilities, at most 1 (correction factors are their inverse)"
            )


def together(one: Array, other: Array) -> Array:
    """Add two backgrounds, in place of the larger one; see `Scan` for their shapes."""
    large, small = (one, other) if one.ndim >= other.ndim else (other, one)
    if large.ndim == small.ndim:
        return np.add(large, small, out=large)
    share = np.float32(1 / len(large))
    for tof in range(len(large)):  # one at a time, to spare memory
        large[tof] += share * small
    return large
