"""Voxels that no tissue explains: vessels, remnants of skull and dura, artefacts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.field import Image, State
from emrecon.tissue.starts import OUTLIERS, with_outliers

Floats32 = NDArray[np.float32]


def outlier_map(image: Image, state: State) -> Floats32:
    """Return the probability that none of the classes explains each voxel, shape ``(n,)``.

    The uniform component has the weight that all fits start with, whether the model has one or
    not: its own weight has a prior, and says little of how many outliers there are.

    Parameters
    ----------
    image : Image
        The model, without a field of its own.
    state : State
        Its last estimate.
    """
    layout = image.rules.layout.with_outliers()
    weights = state.classes.weights[: len(layout.mixing) - 1]
    inner = replace(state.classes, weights=weights / weights.sum() * (1 - OUTLIERS))
    rules = replace(image.rules, layout=layout)
    last = np.eye(len(layout.mixing))[:, -1:]
    model, begun = replace(image, rules=rules), replace(state, classes=with_outliers(inner))
    return np.asarray(model.posterior(begun, last)[1][:, 0])
