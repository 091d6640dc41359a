"""Scatter and image in turns: each is worked out of the other until the scatter stands still."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.em import last, until
from emrecon.errors import DataError, SettingsError
from emrecon.tomo.corrections import attenuation
from emrecon.tomo.corrections.scatter_fit import TailFit, tail_fit
from emrecon.tomo.corrections.scatter_model import PairScatter, ScatterModel
from emrecon.tomo.corrections.scatter_sampling import CoarseScatter
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.energy import LUTETIUM, EnergyWindow
from emrecon.tomo.geometry.pairs import Pairs
from emrecon.tomo.inputs import NO_MAP
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.prepare import prepare
from emrecon.tomo.scan import Scan
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import Progress, silent
from emrecon.volume import Array, Grid, Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

ENOUGH = 0.01
"""Relative change of the scatter at which the turns end."""

LEAST_VIEWS = 48
"""Views that the images on the way are made of at least: those of twice as many or more are summed
to that number. As many chosen among 288 of the HR+ have a sixth of the counts, and scatter of 1e5
was up to 3 % off, where that of all counts is within 0.7 %."""

FIRST_UPDATES, UPDATES = 6, 16
"""Updates that the first image, whose scatter is wrong anyhow, and each other one are made of at
least: with 6 a brain scatters 3 % less."""

FIRST_POINTS, FIRST_CHAINS = 300, 600
"""Scatter points of the first image and chains of its multiple scatter, which have only to be
nearly right."""

SUBSETS = 7
"""Subsets of the images on the way at most."""

VOXELS, OF_THIN = 20.0, 40.0
"""Voxels in the radius of the body of the images on the way, if bins are no larger, and of all but
the first of activity as thin as a line: larger ones leave 6 % of its scatter out in the HR+."""

LONG = 4.0
"""Length along the axis of the voxels of thin activity over their width: as many as there are
without, of few counts each, take chance for activity, as none of them can be below 0."""


@dataclass(frozen=True, eq=False)
class ScatterEstimate:
    """The scatter of a scan, and what led to it."""

    scatter: Array
    """Mean scatter in each bin, counts; of single events that of each event's pair."""

    facts: dict[str, Any]
    """Figures for the sidecar."""

    profiles: dict[str, tuple[Floats, Floats]]
    """Counts by plane of the direct planes, and by bin, of prompts, randoms and scatter before and
    after the fit; of single events along the axis, and by distance from it."""

    total: float
    """Scatter of all bins, or pairs, together."""

    attenuation: Array | None = None
    """Attenuation factors of the bins, which were needed on the way."""

    fit: TailFit | None = None
    """How it was scaled to the tails of the prompts."""

    coarse: CoarseScatter | None = None
    """What it can be filled in from again; of an image, nothing."""


def window_of(
    bins: Bins | Pairs | Camera | None, exam: ExamInfo, window_kev: tuple[float, ...] = (),
    resolution: float = 0.0,
) -> EnergyWindow:  # fmt: skip
    """Return the energies that a scan counts: as chosen, as its file says, or as is usual.

    Raises
    ------
    SettingsError
        If window or resolution are not known.
    """
    scanner = bins.scanner if isinstance(bins, Bins) else None
    usual = scanner.energy if scanner else None
    limits = window_kev or exam.window_kev or (usual and (usual.low_kev, usual.high_kev))
    known = exam.energy_resolution or (usual.resolution if usual else 0.0)
    share = resolution or known
    name = scanner.name if scanner else "the scanner"
    if not limits:
        raise SettingsError(f"the energy window of {name} is not known: say --window-kev LOW HIGH")
    if not share:
        raise SettingsError(
            f"the energy resolution of {name} is not known: say --energy-resolution, its FWHM at "
            "511 keV as a share, such as 0.15"
        )
    absorption = usual.absorption if usual else LUTETIUM
    return EnergyWindow(float(limits[0]), float(limits[1]), share, absorption)


