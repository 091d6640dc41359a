"""The width of a Gaussian."""

FWHM_PER_SIGMA = 2.3548200450309493
"""Full width at half maximum over standard deviation, ``2 sqrt(2 ln 2)``."""
