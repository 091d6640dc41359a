"""
Sinograms of scikit-image
=========================

``skimage.transform.radon`` counts rows downwards and turns about pixel ``size // 2``. Here y goes
up and the axis is in the middle. ``from_radon`` puts both in their place, so that nobody has to
find a flip and half a pixel by trial.
"""

import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import shepp_logan_phantom
from skimage.transform import iradon, radon, rescale

import emrecon as em

# %%
# A phantom, its sinogram with Poisson noise, and their own filtered back-projection.
image = rescale(shepp_logan_phantom(), 0.25)
theta = np.arange(0, 180, 3.0)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # rounding outside of the circle
    exact = np.clip(radon(image, theta), 0, None)
counts = np.random.default_rng(0).poisson(exact * 20) / 20
back_projected = iradon(counts, theta)

# %%
# The same sinogram here. ``scan`` and ``settings`` fit each other; the result is turned back to
# rows and columns.
found = em.from_radon(counts, theta)
volume = em.recon(found.scan, replace(found.settings, iterations=5, subsets=6))
maximum_likelihood = found.image(volume)

figure, panels = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
pictures = {"truth": image, "iradon": back_projected, "emrecon, OSEM": maximum_likelihood}
for axes, (title, picture) in zip(panels, pictures.items(), strict=True):
    error = np.sqrt(np.mean((picture - image) ** 2))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=0.6)
    axes.set(title=f"{title}\nRMS error {error:.3f}", xticks=[], yticks=[])
plt.show()
