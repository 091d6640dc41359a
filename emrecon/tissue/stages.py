"""The fits of a segmentation, from means of large blocks to the whole image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate, em, last, until, watch
from emrecon.stop import Enough, Flat, Rule, after
from emrecon.tissue.choice import Choice
from emrecon.tissue.classes import Classes, without_nuclei
from emrecon.tissue.data import Data
from emrecon.tissue.deep_grey import with_nuclei
from emrecon.tissue.evidence import evidence
from emrecon.tissue.field import Image, State
from emrecon.tissue.finish import finish
from emrecon.tissue.layout import Layout
from emrecon.tissue.lesions import without_lesions
from emrecon.tissue.maps import Atlas, Average
from emrecon.tissue.mask import MaskFrom
from emrecon.tissue.pure_means import pure_means
from emrecon.tissue.result import Segmentation, Stage
from emrecon.tissue.result_checks import DISTINCT
from emrecon.tissue.settings import Settings
from emrecon.tissue.stage_models import Strides, begun_from, model_of, strides_of
from emrecon.tissue.starts import Optimum, gap
from emrecon.tissue.strength import strength

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Observer = Callable[[Iterate[State]], object]
Look = Callable[[Image, Strides, int], Sequence[Observer]]
"""Makes the observers of a stage from its model, its steps and the most passes it makes."""

LARGE = 400_000
"""A stage of more voxels makes few passes: the coarser ones before it have done the work."""

ROUNDS = 4
"""Most estimates of the spatial field's strength."""

NOISELESS = 0.7
"""Part of the spatial field's strength that is left where the classes' spread is not noise:
neighbours then err as a voxel does, and bear each other out in it."""


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

    average: Average
    """Where an average brain lies on the image, which tells where the deep nuclei are."""

    mask_from: MaskFrom
    """Where the mask is from."""

    choices: tuple[Choice, ...] = ()
    """How the numbers of classes compared, where that was asked."""

    again: Callable[[], Fit] | None = None
    """Makes the fit with outliers where this has none, and the other way round."""

    def stages(self, look: Look, *rules: Rule) -> list[Stage]:
        """Return the fits of ever smaller blocks' means, the whole image last.

        Means of blocks show the field best: their noise is small. Once it was found in blocks of
        2 mm, the whole image is divided by it and has no field of its own, and its tissues' means
        are those of flat voxels. Once a rule says that it is enough, each stage that is left makes
        one pass.
        """
        classes, stages, settings = self.optima[0].classes, list[Stage](), self.settings
        every = list(strides_of(self.data))
        for number, steps in enumerate(every):
            if stages and steps == (1, 1, 1):
                stages.append(self._whole(stages[-1], settings, look, rules))
                continue
            wave_mm = settings.wavelength_mm
            image = model_of(self.data, self.layout, settings, steps, self.atlas, wave_mm)
            modes = 0 if image.basis is None else len(image.basis.modes)
            empty = image.lattice.blank(self.layout.classes)
            state = State(classes, empty, np.zeros((len(self.data.values), modes)))
            if stages:
                image, state, _ = begun_from(stages[-1], image, state, fixed=False)
            most = _most(settings, image)
            observers = look(image, steps, most)
            stages.append(_run(image, state, settings.tolerance, observers, (after(most), *rules)))
            finest = number == max(len(every) - 2, 0)  # the whole image has no field of its own
            if finest and image.basis is not None and settings.bias == "auto":
                bare = replace(image, basis=None)
                stages = self._judged(stages, bare, empty, look(bare, steps, most), rules)
                if stages[-1].image.basis is None:
                    settings = replace(settings, bias_mm=0.0)
            classes = stages[-1].state.classes
        return stages if settings.only_bias else _settled(stages, settings, look, rules)

    def _whole(
        self, coarse: Stage, settings: Settings, look: Look, rules: Sequence[Rule]
    ) -> Stage:
        """Return the fit of the whole image, divided by the field of a coarse one.

        If the field alone is wanted, it is that of the coarse one, and no pass is made.
        """
        steps = (1, 1, 1)
        image = model_of(self.data, self.layout, settings, steps, self.atlas, 0.0)
        empty, none = image.lattice.blank(self.layout.classes), np.zeros((len(image.values), 0))
        begun = State(coarse.state.classes, empty, none)
        image, state, log_field = begun_from(coarse, image, begun, fixed=True)
        if settings.only_bias:
            return replace(coarse, image=image, state=state, log_field=log_field, evidence=None)
        if settings.pure_means and self.layout.mixed:
            image, state = _with_pure_means(image, state, settings)
            if image.rules.known_means and self.average.matrix is not None:
                image, state = self._with_nuclei(image, state, self.average.matrix)
        most = _most(settings, image)
        observers = look(image, steps, most)
        stage = _run(image, state, settings.tolerance, observers, (after(most), *rules))
        return replace(stage, log_field=log_field)

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
        verdict = evidence(image, stages[-1].state, without.state)
        if verdict.kept:
            return [*stages[:-1], replace(stages[-1], evidence=verdict)]
        return [replace(without, evidence=verdict)]

    def finish(self, stages: list[Stage]) -> Segmentation:
        """Return the segmentation that the stages' last estimate amounts to."""
        segmentation = finish(self.data, self.settings, self.optima, stages, self.average.atlas)
        atlas = self.atlas and self.atlas.resized(self.data.times)
        deep = (
            None
            if self.atlas is None
            else self.atlas.deep_at(segmentation.index, self.data.affine)
        )
        segmentation = replace(
            segmentation, atlas=atlas, average=self.average, mask_from=self.mask_from,
            choices=self.choices, subcortical=deep,
        )  # fmt: skip
        if not self.settings.lesions:
            return segmentation
        return without_lesions(
            segmentation, self.atlas, self.data.affine, stages[-1].image.lattice
        )

    def _with_nuclei(self, image: Image, state: State, matrix: Floats) -> tuple[Image, State]:
        """Return the model with deep nuclei, or as it was where the image does not show them."""
        enriched = with_nuclei(image, state, matrix @ self.data.affine)
        if enriched is None:
            log.info("the image does not show deep nuclei where an average brain has them")
        return enriched or (image, state)


