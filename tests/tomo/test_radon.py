"""Sinograms of scikit-image land where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage.transform import radon

from emrecon import from_radon, projector, recon
from emrecon.errors import GeometryError
from emrecon.tomo.geometry.image_grid import grid_of


def blobs(size: int) -> np.ndarray:
    """Return a smooth image without any symmetry, within the inscribed circle."""
    row, column = np.indices((size, size))
    image = np.zeros((size, size))
    for r, c, width, height in (
        (0.25, 0.4, 0.05, 1.0),
        (0.6, 0.7, 0.08, 2.0),
        (0.7, 0.3, 0.04, 3.0),
    ):
        away = (row - r * size) ** 2 + (column - c * size) ** 2
        image += height * np.exp(-away / 2 / (width * size) ** 2)
    image[np.hypot(row - size // 2, column - size // 2) > size / 2 - 1] = 0
    return image


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("circle", [True, False])
@pytest.mark.parametrize("pixel_mm", [1.0, 2.5])
def test_our_projector_gives_its_sinogram(size: int, *, circle: bool, pixel_mm: float) -> None:
    image = blobs(size)
    theta = np.array([0.0, 17.0, 45.0, 90.0, 133.0, 179.0, 250.0])
    sinogram = radon(image, theta, circle=circle)
    found = from_radon(sinogram, theta, circle=circle, size=size, pixel_mm=pixel_mm)
    grid = grid_of(found.scan.bins, found.settings)
    voxels = np.ascontiguousarray(image[::-1].T[:, :, None], np.float32)
    ours = projector(found.scan.bins, grid, found.settings).forward(voxels)
    off = np.abs(ours - found.scan.prompts)
    # The two interpolate differently, along lines and in turned images: 1 % of the largest bin.
    assert off.max() < 0.01 * ours.max()
    mirrored = projector(found.scan.bins, grid, found.settings).forward(
        np.ascontiguousarray(voxels[::-1])
    )
    assert np.abs(mirrored - found.scan.prompts).max() > 0.3 * ours.max()


def test_the_image_comes_back_as_it_was() -> None:
    image = blobs(48)
    theta = np.arange(0, 180, 3.0)
    found = from_radon(radon(image, theta), theta)
    back = found.image(recon(found.scan, replace(found.settings, iterations=60, subsets=4)))
    assert back.shape == image.shape
    assert np.abs(back - image).max() < 0.05 * image.max()  # smooth, noise-free


def test_without_angles_they_are_those_of_radon() -> None:
    sinogram = np.ones((16, 180))
    assert np.allclose(np.rad2deg(from_radon(sinogram).scan.bins.phi_rad), np.arange(180))


@pytest.mark.parametrize("shape", [(16,), (16, 4, 1), (16, 5)])
def test_a_shape_that_is_none_of_radon_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError, match="bins, angles"):
        from_radon(np.ones(shape), np.zeros(4))
