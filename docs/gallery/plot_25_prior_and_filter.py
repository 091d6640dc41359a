"""
A prior against a filter
========================

Few counts: an image is smoothed after OSEM, or a prior is in what is maximised. Both take noise
away; what matters is how much of the small spheres is left at the same noise. The NEMA body with
two million counts, a tenth of what the scans of these pages usually have.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import emrecon as em
from emrecon.metrics import background_rois, contrast_recovery
from emrecon.tomo.operators.blur import Blur
from emrecon.tomo.penalised import Penalised
from emrecon.tomo.penalty import Penalty
from phantoms.acquisition import Acquisition
from phantoms.nema import DIAMETERS_MM, nema, spheres

# %%
# 48 views of an ECAT HR+, with all corrections in the model.
like = Acquisition(views=48, bins=288, span=9, max_ring_difference=4, counts=2e6)
made = like.scan(nema())
settings = em.Settings(voxel_mm=(4.5, 4.5, 4.85), size=(84, 84, 31), subsets=6)
problem = em.prepare(made.scan, settings)

# %%
# Contrast as NEMA NU 2 takes it, of the spheres of 17, 13 and 10 mm; noise is the spread of the
# voxels in its circles in the background, on five planes.
places = [
    (tuple(body.centre_mm), size) for body, size in zip(spheres(180.0), DIAMETERS_MM, strict=True)
]
inside = em.Volume((made.labels.voxels == 1).astype(np.float32), made.labels.affine)
circles = background_rois(inside, slice_mm=0.0)
x, y, z = (problem.grid.centres_mm(axis) for axis in range(3))
near = [np.hypot(x[:, None] - a, y - b) < DIAMETERS_MM[0] / 2 for a, b, _ in circles]
planes = [int(np.argmin(np.abs(z - at))) for at in (-20, -10, 0, 10, 20)]


def measured(voxels):
    """Return noise and the contrasts of three spheres, all in percent."""
    rows = contrast_recovery(problem.volume(voxels), places, circles, contrast=4.0)
    behind = voxels[np.any(near, axis=0)][:, planes]
    return [100 * behind.std() / behind.mean(), *(row.recovery_percent for row in rows[3:])]


# %%
# OSEM with filters of 0.5 to 17.5 mm, and the prior of relative differences, of the usual strength
# and of twice that.
widths = np.arange(0.5, 18.5, 1.0)
filtered = {
    run.number // 6: [Blur(problem.grid, (width,) * 3).forward(run.params) for width in widths]
    for run in em.until(problem.iterates(), em.after(10 * 6))
    if run.number in {4 * 6, 6 * 6, 10 * 6}
}
curves = {passes: np.array([measured(one) for one in many]) for passes, many in filtered.items()}


def penalised(beta):
    """Return the image after 8 passes, and the strength that it had."""
    chosen = Penalised(Penalty(prior="rdp", beta=beta))
    run = em.last(em.until(replace(problem, penalised=chosen).iterates(), em.after(8 * 6)))
    return run.params, chosen.facts["beta"]


usual, beta = penalised("auto")
strong, _ = penalised(2 * beta)
points = np.array([measured(usual), measured(strong)])

# %%
# At the noise of the usual strength, by how much its contrasts are above those of OSEM:
for passes, curve in curves.items():
    at = [np.interp(points[0, 0], curve[::-1, 0], curve[::-1, k]) for k in (1, 2, 3)]
    more = "  ".join(f"{size:g} mm {100 * (have / other - 1):+.0f} %" for size, have, other
                     in zip(DIAMETERS_MM[3:], points[0, 1:], at, strict=True))  # fmt: skip
    print(f"OSEM of {passes} passes, noise {points[0, 0]:.1f} %: {more}")

alike = int(np.argmin(np.abs(curves[4][:, 0] - points[0, 0])))
pictures = {
    f"OSEM, filter of {widths[alike]:g} mm": filtered[4][alike],
    "relative differences": usual,
}
figure, panels = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for axes, (title, image) in zip(panels, pictures.items(), strict=False):
    noise, *contrast = measured(image)
    axes.imshow(image[:, ::-1, planes[2]].T, cmap="gray_r", vmin=0, vmax=0.7 * usual.max())
    said = ", ".join(f"{value:.0f}" for value in contrast)
    axes.set(title=f"{title}\nnoise {noise:.0f} %, contrast {said} %", xticks=[], yticks=[])
    axes.set(xlim=(6, 77), ylim=(70, 8))
for passes, curve in curves.items():
    panels[2].plot(curve[:, 0], curve[:, 1:].mean(axis=1), label=f"OSEM, {passes} passes")
panels[2].plot(points[:, 0], points[:, 1:].mean(axis=1), "ko-", label="relative differences")
panels[2].set(
    xlim=(8, 60), ylim=(0, 100), xlabel="noise, %", ylabel="mean contrast, %",
)  # fmt: skip
panels[2].legend(fontsize="small", loc="lower right")
plt.show()
