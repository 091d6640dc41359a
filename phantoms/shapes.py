"""Convex bodies whose points, volumes and chords are known exactly.

A body is an ellipsoid, an elliptic cylinder or a box, turned and shifted at will, and cut by any
number of half-spaces. Values add where bodies overlap, so a body inside another one carries the
difference between the two materials; see `Body.filled`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emrecon.brief import brief
from emrecon.errors import GeometryError, SettingsError
from phantoms.disc import disc_area

Floats = NDArray[np.float64]
Kind = Literal["ellipsoid", "cylinder", "box"]
Vector = tuple[float, float, float]
Plane = tuple[float, float, float, float]

ROUND = {"ellipsoid": 3, "cylinder": 2, "box": 0}
"""Number of axes, from the first on, in which a body of each kind is round."""


@dataclass(frozen=True)
class Material:
    """What fills a body."""

    activity: float = 0.0
    """Activity concentration, kBq/mL."""

    mu_per_mm: float = 0.0
    """Linear attenuation coefficient at 511 keV, 1/mm."""

    def __post_init__(self) -> None:
        if not (0 <= self.activity < np.inf and 0 <= self.mu_per_mm < np.inf):
            raise SettingsError(
                f"activity and attenuation of a material are finite and not negative, unlike "
                f"{self.activity} and {self.mu_per_mm}"
            )


AIR = Material()
"""Nothing: what lies outside every body."""


@dataclass(frozen=True, eq=False)
class Body:
    """A unit ball, cylinder or cube, brought to its place and cut by half-spaces.

    In its own frame the body is ``|u| <= 1`` (ellipsoid), ``u0^2 + u1^2 <= 1, |u2| <= 1``
    (cylinder) or ``max |u| <= 1`` (box).
    """

    kind: Kind
    """Which of the three it is."""

    centre_mm: Floats
    """Where the middle of the uncut body lies, shape ``(3,)``."""

    half_axes_mm: Floats
    """Columns are the half-axes as world vectors, shape ``(3, 3)``."""

    clips: tuple[Plane, ...] = ()
    """Half-spaces ``nx x + ny y + nz z <= d`` as ``(nx, ny, nz, d)`` with unit normals, mm."""

    activity: float = 0.0
    """What the body adds to the activity, kBq/mL."""

    mu_per_mm: float = 0.0
    """What the body adds to the attenuation coefficient, 1/mm."""

    label: int = 0
    """Label of the points inside; 0 leaves the label of an earlier body."""

    __repr__ = brief

    def __post_init__(self) -> None:
        if self.kind not in ROUND:
            raise GeometryError(f"a body is one of {', '.join(ROUND)}, not {self.kind!r}")
        for name, shape in (("centre_mm", (3,)), ("half_axes_mm", (3, 3))):
            array = np.array(getattr(self, name), float)
            if array.shape != shape or not np.isfinite(array).all():
                raise GeometryError(f"{name} is {shape} finite numbers, not {array}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if abs(np.linalg.det(self.half_axes_mm)) < 1e-12:
            raise GeometryError(f"a body needs three half-axes, not {self.half_axes_mm.tolist()}")

    @property
    def to_unit(self) -> Floats:
        """World mm to the body's own frame, shape ``(4, 4)``."""
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.inv(self.half_axes_mm)
        affine[:3, 3] = -affine[:3, :3] @ self.centre_mm
        return affine

    @property
    def faces(self) -> Floats:
        """Every flat side as ``(nx, ny, nz, d)``, clips included, shape ``(faces, 4)``."""
        unit = self.to_unit[ROUND[self.kind] : 3]
        lengths = np.linalg.norm(unit[:, :3], axis=1)[:, None]
        upper = np.hstack([unit[:, :3], 1 - unit[:, 3:]]) / lengths
        lower = np.hstack([-unit[:, :3], 1 + unit[:, 3:]]) / lengths
        clips = np.array(self.clips, float).reshape(-1, 4)
        return np.vstack([upper, lower, clips]) if self.kind != "ellipsoid" else clips

    def reach_mm(self, directions: ArrayLike) -> Floats:
        """Return half the width of the uncut body along unit vectors, shape ``(..., 3)``."""
        along = np.asarray(directions, float) @ self.half_axes_mm
        round_ = ROUND[self.kind]
        flat = np.abs(along[..., round_:]).sum(axis=-1)
        return np.asarray(np.linalg.norm(along[..., :round_], axis=-1) + flat)

    @property
    def bounds_mm(self) -> Floats:
        """Least and greatest x, y, z, cuts aslant to these axes left out, shape ``(2, 3)``."""
        reach = self.reach_mm(np.eye(3))
        low, high = self.centre_mm - reach, self.centre_mm + reach
        for *normal, offset in self.clips:
            for axis, along in enumerate(normal):
                if along == 1:
                    high[axis] = min(high[axis], offset)
                elif along == -1:
                    low[axis] = max(low[axis], -offset)
        return np.stack([low, high])

    def contains(self, points_mm: ArrayLike) -> NDArray[np.bool_]:
        """Return whether points of shape ``(..., 3)`` lie inside, the surface included."""
        points = np.asarray(points_mm, float)
        unit = (points - self.centre_mm) @ np.linalg.inv(self.half_axes_mm).T
        inside = np.sum(unit[..., : ROUND[self.kind]] ** 2, axis=-1) <= 1
        for plane in self.faces:
            inside &= points @ plane[:3] <= plane[3]
        return np.asarray(inside)

    def chord_mm(self, starts_mm: ArrayLike, ends_mm: ArrayLike) -> Floats:
        """Return how far the straight ways between point pairs run inside.

        A way that lies in a flat side counts half, so that bodies which share a side add up.

        Parameters
        ----------
        starts_mm, ends_mm : array_like
            End points, shape ``(n, 3)`` each.
        """
        starts = np.asarray(starts_mm, float)
        ways = np.asarray(ends_mm, float) - starts
        lengths = np.linalg.norm(ways, axis=1)
        low, high, share = np.zeros(len(starts)), np.ones(len(starts)), np.ones(len(starts))
        with np.errstate(divide="ignore", invalid="ignore"):
            if ROUND[self.kind]:
                entry, leave = self._crossings(starts, ways)
                low, high = np.fmax(low, entry), np.fmin(high, leave)
            for plane in self.faces:
                room, climb = plane[3] - starts @ plane[:3], ways @ plane[:3]
                climb[np.abs(climb) < 1e-10 * lengths] = 0
                cut = room / climb
                high = np.where(climb > 0, np.fmin(high, cut), high)
                low = np.where(climb < 0, np.fmax(low, cut), low)
                high = np.where((climb == 0) & (room < -1e-9), -1.0, high)
                share = np.where((climb == 0) & (np.abs(room) <= 1e-9), share / 2, share)
        return np.asarray(np.maximum(high - low, 0) * lengths * share)

    def _crossings(self, starts: Floats, ways: Floats) -> tuple[Floats, Floats]:
        """Return where ways enter and leave the round part, as shares of their length."""
        matrix = np.linalg.inv(self.half_axes_mm)[: ROUND[self.kind]]
        at, along = (starts - self.centre_mm) @ matrix.T, ways @ matrix.T
        square = np.sum(along**2, axis=1)
        half = -np.sum(at * along, axis=1)
        excess = np.sum(at**2, axis=1) - 1
        root = np.sqrt(half**2 - square * excess)  # NaN where the way misses
        entry, leave = (half - root) / square, (half + root) / square
        missed = np.isnan(root) | ((square == 0) & (excess > 0))
        everywhere = (square == 0) & (excess <= 0)
        entry = np.where(everywhere, -np.inf, np.where(missed, 2.0, entry))
        leave = np.where(everywhere, np.inf, np.where(missed, -1.0, leave))
        return entry, leave

    @property
    def volume_mm3(self) -> float:
        """Exact volume.

        Raises
        ------
        GeometryError
            If the cuts leave a body whose volume has no short closed form: an ellipsoid cut
            twice, a cylinder cut aslant, a box cut not along its sides.
        """
        scale = abs(float(np.linalg.det(self.half_axes_mm)))
        normals = np.array(self.clips, float).reshape(-1, 4)
        rooms = normals[:, 3] - normals[:, :3] @ self.centre_mm
        cuts = np.column_stack([normals[:, :3] @ self.half_axes_mm, rooms])
        cuts /= np.linalg.norm(cuts[:, :3], axis=1)[:, None]
        if self.kind == "ellipsoid":
            return scale * _ball_volume(cuts)
        along = np.abs(cuts[:, :3]) > 1 - 1e-9
        if self.kind == "cylinder":
            side = np.abs(cuts[:, 2]) < 1e-9
            if not (side | along[:, 2]).all():
                raise GeometryError("no closed form: a cylinder cut aslant; use voxelise")
            height = _room(cuts[along[:, 2]], 2)
            return scale * disc_area(cuts[side][:, [0, 1, 3]]) * height
        if not along.any(axis=1).all():
            raise GeometryError("no closed form: a box cut across its sides; use voxelise")
        return scale * float(np.prod([_room(cuts[along[:, axis]], axis) for axis in range(3)]))

    def filled(self, material: Material, *, inside: Material = AIR, label: int = 0) -> Body:
        """Return the body filled with `material`, where it lies in a parent made of `inside`.

        What the body adds is the difference of the two, so the sum in it is `material`; the
        whole body must lie in the parent.
        """
        return self.adding(
            material.activity - inside.activity, material.mu_per_mm - inside.mu_per_mm, label
        )

    def adding(self, activity: float, mu_per_mm: float, label: int = 0) -> Body:
        """Return the body with what it adds to activity and attenuation where it lies."""
        return replace(self, activity=activity, mu_per_mm=mu_per_mm, label=label)

    def clipped(self, normal: Sequence[float], offset_mm: float) -> Body:
        """Return the part of the body where ``normal . x <= offset_mm * |normal|``."""
        size = float(np.linalg.norm(normal))
        if len(normal) != 3 or not size > 0:
            raise GeometryError(f"a cut needs a normal of 3 numbers, not all 0, not {normal}")
        x, y, z = (float(value) / size for value in normal)
        return replace(self, clips=(*self.clips, (x, y, z, float(offset_mm))))

    def scaled(self, factor: float) -> Body:
        """Return the body made `factor` times larger about the world's origin."""
        if not factor > 0:
            raise GeometryError(f"a scale is above zero, not {factor}")
        clips = tuple((x, y, z, d * factor) for x, y, z, d in self.clips)
        axes = self.half_axes_mm * factor
        return replace(self, centre_mm=self.centre_mm * factor, half_axes_mm=axes, clips=clips)

    def moved(self, shift_mm: Sequence[float]) -> Body:
        """Return the body shifted by a vector, mm."""
        dx, dy, dz = shift_mm
        clips = tuple((x, y, z, d + x * dx + y * dy + z * dz) for x, y, z, d in self.clips)
        return replace(self, centre_mm=self.centre_mm + np.array(shift_mm), clips=clips)


