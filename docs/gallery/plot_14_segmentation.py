"""
Segmentation step by step
=========================

A T1-weighted image of a simulated brain becomes fluid, grey and white matter. ``segment`` does it
all; what it found on the way is in its result.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.volume import Grid
from phantoms.brain import brain
from phantoms.mri import Scan, acquire, from_phantom

# %%
# A brain whose tissue fractions are known: 5 mm voxels, 5 % noise, a field of 20 %.
tissue_of_label = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}
truth = from_phantom(brain(), tissue_of_label, Grid.centred((34, 38, 36), (5.0, 5.0, 5.0)))
image, _ = acquire(truth, Scan(noise_percent=5.0, bias_percent=20.0), np.random.default_rng(0))
mask = em.Volume(truth.mask.astype(np.float32), truth.affine)

# %%
# The classes come in order of brightness, with their names; volumes come with intervals.
found = em.segment([image], mask=mask)
for name, volume, true, interval in zip(
    found.names, found.volumes_ml, truth.volumes_ml, found.intervals_ml, strict=True
):
    low, high = interval
    print(f"{name}: {volume:.0f} mL (95 %: {low:.0f} to {high:.0f}), truth {true:.0f} mL")

# %%
# Every stage's free energy rose to its end. That is the check of an EM program.
assert all(np.all(np.diff(stage.trace) > -1e-6 * abs(stage.trace[-1])) for stage in found.stages)

# %%
# Values lie in a row for the voxels of the mask; ``volume`` puts them in their place.
k = image.voxels.shape[2] // 2
labels = found.volume(found.labels).voxels[:, ::-1, k].T
grey = found.volume(found.fractions[:, 1]).voxels[:, ::-1, k].T
field = found.volume(found.field[0], 1.0).voxels[:, ::-1, k].T
pictures = {
    "image": image.voxels[:, ::-1, k].T,
    "labels": labels,
    "fraction of grey matter": grey,
    "its truth": truth.fractions[:, ::-1, k, 1].T,
    "bias field": field,
}
figure, panels = plt.subplots(1, 5, figsize=(12, 3), layout="constrained")
for axes, (title, picture) in zip(panels, pictures.items(), strict=True):
    axes.imshow(picture, cmap="gray")
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
