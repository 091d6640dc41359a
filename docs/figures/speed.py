"""Slow: what is still to gain after so many looks at the data, with MLEM, OSEM and SQUAREM."""

from itertools import cycle, repeat

import matplotlib.pyplot as plt
import numpy as np
from toy import BLUE, GREEN, RED, Emission, slice_of_a_head, system

from emrecon import after, em, until
from emrecon.squarem import Squarem

A, truth = system(), slice_of_a_head()
y = np.random.default_rng(1).poisson(12 * A @ truth.ravel()) / 1.0
whole, start = Emission(A, y), np.ones(truth.size)
views = np.arange(len(y)) // 48
parts = [Emission(A[views % 6 == part], y[views % 6 == part]) for part in (0, 3, 1, 4, 2, 5)]
fast = Squarem(whole, lambda image: image, lambda vector, image: np.maximum(vector, 1e-3 * image))
runs = {  # an iterate's cost: how many times all the data are looked at
    "MLEM": (em(repeat(whole), start), 1, 120, BLUE),
    "OSEM, 6 subsets": (em(cycle(parts), start), 1 / 6, 720, RED),
    "MLEM with SQUAREM": (em(repeat(fast), start), 3, 40, GREEN),
}
best = [one.log_likelihood for one in until(em(repeat(fast), start), after(400))][-1]
figure, axes = plt.subplots(figsize=(7.2, 3.8))
for name, (iterates, cost, count, colour) in runs.items():
    run = [(one.number * cost, whole.expect(one.params)[1])
           for one in until(iterates, after(count)) if (one.number * cost) % 1 == 0]  # fmt: skip
    passes, reached = np.array(run[1:]).T
    axes.loglog(passes, best - reached, color=colour, lw=2, label=name)
axes.set(xlabel="passes over the data", ylabel="log-likelihood still to gain")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
