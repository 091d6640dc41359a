"""Siemens normalisation files as a scanner writes them, of random components."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NAMES = (
    "geometric effects", "crystal interference", "crystal efficiencies", "axial effects",
    "paralyzing ring DT parameters", "non-paralyzing ring DT parameters",
    "TX crystal DT parameter", "additional axial effects",
)  # fmt: skip


def mmr_components(seed: int = 1, spread: float = 0.1) -> list[Floats]:
    """Return the eight components of a Biograph mMR as they stand in the file, slowest first."""
    rng = np.random.default_rng(seed)
    shapes = ((127, 344), (344, 9), (64, 504), (837,), (64,), (64,), (9,), (837,))
    return [rng.uniform(1 - spread, 1 + spread, shape).astype(np.float32) for shape in shapes]


def write_norm(
    folder: Path,
    components: list[Floats],
    *,
    system: str = "2008",
    rings: int = 64,
    most: int = 60,
    name: str = "norm",
    more: str = "",
) -> Path:
    """Write a header with the line ends of the scanner, and its data; return the header."""
    sizes = [component.nbytes for component in components]
    lines = [
        "!INTERFILE:=",
        f"!originating system:={system}",
        "%SMS-MI header name space:=raw normalization",
        f"!name of data file:={name}.n",
        "%expiration date (yyyy:mm:dd):=2017:03:28",
        "image data byte order:=LITTLEENDIAN",
        "!PET data type:=normalization",
        "number format:=float",
        "!number of bytes per pixel:=4",
        f"%number of normalization components:={len(components)}",
        *(f"%normalization component [{n}]:={w}" for n, w in enumerate(NAMES[: len(sizes)], 1)),
        *(
            f"%matrix size [{n}]:={{{','.join(map(str, c.shape[::-1]))}}}"
            for n, c in enumerate(components, 1)
        ),
        *(f"data offset in bytes [{n}]:={sum(sizes[: n - 1])}" for n in range(1, len(sizes) + 1)),
        "%axial compression:=11",
        f"%maximum ring difference:={most}",
        f"number of rings:={rings}",
        "%scanner quantification factor (Bq*s/ECAT counts):=2.4e+007",
        "%cross calibration factor:=1.02",
        more,
    ]
    path = folder / f"{name}.n.hdr"
    path.write_bytes("\r\r\n".join(lines).encode())
    with (folder / f"{name}.n").open("wb") as file:
        for component in components:
            component.astype("<f4").tofile(file)
    return path
