"""Maximum-likelihood expectation-maximisation over any likelihood, plain or accelerated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.squarem import Squarem
from emrecon.tomo.likelihood import Likelihood
from emrecon.volume import Array

E = TypeVar("E")

LEAST = np.float32(1e-3)
"""Share of itself to which an extrapolation lowers a voxel at most: one of 0 would stay at 0."""

LARGEST = np.float32(1e30)
"""Value that no voxel is updated to: what is seen less than its counts over this is not seen."""


@dataclass(frozen=True)
class Mlem(Generic[E]):
    r"""A model for the one loop: :math:`x \leftarrow x\,A^T[f y/\bar y]\,/\,A^T f`.

    The update of Shepp and Vardi [1]_; cycled over the likelihoods of subsets it is OSEM [2]_. A
    voxel that the likelihood does not see, or next to nothing of, keeps its value.

    References
    ----------
    .. [1] L. A. Shepp, Y. Vardi, "Maximum likelihood reconstruction for emission tomography",
       IEEE Trans. Med. Imaging 1, 113 (1982), eq. 2.13.
    .. [2] H. M. Hudson, R. S. Larkin, "Accelerated image reconstruction using ordered subsets of
       projection data", IEEE Trans. Med. Imaging 13, 601 (1994).

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> scan = em.Scan(bins, np.random.default_rng(0).poisson(5, bins.shape).astype(np.float32))
    >>> model = Mlem(em.prepare(scan, em.Settings(subsets=1)).likelihoods[0])
    >>> image = np.ones((17, 17, 1), np.float32)
    >>> expected, log_likelihood = model.expect(image)
    >>> model.expect(model.maximise(image, expected))[1] > log_likelihood
    True
    """

    likelihood: Likelihood[E]
    """What is maximised."""

    __repr__ = brief

    def expect(self, params: Array) -> tuple[E, float]:
        """Return what is to be projected back, and the log-likelihood of the image."""
        return self.likelihood.expect(params)

    def maximise(self, params: Array, expected: E) -> Array:
        """Return the counts that each voxel emitted over its sensitivity."""
        emitted = params * self.likelihood.back(expected)
        seen = self.likelihood.sensitivity
        image = params.copy()
        np.divide(emitted, seen, out=image, where=seen > emitted / LARGEST)
        return image


def squarem(likelihood: Likelihood[E]) -> Squarem[Array, E]:
    """Return MLEM accelerated by squared extrapolation; a step costs three of MLEM."""
    return Squarem(Mlem(likelihood), _flat, _restored)


def _flat(image: Array) -> NDArray[np.float64]:
    """Return an image as a vector."""
    return image.ravel().astype(np.float64)


def _restored(vector: NDArray[np.float64], image: Array) -> Array:
    """Return a vector as an image, kept above 0 wherever `image` is."""
    extrapolated = vector.astype(np.float32).reshape(image.shape)
    return np.asarray(np.maximum(extrapolated, LEAST * image))
