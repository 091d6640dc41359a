"""Forward and back: MLEM with a back-projector that is not the transpose of its projector."""

from dataclasses import dataclass
from itertools import repeat

import matplotlib.pyplot as plt
import numpy as np
from toy import BLUE, RED, Emission, slice_of_a_head, system

from emrecon import after, em, until


@dataclass(frozen=True)
class Unmatched(Emission):
    """MLEM that goes back by another matrix, as projectors written apart do."""

    B: np.ndarray | None = None

    def expect(self, x):
        """Return what goes back along other weights, and the log-likelihood."""
        mean = self.A @ x
        ratio = np.divide(self.y, mean, out=np.zeros_like(mean), where=mean > 0)
        return x * (self.B.T @ ratio) / self.B.sum(axis=0) * self.A.sum(axis=0), super().expect(x)[
            1
        ]


A, truth = system(), slice_of_a_head()
y = np.random.default_rng(1).poisson(12 * A @ truth.ravel()) / 1.0
views = A.reshape(24, 48, -1)
shifted = (0.7 * views + 0.3 * np.roll(views, 1, axis=1)).reshape(A.shape)  # back 0.3 bins aside
start = np.ones(truth.size)
runs = {
    "exact transpose": (Emission(A, y), BLUE),
    "0.3 bins aside": (Unmatched(A, y, 0.0, shifted), RED),
}
curves = {
    name: np.array([one.log_likelihood for one in until(em(repeat(model), start), after(400))])
    for name, (model, _) in runs.items()
}
best = curves["exact transpose"][-1]
figure, axes = plt.subplots(figsize=(7.2, 3.4))
for name, curve in curves.items():
    falls = np.flatnonzero(np.diff(curve) < -1e-9 * abs(best))
    label = (
        f"{name}: falls from iteration {falls[0] + 1}" if len(falls) else f"{name}: never falls"
    )
    axes.loglog((best - curve)[1:200], color=runs[name][1], lw=2, label=label)
axes.set(xlabel="iteration", ylabel="log-likelihood still to gain")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
