"""The segmentation that the panel runs: the command line's own job, pass by pass.

It is made of `emrecon.jobs_tissue.begin` and `finish`, so the bits are the same. Nothing here
knows Qt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from emrecon.em import Iterate
from emrecon.jobs_tissue import COLOURS, Begun, Segmented, begin, finish
from emrecon.metrics.compare import onto
from emrecon.stop import pressed
from emrecon.tissue.classes import Classes
from emrecon.tissue.field import Image, State
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.result import Segmentation, densities
from emrecon.tissue.settings import Settings
from emrecon.tissue.stages import Fit, Strides
from emrecon.volume import Volume
from napari_plugin.session import Session

Floats = NDArray[np.float64]
Marks = NDArray[np.uint8]

BINS = 200
"""Of the histogram, or a little fewer."""


_SOME = 30_000
"""Values by which the ends of a histogram are chosen."""

_FINE = 20_000
"""Steps between the ends of a histogram that are told apart."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What to segment, and how."""

    images: tuple[Path, ...]
    """Channels: files, or names in `given`."""

    settings: Settings = field(default_factory=Settings)
    """How."""

    inputs: TissueInputs = field(default_factory=TissueInputs)
    """Mask, priors, means: files, or names in `given`."""

    given: Mapping[Path, Volume] = field(default_factory=dict)
    """Images that are in memory."""


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


@dataclass(frozen=True, eq=False)
class Outcome:
    """A run that ended."""

    begun: Begun
    """What was segmented."""

    result: Segmentation
    """What was found."""

    stopped: bool
    """Whether Stop ended it."""

    choice: Choice
    """What was run."""

    def save(self, folder: Path) -> Segmented:
        """Write labels, maps, pictures and sidecar to a folder."""
        return finish(self.begun, self.result, folder)


class TissueJob:
    """Segments for a session; what it has so far can be read from another thread.

    Parameters
    ----------
    choice : Choice
        What to segment.
    truth : callable, optional
        Returns true labels, numbered as the classes.
    show : callable, optional
        Turns labels of the first channel's grid as a layer shows them.
    """

    def __init__(
        self,
        choice: Choice,
        truth: Callable[[], Volume | None] = lambda: None,
        show: Callable[[Volume], NDArray[Any]] = lambda volume: volume.voxels,
    ) -> None:
        self.choice, self._truth_of, self._show = choice, truth, show
        self.begun: Begun | None = None
        self.seen: Seen | None = None
        self.passes = 0
        self.picture_s = 0.0
        self._truth: NDArray[Any] | None = None

    def __call__(self, session: Session) -> Outcome:
        """Run to the end, or until stopped."""
        session.preparing(0, 0)
        choice = self.choice
        begun = begin(choice.images, choice.settings, choice.inputs, given=_alike(choice))
        session.preparing(0, 0)
        truth = self._truth_of()
        if truth is not None:
            self._truth = np.rint(onto(truth, begun.channels[0], 0))
        self.begun = begun

        def look(
            image: Image, stride: Strides, most: int
        ) -> Sequence[Callable[[Iterate[State]], object]]:
            before = self.passes
            session.stage(before + most - 1)

            def observe(iterate: Iterate[State]) -> None:
                number = before + iterate.number
                self.passes = number + 1
                session.look(number, lambda: self._picture(image, stride, iterate.params))

            return [observe]

        stages = begun.fit.stages(look, pressed(session.control))
        stopped, session.total = session.control.is_set(), self.passes - 1
        session.note = "working out volumes and how sure they are"
        result = begun.fit.finish(stages)
        session.note = ""
        self.seen = self._final(begun, result)
        session.last(session.number, lambda: self._turned(self.seen))
        return Outcome(begun, result, stopped, choice)

    def _picture(self, image: Image, stride: Strides, state: State) -> NDArray[Any]:
        if self.begun is None:
            raise RuntimeError("an iterate came before the job began")
        began = time.perf_counter()
        self.seen = seen(self.begun.fit, image, stride, state, self._truth)
        picture = self._turned(self.seen)
        self.picture_s = time.perf_counter() - began
        return picture

    def _turned(self, what: Seen | None) -> NDArray[Any]:
        if what is None or self.begun is None:
            raise RuntimeError("there is nothing to show yet")
        return self._show(Volume(what.labels, self.begun.fit.data.affine))  # type: ignore[arg-type] # labels

    def _final(self, begun: Begun, result: Segmentation) -> Seen:
        """Return the result as it is seen: with the volumes that are saved."""
        image, state = result.stages[-1].image, result.stages[-1].state
        labels = np.asarray(result.volume(result.labels).voxels, np.uint8)
        values = result.corrected[0]
        scores = dice(labels, self._truth, len(result.names))
        rows = table(begun.fit, image, state.classes, result.volumes_ml, scores)
        return _seen(begun.fit, (image, state.classes), labels, values, rows)


def seen(
    fit: Fit, image: Image, stride: Strides, state: State, truth: NDArray[Any] | None = None
) -> Seen:
    """Return what is to be seen of an estimate on blocks of so many voxels of an image."""
    fractions = state.fractions
    if not fractions.any():  # the first of a stage: no sweep was made
        fractions, _ = image.posterior(state, image.rules.layout.fractions)
    inside = fractions[:-1]
    order = np.arange(inside.shape[1])[:: -1 if fit.settings.reversed else 1]
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
    return _seen(fit, (image, state.classes), labels, values, rows)


def _seen(
    fit: Fit,
    model: tuple[Image, Classes],
    labels: Marks,
    values: NDArray[Any],
    rows: tuple[Row, ...],
) -> Seen:
    values = values[np.isfinite(values)]
    some = values[:: max(1, len(values) // _SOME)]
    low, high = np.quantile(some, [0.0005, 0.9995])
    counts, edges = np.histogram(values, _bins(some, float(low), float(high)))
    parts = densities(*model, (edges[1:] + edges[:-1]) / 2)
    parts = parts[:, :: -1 if fit.settings.reversed else 1] * len(values) * (edges[1] - edges[0])
    size, whole = model[0].lattice.size, int(fit.data.mask.sum())
    stage = f"all {size:,} voxels" if size == whole else f"{size:,} blocks"
    return Seen(labels, edges, counts.astype(np.float64), parts, rows, stage)


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
    order = np.arange(layout.classes)[:: -1 if fit.settings.reversed else 1]
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
                COLOURS[place % len(COLOURS)],
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


def _alike(choice: Choice) -> dict[Path, Volume]:
    """Return the images in memory, their axes turned like those of the first channel's file.

    A layer shows its file's voxels turned towards R, A and S; turned back they lie on its grid.
    """
    first = choice.images[0] if choice.images else None
    if first is None or first in choice.given or not choice.given:
        return dict(choice.given)
    from emrecon import io  # noqa: PLC0415 - only where files and layers are mixed

    ornt = io_orientation(io.read_image(first).affine)
    return {name: _turned_to(volume, ornt) for name, volume in choice.given.items()}


def _turned_to(volume: Volume, ornt: NDArray[np.float64]) -> Volume:
    """Return a volume with its axes permuted and reversed to run along the world as given."""
    change = ornt_transform(io_orientation(volume.affine), ornt)
    voxels = np.ascontiguousarray(apply_orientation(volume.voxels, change))
    affine = volume.affine @ inv_ornt_aff(change, volume.voxels.shape)
    return Volume(voxels, affine, volume.unit)
