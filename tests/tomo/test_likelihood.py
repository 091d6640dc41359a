"""Every likelihood is held to the same properties, and to what algorithms make of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, repeat

import numpy as np
import pytest

from emrecon import em
from emrecon.errors import GeometryError
from emrecon.testing import check_likelihood
from emrecon.tomo.algorithms.mlem import Mlem, squarem
from emrecon.tomo.emission import Emission
from emrecon.tomo.likelihood import Sum
from emrecon.tomo.listmode_emission import ListmodeEmission
from emrecon.tomo.operators.algebra import Chain
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.operators.joseph import JosephProjector
from emrecon.tomo.operators.lines import LineProjector
from tests.tomo.makers import MAKERS, ring
from tests.tomo.test_listmode_em import FOV_MM, ring_case

PROJECTORS = [make for make in MAKERS if make.__name__ != "blur"]


def in_bins(make, seed: int = 0) -> tuple[Emission, np.ndarray]:
    """Return counts with efficiencies, dead bins and background, and what they come from."""
    rng, system = np.random.default_rng(seed), make(seed)
    timed = make.__name__ == "timed"
    image = rng.uniform(0.5, 2, system.domain).astype(np.float32)
    flat = system.range[1:] if timed else system.range
    factors = rng.uniform(0.2, 1, flat).astype(np.float32)
    factors[rng.random(flat) < 0.1] = 0
    background = rng.uniform(0.5, 2, flat).astype(np.float32)
    mean = factors * system.forward(image) + background / (system.range[0] if timed else 1)
    counts = rng.poisson(mean).astype(np.float32)
    summed = replace(system, summed=True) if timed else None
    return Emission(system, counts, factors, background, summed=summed), image


@pytest.mark.slow
@pytest.mark.parametrize("make", PROJECTORS, ids=lambda make: make.__name__)
def test_counts_in_bins(make) -> None:
    likelihood, image = in_bins(make)
    check_likelihood(likelihood, image, np.random.default_rng(1))


def events(subset=(0, 1), *, psf: bool = False) -> tuple[ListmodeEmission, np.ndarray]:
    grid, binned, drawn = ring_case(2, mean=3.0)
    blur = Blur(grid, (5.0, 5.0, 5.0)) if psf else None
    system = binned.system if blur is None else Chain(binned.system, blur)
    seen = system.adjoint(binned.factors)
    image = (seen > 0).astype(np.float32)
    return ListmodeEmission(LineProjector(grid, FOV_MM), drawn, seen, subset, blur), image


@pytest.mark.parametrize("psf", [False, True])
@pytest.mark.parametrize("subset", [(0, 1), (1, 3)])
def test_single_events(subset, psf) -> None:
    check_likelihood(*events(subset, psf=psf), np.random.default_rng(1))


def test_subsets_of_events_share_the_sensitivity_and_sum_to_the_whole() -> None:
    whole, image = events()
    parts = Sum([events((n, 3))[0] for n in range(3)])
    same(parts, whole, image)
    chunks = Sum([replace(whole, chunk=(n, 4), scan_sensitivity=whole.scan_sensitivity / 4)
                  for n in range(4)])  # fmt: skip
    same(chunks, whole, image)


def test_subsets_of_views_sum_to_the_whole() -> None:
    whole, image = in_bins(ring)
    projector = whole.system
    assert isinstance(projector, JosephProjector)
    parts = []
    for n in range(3):
        views = np.arange(n, whole.counts.shape[0], 3)
        system = JosephProjector(projector.grid, projector.bins.of_views(views), projector.fov_mm)
        parts.append(replace(whole, system=system, views=views))
    same(Sum(parts), whole, image)
    check_likelihood(Sum(parts), image, np.random.default_rng(2))


def same(one, other, image) -> None:
    """Hold two likelihoods to each other."""
    close(one.sensitivity, other.sensitivity)
    for a, b in ((one.ratio(image), other.ratio(image)),
                 (one.ratio(2 * image), other.ratio(2 * image))):  # fmt: skip
        close(a[0], b[0])
        assert a[1] == pytest.approx(b[1], rel=1e-6)
    close(one.back(one.expect(image)[0]), other.ratio(image)[0])
    close(one.curvature(image, image), other.curvature(image, image))


def close(one, other) -> None:
    assert np.abs(one - other).max() < 2e-5 * np.abs(other).max()


@pytest.mark.parametrize("make", PROJECTORS, ids=lambda make: make.__name__)
def test_measured_and_mean_counts_are_what_the_ratio_compares(make) -> None:
    likelihood, image = in_bins(make)
    live = np.broadcast_to(likelihood.factors > 0, likelihood.counts.shape)
    mean, factors = likelihood.mean(image), np.broadcast_to(likelihood.factors, live.shape)
    ratio = np.where(live & (mean > 0), factors * likelihood.measured / mean, 0)
    np.testing.assert_allclose(likelihood.expect(image)[0], ratio, rtol=1e-4, atol=1e-6)


def test_squared_extrapolation_of_images_gets_further_with_the_same_work() -> None:
    likelihood, image = in_bins(ring)
    start = np.where(likelihood.sensitivity > 0, image.mean(), 0).astype(np.float32)
    plain = list(islice(em(repeat(Mlem(likelihood)), start), 31))
    fast = list(islice(em(repeat(squarem(likelihood)), start), 11))
    assert fast[-1].log_likelihood > plain[-1].log_likelihood
    assert fast[-1].params.min() >= 0


class Wrong:
    """A likelihood of which one piece is off."""

    def __init__(self, likelihood, piece):
        self._right, self._piece = likelihood, piece

    def __getattr__(self, name):
        right = getattr(self._right, name)
        if name != self._piece:
            return right
        if name == "sensitivity":
            return right * np.float32(1.1)
        return lambda *args: off(right(*args))


def off(value):
    if isinstance(value, tuple):
        return off(value[0]), value[1]
    return value * np.float32(1.1)


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        ("sensitivity", "sensitivity"),
        ("ratio", "ratio is not"),
        ("back", "ratio is not"),
        ("curvature", "curvature"),
    ],
)
def test_what_is_no_likelihood_is_told(piece, words) -> None:
    likelihood, image = in_bins(ring)
    with pytest.raises(AssertionError, match=words):
        check_likelihood(Wrong(likelihood, piece), image, np.random.default_rng(0))


def test_bins_refuse_what_does_not_fit() -> None:
    likelihood, _ = in_bins(ring)
    with pytest.raises(GeometryError, match="its projector gives"):
        replace(likelihood, views=np.arange(2))
    with pytest.raises(GeometryError, match="factors of shape"):
        replace(likelihood, factors=likelihood.factors[1:])
