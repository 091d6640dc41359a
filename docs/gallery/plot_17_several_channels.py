"""
Several channels, and voxels that lack one
==========================================

T1 and T2 together tell tissues apart better than either. Where one channel is missing (NaN), a
voxel takes part with the other: missing data are what EM is made for.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.volume import Grid
from phantoms.brain import brain
from phantoms.mri import Scan, acquire, from_phantom

tissue_of_label = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}
truth = from_phantom(brain(), tissue_of_label, Grid.centred((34, 38, 36), (5.0, 5.0, 5.0)))
mask = em.Volume(truth.mask.astype(np.float32), truth.affine)
t1, t2 = (
    acquire(truth, Scan(contrast, 9.0, 0.0), np.random.default_rng(seed))[0]
    for seed, contrast in enumerate(("T1", "T2"))
)

# %%
# In the upper third of the head T2 was not acquired.
cut = t2.voxels.copy()
cut[:, :, 24:] = np.nan
cut_t2 = em.Volume(cut, t2.affine)

settings = em.TissueSettings(bias_mm=0, beta=0.0, starts=2)
runs = {"T1": [t1], "T1 and T2": [t1, t2], "T1 and part of T2": [t1, cut_t2]}
figure, panels = plt.subplots(1, 5, figsize=(12, 3), layout="constrained")
j = 19
panels[0].imshow(t1.voxels[:, j, ::-1].T, cmap="gray")
panels[1].imshow(cut[:, j, ::-1].T, cmap="gray")
panels[0].set_title("T1, 9 % noise")
panels[1].set_title("T2, in part")
best = truth.fractions.argmax(axis=3)[truth.mask]
for axes, (name, channels) in zip(panels[2:], runs.items(), strict=True):
    found = em.segment(channels, settings, mask=mask)
    labels = found.volume(found.labels).voxels
    right = np.mean(labels[truth.mask] - 1 == best)
    axes.imshow(labels[:, j, ::-1].T, cmap="gray")
    axes.set_title(f"{name}\n{right:.1%} right")
for axes in panels:
    axes.set(xticks=[], yticks=[])
plt.show()
