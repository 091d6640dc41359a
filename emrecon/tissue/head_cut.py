"""The space inside the skull, cut out of a head where bone makes that cheapest.

The surface about it is the one of least cost: cheap through bone, which is darker than any tissue,
and through fat where that is brightest, dear elsewhere; inside and outside are preferred by where
maps of an average brain lie on the head. So fluid at the vertex is kept, muscle and orbits are
left out, and holes in the skull are closed by the smallest lid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import DataError
from emrecon.tissue.contrasts import WINDOW_HU, Walls
from emrecon.tissue.head_pose import INNER, find, refine, shelled
from emrecon.tissue.kernels import atlas as kernel
from emrecon.tissue.mask import head_mask, largest
from emrecon.tissue.rim import without_rim
from emrecon.volume import Volume

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

_WORK_MM = 2.0
_BAND_MM = 20.0  # from the maps' edge, beyond which inside and outside are settled
_SMOOTH_MM = 25.0  # of white matter's level
_ALIKE = 0.15  # of white matter's level, within which voxels tell it
_BRIGHT, _BRIGHT_WIDTH = 1.2, 0.05  # fat, in white matter's level
_BONE_HU, _FAT_HU = 75.0, -25.0  # half-way from tissue, but for bone that is cut to the window

_NEAR_MM = 12.0  # beyond the first cut, what is looked at again
_UNIT = 100  # capacities are whole numbers


@dataclass(frozen=True)
class Costs:
    """What a cut costs; the maps' and the bone's say are for a voxel of 8 mm3."""

    tissue: float
    """Cost of 4 mm2 through tissue."""

    bone: float
    """Cost of 4 mm2 through bone."""

    outside: float
    """How much bone or fat is outside."""

    per_mm: float
    """How much a mm from the edge of the maps' brain says."""

    most: float
    """Most that the maps say of a voxel."""

    edge_mm: float
    """How far beyond the maps' brain inside and outside are as likely."""


FIRST = Costs(2.65, 0.15, 3.0, 0.075, 1.2, 1.0)
"""Bone decides: the maps may lie 15 mm off at the skull's base."""

LAST = Costs(0.7, 0.1, 4.0, 0.08, 1.5, 3.0)
"""The maps lie well."""


@dataclass(frozen=True, eq=False)
class Coarse:
    """A head in voxels of about 2 mm, and where the maps lie on it."""

    image: Floats32
    """Means of blocks."""

    chances: Floats32
    """Probabilities of fluid, grey and white matter, shape ``(i, j, k, 3)``."""

    depth_mm: Floats
    """Distance from the edge of the maps' brain, above 0 inside."""

    spacing_mm: Floats
    """Of the voxels."""


