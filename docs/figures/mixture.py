"""A mixture of three Gaussians fitted to a histogram by the loop, and K-means beside it."""

from itertools import repeat

import matplotlib.pyplot as plt
import numpy as np
from toy import BLUE, GREEN, GREY, RED, Mixture

from emrecon import Flat, after, em, last, until

rng = np.random.default_rng(3)
y = np.concatenate(
    [rng.normal(m, s, n) for m, s, n in ((20, 7, 600), (55, 12, 3000), (80, 5, 1400))]
)
start = np.full(3, 1 / 3), np.array([10.0, 50.0, 90.0]), np.full(3, 100.0)
weights, means, variances = last(
    until(em(repeat(Mixture(y)), start), Flat(1e-9), after(800))
).params

centres = start[1]
for _ in range(100):  # K-means: every value belongs wholly to the nearest mean
    nearest = np.abs(y[:, None] - centres).argmin(axis=1)
    centres = np.array([y[nearest == k].mean() for k in range(3)])

figure, axes = plt.subplots(figsize=(7.2, 3.8))
axes.hist(y, 90, density=True, color="#dfe3e8")
x = np.linspace(0, 100, 400)
for k, colour in enumerate((BLUE, GREEN, RED)):
    class_k = (
        weights[k]
        * np.exp(-((x - means[k]) ** 2) / 2 / variances[k])
        / np.sqrt(2 * np.pi * variances[k])
    )
    axes.plot(x, class_k, color=colour, lw=2, label=f"mean {means[k]:.1f}, share {weights[k]:.2f}")
for cut in (centres[1:] + centres[:-1]) / 2:
    axes.axvline(cut, color=GREY, ls="--", label="K-means' borders" if cut < 50 else None)
axes.set(xlabel="intensity", ylabel="density", xlim=(0, 100), yticks=[])
axes.legend(frameon=False, fontsize=9, loc="upper left")
axes.spines[["top", "right", "left"]].set_visible(False)
plt.show()
