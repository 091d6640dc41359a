"""How far an image is from the truth: errors, similarity, regions, NEMA image quality.

Everything is computed in float64, whatever the image holds.
"""

from emrecon.metrics.compare import bias, centroid_mm, match, nrmse, rmse, ssim
from emrecon.metrics.nema import (
    SphereQuality,
    background_rois,
    contrast_recovery,
    lung_residual,
)
from emrecon.metrics.regions import Region, regions

__all__ = [
    "Region",
    "SphereQuality",
    "background_rois",
    "bias",
    "centroid_mm",
    "contrast_recovery",
    "lung_residual",
    "match",
    "nrmse",
    "regions",
    "rmse",
    "ssim",
]