def strip_with_maps(image: Volume, maps: Floats32, affine: Floats, walls: Walls) -> Flags:
    """Return the space inside the skull of a head, shape ``(i, j, k)``.

    Parameters
    ----------
    image : Volume
        A whole head.
    maps : float32 array, shape (i, j, k, 3)
        Probabilities of fluid, grey and white matter of an average brain.
    affine : array
        Voxels of the maps to atlas mm.
    walls : str
        What lies about the brain in images of the contrast; a CT is cut to a window from 0, see
        `emrecon.tissue.find_brain.windowed`.

    Raises
    ------
    DataError
        If there is no head, or no tissues are told apart where the maps lie.

    References
    ----------
    Boykov and Jolly, ICCV 1, 105 (2001); Sadananthan et al., NeuroImage 49, 225 (2010).
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy, only heads need it

    around, moved = shelled(maps, affine)
    steps = [max(round(_WORK_MM / d), 1) for d in image.spacing_mm]

    def cut(pose: Floats, costs: Costs) -> Flags:
        coarse = _coarse(image, np.linalg.inv(moved) @ pose, around, steps)
        return _cut(coarse, _walls(coarse, walls), costs)

    pose = find(image, around, moved, turned=walls == "bone and fat")
    first = cut(pose, FIRST)
    beyond = distance_transform_edt(~first, np.array(image.spacing_mm) * steps)
    near = _fine(beyond < _NEAR_MM, steps, image.voxels.shape)
    better = refine(image, near, around, moved, pose)
    inside = _fine(cut(better, LAST), steps, image.voxels.shape)
    return without_rim(image, inside) if walls == "bone and fat" else inside


def _coarse(image: Volume, to_maps: Floats, maps: Floats32, steps: list[int]) -> Coarse:
    """Return the head in larger voxels, and where the maps lie on it."""
    from scipy import ndimage  # noqa: PLC0415 - heavy, and only heads need it

    cut = tuple(slice(s // 2, None, s) for s in steps)
    means = ndimage.uniform_filter(np.nan_to_num(image.voxels), steps)[cut]
    index = np.stack(np.meshgrid(*map(np.arange, means.shape), indexing="ij"), axis=-1)
    middle = [s // 2 - (0.0 if s % 2 else 0.5) for s in steps]
    points = index.reshape(-1, 3) * steps + middle
    whole = to_maps @ image.affine
    chances = np.empty((len(points), maps.shape[3]), np.float32)
    kernel.sample(maps, np.ascontiguousarray(points @ whole[:3, :3].T + whole[:3, 3]), chances)
    inner = np.ascontiguousarray(chances[:, :INNER]).reshape(*means.shape, INNER)
    brain = inner.sum(axis=3) > 0.5
    if not brain.any():
        raise DataError("no brain could be made out in the image: give a mask")
    spacing = np.array(image.spacing_mm) * steps
    edt = ndimage.distance_transform_edt
    return Coarse(means, inner, edt(brain, spacing) - edt(~brain, spacing), spacing)


def _walls(head: Coarse, walls: Walls) -> Floats:
    """Return how certainly each voxel is bone or fat, 0 to 1."""
    if walls == "bright bone":
        return _walls_of_ct(head)
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy, only heads need it
    from skimage.filters import threshold_multiotsu  # noqa: PLC0415 - heavy, only heads need it

    deep = head.depth_mm > 15
    level = _white_level(head, deep)
    ratio = head.image / level
    values = ratio[deep]
    low, high = np.quantile(values, [0.001, 0.999])
    values = values[(values > low) & (values < high)]
    if len(np.unique(values)) < 4:
        raise DataError("no tissue could be told from another in the head: give a mask")
    fluid = threshold_multiotsu(values, 3)[0]  # type: ignore[no-untyped-call]
    darkest = float(np.percentile(values[values < fluid], 35))  # mixed voxels are the others
    outside = head.image[~head_mask(head.image)]
    air = float(np.median(outside)) / float(np.median(level)) if outside.size else 0.0
    smooth = gaussian_filter(ratio, 1.0 / head.spacing_mm)
    edge, width = (darkest + air) / 2, max(0.12 * (darkest - air), 0.02)
    wall = _sigmoid((edge - smooth) / width)
    if walls == "bone and fat":
        wall = np.maximum(wall, _sigmoid((smooth - _BRIGHT) / _BRIGHT_WIDTH))
    return wall


def _walls_of_ct(head: Coarse) -> Floats:
    """Return how certainly each voxel of a CT, cut to a window from 0, is bone, fat or air."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy, only heads need it

    smooth = gaussian_filter(head.image, 0.7 / head.spacing_mm) + WINDOW_HU[0]
    bone = _sigmoid((smooth - _BONE_HU) / 6)
    return np.maximum(bone, _sigmoid((_FAT_HU - smooth) / 6))


