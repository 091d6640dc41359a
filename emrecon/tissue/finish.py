"""What the last estimate of a fit amounts to: fractions, volumes, errors, and a look at them."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.classes import Classes, without_nuclei
from emrecon.tissue.data import Data
from emrecon.tissue.depth import depth_of
from emrecon.tissue.field import Image, State
from emrecon.tissue.findings import Findings, inner_of, rim_of
from emrecon.tissue.layout import Layout
from emrecon.tissue.maps import Atlas
from emrecon.tissue.mixture import Mixture
from emrecon.tissue.outliers import outlier_map
from emrecon.tissue.pale_white import without_pale_white
from emrecon.tissue.result import Segmentation, Stage
from emrecon.tissue.result_checks import judged
from emrecon.tissue.settings import Settings
from emrecon.tissue.stage_models import shows_details
from emrecon.tissue.starts import Optimum, fit, gap
from emrecon.tissue.thin_grey import without_thin_grey
from emrecon.tissue.volumes import Errors, errors, refits

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

SAMPLE = 20_000
"""Voxels from which the errors are computed."""

GIVEN = {"given", "labels", "atlas"}
"""Starts in which a person said which class is which."""


def finish(
    data: Data,
    settings: Settings,
    optima: list[Optimum],
    stages: list[Stage],
    average: Atlas | None,
) -> Segmentation:
    """Return the segmentation that the last stage's estimate amounts to.

    The tissues are held against priors, or else against an average brain laid on the image.

    Raises
    ------
    DataError
        If it cannot be right; see `emrecon.tissue.result_checks.judged`.
    """
    last = stages[-1]
    image, state, log_field = _level(last)
    layout = image.rules.layout
    order = settings.ranks
    _, posteriors = image.posterior(state, _loads(layout, order))
    fractions, chances = posteriors[:, : layout.classes], posteriors[:, layout.classes :]
    corrected = image.values.copy() if image.lowered is None else image.values - image.lowered
    for run in image.lattice.runs:
        lack = ~image.lattice.seen[run.pattern]
        corrected[lack, run.first : run.last] = np.nan
    odd = outlier_map(image, state)
    known = 0 if image.external is None else image.external.shape[1]
    plain = without_nuclei(state.classes, layout)
    depth = depth_of(image.lattice, data.spacing_mm) if settings.tissues else None
    index = image.lattice.index
    thin, pale = 0.0, 0.0
    if shows_details(data, settings):
        means, spacing = plain.means[:, 0], np.array(data.spacing_mm)
        thin = without_thin_grey(depth, index, spacing, means, posteriors)
        if average is not None:
            pale = without_pale_white(average, index, data.affine, posteriors)
    doubts = judged(
        Findings(
            settings, plain, fractions, data.human_ml, rim_of(image.lattice),
            float((odd > 0.5).mean()), known > layout.nuclei,
            _said(image, fractions, order, average, data.affine),
            None if known > layout.nuclei or optima[0].start in GIVEN else optima[0],
            inner_of(image.lattice, fractions), max(data.spacing_mm),
            depth,
        )
    )  # fmt: skip
    for doubt in doubts:
        log.warning("%s", doubt)
    layout = layout.without_nuclei()
    uncertain = _errors(image, plain, layout, data)
    return Segmentation(
        settings.names, settings, data.own_affine, _shape(data), index, fractions,
        chances, np.exp(log_field), corrected, _raw(plain, data, settings, layout),
        replace(
            uncertain,
            shares=uncertain.shares[order],
            rivals=uncertain.rivals[order],
            plain=_raw(uncertain.plain, data, settings, layout, errors=True),
            honest=_raw(uncertain.honest, data, settings, layout, errors=True),
        ),
        fractions.sum(axis=0, dtype=np.float64) * data.voxel_ml, tuple(stages), tuple(optima),
        odd, doubts, thin_grey_ml=thin * data.voxel_ml, pale_white_ml=pale * data.voxel_ml,
    )  # fmt: skip


def _said(
    image: Image,
    fractions: Floats32,
    order: NDArray[np.intp],
    average: Atlas | None,
    affine: Floats,
) -> Floats | None:
    """Return the mean log of what maps say of each class where each was found, ``(k, k)``."""
    classes, some = fractions.shape[1], slice(None, None, max(len(fractions) // SAMPLE, 1))
    nuclei = image.rules.layout.nuclei
    if image.external is not None and image.external.shape[1] > nuclei:
        logs = image.external[some, :classes]
    elif average is not None:
        logs = average.log_prior([axis[some] for axis in image.lattice.index], affine, 1.0)
    else:
        return None
    held = fractions[some].astype(np.float64)
    return np.asarray(held.T @ logs[:, order] / held.sum(axis=0)[:, None])


def _shape(data: Data) -> tuple[int, int, int]:
    i, j, k = data.mask.shape
    return i, j, k


def _level(stage: Stage) -> tuple[Image, State, Floats32]:
    """Return the model of the image without its field, and the log field, ``(c, n)``."""
    image, state = stage.image, stage.state
    if image.basis is None:
        nothing = np.zeros((), np.float32)
        log_field = nothing if stage.log_field is None else stage.log_field
        return image, state, np.broadcast_to(log_field, image.values.shape)
    field = image.log_field(state.bias, image.basis, np.zeros(3))
    return image.without(field), replace(state, bias=np.zeros((len(field), 0))), field


def _loads(layout: Layout, order: NDArray[np.intp]) -> Floats:
    """Return each component's fractions, and the classes that fill most of it, ``(j, 2 k)``."""
    most = layout.fractions >= layout.fractions.max(axis=1, keepdims=True) - 1e-9
    return np.hstack(
        [layout.fractions[:, order], (most / most.sum(axis=1, keepdims=True))[:, order]]
    )


