"""Maximum likelihood for transmission, with a prior or without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emrecon.tomo.priors.prior import Prior
from emrecon.tomo.transmission import Rays, Transmission
from emrecon.volume import Array

LARGEST = np.float32(1e30)
"""Step that no voxel makes: what curves less than its slope over this does not curve."""


@dataclass(frozen=True)
class Mltr:
    r"""A model for the one loop: separable parabolas below the log-likelihood of `Transmission`.

    .. math:: \mu \leftarrow \Bigl[\mu + \frac{A^T s - \nabla R(\mu)}
              {A^T [c \, A 1] + c_R}\Bigr]_+

    with the slope `s` of the log-likelihood of each ray, the curvature `c` of the flattest
    parabola that stays below it for all line integrals of 0 or more [1]_, and of the prior's
    parabola :math:`c_R`. The objective never falls. In the form of [2]_, which takes the curvature
    at the ray's mean in place of `c`, it can. With a prior a voxel at most halves in one step: its
    parabola is good for no more. Cycled over the views of subsets it is faster and not monotone
    [3]_; give each its share of the prior. An image of zeros is a good start.

    References
    ----------
    .. [1] H. Erdogan, J. A. Fessler, "Monotonic algorithms for transmission tomography", IEEE
       Trans. Med. Imaging 18, 801 (1999).
    .. [2] J. Nuyts et al., "Iterative reconstruction for helical CT: a simulation study", Phys.
       Med. Biol. 43, 729 (1998).
    .. [3] H. Erdogan, J. A. Fessler, "Ordered subsets algorithms for transmission tomography",
       Phys. Med. Biol. 44, 2835 (1999).

    Examples
    --------
    >>> from itertools import repeat
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> A = em.projector(bins, bins.grid(), em.Settings())
    >>> exact = 1000 * np.exp(-A.forward(np.full(A.domain, 0.1)))
    >>> model = em.Mltr(em.Transmission(A, exact, blank=np.full(A.range, 1000)))
    >>> run = em.em(repeat(model), np.zeros(A.domain, np.float32))
    >>> mu = em.last(em.until(run, em.after(50))).params
    >>> round(float(mu[8, 8, 0]), 3)
    0.1
    """

    likelihood: Transmission
    """The counts of the rays."""

    prior: Prior | None = None
    """Taken off the log-likelihood; None for none."""

    def expect(self, params: Array) -> tuple[Rays, float]:
        """Return what the counts say about each ray, and the objective of the image."""
        expected, value = self.likelihood.expect(params)
        return expected, value - (self.prior.value(params) if self.prior else 0.0)

    def maximise(self, params: Array, expected: Rays) -> Array:
        """Return the top of the parabolas among images of 0 or more."""
        rays = self.likelihood
        slope = rays.gradient(expected)
        bend = rays.system.adjoint(expected.curvature * rays.lengths_mm)
        least = np.zeros_like(params)
        if self.prior:
            slope -= self.prior.gradient(params)
            bend += self.prior.majorant(params)
            least = np.asarray(params / np.float32(2))
        curved = bend > np.abs(slope) / LARGEST
        step = np.where(slope < 0, -params, 0)  # a line that falls: as far down as may be
        np.divide(slope, bend, out=step, where=curved)
        return np.asarray(np.maximum(params + step, least))
