"""How the Gaussians of a mixture make up tissue classes: several to a class, or mixed voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import SettingsError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Components, and the Gaussians and classes they stand for.

    A pure component is one Gaussian. A component of partial volume has a mean between those of
    two Gaussians, tied to them. The uniform component, if any, is the last: it takes what no
    class explains.
    """

    mixing: Floats
    """Share of each Gaussian in each component's mean, shape ``(j, g)``; rows sum to 1 or 0."""

    fractions: Floats
    """Share of each class in each component, shape ``(j, k)``; rows sum to 1."""

    groups: NDArray[np.intp]
    """Components of one group have weights in the fixed proportion of `shares`, ``(j,)``."""

    shares: Floats
    """Part of its group's weight that a component has, shape ``(j,)``."""

    @classmethod
    def of(
        cls,
        classes: int,
        gaussians: int = 1,
        mixed: int = 0,
        *,
        outliers: bool = False,
        pairs: Sequence[tuple[int, int]] = (),
    ) -> Layout:
        """Return the layout of `classes` classes in order of brightness.

        Parameters
        ----------
        classes : int
            Number of classes.
        gaussians : int, optional
            Gaussians of each class.
        mixed : int, optional
            Components of partial volume between the two classes of each pair, of equal weight: a
            boundary passes a voxel anywhere with equal chance.
        outliers : bool, optional
            Whether there is a uniform component.
        pairs : sequence of (int, int), optional
            Classes that may share a voxel, from 0; by default each two next to each other.

        Raises
        ------
        SettingsError
            If a number makes no sense, or partial volume is wanted of classes of several
            Gaussians.
        """
        if classes < 1 or gaussians < 1 or mixed < 0:
            raise SettingsError(
                f"a mixture needs 1 or more classes of 1 or more Gaussians, not {classes} of "
                f"{gaussians} with {mixed} mixed components"
            )
        if mixed and gaussians > 1:
            raise SettingsError(
                "partial volume is modelled between classes of one Gaussian each: "
                "set gaussians to 1 or mixed to 0"
            )
        owner = np.repeat(np.eye(classes), gaussians, axis=0)
        mixing, groups = list(np.eye(classes * gaussians)), list(range(classes * gaussians))
        fractions, shares = list(owner), [1.0] * len(mixing)
        whole = np.eye(classes)
        for number, (one, other) in enumerate(pairs or pairwise(range(classes))):
            low, high = whole[one], whole[other]
            for a in np.arange(1, mixed + 1) / (mixed + 1):
                mixing.append((1 - a) * low + a * high)
                fractions.append((1 - a) * low + a * high)
                groups.append(classes * gaussians + number)
                shares.append(1 / mixed)
        if outliers:
            mixing.append(np.zeros(classes * gaussians))
            fractions.append(np.full(classes, 1 / classes))
            groups.append(max(groups) + 1)
            shares.append(1.0)
        return cls(np.array(mixing), np.array(fractions), np.array(groups), np.array(shares))

    @property
    def gaussians(self) -> int:
        """Number of Gaussians."""
        return int(self.mixing.shape[1])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.fractions.shape[1])

    @property
    def outliers(self) -> bool:
        """Whether the last component is the uniform one."""
        return not self.mixing[-1].any()

    def inner(self) -> Layout:
        """Return the layout without the uniform component, if it has one."""
        end = len(self.mixing) - int(self.outliers)
        return Layout(
            self.mixing[:end], self.fractions[:end], self.groups[:end], self.shares[:end]
        )

    @property
    def owners(self) -> NDArray[np.intp]:
        """Class of each Gaussian, shape ``(g,)``."""
        return np.asarray(self.fractions[: self.gaussians].argmax(axis=1))

    @property
    def mixed(self) -> int:
        """Number of components of partial volume."""
        return len(self.mixing) - self.gaussians - int(self.outliers)

    def spread(self, groups: Floats) -> Floats:
        """Return the weights of the components from those of their groups."""
        return np.asarray(groups[self.groups] * self.shares)

    def gather(self, components: Floats) -> Floats:
        """Return the sum over each group's components."""
        return np.asarray(np.bincount(self.groups, components), np.float64)