def _errors(image: Image, start: Classes, layout: Layout, data: Data) -> Errors:
    """Return standard errors from a sample of the corrected image."""
    near = image.lattice
    whole = [r for r in near.runs if near.seen[r.pattern].all()]
    rows = np.concatenate([np.arange(r.first, r.last) for r in whole] or [np.arange(0)])
    rows = rows[:: max(len(rows) // SAMPLE, 1)]
    if len(rows) < 10 * len(layout.mixing):
        nothing = np.full(layout.classes, np.nan)
        unknown = Classes(
            np.full(len(layout.mixing), np.nan),
            np.full_like(start.means, np.nan),
            np.full_like(start.covariances, np.nan),
        )
        return Errors(unknown, unknown, nothing, nothing)
    values = image.corrected(np.zeros((len(image.values), 0)))[:, rows].T.astype(np.float64)
    places = np.stack([a[rows] for a in near.index], 1) @ data.affine[:3, :3].T
    share = len(rows) / near.size
    prior = replace(
        image.rules.prior,
        weight=image.rules.prior.weight * share,
        spread=image.rules.prior.spread * share,
    )
    model = Mixture(values, layout, image.rules.covariance, prior=prior)
    refined = fit(model, start, iterations=20, tolerance=1e-7)[0].params
    rivals = refits(model, start, image.rules.rivals)
    return errors(model, refined if gap(refined) > 1 else start, places, near.size, rivals)


def _raw(
    classes: Classes,
    data: Data,
    settings: Settings,
    layout: Layout,
    *,
    errors: bool = False,
) -> Classes:
    """Return parameters, or their errors, in the image's units and the order of the names."""
    shift = 0.0 if errors else data.centre
    order = np.arange(layout.gaussians).reshape(layout.classes, -1)[settings.ranks].ravel()
    means = classes.means * data.scale + shift
    covariances = classes.covariances * np.outer(data.scale, data.scale)
    inner = classes.weights[: layout.gaussians][order]
    weights = np.concatenate([inner, classes.weights[layout.gaussians :]])
    return Classes(weights, means[order], covariances[order])
