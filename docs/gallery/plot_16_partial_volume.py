"""
Partial volume
==============

At a border a voxel holds two tissues. Labels must call it one or the other; fractions say how much
of each. Volumes from fractions hardly depend on the size of voxels, volumes from labels do.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.volume import Grid
from phantoms.brain import brain
from phantoms.mri import Scan, acquire, from_phantom

tissue_of_label = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
sizes = (4.0, 6.0, 8.0)
by_fraction, by_label = [], []
for size in sizes:
    shape = tuple(round(extent / size) for extent in (168, 192, 180))
    truth = from_phantom(brain(), tissue_of_label, Grid.centred(shape, (size,) * 3), finer=4)
    image, _ = acquire(truth, Scan(noise_percent=2.0, bias_percent=0.0), np.random.default_rng(0))
    mask = em.Volume(truth.mask.astype(np.float32), truth.affine)
    found = em.segment([image], em.TissueSettings(bias_mm=0), mask=mask)
    by_fraction.append(found.volumes_ml / truth.volumes_ml)
    by_label.append(found.label_volumes_ml / truth.volumes_ml)
for k, name in enumerate(found.names):
    left.plot(sizes, [ratios[k] for ratios in by_fraction], "o-", color=f"C{k}", label=name)
    left.plot(sizes, [ratios[k] for ratios in by_label], "s:", color=f"C{k}")
left.axhline(1, color="grey", lw=0.8)
left.set(
    xlabel="voxel, mm", ylabel="volume over truth", title="from fractions (lines), labels (dots)"
)
left.legend()

# %%
# Fractions found against true ones in the coarsest image.
grey = found.volume(found.fractions[:, 1]).voxels
right.hexbin(
    truth.fractions[truth.mask][:, 1], grey[truth.mask], gridsize=30, bins="log", cmap="Blues"
)
right.plot([0, 1], [0, 1], color="grey", lw=0.8)
right.set(xlabel="true fraction of grey matter", ylabel="found", title=f"voxels of {size:g} mm")
plt.show()
