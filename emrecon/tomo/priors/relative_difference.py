"""The relative difference prior, which scales as activity does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emrecon.errors import SettingsError
from emrecon.tomo.kernels.pair_potentials import RELATIVE_DIFFERENCE


@dataclass(frozen=True)
class RelativeDifference:
    r"""A pair adds :math:`d^2 / (x_j + x_k + \gamma |d| + \epsilon)`, with `d` its difference.

    Without `epsilon` after Nuyts et al. [1]_; it is what makes the prior smooth where both voxels
    are 0 [2]_.

    References
    ----------
    .. [1] J. Nuyts, D. Beque, P. Dupont, L. Mortelmans, "A concave prior penalizing relative
       differences for maximum-a-posteriori reconstruction in emission tomography", IEEE Trans.
       Nucl. Sci. 49, 56 (2002), eq. 5.
    .. [2] STIR, class ``RelativeDifferencePrior``.
    """

    gamma: float = 2.0
    """Strength on edges: with 0 a parabola over the mean, with more an edge costs less."""

    epsilon: float = 0.0
    """Added to the denominator, in units of the image."""

    KERNEL: ClassVar[int] = RELATIVE_DIFFERENCE

    def __post_init__(self) -> None:
        if not (0 <= self.gamma < 1e6 and 0 <= self.epsilon < 1e30):
            raise SettingsError(
                f"gamma and epsilon are 0 or more, not {self.gamma} and {self.epsilon}"
            )

    @property
    def constants(self) -> tuple[float, float]:
        """`gamma` and `epsilon`."""
        return self.gamma, self.epsilon
