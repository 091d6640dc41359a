"""What is to be seen of a segmentation while it is fitted: labels, histogram, table of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.io.pictures.colours import label_colour
from emrecon.tissue.classes import Classes
from emrecon.tissue.contrasts import LESION
from emrecon.tissue.field import Image, State
from emrecon.tissue.result import Segmentation, densities
from emrecon.tissue.stage_models import Strides
from emrecon.tissue.stages import Fit

Floats = NDArray[np.float64]
Marks = NDArray[np.uint8]

BINS = 200
"""Of the histogram, or a little fewer."""

_SOME = 30_000
"""Values by which the ends of a histogram are chosen."""

_FINE = 20_000
"""Steps between the ends of a histogram that are told apart."""


@dataclass(frozen=True)
class Row:
    """A class in the table."""

    name: str
    """Of the class."""

    colour: str
    """Of its label."""

    mean: tuple[float, ...]
    """Intensity in each channel."""

    sd: tuple[float, ...]
    """Spread in each channel."""

    weight: float
    """Of the class in the mixture, that of mixed voxels parted."""

    ml: float
    """Volume."""

    dice: float | None = None
    """Overlap with the truth, from 0 to 1, where that is known."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is to be seen of an estimate."""

    labels: Marks
    """On the grid of the first channel, 0 outside the mask."""

    edges: Floats
    """Of the histogram of channel 1 without the bias field, shape ``(b + 1,)``."""

    counts: Floats
    """Voxels in each bin."""

    parts: Floats
    """Voxels that each class explains in each bin, shape ``(b, k)``, in the order of `rows`."""

    rows: tuple[Row, ...]
    """The classes, in the order of their labels."""

    stage: str
    """Which voxels were looked at, in words."""

    shares: NDArray[np.float32]
    """Responsibility of each class for each block of the mask, shape ``(n, k)``."""

    blocks: NDArray[np.int32]
    """Place in `shares` of each block of the image, from 1; 0 outside the mask."""

    strides: Strides
    """Voxels along i, j, k of a block."""

    before: Floats | None = None
    """`parts` as they were before the last M-step, where there was one of this stage."""

    lesions: tuple[Row, ...] = ()
    """The lesions, whose label comes after those of the classes, where they were looked for."""

    @property
    def labelled(self) -> tuple[Row, ...]:
        """What the labels stand for, from 1."""
        return self.rows + self.lesions

    def responsibilities(self, voxel: tuple[int, ...]) -> NDArray[np.float32] | None:
        """Return how much of a voxel each class explains; None outside the mask."""
        place = tuple(i // step for i, step in zip(voxel, self.strides, strict=True))
        if not all(0 <= i < n for i, n in zip(place, self.blocks.shape, strict=True)):
            return None
        number = int(self.blocks[place])
        return self.shares[number - 1] if number else None


def seen(
    fit: Fit,
    image: Image,
    stride: Strides,
    state: State,
    truth: NDArray[Any] | None = None,
    before: State | None = None,
) -> Seen:
    """Return what is to be seen of an estimate on blocks of so many voxels of an image.

    Parameters
    ----------
    fit, image, stride, state
        The estimate.
    truth : array, optional
        True labels.
    before : State, optional
        The estimate before the last M-step.
    """
    fractions = state.fractions
    if not fractions.any():  # the first of a stage: no sweep was made
        fractions, _ = image.posterior(state, image.rules.layout.fractions)
    inside = fractions[:-1]
    order = fit.settings.ranks
    inside = inside[:, order]
    shape = tuple(-(-n // step) for n, step in zip(fit.data.mask.shape, stride, strict=True))
    small = image.lattice.paint((inside.argmax(axis=1) + 1).astype(np.uint8), shape)
    near = [np.arange(n) // step for n, step in zip(fit.data.mask.shape, stride, strict=True)]
    labels = np.asarray(small[np.ix_(*near)] * fit.data.mask, np.uint8)
    voxel_ml = fit.data.voxel_ml * float(np.prod(stride))
    volumes = inside.sum(axis=0, dtype=np.float64) * voxel_ml
    scores = dice(labels, truth, len(order))
    rows = table(fit, image, state.classes, volumes, scores)
    values = image.corrected(state.bias)[0] * image.scale[0] + image.centre[0]
    numbers = np.arange(1, len(inside) + 1, dtype=np.int32)
    blocks = np.asarray(image.lattice.paint(numbers, shape))
    view = _seen(fit, (image, state.classes), labels, values, rows, (inside, blocks, stride))
    if before is None:
        return view
    return replace(view, before=_parts(fit, (image, before.classes), view.edges, values))


def seen_at_end(fit: Fit, result: Segmentation, truth: NDArray[Any] | None = None) -> Seen:
    """Return what is to be seen of a result: with the volumes that are saved."""
    image, state = result.stages[-1].image, result.stages[-1].state
    labels = np.asarray(result.volume(result.labels).voxels, np.uint8)
    scores = dice(labels, truth, len(result.names))
    rows = table(fit, image, state.classes, result.volumes_ml, scores)
    numbers = np.arange(1, len(result.probabilities) + 1, dtype=np.int32)
    blocks = np.asarray(result.volume(numbers).voxels)
    shares = result.probabilities, blocks, (1, 1, 1)
    view = _seen(fit, (image, state.classes), labels, result.corrected[0], rows, shares)
    return replace(view, lesions=_lesions(result))


def _lesions(result: Segmentation) -> tuple[Row, ...]:
    """Return the row of lesions, where they were looked for."""
    if result.lesions is None:
        return ()
    own = result.corrected[:, result.lesions].astype(np.float64)
    empty = not own.shape[1]
    mean, sd = (
        (float("nan"),) * len(own) if empty else tuple(map(float, of(own, axis=1)))
        for of in (np.nanmean, np.nanstd)
    )
    colour, share = label_colour(len(result.names) + 1), float(result.lesions.mean())
    return (Row(LESION, colour, mean, sd, share, result.lesions_ml, None),)


def _seen(
    fit: Fit,
    model: tuple[Image, Classes],
    labels: Marks,
    values: NDArray[Any],
    rows: tuple[Row, ...],
    shares: tuple[NDArray[Any], NDArray[Any], Strides],
) -> Seen:
    values = values[np.isfinite(values)]
    some = values[:: max(1, len(values) // _SOME)]
    low, high = np.quantile(some, [0.0005, 0.9995])
    counts, edges = np.histogram(values, _bins(some, float(low), float(high)))
    parts = _parts(fit, model, edges, values)
    size, whole = model[0].lattice.size, int(fit.data.mask.sum())
    stage = f"all {size:,} voxels" if size == whole else f"{size:,} blocks"
    held = np.asarray(shares[0], np.float32), np.asarray(shares[1], np.int32), shares[2]
    return Seen(labels, edges, counts.astype(np.float64), parts, rows, stage, *held)


def _parts(fit: Fit, model: tuple[Image, Classes], edges: Floats, values: NDArray[Any]) -> Floats:
    """Return the voxels that each class of a model explains in each bin."""
    parts = densities(*model, (edges[1:] + edges[:-1]) / 2)
    finite = np.count_nonzero(np.isfinite(values))
    return np.asarray(parts[:, fit.settings.ranks] * finite * (edges[1] - edges[0]))


def _bins(values: NDArray[Any], low: float, high: float) -> Floats:
    """Return edges of bins; of as many steps each where the values come in steps.

    Bins of another width than a whole number of steps would show a comb.
    """
    if not high > low:
        return np.linspace(low - 0.5, low + 0.5, 3)
    fine = np.unique(np.rint((values - low) * (_FINE / (high - low))))
    fine = fine[(fine >= 0) & (fine <= _FINE)]
    if len(fine) < 2 or len(fine) > 2 * BINS:
        return np.linspace(low, high, BINS + 1)
    steps = np.rint((fine[-1] - fine[0]) / np.median(np.diff(fine)))
    step = (fine[-1] - fine[0]) / steps * (high - low) / _FINE
    width = step * np.ceil(steps / BINS)
    return np.asarray(low - step / 2 + width * np.arange(np.rint((high - low) / width) + 2))


def table(
    fit: Fit, image: Image, classes: Classes, volumes_ml: Floats, scores: Sequence[float | None]
) -> tuple[Row, ...]:
    """Return the classes in the image's unit, in the order of their labels.

    A class of several Gaussians has their mean and spread taken together.
    """
    layout, data = image.rules.layout, fit.data
    means = classes.means * data.scale + data.centre
    squares = classes.variances * data.scale**2 + means**2
    shares = classes.weights @ layout.fractions
    order = fit.settings.ranks
    rows = []
    for place, k in enumerate(order):
        own = layout.owners == k
        weights = np.maximum(classes.weights[: layout.gaussians][own], 1e-300)
        weights = weights / weights.sum()
        mean = weights @ means[own]
        sd = np.sqrt(np.maximum(weights @ squares[own] - mean**2, 0))
        rows.append(
            Row(
                fit.settings.names[place],
                label_colour(place + 1),
                tuple(float(value) for value in mean),
                tuple(float(value) for value in sd),
                float(shares[k]),
                float(volumes_ml[place]),
                scores[place],
            )
        )
    return tuple(rows)


def dice(labels: Marks, truth: NDArray[Any] | None, classes: int) -> list[float | None]:
    """Return each label's overlap with the truth, ``2 |A and B| / (|A| + |B|)``; None if unknown.

    A class that neither has overlaps with nothing: not a number.
    """
    if truth is None:
        return [None] * classes
    scores: list[float | None] = []
    for label in range(1, classes + 1):
        one, other = labels == label, truth == label
        size = int(one.sum()) + int(other.sum())
        scores.append(2 * int((one & other).sum()) / size if size else float("nan"))
    return scores
