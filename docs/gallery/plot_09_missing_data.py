"""
Dead detectors
==============

A block of crystals that counts nothing leaves stripes in the sinogram. Their normalisation is 0:
such bins are not asked, and EM needs no filling in beforehand.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from phantoms.acquisition import Acquisition
from phantoms.flip_finder import flip_finder

# %%
# Three blocks are dead. ``spread`` makes crystals unlike, as they are.
like = Acquisition(scanner="tiny", span=3, counts=2e6, dead_blocks=3, spread=0.1)
made = like.scan(flip_finder().scaled(0.3))
dead = made.scan.normalisation == 0
print(f"{dead.mean():.0%} of the bins are dead")

# %%
# With the normalisation they are left out; a scan whose normalisation forgets them takes them for
# bins in which nothing was counted.
settings = em.Settings(subsets=4, iterations=6, post_fwhm_mm=(5.0,))
forgotten = np.where(dead, made.scan.normalisation[~dead].mean(), made.scan.normalisation)
scans = {"not asked": made.scan, "taken for 0": made.scan.with_(normalisation=forgotten)}

figure, panels = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
panels[0].imshow(made.scan.prompts[:, :, 3], cmap="gray_r", aspect="auto")
panels[0].set(title="counts of a plane", xlabel="bin", ylabel="view")
plane = made.truth.voxels.shape[2] // 2
top = made.truth.voxels[:, :, plane].max()
panels[1].imshow(made.truth.voxels[:, ::-1, plane].T, cmap="gray_r", vmax=top)
panels[1].set(title="truth", xticks=[], yticks=[])
for axes, (title, scan) in zip(panels[2:], scans.items(), strict=True):
    image = em.recon(scan, settings)
    axes.imshow(image.voxels[:, ::-1, plane].T, cmap="gray_r", vmin=0, vmax=top)
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
