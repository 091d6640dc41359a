"""
Bias field: kept only where the image shows one
===============================================

A coil sees near tissue better than far tissue, so brightness drifts over the image. A field can be
fitted to any image, even to one that has none; it is kept only where there is evidence for it.
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

# %%
# The same brain with a field of 40 % and without any.
figure, panels = plt.subplots(2, 4, figsize=(9, 5), layout="constrained")
for row, percent in zip(panels, (40.0, 0.0), strict=True):
    rng = np.random.default_rng(0)
    image, field = acquire(truth, Scan(noise_percent=3.0, bias_percent=percent), rng)
    found = em.segment([image], mask=mask)
    k = image.voxels.shape[2] // 2
    pictures = {
        f"image, field of {percent:.0f} %": image.voxels[:, :, k],
        "true field": np.where(truth.mask, field, 1)[:, :, k],
        "field found": found.volume(found.field[0], 1.0).voxels[:, :, k],
        "corrected": found.volume(found.corrected[0]).voxels[:, :, k],
    }
    for axes, (title, picture) in zip(row, pictures.items(), strict=True):
        limits = (0.75, 1.25) if "field " in title and "image" not in title else (0, 1200)
        limits = (0.75, 1.25) if title == "true field" else limits
        axes.imshow(picture[:, ::-1].T, cmap="gray", vmin=limits[0], vmax=limits[1])
        axes.set(title=title, xticks=[], yticks=[])
    spread = float(np.std(np.log(found.field)))
    print(f"field of {percent:.0f} %: found one whose logarithm spreads by {spread:.3f}")
plt.show()