def ellipsoid(
    centre_mm: Sequence[float], semi_axes_mm: Sequence[float], rotation: Floats | None = None
) -> Body:
    """Return an ellipsoid of these semi-axes, turned by a rotation matrix about its centre."""
    return _body("ellipsoid", centre_mm, semi_axes_mm, rotation)


def sphere(centre_mm: Sequence[float], radius_mm: float) -> Body:
    """Return a sphere."""
    return ellipsoid(centre_mm, (radius_mm,) * 3)


def cylinder(
    centre_mm: Sequence[float],
    radii_mm: Sequence[float],
    length_mm: float,
    rotation: Floats | None = None,
) -> Body:
    """Return a cylinder of two radii along z, turned by a rotation matrix about its centre."""
    return _body("cylinder", centre_mm, (*radii_mm, length_mm / 2), rotation)


def box(
    centre_mm: Sequence[float], size_mm: Sequence[float], rotation: Floats | None = None
) -> Body:
    """Return a box of this size, turned by a rotation matrix about its centre."""
    return _body("box", centre_mm, [size / 2 for size in size_mm], rotation)


def rotation(x_deg: float = 0.0, y_deg: float = 0.0, z_deg: float = 0.0) -> Floats:
    """Return the matrix that turns about x, then y, then z of the world, right-handed."""
    matrix = np.eye(3)
    for axis, degrees in enumerate((x_deg, y_deg, z_deg)):
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[[first, second], [first, second]] = cos
        turn[first, second], turn[second, first] = -sin, sin
        matrix = turn @ matrix
    return matrix


def _body(
    kind: Kind, centre: Sequence[float], half: Sequence[float], rotation: Floats | None
) -> Body:
    if len(half) != 3 or not min(half) > 0:
        raise GeometryError(f"a body's three sizes are above zero, not {tuple(half)} mm")
    turn = np.eye(3) if rotation is None else rotation
    return Body(kind, np.array(centre, float), turn * np.array(half, float))


def _ball_volume(cuts: Floats) -> float:
    """Return the volume of the unit ball cut at most once."""
    if len(cuts) > 1:
        raise GeometryError("no closed form: an ellipsoid cut more than once; use voxelise")
    depth = float(np.clip(cuts[0, 3], -1, 1)) if len(cuts) else 1.0
    return float(np.pi * (2 / 3 + depth - depth**3 / 3))


def _room(cuts: Floats, axis: int) -> float:
    """Return what cuts across one axis leave of the length from -1 to 1."""
    high = min([1.0, *cuts[cuts[:, axis] > 0, 3]])
    low = max([-1.0, *-cuts[cuts[:, axis] < 0, 3]])
    return max(float(high - low), 0.0)
