"""What `emrecon` shows is the whole product, and all of it is there."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import emrecon
from emrecon import squarem, testing, watchers
from emrecon.io.formats import Format
from emrecon.jobs import base
from emrecon.tissue import mixture, result
from emrecon.tomo import likelihood, listmode_scan, priors, problem, radon
from emrecon.tomo.operators import algebra
from emrecon.tomo.priors import prior
from phantoms import simulate


def test_the_names_shown_are_those_listed() -> None:
    assert dir(emrecon) == sorted(emrecon.__all__)
    assert len(set(emrecon.__all__)) == len(emrecon.__all__) < 42


def test_every_name_is_there_and_documented() -> None:
    for name in emrecon.__all__:
        value = getattr(emrecon, name)
        assert name == "__version__" or value.__doc__, name
    assert emrecon.__version__ == version("emrecon")


def test_every_name_has_an_example_that_runs() -> None:
    """Doctests run them."""
    names = set(emrecon.__all__) - {"__version__"}
    assert not [name for name in names if ">>> " not in (getattr(emrecon, name).__doc__ or "")]


BUILD_ON = (
    likelihood.Sum, algebra.Chain, algebra.Stack, algebra.Scale, squarem.Squarem,
    mixture.Mixture, priors.Ingredients, testing.check_format, testing.check_likelihood,
    testing.check_operator, testing.check_prior, problem.Problem, radon.RadonSlice,
    listmode_scan.ListmodeScan, result.Segmentation, base.Job, base.Estimate, base.Summary,
    watchers.Bar, simulate.Simulation, prior.Prior, Format,
)  # fmt: skip
"""What other packages reuse."""


def test_what_others_build_on_has_examples_that_run_too() -> None:
    assert not [one.__name__ for one in BUILD_ON if ">>> " not in (one.__doc__ or "")]


def test_no_other_name_is() -> None:
    assert not hasattr(emrecon, "fingerprint")


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, emrecon; print({'numpy', 'numba', 'nibabel', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_reconstruction_begins_without_the_heavy_part_of_scipy() -> None:
    code = (
        "import sys, emrecon.jobs.recon; print([m for m in sys.modules if m == 'scipy.optimize'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
