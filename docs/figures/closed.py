"""A prior that ties two pixels spoils the closed M-step; a bound without ties has one again."""

from itertools import repeat

import matplotlib.pyplot as plt
import numpy as np
from toy import BLUE, GREEN, RED, Emission

import emrecon as em

A, y, beta = np.array([[0.7, 0.3], [0.3, 0.7]]), np.array([9.0, 2.0]), 0.25


class Coupled(Emission):
    """Two pixels whose difference costs ``beta / 2 * (x[0] - x[1])**2``: De Pierro's MAP EM."""

    def expect(self, x):
        """Return what each pixel emitted, and the log-posterior."""
        emitted, log_likelihood = super().expect(x)
        return emitted, log_likelihood - beta / 2 * (x[0] - x[1]) ** 2

    def maximise(self, x, emitted):
        """Return the tops of ``emitted log x - seen x - beta / 4 (2 x - x[0] - x[1])**2``."""
        lack = self.A.sum(axis=0) - beta * x.sum()
        return (np.sqrt(lack**2 + 8 * beta * emitted) - lack) / (4 * beta)


model = Coupled(A, y)
run = list(em.until(em.em(repeat(model), np.array([2.5, 9.5])), em.after(60)))
path = np.array([iterate.params for iterate in run])

axis = np.linspace(0.5, 12, 160)
grid = np.array(np.meshgrid(axis, axis))
mean = np.einsum("ij,jkl->ikl", A, grid)
posterior = (y[:, None, None] * np.log(mean) - mean).sum(axis=0)
posterior -= beta / 2 * (grid[0] - grid[1]) ** 2
emitted, _ = model.expect(path[0])
bound = emitted[:, None, None] * np.log(grid) - A.sum(axis=0)[:, None, None] * grid
bound = (bound - beta / 4 * (2 * grid - path[0].sum()) ** 2).sum(axis=0)

figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.5), layout="constrained")
for values, colour, style in ((posterior, BLUE, "solid"), (bound, GREEN, "dashed")):
    below = values.max() - np.array([12.0, 6.0, 3.0, 1.0, 0.25])
    left.contour(axis, axis, values, below, colors=colour, linewidths=1, linestyles=style)
left.plot(*path.T, "o-", color=RED, ms=4, lw=1.2)
for name, colour, style in (
    ("log-posterior", BLUE, "-"), ("bound at the start", GREEN, "--"), ("iterates", RED, "o-"),
):  # fmt: skip
    left.plot([], [], style, color=colour, ms=4, label=name)
left.legend(edgecolor="white", framealpha=0.9, fontsize=8, loc="upper right")
left.set(xlabel="activity of one pixel", ylabel="of its neighbour", aspect="equal")
gain = run[-1].log_likelihood - np.array([iterate.log_likelihood for iterate in run])
right.semilogy(gain[:25], color=BLUE)
right.set(xlabel="iteration", ylabel="log-posterior still to gain")
plt.show()
