"""Fields that say nothing to a job of one kind: it refuses them, and its help hides them."""

from __future__ import annotations

from dataclasses import fields

from emrecon.tomo.inputs import Corrections

STATED = frozenset({"norm", "normalisation", "correction", "additive"})
"""Corrections that hold what `normalise` estimates."""

BY_NORMALISE = frozenset({
    "scatter_rounds", "scatter_absolute", "window_kev", "energy_resolution", "mu_centred",
    "mlaa", "mlaa_passes", "tof_fwhm_ps", "calibration", "facts", "suv", "dead_time_us",
    "dead_time_model", "singles_cps",
})  # fmt: skip
"""Corrections that say nothing about efficiencies."""

BY_SCATTER = frozenset(item.name for item in fields(Corrections)) - {
    "normalisation", "norm", "mu", "mu_unit", "ct", "ct_kvp", "randoms", "window_kev",
    "energy_resolution", "span", "sum_tof", "tof_fwhm_ps",
}  # fmt: skip
"""Corrections that the scatter of an image is not worked out from."""

BY_TRANSMISSION = frozenset({"algorithm", "order_seed", "until_converged"})
"""Settings of a penalty that say nothing about transmission: its algorithm is MLTR."""
