"""How a number of classes compares with others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """How well a number of classes explains an image; the lower a criterion, the better."""

    classes: int
    """Number of classes."""

    bic: float
    """Bayesian information criterion."""

    icl: float
    """The same with the entropy of the memberships: prefers classes that are told apart."""

    gap: float
    """Least distance of two classes, in standard deviations."""

    effective_voxels: float
    """Independent voxels that the criteria count with."""
