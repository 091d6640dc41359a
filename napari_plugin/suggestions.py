"""What the fields of forms may be chosen from where a type does not tell, and which are seldom."""

from __future__ import annotations

from emrecon.tomo.geometry.collimator import COLLIMATORS, ISOTOPES
from emrecon.tomo.geometry.presets import PRESETS
from emrecon.tomo.settings import PROJECTORS

SUGGESTIONS: dict[str, tuple[str, ...]] = {
    "scanner": tuple(PRESETS),
    "projector": PROJECTORS,
    "collimator": tuple(COLLIMATORS),
    "isotope": tuple(ISOTOPES),
    "mu_unit": ("1/mm", "1/cm"),
    "scatter_from": ("tew", "dew"),
    "direction": ("CW", "CC"),
    "patient_position": ("HFS", "HFP", "FFS", "FFP"),
    "position": ("HFS", "HFP", "FFS", "FFP"),
    "first_row": ("head", "feet"),
    "gate_by": ("respiratory", "cardiac"),
}
"""Words that a field of text knows, by its name; others may be typed, and are refused in words."""

SLIDERS = {"beta": (1e-3, 1e3)}
"""Least and greatest value of the sliders of fields, by name."""

ADVANCED = frozenset({
    # reconstruction
    "projector", "rays", "ring_wide", "tolerance", "checkpoint_every", "threads", "centre_mm",
    # corrections
    "correction", "additive", "span", "sum_tof", "tof_fwhm_ps", "ct_kvp",
    # segmentation
    "gaussians", "covariance", "outliers", "pure_means", "neighbours", "bias", "starts", "start",
    "weight_prior", "atlas_weight", "align", "seed", "resample",
    # simulation
    "max_ring_difference", "arc_corrected", "tof_width_ps", "tof_bins", "spread", "dead_blocks",
    "detector_fastest", "patient_mm",
    # kernel EM
    "kernel_as_stir",
})  # fmt: skip
"""Fields that are folded away at first."""
