"""How strongly neighbours attract each other, estimated from the image itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emrecon.tissue.classes import log_joint, tables
from emrecon.tissue.field import Image, State

Floats = NDArray[np.float64]

VOXELS = 15_000
"""Voxels about the middle of the image from which the strength is estimated."""

LARGEST = 20.0
"""Strength beyond which a field is taken for one class throughout."""

_SETTLE, _SWEEPS = 8, 16


@dataclass(frozen=True, eq=False)
class Patch:
    """Voxels about the middle of an image, their neighbours and what their intensities say."""

    beside: NDArray[np.intp]
    """Number of each neighbour, shape ``(n, o)``; n where there is none in the patch."""

    weights: Floats
    """Of the neighbours, shape ``(o,)``."""

    inner: NDArray[np.bool_]
    """Voxels that have all their neighbours of the mask in the patch, shape ``(n,)``."""

    colours: list[NDArray[np.intp]]
    """Voxels of each colour, of which none are neighbours."""

    joint: Floats
    """Log of weight, density and atlas of each component, shape ``(n, j)``."""


def strength(image: Image, state: State, rng: np.random.Generator) -> float:
    """Return the strength of the spatial field under which the image is most likely.

    Components of the voxels are drawn given the image (Gibbs sampling), and the strength goes
    to where the draws have the largest pseudo-likelihood, in steps that die away. In the mean
    this has the right strength as its fixed point, which mean field has not: that comes out
    too strong in noise.

    Parameters
    ----------
    image : Image
        The model; its strength is where to start.
    state : State
        Estimate of classes and bias field.
    rng : numpy.random.Generator
        For the draws.

    References
    ----------
    Besag, J. R. Statist. Soc. B 48, 259 (1986); Chalmond, Pattern Recognit. 22, 747 (1989).
    """
    layout = image.rules.layout
    patch = _patch(image, state)
    start = np.log(np.maximum(state.classes.weights, 1e-12))
    shares = np.vstack([layout.fractions, np.zeros(layout.classes)])
    drawn = np.append(_draw(patch.joint, rng), len(shares) - 1)
    beta = image.beta
    free = np.zeros(layout.classes)
    for sweep in range(_SETTLE + _SWEEPS):
        for own in patch.colours:
            pull = _near(patch, shares[drawn], own) @ layout.fractions.T
            drawn[own] = _draw(patch.joint[own] + beta * pull, rng)
        field = shares[drawn]
        own = np.flatnonzero(patch.inner)
        free = _most_likely(free, field[own], _near(patch, field, own), layout.fractions, start)
        beta += (float(np.clip(free[0], 0, LARGEST)) - beta) / max(sweep - _SETTLE + 1, 1)
    return beta


def _patch(image: Image, state: State) -> Patch:
    """Return the voxels nearest to the middle of the mask."""
    near = image.lattice
    index = np.stack(near.index, axis=1)
    reach = np.abs(index - np.median(index, axis=0)).max(axis=1)
    chosen = np.sort(np.argsort(reach, kind="stable")[:VOXELS])
    number = np.full(near.size + 1, len(chosen), np.intp)
    number[chosen] = np.arange(len(chosen))
    around = near.beside[:, chosen].T
    beside = number[around]
    inner = ~((around < near.size) & (beside == len(chosen))).any(axis=1)
    joint = np.empty((len(chosen), len(image.rules.layout.mixing)))
    values = image.corrected(state.bias)[:, chosen].T.astype(np.float64)
    colour = np.empty(len(chosen), np.intp)
    for run in near.runs:
        rows = np.flatnonzero((chosen >= run.first) & (chosen < run.last))
        colour[rows] = run.colour
        table = tables(
            state.classes, image.rules.layout, near.seen[run.pattern], image.rules.log_uniform
        )
        joint[rows] = log_joint(values[rows], table)
    if image.external is not None:
        joint += image.external[chosen] @ image.rules.layout.known(image.external.shape[1]).T
    colours = [np.flatnonzero(colour == c) for c in range(len(near.earlier))]
    return Patch(beside, near.weights.astype(np.float64), inner, colours, joint)


def _draw(joint: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return one component a voxel, drawn with probabilities in proportion to exp(joint)."""
    return np.asarray((joint + rng.gumbel(size=joint.shape)).argmax(axis=1))


def _near(patch: Patch, field: Floats, own: NDArray[np.intp]) -> Floats:
    """Return the weighted sums of the neighbours' fractions, shape ``(n, k)``."""
    total = np.zeros((len(own), field.shape[1]))
    for n, weight in enumerate(patch.weights):
        total += weight * field[patch.beside[own, n]]
    return total


def _most_likely(free: Floats, own: Floats, near: Floats, shares: Floats, start: Floats) -> Floats:
    """Return strength, and offset of each class but the first, of largest pseudo-likelihood."""
    best = _likelihood(free, own, near, shares, start)
    for _ in range(30):
        step = np.linalg.solve(best[2] + 1e-9 * np.eye(len(free)), best[1])
        for halving in range(12):
            tried = free + step / 2**halving
            better = _likelihood(tried, own, near, shares, start)
            if better[0] >= best[0]:
                break
        gain = better[0] - best[0]
        if gain <= 0:
            break
        free, best = tried, better
        if gain < 1e-6 or free[0] > LARGEST:
            break
    return free


def _likelihood(
    free: Floats, own: Floats, near: Floats, shares: Floats, start: Floats
) -> tuple[float, Floats, Floats]:
    """Return the log pseudo-likelihood a voxel, its slope, and minus its curvature."""
    pull = free[0] * near
    pull[:, 1:] += free[1:]
    joint = start + pull @ shares.T
    from scipy.special import logsumexp  # noqa: PLC0415 - slow to load, seldom needed

    norm = logsumexp(joint, axis=1)
    member = np.exp(joint - norm[:, None])
    value = float(np.mean((own * pull).sum(axis=1) - norm))
    features = np.concatenate([(near @ shares.T)[:, :, None],
                           np.broadcast_to(shares[:, 1:], (*member.shape, shares.shape[1] - 1))],
                          axis=2)  # fmt: skip
    mean = np.einsum("nj,njp->np", member, features)
    seen = np.column_stack([(own * near).sum(axis=1), own[:, 1:]])
    second = np.einsum("nj,njp,njq->pq", member, features, features, optimize=True) / len(own)
    return value, (seen - mean).mean(axis=0), second - mean.T @ mean / len(own)
