"""
Acceleration that never goes downhill
=====================================

SQUAREM looks at two EM steps, guesses where they lead, and keeps the guess only if the likelihood
agrees. It wraps any model of the loop.
"""

from itertools import repeat

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.tomo.algorithms.mlem import squarem
from emrecon.tomo.geometry.bins import Bins
from phantoms.shepp_logan import shepp_logan

bins = Bins.parallel(np.arange(80) * np.pi / 80, np.arange(-40, 41) * 2.5, slice_mm=2.5)
phantom = shepp_logan(100)
made = em.simulate(phantom, bins, counts=2e6, rng=np.random.default_rng(0), attenuate=False)
problem = em.prepare(made.scan, em.Settings(subsets=1))
likelihood = problem.likelihoods[0]

# %%
# One step of SQUAREM costs about three of MLEM: that is counted here.
plain = list(em.until(problem.iterates(), em.after(90)))
fast = list(em.until(em.em(repeat(squarem(likelihood)), problem.start), em.after(30)))
assert np.all(np.diff([one.log_likelihood for one in fast]) > -1e-3)

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
best = fast[-1].log_likelihood
for name, run, cost in (("MLEM", plain, 1), ("SQUAREM", fast, 3)):
    gain = [best - one.log_likelihood for one in run]
    axes.semilogy(np.arange(len(run))[1:-1] * cost, gain[1:-1], label=name)
axes.set(xlabel="looks at all the data", ylabel="log-likelihood still to gain")
axes.legend()
plt.show()
