"""Whether an attenuation map lies where the counts come from: what it covers, what it misses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emrecon.tomo.corrections.attenuation import Field, event_factors
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.scan import Scan
from emrecon.volume import Array, Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

TISSUE = 0.004
"""Least attenuation of soft tissue in 1/mm, from 140 keV (water 0.0153) to 511 keV (0.0096)."""

CUT = 0.02
"""Share of a map's outer face in which it may hold tissue: tables and noise do."""

LINE = 0.05
"""Least integral of mu along a line that meets the body: 5 mm of water at 511 keV."""

BESIDE = 0.15
"""Share of the counts that may come from lines beside the body: scatter that is not given does."""

FEW_EVENTS = 20_000
"""Events of which the ends are put together anew, to tell where randoms lie."""

NO_TISSUE = ", which has none"
"""What is said in place of where the tissue lies."""

BLUR_MM = 20.0
"""How far from the body a collimator's resolution carries counts."""


class Extent(Protocol):
    """What ring scanners and gamma cameras see."""

    @property
    def fov_mm(self) -> float:
        """Distance from the axis of the farthest line."""
        ...

    @property
    def plane_z_mm(self) -> Floats:
        """Where the planes lie along the axis."""
        ...


def say_cover(mu: Volume, bins: Extent) -> None:
    """Warn where a map is shorter than the planes, or ends in tissue that the scanner sees."""
    turned = mu.ras()
    z = bins.plane_z_mm
    low, high = float(z.min()), float(z.max())
    corners = np.array(list(np.ndindex(2, 2, 2))) * np.array(mu.voxels.shape) - 0.5
    ends = corners @ mu.affine[2, :3] + mu.affine[2, 3]
    half = mu.spacing_mm[2] / 2
    if ends.min() > low + half or ends.max() < high - half:
        log.warning(
            "the mu-map covers %.1f to %.1f mm of the axial field of view %.1f to %.1f mm; there "
            "is taken to be air beyond it",
            ends.min(), ends.max(), low, high,
        )  # fmt: skip
    for axis in (0, 1):
        for end in (0, turned.voxels.shape[axis] - 1):
            _say_cut(turned, axis, end, (bins.fov_mm, low, high))


def _say_cut(mu: Volume, axis: int, end: int, seen: tuple[float, float, float]) -> None:
    """Warn where a map's outer face at one end of an axis cuts tissue that is seen."""
    index = np.indices(mu.voxels.shape).take([end], axis + 1).reshape(3, -1)
    x, y, z = mu.affine[:3, :3] @ index + mu.affine[:3, 3:]
    inside = (np.hypot(x, y) < seen[0]) & (z >= seen[1]) & (z <= seen[2])
    face = mu.voxels.take([end], axis).ravel()[inside]
    if face.size and np.mean(face > TISSUE) > CUT:
        log.warning(
            "the mu-map ends in tissue at %s = %.0f mm, within the field of view of %.0f mm about "
            "the axis; there is taken to be air beyond it",
            "xy"[axis], float((x, y)[axis][inside].mean()), seen[0],
        )  # fmt: skip


def beside_axis(mu: Volume, camera: Camera) -> Floats:
    """Return how far the middle of a map lies from the axis and the middle of the planes, mm."""
    middle = mu.affine[:3, :3] @ (np.array(mu.voxels.shape[-3:]) - 1) / 2 + mu.affine[:3, 3]
    return np.asarray(middle - (0, 0, (camera.z_mm[0] + camera.z_mm[-1]) / 2), np.float64)


def on_axis(mu: Volume, camera: Camera) -> Volume:
    """Return a map moved so that its middle is on a camera's axis, and in its planes' middle."""
    affine = mu.affine.copy()
    affine[:3, 3] -= beside_axis(mu, camera)
    return Volume(mu.voxels, affine, mu.unit)


