"""
List-mode: events one by one
============================

No sinogram at all: every event is a line between two crystals, and EM runs over the list. The
likelihood is the same, so is the loop, and so is the image.
"""

import matplotlib.pyplot as plt

import emrecon as em
from emrecon.tomo.corrections.normalisation import live_pairs
from emrecon.tomo.geometry.detectors import crystal_centres
from emrecon.tomo.geometry.events import Events
from emrecon.tomo.listmode_scan import ListmodeScan
from phantoms.acquisition import Acquisition
from phantoms.flip_finder import flip_finder

# %%
# A tiny scanner counts a phantom that has no symmetry. ``events`` draws every pair of photons.
ideal = Acquisition(
    scanner="tiny", counts=4e5, spread=0, randoms_fraction=0, scatter_fraction=0,
    attenuate=False, bins=25,
)  # fmt: skip
made = ideal.events(flip_finder().scaled(0.3))
print(f"{len(made.prompts[0])} events; the first: crystals {made.prompts[0][0]}")

# %%
# The list: crystals in space, and which two of them each event joins.
events = Events(crystal_centres(made.bins.scanner), made.prompts[0])
listed = ListmodeScan(events, made.bins, live_pairs(made.bins))

# %%
# The same settings and the same call as for sinograms; subsets are subsets of events now.
settings = em.Settings(subsets=4, iterations=3, voxel_mm=(3.0, 3.0, 5.0), post_fwhm_mm=(4.0,))
image = em.recon(listed, settings)

figure, panels = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
middle = [n // 2 for n in image.voxels.shape]
planes = {
    "transaxial": image.voxels[:, ::-1, middle[2]].T,
    "coronal": image.voxels[:, middle[1], ::-1].T,
    "sagittal": image.voxels[middle[0], :, ::-1].T,
}
for axes, (title, plane) in zip(panels, planes.items(), strict=True):
    axes.imshow(plane, cmap="gray_r", aspect="auto")
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
