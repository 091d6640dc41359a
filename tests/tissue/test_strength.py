"""The strength of the spatial field, estimated: against Potts fields of known strength."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emrecon.neighbours import neighbourhood
from emrecon.tissue.field import Image, State
from emrecon.tissue.lattice import lattice
from emrecon.tissue.mixture import Layout, Prior
from emrecon.tissue.moments import Rules
from emrecon.tissue.segment import segment
from emrecon.tissue.settings import Settings
from emrecon.tissue.starts import from_means
from emrecon.tissue.strength import strength
from emrecon.volume import Volume

pytestmark = pytest.mark.slow

SIZE = 22


def potts(classes: int, beta: float, seed: int) -> np.ndarray:
    """A draw of the Potts field by Gibbs sampling, checkerboard by checkerboard."""
    rng = np.random.default_rng(seed)
    field = np.full((SIZE + 2,) * 3, -1)
    inner = (slice(1, -1),) * 3
    field[inner] = rng.integers(0, classes, (SIZE,) * 3)
    parity = np.indices((SIZE,) * 3).sum(axis=0) % 2
    for _ in range(60):
        for colour in (0, 1):
            pull = np.zeros((classes, *parity.shape))
            for k in range(classes):
                same = (field == k).astype(float)
                pull[k] = sum(np.roll(same, s, a)[inner] for a in range(3) for s in (1, -1))
            drawn = (beta * pull + rng.gumbel(size=pull.shape)).argmax(axis=0)
            field[inner] = np.where(parity == colour, drawn, field[inner])
    return field[inner]


@pytest.mark.parametrize(
    ("classes", "beta", "noise"), [(3, 0.0, 0.3), (3, 0.3, 0.5), (3, 0.45, 0.3), (2, 0.25, 0.4)]
)
def test_a_known_strength_is_found(classes: int, beta: float, noise: float) -> None:
    truth = potts(classes, beta, 1)
    rng = np.random.default_rng(2)
    image = (truth + rng.normal(0, noise, truth.shape)).astype(np.float32)[None]
    mask = np.ones(truth.shape, bool)
    found = lattice(mask, image[:, mask], neighbourhood(6, (1.0, 1.0, 1.0)))
    layout = Layout.of(classes)
    rules = Rules(layout, "tied", 1e-9, Prior(), found.seen, -2.0)
    values = np.ascontiguousarray(image[(slice(None), *found.index)])
    made = Image(values, found, rules, np.zeros(1), np.ones(1), 1.0)
    levels = np.arange(classes, dtype=float)[:, None]
    start = from_means(levels, layout, np.array([noise**2]))
    state = State(start, found.blank(classes), np.zeros((1, 0)))
    first = strength(made, state, rng)
    again = strength(replace(made, beta=first), state, rng)
    # 10 000 voxels leave a standard error of about 0.01; noise of half a class twice that
    assert again == pytest.approx(beta, abs=0.05)


def test_a_segmentation_estimates_it_when_asked() -> None:
    smooth, rough = potts(3, 0.5, 3), potts(3, 0.0, 4)
    found = []
    for truth in (smooth, rough):
        noisy = 100.0 + 50 * truth + np.random.default_rng(5).normal(0, 12, truth.shape)
        image = Volume(noisy.astype(np.float32), np.eye(4))
        mask = Volume(np.ones(truth.shape, np.float32), np.eye(4))
        result = segment(
            [image],
            Settings(beta="auto", neighbours=6, mixed=0, bias_mm=0, scale=1.0),
            mask=mask,
        )
        assert (result.labels == truth[result.index] + 1).mean() > 0.95
        for stage in result.stages:
            assert (np.diff(stage.trace) >= -1e-3).all()
        found.append(result.beta)
    assert found == [pytest.approx(0.5, abs=0.06), pytest.approx(0.0, abs=0.06)]