def _white_level(head: Coarse, deep: Flags) -> Floats:
    """Return white matter's level in every voxel: its mean about there, where it is sure."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy, only heads need it

    white = head.chances[..., 2]
    sure = deep & (white > 0.7)
    if not sure.any():
        raise DataError("no white matter could be made out in the head: give a mask")
    level: Floats = np.full(white.shape, np.median(head.image[sure]))
    sigma = _SMOOTH_MM / head.spacing_mm
    for depth_mm in (15.0, 6.0):
        like = (white > 0.3) & (head.depth_mm > depth_mm)
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 is like nothing
            like &= np.abs(head.image / level - 1) < _ALIKE
        count = gaussian_filter(like.astype(np.float32), sigma)
        total = gaussian_filter(np.where(like, head.image, 0), sigma)
        level = np.where(count > 1e-4, total / np.maximum(count, 1e-6), level)
    return np.maximum(level, 1e-6)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -50, 50))))


def _cut(head: Coarse, wall: Floats, costs: Costs) -> Flags:
    """Return what is inside the surface of least cost."""
    from scipy.ndimage import binary_fill_holes  # noqa: PLC0415 - heavy, only heads need it
    from scipy.sparse import coo_array  # noqa: PLC0415 - heavy, only heads need it
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow  # noqa: PLC0415 - as above

    band = np.abs(head.depth_mm) < _BAND_MM + 2
    number, nodes = np.full(band.shape, -1, np.int32), int(band.sum())
    number[band] = np.arange(nodes)
    inward = _inward(head, wall, costs)[band]
    inner, outer = np.flatnonzero(inward > 0), np.flatnonzero(inward < 0)
    rows = [np.full(inner.size, nodes), outer]
    columns = [inner, np.full(outer.size, nodes + 1)]
    paid = [inward[inner], -inward[outer]]
    for one, other, cost in _faces(head, wall, number, costs):
        rows += [one, other]
        columns += [other, one]
        paid += [cost, cost]
    ends = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_array((np.concatenate(paid), ends), shape=(nodes + 2, nodes + 2)).tocsr()
    left = graph - maximum_flow(graph, nodes, nodes + 1).flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = np.zeros(nodes + 2, bool)
    reached[breadth_first_order(left, nodes, return_predecessors=False)] = True
    inside = head.depth_mm > 0
    inside[band] = reached[:nodes]
    return np.asarray(binary_fill_holes(largest(inside)))


def _inward(head: Coarse, wall: Floats, costs: Costs) -> NDArray[np.int32]:
    """Return how much each voxel would be inside, below 0 outside, in the cuts' unit."""
    votes = np.clip(costs.per_mm * (head.depth_mm + costs.edge_mm), -costs.most, costs.most)
    votes = votes - costs.outside * wall
    unit = _UNIT * float(np.prod(head.spacing_mm)) / 8
    settled = np.abs(head.depth_mm) > _BAND_MM
    votes = np.where(settled, 30 * np.sign(head.depth_mm), votes)
    return np.rint(unit * votes).astype(np.int32)


def _faces(
    head: Coarse, wall: Floats, number: NDArray[np.int32], costs: Costs
) -> list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]]:
    """Return the two voxels of each face in the band, and what it costs to cut there."""
    faces = []
    for axis, spacing in enumerate(head.spacing_mm):
        lines, walls = np.moveaxis(number, axis, 0), np.moveaxis(wall, axis, 0)
        both = (lines[:-1] >= 0) & (lines[1:] >= 0)
        area = float(np.prod(head.spacing_mm)) / spacing / 4
        dear = 1 - np.maximum(walls[:-1][both], walls[1:][both])
        cost = _UNIT * area * (costs.bone + (costs.tissue - costs.bone) * dear)
        faces.append((lines[:-1][both], lines[1:][both], np.rint(cost).astype(np.int32)))
    return faces


def _fine(inside: Flags, steps: list[int], shape: tuple[int, ...]) -> Flags:
    """Return flags of blocks on the image's voxels, cut half-way between the blocks' middles."""
    share = inside.astype(np.float32)
    for axis, (step, count) in enumerate(zip(steps, shape, strict=True)):
        at = (np.arange(count) - (step // 2 - (0.0 if step % 2 else 0.5))) / step
        low = np.clip(np.floor(at), 0, share.shape[axis] - 1).astype(int)
        high = np.minimum(low + 1, share.shape[axis] - 1)
        fraction = np.clip(at - low, 0, 1).astype(np.float32)
        lines = np.moveaxis(share, axis, -1)
        share = np.moveaxis(
            lines[..., low] * (1 - fraction) + lines[..., high] * fraction, -1, axis
        )
    return np.asarray(share > 0.5)
