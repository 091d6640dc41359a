"""Standard errors and responses against what scans drawn again and again show."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice

import numpy as np
import pytest

from emrecon.em import em, last, until
from emrecon.errors import SettingsError
from emrecon.stop import after
from emrecon.tomo.draw import Draw
from emrecon.tomo.geometry.bins import Bins
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.likelihood import Sum, redrawn
from emrecon.tomo.operators.kernel import kernel_of
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.prepare import prepare
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.tomo.uncertainty import (
    at_maximum,
    drawn_again,
    filtered,
    fwhm_mm,
    response_of_stopped,
)

BINS = Bins.parallel(np.arange(24) * np.pi / 24, np.arange(-12, 13) * 3.0, slice_mm=3.0)
GRID = BINS.grid()
X, Y = np.meshgrid(GRID.centres_mm(0), GRID.centres_mm(1), indexing="ij")
WARM = X**2 + Y**2 < 30**2
TRUTH = (np.where(WARM, 2.0, 0.0) + np.where((X - 12) ** 2 + Y**2 < 8**2, 4.0, 0.0))[
    :, :, None
].astype(np.float32)
OSEM = Settings(subsets=4, iterations=5, post_fwhm_mm=(6.0,))
MAP = Settings(subsets=4, iterations=12)
SCANS = 50


def mean():
    unit = prepare(Scan(BINS, np.ones(BINS.shape, np.float32)), Settings(subsets=1))
    return unit.likelihoods[0].system.forward(TRUTH)


def problem(counts, settings, penalised=None):
    scan = Scan(BINS, np.asarray(counts, np.float32), scatter=np.full(BINS.shape, 3.0, np.float32))
    return replace(prepare(scan, settings), penalised=penalised)


def drawn(number):
    return np.random.default_rng([7, number]).poisson(mean() + 3.0)


def image_of(one):
    return filtered(one, last(until(one.iterates(), *one.enough())).params)


def weights():
    """Four regions of 12 mm."""
    found = []
    for a, b in ((12, 0), (-12, 0), (0, 14), (0, -14)):
        inside = ((X - a) ** 2 + (Y - b) ** 2 < 6**2)[:, :, None]
        found.append((inside / inside.sum()).astype(np.float32))
    return found


def sums(image):
    return [float(np.sum(w * image, dtype=float)) for w in weights()]


def spread(settings, penalised=None, scans=SCANS):
    values = [sums(image_of(problem(drawn(n), settings, penalised))) for n in range(scans)]
    return np.std(values, axis=0, ddof=1)


def bootstrap(settings, penalised=None, draws=SCANS):
    first = problem(drawn(0), settings, penalised)
    values = [sums(image_of(drawn_again(first, Draw(1, n)))) for n in range(draws)]
    return np.std(values, axis=0, ddof=1)


def apart(found, wanted):
    """Return the root mean square of the ratio less 1; 50 alone make 10 % by chance."""
    return float(np.sqrt(np.mean((found / wanted - 1) ** 2)))


@pytest.mark.slow
def test_a_bootstrap_of_osem_shows_the_spread_from_scan_to_scan():
    assert apart(bootstrap(OSEM), spread(OSEM)) < 0.2


@pytest.mark.slow
def test_the_curvature_at_a_maximum_shows_the_spread():
    chosen = Penalised(Penalty("quadratic", beta=0.3, uniform=True, algorithm="lbfgs"))
    wanted = spread(replace(MAP, subsets=1, iterations=40), chosen)
    one = problem(drawn(0), MAP, chosen)
    maximum = at_maximum(one, last(until(one.iterates(), *one.enough())).params)
    found = np.sqrt([maximum.variance(w) for w in weights()])
    assert apart(found, wanted) < 0.2


def test_a_draw_is_poisson_of_the_counts_and_the_same_for_all_subsets():
    one = problem(np.full(BINS.shape, 4.0), OSEM)
    again = drawn_again(one, Draw(3, 1))
    arrays = {id(likelihood.counts) for likelihood in again.likelihoods}
    assert len(arrays) == 1
    counts = again.likelihoods[0].counts
    assert counts.mean() == pytest.approx(4, abs=0.3)
    assert counts.var() == pytest.approx(4, abs=0.8)
    same = drawn_again(one, Draw(3, 1)).likelihoods[0].counts
    assert np.array_equal(counts, same)
    assert not np.array_equal(counts, drawn_again(one, Draw(3, 2)).likelihoods[0].counts)
    for ours, theirs in zip(again.likelihoods, one.likelihoods, strict=True):
        assert ours.sensitivity is theirs.sensitivity


def test_a_sum_is_drawn_again_term_by_term():
    one = problem(np.full(BINS.shape, 4.0), OSEM)
    both = Sum(one.likelihoods).redrawn(Draw(3, 1))
    apart = redrawn(one.likelihoods, Draw(3, 1))
    wanted = sum(term.ratio(TRUTH)[1] for term in apart)
    assert both.ratio(TRUTH)[1] == pytest.approx(wanted)


def test_what_cannot_be_drawn_again_is_refused():
    class Foreign:
        """A likelihood of another package."""

    with pytest.raises(SettingsError, match=r"Foreign has no redrawn\(\)"):
        redrawn([Foreign()], Draw(1))
    with pytest.raises(SettingsError, match="prior"):
        at_maximum(problem(mean() + 3, OSEM), TRUTH)


@pytest.mark.parametrize("kernel", [False, True])
def test_the_response_of_a_stopped_run_is_its_derivative(kernel):
    """Against the difference that a faint point makes to the mean counts, update by update."""
    counts = mean() + 3
    points = np.zeros(GRID.shape, np.float32)
    points[8, 12, 0] = 1
    system = prepare(Scan(BINS, counts), Settings(subsets=1)).likelihoods[0].system
    step = np.float32(0.05)

    def reached(more):
        one = problem(counts + more * system.forward(points), OSEM)
        start = problem(counts, OSEM).start
        if kernel:
            features = np.broadcast_to(TRUTH, (1, *GRID.shape)) + np.float32(1)
            made = kernel_of(features, GRID.spacing_mm, KernelSettings(kernel_neighbours=9))
            one = one.through(made)
        *_, last_one = islice(em(cycle(one.models), start), 21)
        image = last_one.params
        return (image if one.kernel is None else one.kernel.forward(image)), one

    (up, one), (down, _) = reached(step), reached(-step)
    wanted = (up - down) / (2 * step)
    found = response_of_stopped(replace(one, start=problem(counts, OSEM).start), points, 20)
    # The curvature has the counts over the square of the mean, which is not yet that of the image.
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.995


@pytest.mark.slow
def test_the_response_at_a_maximum_is_what_the_prior_leaves_of_a_point():
    widths = []
    for beta in (0.03, 0.3, 3.0):
        chosen = Penalised(Penalty("quadratic", beta=beta, uniform=True))
        one = problem(mean() + 3, MAP, chosen)
        maximum = at_maximum(one, last(until(one.iterates(), after(80))).params)
        points = np.zeros(GRID.shape, np.float32)
        points[8, 12, 0] = 1
        widths.append(fwhm_mm(maximum.response(points), (8, 12, 0), GRID.spacing_mm))
    assert widths[0] < widths[1] < widths[2]


def test_a_width_is_that_of_the_gaussian():
    at, sigma = (10, 11, 12), 2.0
    i, j, k = np.ogrid[:21, :23, :25]
    spread_out = np.exp(
        -((i - 10) ** 2 / sigma**2 + (j - 11) ** 2 / 9 + (k - 12) ** 2 / sigma**2) / 2
    )
    wanted = np.sqrt(8 * np.log(2)) * (sigma * 1.0 + 3 * 2.0 + sigma * 3.0) / 3
    found = fwhm_mm(spread_out.astype(np.float32), at, (1.0, 2.0, 3.0))
    assert found == pytest.approx(wanted, rel=0.02)
    assert np.isnan(fwhm_mm(np.zeros((3, 3, 3), np.float32), (1, 1, 1), (1.0, 1.0, 1.0)))
