"""
SPECT: attenuation and the collimator
=====================================

In a gamma camera photons of one bin come from all depths. Those from deep are fewer, and more
blurred. Both belong to the projector, which takes a map of mu and the collimator's response.
"""

import matplotlib.pyplot as plt

import emrecon as em
from phantoms.acquisition import Acquisition
from phantoms.cylinder import uniform_cylinder
from phantoms.spect_acquisition import CameraAcquisition

# %%
# A cylinder of water, 20 cm wide, filled evenly: 60 views, no scatter.
camera = CameraAcquisition(bin_mm=5.0, plane_mm=20.0, planes=4, orbit_mm=180.0)
like = Acquisition(views=60, bins=64, counts=2e6, scatter_fraction=0.0)
made = camera.scan(uniform_cylinder(100.0, 80.0), like)

# %%
# Three models of the same counts: none, with attenuation, with attenuation and collimator.
models = {
    "no correction": em.Scan(made.camera, made.counts[0]),
    "attenuation": em.Scan(made.camera, made.counts[0], mu=made.mu),
    "attenuation and collimator": em.Scan(
        made.camera, made.counts[0], mu=made.mu, response=camera.response()
    ),
}
settings = em.Settings(subsets=6, iterations=6)
figure, panels = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
for axes, (title, scan) in zip(panels, models.items(), strict=False):
    image = em.recon(scan, settings)
    plane = image.voxels[:, :, 2]
    axes.imshow(plane[:, ::-1].T, cmap="gray_r")
    axes.set_title(title, fontsize=10)
    axes.set(xticks=[], yticks=[])
    middle = plane[:, plane.shape[1] // 2 - 2 : plane.shape[1] // 2 + 2].mean(axis=1)
    panels[3].plot(image.grid().centres_mm(0), middle / made.truth.voxels.max(), label=title)
panels[3].axhline(1, color="grey", ls=":")
panels[3].set(xlabel="x, mm", title="share of the truth", xlim=(-130, 130))
plt.show()
