"""Where the heads of a DICOM NM TOMO acquisition stand, turned to the patient's RAS axes.

DICOM (PS3.3 C.8.4.12) counts angles about the patient: t = 0 behind the back, growing towards the
patient's left, so in its L and P axes the detector's normal is ``(sin t, cos t)``; it does not
matter how the patient lies. Seen from the detector, columns run along ``(-cos t, sin t)`` and rows
from head to feet. In R, A, S that is a camera at ``theta = -90 degrees - t``, whose u is the
columns' direction, with its planes in reverse.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError
from emrecon.io.dicom.attributes import Attributes
from emrecon.io.formats import FAR_MM
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.inputs import CameraFacts

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DIRECTIONS = {"CW": -1.0, "CC": 1.0, "CCW": 1.0}

ALONG = 0.999
"""Least cosine between axes that are the same: 2.5 degrees."""

AGREE_MM = 1.0
"""How far apart the heads of a file may place the axis of rotation."""

PARALLEL = ("", "PARA")
"""Collimator types that are parallel; an empty one stands for the standard's default."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """Where every view was taken from."""

    camera: Camera
    """Views in the order of the places given; bins and planes around the axis of rotation."""

    angle_deg: Floats
    """DICOM angle of each view."""

    upright: NDArray[np.bool_]
    """Whether the first row of a view's frame is the patient's head end."""

    origin_mm: tuple[float, float, float] | None
    """Where the camera's origin lies in the patient (RAS), None where the file does not say."""

    origin_source: str
    """Where that is from, or why it is not known."""


def orbit_of(dataset: Attributes, places: Ints, supplied: CameraFacts, position: str) -> Orbit:
    """Return where the views of `places` (detector, rotation, view, all from 1) were taken from.

    Raises
    ------
    FormatError
        If angles, radii or directions are missing or do not add up, or the collimator is not of
        parallel holes; naming the attribute and the flag.
    """
    heads = _heads(dataset, places, supplied)
    turns = _rotations(dataset, places, supplied)
    angle, radius = np.empty(len(places)), np.empty(len(places))
    upright = np.empty(len(places), bool)
    for head, turn in sorted({(int(d), int(r)) for d, r, _ in places}):
        here = (places[:, 0] == head) & (places[:, 1] == turn)
        views = places[here, 2]
        _all_views(dataset, turns[turn], views, len(heads))
        start = _start_deg(heads, turns, head, turn, supplied)
        sign, step = _step_deg(turns[turn], views.size, len(heads), supplied)
        angle[here] = start + sign * step * (views - 1)
        radius[here] = _radii(heads, head, turns[turn], views, supplied)
        upright[here] = _upright(heads, head, start, supplied, position)
    bin_mm, row_mm = _pixel_mm(dataset, supplied)
    column = _axis_column(dataset, heads, upright, supplied, bin_mm)
    rows, columns = dataset.count("Rows") or 1, dataset.count("Columns") or 1
    camera = Camera(
        -np.pi / 2 - np.deg2rad(angle),
        radius,
        (np.arange(columns, dtype=np.float64) - column) * bin_mm,
        (np.arange(rows, dtype=np.float64) - (rows - 1) / 2) * row_mm,
    )
    sides = {head: bool(upright[places[:, 0] == head].all()) for head in heads}
    first = {head: _first(places, head) for head in heads}
    points = [
        _axis_point(
            heads[head], angle[first[head]], radius[first[head]], camera, upright=sides[head]
        )
        for head in heads
    ]
    origin, source = _origin(points, supplied)
    return Orbit(camera, angle, upright, origin, source)


def _heads(dataset: Attributes, places: Ints, supplied: CameraFacts) -> dict[int, Attributes]:
    """Return the description of each head, by number from 1."""
    heads = {
        int(number): dataset.item("DetectorInformationSequence", int(number) - 1)
        for number in np.unique(places[:, 0])
    }
    for head in heads.values():
        kind = head.text("CollimatorType")
        if kind == "UNKN" and not supplied.parallel_holes:
            raise head.refusal("CollimatorType", "PARA is wanted", "--parallel-holes")
        if kind not in (*PARALLEL, "UNKN"):
            raise head.refusal("CollimatorType", "only parallel holes (PARA) are modelled")
        if abs(head.number("GantryDetectorTilt") or 0.0) > 0.1:
            raise head.refusal("GantryDetectorTilt", "a tilted detector is not modelled")
    return heads


def _rotations(dataset: Attributes, places: Ints, supplied: CameraFacts) -> dict[int, Attributes]:
    """Return the description of each rotation; all must be of one table position."""
    turns = {
        int(number): dataset.item("RotationInformationSequence", int(number) - 1)
        for number in np.unique(places[:, 1])
    }
    items = len(dataset.items("RotationInformationSequence"))
    if items != len(turns) and not supplied.radius_mm:
        raise dataset.refusal(
            "RotationInformationSequence",
            f"it has {items} items for {len(turns)} rotations in RotationVector, and may hold "
            "radii of heads",
            "--radius-mm",
        )
    for keyword in ("TableTraverse", "TableHeight"):
        values = [turn.number(keyword) or 0.0 for turn in turns.values()]
        if max(values) - min(values) > AGREE_MM:
            last = list(turns.values())[-1]
            raise last.refusal(keyword, "the table moved between rotations: split the file")
    return turns


