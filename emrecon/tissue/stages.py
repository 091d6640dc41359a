"""The fits of a segmentation, from means of large blocks to the whole image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate, em, until, watch
from emrecon.errors import DataError
from emrecon.neighbours import neighbourhood
from emrecon.stop import Rule, after
from emrecon.tissue.bias import basis
from emrecon.tissue.choice import Choice
from emrecon.tissue.data import Data
from emrecon.tissue.evidence import evidence
from emrecon.tissue.field import Image, State
from emrecon.tissue.lattice import lattice
from emrecon.tissue.layout import Layout
from emrecon.tissue.lesions import without_lesions
from emrecon.tissue.maps import Atlas
from emrecon.tissue.mask import MaskFrom
from emrecon.tissue.mixture import Prior
from emrecon.tissue.moments import Rules
from emrecon.tissue.pure_means import pure_means
from emrecon.tissue.result import Segmentation, Stage, finish
from emrecon.tissue.result_checks import DISTINCT
from emrecon.tissue.settings import Settings
from emrecon.tissue.starts import Optimum, gap
from emrecon.tissue.strength import strength

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Observer = Callable[[Iterate[State]], object]
Strides = tuple[int, int, int]
"""Voxel steps along i, j, k of a stage."""

Look = Callable[[Image, Strides, int], Sequence[Observer]]
"""Makes the observers of a stage from its model, its steps and the most passes it makes."""

STRIDES_MM = (4.0, 2.0)
"""Voxel distances of the coarse stages before the full image."""

FEW = 100_000
"""An image of fewer voxels has no coarse stage."""

LEAST_BLOCKS = 1000
"""Blocks of which there are fewer show nothing."""

LARGE = 400_000
"""A stage of more voxels makes few passes: the coarser ones before it have done the work."""

BEGIN = 1.0
"""Strength of the spatial field before it is estimated."""

ROUNDS = 4
"""Most estimates of the spatial field's strength."""

FIELD_WEIGHT = 1e-2
"""Prior precision of the slowest function of the bias field, per voxel of the mask."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A segmentation ready for its first iterate: data, model, and where to start."""

    data: Data
    """What is to be segmented."""

    layout: Layout
    """How components make up classes."""

    settings: Settings
    """How."""

    optima: list[Optimum]
    """Where the starts led, best first."""

    atlas: Atlas | None
    """Priors of the classes, where there are some."""

    mask_from: MaskFrom
    """Where the mask is from."""

    choices: tuple[Choice, ...] = ()
    """How the numbers of classes compared, where that was asked."""

    def stages(self, look: Look, *rules: Rule) -> list[Stage]:
        """Return the fits of ever smaller blocks' means, the whole image last.

        Means of blocks show the field best: their noise is small. Once it was found in blocks of
        2 mm, the whole image is divided by it and has no field of its own, and its tissues' means
        are those of flat voxels. Once a rule says that it is enough, each stage that is left makes
        one pass.
        """
        classes, stages, settings = self.optima[0].classes, list[Stage](), self.settings
        every = list(_strides(self.data))
        for number, steps in enumerate(every):
            whole = bool(stages) and steps == (1, 1, 1)
            bias_mm = 0.0 if whole else settings.wavelength_mm
            image = _image(self.data, self.layout, settings, steps, self.atlas, bias_mm)
            modes = 0 if image.basis is None else len(image.basis.modes)
            bias = np.zeros((len(self.data.values), modes))
            empty = image.lattice.blank(self.layout.classes)
            state, log_field = State(classes, empty, bias), None
            if stages:
                image, state, log_field = _carried(stages[-1], image, state, fixed=whole)
            if whole and settings.pure_means and self.layout.mixed:
                image, state = _with_pure_means(image, state, settings)
            most = settings.iterations * (1 if image.lattice.size > LARGE else 8)
            observers = look(image, steps, most)
            enough = (after(most), *rules)
            stage = _run(image, state, settings.tolerance, observers, enough)
            stages.append(replace(stage, log_field=log_field))
            last = number == max(len(every) - 2, 0)  # the whole image has no field of its own
            if last and image.basis is not None and settings.bias == "auto":
                bare = replace(image, basis=None)
                stages = self._judged(stages, bare, empty, look(bare, steps, most), rules)
                if stages[-1].image.basis is None:
                    settings = replace(settings, bias_mm=0.0)
            classes = stages[-1].state.classes
        if gap(stages[-1].state.classes) < DISTINCT and len(stages) > 1:
            stages[-1:] = [_with_outliers(stages[-2], stages[-1], settings, look, rules)]
        if settings.beta == "auto":
            stages[-1:] = _estimated(stages[-1], settings, look, rules)
        return stages

    def _judged(
        self,
        stages: list[Stage],
        bare: Image,
        fractions: Floats32,
        observers: Sequence[Observer],
        rules: Sequence[Rule],
    ) -> list[Stage]:
        """Return the stages so far, or one without field in their place if none is shown."""
        image, settings = stages[-1].image, self.settings
        begun = State(self.optima[0].classes, fractions, np.zeros((len(image.values), 0)))
        most = after(len(stages[-1].trace) + settings.iterations)
        without = _run(bare, begun, settings.tolerance, observers, (most, *rules))
        found = evidence(image, stages[-1].state, without.state)
        if found.kept:
            return [*stages[:-1], replace(stages[-1], evidence=found)]
        return [replace(without, evidence=found)]

    def finish(self, stages: list[Stage]) -> Segmentation:
        """Return the segmentation that the stages' last estimate amounts to."""
        made = finish(self.data, self.settings, self.optima, stages)
        atlas = self.atlas and self.atlas.resized(self.data.times)
        made = replace(made, atlas=atlas, mask_from=self.mask_from, choices=self.choices)
        if not self.settings.lesions:
            return made
        return without_lesions(made, self.atlas, self.data.affine, stages[-1].image.lattice)


