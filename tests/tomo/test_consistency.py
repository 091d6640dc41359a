"""Counts and factors that do not fit each other are refused, or told."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.errors import DataError
from emrecon.tomo.corrections.consistency import checked
from emrecon.tomo.geometry.camera import Camera
from emrecon.tomo.scan import Scan
from phantoms.cylinder import uniform_cylinder
from phantoms.simulate import attenuation_factors, simulate
from tests.tomo.makers import SMALL

BODY = uniform_cylinder(30.0, 100.0)


@pytest.fixture(scope="module")
def scan():
    rng = np.random.default_rng(3)
    bins = SMALL.bins(span=3)
    efficiency = np.exp(0.2 * rng.standard_normal(bins.shape)).astype(np.float32)
    return simulate(BODY, bins, counts=2e5, rng=rng, normalisation=efficiency).scan


def test_what_fits_is_returned(scan, caplog):
    assert checked(scan) is scan
    assert checked(scan.with_(normalisation=None)).normalisation is None
    mean = scan.with_(prompts=np.full(scan.bins.shape, 9, np.float32), attenuation=None)
    assert checked(mean.with_(normalisation=None, randoms=None, scatter=None))
    assert not caplog.messages


@pytest.mark.parametrize("name", ["prompts", "randoms", "normalisation", "attenuation"])
def test_what_is_not_finite_is_left_to_those_who_name_it(scan, name):
    """Without a warning of numpy, which is an error in tests."""
    data = scan.with_(randoms=np.ones(scan.bins.shape, np.float32))
    data = getattr(data, name).copy()
    data[0, 0, 0], data[0, 1, 0], data[1, 1, 1] = np.nan, np.inf, -np.inf
    checked(scan.with_(**{name: data}))


@pytest.mark.parametrize(("axis", "what"), [(0, "views"), (1, "bins"), (2, "segments")])
def test_what_counts_nothing_is_missing(scan, axis, what):
    """It may be where efficiency is 0, and where so few are expected that it is chance."""
    first = scan.bins.shape[1] // 2 if axis == 1 else 0
    last = first + 2 if axis < 2 else scan.bins.segments[0].planes
    gap = (slice(None),) * axis + (slice(first, last),)
    prompts, efficiency = scan.prompts.copy(), scan.normalisation.copy()
    prompts[gap] = efficiency[gap] = 0
    with pytest.raises(DataError, match=f"of .* {what} hold no counts"):
        checked(scan.with_(prompts=prompts))
    checked(scan.with_(prompts=prompts, normalisation=efficiency))
    few = np.random.default_rng(0).binomial(prompts.astype(int), 1e-3).astype(np.float32)
    checked(scan.with_(prompts=few, randoms=None, scatter=None))


def test_a_segment_written_twice(scan, caplog):
    prompts, offsets = scan.prompts.copy(), scan.bins.offsets
    planes = scan.bins.segments[1].planes
    assert scan.bins.segments[2].planes == planes
    prompts[..., offsets[2] : offsets[2] + planes] = prompts[..., offsets[1] : offsets[2]]
    checked(scan.with_(prompts=prompts * np.float32(0.3)))  # means of a symmetric body
    assert not caplog.messages
    checked(scan.with_(prompts=prompts))
    assert "segments 2 and 3 of the prompts hold the same counts" in caplog.text


def test_correction_factors_instead_of_efficiencies(scan):
    with pytest.raises(DataError, match="give the inverse of correction factors"):
        checked(scan.with_(normalisation=1 / scan.normalisation))
    rng = np.random.default_rng(8)
    checked(scan.with_(normalisation=rng.permutation(scan.normalisation)))
    checked(scan.with_(normalisation=scan.attenuation, attenuation=None))
    theta, u, z = np.arange(12) * np.pi / 6, np.arange(-20, 21) * 4.0, np.arange(9) * 4.0
    camera = Camera(theta, np.full(12, 150.0), u, z)
    flood = np.exp(0.2 * rng.standard_normal(camera.shape)).astype(np.float32)
    seen = Scan(camera, rng.poisson(20 * flood).astype(np.float32), flood)
    checked(seen)
    with pytest.raises(DataError, match="it is detection efficiency"):
        checked(seen.with_(normalisation=1 / flood))


def test_attenuation_factors_of_another_body(scan, caplog):
    other = attenuation_factors(BODY.moved((0, 22, 0)), scan.bins)
    checked(scan.with_(attenuation=other))
    assert "beside the tissue of the attenuation factors" in caplog.text
    assert "tissue at (0, 22, 0) mm" in caplog.text