def _all_views(dataset: Attributes, turn: Attributes, views: Ints, heads: int) -> None:
    """Refuse a head that has not every view of its rotation."""
    if sorted(views.tolist()) != list(range(1, views.size + 1)):
        raise dataset.refusal(
            "AngularViewVector",
            f"a head has views {views.min()} to {views.max()}, {views.size} of them; they go "
            "from 1 without gaps",
            "--frame-order",
        )
    stated = turn.count("NumberOfFramesInRotation")
    if stated is not None and stated not in {views.size, views.size * heads}:
        raise turn.refusal(
            "NumberOfFramesInRotation", f"the frames hold {views.size} views of each head"
        )


def _start_deg(
    heads: dict[int, Attributes],
    turns: dict[int, Attributes],
    head: int,
    turn: int,
    supplied: CameraFacts,
) -> float:
    """Return the angle of a head's first view in a rotation."""
    if supplied.start_angles_deg:
        if len(supplied.start_angles_deg) != len(heads) or len(turns) > 1:
            raise FormatError(
                f"{heads[head].path}: {len(supplied.start_angles_deg)} --start-angles-deg for "
                f"{len(heads)} heads and {len(turns)} rotations: one a head, and one rotation"
            )
        return supplied.start_angles_deg[sorted(heads).index(head)]
    own = heads[head].number("StartAngle")
    of_turn = turns[turn].number("StartAngle")
    if own is None and (len(heads) > 1 or of_turn is None):
        place = heads[head] if len(heads) > 1 else turns[turn]
        raise place.refusal(
            "StartAngle", "every head's own first angle is wanted", "--start-angles-deg"
        )
    if own is None:
        assert of_turn is not None  # noqa: S101 - tells the type checker
        return of_turn
    starts = {each.number("StartAngle") for each in turns.values()}
    if len(starts) > 1 and of_turn is not None and not _same_angle(of_turn, own):
        raise turns[turn].refusal(
            "StartAngle", f"head {head} starts at {own:g}, and the file has several rotations"
        )
    if len(heads) == 1 and of_turn is not None and not _same_angle(of_turn, own):
        raise turns[turn].refusal(
            "StartAngle",
            f"DetectorInformationSequence says {own:g} of the only head",
            "--start-angles-deg",
        )
    return own


def _same_angle(one: float, other: float) -> bool:
    return abs((one - other + 180.0) % 360.0 - 180.0) < 0.01


def _step_deg(
    turn: Attributes, views: int, heads: int, supplied: CameraFacts
) -> tuple[float, float]:
    """Return the direction and the angle between views, held against the arc."""
    word = supplied.direction.upper() or turn.text("RotationDirection").upper()
    if word not in DIRECTIONS:
        raise turn.refusal("RotationDirection", "CW or CC is wanted", "--direction")
    if supplied.angular_step_deg:
        return DIRECTIONS[word], supplied.angular_step_deg
    step = turn.number("AngularStep")
    if step is None or not 0 < step < 360:
        raise turn.refusal("AngularStep", "degrees above 0 are wanted", "--angular-step-deg")
    arc = turn.number("ScanArc")
    possible = (step * views, step * (views - 1), step * views * heads)
    if arc is not None and all(abs(arc - one) > 0.02 * step * views for one in possible):
        raise turn.refusal(
            "ScanArc",
            f"{views} views {step:g} degrees apart (AngularStep) make {step * views:g}",
            "--angular-step-deg",
        )
    return DIRECTIONS[word], step


def _radii(
    heads: dict[int, Attributes], number: int, turn: Attributes, views: Ints, supplied: CameraFacts
) -> Floats:
    """Return the radius of each of a head's views."""
    head = heads[number]
    radii = list(supplied.radius_mm) or head.numbers("RadialPosition")
    if supplied.radius_mm and len(radii) == views.size * len(heads):
        at = sorted(heads).index(number) * views.size
        radii = radii[at : at + views.size]
    place = head if radii else turn
    radii = radii or turn.numbers("RadialPosition")
    if not radii or min(radii) <= 0:
        raise place.refusal("RadialPosition", "distances above 0 mm are wanted", "--radius-mm")
    if len(radii) == 1:
        return np.full(views.size, radii[0])
    if len(radii) != views.size:
        raise place.refusal(
            "RadialPosition", f"{len(radii)} radii for {views.size} views", "--radius-mm"
        )
    return np.asarray(radii, float)[views - 1]


def _pixel_mm(dataset: Attributes, supplied: CameraFacts) -> tuple[float, float]:
    """Return the distances between columns and between rows."""
    sizes = list(supplied.pixel_mm) or dataset.numbers("PixelSpacing")
    if len(sizes) != 2 or min(sizes) <= 0:
        raise dataset.refusal("PixelSpacing", "row and column spacing are wanted", "--pixel-mm")
    return sizes[1], sizes[0]