def _with_pure_means(image: Image, state: State, settings: Settings) -> tuple[Image, State]:
    """Return the model with the means of flat voxels, which stay, and without outliers.

    As it was where flat voxels do not show every class.
    """
    pure = pure_means(image, state.classes)
    if pure is None or settings.unlike(pure.means[:, 0]):
        log.warning("voxels where the image is flat do not show every class: all tell the means")
        return image, state
    layout = image.rules.layout.inner()
    weights = state.classes.weights[: len(layout.mixing)]
    classes = replace(state.classes, means=pure.means, weights=weights / weights.sum())
    rules = replace(image.rules, layout=layout, known_means=True)
    return replace(image, rules=rules), replace(state, classes=classes)


def _with_outliers(
    coarse: Stage, fine: Stage, settings: Settings, look: Look, rules: Sequence[Rule]
) -> Stage:
    """Return a fit with outliers where they seem to have blurred the classes of one without.

    As it was where both have them or none, or where the classes are no more distinct with them.
    """
    layout, without = coarse.image.rules.layout, fine.image.rules.layout
    if len(layout.mixing) == len(without.mixing):
        return fine
    log.info("the classes are hardly distinct: the whole image is fitted again with outliers")
    image = replace(fine.image, rules=replace(fine.image.rules, layout=layout))
    classes = replace(coarse.state.classes, means=fine.state.classes.means)
    most = settings.iterations * (1 if image.lattice.size > LARGE else 8)
    observers, enough = look(image, (1, 1, 1), most), (after(most), *rules)
    begun = replace(fine.state, classes=classes)
    again = _run(image, begun, settings.tolerance, observers, enough)
    better = gap(again.state.classes) > gap(fine.state.classes)
    return replace(again, log_field=fine.log_field) if better else fine


def prior_of(settings: Settings, voxels: float, data: Data) -> Prior:
    """Return the prior of weights and covariances, worth a share of so many voxels."""
    channels = len(data.centre)
    return Prior(settings.weight_prior * voxels, 0.01 * voxels, 0.05 * np.eye(channels))


