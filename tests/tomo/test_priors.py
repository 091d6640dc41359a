"""Priors: STIR's own numbers, derivatives against differences, majorants, and Bowsher's choice."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import numba
import numpy as np
import pytest

from emrecon import plugins
from emrecon.errors import GeometryError, SettingsError
from emrecon.testing import check_prior
from emrecon.tomo.priors import (
    PRIORS,
    Ingredients,
    LogCosh,
    PairPrior,
    Pairs,
    ParallelLevelSets,
    Quadratic,
    RelativeDifference,
    bowsher,
    guide_of,
)

SPACING = (2.0, 2.5, 3.25)
SHAPE = (9, 8, 7)


def image_with_zeros(rng):
    image = rng.gamma(1.0, 1.0, SHAPE).astype(np.float32)
    image[rng.random(SHAPE) < 0.3] = 0
    return image


def every_prior(rng):
    """Each prior there is, with all that it may be made of."""
    kappa = rng.uniform(0.3, 2, SHAPE).astype(np.float32)
    anatomy = rng.random((1, *SHAPE), np.float32)
    of = Ingredients(0.7, SPACING, kappa, anatomy, 7, 2.0, 0.05, 0.4, 0.3)
    return {name: PRIORS[name](of) for name in PRIORS} | {
        "rdp, gamma 0.5": PRIORS["rdp"](replace(of, gamma=0.5, similar=0)),
        "rdp, gamma 0": PRIORS["rdp"](replace(of, gamma=0.0, kappa=None)),
        "rdp, gamma 7": PRIORS["rdp"](replace(of, gamma=7.0, similar=0, kappa=None)),
    }


@pytest.mark.parametrize("name", every_prior(np.random.default_rng(0)))
def test_derivatives_are_those_of_the_value_and_the_majorant_is_one(name):
    rng = np.random.default_rng(3)
    prior = every_prior(rng)[name]
    check_prior(prior, rng.gamma(2.0, 1.0, SHAPE).astype(np.float32), rng)
    for _ in range(4):
        priors_majorant(prior, image_with_zeros(rng), rng)


def priors_majorant(prior, image, rng):
    from emrecon.testing import _majorises

    _majorises(prior, image, rng)


def test_a_majorant_that_is_none_is_told():
    rng = np.random.default_rng(0)
    prior = PairPrior(1.0, RelativeDifference(2.0, 0.1), Pairs.around(SPACING))

    class Half(PairPrior):
        def majorant(self, image):
            return 0.4 * super().majorant(image)

    with pytest.raises(AssertionError, match="majorant"):
        check_prior(Half(prior.beta, Quadratic(), prior.pairs), image_with_zeros(rng) + 1, rng)


@pytest.mark.parametrize("name", every_prior(np.random.default_rng(0)))
def test_any_number_of_threads_gives_the_same_bits(name):
    rng = np.random.default_rng(4)
    prior, image, along = (
        every_prior(rng)[name],
        image_with_zeros(rng),
        rng.random(SHAPE, np.float32),
    )

    def everything():
        arrays = [prior.gradient(image), prior.diagonal(image), prior.majorant(image)]
        return prior.value(image), *arrays, prior.curvature(image, along)

    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = everything()
    finally:
        numba.set_num_threads(before)
    for one, other in zip(alone, everything(), strict=True):
        assert np.array_equal(one, other)


def test_a_gradient_rewards_the_same_shape_at_any_size():
    """The relative difference scales as the image does; turned about, an image costs the same."""
    image = image_with_zeros(np.random.default_rng(5))
    prior = PairPrior(1.0, RelativeDifference(2.0, 0.0), Pairs.around(SPACING))
    assert prior.value(10 * image) == pytest.approx(10 * prior.value(image), rel=1e-5)
    assert prior.value(image[::-1, :, ::-1]) == pytest.approx(prior.value(image), rel=1e-6)


def test_voxels_of_any_size_see_the_same_slope():
    """A slope costs as much a mm3 whatever the voxel; without it, nothing but what rounds off."""
    of = Ingredients(1.0, (2.0, 2.0, 2.0), epsilon=1e-3)
    fine, coarse = PRIORS["tv"](of), PRIORS["tv"](replace(of, spacing_mm=(2.0, 2.0, 4.0)))
    ramp = np.arange(24, dtype=np.float32) * np.ones((8, 8, 1), np.float32)
    cost = fine.value(ramp), 2 * coarse.value(ramp[..., ::2])
    assert cost[1] == pytest.approx(cost[0], rel=0.06)  # the last plane has no difference


def test_bowsher_chooses_by_tissue_and_both_ways():
    labels = np.zeros(SHAPE, np.float32)
    labels[4:] = 1
    fractions = np.stack([labels, 1 - labels])
    steps = Pairs.around(SPACING).steps
    chosen = bowsher(fractions, 7)  # as many of its own as a voxel in a corner has
    image = np.where(labels > 0, 5, 1).astype(np.float32)
    prior = PairPrior(1.0, Quadratic(), Pairs.around(SPACING, similar=chosen))
    assert prior.value(image) == 0
    assert PairPrior(1.0, Quadratic(), Pairs.around(SPACING)).value(image) > 0
    noise = np.random.default_rng(1).random(SHAPE, np.float32)
    some = bowsher(noise, 5)
    counts = sum((some >> n) & 1 for n in range(26))
    assert (counts == 5).all()
    near = [
        noise[1 + p, 1 + q, 1 + r] - noise[1, 1, 1] for p, q, r in steps
    ]  # the neighbours of one voxel
    best = set(np.argsort(np.abs(near))[:5])
    assert best == {n for n in range(26) if some[1, 1, 1] >> n & 1}
    two = np.stack([noise, image])
    assert np.array_equal(
        bowsher(two * np.array([1024, 1], np.float32)[:, None, None, None], 5), bowsher(two, 5)
    )  # of any units; fmt: skip
    assert not np.array_equal(bowsher(two, 5), some)


def test_what_cannot_be_is_refused_in_a_line():
    of = Ingredients(1.0, SPACING)
    for name in ("rdp", "quadratic"):
        with pytest.raises(SettingsError, match="anatomy"):
            PRIORS[name](replace(of, similar=5))
    with pytest.raises(SettingsError, match="anatomical image"):
        PRIORS["pls"](of)
    with pytest.raises(SettingsError, match="above 0"):
        PRIORS["tv"](of)
    with pytest.raises(SettingsError, match="gamma"):
        RelativeDifference(-1.0, 0.1)
    with pytest.raises(SettingsError, match="1 to 26"):
        bowsher(np.zeros(SHAPE, np.float32), 27)
    prior = PairPrior(1.0, Quadratic(), Pairs.around(SPACING, np.ones((2, 2, 2), np.float32)))
    with pytest.raises(GeometryError, match="kappa"):
        prior.value(np.zeros(SHAPE, np.float32))


def test_priors_of_other_packages_are_known_by_name(monkeypatch):
    def made(of):
        return PairPrior(2 * of.beta, Quadratic(), Pairs.around(of.spacing_mm))

    monkeypatch.setattr(plugins, "installed", lambda group: {"theirs": made, "rdp": made})
    assert list(PRIORS) == ["quadratic", "rdp", "log-cosh", "tv", "pls", "theirs"]
    assert PRIORS["theirs"](Ingredients(3.0, SPACING)).beta == 6.0
    assert PRIORS["rdp"](Ingredients(3.0, SPACING)).beta == 3.0


@pytest.fixture
def stir(shared_data):
    folder = shared_data / "stir_priors"

    def held(name):
        with gzip.open(folder / f"{name}.npy.gz") as file:
            return np.ascontiguousarray(np.load(file).transpose(2, 1, 0))

    return held, json.loads((folder / "case.json").read_text())["results"]


def as_ours(case, held):
    """A prior of STIR's, of ours."""
    made = case["parameters"]
    kappa = held("kappa") if case["kappa"] else None
    if case["prior"] == "PLS":  # without voxel sizes
        return ParallelLevelSets(
            1.0, made["alpha"], kappa=kappa, guide=guide_of(held("anat"), 5.0)
        )
    if case["prior"] == "FilterRootPrior":
        return None
    pairs = Pairs.around(SPACING, kappa)
    if case["only_2D"]:
        flat = pairs.steps[:, 2] == 0
        pairs = replace(pairs, steps=pairs.steps[flat], weights=pairs.weights[flat])
    if "weights" in made:
        faces = np.abs(pairs.steps).sum(axis=1) == 1
        pairs = replace(pairs, steps=pairs.steps[faces], weights=np.ones(6, np.float32))
    potential = {
        "Quadratic": Quadratic,
        "Relative Difference Prior": lambda: RelativeDifference(
            made["gamma value"], made["epsilon value"]
        ),
        "Logcosh": lambda: LogCosh(made["scalar"]),
    }[case["prior"]]()
    return PairPrior(case["penalisation_factor"], potential, pairs)