def say_half_voxel(mu: Volume, camera: Camera) -> None:
    """Warn where the middle of a map lies half a voxel beside that of a camera's field of view.

    STIR's images of even size do by their headers, and its projector of SPECT centres all maps.
    """
    moved = beside_axis(mu, camera)
    voxels = np.abs(moved) / mu.ras().spacing_mm
    if np.any(np.abs(voxels - 0.5) < 0.1) and voxels.max() < 0.6:
        log.warning(
            "the middle of the mu-map lies %.3g, %.3g, %.3g mm (R, A, S) beside the axis of "
            "rotation and the middle of the planes, which is half a voxel: if it is a map of "
            "STIR's, whose SPECT projector centres it whatever its header says, give --mu-centred",
            *moved,
        )


def say_counts_beside(bins: Bins, scan: Scan, survival: Array, what: str = "mu-map") -> None:
    """Warn where many counts of a ring scanner lie on lines that meet no tissue.

    Parameters
    ----------
    bins : Bins
        The lines.
    scan : Scan
        Prompts and background in these bins.
    survival : array
        What `emrecon.tomo.corrections.attenuation.factors` gives.
    what : str, optional
        What the tissue is known from.
    """
    counts, tissue = _Centre(bins), _Centre(bins)
    total = beside = 0.0
    for view in range(len(survival)):
        integral = -np.log(np.maximum(survival[view], np.float32(1e-30)))
        net = net_counts(scan, view)
        beside += float(net[integral < LINE].sum())
        total += float(net.sum())
        counts.add(view, net)
        tissue.add(view, integral.astype(np.float64))
    places = f": counts are centred at {counts}, tissue at {tissue}" if tissue else NO_TISSUE
    _say_share(beside, total, places, what)


def say_camera_counts_beside(camera: Camera, scan: Scan, mu: Volume) -> None:
    """Warn where many counts of a gamma camera lie beside the shadow of the map's tissue.

    Parameters
    ----------
    camera : Camera
        Where it stood.
    scan : Scan
        Its prompts and background.
    mu : Volume
        Attenuation map with axes along R, A and S.
    """
    total = beside = 0.0
    nets = np.stack([net_counts(scan, view) for view in range(len(camera.theta_rad))])
    for plane, least, most in _shadows(camera, mu):
        net = nets[:, :, plane]
        off = (camera.u_mm < least[:, None]) | (camera.u_mm > most[:, None])
        total, beside = total + float(net.sum()), beside + float(net[off].sum())
    _say_share(beside, total, _extent(mu))


def events_survival(
    mu: Volume, bins: Field, parts: Iterable[Events], background: Callable[[], float]
) -> Iterator[Array]:
    """Yield what `event_factors` does, and warn at the end where many events meet no tissue.

    Parameters
    ----------
    mu : Volume
        Attenuation map in 1/mm.
    bins : Field
        Where the scanner sees anything.
    parts : iterable of Events
        Measured events, a chunk at a time.
    background : callable
        Returns, after the last of them, how many are background, which lie where randoms do.
    """
    say_cover(mu, bins)
    count = beside = 0
    first: list[Events] = []
    for survival in event_factors(mu, bins, _kept(parts, first)):
        count += survival.size
        beside += int(np.count_nonzero(survival > np.exp(-LINE)))
        yield survival
    random = background()
    by_chance = random * (_random_share(mu, bins, first[0]) if random and first else 1.0)
    _say_share(beside - by_chance, count - random, _extent(mu))


def _kept(parts: Iterable[Events], first: list[Events]) -> Iterator[Events]:
    """Yield the parts, and keep some events of the first one."""
    for chunk in parts:
        if not first and chunk.pairs.size:
            first.append(Events(chunk.points_mm, np.array(chunk.pairs[:FEW_EVENTS])))
        yield chunk


def _random_share(mu: Volume, bins: Field, events: Events) -> float:
    """Return the share of random coincidences that meet no tissue.

    Their ends are of different events: so they are those of these events, put together anew.
    """
    mixed = np.random.default_rng(0).permutation(events.pairs.ravel()).reshape(-1, 2)
    start, end = events.points_mm[mixed].astype(np.float64).transpose(1, 0, 2)[..., :2]
    step = end - start
    length = np.maximum(np.hypot(*step.T), 1e-9)
    from_axis = np.abs(start[:, 0] * step[:, 1] - start[:, 1] * step[:, 0]) / length
    seen = (length > 1) & (from_axis < bins.fov_mm)
    if not seen.any():
        return 1.0
    (survival,) = event_factors(mu, bins, [Events(events.points_mm, mixed[seen])])
    return float(np.mean(survival > np.exp(-LINE)))


