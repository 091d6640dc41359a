"""What a person may choose about penalised reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from emrecon.errors import SettingsError
from emrecon.forms import AUTO, WORD
from emrecon.tomo.settings import Settings

Auto = Literal["auto"]

WHOLE = ("de-pierro", "lbfgs")
"""Algorithms whose every update takes all the counts."""

FOLLOWS = ("quadratic", "rdp", "log-cosh", "pls")
"""Priors of ours that an anatomy guides."""


@dataclass(frozen=True)
class Penalty:
    """A prior, and the algorithm that maximises the log-likelihood less it.

    Examples
    --------
    >>> Penalty("rdp", beta=0.01, algorithm="lbfgs").beta
    0.01
    """

    prior: str = ""
    """Penalise roughness: rdp (relative difference), quadratic, log-cosh, tv (total variation),
    pls (parallel level sets), or a prior of another package; none by default."""

    beta: float | Auto | tuple[float, ...] = "auto"
    """Strength of the prior, for images in counts/mm; auto is one that suits any scan. STIR's
    penalisation factor is, for rdp with kappa, this times its voxel size along x in mm. Several
    (0.003,0.01,0.03) make an image each in one 4D file, each begun from the last."""

    gamma: float = 2.0
    """The prior rdp: how much less edges cost; 0 is a parabola."""

    epsilon: float | Auto = "auto"
    """What rounds off rdp where both voxels are 0, and tv and pls where the image is flat, in
    counts/mm; auto is a thousandth of the first image's maximum."""

    edge: float | Auto = "auto"
    """The prior log-cosh: difference in counts/mm above which an edge begins; auto is a fifth of
    the typical value."""

    kappa: Path | None = field(default=None, metadata={WORD: (AUTO,)})
    """Factor of each voxel in the prior (NIfTI or Interfile image); auto, the default, is how well
    the counts know it, so that the resolution is about the same everywhere."""

    uniform: bool = False
    """Let the prior count the same in every voxel, without such a factor."""

    anatomy: tuple[Path, ...] = ()
    """Images of the same body, such as a T1, or the folder of tissues that emrecon segment wrote:
    pls follows the edges of one, other priors compare neighbours that look alike in all of them
    (Bowsher)."""

    similar: int = 9
    """With an anatomy: how many of its 26 neighbours a voxel is compared with."""

    eta: float | Auto = "auto"
    """The prior pls: steps of the anatomy from voxel to voxel that are noise; auto is a tenth of
    its largest ones."""

    algorithm: Literal["svrg", "bsrem", "de-pierro", "lbfgs"] = "svrg"
    """What maximises: svrg (subsets of reduced variance), bsrem (relaxed subsets), de-pierro (EM,
    whose objective never falls) or lbfgs (the reference); the last two take no subsets."""

    order_seed: int = 1
    """Seed of the order of subsets."""

    until_converged: bool = False
    """Go on until the image is within 0.1 percent of its typical value of where its gradient
    points, instead of for a number of iterations; 200 at most."""

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.kappa == Path(AUTO):
            object.__setattr__(self, "kappa", None)
        if self.uniform and self.kappa is not None:
            raise SettingsError("give kappa, or uniform for none")
        if self.anatomy and self.prior == "tv":
            raise SettingsError("the prior tv follows no anatomy: pls does, or leave it out")
        if self.prior == "pls" and len(self.anatomy) != 1:
            raise SettingsError("the prior pls follows one anatomy: give one image")

    def _check_numbers(self) -> None:
        for name in ("beta", "epsilon", "edge", "eta"):
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            if not values or any(one != "auto" and not 0 < one < 1e30 for one in values):
                raise SettingsError(f"{name} is above 0 or auto, not {value}")
        if not 0 <= self.gamma < 1e6:
            raise SettingsError(f"gamma is 0 or more, not {self.gamma}")
        if not 1 <= self.similar <= 26:
            raise SettingsError(f"similar is 1 to 26 neighbours, not {self.similar}")
        if self.order_seed < 0:
            raise SettingsError(f"order_seed is 0 or more, not {self.order_seed}")

    @property
    def betas(self) -> tuple[float, ...]:
        """The strengths of a sweep; empty where there is one image."""
        return self.beta if isinstance(self.beta, tuple) else ()

    @property
    def strength(self) -> float | Auto:
        """The strength where there is one image."""
        if isinstance(self.beta, tuple):
            raise SettingsError(f"one beta is wanted, not {len(self.beta)}: jobs take several")
        return self.beta

    def each(self) -> list[Penalty]:
        """Return the choices of each image of a sweep, or these."""
        return [replace(self, beta=beta) for beta in self.betas] or [self]

    @property
    def name(self) -> str:
        """Name of prior and algorithm; empty without."""
        return f"{self.prior} by {self.algorithm}" if self.prior else ""

    def fitted(self, settings: Settings) -> Settings:
        """Return settings as the algorithm takes them, and refuse a prior that is not there."""
        if not self.prior:
            return settings
        from emrecon.tomo.priors import PRIORS  # noqa: PLC0415 - brings kernels

        if self.prior not in PRIORS:
            raise SettingsError(f"prior is one of {', '.join(PRIORS)}, not {self.prior!r}")
        if self.beta == "auto" and self.prior not in (*FOLLOWS, "tv"):
            raise SettingsError(f"beta of the prior {self.prior} is a number: give it")
        return replace(settings, subsets=1) if self.algorithm in WHOLE else settings
