"""Scatter in the photopeak window of a gamma camera, estimated from windows beside it."""

from __future__ import annotations

import numpy as np

from emrecon.errors import DataError, GeometryError, SettingsError
from emrecon.gaussian import FWHM_PER_SIGMA
from emrecon.tomo.geometry.camera import Camera
from emrecon.volume import Array

Window = tuple[float, float]
"""Lower and upper limit of an energy window, keV."""


def triple_window(
    lower: Array, upper: Array, windows_kev: tuple[Window, Window, Window], narrow: float = 0.5
) -> Array:
    """Return the counts under the straight line between two narrow windows beside the peak.

    ``(lower / width + upper / width) narrow width_of_peak`` [1]_. Noisy: see `smoothed`.

    Parameters
    ----------
    lower, upper : ndarray
        Counts in the windows below and above the peak, same shape; an isotope with nothing above
        its peak may have zeros for `upper`.
    windows_kev : tuple of tuple of float
        Limits of the lower, the upper and the peak window.
    narrow : float, optional
        Share of each side, 0.5 for a trapezium.

    References
    ----------
    .. [1] K. Ogawa et al., "A practical method for position-dependent Compton-scatter correction
       in single photon emission CT", IEEE Trans. Med. Imaging 10, 408 (1991).
    """
    if lower.shape != upper.shape:
        raise GeometryError(f"scatter windows have shapes {lower.shape} and {upper.shape}")
    below, above, peak = (_width(window) for window in windows_kev)
    _check_order(*windows_kev)
    scale = np.float32(narrow * peak)
    return _counts(lower) * (scale / np.float32(below)) + _counts(upper) * (
        scale / np.float32(above)
    )


def dual_window(lower: Array, factor: float = 0.5) -> Array:
    """Return a share of the counts in one window below the peak.

    The share [1]_ depends on isotope, windows and camera and is to be measured; 0.5 is that of
    Tc-99m with a window of 92 to 125 keV. Noisy: see `smoothed`.

    References
    ----------
    .. [1] R. J. Jaszczak et al., "Improved SPECT quantification using compensation for scattered
       photons", J. Nucl. Med. 25, 893 (1984).
    """
    if not 0 <= factor < 10:
        raise SettingsError(f"a share of {factor} of the scatter window makes no sense")
    return _counts(lower) * np.float32(factor)


def smoothed(estimate: Array, camera: Camera, fwhm_mm: float) -> Array:
    """Return a scatter estimate blurred within each view; its total stays the same.

    Scatter varies slowly, and a background in a Poisson model is a mean: an estimate as noisy as
    the counts it comes from would bias the image. Gaussian, reflected at the borders.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy

    if estimate.shape != camera.shape:
        raise GeometryError(f"scatter of shape {estimate.shape}, a camera of {camera.shape}")
    if not 0 <= fwhm_mm < 1000:
        raise SettingsError(f"a filter of {fwhm_mm} mm makes no sense")
    sigma = fwhm_mm / FWHM_PER_SIGMA
    widths = (sigma / camera.bin_mm, sigma / camera.plane_mm)
    out = np.empty_like(estimate)
    for view, target in zip(estimate, out, strict=True):
        gaussian_filter(view, widths, output=target, mode="reflect")
    return out


def _counts(data: Array) -> Array:
    """Return counts in float32, refusing what cannot be counts."""
    low = float(np.min(data))
    if not (low >= 0 and np.isfinite(float(np.max(data)))):
        raise DataError(f"a scatter window holds values that are no counts (least {low:g})")
    return np.asarray(data, np.float32)


def _width(window: Window) -> float:
    """Return the width of an energy window."""
    low, high = window
    if not 0 < low < high:
        raise SettingsError(f"an energy window from {low} to {high} keV makes no sense")
    return high - low


def _check_order(lower: Window, upper: Window, peak: Window) -> None:
    """Refuse windows that do not lie on both sides of the peak."""
    middles = [sum(window) / 2 for window in (lower, peak, upper)]
    if middles != sorted(middles) or len(set(middles)) != 3:
        raise SettingsError(
            f"windows {lower} and {upper} keV do not lie below and above the peak {peak} keV"
        )
