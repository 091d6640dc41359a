"""Fields that say nothing to a job of one kind: it refuses them, and its help hides them."""

from __future__ import annotations

STATED = frozenset({"norm", "normalisation", "correction", "additive"})
"""Corrections that hold what `normalise` estimates."""

BY_NORMALISE = frozenset({
    "scatter_rounds", "scatter_absolute", "window_kev", "energy_resolution", "mu_centred",
    "tof_fwhm_ps", "calibration", "facts", "suv",
})  # fmt: skip
"""Corrections that say nothing about efficiencies."""

BY_SCATTER = frozenset({
    "attenuation", "correction", "additive", "mu_centred", "scatter", "simulate_scatter",
    "scatter_rounds", "scatter_absolute", "calibration", "facts", "suv",
})  # fmt: skip
"""Corrections that say nothing about the scatter of an image."""

BY_TRANSMISSION = frozenset({"algorithm", "order_seed", "until_converged"})
"""Settings of a penalty that say nothing about transmission: its algorithm is MLTR."""
