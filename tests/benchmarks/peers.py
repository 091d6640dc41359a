"""Projectors of other packages over the same lines, where they are installed.

Each function returns the work of both ways over as many lines as `geometry` has, or raises
ImportError. PyTomography has no entry: what it projects PET lines with is parallelproj.
"""

import numpy as np


def sparse(shape, geometry, image, data):
    """One scipy CSR matrix for all slices of parallel beams; its transpose is stored too."""
    from tests.benchmarks.projector import matrix

    forward = matrix(shape, geometry)
    adjoint = forward.T.tocsr()
    slices, rows = image.reshape(-1, shape[2]), data.reshape(-1, shape[2])
    return lambda: forward @ slices, lambda: adjoint @ rows


def astra(shape, geometry, image, data):
    """Joseph's method of the ASTRA toolbox on the CPU, which takes one slice at a time."""
    import astra

    angles = np.arctan2(geometry["sines"], geometry["cosines"])
    lines = astra.create_proj_geom("parallel", 1.0, geometry["s_mm"].size, angles)
    pixels = astra.create_vol_geom(*shape[:2])
    system = astra.OpTomo(astra.create_projector("linear", lines, pixels))
    pictures = np.ascontiguousarray(np.moveaxis(image, 2, 0))
    rows = np.ascontiguousarray(np.moveaxis(data, 2, 0))
    return (lambda: [system.FP(one) for one in pictures], lambda: [system.BP(one) for one in rows])


def parallelproj(shape, geometry, image, data):
    """Joseph's method of parallelproj's core, from version 2."""
    import parallelproj_core as core

    start, end = ends(geometry)
    origin = np.array([geometry["x0"], geometry["y0"], 0], np.float32)
    size = np.array([geometry[name] for name in ("vx", "vy", "vz")], np.float32)
    out, back = np.zeros(len(start), np.float32), np.zeros(shape, np.float32)
    values = data.reshape(-1)
    return (
        lambda: core.joseph3d_fwd(start, end, image, origin, size, out),
        lambda: core.joseph3d_back(start, end, back, origin, size, values),
    )


def ends(geometry):
    """Return where every line starts and ends in mm, each (lines, 3), in the order of the data."""
    c, s = (geometry[name][:, None, None] for name in ("cosines", "sines"))
    u, half = (geometry[name][:, None] for name in ("s_mm", "half_chord_mm"))
    z_mm = np.concatenate(
        [
            (first + step * np.arange(planes)) * geometry["vz"]
            for first, step, planes in zip(
                *(geometry[name] for name in ("first", "step", "planes")), strict=True
            )
        ]
    )
    climb_mm = np.repeat(geometry["tilt"], geometry["planes"]) * geometry["vz"] / 2
    middle = np.stack(np.broadcast_arrays(c * u, s * u, z_mm), -1)
    along = np.stack(np.broadcast_arrays(-s * half, c * half, climb_mm), -1)
    return tuple(
        np.ascontiguousarray((middle + side * along).reshape(-1, 3), np.float32)
        for side in (-1, 1)
    )
