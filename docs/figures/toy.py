"""What the figures of the page on EM share: two models of ten lines, and a slice to scan."""

from dataclasses import dataclass

import numpy as np

BLUE, RED, GREEN, GREY = "#1f5fa8", "#c0392b", "#2e7d4f", "#8a8f98"


def system(side=32, views=24):
    """Return the matrix of a slice of `side` x `side` pixels, bin by pixel."""
    axis = np.arange(side) - (side - 1) / 2
    x, y = np.meshgrid(axis, axis, indexing="ij")
    bins = int(1.5 * side)
    rows = np.zeros((views, bins, side * side))
    pixels = np.arange(side * side)
    for view, phi in enumerate(np.arange(views) * np.pi / views):
        place = (x * np.cos(phi) + y * np.sin(phi)).ravel() + (bins - 1) / 2
        low = np.floor(place).astype(int)
        rows[view, low, pixels] = low + 1 - place
        rows[view, low + 1, pixels] = place - low
    return rows.reshape(views * bins, side * side)


def slice_of_a_head(side=32):
    """Return an activity of 1 in a disc, 3 in a large and a small spot and 0.3 in a hole."""
    axis = np.arange(side) - (side - 1) / 2
    x, y = np.meshgrid(axis, axis, indexing="ij")
    image = np.where(np.hypot(x, y) < 0.42 * side, 1.0, 0.0)
    image[np.hypot(x - 0.15 * side, y + 0.1 * side) < 0.11 * side] = 3.0
    image[np.hypot(x + 0.17 * side, y + 0.16 * side) < 0.06 * side] = 3.0
    image[np.hypot(x + 0.05 * side, y - 0.2 * side) < 0.1 * side] = 0.3
    return image


@dataclass(frozen=True)
class Emission:
    """Counts `y` of mean ``A x + b``, as a model for `emrecon.em`: MLEM."""

    A: np.ndarray
    y: np.ndarray
    b: float = 0.0

    def expect(self, x):
        """Return the counts expected of each pixel, and the log-likelihood."""
        mean = self.A @ x + self.b
        seen = mean > 0
        ratio = np.divide(self.y, mean, out=np.zeros_like(mean), where=seen)
        log_likelihood = np.sum(self.y[seen] * np.log(mean[seen])) - np.sum(mean)
        return x * (self.A.T @ ratio), float(log_likelihood)

    def maximise(self, x, emitted):
        """Return the emitted counts over the share of them that is seen."""
        return emitted / self.A.sum(axis=0)


@dataclass(frozen=True)
class Mixture:
    """Values `y` of K Gaussian classes, as a model for `emrecon.em`."""

    y: np.ndarray

    def expect(self, params):
        """Return each value's share in each class, and the log-likelihood."""
        weights, means, variances = params
        square = (self.y[:, None] - means) ** 2 / variances
        density = weights * np.exp(-square / 2) / np.sqrt(2 * np.pi * variances)
        total = density.sum(axis=1, keepdims=True)
        return density / total, float(np.log(total).sum())

    def maximise(self, params, shares):
        """Return the shares' sums, means and variances."""
        count = shares.sum(axis=0)
        means = shares.T @ self.y / count
        square = (self.y[:, None] - means) ** 2
        variances = (shares * square).sum(axis=0) / count
        return count / len(self.y), means, variances
