"""The likelihood of a reading whose sign was lost, and the bounds that EM raises."""

import matplotlib.pyplot as plt
import numpy as np
from toy import BLUE, GREEN, GREY, RED

y = 1.5
theta = np.linspace(-2.6, 2.6, 521)


def log_normal(mean):
    """Return the log density of the reading about a mean."""
    return -0.5 * (y - mean) ** 2 - 0.5 * np.log(2 * np.pi)


def likelihood(t):
    """Return the log-likelihood: the sign is + or -, each with probability one half."""
    return np.logaddexp(log_normal(t), log_normal(-t)) - np.log(2)


def bound(t, now):
    """Return F(q, t), where q is what is known of the sign if `now` is true."""
    plus = 1 / (1 + np.exp(-2 * now * y))
    entropy = -plus * np.log(plus) - (1 - plus) * np.log(1 - plus)
    return plus * log_normal(t) + (1 - plus) * log_normal(-t) - np.log(2) + entropy


figure, axes = plt.subplots(figsize=(7.2, 4.2))
axes.plot(theta, likelihood(theta), color=BLUE, lw=2.5, label="log-likelihood $L(\\theta)$")
now = 0.35
for step, colour in enumerate((RED, GREEN)):
    after = y * np.tanh(y * now)  # E-step and M-step at once
    label = f"bound of step {step + 1}: touches at {now:.2f}, highest at {after:.2f}"
    axes.plot(theta, bound(theta, now), "--", color=colour, lw=1.6, label=label)
    axes.plot(now, likelihood(now), "o", color=colour)
    axes.plot(after, bound(after, now), "v", color=colour)
    axes.annotate("", (after, likelihood(after)), (after, bound(after, now)),
                  arrowprops={"arrowstyle": "->", "color": GREY})  # fmt: skip
    now = after
axes.set(ylim=(-3.9, -1.3), xlim=(-2.6, 2.6), xlabel="$\\theta$, mV", ylabel="log density")
axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, fontsize=9)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
