"""Missing data: bins that were not measured are not asked, and the image hardly knows."""

from itertools import repeat

import matplotlib.pyplot as plt
import numpy as np
from toy import Emission, slice_of_a_head, system

from emrecon import after, em, last, until

A, truth = system(), slice_of_a_head()
y = np.random.default_rng(1).poisson(40 * A @ truth.ravel()) / 1.0
alive = np.ones((24, 48), bool)
alive[:, 20:24] = False  # a block of four dead bins in every view
alive[5:8] = False  # and three views that were not taken
alive = alive.ravel()


def fitted(matrix, counts):
    """Return the image after 40 iterations."""
    start = np.ones(truth.size)
    return last(until(em(repeat(Emission(matrix, counts)), start), after(40))).params / 40


asked = fitted(A[alive], y[alive])
filled = y.copy()
filled[~alive] = 40 * (A @ asked)[~alive]  # what the E-step expects there
pictures = {
    "all counts\nmeasured": (y, fitted(A, y)),
    "gaps taken for\n0 counts": (y * alive, fitted(A, y * alive)),
    "gaps not asked": (np.where(alive, y, np.nan), asked),
    "what EM expects\nin the gaps": (filled, None),
}
figure, panels = plt.subplots(2, 4, figsize=(7.6, 4.1), layout="constrained")
for (title, (counts, image)), above, below in zip(pictures.items(), *panels, strict=True):
    above.imshow(counts.reshape(24, 48), cmap="gray_r", vmin=0, vmax=y.max(), aspect="auto")
    above.set_title(title, fontsize=9)
    above.set(xticks=[], yticks=[])
    below.set_axis_off()
    if image is not None:
        below.imshow(image.reshape(truth.shape), cmap="gray_r", vmin=0, vmax=4)
        error = np.sqrt(np.mean((image - truth.ravel()) ** 2))
        below.set_title(f"RMS error {error:.2f}", fontsize=9, y=-0.2)
plt.show()