def estimate_scatter(
    scan: Scan, window: EnergyWindow, rounds: int = 3, *, fit: bool = True,
    threads: int = 0, progress: Progress = silent,
) -> ScatterEstimate:  # fmt: skip
    """Estimate the scatter of a PET scan from its counts and its mu-map.

    An image is reconstructed on a coarse grid, its scatter simulated, scaled so that trues and
    scatter make up the prompts less randoms, and made the background of the next image.

    Parameters
    ----------
    scan : Scan
        Counts in bins of a ring scanner with a mu-map; scatter that it has is not used.
    window : EnergyWindow
        Energies that count.
    rounds : int, optional
        Most images; fewer where the scatter changes by less than 1 %.
    fit : bool, optional
        Whether the scatter is scaled to what is counted beside the body.
    threads : int, optional
        Processor threads; 0 is all.
    progress : callable, optional
        Is shown how many rounds are done.

    Raises
    ------
    SettingsError
        If the scan has no mu-map, or is of a gamma camera.
    DataError
        If randoms alone explain the counts.
    """
    bins, mu = _bins_and_mu(scan)
    model = ScatterModel.of(mu, bins, window)
    small, kept = _coarse(scan), Sensitivities()
    settings = replace(_settings(small, model), threads=threads)
    scatter, history = None, [0.0]
    for turn in range(1, rounds + 1):
        first = turn == 1 < rounds
        now = model.rougher(FIRST_POINTS, FIRST_CHAINS) if first else model
        updates = FIRST_UPDATES if first else UPDATES
        pairs = now.of_pairs(_image(small.with_(scatter=scatter), settings, updates, kept))
        if pairs.thin and turn == 1:
            settings = replace(_settings(small, model, thin=True), threads=threads)
            kept = Sensitivities()
        coarse, scatter, share = _scaled(now, pairs, small, history[-1])
        history.append(share)
        log.info("scatter round %d: %.2f %% of trues and scatter", turn, 100 * history[-1])
        progress(turn, rounds)
        if abs(history[-1] - history[-2]) < ENOUGH * history[-1]:
            break
    del small, scatter  # all bins take their place
    coarse, scatter, _ = _scaled(model, pairs, scan, history[-2])
    survival = attenuation.factors(mu, bins)
    facts = facts_of(model, pairs, history)
    estimate = _finished(scan, scatter, survival, facts, fit=fit)
    planes = estimate.fit.scales if fit and estimate.fit else None
    return replace(estimate, coarse=replace(coarse, planes=planes))


def scatter_of_image(
    scan: Scan, image: Volume, window: EnergyWindow, *, fit: bool = False, absolute: bool = True
) -> ScatterEstimate:
    """Return the scatter of a scan as an image of its activity tells it.

    Parameters
    ----------
    scan : Scan
        Counts in bins of a ring scanner with a mu-map; scatter that it has is not used.
    image : Volume
        Activity in counts/mm of that scan, or in another unit.
    window : EnergyWindow
        Energies that count.
    fit : bool, optional
        Whether the scatter is scaled to what is counted beside the body.
    absolute : bool, optional
        Whether the image's unit is counts/mm. If not, trues and scatter are first scaled together
        to the prompts less randoms.

    Raises
    ------
    SettingsError
        If the scan has no mu-map, or is of a gamma camera.
    DataError
        If the image holds nothing, or randoms alone explain the counts.
    """
    bins, mu = _bins_and_mu(scan)
    activity = attenuation.aligned(image.ras(), bins)
    if not activity.voxels.min() >= 0 or not activity.voxels.any():
        raise DataError("the image holds no activity, or less than none, that could scatter")
    survival = attenuation.factors(mu, bins)
    model = ScatterModel.of(mu, bins, window)
    pairs = model.of_pairs(activity)
    scatter = model.in_bins(pairs.values, scan.normalisation)
    trues = _trues(scan, activity, survival)
    expected = trues + float(scatter.sum(dtype=np.float64))
    counts = _counts(scan)
    if not absolute:
        scatter *= np.float32(counts / expected)
    facts = facts_of(model, pairs, [0.0, 1 - trues / expected])
    facts["image_over_net_prompts"] = expected / counts if absolute else None
    return _finished(scan, scatter, survival, facts, fit=fit)


