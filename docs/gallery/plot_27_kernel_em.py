"""
Kernel EM: what another image of the head can tell
==================================================

A T1 shows where grey matter ends much better than a PET does. Kernel EM makes each voxel of the
PET a mean of neighbours that look alike on the T1; then few counts make little noise. But what the
T1 does not show, it smooths away, and what the T1 alone shows, it may draw into the PET. Here
white matter holds a ball that is hot in the PET alone, and one that is grey on the T1 alone.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.operators.kernel import kernel_of
from phantoms import brain, mri
from phantoms.acquisition import Acquisition
from phantoms.phantom import BRAIN_PER_MM
from phantoms.shapes import Material, ellipsoid

# %%
# The head of the phantom ``brain``, with a ball in white matter.
WHITE, HOT = Material(5.0, BRAIN_PER_MM), Material(25.0, BRAIN_PER_MM)
PLACES_MM = {"the PET alone": (28.0, -36.0, 10.0), "the T1 alone": (-28.0, -36.0, 10.0)}


def head(place_mm):
    """Return the brain with a ball."""
    ball = ellipsoid(place_mm, (8.0, 8.0, 8.0)).filled(HOT, inside=WHITE, label=4)
    return replace(brain(), bodies=(*brain().bodies, ball))


# %%
# A scan of few counts on some rings of an ECAT HR+, and a T1 that lies on the same voxels. From
# files, ``emrecon recon scan --kernel t1.nii.gz`` does what follows, wherever the T1 lies.
like = Acquisition(views=48, bins=144, span=9, max_ring_difference=4, counts=2e6)
made = like.scan(head(PLACES_MM["the PET alone"]))
settings = em.Settings(voxel_mm=(4.0, 4.0, 4.85), size=(44, 52, 31), subsets=6, iterations=6)
problem = em.prepare(made.scan, settings)
grid = problem.grid

tissue_of = {3: 1, 4: 2, 5: 3, 6: 2, 7: 2}  # labels to fluid, grey and white matter
body = mri.from_phantom(head(PLACES_MM["the T1 alone"]), tissue_of, grid)
t1, _ = mri.acquire(body, mri.Scan(noise_percent=2, bias_percent=0), np.random.default_rng(5))
features = (t1.voxels * body.mask)[None]

# %%
# OSEM with a filter, kernel EM, the same with a kernel that is compact in space, and a hybrid one
# that a first image of the PET has a say in.
osem = replace(problem, settings=replace(problem.settings, post_fwhm_mm=(5.0,)))
compact, hybrid = KernelSettings(kernel_fwhm_mm=10.0), KernelSettings(kernel_pet_width=1.0)
problems = {
    "OSEM, filter of 5 mm": osem,
    "kernel EM": problem.through(kernel_of(features, grid.spacing_mm)),
    "compact kernel": problem.through(kernel_of(features, grid.spacing_mm, compact)),
    "hybrid kernel": problem.through(
        kernel_of(features, grid.spacing_mm, hybrid, problem.first())
    ),
}
images = {
    name: one.volume(em.last(em.until(one.iterates(), em.after(36))).params).voxels
    for name, one in problems.items()
}

# %%
# What became of both balls: how much brighter they are than the white matter around them, in
# percent of what the hot one should be; and how much the voxels of grey matter differ.
x, y, z = np.meshgrid(*(grid.centres_mm(axis) for axis in range(3)), indexing="ij")
white = body.fractions[..., 2] > 0.9  # of the T1
truth = head(PLACES_MM["the PET alone"]).activity(grid).voxels
truth = truth * np.float32(made.facts["counts_per_mm_per_unit"])


def contrast(image, place_mm):
    """Return by how much a ball is brighter than what is around it."""
    far = np.sqrt(sum((a - b) ** 2 for a, b in zip((x, y, z), place_mm, strict=True)))
    return image[far < 6].mean() - image[(far > 12) & (far < 18) & white].mean()


grey = body.fractions[..., 1] > 0.95
true = contrast(truth, PLACES_MM["the PET alone"])
for name, image in images.items():
    shown = [100 * contrast(image, place) / true for place in PLACES_MM.values()]
    spread = 100 * image[grey].std() / image[grey].mean()
    print(f"{name:22s} ball of the PET {shown[0]:4.0f} %, of the T1 {shown[1]:4.0f} %, "
          f"spread in grey matter {spread:3.0f} %")  # fmt: skip

plane = int(np.argmin(np.abs(grid.centres_mm(2) - 10)))
panels = {"activity": truth, "T1": features[0], **images}
figure, axes = plt.subplots(2, 3, figsize=(9, 6.6), layout="constrained")
for axis, (name, image) in zip(axes.flat, panels.items(), strict=True):
    top = image.max() if name == "T1" else truth.max()
    axis.imshow(image[::-1, ::-1, plane].T, cmap="gray" if name == "T1" else "gray_r", vmax=top)
    axis.set(title=name, xticks=[], yticks=[])
plt.show()
