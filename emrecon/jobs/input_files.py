"""Which files a job reads, and what is refused by their headers, before data are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from emrecon import forms
from emrecon.errors import DataError
from emrecon.files import STREAM, is_stream
from emrecon.heard import heard
from emrecon.tomo.geometry.image_grid import grid_of
from emrecon.tomo.inputs import CameraFacts, Corrections

if TYPE_CHECKING:
    from emrecon.tomo.settings import Settings
    from emrecon.volume import Grid, Volume


def image_size(path: Path) -> tuple[float, float]:
    """Return the number of voxels of an image, and mm3 of each, as far as its header tells.

    Where it does not, as many voxels of 1 mm3 as the largest file of its name has bytes.
    """
    from emrecon import io  # noqa: PLC0415 - brings readers

    if size := io.image_size(path):
        return size
    beside = [file for file in path.parent.glob(f"{path.stem}.*") if file.is_file()]
    return float(max(file.stat().st_size for file in beside)), 1.0


def scan_inputs(scan: Path, corrections: Corrections) -> dict[str, Path]:
    """Return every file that a scan is read from, by what it is.

    Raises
    ------
    EmreconError
        If one is missing, or a header that names others cannot be read.
    """
    from emrecon.io.manifest import scan_files  # noqa: PLC0415 - brings readers

    must_exist({"scan": scan} | forms.paths_in(corrections))
    files = scan_files(scan, corrections)
    must_exist(files)
    return files


def with_data(files: Mapping[str, Path]) -> dict[str, Path]:
    """Return files that are read, and those that hold the data of headers among them.

    Raises
    ------
    DataError
        If one is missing, or a pipe or device.
    """
    from emrecon.io.formats import data_files  # noqa: PLC0415 - brings readers

    must_exist(files)
    return {**files, **data_files(dict(files))}


def check_data(files: Mapping[str, Path], camera: CameraFacts | None = None) -> None:
    """Refuse data that are missing or cut, as far as headers tell; reading says what is odd.

    Parameters
    ----------
    files : mapping of str
        Files by what they are; headers are asked about their data, and nothing else is.
    camera : CameraFacts, optional
        What stands in for what SPECT files do not say.

    Raises
    ------
    FormatError
        If they are.
    """
    from emrecon.io.formats import check_data as check  # noqa: PLC0415 - brings readers

    with heard(silent=True):
        for path in files.values():
            if path.is_file():
                check(path, camera)


def image_header(path: Path) -> Volume | None:
    """Return `emrecon.io.image_header` of an image; reading it says what is odd."""
    from emrecon import io  # noqa: PLC0415 - brings readers

    with heard(silent=True):
        return io.image_header(path)


def check_corrections(path: Path, corrections: Corrections) -> None:
    """Refuse corrections that headers tell cannot be those of a scan; reading says what is odd.

    Raises
    ------
    EmreconError
        If they lie in other bins, a map's unit is not known, or the energies are not that scatter
        is simulated by.
    """
    from emrecon import io  # noqa: PLC0415 - brings readers
    from emrecon.io.corrections import (  # noqa: PLC0415 - likewise
        check_corrections as check,
    )

    with heard(silent=True):
        check(path, corrections)
        exam = io.read_exam(path) if corrections.simulate_scatter else None
        if exam is not None:
            from emrecon.tomo.scatter_loop import window_of  # noqa: PLC0415 - brings numba

            bins = io.read_bins(path, corrections)
            window_of(bins, exam, corrections.window_kev, corrections.energy_resolution)


def grid_of_scan(path: Path, corrections: Corrections, settings: Settings) -> Grid | None:
    """Return the grid that a PET scan in bins is reconstructed on, None where only data tell.

    Making the image says what is odd.

    Raises
    ------
    EmreconError
        If memory does not hold the image, its voxels are too large to show anything, or the
        projector does not take it.
    """
    from emrecon import io  # noqa: PLC0415 - brings readers

    with heard(silent=True):
        bins = io.read_bins(path, corrections)
        if bins is None:
            return None
        grid = grid_of(bins, settings)
        if settings.projector == "siddon":
            from emrecon.tomo.operators.siddon import check_grid  # noqa: PLC0415 - brings numba

            check_grid(bins, grid)
        return grid


def must_exist(files: Mapping[str, Path]) -> None:
    """Refuse inputs that are not there.

    Raises
    ------
    DataError
        If one is missing, or a pipe or device.
    """
    for what, path in files.items():
        if is_stream(path):
            raise DataError(f"{what}: cannot read {path}: {STREAM}")
        if path.exists():
            continue
        if path.is_symlink():
            raise DataError(
                f"{what}: {path} is a link to what is not here (of DataLad: datalad get it)"
            )
        raise DataError(f"{what}: there is no {path}")
