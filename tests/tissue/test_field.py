"""Spatial field and bias field: one free energy that never falls, and the truth found."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, repeat

import numba
import numpy as np
import pytest

from emrecon.em import em, until
from emrecon.errors import SettingsError
from emrecon.neighbours import neighbourhood
from emrecon.stop import after
from emrecon.tissue.bias import basis
from emrecon.tissue.field import Image, State
from emrecon.tissue.lattice import lattice
from emrecon.tissue.mixture import Layout, Prior
from emrecon.tissue.moments import Rules
from emrecon.tissue.starts import from_means

SIZE = 24
SPACING = (6.0, 6.0, 6.0)
LEVELS = np.array([[300.0, 900.0], [600.0, 500.0], [900.0, 400.0]])


def ball(
    channels: int, missing: float, *, field: bool = True, noise: float = 60.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three nested balls: image ``(c, i, j, k)``, mask, true class and true log field."""
    rng = np.random.default_rng(0)
    x, y, z = np.mgrid[:SIZE, :SIZE, :SIZE] * 6.0 - 69.0
    radius = np.sqrt(x**2 + y**2 + z**2)
    truth = np.digitize(-radius, [-48, -32])
    mask = radius < 62
    log_field = (0.15 * np.cos(np.pi * (x + 69) / 144) + 0.05 * y / 69) * field
    image = LEVELS[truth].transpose(3, 0, 1, 2)[:channels] * np.exp(log_field)
    image = image + rng.normal(0, noise, image.shape)
    holes = rng.random(image.shape) < missing
    holes[0] &= ~holes[1:].any(axis=0) if channels > 1 else holes[0] * False
    image[holes] = np.nan
    return image.astype(np.float32), mask, truth, log_field


def model(
    image: np.ndarray, mask: np.ndarray, layout: Layout, neighbours: int, beta: float,
    covariance: str = "tied", *, field: bool = True,
) -> tuple[Image, State]:  # fmt: skip
    channels = len(image)
    found = lattice(mask, image[:, mask], neighbourhood(neighbours, SPACING))
    values = np.nan_to_num(np.ascontiguousarray(image[(slice(None), *found.index)]))
    centre, scale = np.full(channels, 600.0), np.full(channels, 200.0)
    functions = None
    if field:
        functions = basis(found.shape, found.places, SPACING, 100.0, 1.0, 12.0)
    prior = Prior(10.0, 5.0, 0.05 * np.eye(channels))
    rules = Rules(layout, covariance, 1e-9, prior, found.seen, -2.0)
    made = Image(values, found, rules, centre, scale, beta, functions, None, SPACING)
    means = np.repeat((LEVELS[:, :channels] - 600) / 200, layout.gaussians // 3, axis=0)
    start = from_means(means, layout, np.full(channels, 0.2))
    modes = 0 if functions is None else len(functions.modes)
    return made, State(start, found.blank(3), np.zeros((channels, modes)))


@pytest.mark.parametrize(
    ("channels", "missing", "neighbours", "layout", "covariance"),
    [
        (1, 0.0, 6, Layout.of(3, mixed=3), "tied"),
        (1, 0.0, 26, Layout.of(3, outliers=True), "full"),
        (2, 0.2, 12, Layout.of(3, mixed=3), "tied"),
        (2, 0.2, 26, Layout.of(3, 2), "diag"),
    ],
)
def test_free_energy_never_falls(
    channels: int, missing: float, neighbours: int, layout: Layout, covariance: str
) -> None:
    image, mask, _, _ = ball(channels, missing)
    made, start = model(image, mask, layout, neighbours, 3.0, covariance)
    run = list(until(em(repeat(made), start), after(25)))
    # float32 logs of about 10 in each voxel, their errors independent
    slack = 1e-5 * np.sqrt(made.lattice.size)
    assert all(b.log_likelihood >= a.log_likelihood - slack for a, b in pairwise(run))
    assert run[-1].log_likelihood > run[0].log_likelihood + 100


@pytest.mark.parametrize("covariance", ["tied", "full"])
def test_the_field_follows_the_classes_of_its_own_pass(covariance: str) -> None:
    """With little noise, a field improved beside older classes lets the energy fall by 1000."""
    image, mask, _, log_field = ball(2, 0.0, noise=15.0)
    made, start = model(
        (image * np.exp(log_field)).astype(np.float32), mask, Layout.of(3, mixed=3), 6, 3.0,
        covariance,
    )  # fmt: skip
    run = list(until(em(repeat(made), start), after(25)))
    assert all(b.log_likelihood > a.log_likelihood for a, b in pairwise(run))


def test_field_and_classes_are_found() -> None:
    image, mask, truth, log_field = ball(1, 0.0)
    made, start = model(image, mask, Layout.of(3, mixed=3), 6, 3.0)
    *_, last = until(em(repeat(made), start), after(30))
    at = made.lattice.index
    found = last.params.fractions[:-1]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=2e-6)
    assert (found.argmax(axis=1) == truth[at]).mean() > 0.99
    smooth = made.log_field(last.params.bias, made.basis, np.zeros(3))[0]
    error = (smooth - log_field[at]) - (smooth - log_field[at]).mean()
    assert error.std() < 0.2 * log_field[at].std()  # a tilt is no sum of few cosines
    assert not last.params.fractions[-1].any()


def test_neighbours_mend_noise() -> None:
    image, mask, truth, _ = ball(1, 0.0, field=False, noise=150.0)
    right = {}
    for beta, weight in ((0.0, 10.0), (3.0, 5000.0)):
        made, start = model(image, mask, Layout.of(3), 6, beta, field=False)
        # beside a strong field the weights must not run away with the largest class
        rules = replace(made.rules, prior=replace(made.rules.prior, weight=weight))
        made = replace(made, rules=rules)
        *_, last = until(em(repeat(made), start), after(15))
        found = last.params.fractions[:-1].argmax(axis=1)
        right[beta] = (found == truth[made.lattice.index]).mean()
    assert right[3.0] > right[0.0] + 0.08


def test_threads_do_not_change_a_bit() -> None:
    image, mask, _, _ = ball(2, 0.1)
    made, start = model(image, mask, Layout.of(3, mixed=3), 6, 1.0)
    runs = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        *_, last = until(em(repeat(made), start), after(4))
        runs.append(last)
    np.testing.assert_array_equal(runs[0].params.fractions, runs[1].params.fractions)
    np.testing.assert_array_equal(runs[0].params.bias, runs[1].params.bias)
    assert runs[0].log_likelihood == runs[1].log_likelihood


def test_colours_part_neighbours() -> None:
    for count in (6, 12, 26):
        near = neighbourhood(count, (1.0, 1.0, 2.0))
        at = np.indices((4, 4, 4)).reshape(3, -1)
        colours = near.colour(*at)
        for step in near.steps:
            assert not (near.colour(*(at + 4 + step[:, None])) == near.colour(*(at + 4))).any()
        assert set(colours.tolist()) == set(range(near.colours))
        for colour in range(near.colours):
            own = at[:, colours == colour][:, :1] + 4
            beside = np.array([near.colour(*(own + s[:, None]))[0] for s in near.steps])
            np.testing.assert_array_equal(near.earlier(colour), beside < colour)
        stronger = 1.25 if count == 12 else 1.0
        assert near.weights.sum() == pytest.approx(stronger * (2 + 2 + 1))
    with pytest.raises(SettingsError, match="6, 12 or 26"):
        neighbourhood(18, (1.0, 1.0, 1.0))
