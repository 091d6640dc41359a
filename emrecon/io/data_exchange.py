"""X-ray frames in HDF5 after the Data Exchange layout of synchrotrons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError, SettingsError

ENDINGS = (".h5", ".hdf5", ".hdf")
"""How names of such files end."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frames:
    """What a flat detector measured while the object turned."""

    counts: Floats
    """Frames, shape ``(view, column, row)``."""

    dark: Floats
    """Mean frame without beam, shape ``(column, row)``."""

    white: Floats
    """Mean frame with beam and without the object, shape ``(column, row)``."""

    angles_rad: Floats
    """Of the views, shape ``(view,)``."""

    def summed(self, columns: int) -> Frames:
        """Return frames of which so many neighbouring columns are one; columns left over go."""
        whole = self.counts.shape[1] // columns * columns
        if not whole:
            raise SettingsError(f"the frames have {self.counts.shape[1]} columns, not {columns}")
        counts, dark, white = (
            a[..., :whole, :].reshape(*a.shape[:-2], -1, columns, a.shape[-1]).sum(axis=-2)
            for a in (self.counts, self.dark, self.white)
        )
        return Frames(counts, dark, white, self.angles_rad)

    def axis_column(self) -> float:
        """Return the column on which views half a turn apart mirror each other.

        Raises
        ------
        SettingsError
            If the first and the last view are not half a turn apart.
        """
        turn = float(np.rad2deg(self.angles_rad[-1] - self.angles_rad[0]))
        step = abs(turn) / max(1, len(self.angles_rad) - 1)
        if abs(abs(turn) - 180) > max(1.5 * step, 0.5):
            raise SettingsError(
                "the axis of rotation is found by views half a turn apart, and these span "
                f"{turn:g} degrees: give --axis-column"
            )
        beam = np.where(self.white > self.dark, self.white - self.dark, np.inf)
        shades = [((self.counts[view] - self.dark) / beam).mean(axis=1) for view in (0, -1)]
        columns = np.arange(shades[0].size)
        middles = np.arange(0.4, 0.6, 0.5 / columns.size) * columns.size
        errors = [
            np.mean((shades[0] - np.interp(2 * middle - columns, columns, shades[1])) ** 2)
            for middle in middles
        ]
        return float(middles[int(np.argmin(errors))])


def read_frames(path: Path) -> Frames:
    """Read frames, dark and white fields and angles.

    Raises
    ------
    SettingsError
        If the package that reads HDF5 is not installed.
    FormatError
        If the file is damaged, or lacks one of them.
    """
    try:
        import h5py  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(f"{path} needs h5py: pip install 'emrecon[xray]'") from error
    try:
        with h5py.File(path) as file:
            data, dark, white, theta = (
                _array(path, file, name) for name in ("data", "data_dark", "data_white", "theta")
            )
    except OSError as error:
        raise FormatError(f"{path} is no HDF5 file that can be read: {error}") from error
    if data.ndim != 3 or theta.shape != data.shape[:1] or dark.ndim != 3 or white.ndim != 3:
        raise FormatError(
            f"{path} holds frames of {data.shape}, fields of {dark.shape} and {white.shape}, and "
            f"angles of {theta.shape}: (view, row, column) and one angle a view are wanted"
        )
    if not dark.shape[1:] == white.shape[1:] == data.shape[1:]:
        raise FormatError(f"{path}: frames and fields are not of one shape")
    fields = (np.swapaxes(a, -1, -2) for a in (data, dark.mean(axis=0), white.mean(axis=0)))
    counts, darkness, beam = fields
    return Frames(counts, darkness, beam, np.deg2rad(theta))


def _array(path: Path, file: Any, name: str) -> Floats:  # noqa: ANN401 - h5py has no types
    """Return one array of the exchange group."""
    if f"exchange/{name}" not in file:
        raise FormatError(
            f"{path} has no exchange/{name}: counts are read from exchange/data, the fields from "
            "data_dark and data_white beside it, and angles in degrees from theta"
        )
    return np.asarray(file[f"exchange/{name}"], np.float64)
