"""Points in the patient, and where a gamma camera sees them: worked out anew for the tests.

Everything is in DICOM's axes (L, P, S) and by the words of the standard, so that nothing here is
shared with the reader: the detector starts behind the patient and moves towards the left as angles
grow; its columns are those of someone who stands at the detector and looks at the patient.
"""

from __future__ import annotations

import numpy as np

# R, A, S in mm: no two agree in any coordinate, none has a mirror image among the others.
POINTS = np.array([(41.0, 7.0, -13.0), (-23.0, 35.0, 8.0), (11.0, -29.0, 27.0)])
WEIGHTS = (400.0, 700.0, 1000.0)


def seen_at(point_ras, angle_deg):
    """Return how far right of the axis, and how far up, someone at the detector sees a point."""
    right, front, up = point_ras
    left, back = -right, -front
    t = np.deg2rad(angle_deg)
    towards = np.array([np.sin(t), np.cos(t)])  # from the axis to the detector: 0 is the back
    looking = np.array([*-towards, 0.0])
    rightwards = np.cross(looking, (0.0, 0.0, 1.0))  # looking along +y with z up, +x is right
    return float(rightwards[:2] @ (left, back)), float(up)


def frame(angle_deg, rows, columns, row_mm, column_mm, first_row="head", weights=WEIGHTS):
    """Return a frame with every point spread over the four pixels around it."""
    out = np.zeros((rows, columns))
    for point, weight in zip(POINTS, weights, strict=True):
        across, up = seen_at(point, angle_deg)
        c = across / column_mm + (columns - 1) / 2
        r = -up / row_mm + (rows - 1) / 2
        i, j = int(np.floor(r)), int(np.floor(c))
        for di, wi in ((0, 1 - (r - i)), (1, r - i)):
            for dj, wj in ((0, 1 - (c - j)), (1, c - j)):
                out[i + di, j + dj] += weight * wi * wj
    out = np.rint(out)
    return out if first_row == "head" else out[::-1, ::-1]


def found_at(projections, weights=WEIGHTS):
    """Return where the points are by the camera's own convention: least squares over views.

    Each point is looked for near where it should be, so a wrong turn finds nothing.
    """
    camera = projections.camera
    places = []
    for point in POINTS:
        normal, wanted = [], []
        heights = []
        for view, theta in enumerate(camera.theta_rad):
            e = np.array([-np.sin(theta), np.cos(theta)])
            u, z = e @ point[:2], point[2]
            near = (np.abs(camera.u_mm - u) < 1.01 * camera.bin_mm)[:, None] & (
                np.abs(camera.z_mm - z) < 1.01 * camera.plane_mm
            )[None, :]
            part = np.where(near, projections.data[view], 0.0)
            total = part.sum()
            if not total:
                return None
            normal.append(e)
            wanted.append((part.sum(axis=1) @ camera.u_mm) / total)
            heights.append((part.sum(axis=0) @ camera.z_mm) / total)
        across, *_ = np.linalg.lstsq(np.array(normal), np.array(wanted))
        places.append((*across, np.mean(heights)))
    return np.array(places)
