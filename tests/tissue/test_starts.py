"""Which optimum is taken: never one whose fluid the contrast cannot have."""

from __future__ import annotations

import numpy as np
import pytest

from emrecon.tissue.layout import Layout
from emrecon.tissue.mixture import Mixture, Prior
from emrecon.tissue.settings import Settings
from emrecon.tissue.starting_points import starting_points
from emrecon.tissue.starts import from_means, search
from tests.tissue.test_user_starts import data

WRONG, RIGHT = np.array([[500.0], [640.0], [950.0]]), np.array([[200.0], [600.0], [950.0]])


def little_fluid() -> np.ndarray:
    """Return intensities of a brain with 3 % fluid and two kinds of grey matter."""
    rng = np.random.default_rng(2)
    kinds = [(200, 50, 600), (540, 50, 4000), (650, 50, 6000), (950, 40, 9000)]
    return np.concatenate([rng.normal(m, s, n) for m, s, n in kinds])[:, None]


@pytest.mark.parametrize("outliers", [False, True])
def test_half_of_the_grey_matter_is_not_taken_for_fluid(*, outliers: bool) -> None:
    layout = Layout.of(3, mixed=3, outliers=outliers)
    values = little_fluid()
    model = Mixture(values / 200, layout, "tied", prior=Prior(1.0))
    starts = {
        name: from_means(means / 200, layout, np.full(1, 0.05))
        for name, means in (("wrong", WRONG), ("right", RIGHT))
    }
    optima = search(model, starts, Settings().unlike)
    assert not optima[0].unlike
    assert optima[0].classes.means[0, 0] * 200 < 400


def test_contrasts_tell_where_fluid_is() -> None:
    assert not Settings().unlike([300, 750, 1000])
    assert Settings().unlike([600, 750, 1000])
    assert not Settings(contrast="T2").unlike([400, 500, 1000])
    assert Settings(contrast="T2").unlike([400, 800, 1000])
    assert not Settings(contrast="other").unlike([600, 750, 1000])
    assert not Settings(classes=4).unlike([600, 750, 1000, 2000])


@pytest.mark.parametrize("name", ["atlas", "given"])
def test_an_atlas_that_leads_to_classes_out_of_order_gives_way_to_other_starts(name: str) -> None:
    """What a person gave stays, whatever it leads to."""
    image, layout = data(), Layout.of(3, mixed=3)
    standard = np.nanmean(image.standard(1000))
    alike = from_means(standard + np.array([[0.0], [1e-3], [2e-3]]), layout, np.full(1, 1.0))
    optima = starting_points(image, layout, Settings(outliers=False, starts=2), {name: alike})
    assert any(one.start == name and one.gap < 1 for one in optima)
    assert (optima[0].start == name) == (name == "given")
    assert (optima[0].gap > 1) == (name == "atlas")


@pytest.mark.slow
def test_outliers_do_not_choose_another_optimum() -> None:
    best = {}
    for outliers in (False, True):
        settings = Settings(outliers=outliers)
        layout = Layout.of(3, mixed=3, outliers=outliers)
        optima = starting_points(data(), layout, settings, {})
        best[outliers] = optima[0].classes.means[:, 0]
        names = {one.start.endswith("no outliers") for one in optima}
        assert names == ({True, False} if outliers else {False})
    np.testing.assert_allclose(best[True], best[False], atol=0.1)
