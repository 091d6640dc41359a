"""MLEM on a slice small enough to hold its matrix: images, likelihood, distance from the truth."""

from itertools import repeat

import matplotlib.pyplot as plt
import numpy as np
from toy import BLUE, RED, Emission, slice_of_a_head, system

from emrecon import after, em, until

A, truth = system(), slice_of_a_head()
y = np.random.default_rng(1).poisson(12 * A @ truth.ravel()) / 1.0
run = list(until(em(repeat(Emission(A, y)), np.ones(truth.size)), after(600)))

figure = plt.figure(figsize=(7.6, 4.4), layout="constrained")
above, below = figure.subfigures(2, 1)
shown = (1, 4, 16, 40, 200)
for axes, number in zip(above.subplots(1, len(shown)), shown, strict=True):
    axes.imshow(run[number].params.reshape(truth.shape) / 12, cmap="gray_r", vmin=0, vmax=4)
    axes.set(title=f"iteration {number}", xticks=[], yticks=[])
left, right = below.subplots(1, 2)
gain = [run[-1].log_likelihood - iterate.log_likelihood for iterate in run[:201]]
error = [np.sqrt(np.mean((one.params / 12 - truth.ravel()) ** 2)) for one in run[:201]]
left.loglog(gain, color=BLUE)
left.set(xlabel="iteration", ylabel="log-likelihood\nstill to gain")
right.semilogx(error, color=RED)
right.plot(int(np.argmin(error)), min(error), "o", color=RED)
right.set(xlabel="iteration", ylabel="RMS error\nagainst the truth")
plt.show()