def _bins_and_mu(scan: Scan) -> tuple[Bins, Volume]:
    """Return where counts lie and what attenuates, which scatter is made of."""
    if not isinstance(scan.bins, Bins) or scan.mu is None:
        raise SettingsError(NO_MAP)
    return scan.bins, scan.mu


def _trues(scan: Scan, activity: Volume, survival: Array) -> float:
    """Return the trues to expect of an activity, view by view."""
    assert isinstance(scan.bins, Bins)  # noqa: S101 - for the type alone
    total = 0.0
    for number in range(scan.bins.shape[0]):
        view = scan.bins.untimed.of_views(np.array([number]))
        lines = JosephProjector(activity.grid(), view).forward(activity.voxels)
        lines *= survival[number]
        if scan.normalisation is not None:
            lines *= scan.normalisation[number]
        total += float(lines.sum(dtype=np.float64))
    return total


def _finished(
    scan: Scan, scatter: Array, survival: Array, facts: dict[str, Any], *, fit: bool
) -> ScatterEstimate:
    """Return scatter, changed in place where it is fitted to the tails, and what led to it."""
    assert isinstance(scan.bins, Bins)  # noqa: S101 - for the type alone
    tails = tail_fit(scan.bins, scan.prompts, scan.randoms, scatter, survival, scan.normalisation)
    if tails.doubt:
        log.warning("%s", tails.doubt)
    profiles = _profiles(scan, scatter, tails)
    if fit:
        scatter *= tails.scales.astype(np.float32)
    total = float(scatter.sum(dtype=np.float64))
    more = {
        "scatter_over_net_prompts": total / _counts(scan), "fitted": fit, "tails": tails.facts
    }  # fmt: skip
    return ScatterEstimate(scatter, facts | more, profiles, total, survival, tails)


def facts_of(model: ScatterModel, pairs: PairScatter, history: list[float]) -> dict[str, Any]:
    """Return what the sidecar says of a model and its turns."""
    window = model.window
    return {
        "energy_window_kev": [window.low_kev, window.high_kev],
        "energy_resolution": window.resolution,
        "energy_absorption_exponent": window.absorption,
        "scatter_points": len(model.points.places_mm),
        "coarse_crystals": model.ring.crystals,
        "coarse_rings": int(model.ring.z_mm.size),
        "multiple_over_single": pairs.again,
        "sampling_error": pairs.error,
        "predicted_scatter_fraction": history[1:],
    }


def _counts(scan: Scan) -> float:
    """Return the prompts less randoms of the bins that take part."""
    live: Any = True if scan.normalisation is None else scan.normalisation > 0
    counts = float(np.sum(scan.prompts, where=live, dtype=np.float64))
    if scan.randoms is not None:
        counts -= float(np.sum(scan.randoms, where=live, dtype=np.float64))
    if not counts > 0:
        raise DataError("there are no more prompts than randoms: no scatter can be estimated")
    return counts


