"""Whether the counts themselves are best explained with an attenuation map where it lies.

An activity that explains the counts of one direction does not explain those of another where the
map is displaced [1]_. So coarse images are reconstructed with the map moved back and forth,
turned over, thicker and thinner, and their likelihoods tell where it belongs.

References
----------
.. [1] F. Natterer, "Determination of tissue attenuation in emission tomography of optically
   dense media", Inverse Problems 9, 731 (1993).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from emrecon.em import Iterate, em, last, until
from emrecon.errors import GeometryError
from emrecon.stop import after
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.corrections.attenuation import factors
from emrecon.tomo.emission import Emission
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.geometry.segments import Segment
from emrecon.tomo.operators.camera import CameraProjector
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.scan import Scan
from emrecon.volume import Array, Grid, Volume

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Model = Callable[[Volume], Emission]
"""The likelihood of the counts with a map."""

Likely = Callable[[Volume], float]
"""Log-likelihood of a coarse image of the counts with a map."""

STEP_MM = 16.0
"""How far a map is moved back and forth at a time."""

MOST_MM = 80.0
"""Displacement that is looked for at most, along each axis."""

LEAST_MM = 10.0
"""Least displacement that is told: without their scatter, counts of phantoms with their own maps
look displaced by up to 6 mm."""

GAIN = 25.0
"""Least gain in log-likelihood: phantoms with their own maps turned over gain up to 4, and by
chance three coordinates gain 12 once in 50,000 scans."""

GAIN_SHARE = 0.002
"""The same as a share of what the map gains beside none: with ten million counts phantoms with
their own maps, which coarse images explain no better, gain 0.0015 by a move along the axis, where
they hardly change, and 0.0003 by a turn; 10 mm across the axis are 0.02 to 0.07."""

VIEWS, PITCH_MM, MAP_MM = 24, 14.0, 6.0
"""Views, and about the size of a camera's bins, of planes and of a map's voxels."""

ACROSS_MM = 5.0
"""About the size of a ring's bins and of its voxels across the axis: where they are 14 mm the edge
of a uniform cylinder decides, and its own map fits better 6 to 10 mm away."""

UPDATES = 10
"""Updates of a coarse image."""

TURNS = {
    "with the mu-map turned left to right": (-1, 1, 1),
    "with the mu-map turned front to back": (1, -1, 1),
    "with the mu-map turned head to feet": (1, 1, -1),
    "with the mu-map turned half about the axis, as from prone to supine": (-1, -1, 1),
}
"""How maps are turned over by mistake."""

DENSITIES = {
    "with the mu-map twice as dense": 2.0,
    "with the mu-map half as dense": 0.5,
}
"""How maps are of another unit or energy, or attenuate twice."""

BEYOND_EXPECTED = 0.15
"""Least gain by another density beyond what counts gain of which the map is right, as a share of
what the map gains beside none (what scatter changes is less).

