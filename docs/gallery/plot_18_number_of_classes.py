"""
How many classes?
=================

A likelihood grows with every class. BIC charges for parameters; ICL also for classes that overlap.
Neighbouring voxels are not independent, so only as many are counted as the residuals allow.
"""

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.tissue.choose import compare_classes
from emrecon.volume import Grid
from phantoms.brain import brain
from phantoms.mri import Scan, acquire, from_phantom

tissue_of_label = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}
truth = from_phantom(brain(), tissue_of_label, Grid.centred((34, 38, 36), (5.0, 5.0, 5.0)))
image, _ = acquire(truth, Scan(noise_percent=4.0, bias_percent=0.0), np.random.default_rng(0))
mask = em.Volume(truth.mask.astype(np.float32), truth.affine)

# %%
# The lower a criterion, the better.
choices = compare_classes([image], (2, 3, 4, 5), mask=mask)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
left.hist(image.voxels[truth.mask], 120, color="#c8ced6")
left.set(xlabel="intensity", title="voxels of the brain")
counts = [choice.classes for choice in choices]
for name in ("bic", "icl"):
    values = np.array([getattr(choice, name) for choice in choices])
    right.plot(counts, values - values.min(), "o-", label=name.upper())
right.set(xlabel="classes", ylabel="above the best", xticks=counts, yscale="symlog")
right.legend()
print(f"{choices[0].effective_voxels:.0f} of {int(truth.mask.sum())} voxels count as independent")
plt.show()
