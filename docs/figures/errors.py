"""No errors come with the estimate: those of Louis's formula beside what repeats show."""

import matplotlib.pyplot as plt
import numpy as np
from toy import BLUE, GREY, RED

rng = np.random.default_rng(0)
truth, readings, repeats = 1.0, 40, 2000
found, louis = [], []
y = rng.choice([-1, 1], (repeats, readings)) * truth + rng.normal(size=(repeats, readings))
theta = np.full((repeats, 1), 0.5)
for _ in range(300):  # EM for all repeats side by side
    theta = (y * np.tanh(y * theta)).mean(axis=1, keepdims=True)
complete = readings  # if the signs were known
missing = (y**2 / np.cosh(y * theta) ** 2).sum(axis=1)  # information that the lost signs took
figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.3), layout="constrained")
left.hist(theta.ravel(), 60, color="#dfe3e8", density=True)
x = np.linspace(0.2, 1.7, 300)
for name, error, colour in (
    ("signs taken as known", complete**-0.5, GREY),
    ("Louis: complete minus missing", float(np.median(complete - missing)) ** -0.5, BLUE),
):
    density = np.exp(-((x - truth) ** 2) / 2 / error**2) / error / np.sqrt(2 * np.pi)
    left.plot(x, density, color=colour, lw=2, label=f"{name}: ±{error:.2f}")
left.set(xlabel="estimate of θ in 2000 experiments", yticks=[],
         title=f"spread found: ±{theta.std():.2f}", ylim=(0, 3.9))  # fmt: skip
left.legend(frameon=False, fontsize=8, loc="upper left")
one = y[:1]
path = [1.9]
for _ in range(60):
    path.append(float((one * np.tanh(one * path[-1])).mean()))
gap = np.abs(np.array(path[:25]) - path[-1])
rate = float(missing[0] / complete)
right.semilogy(gap, "o", ms=3, color=RED, label="distance from the maximum")
right.semilogy(gap[8] * rate ** (np.arange(25) - 8.0), color=GREY, lw=1,
               label=f"missing / complete information = {rate:.2f}")  # fmt: skip
right.set(xlabel="iteration")
right.legend(frameon=False, fontsize=8)
plt.show()