def _coarse(scan: Scan) -> Scan:
    """Return sums of neighbouring views: enough for an image that scatters.

    Bins that take no part are left out of the sums. Attenuation is that of the mean angle.
    """
    bins, mu = _bins_and_mu(scan)
    views = bins.shape[0]
    if views >= 2 * LEAST_VIEWS:
        ends = np.arange(LEAST_VIEWS + 1) * views // LEAST_VIEWS
        groups = [slice(begin, end) for begin, end in pairwise(ends)]
        efficiency: Any = scan.normalisation
        if efficiency is None:
            efficiency = np.broadcast_to(np.float32(1), bins.shape)

        def summed(data: Array) -> Array:
            parts = ((data[..., some, :, :], efficiency[some] > 0) for some in groups)
            sums = [np.einsum("...vbp,vbp->...bp", part, live) for part, live in parts]
            return np.stack(sums, axis=-3)

        bins = replace(bins, phi_rad=np.array([bins.phi_rad[some].mean() for some in groups]))
        scan = scan.with_(
            bins=bins,
            prompts=summed(scan.prompts),
            normalisation=summed(efficiency),
            randoms=None if scan.randoms is None else summed(scan.randoms),
            scatter=None,
        )
    return scan.with_(attenuation=attenuation.factors(mu, bins), mu=None, scatter=None)


def _scaled(
    model: ScatterModel, pairs: PairScatter, scan: Scan, before: float
) -> tuple[CoarseScatter, Array, float]:
    """Return the scatter in counts, that of a scan's bins, and its share of trues and scatter.

    The image that scatters was made of the net prompts without the share `before`.
    """
    assert isinstance(scan.bins, Bins)  # noqa: S101 - for the type alone
    counts = _counts(scan)
    scatter = model.ring.in_bins(pairs.values, scan.bins, scan.normalisation)
    total = float(scatter.sum(dtype=np.float64))
    share = total / (total + (1 - before) * counts)
    scale = share * counts / total
    scatter *= np.float32(scale)
    return CoarseScatter(model.ring, pairs.values, scale), scatter, share


def _settings(scan: Scan, model: ScatterModel, *, thin: bool = False) -> Settings:
    """Return how the images on the way are made."""
    voxel_mm = voxels_of(scan.bins.grid(), model, thin=thin)
    return Settings(subsets=_divisor(scan.bins.shape[0], SUBSETS), voxel_mm=voxel_mm)


def voxels_of(usual: Grid, model: ScatterModel, *, thin: bool) -> tuple[float, float, float]:
    """Return the voxels of the images on the way, mm, beside those that are usual.

    Parameters
    ----------
    usual : Grid
        The scanner's own voxels.
    model : ScatterModel
        What scatters.
    thin : bool
        Whether activity is as thin as a line: voxels are smaller, and longer than wide.
    """
    side = max(model.body_mm / (OF_THIN if thin else VOXELS), usual.spacing_mm[0])
    length = LONG * side if thin else side
    return side, side, usual.spacing_mm[2] * max(1, round(length / usual.spacing_mm[2]))


def _divisor(views: int, most: int) -> int:
    """Return the largest number up to `most` that divides the views."""
    return max(n for n in range(1, most + 1) if views % n == 0)


def _image(scan: Scan, settings: Settings, updates: int, kept: Sensitivities) -> Volume:
    """Return the coarse image after so many updates, or the whole passes that hold them."""
    passes = replace(settings, iterations=-(-updates // settings.subsets))
    problem = prepare(scan, passes, kept=kept)
    return problem.volume(last(until(problem.iterates(), *problem.enough())).params)


def _profiles(scan: Scan, scatter: Array, tails: TailFit) -> dict[str, tuple[Floats, Floats]]:
    """Return counts by plane and by bin of the direct planes."""
    assert isinstance(scan.bins, Bins)  # noqa: S101 - for the type alone
    direct = slice(0, scan.bins.segments[0].planes)

    def sums(data: Array, scale: Floats | None = None) -> tuple[Floats, Floats]:
        each = data.reshape(-1, *data.shape[-2:])  # views, of all time-of-flight bins
        both = each[..., direct].sum(axis=0, dtype=np.float64)
        both = both if scale is None else both * scale[direct]
        return both.sum(axis=0), both.sum(axis=1)

    parts = {"prompts": sums(scan.prompts)}
    if scan.randoms is not None:
        parts["randoms"] = sums(scan.randoms)
    return parts | {"predicted": sums(scatter), "fitted": sums(scatter, tails.scales)}
