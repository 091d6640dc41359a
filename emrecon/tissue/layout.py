"""How the Gaussians of a mixture make up tissue classes: several to a class, or mixed voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emrecon.brief import brief
from emrecon.errors import SettingsError

Floats = NDArray[np.float64]

SCARCE = 1e-4
"""Part of its class's weight that a nucleus has in the whole image."""


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

    nuclei: int = 0
    """Gaussians, the last of them, that are only where a place of their own has them."""

    __repr__ = brief

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
        layout = cls(np.array(mixing), np.array(fractions), np.array(groups), np.array(shares))
        return layout.with_outliers() if outliers else layout

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
        return replace(
            self, mixing=self.mixing[:end], fractions=self.fractions[:end],
            groups=self.groups[:end], shares=self.shares[:end],
        )  # fmt: skip

    def with_outliers(self) -> Layout:
        """Return the layout with a uniform component of a group of its own, if it has none."""
        if self.outliers:
            return self
        nothing = np.zeros((1, self.gaussians))
        even = np.full((1, self.classes), 1 / self.classes)
        return replace(
            self, mixing=np.vstack([self.mixing, nothing]),
            fractions=np.vstack([self.fractions, even]),
            groups=np.append(self.groups, self.groups.max() + 1),
            shares=np.append(self.shares, 1.0),
        )  # fmt: skip

    def with_nuclei(self, count: int, owner: int) -> Layout:
        """Return the layout with Gaussians that are only where a place of their own has them.

        They are of the class of the Gaussian `owner` and share its weight, each with `SCARCE` of
        it: nothing where their place does not make up for that.
        """
        first = self.gaussians
        mixing = np.pad(self.mixing, ((0, 0), (0, count)))
        own = np.eye(first + count)[first:]
        shares = self.shares.copy()
        shares[owner] -= count * SCARCE
        return Layout(
            np.insert(mixing, [first] * count, own, axis=0),
            np.insert(self.fractions, [first] * count, self.fractions[owner], axis=0),
            np.insert(self.groups, first, [self.groups[owner]] * count),
            np.insert(shares, first, [SCARCE] * count),
            self.nuclei + count,
        )

    @property
    def everywhere(self) -> NDArray[np.intp]:
        """Index of each component that may be anywhere: all but the nuclei."""
        return np.delete(np.arange(len(self.mixing)), self._places)

    def without_nuclei(self) -> Layout:
        """Return the layout of the components that may be anywhere."""
        kept, shares = self.everywhere, self.shares.copy()
        if self.nuclei:
            owner = int(np.flatnonzero(self.groups == self.groups[self._places[0]])[0])
            shares[owner] += shares[self._places].sum()
        first = self.gaussians - self.nuclei
        return Layout(
            self.mixing[kept, :first], self.fractions[kept], self.groups[kept], shares[kept]
        )

    def known(self, columns: int) -> Floats:
        """Return how much of each column of what is known of places counts for each component.

        Parameters
        ----------
        columns : int
            Of what is known: one for each class if there is an atlas, then one for each nucleus.

        Returns
        -------
        array, shape (j, columns)
            Fractions, and 1 for a nucleus's own place.
        """
        own = np.zeros((len(self.mixing), self.nuclei))
        own[self._places, np.arange(self.nuclei)] = 1
        return own if columns == self.nuclei else np.hstack([self.fractions, own])

    @property
    def _places(self) -> NDArray[np.intp]:
        return np.arange(self.gaussians - self.nuclei, self.gaussians)

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
