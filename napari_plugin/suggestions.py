"""What the fields of forms may be chosen from where a type does not tell, and which are seldom."""

from __future__ import annotations

from emrecon.tomo.corrections.dead_time import MODELS
from emrecon.tomo.geometry.collimator import COLLIMATORS, ISOTOPES
from emrecon.tomo.geometry.presets import PRESETS
from emrecon.tomo.priors import PRIORS as PENALTIES
from emrecon.tomo.settings import PROJECTORS
from phantoms.acquisition import SCATTERS

SUGGESTIONS: dict[str, tuple[str, ...]] = {
    "scanner": tuple(PRESETS),
    "projector": PROJECTORS,
    "prior": tuple(PENALTIES),
    "scatter": SCATTERS,
    "collimator": tuple(COLLIMATORS),
    "isotope": tuple(ISOTOPES),
    "mu_unit": ("1/mm", "1/cm"),
    "scatter_from": ("tew", "dew"),
    "direction": ("CW", "CC"),
    "patient_position": ("HFS", "HFP", "FFS", "FFP"),
    "position": ("HFS", "HFP", "FFS", "FFP"),
    "first_row": ("head", "feet"),
    "gate_by": ("respiratory", "cardiac"),
    "dead_time_model": MODELS,
}
"""Words that a field of text knows, by its name; others may be typed, and are refused in words."""

_NONE = ("prior", "collimator", "scatter_from", "psf_fwhm_mm", "post_fwhm_mm", "gates", "gate_by")
_OF_THE_FILE = (
    *("isotope", "direction", "patient_position", "first_row", "mu_unit", "frame_order"),
    *("window_kev", "radius_mm", "pixel_mm", "start_angles_deg", "ct_kvp", "tof_fwhm_ps"),
)
BY_SCAN = "as the scan says"
"""What is taken where nothing is said that a scan's manifest may state."""

BLANK = {
    **dict.fromkeys(_NONE, "none"),
    **dict.fromkeys(_OF_THE_FILE, "as in the file"),
    **dict.fromkeys(("dead_time_us", "dead_time_model", "singles_cps"), BY_SCAN),
    "voxel_mm": "by the bins",
    "size": "field of view",
    "centre_mm": "the scanner's",
    "response_mm": "the collimator's",
    "window": "photopeak",
    "frames": "one",
}
"""What is taken where a line is blank whose default is to give nothing, by the field's name."""

SLIDERS = {"beta": (1e-3, 1e3)}
"""Least and greatest value of the sliders of fields, by name."""

ADVANCED = frozenset({
    # reconstruction
    "projector", "rays", "ring_wide", "tolerance", "checkpoint_every", "threads", "centre_mm",
    # corrections
    "correction", "additive", "span", "sum_tof", "tof_fwhm_ps", "ct_kvp",
    "dead_time_us", "dead_time_model", "singles_cps",
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