A coarse image nears the counts sooner with a denser map, and about the axis of a round body an
activity explains its counts with any: so uniform cylinders gain 0.14 to 0.47 by twice the density
of their own map, and 0.03 to 0.09 more than counts that their coarse image explains."""

EXPECTED_UPDATES = 40
"""Updates of the coarse image by which counts are expected."""


def views_around(views: int) -> NDArray[np.intp]:
    """Return the numbers of views, of so many, that suffice to tell the place of a map."""
    return np.arange(0, views, max(1, views // VIEWS))


def say_elsewhere(scan: Scan, mu: Volume) -> None:
    """Warn where a map that is moved, turned or of other density explains the counts better.

    Parameters
    ----------
    scan : Scan
        Counts and background.
    mu : Volume
        Attenuation map in 1/mm.
    """
    camera = isinstance(scan.bins, Camera)
    model, middle = (_of_camera if camera else _of_ring)(scan)
    likely, small = partial(_reached, model), _shrunk(mu.ras())
    here = likely(small)
    none = likely(_denser(small, 0))
    least = max(GAIN, GAIN_SHARE * (here - none))
    shift, best = _search(likely, small, here, least)
    ways = {words: likely(_turned(small, signs, middle)) for words, signs in TURNS.items()}
    ways |= _other_densities(model, small, here, none)
    way = max(ways, key=ways.__getitem__)
    # nor is one any better that is moved out of sight, or changed
    if none > max(here + GAIN, best - GAIN, ways[way] - GAIN):
        way = "without the mu-map"
    elif ways[way] < best + least:
        if best < here + least or np.linalg.norm(shift) < LEAST_MM:
            return
        place = "({:.0f}, {:.0f}, {:.0f}) mm (R, A, S)".format(*np.round(shift) + 0.0)
        way = f"with the mu-map moved by {place}"
    log.warning(
        "the counts fit better %s: is the map of this scan and this position, is all of the "
        "background given, and are the counts not corrected for attenuation before?",
        way,
    )


def _other_densities(model: Model, mu: Volume, here: float, none: float) -> dict[str, float]:
    """Return how likely the counts are with other densities, of those that they speak for."""
    values = {words: _reached(model, _denser(mu, times)) for words, times in DENSITIES.items()}
    better = {words: value for words, value in values.items() if value > here + GAIN}
    if not better:
        return {}
    right = partial(_reached, _as_if_right(model, mu))
    least = BEYOND_EXPECTED * max(here - none, 0.0) - right(mu)
    return {
        words: value
        for words, value in better.items()
        if value - here > right(_denser(mu, DENSITIES[words])) + least
    }


def _as_if_right(model: Model, mu: Volume) -> Model:
    """Return the model of counts that a map is right for, those expected of an image with it."""
    likelihood = model(mu)
    image = _image(likelihood, EXPECTED_UPDATES).params
    counts = likelihood.mean(image)
    return lambda other: replace(model(other), counts=counts)


def _search(likely: Likely, mu: Volume, here: float, least: float) -> tuple[Floats, float]:
    """Return how far a map is best moved, and how likely the counts are then."""
    shift, best = np.zeros(3), here
    for axis in (0, 1, 2, 0, 1, 2):
        along = _along(likely, mu, shift, best, np.eye(3)[axis] * STEP_MM)
        if along[1] > best + least:  # along a tube all are alike
            shift, best = along
        if axis == 2 and np.linalg.norm(shift) < LEAST_MM:
            break
    return shift, best


def _along(
    likely: Likely, mu: Volume, shift: Floats, here: float, step: Floats
) -> tuple[Floats, float]:
    """Return the best of places some steps apart, and of the parabola about it."""
    likelihoods = {0: here}

    def at(steps: int) -> float:
        if steps not in likelihoods:
            likelihoods[steps] = likely(_moved(mu, shift + steps * step))
        return likelihoods[steps]

    top = max((0, -1, 1), key=at)
    while top and abs(top) * STEP_MM < MOST_MM and at(top + (1 if top > 0 else -1)) > at(top):
        top += 1 if top > 0 else -1
    before, after = at(top - 1), at(top + 1)
    bend = 2 * at(top) - before - after
    best, value = shift + top * step, at(top)
    if 0 < bend < np.inf:
        between = shift + (top + (after - before) / 2 / bend) * step
        if (reached := likely(_moved(mu, between))) > value:
            best, value = between, reached
    return best, value


def _moved(mu: Volume, shift: Floats) -> Volume:
    """Return a map moved by so many mm along R, A and S."""
    affine = mu.affine.copy()
    affine[:3, 3] += shift
    return Volume(mu.voxels, affine, mu.unit)


def _turned(mu: Volume, signs: tuple[int, int, int], middle_mm: float) -> Volume:
    """Return a map turned over about the axis and the middle of the planes."""
    turn = np.diag([*map(float, signs), 1.0])
    turn[2, 3] = middle_mm * (1 - signs[2])
    return Volume(mu.voxels, turn @ mu.affine, mu.unit)


def _denser(mu: Volume, times: float) -> Volume:
    """Return a map that attenuates so many times as much."""
    return Volume(np.float32(times) * mu.voxels, mu.affine, mu.unit)


def _shrunk(mu: Volume) -> Volume:
    """Return a map of means over blocks of voxels."""
    per = [max(1, round(MAP_MM / size)) for size in mu.spacing_mm]
    wide = [(0, -n % size) for n, size in zip(mu.voxels.shape, per, strict=True)]
    voxels = _blocks(np.pad(mu.voxels, wide), per) / np.float32(np.prod(per))
    affine = mu.affine @ np.diag([*map(float, per), 1.0])
    affine[:3, 3] += mu.affine[:3, :3] @ (np.array(per) - 1) / 2
    return Volume(voxels, affine, mu.unit)


def _of_ring(scan: Scan) -> tuple[Model, float]:
    """Return the likelihood of the direct planes of a ring scanner, and their middle."""
    bins = scan.bins
    assert isinstance(bins, Bins)  # noqa: S101 - for the type alone
    direct = bins.segments[0]
    z_mm = bins.plane_z_mm[: direct.planes]
    per = (max(1, bins.shape[0] // VIEWS), _size(bins.s_mm, ACROSS_MM), _size(z_mm))

    def coarse(data: Array, live: NDArray[np.bool_]) -> Array:
        flat = data.sum(axis=0) if data.ndim == 4 else data
        return _blocks(np.where(live, flat, 0), per)

    parts = _coarse_parts(scan, coarse, slice(0, direct.planes))
    phi_rad, s_mm, planes_mm = map(_means, (bins.phi_rad, bins.s_mm, z_mm), per)
    step = direct.step_mm * per[2]
    plane = Segment(planes_mm.size, float(planes_mm[0]), step)
    layout = replace(
        bins, phi_rad=phi_rad, s_mm=s_mm, segments=(plane,), timing=None, scanner=None
    )
    half = int(np.ceil(bins.fov_mm / ACROSS_MM))
    shape, corner = (2 * half + 1, 2 * half + 1, plane.planes), -half * ACROSS_MM
    grid = Grid(shape, (ACROSS_MM, ACROSS_MM, step), (corner, corner, plane.first_mm))
    system = JosephProjector(grid, layout)

    def model(mu: Volume) -> Emission:
        prompts, efficiency, background = parts
        return Emission(system, prompts, efficiency * factors(mu, layout), background)

    return model, float(z_mm[0] + z_mm[-1]) / 2


def _of_camera(scan: Scan) -> tuple[Model, float]:
    """Return the likelihood of some views of a gamma camera, and the middle of its planes."""
    camera = scan.bins
    assert isinstance(camera, Camera)  # noqa: S101 - for the type alone
    every = max(1, camera.shape[0] // VIEWS)
    per = (_size(camera.u_mm), _size(camera.z_mm))

    def coarse(data: Array, live: NDArray[np.bool_]) -> Array:
        return _blocks(np.where(live, data, 0)[::every], (1, *per))

    prompts, efficiency, background = _coarse_parts(scan, coarse, slice(None))
    u_mm, z_mm = map(_means, (camera.u_mm, camera.z_mm), per)
    layout = Camera(camera.theta_rad[::every], camera.radius_mm[::every], u_mm, z_mm)
    grid = layout.grid()

    def model(mu: Volume) -> Emission:
        system = CameraProjector(grid, layout, scan.response, mu)
        return Emission(system, prompts, efficiency, background)

    return model, float(camera.z_mm[0] + camera.z_mm[-1]) / 2


def _coarse_parts(
    scan: Scan, coarse: Callable[[Array, NDArray[np.bool_]], Array], planes: slice
) -> tuple[Array, Array, Array]:
    """Return prompts, efficiency and background of the coarse bins, of what takes part."""
    efficiency = scan.normalisation
    if efficiency is None:
        efficiency = np.ones(scan.bins.shape, np.float32)
    efficiency = efficiency[..., planes]
    live = efficiency > 0
    prompts = coarse(scan.prompts[..., planes], live)
    background = np.zeros_like(prompts)
    for data in (scan.randoms, scan.scatter):
        if data is not None:
            background += coarse(data[..., planes], live)
    return prompts, coarse(efficiency, live), background


def _reached(model: Callable[[Volume], Emission], mu: Volume) -> float:
    """Return the log-likelihood of the coarse image that is near the counts."""
    try:
        likelihood = model(mu)
    except GeometryError:  # the map is moved out of sight
        return -np.inf
    return _image(likelihood, UPDATES).log_likelihood


def _image(likelihood: Emission, updates: int) -> Iterate[Array]:
    """Return the coarse image after some updates."""
    seen = likelihood.sensitivity
    flat = np.float32(likelihood.counts.sum() / max(seen.sum(), 1e-9)) * (seen > 0)
    return last(until(em(repeat(Mlem(likelihood)), flat), after(updates)))


def _size(places: Floats, pitch_mm: float = PITCH_MM) -> int:
    """Return how many neighbouring places make a coarse one."""
    if places.size == 1:
        return 1
    return min(places.size, max(1, round(pitch_mm / float(np.median(np.diff(places))))))


def _means(places: Floats, size: int) -> Floats:
    """Return the mean of every so many places, of whole groups alone."""
    whole = places[: places.size // size * size].reshape(-1, size)
    return np.asarray(whole.mean(axis=1), np.float64)


def _blocks(data: Array, per: Sequence[int]) -> Array:
    """Return sums over blocks of so many neighbours along each axis, whole blocks alone."""
    for axis, size in enumerate(per):
        count = data.shape[axis] // size
        begins = np.arange(count) * size
        whole = data.take(range(count * size), axis)
        data = np.add.reduceat(whole, begins, axis=axis, dtype=np.float64)
    return data.astype(np.float32)
