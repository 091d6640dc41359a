"""Maps of an average brain, where a package that holds them is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from emrecon.volume import Volume

PACKAGE = "nilearn"
"""Its files hold the ICBM 2009a average of 152 brains; nothing of its code is loaded."""

SPACE = "MNI152NLin2009aSym"
"""Name of their space in BIDS."""

_NAME = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


def map_files() -> dict[str, Path]:
    """Return the files of `installed_maps` by what they are; none where one is missing."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        return {}
    folder = Path(package.origin).parent / "datasets" / "data"
    files = {f"head map {what}": folder / _NAME.format(what) for what in ("t1", "gm", "wm")}
    return files if all(file.exists() for file in files.values()) else {}


def installed_maps() -> tuple[Volume, ...]:
    """Return maps of CSF, grey and white matter, 0 to 1 on one grid; none where there are none.

    References
    ----------
    Fonov et al., NeuroImage 54, 313 (2011).
    """
    files = map_files()
    if not files:
        return ()
    from emrecon.io.nifti import read  # noqa: PLC0415 - brings nibabel, and many jobs need no maps

    brain, grey, white = (read(file) for file in files.values())
    parts = [one.voxels / max(float(one.voxels.max()), 1e-6) for one in (grey, white)]
    fluid = np.clip((brain.voxels > 0) - parts[0] - parts[1], 0, 1)
    return tuple(Volume(p.astype(np.float32), grey.affine) for p in (fluid, *parts))
