"""What a segmentation writes where it is asked for: five tissues, and fractions in a template."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emrecon.io import nifti, sidecar
from emrecon.io.head_maps import SPACE
from emrecon.jobs.segment_names import FIVE, LESION_MASK, endings
from emrecon.tissue.contrasts import PARTS
from emrecon.tissue.grey_parts import five_tissues, grey_parts
from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.result import Segmentation
from emrecon.tissue.template import in_template, voxel_ml


def write_extras(
    segmentation: Segmentation, read: dict[str, Path], files: TissueInputs, stem: Path
) -> list[Path]:
    """Write what was asked for; return the files.

    Parameters
    ----------
    segmentation : Segmentation
        What was found.
    read : dict of Path
        The files that were read, by what they are.
    files : TissueInputs
        What priors were given.
    stem : Path
        What the names begin with, without the underscore.
    """
    paths = [stem.with_name(f"{stem.name}_{end}") for end in endings(segmentation.settings, files)]
    for path in paths:
        name = path.name.removeprefix(stem.name).split("label-")[-1].split("_")[0]
        if path.name.endswith(LESION_MASK) and segmentation.lesions is not None:
            marks = segmentation.volume(segmentation.lesions.astype(np.uint8))
            nifti.write(marks, path, labels=True, like=read.get("channel1"), intent="label")
        elif name in PARTS:
            grey = segmentation.volume(grey_parts(segmentation)[name])
            nifti.write(grey, path, like=read.get("channel1"), intent="estimate")
        elif path.name.endswith(FIVE):
            nifti.write(five_tissues(segmentation), path)
        elif path.suffix == ".json":
            sidecar.write(path, _facts(segmentation, read, files))
        else:
            values = segmentation.fractions[:, segmentation.names.index(name)]
            nifti.write(in_template(segmentation, values), path, intent="estimate")
    return paths


def _facts(
    segmentation: Segmentation, read: dict[str, Path], files: TissueInputs
) -> dict[str, object]:
    """Return what is to be known of fractions in a template."""
    template = read["prior1" if files.priors else "head map gm"]
    return {
        "SpatialReference": SPACE if not files.priors else template.name,
        "Template": sidecar.file_facts(template),
        "ImageToTemplateMM": None if segmentation.atlas is None else segmentation.atlas.matrix,
        "ImageMLPerVoxel": voxel_ml(segmentation),
        "Modulated": False,
    }
