"""Lesions: what no tissue explains in an image that shows them bright, and one-sided cavities.

In FLAIR images, and for blood in a CT, lesions are brighter than grey matter, the brightest
tissue; a cavity is full of fluid where maps of a brain and the other side have tissue.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.contrasts import CSF, GM, WM
from emrecon.tissue.lattice import Lattice
from emrecon.tissue.maps import Atlas
from emrecon.tissue.result import Segmentation

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

LEAST_ML, LEAST_CAVITY_ML = 0.014, 0.3
"""Least lesion: a ball of 3 mm, which criteria of multiple sclerosis ask for; and least cavity,
as sulci are not symmetric to the last."""

LEAST_WHITE = 0.2
"""Share of white matter in what surrounds a bright lesion of an MR image: bright cortex, vessels
and the choroid plexus lie elsewhere."""

MOST_RIM = 0.3
"""Share of a lesion at the edge of the mask from which it is dura or bone, which are one or two
voxels thick; blood and lesions of a cortex that the mask follows closely had up to 0.2."""

_MIRROR_MM, _SAME_MM = 6.0, 1.0  # from fluid of the other side: of a cavity's core, and all of it
_OPEN_MM, _REACH_MM = 2.5, 8.0
_ODD = 0.5


@dataclass(frozen=True, eq=False)
class Seen:
    """What lesions are looked for in: the voxels of a segmentation's mask."""

    index: tuple[NDArray[np.intp], ...]
    """Where each voxel lies."""

    shape: tuple[int, int, int]
    """Of the image."""

    affine: Floats
    """Voxels to mm, of a brain as large as a human one."""

    fractions: Floats32
    """Of CSF, GM and WM, shape ``(n, 3)``."""

    corrected: Floats32
    """Intensities without the field, shape ``(c, n)``."""

    means: Floats
    """Of CSF, GM and WM in each channel, shape ``(3, c)``."""

    outliers: Floats32
    """Probability that no class explains a voxel, shape ``(n,)``."""

    rim: Flags
    """Which voxels are at the edge of the mask, shape ``(n,)``."""

    def paint(self, values: Floats32) -> Floats32:
        """Return the image with one value for each voxel, 0 outside."""
        image = np.zeros(self.shape, np.float32)
        image[self.index] = values
        return image

    def flags(self, values: Flags) -> Flags:
        """Return the image with one flag for each voxel, none outside."""
        image = np.zeros(self.shape, bool)
        image[self.index] = values
        return image

    @property
    def spacing_mm(self) -> Floats:
        """Distance between voxel centres."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def showing(self) -> list[int]:
        """The channels in which grey matter is the brightest tissue, and fluid the darkest."""
        return [c for c, m in enumerate(self.means.T) if m[CSF] < m[WM] < m[GM]]


def without_lesions(
    segmentation: Segmentation, atlas: Atlas | None, affine: Floats, lattice: Lattice
) -> Segmentation:
    """Return a segmentation whose lesions are known and of no tissue.

    Parameters
    ----------
    segmentation : Segmentation
        The tissues.
    atlas : Atlas, optional
        Maps laid on the image, of classes from dark to bright.
    affine : array
        Voxels to mm, of a brain as large as a human one.
    lattice : Lattice
        Where the voxels lie.
    """
    seen = Seen(
        segmentation.index, segmentation.shape, affine, segmentation.fractions,
        segmentation.corrected, segmentation.classes.means, segmentation.outliers,
        edge_of(lattice),
    )  # fmt: skip
    if atlas is not None:
        atlas = replace(
            atlas, maps=np.ascontiguousarray(atlas.maps[..., segmentation.settings.ranks])
        )
    lesion = lesions(seen, atlas, ct=segmentation.settings.contrast == "CT")
    fractions, probabilities = segmentation.fractions.copy(), segmentation.probabilities.copy()
    fractions[lesion], probabilities[lesion] = 0, 0
    volumes = fractions.sum(axis=0, dtype=np.float64) * segmentation.voxel_ml
    return replace(
        segmentation,
        fractions=fractions,
        probabilities=probabilities,
        volumes_ml=volumes,
        lesions=lesion,
    )


def edge_of(lattice: Lattice) -> Flags:
    """Return which voxels have a neighbour that attracts outside the mask, shape ``(n,)``.

    Those two steps away repel: with them the edge is twice as thick, and lesions below the cortex
    would lie in it.
    """
    nearest = lattice.beside[lattice.weights > 0]
    return np.asarray((nearest == lattice.size).any(axis=0))


def lesions(seen: Seen, atlas: Atlas | None, *, ct: bool) -> Flags:
    """Return which voxels are lesions, shape ``(n,)``.

    Parameters
    ----------
    seen : Seen
        What was found of the tissues.
    atlas : Atlas, optional
        Maps laid on the image, its classes in the order CSF, GM, WM.
    ct : bool
        Whether the image is a CT, where blood may lie anywhere.

    References
    ----------
    Van Leemput et al., IEEE Trans. Med. Imaging 20, 677 (2001): outliers of the tissues that are
    bright and beside white matter.
    """
    marks = np.zeros(len(seen.outliers), bool)
    if not seen.showing and atlas is None:
        log.warning(
            "nothing tells lesions from tissue: no channel shows them brighter than grey matter "
            "(FLAIR, or blood in a CT), and there are no maps of a brain beside which cavities "
            "would show. Give a FLAIR image as a further channel, or priors (--priors)"
        )
    elif not seen.showing:
        log.warning(
            "no channel shows lesions brighter than grey matter, as FLAIR does: of lesions "
            "cavities alone are told from tissue"
        )
    for channel in seen.showing:
        marks |= bright(seen, channel, white=0.0 if ct else LEAST_WHITE)
    if atlas is not None:
        marks |= cavities(seen, atlas)
    return marks


def bright(seen: Seen, channel: int, white: float) -> Flags:
    """Return voxels of lesions brighter than grey matter: outliers, up to half their height.

    Parameters
    ----------
    seen : Seen
        What was found of the tissues.
    channel : int
        Where grey matter is the brightest tissue.
    white : float
        Least share of white matter in what surrounds a lesion.
    """
    from scipy.ndimage import binary_dilation, find_objects, label  # noqa: PLC0415 - heavy

    values, levels = seen.corrected[channel], seen.means[:, channel]
    inside = seen.flags((seen.outliers > _ODD) & (values > levels[GM]))
    image = seen.paint(np.nan_to_num(values))
    # one voxel about a core may be lesion by half, and so less bright than the brightest tissue
    near = binary_dilation(inside) & seen.flags(np.ones(len(values), bool))
    marks, _ = label(near)
    share, rim = seen.paint(seen.fractions[:, WM]), seen.flags(seen.rim)
    out = np.zeros(seen.shape, bool)
    for number, box in enumerate(find_objects(marks), 1):
        own = marks[box] == number
        level = float(np.median(image[box][own & inside[box]]))
        kept = own & (inside[box] | (image[box] > (level + levels[WM]) / 2))
        shell = own & ~kept
        beside = float(share[box][shell].mean()) if shell.any() else 0.0
        volume_ml = kept.sum() * float(np.prod(seen.spacing_mm)) / 1000
        if volume_ml >= LEAST_ML and beside >= white and rim[box][kept].mean() <= MOST_RIM:
            out[box] |= kept
    return np.asarray(out[seen.index])


def cavities(seen: Seen, atlas: Atlas) -> Flags:
    """Return voxels of thick fluid where the maps and the other side have tissue."""
    from scipy.ndimage import binary_propagation, distance_transform_edt, label  # noqa: PLC0415

    fluid, chance = seen.fractions[:, CSF] > 0.5, atlas.at(seen.index, seen.affine)
    inner = distance_transform_edt(seen.flags(fluid), seen.spacing_mm) > _OPEN_MM
    thick = distance_transform_edt(~inner, seen.spacing_mm) <= _OPEN_MM
    thick &= seen.flags(fluid)  # sulci are thinner
    there = thick & seen.flags(chance[:, CSF] < 0.5)
    odd = there & seen.flags(_from_mirrored(seen, atlas, seen.flags(fluid)) > _MIRROR_MM)
    if not odd.any():
        return np.zeros(len(fluid), bool)
    near = there & seen.flags(_from_mirrored(seen, atlas, thick) > _SAME_MM)
    near &= distance_transform_edt(~odd, seen.spacing_mm) <= _REACH_MM
    marks, _ = label(binary_propagation(odd, mask=near | odd))
    sizes = np.bincount(marks.ravel()) * float(np.prod(seen.spacing_mm)) / 1000
    sizes[0] = 0
    return np.asarray((sizes >= LEAST_CAVITY_ML)[marks[seen.index]])


def _from_mirrored(seen: Seen, atlas: Atlas, fluid: Flags) -> Floats:
    """Return how far each voxel's mirror image in the atlas lies from fluid of the image, mm."""
    from scipy.ndimage import distance_transform_edt, map_coordinates  # noqa: PLC0415 - heavy

    far = distance_transform_edt(~fluid, seen.spacing_mm)
    mirror = np.eye(4)
    axis, middle = symmetry(atlas)
    mirror[axis, axis], mirror[axis, 3] = -1, 2 * middle
    to_maps = np.linalg.inv(atlas.affine) @ atlas.matrix @ seen.affine
    back = np.linalg.inv(to_maps) @ mirror @ to_maps
    points = back[:3, :3] @ np.stack(seen.index) + back[:3, 3:]
    return np.asarray(map_coordinates(far, points, order=1, mode="nearest"), np.float64)


def symmetry(atlas: Atlas) -> tuple[int, float]:
    """Return the voxel axis of the maps that runs left to right, and where their middle is."""
    axis = int(np.abs(atlas.affine[0, :3]).argmax())
    lines = np.moveaxis(atlas.maps, axis, 0)[:, ::2, ::2].reshape(atlas.maps.shape[axis], -1)
    count, scores = len(lines), []
    for twice in range(count // 2, 3 * count // 2):
        low, high = max(0, twice - count + 1), min(count - 1, twice)
        one = lines[low : high + 1]
        scores.append((float((one * one[::-1]).sum()), twice / 2))
    return axis, max(scores)[1]
