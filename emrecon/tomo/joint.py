"""The attenuation map of a time-of-flight scan, from its own counts and from what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.em import em, last, watch
from emrecon.errors import SettingsError
from emrecon.tomo.algorithms.mlaa import Joint, Mlaa
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.algorithms.objective import body_of
from emrecon.tomo.corrections import attenuation
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.operators.algebra import Chain, Operator, Scale
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.projector import projector
from emrecon.tomo.operators.resampling import resampled
from emrecon.tomo.penalised import SMOOTH_MM
from emrecon.tomo.prepare import prepare
from emrecon.tomo.problem import Problem
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.tomo.subset_likelihoods import Progress, silent
from emrecon.volume import Array, Volume

Mask = NDArray[np.bool_]

OPEN = "counts leave the scale of attenuation open"
NEEDS = "that is above 0 in some of the body, such as 0.0096 per mm in a part of muscle or liver"

ROUNDS = 4
"""Times that the scale is set, each after so many passes as are asked for."""

ONES = 24
"""Updates that the map of ones along all lines is made of at least."""

SIEVE_MM = 8.0
"""FWHM of the Gaussians that the map is made of: of single voxels the counts tell too little."""


@dataclass(frozen=True, eq=False)
class AttenuationEstimate:
    """An attenuation map, and how it was found."""

    mu: Volume
    """The map in 1/mm: what is known, and the rest as the counts have it."""

    facts: dict[str, Any]
    """Figures for the sidecar."""


def estimate_attenuation(
    scan: Scan, settings: Settings, passes: int, progress: Progress = silent
) -> AttenuationEstimate:
    """Estimate the attenuation map of a time-of-flight scan where the map that it has is 0.

    Activity and map are reconstructed together (`Mlaa`), the map within the outline of the
    activity: matter around it that emits nothing must be in the map that is given. The counts
    leave the scale of both open: after each round of passes it is set so that the map has the
    known mean where something is known of the body. In a last round what is known is held voxel
    by voxel.

    Parameters
    ----------
    scan : Scan
        Counts in bins of a ring scanner with time of flight. Its map is known where it is above 0.
    settings : Settings
        Of the image: the map lies on its grid, and takes its subsets.
    passes : int
        Passes over the counts in each round.
    progress : callable, optional
        Is shown how many updates are done.

    Raises
    ------
    SettingsError
        If there is no time of flight, or nothing of the body is known.
    """
    bins, known = scan.bins, scan.mu
    if not isinstance(bins, Bins) or bins.timing is None:
        raise SettingsError(
            "without time of flight counts do not tell attenuation from activity: leave out mlaa"
        )
    if known is None or not (known.voxels > 0).any():
        raise SettingsError(f"{OPEN}: give mlaa a map (mu or ct) {NEEDS}")
    body = _outline(scan, settings, float(np.median(known.voxels[known.voxels > 0])))
    grid = body.grid()
    values, inside = _known_of_body(known, body)
    if not inside.any():
        raise SettingsError(f"{OPEN}, and the map is 0 in all of the body: give one {NEEDS}")
    beyond = _beyond_body(known, body)
    problem = prepare(_attenuated(scan, beyond), settings)
    rounds = _Rounds(problem, bins.untimed, body.voxels > 0, inside, values)
    total, done = (ROUNDS + 1) * (passes * len(problem.likelihoods) + 1), 0

    def count(_: object) -> None:
        nonlocal done
        done += 1
        progress(done, total)

    params = rounds.start()
    shifts: list[float] = []
    for turn in range(ROUNDS + 1):
        models = rounds.models(held=turn == ROUNDS)
        run = em(cycle(models), params)
        params = last(watch(islice(run, passes * len(models) + 1), count)).params
        if turn < ROUNDS:
            params, shift = rounds.scaled(models, params)
            shifts.append(shift)
    voxel_ml, matter = float(np.prod(grid.spacing_mm)) / 1000, body.voxels > 0
    facts = {
        "passes": passes * (ROUNDS + 1),
        "known_ml": float(np.count_nonzero(inside)) * voxel_ml,
        "estimated_ml": float(np.count_nonzero(matter & ~inside)) * voxel_ml,
        "known_mean_per_mm": rounds.mean,
        "log_scales": shifts,
    }
    mu = Volume(rounds.map_of(params.mu, held=True), grid.affine, "1/mm")
    return AttenuationEstimate(attenuation.added([mu, beyond] if beyond else [mu]), facts)


@dataclass(frozen=True, eq=False)
class _Rounds:
    """A scan whose attenuation is known in some of its body."""

    problem: Problem
    """The counts, with the factors of what attenuates outside the body."""

    bins: Bins
    """Their lines, without time of flight."""

    body: Mask
    """Where there may be attenuation that is not in those factors."""

    inside: Mask
    """Where in the body it is known."""

    values: Array
    """What is known, 0 elsewhere."""

    @cached_property
    def middle(self) -> Mask:
        """Where it is known and the sieve mixes nothing else in; all of it where it is small."""
        from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy

        depth_mm = distance_transform_edt(self.inside, self.problem.grid.spacing_mm)
        deep = np.asarray(depth_mm > SIEVE_MM)
        return deep if deep.any() else self.inside

    @property
    def mean(self) -> float:
        """The mean of what is known."""
        return float(self.values[self.middle].mean())

    def start(self) -> Joint:
        """Return a map that is all the known mean, and what a pass of OSEM makes of it."""
        mu = np.full(self.body.shape, self.mean, np.float32)
        updates = [Mlem(model.attenuated(mu)) for model in self.models(held=False)]
        run = em(cycle(updates), self.problem.start)
        return Joint(last(islice(run, self.problem.warm + 1)).params, mu)

    def models(self, *, held: bool) -> list[Mlaa]:
        """Return the model of every subset; what is known is estimated, too, unless it is held."""
        models = []
        grid, settings = self.problem.grid, self.problem.settings
        for likelihood in self.problem.likelihoods:
            assert isinstance(likelihood, Emission)  # noqa: S101 - for the type alone
            assert likelihood.views is not None  # noqa: S101 - likewise
            emission = likelihood.alone()
            layout = self.bins.of_views(likelihood.views)
            lines = projector(layout, grid, settings, self.bins.fov_mm)
            if held:
                emission = Mlaa(emission, lines).attenuated(self.values)
            models.append(Mlaa(emission, Chain(lines, self._sieve(held=held))))
        return models

    def map_of(self, mu: Array, *, held: bool) -> Array:
        """Return the map that is made of what is iterated."""
        smooth = self._sieve(held=held).forward(mu)
        return np.asarray(smooth + self.values) if held else smooth

    def scaled(self, models: Sequence[Mlaa], params: Joint) -> tuple[Joint, float]:
        """Return activity and map at the scale that the known mean asks for, and how far that is.

        Added to the map, a number times the map of ones along all lines that count divides the
        counts by its exponential, and the activity makes up for that.
        """
        ones = self._ones(models, params)
        known, own = (
            float(self.map_of(one, held=False)[self.middle].mean()) for one in (params.mu, ones)
        )
        shift = np.float32((self.mean - known) / own)
        mu = np.maximum(params.mu + shift * ones, 0)
        return Joint(params.activity * np.exp(shift), mu), float(shift)

    def _ones(self, models: Sequence[Mlaa], params: Joint) -> Array:
        """Return the map whose line integrals are 1 wherever the activity makes counts expect."""
        ones = []
        for model in models:
            attenuated = model.attenuated(params.mu)
            assert attenuated.factors is not None  # noqa: S101 - for the type alone
            summed = attenuated.summed or attenuated.system
            trues = summed.forward(params.activity) * attenuated.factors
            ones.append(Mlem(Emission(model.lines, trues, trues)))
        updates = -(-ONES // len(ones)) * len(ones)
        start = np.full_like(params.mu, 1 / self.bins.fov_mm)
        return last(islice(em(cycle(ones), start), updates + 1)).params

    def _sieve(self, *, held: bool) -> Operator:
        """Return what makes the map."""
        free = self.body & ~self.inside if held else self.body
        return Scale(Blur(self.problem.grid, (SIEVE_MM,) * 3), free.astype(np.float32))


def _outline(scan: Scan, settings: Settings, level: float) -> Volume:
    """Return 1 in the body, which is what emits and what that encloses, and 0 elsewhere.

    The first image has no attenuation, and is bright at the rim. Filled with attenuation of one
    level, its body makes another, whose edge is where it falls to half of its median.
    """
    problem = prepare(_attenuated(scan, None), settings)
    image = _smooth(problem)
    rough = _filled(body_of(image, problem.start > 0))
    matter = Volume(rough.astype(np.float32) * np.float32(level), problem.grid.affine, "1/mm")
    image = _smooth(prepare(_attenuated(scan, matter), settings))
    half = np.median(image[rough]) / 2
    body = _filled((image > half) & (problem.start > 0))
    return Volume(body.astype(np.float32), problem.grid.affine)


def _attenuated(scan: Scan, mu: Volume | None) -> Scan:
    """Return a scan with the factors of a map, if there is one, in place of its own map."""
    assert isinstance(scan.bins, Bins)  # noqa: S101 - for the type alone
    if mu is None:
        return scan.with_(mu=None)
    survival = attenuation.factors(mu, scan.bins)
    if scan.normalisation is not None:
        survival *= scan.normalisation
    return scan.with_(mu=None, normalisation=survival)


def _smooth(problem: Problem) -> Array:
    """Return the smoothed image of a pass of OSEM."""
    return Blur(problem.grid, (SMOOTH_MM,) * 3).forward(problem.first())


def _filled(body: Mask) -> Mask:
    """Return what is within an outline, plane by plane."""
    from scipy.ndimage import binary_fill_holes  # noqa: PLC0415 - heavy, seldom needed

    planes = [binary_fill_holes(body[:, :, plane]) for plane in range(body.shape[2])]
    return np.stack(planes, axis=2)


def _known_of_body(known: Volume, body: Volume) -> tuple[Array, Mask]:
    """Return what a map knows of the body, and where: in voxels of which it knows most."""
    grid = body.grid()
    marked = Volume((known.voxels > 0).astype(np.float32), known.affine)
    share = resampled(marked, grid).voxels
    inside = (body.voxels > 0) & (share > 0.5)
    values = np.zeros_like(share)
    np.divide(resampled(known, grid).voxels, share, out=values, where=inside)
    return values, inside


def _beyond_body(known: Volume, body: Volume) -> Volume | None:
    """Return the part of a map outside the body, such as the bed; None where there is none."""
    known = known.ras()
    within = resampled(body, known.grid()).voxels > 0.5
    voxels = np.where(within, np.float32(0), known.voxels)
    return Volume(voxels, known.affine, known.unit) if voxels.any() else None
