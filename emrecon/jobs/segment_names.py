"""Names of what a segmentation writes where it is asked for."""

from __future__ import annotations

from emrecon.io.head_maps import SPACE
from emrecon.tissue.contrasts import LESION, PARTS
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings

FIVE = "5tt.nii.gz"
"""End of the name of MRtrix's five tissues."""


LESION_MASK = f"label-{LESION}_mask.nii.gz"
"""End of the name of the mask of lesions."""


def space_of(files: TissueInputs) -> str:
    """Return how the space of the maps is called: that of the average brain, or template."""
    return "template" if files.priors else SPACE


def endings(settings: Settings, files: TissueInputs) -> list[str]:
    """Return the ends of the names of what is written where it is asked for."""
    names = [f"label-{label}_fraction.nii.gz" for label in PARTS if files.deep_priors]
    names += [FIVE] if settings.five_tissue else []
    names += [LESION_MASK] if settings.lesions else []
    if settings.space == "template":
        for name in settings.names:
            stem = f"space-{space_of(files)}_label-{name}_fraction"
            names += [f"{stem}.nii.gz", f"{stem}.json"]
    return names