def _upright(
    heads: dict[int, Attributes],
    number: int,
    start_deg: float,
    supplied: CameraFacts,
    position: str,
) -> bool:
    """Return whether the first row is the head end, and refuse frames that are mirrored.

    Files may hold the orientation of the first head for all: then rows alone tell.
    """
    if supplied.first_row:
        return supplied.first_row.lower() == "head"
    head = heads[number]
    keyword = "ImageOrientationPatient"
    cosines = head.numbers(keyword)
    if not cosines:
        if position.startswith("FF"):
            raise head.refusal(
                "ImageOrientationPatient", "feet first, frames may stand on their head",
                "--first-row",
            )  # fmt: skip
        return True
    if len(cosines) != 6:
        raise head.refusal("ImageOrientationPatient", "6 numbers are wanted", "--first-row")
    t = np.deg2rad(start_deg)
    across = float(np.dot(cosines[:3], (-np.cos(t), np.sin(t), 0.0)))
    down = -float(cosines[5])
    if min(across, down) > ALONG:
        return True
    if max(across, down) < -ALONG:
        return False
    first = heads[min(heads)]
    if number != min(heads) and cosines == first.numbers(keyword) and abs(down) > ALONG:
        log.warning(
            "%s: head %d has the ImageOrientationPatient of the first, which does not fit %g "
            "degrees: its first row is taken for the patient's %s by the direction of rows alone",
            head.path, number, start_deg, "head" if down > 0 else "feet",
        )  # fmt: skip
        return down > 0
    raise head.refusal(
        "ImageOrientationPatient",
        f"seen from the detector at {start_deg:g} degrees columns run along "
        f"({-np.cos(t):.3g}, {np.sin(t):.3g}, 0) and rows along (0, 0, -1), or both reversed",
        "--first-row",
    )


def _axis_column(
    dataset: Attributes,
    heads: dict[int, Attributes],
    upright: NDArray[np.bool_],
    supplied: CameraFacts,
    bin_mm: float,
) -> float:
    """Return the column of an upright frame in which the axis is seen."""
    columns = dataset.count("Columns") or 1
    if supplied.axis_column >= 0:
        if not (upright.all() or not upright.any()):
            raise FormatError(f"{dataset.path}: --axis-column needs heads turned alike")
        return supplied.axis_column if upright.all() else columns - 1 - supplied.axis_column
    for head in heads.values():
        offset = head.number("CenterOfRotationOffset") or 0.0
        if abs(offset) > bin_mm / 10:
            raise head.refusal(
                "CenterOfRotationOffset", "its sign is not defined", "--axis-column"
            )
        centre = head.numbers("ZoomCenter") or [0.0, 0.0]
        if abs(centre[-1]) > bin_mm / 10:
            raise head.refusal("ZoomCenter", "the axis is not seen in the middle", "--axis-column")
    return (columns - 1) / 2


def _first(places: Ints, head: int) -> int:
    """Return where a head's first view of its first rotation stands."""
    here = np.flatnonzero(places[:, 0] == head)
    return int(here[np.lexsort((places[here, 2], places[here, 1]))[0]])


def _axis_point(
    head: Attributes, angle_deg: float, radius_mm: float, camera: Camera, *, upright: bool
) -> Floats | None:
    """Return where (L, P, S) the camera's origin lies by the place of a head's first frame.

    Only where orientation and place are both there: then the frame is a plane in space, and the
    axis lies the radius away from it.
    """
    at = np.array(head.numbers("ImagePositionPatient"), np.float64)
    cosines = head.numbers("ImageOrientationPatient")
    if at.size != 3 or len(cosines) != 6:
        return None
    t = np.deg2rad(angle_deg)
    across = np.array([-np.cos(t), np.sin(t), 0.0])
    side = 1.0 if upright else -1.0
    if min(side * float(np.dot(cosines[:3], across)), -side * cosines[5]) < ALONG:
        return None
    first = camera.u_mm[0] if upright else camera.u_mm[-1]
    up = side * np.array([0.0, 0.0, camera.z_mm[-1]])
    normal = np.array([np.sin(t), np.cos(t), 0.0])
    point: Floats = at - first * across - up - radius_mm * normal
    return point


def _origin(
    points: list[Floats | None], supplied: CameraFacts
) -> tuple[tuple[float, float, float] | None, str]:
    """Return the camera's origin in RAS, where all heads agree on it."""
    if supplied.axis_mm:
        r, a, s = supplied.axis_mm
        return (r, a, s), "--axis-mm"
    known = [point for point in points if point is not None]
    if len(known) < len(points):
        return None, "ImagePositionPatient and ImageOrientationPatient are not both there"
    if np.abs(np.stack(known)).max() > FAR_MM:
        return None, f"ImagePositionPatient places the axis beyond {FAR_MM:g} mm"
    apart = float(np.ptp(np.stack(known), axis=0).max())
    if apart > AGREE_MM:
        return None, f"the heads' ImagePositionPatient place the axis {apart:.1f} mm apart"
    left, back, up = (float(value) for value in np.mean(known, axis=0))
    return (-left, -back, up), "ImagePositionPatient"
