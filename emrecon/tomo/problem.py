"""What the loop iterates: likelihoods and a start image, whatever was counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.em import Iterate, em, watch
from emrecon.errors import DataError
from emrecon.stop import Flat, Rule, after, converged
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.corrections.calibration import Calibration
from emrecon.tomo.exam import ExamInfo
from emrecon.tomo.likelihood import Likelihood, Sum, Through
from emrecon.tomo.operators.algebra import Operator
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.penalised import CONVERGED, MOST_PASSES, Penalised, warm_of
from emrecon.tomo.sensitivity import Sensitivities
from emrecon.tomo.settings import Settings, per_axis
from emrecon.volume import Array, Grid, Volume

log = logging.getLogger(__name__)

IMBALANCE = 0.05
"""Share of the prompts by which an image and its background may miss them without a warning."""

MEET = 20.0
"""Counts of a subset that meet a voxel on average, below which subsets may lose counts."""

WRONG = 0.5
"""Share of the prompts by which an image and its background may miss them at all."""

LOST = 0.2
"""Share of the counts by which a pass of OSEM may miss them where subsets are kept: of 6000 counts
of a cylinder 12 subsets missed 6 %, and 24 of half as many a third, and more from then on."""

UNIT = "counts/mm"
"""Unit of a reconstructed image until a calibration gives Bq/mL."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything an algorithm needs: the likelihood of each subset, and where to start.

    Examples
    --------
    >>> from phantoms.acquisition import Acquisition
    >>> from phantoms.cylinder import uniform_cylinder
    >>> from emrecon.tomo.prepare import prepare
    >>> scan = Acquisition(scanner="tiny", counts=1e4).scan(uniform_cylinder(20.0, 20.0)).scan
    >>> problem = prepare(scan, Settings(subsets=4))
    >>> len(problem.likelihoods), problem.start.shape == problem.grid.shape
    (4, True)
    """

    likelihoods: tuple[Likelihood[Any], ...]
    """One a subset, in the order of their turns."""

    start: Array
    """Uniform image inside the field of view that explains the total of the counts."""

    grid: Grid
    """Where the image lies."""

    settings: Settings
    """The settings as used: threads and subsets that fit."""

    facts: dict[str, Any]
    """Totals, voxels not seen and what was modelled, for the sidecar."""

    calibration: Calibration | None = None
    """What makes Bq/mL of counts/mm, where it is known."""

    origin_mm: tuple[float, float, float] | None = None
    """Where a camera's own origin, the origin of the image's grid, lies in the patient, RAS."""

    exam: ExamInfo = field(default_factory=ExamInfo)
    """Isotope and times of the scan."""

    penalised: Penalised | None = None
    """The prior and its algorithm; None for MLEM or OSEM."""

    kernel: Operator | None = None
    """What makes the image of what is iterated, in kernel EM; None where that is the image."""

    __repr__ = brief

    def through(self, kernel: Operator) -> Problem:
        """Return the problem of the coefficients that a kernel makes an image of."""
        kept, subsets = Sensitivities(), len(self.likelihoods)
        each = tuple(
            Through(likelihood, kernel, kept.of(number, subsets, self.grid.shape))
            for number, likelihood in enumerate(self.likelihoods)
        )
        return replace(self, likelihoods=each, kernel=kernel)

    @property
    def models(self) -> tuple[Mlem[Any], ...]:
        """One model a subset for MLEM or OSEM, in the order of their turns."""
        return tuple(map(Mlem, self.likelihoods))

    def iterates(self, image: Array | None = None, number: int = 0) -> Iterator[Iterate[Array]]:
        """Yield the start image, or the `image` of a stopped run, and every update after it."""
        image = self.start if image is None else image
        if self.penalised is not None:
            return self.penalised.iterates(self.likelihoods, self.start, self.grid, image, number)
        turns = islice(cycle(self.models), number % len(self.models), None)
        return em(turns, image, start=number)

    @property
    def warm(self) -> int:
        """The updates of OSEM before a prior counts: whole passes."""
        return warm_of(len(self.likelihoods))

    def first(self, *observers: Callable[[Iterate[Array]], object]) -> Array:
        """Return the image after a pass of OSEM, from which is taken what depends on an image."""
        run = em(cycle(self.models), self.start)
        *_, reached = islice(watch(run, *observers), self.warm + 1)
        return reached.params

    def balanced(self) -> Problem:
        """Return the problem of MLEM or OSEM, by as many updates of one subset where few count."""
        return self.whole_if_few(self.settings.iterations * len(self.likelihoods))

    @property
    def updates(self) -> int:
        """Most updates that are made."""
        penalised = self.penalised
        until = penalised is not None and penalised.penalty.until_converged
        return len(self.likelihoods) * (MOST_PASSES if until else self.settings.iterations)

    @property
    def period(self) -> int:
        """How many updates lie between iterates from which a run goes on to the same bits."""
        if self.penalised is None:
            return 1
        return self.penalised.maximiser.period * len(self.likelihoods)

    def enough(self, earlier: Sequence[float] = ()) -> list[Rule]:
        """Return the rules that end the run by the settings.

        A run that goes on gives the objectives of its `earlier` iterates.
        """
        rules = [after(self.updates)]
        if self.penalised is not None and self.penalised.penalty.until_converged:
            rules.append(converged(CONVERGED))
        if self.settings.tolerance:
            warm = 0 if self.penalised is None else self.warm
            tolerance, subsets = self.settings.tolerance, len(self.likelihoods)
            rules.append(Flat(tolerance, subsets, earlier[warm:], since=warm))
        return rules

    def whole_if_few(self, iterations: int) -> Problem:
        """Return the problem with all counts as one subset, where subsets would lose too many.

        A subset without counts along the lines of a voxel sets it to 0 for good, and what climbs
        by subsets from such an image may leave all bounds. Only where few counts meet a voxel is
        that tried out, by a pass of OSEM.

        Parameters
        ----------
        iterations : int
            Iterations of the one subset.
        """
        likelihoods, facts = self.likelihoods, self.facts
        meet = (facts["prompts"] - facts["background"]) / len(likelihoods)
        meet *= max(self.start.shape) / facts["voxels_in_field_of_view"]
        if len(likelihoods) == 1 or meet > MEET:
            return self
        turns = em(cycle(self.models), self.start)
        tried = next(islice(turns, len(likelihoods), None)).params
        kept = self._emitted(tried) / self._emitted(self.start)
        if abs(kept - 1) <= LOST:
            return self
        log.warning(
            "%d subsets make %.3g %% of the %.6g prompts, which are too few for them: all are one "
            "subset, in %d iterations",
            len(likelihoods), 100 * kept, facts["prompts"], iterations,
        )  # fmt: skip
        return replace(
            self,
            likelihoods=(Sum(likelihoods),),
            settings=replace(self.settings, subsets=1, iterations=iterations),
        )

    def _emitted(self, image: Array) -> float:
        """Return the counts that an image makes expect, without background."""
        return sum(
            float(np.sum(image * likelihood.sensitivity, dtype=np.float64))
            for likelihood in self.likelihoods
        )

    def balance(self, image: Array) -> float:
        """Return the counts that an image and the background make expect over the prompts.

        It warns where this is far from 1. With few counts, a subset that has none along the lines
        of a voxel sets it to 0 for good; and no voxel below 0 makes up for a background above the
        counts.

        Raises
        ------
        DataError
            If they miss more than half of the prompts: the image shows something else.
        """
        emitted = self._emitted(image)
        prompts, subsets = self.facts["prompts"], len(self.likelihoods)
        balance = float((emitted + self.facts["background"]) / prompts)
        if not abs(balance - 1) <= IMBALANCE:
            fewer = f"try fewer than {subsets} subsets, or " if subsets > 1 else ""
            message = (
                f"image and background make up {100 * balance:.3g} % of the {prompts:.6g} "
                f"prompts, which may be too few: {fewer}check that the background fits and that "
                "the image covers what counts"
            )
            if not abs(balance - 1) <= WRONG:
                raise DataError(message)
            log.warning("%s", message)
        return balance

    def volume(self, image: Array) -> Volume:
        """Return an iterate as a volume, after the post-filter."""
        if self.kernel is not None:
            image = self.kernel.forward(image)
        fwhm = per_axis(self.settings.post_fwhm_mm)
        if any(fwhm):
            image = Blur(self.grid, fwhm).forward(image)
        volume = Volume(image, self.grid.affine, UNIT)
        return volume if self.calibration is None else self.calibration.applied(volume)


def within(grid: Grid, fov_mm: float) -> NDArray[np.bool_]:
    """Return which columns of voxels lie within a distance of the axis."""
    x, y = grid.centres_mm(0), grid.centres_mm(1)
    return x[:, None] ** 2 + y[None, :] ** 2 <= fov_mm**2


def start_image(
    inside: NDArray[np.bool_], totals: tuple[float, float], sensitivity: Array
) -> tuple[Array, dict[str, Any]]:
    """Return the start image and what was counted: expected and measured totals agree.

    Parameters
    ----------
    inside : array
        Which columns of voxels lie in the field of view.
    totals : tuple of float
        Prompts and background over the bins that take part.
    sensitivity : array
        That of all subsets together.

    Raises
    ------
    DataError
        If no voxel is seen, or the counts are explained by background alone.
    """
    seen = (sensitivity > 0) & inside[:, :, None]
    prompts, background = totals
    reach = float(np.sum(sensitivity, where=seen, dtype=np.float64))
    if not reach:
        raise DataError("no voxel of the image is seen by any bin: check grid and normalisation")
    if prompts <= background:
        raise DataError(
            f"{prompts:.6g} prompts are no more than the {background:.6g} of randoms and scatter: "
            "there is nothing left to reconstruct"
        )
    facts = {
        "prompts": prompts,
        "background": background,
        "voxels": int(seen.size),
        "voxels_in_field_of_view": int(inside.sum()) * sensitivity.shape[2],
        "voxels_not_seen": int(np.count_nonzero(inside[:, :, None] & (sensitivity <= 0))),
    }
    if facts["voxels_not_seen"]:
        log.info("%d voxels of the field of view are seen by no bin", facts["voxels_not_seen"])
    return seen.astype(np.float32) * np.float32((prompts - background) / reach), facts
