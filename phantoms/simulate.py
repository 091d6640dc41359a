"""Scans of phantoms: what a scanner would count, with the truth beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emrecon.brief import brief
from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.scan import Scan, together
from emrecon.volume import Array, Grid, Volume
from phantoms.detection import Efficiencies, blurred
from phantoms.lines import line_integrals
from phantoms.phantom import Phantom


@dataclass(frozen=True, eq=False)
class Simulation:
    """A simulated scan, and everything that was known before it was counted.

    Examples
    --------
    >>> from phantoms.acquisition import Acquisition
    >>> from phantoms.cylinder import uniform_cylinder
    >>> made = Acquisition(scanner="tiny", counts=1e4).scan(uniform_cylinder(20.0, 20.0))
    >>> made.truth.unit, made.mean.shape == made.scan.prompts.shape
    ('counts/mm', True)
    """

    scan: Scan
    """The scan: counts, and the exact factors and mean backgrounds of its model."""

    truth: Volume
    """Activity in counts/mm: what a perfect reconstruction of the scan equals."""

    mu: Volume
    """Attenuation map, 1/mm."""

    labels: Volume
    """Label of every voxel's centre; names are in ``facts["labels"]``."""

    mean: Array
    """Model mean of the prompts, counts; of Monte Carlo, what was counted and mean randoms."""

    facts: dict[str, Any] = field(default_factory=dict)
    """Phantom, expected totals, counts/mm for one unit of the phantom's activity."""

    orders: dict[str, Array] = field(default_factory=dict)
    """Of Monte Carlo: trues, and single and multiple scatter as counted."""

    __repr__ = brief


def simulate(  # noqa: PLR0913 - each is one fact of the acquisition
    phantom: Phantom,
    bins: Bins,
    *,
    counts: float,
    rng: np.random.Generator,
    randoms_fraction: float = 0.0,
    scatter_fraction: float = 0.0,
    normalisation: Array | Efficiencies | None = None,
    attenuate: bool = True,
    noise: bool = True,
    resolution_mm: float = 0.0,
    grid: Grid | None = None,
) -> Simulation:
    """Count a phantom: ``Poisson(scale n a (exact line integrals) + randoms + scatter)``.

    Randoms are the same for every crystal pair, times its efficiency, and in every time-of-flight
    bin, if there are some. Scatter is a shape, not physics: the attenuated trues blurred widely
    along bins and planes, times the efficiency.

    Parameters
    ----------
    phantom : Phantom
        What is in the scanner.
    bins : Bins
        Where counts lie.
    counts : float
        Expected prompts in all bins together.
    rng : numpy.random.Generator
        Source of the efficiencies (first) and of the counts (then, view by view).
    randoms_fraction, scatter_fraction : float, optional
        Shares of the expected prompts.
    normalisation : ndarray or Efficiencies, optional
        Efficiency of every bin, shape ``bins.shape``, or how to draw it; 1 by default. Drawn
        ones count the crystal pairs of a bin, so that planes of more ring pairs hold more.
    attenuate : bool, optional
        Whether the phantom attenuates.
    noise : bool, optional
        Whether prompts are drawn; without, they are the mean.
    resolution_mm : float, optional
        FWHM of the blur by detectors in the middle, see `phantoms.detection.blurred`.
    grid : Grid, optional
        Voxels of the truth; ``bins.grid()`` by default.

    Raises
    ------
    SettingsError
        If counts or fractions make no sense.
    DataError
        If no bin sees the phantom.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-40, 41) * 3.0)
    >>> from phantoms.shepp_logan import shepp_logan
    >>> made = em.simulate(shepp_logan(), bins, counts=1e5, rng=np.random.default_rng(0))
    >>> made.scan.prompts.shape, made.truth.unit
    ((12, 81, 1), 'counts/mm')
    """
    trues_fraction = 1 - randoms_fraction - scatter_fraction
    if not (counts > 0 and trues_fraction > 0 and min(randoms_fraction, scatter_fraction) >= 0):
        raise SettingsError(
            f"counts are above zero, and the shares of randoms and scatter are not negative and "
            f"below 1 together, unlike {counts}, {randoms_fraction}, {scatter_fraction}"
        )
    efficiency = _efficiency(normalisation, bins, rng)
    trues = line_integrals(phantom.bodies, bins, phantom.activities)
    np.maximum(trues, 0, out=trues)  # rounding, where bodies cancel
    attenuation = attenuation_factors(phantom, bins) if attenuate else None
    _times(trues, attenuation)
    blurred(trues, bins, resolution_mm)
    scatter = scatter_shape(trues, bins) if scatter_fraction else None
    randoms = np.ones(bins.shape, np.float32) if randoms_fraction else None
    scale = _scaled(trues, efficiency, counts * trues_fraction)
    mean = trues
    for background, share in ((randoms, randoms_fraction), (scatter, scatter_fraction)):
        if background is not None:
            _scaled(background, efficiency, counts * share)
            mean = together(mean, background)
    facts = {
        "phantom": phantom.name,
        "labels": dict(phantom.labels),
        "expected_prompts": float(counts),
        "randoms_fraction": float(randoms_fraction),
        "scatter_fraction": float(scatter_fraction),
        "counts_per_mm_per_unit": scale,
        "activity_unit": phantom.unit,
    }
    prompts = drawn(mean, rng) if noise else mean.copy()
    scan = Scan(bins, prompts, efficiency, attenuation, randoms, scatter, facts=dict(facts))
    grid = bins.grid() if grid is None else grid
    activity = phantom.activity(grid)
    truth = Volume(activity.voxels * np.float32(scale), activity.affine, "counts/mm")
    return Simulation(scan, truth, phantom.mu_of_all(grid), phantom.label_map(grid), mean, facts)