def _carried(
    coarse: Stage, image: Image, state: State, *, fixed: bool
) -> tuple[Image, State, Floats32 | None]:
    """Return where a finer stage begins: with the fractions and the field of the coarser one.

    With `fixed` the image is divided by the field, which comes last, and has none of its own.
    """
    near, old = image.lattice, coarse.image.lattice
    ratio = [round(a / b) for a, b in zip(coarse.image.spacing_mm, image.spacing_mm, strict=True)]
    inside = [
        np.clip((np.arange(n) + c) // r - o, 0, m - 1)
        for n, c, r, o, m in zip(
            near.shape, near.corner, ratio, old.corner, old.shape, strict=True
        )
    ]  # fmt: skip
    from_ = old.numbers.reshape(old.shape)[np.ix_(*inside)].ravel()[near.places]
    fractions = near.blank(state.fractions.shape[1])
    for of_class, old_class in zip(fractions.T, coarse.state.fractions.T, strict=True):
        np.take(old_class, from_, out=of_class[:-1], mode="clip")
    bias, basis = coarse.state.bias, coarse.image.basis
    begun = replace(state, fractions=fractions)
    if basis is None:
        return image, begun, None
    if image.basis is not None and not fixed and image.basis.modes.shape == basis.modes.shape:
        return image, replace(begun, bias=bias), None
    if not fixed:
        return image, begun, None
    corner = [
        o * d - c * e
        for o, d, c, e in zip(
            old.corner, coarse.image.spacing_mm, near.corner, image.spacing_mm, strict=True
        )
    ]
    log_field = image.log_field(bias, basis, np.array(corner))
    level = replace(begun, bias=np.zeros((len(bias), 0)))
    return image.without(log_field), level, log_field


def _strides(data: Data) -> Iterator[Strides]:
    """Yield the voxel steps of each stage, from coarse to 1.

    Yields
    ------
    tuple of int
        Steps along i, j, k.
    """
    last = None
    for distance in STRIDES_MM:
        i, j, k = (max(round(distance / d), 1) for d in data.spacing_mm)
        enough = data.mask.sum() > max(FEW, LEAST_BLOCKS * i * j * k)
        if max(i, j, k) > 1 and (i, j, k) != last and enough:
            last = (i, j, k)
            yield last
    yield (1, 1, 1)


def _image(
    data: Data,
    layout: Layout,
    settings: Settings,
    stride: tuple[int, int, int],
    atlas: Atlas | None,
    bias_mm: float,
) -> Image:
    """Return the model of the image, or of the means of blocks of it; 0 mm is no bias field."""
    part = data.averaged(stride)
    i, j, k = part.spacing_mm
    count = settings.neighbours
    if count == 12 and (bias_mm or stride != (1, 1, 1)):
        count = 6  # bends of blocks tell nothing, and what shows a field was measured with 6
    near = neighbourhood(count, (i, j, k))
    found = lattice(part.mask, part.values, near)
    values = np.nan_to_num(part.values[:, found.order], copy=False)
    rules = Rules(
        layout, settings.covariance, 1e-6, prior_of(settings, found.size, data), found.seen, -2.0
    )
    functions = None
    if bias_mm:
        functions = basis(
            found.shape, found.places, (i, j, k), bias_mm,
            FIELD_WEIGHT * found.size, 5.0 if stride == (1, 1, 1) else 8.0,
        )  # fmt: skip
        functions = functions if len(functions.modes) else None
    external = None
    if atlas is not None:
        external = atlas.log_prior(found.index, part.affine, settings.atlas_weight)
    beta = BEGIN if settings.beta == "auto" else settings.beta
    return Image(
        values,
        found,
        rules,
        data.centre,
        data.scale,
        beta,
        functions,
        external,
        (i, j, k),
    )


def _estimated(stage: Stage, settings: Settings, look: Look, rules: Sequence[Rule]) -> list[Stage]:
    """Return fits with ever better estimates of the field's strength, each fixed in its fit.

    Free energies of different strengths cannot be compared, so each fit has its own trace.
    """
    stages = [stage]
    rng = np.random.default_rng(settings.seed)
    for _ in range(ROUNDS):
        image, state = stages[-1].image, stages[-1].state
        found = strength(image, state, rng)
        close = abs(found - image.beta) < 0.05 * max(found, 0.1)
        again = replace(image, beta=found)
        observers = look(again, (1, 1, 1), settings.iterations)
        enough = (after(settings.iterations), *rules)
        better = _run(again, state, settings.tolerance, observers, enough)
        stages.append(replace(better, log_field=stage.log_field))
        if close:
            break
    return stages


def _run(
    image: Image,
    state: State,
    tolerance: float,
    observers: Sequence[Observer],
    rules: Sequence[Rule],
) -> Stage:
    """Iterate until the free energy is flat or a rule says that it is enough."""
    trace: list[float] = []
    last = None
    for iterate in until(watch(em(repeat(image), state), *observers), *rules):
        trace.append(iterate.log_likelihood)
        last = iterate
        if len(trace) > 1 and trace[-1] - trace[-2] < tolerance * image.lattice.size:
            return Stage(image, iterate.params, tuple(trace), converged=True)
    if last is None:
        raise DataError("no pass over the image was made")
    return Stage(image, last.params, tuple(trace), converged=False)
