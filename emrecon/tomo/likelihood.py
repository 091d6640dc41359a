"""What a likelihood of emission counts offers, whatever the counts lie in.

An algorithm that asks for no more than this runs on sinograms, single events, views of a gamma
camera, sums of such, and data that lie on other machines. With the image `x`, the counts `y` and
their mean ``ybar = f A x + b``,

- the gradient of the log-likelihood is ``ratio - sensitivity``;
- the update of MLEM is ``x ratio / sensitivity``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import add
from typing import Any, Generic, Protocol, TypeVar, cast

from emrecon.brief import brief
from emrecon.errors import SettingsError
from emrecon.tomo.draw import Draw
from emrecon.tomo.operators.algebra import Operator
from emrecon.tomo.sensitivity import InMemory, Keep
from emrecon.volume import Array

E = TypeVar("E")
"""What is to be projected back; a matter of the likelihood alone."""


class Likelihood(Protocol[E]):
    """The log-likelihood of an image, less what does not depend on it, and its derivatives.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> from emrecon.tomo.geometry.bins import Bins
    >>> bins = Bins.parallel(np.arange(12) * np.pi / 12, np.arange(-8.0, 9.0))
    >>> scan = em.Scan(bins, np.random.default_rng(0).poisson(5, bins.shape).astype(np.float32))
    >>> likelihood = em.prepare(scan, em.Settings(subsets=1)).likelihoods[0]
    >>> image = np.ones((17, 17, 1), np.float32)
    >>> ratio, log_likelihood = likelihood.ratio(image)
    >>> (ratio - likelihood.sensitivity).shape  # the gradient
    (17, 17, 1)
    """

    @property
    def sensitivity(self) -> Array:
        """How well each voxel is seen, ``A^T f``, image-shaped; computed once."""
        ...

    def expect(self, image: Array) -> tuple[E, float]:
        """Return what `back` takes, and the log-likelihood of `image`."""
        ...

    def back(self, expected: E) -> Array:
        """Return ``A^T [f y / ybar]``, image-shaped."""
        ...

    def ratio(self, image: Array) -> tuple[Array, float]:
        """Return ``A^T [f y / ybar]`` and the log-likelihood: `expect`, then `back`."""
        ...

    def curvature(self, image: Array, along: Array) -> Array:
        """Return ``A^T [f^2 y / ybar^2 A along]``: minus the Hessian at `image` times `along`."""
        ...


class Redrawable(Likelihood[E], Protocol[E]):
    """A likelihood whose counts can be drawn again, for a bootstrap."""

    def redrawn(self, draw: Draw) -> Redrawable[E]:
        """Return the likelihood of a replicate; its sensitivity is that of the scan."""
        ...


@dataclass(frozen=True, eq=False)
class Sum:
    """Independent counts of one image: all subsets, several gates, several scans.

    Examples
    --------
    >>> import numpy as np
    >>> import emrecon as em
    >>> found = em.from_radon(np.full((16, 12), 50.0))
    >>> problem = em.prepare(found.scan, em.Settings(subsets=4))
    >>> whole = Sum(problem.likelihoods)
    >>> bool(np.all(whole.sensitivity >= problem.likelihoods[0].sensitivity))
    True
    """

    terms: Sequence[Likelihood[Any]]
    """Their likelihoods, one at least, all of images of one shape."""

    __repr__ = brief

    @cached_property
    def sensitivity(self) -> Array:
        """The sum of the sensitivities."""
        return reduce(add, (term.sensitivity for term in self.terms))

    def expect(self, image: Array) -> tuple[list[Any], float]:
        """Return what each term is to project back, and the log-likelihood of all."""
        expected, likelihoods = zip(*(term.expect(image) for term in self.terms), strict=True)
        return list(expected), sum(likelihoods)

    def back(self, expected: list[Any]) -> Array:
        """Return the sum of the back-projections."""
        return reduce(add, map(_back, self.terms, expected))

    def ratio(self, image: Array) -> tuple[Array, float]:
        """Return the sum of the ratios, one term in memory at a time, and the log-likelihood."""
        ratio, likelihood = self.terms[0].ratio(image)
        for term in self.terms[1:]:
            more, gained = term.ratio(image)
            ratio, likelihood = ratio + more, likelihood + gained
        return ratio, likelihood

    def curvature(self, image: Array, along: Array) -> Array:
        """Return the sum of the curvatures."""
        return reduce(add, (term.curvature(image, along) for term in self.terms))

    def redrawn(self, draw: Draw) -> Sum:
        """Return the sum of the likelihoods of counts drawn from these."""
        return Sum(redrawn(self.terms, draw))


def _back(term: Likelihood[Any], expected: Any) -> Array:  # noqa: ANN401 - what the term expects
    """Return the back-projection of one term."""
    return term.back(expected)


@dataclass(frozen=True, eq=False)
class Through(Generic[E]):
    """The likelihood of coefficients of which an operator makes the image: that of kernel EM.

    What is maximised are the coefficients; `operator` gives the image to look at.
    """

    likelihood: Likelihood[E]
    """That of the image."""

    operator: Operator
    """From coefficients to the image."""

    keep: Keep = field(default_factory=InMemory)
    """Where the sensitivity is kept once it was computed."""

    __repr__ = brief

    @property
    def sensitivity(self) -> Array:
        """How well each coefficient is seen."""
        return self.keep(lambda: self.operator.adjoint(self.likelihood.sensitivity))

    def expect(self, image: Array) -> tuple[E, float]:
        """Return what `back` takes, and the log-likelihood of the coefficients."""
        return self.likelihood.expect(self.operator.forward(image))

    def back(self, expected: E) -> Array:
        """Return the back-projection to the coefficients."""
        return self.operator.adjoint(self.likelihood.back(expected))

    def ratio(self, image: Array) -> tuple[Array, float]:
        """Return `expect`, then `back`, and the log-likelihood."""
        ratio, log_likelihood = self.likelihood.ratio(self.operator.forward(image))
        return self.operator.adjoint(ratio), log_likelihood

    def curvature(self, image: Array, along: Array) -> Array:
        """Return minus the Hessian at the coefficients `image` times `along`."""
        seen, step = self.operator.forward(image), self.operator.forward(along)
        return self.operator.adjoint(self.likelihood.curvature(seen, step))

    def redrawn(self, draw: Draw) -> Through[E]:
        """Return the likelihood of coefficients with the counts drawn again."""
        drawn = _redrawable(self.likelihood).redrawn(draw)
        return replace(self, likelihood=drawn)


def redrawn(likelihoods: Sequence[Likelihood[Any]], draw: Draw) -> tuple[Redrawable[Any], ...]:
    """Return the likelihoods of all subsets of one replicate of a scan.

    Raises
    ------
    SettingsError
        If one of another package cannot be drawn again.
    """
    return tuple(_redrawable(likelihood).redrawn(draw) for likelihood in likelihoods)


def _redrawable(likelihood: Likelihood[E]) -> Redrawable[E]:
    """Return a likelihood that can be drawn again, or refuse it."""
    if not hasattr(likelihood, "redrawn"):
        raise SettingsError(
            f"{type(likelihood).__name__} has no redrawn(), which a bootstrap needs: choose "
            "another uncertainty"
        )
    return cast("Redrawable[E]", likelihood)