def in_stirs_words(prior, case, image, held):
    """What STIR has of a prior too, under its names."""
    if case["prior"] == "PLS":  # no Hessian, and with kappa no gradient of its own value
        plain = replace(prior, kappa=None).gradient(image)
        return {"gradient": held("kappa") * plain if case["kappa"] else plain}
    ours = {
        "gradient": prior.gradient(image),
        "Hdiag": prior.diagonal(image),
        "Hv": prior.curvature(image, held("v")),
    }
    if case["prior"] in {"Quadratic", "Logcosh"}:
        ours["surrogate_curvature"] = prior.majorant(image) / 2
    return ours


def test_values_gradients_and_hessians_are_stirs(stir):
    held, cases = stir
    seen = 0
    for name, case in cases.items():
        prior = as_ours(case, held)
        for which in "AB" if prior else "":
            image = held(which)
            assert prior.value(image) == pytest.approx(case[which]["value"], rel=1e-6), name
            for what, ours in in_stirs_words(prior, case, image, held).items():
                theirs = held(f"{name}__{which}_{what}")
                there = np.isfinite(theirs)  # a pair of zeros without epsilon has no curvature
                if case["prior"] == "PLS":  # STIR's is wrong at the border
                    inside = np.zeros(image.shape, bool)
                    inside[1:-1, 1:-1, 1:-1] = True
                    there &= inside
                worst = np.abs(ours - theirs)[there].max() / np.abs(theirs[there]).max()
                assert worst < 1e-5, (name, which, what)
                seen += 1
    assert seen == 142