def attenuation_factors(phantom: Phantom, bins: Bins) -> Array:
    """Return the survival probability ``exp(-integral of mu)`` along every line."""
    factors = line_integrals(phantom.bodies, bins.untimed, phantom.mus_per_mm)
    np.negative(factors, out=factors)
    np.minimum(factors, 0, out=factors)
    return np.exp(factors, out=factors)


def scatter_shape(trues: Array, bins: Bins) -> Array:
    """Return trues blurred along bins and planes, segment by segment: a shape like scatter's.

    Three running means each way make nearly a Gaussian, of a standard deviation of a third of
    the field of view's radius along bins, and a sixth of a segment along planes.
    """
    from scipy.ndimage import uniform_filter1d  # noqa: PLC0415 - not needed without scatter

    out = trues.copy()
    for view in out.reshape(-1, *bins.shape[1:]):
        for _ in range(3):
            width = _width(bins.fov_mm / bins.bin_mm / 3, view.shape[0])
            uniform_filter1d(view, width, axis=0, output=view, mode="nearest")
            for start, segment in zip(bins.offsets, bins.segments, strict=True):
                planes = view[:, start : start + segment.planes]
                width = _width(segment.planes / 6, segment.planes)
                uniform_filter1d(planes, width, axis=1, output=planes, mode="nearest")
    return np.maximum(out, 0, out=out)  # running means of zeros end a rounding below


def drawn(mean: Array, rng: np.random.Generator) -> Array:
    """Return Poisson draws of a mean, view by view to spare memory."""
    out = np.empty(mean.shape, np.float32)
    rows = mean.shape[-2:]
    for view, expected in zip(out.reshape(-1, *rows), mean.reshape(-1, *rows), strict=True):
        view[:] = rng.poisson(expected)
    return out


def rounded(mean: Array, rng: np.random.Generator) -> Array:
    """Return whole counts that follow a mean without noise: what is cut off goes to the next view.

    Over any run of views a bin's counts are within 1 of the sum of its means. Rounding each bin by
    itself would err alike in every view of an object that is round about the axis, and an error
    of 0.3 % that all views share is one of 3 % on the axis behind 100 mm of water. Where a bin's
    first count falls is drawn, so that no two bins round up in step.
    """
    out = np.empty(mean.shape, np.float32)
    passed = rng.random(mean.shape[1:])
    for view, expected in zip(out, mean, strict=True):
        passed += expected
        np.floor(passed, out=view, casting="same_kind")
        passed -= view
    return out


def _efficiency(
    normalisation: Array | Efficiencies | None, bins: Bins, rng: np.random.Generator
) -> Array | None:
    if isinstance(normalisation, Efficiencies):
        return normalisation.draw(bins, rng)
    if normalisation is not None and normalisation.shape != bins.shape:
        raise GeometryError(
            f"normalisation has shape {normalisation.shape}, the bins {bins.shape}"
        )
    return normalisation


def _times(data: Array, factor: Array | None) -> None:
    """Multiply in place."""
    if factor is not None:
        data *= factor


def _scaled(data: Array, efficiency: Array | None, total: float) -> float:
    """Multiply in place by the efficiency and by the number, returned, that gives this total."""
    _times(data, efficiency)
    counted = float(data.sum(dtype=np.float64))
    if not counted > 0:
        raise DataError("no bin sees the phantom: nothing to count where efficiency is above 0")
    data *= np.float32(total / counted)
    return total / counted


def _width(sigma: float, most: int) -> int:
    """Return the odd width of a running mean of which three make this standard deviation."""
    width = 2 * round((np.sqrt(4 * sigma**2 + 1) - 1) / 2) + 1
    return int(min(width, most))