class _Centre:
    """Gathers where the centre of counts, or of tissue, lies from their projections."""

    def __init__(self, bins: Bins) -> None:
        self._bins = bins
        self._width = np.gradient(bins.s_mm) if bins.s_mm.size > 1 else np.ones(1)
        self._seen: list[tuple[float, float, float]] = []
        self._axial = self._total = 0.0

    def add(self, view: int, data: Floats) -> None:
        """Add a view ``[bin, plane]``."""
        data = data * self._width[:, None]
        total = float(data.sum())
        self._total += total
        self._axial += float(data.sum(axis=0) @ self._bins.plane_z_mm)
        if total > 0:
            phi = float(self._bins.phi_rad[view])
            along = float(data.sum(axis=1) @ self._bins.s_mm) / total
            self._seen.append((np.cos(phi), np.sin(phi), along))

    def __bool__(self) -> bool:
        return self._total > 0

    def __str__(self) -> str:
        rows = np.array(self._seen).reshape(-1, 3)
        (x, y), *_ = np.linalg.lstsq(rows[:, :2], rows[:, 2], rcond=None)
        place = np.array([x, y, self._axial / max(self._total, 1e-30)])
        return _place(place)


def net_counts(scan: Scan, view: int) -> Floats:
    """Return the counts of a view ``[bin, plane]`` without their background."""

    def whole(part: Array) -> Floats:
        data = part[..., view, :, :].astype(np.float64)
        return data.sum(axis=0) if data.ndim == 3 else data

    net = whole(scan.prompts)
    for part in (scan.randoms, scan.scatter):
        if part is not None:
            net = net - whole(part)
    return net if scan.normalisation is None else net * (scan.normalisation[view] > 0)


def _shadows(camera: Camera, mu: Volume) -> Iterator[tuple[int, Floats, Floats]]:
    """Yield each plane with the least and the greatest u of tissue near it in every view."""
    grid = mu.ras().grid()
    tissue = mu.ras().voxels > TISSUE
    x, y, z = (grid.centres_mm(axis) for axis in range(3))
    cos, sin = np.cos(camera.theta_rad)[:, None], np.sin(camera.theta_rad)[:, None]
    for plane, place in enumerate(camera.z_mm):
        columns = np.asarray(np.any(tissue[:, :, np.abs(z - place) <= BLUR_MM], axis=2))
        rows = np.flatnonzero(columns.any(axis=1))
        if not rows.size:
            nowhere = np.full(cos.size, np.inf)
            yield plane, nowhere, -nowhere
            continue
        first = columns[rows].argmax(axis=1)
        last = columns.shape[1] - 1 - columns[rows, ::-1].argmax(axis=1)
        u = -np.tile(x[rows], 2) * sin + y[np.concatenate([first, last])] * cos
        yield plane, u.min(axis=1) - BLUR_MM, u.max(axis=1) + BLUR_MM


def _extent(mu: Volume) -> str:
    """Return in words where the tissue of a map is."""
    index = np.argwhere(mu.voxels > TISSUE)
    if not len(index):
        return NO_TISSUE
    return (
        f": its middle is at {_place(mu.affine[:3, :3] @ index.mean(axis=0) + mu.affine[:3, 3])}"
    )


def _place(place: Floats) -> str:
    """Return a place in words."""
    return "({:.0f}, {:.0f}, {:.0f}) mm (R, A, S)".format(*np.round(place) + 0.0)  # no "-0"


def _say_share(beside: float, total: float, places: str, what: str = "mu-map") -> None:
    """Warn where more than a small share of the counts, and no chance, lies beside the body."""
    if total > 0 and beside > BESIDE * total + 3 * np.sqrt(max(beside, 0.0)):
        log.warning(
            "%.0f %% of the counts come from beside the tissue of the %s%s; is it of this "
            "scan and this position, and is all of the background given?",
            100 * beside / total, what, places,
        )  # fmt: skip
