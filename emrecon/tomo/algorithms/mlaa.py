"""Maximum likelihood for activity and attenuation together, from time-of-flight counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from emrecon.errors import GeometryError
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.algorithms.mltr import Mltr
from emrecon.tomo.emission import Emission
from emrecon.tomo.operators.algebra import Chain, Operator, Repeat
from emrecon.tomo.transmission import Transmission
from emrecon.volume import Array


class Joint(NamedTuple):
    """What counts are explained by."""

    activity: Array
    """In counts/mm."""

    mu: Array
    """What the attenuation map is made of, in 1/mm; see `Mlaa.lines`."""


@dataclass(frozen=True, eq=False)
class Mlaa:
    r"""A model for the one loop: a step of MLEM for the activity, then one of MLTR for the map.

    Counts are :math:`y_{it} \sim \mathrm{Poisson}(f_i e^{-l_i} [A_t x]_i + b_{it})` with line
    integrals :math:`l = M \mu` that do not depend on the time-of-flight bin t. For a map they are
    counts of an activity, `Mlem`; for an activity those of rays with the blank
    :math:`f A_t x`, `Mltr`. Neither step lets the log-likelihood fall (Rezaei et al. [1]_).

    Time of flight settles both but for one number [2]_: where the activity is multiplied by
    :math:`e^c` and :math:`c` added to every line that meets it, all means stay. Something else
    must say what that is, see `emrecon.tomo.joint`.

    References
    ----------
    .. [1] A. Rezaei et al., "Simultaneous reconstruction of activity and attenuation in
       time-of-flight PET", IEEE Trans. Med. Imaging 31, 2224 (2012).
    .. [2] M. Defrise, A. Rezaei, J. Nuyts, "Time-of-flight PET data determine the attenuation
       sinogram up to a constant", Phys. Med. Biol. 57, 885 (2012).
    """

    emission: Emission
    """Time-of-flight counts of these views alone, with the factors of what is known."""

    lines: Operator
    """Line integrals :math:`M`, of 0 or more, of what the map is made of: views, bins, planes."""

    def __post_init__(self) -> None:
        counted = self.emission.system.range
        if counted[1:] != self.lines.range or self.emission.views is not None:
            raise GeometryError(
                f"joint reconstruction takes time-of-flight counts along {self.lines.range} "
                f"lines, not {counted}"
            )

    def attenuated(self, mu: Array) -> Emission:
        """Return the counts as those of an activity behind a map."""
        survival = np.exp(-self.lines.forward(mu))
        if self.emission.factors is not None:
            survival *= self.emission.factors
        return replace(self.emission, factors=survival)

    def rays(self, activity: Array) -> Transmission:
        """Return the counts as those of rays that an activity sends through a map."""
        counted = self.emission
        blank, background = counted.system.forward(activity), counted.background
        if counted.factors is not None:
            blank *= counted.factors
        if background is not None and background.ndim < blank.ndim:
            background = background / np.float32(len(blank))
        every = Chain(Repeat(len(blank), self.lines.range), self.lines)
        return Transmission(every, counted.counts, blank, background)

    def expect(self, params: Joint) -> tuple[tuple[Emission, Array], float]:
        """Return the counts behind the map, what they say of the activity, and its likelihood."""
        attenuated = self.attenuated(params.mu)
        expected, value = attenuated.expect(params.activity)
        return (attenuated, expected), value

    def maximise(self, params: Joint, expected: tuple[Emission, Array]) -> Joint:
        """Return the activity that the counts ask for, and then the map that they ask for."""
        attenuated, ratio = expected
        activity = Mlem(attenuated).maximise(params.activity, ratio)
        if not activity.any():
            return Joint(activity, params.mu)
        through = Mltr(self.rays(activity))
        return Joint(activity, through.maximise(params.mu, through.expect(params.mu)[0]))
