"""A prior over counts of every kind: gamma cameras, time of flight, single events."""

from __future__ import annotations

from itertools import cycle, islice, pairwise

import numpy as np
import pytest

from emrecon.em import em, last
from emrecon.tomo.algorithms.de_pierro import DePierro
from emrecon.tomo.algorithms.lbfgs import Lbfgs
from emrecon.tomo.algorithms.mlem import Mlem
from emrecon.tomo.algorithms.objective import Objective
from emrecon.tomo.algorithms.subset_ascent import Svrg
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from emrecon.volume import Grid
from tests.tomo.makers import camera, timed
from tests.tomo.test_likelihood import events, in_bins

KINDS = {
    "camera": lambda: [in_bins(camera)],
    "time of flight": lambda: [in_bins(timed)],
    "single events": lambda: [events((n, 3)) for n in range(3)],
    "blurred events": lambda: [events((n, 3), psf=True) for n in range(3)],
}


@pytest.fixture(params=KINDS)
def objective(request) -> Objective:
    """The likelihoods of a scan of a kind, less the prior that the command would make."""
    made = KINDS[request.param]()
    likelihoods, (_, image) = [one for one, _ in made], made[0]
    seen = sum(one.sensitivity for one in likelihoods) > 0
    start = np.where(seen, np.maximum(image.mean(), 0.1), 0).astype(np.float32)
    near = last(islice(em(cycle(map(Mlem, likelihoods)), start), 13)).params
    grid = Grid.centred(start.shape, (3.0, 3.0, 4.1))
    return Penalised(Penalty(prior="rdp")).objective(likelihoods, near, seen, grid)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_all_algorithms_climb_and_none_beyond_the_maximum(objective):
    best = last(islice(Lbfgs().iterates(objective, objective.near), 50))
    course = list(islice(DePierro().iterates(objective, objective.near), 25))
    swept = last(islice(Svrg().iterates(objective, objective.near), 25))
    slack = 2e-6 * (abs(best.log_likelihood) + best.penalty)  # what float32 rounds
    for before, after in pairwise(course):
        assert after.objective >= before.objective - slack
    data, penalty = objective.value(swept.params)
    gained = best.objective - course[0].objective
    assert gained > 100 * slack
    for reached in (course[-1].objective, data - penalty):
        assert 0.5 * gained < reached - course[0].objective <= gained + slack
