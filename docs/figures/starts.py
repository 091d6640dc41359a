"""Only local: where a mixture of three classes ends, from 200 random starts."""

from itertools import repeat

import matplotlib.pyplot as plt
import numpy as np
from toy import BLUE, RED, Mixture

from emrecon import Flat, after, em, last, until

rng = np.random.default_rng(5)
y = np.concatenate([rng.normal(m, s, n) for m, s, n in ((20, 6, 150), (45, 6, 300), (80, 6, 200))])
ends = []
for _ in range(200):
    start = np.full(3, 1 / 3), rng.uniform(0, 100, 3), np.full(3, rng.choice([10.0, 400.0]))
    end = last(until(em(repeat(Mixture(y)), start), Flat(1e-8), after(300)))
    ends.append((end.log_likelihood, np.sort(end.params[1])))
reached = np.array([value for value, _ in ends])
good = reached > reached.max() - 1
figure, axes = plt.subplots(figsize=(7.2, 3.4))
for means, value, best in zip((means for _, means in ends), reached, good, strict=True):
    axes.plot(means, np.full(3, value), "o-", ms=3, lw=0.4, color=BLUE if best else RED, alpha=0.4)
axes.set(
    xlabel="the three means found",
    ylabel="log-likelihood reached",
    title=f"{good.mean():.0%} of the starts reach the top; true means 20, 45, 80",
)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
