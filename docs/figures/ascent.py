"""EM as a climb on F(q, theta): one coordinate at a time."""

import matplotlib.pyplot as plt
import numpy as np
from toy import GREEN, RED

y = 1.5
theta, plus = np.meshgrid(np.linspace(-0.4, 2.4, 300), np.linspace(0.005, 0.995, 300))
fit = -0.5 * plus * (y - theta) ** 2 - 0.5 * (1 - plus) * (y + theta) ** 2
free = fit - plus * np.log(plus) - (1 - plus) * np.log(1 - plus) - np.log(2) - 0.919

levels = np.concatenate([np.linspace(-6, -2.4, 13), np.linspace(-2.3, -1.6, 22)])
figure, axes = plt.subplots(figsize=(7.2, 4.4))
axes.contourf(theta, plus, free, levels, cmap="Blues", extend="both")
axes.contour(theta, plus, free, levels, colors="white", linewidths=0.4)
t, q = 0.1, 0.15
for number in range(9):
    after = 1 / (1 + np.exp(-2 * t * y))
    axes.plot([t, t], [q, after], color=RED, lw=2, label="E-step: best q" if not number else None)
    q, before = after, t
    t = (2 * q - 1) * y
    axes.plot(
        [before, t], [q, q], color=GREEN, lw=2, label="M-step: best θ" if not number else None
    )
along = np.linspace(-0.4, 2.4, 200)
axes.plot(along, 1 / (1 + np.exp(-2 * along * y)), ":", color="black", label="tight: F = L(θ)")
axes.plot(0.1, 0.15, "o", color="black")
axes.set(xlabel="$\\theta$, mV", ylabel="q: probability that the sign is +", ylim=(0, 1))
axes.legend(loc="lower right", fontsize=9)
plt.show()
