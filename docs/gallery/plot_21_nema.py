"""
What comes back of small spheres
================================

The NEMA body has six hot spheres of 10 to 37 mm. How much of their contrast comes back depends on
their size, on iterations and filters; noise is what one pays.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.metrics import regions
from phantoms.acquisition import Acquisition
from phantoms.nema import nema

# %%
# 48 views of an ECAT HR+, three million counts, with all corrections in the model.
like = Acquisition(views=48, bins=288, span=9, max_ring_difference=4, counts=3e6)
made = like.scan(nema())
settings = em.Settings(voxel_mm=(4.5, 4.5, 4.85), subsets=6, iterations=4)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for filter_mm in (0.0, 5.0, 10.0):
    image = em.recon(made.scan, em.Settings(**(vars(settings) | {"post_fwhm_mm": (filter_mm,)})))
    found = regions(image, made.truth, made.labels, made.facts["labels"])
    spheres = [row for row in found if row.name.startswith("sphere")]
    sizes = [float(row.name.split()[1]) for row in spheres]
    left.plot(sizes, [row.recovery for row in spheres], "o-", label=f"filter of {filter_mm:g} mm")
    if filter_mm == 5.0:
        k = int(np.argmin(np.abs(image.grid().centres_mm(2))))
        right.imshow(image.voxels[:, ::-1, k].T, cmap="gray_r")
left.axhline(1, color="grey", lw=0.8)
left.set(xlabel="diameter, mm", ylabel="mean activity over truth")
left.legend()
right.set(title="filter of 5 mm", xticks=[], yticks=[])
plt.show()