def _with_pure_means(image: Image, state: State, settings: Settings) -> tuple[Image, State]:
    """Return the model with the means of flat voxels, which stay, and without outliers.

    Grey matter of its image is as bright everywhere, if flat voxels tell how bright it is, and
    its spatial field is the weaker the less of the classes' spread is noise.

    As it was where flat voxels do not show every class.
    """
    unlike = partial(settings.unlike, pure=True)
    pure = pure_means(image, state.classes, unlike, settings.meeting)
    if pure is None:
        log.warning("voxels where the image is flat do not show every class: all tell the means")
        return image, state
    layout = image.rules.layout.inner()
    weights = state.classes.weights[: len(layout.mixing)]
    classes = replace(state.classes, means=pure.classes.means, weights=weights / weights.sum())
    rules = replace(image.rules, layout=layout, known_means=True, rivals=pure.rivals)
    beta = image.beta * (NOISELESS + (1 - NOISELESS) * pure.noise)
    return replace(pure.image, rules=rules, beta=beta), replace(state, classes=classes)


def _settled(
    stages: list[Stage], settings: Settings, look: Look, rules: Sequence[Rule]
) -> list[Stage]:
    """Return the stages with outliers or another strength in the last, where these are needed."""
    end = stages[-1]
    plain = without_nuclei(end.state.classes, end.image.rules.layout)
    if gap(plain) < DISTINCT and len(stages) > 1:
        stages = [*stages[:-1], _with_outliers(stages[-2], end, settings, look, rules)]
    if settings.beta == "auto":
        stages = [*stages[:-1], *_estimated(stages[-1], settings, look, rules)]
    return stages


def _with_outliers(
    coarse: Stage, fine: Stage, settings: Settings, look: Look, rules: Sequence[Rule]
) -> Stage:
    """Return a fit with outliers where they seem to have blurred the classes of one without.

    As it was where both have them or none, or where the classes are no more distinct with them.
    """
    outer, inner = coarse.image.rules.layout, fine.image.rules.layout
    if inner.outliers or not outer.outliers:
        return fine
    log.info("the classes are hardly distinct: the whole image is fitted again with outliers")
    layout, blurred = inner.with_outliers(), fine.state.classes
    image = replace(fine.image, rules=replace(fine.image.rules, layout=layout))
    spreads = coarse.state.classes.covariances
    classes = Classes(
        layout.spread(outer.gather(coarse.state.classes.weights)),
        blurred.means,
        np.vstack([spreads, np.repeat(spreads[1:2], layout.nuclei, axis=0)]),
    )
    most = _most(settings, image)
    observers, enough = look(image, (1, 1, 1), most), (after(most), *rules)
    begun = replace(fine.state, classes=classes)
    again = _run(image, begun, settings.tolerance, observers, enough)
    better = gap(without_nuclei(again.state.classes, layout)) > gap(without_nuclei(blurred, inner))
    return replace(again, log_field=fine.log_field) if better else fine


def _most(settings: Settings, image: Image) -> int:
    """Return the most passes over an image."""
    return settings.iterations * (1 if image.lattice.size > LARGE else 8)


def _estimated(stage: Stage, settings: Settings, look: Look, rules: Sequence[Rule]) -> list[Stage]:
    """Return fits with ever better estimates of the field's strength, each fixed in its fit.

    Free energies of different strengths cannot be compared, so each fit has its own trace.
    """
    stages = [stage]
    rng = np.random.default_rng(settings.seed)
    for _ in range(ROUNDS):
        image, state = stages[-1].image, stages[-1].state
        beta = strength(image, state, rng)
        close = abs(beta - image.beta) < 0.05 * max(beta, 0.1)
        again = replace(image, beta=beta)
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
    flat = Enough([Flat(tolerance, size=image.lattice.size)])
    seen = watch(
        em(repeat(image), state), lambda one: trace.append(one.log_likelihood), *observers
    )
    end = last(until(seen, *rules, flat))
    return Stage(image, end.params, tuple(trace), converged=flat.reached)
