"""
napari by script: your own loop, your own window
================================================

The panel is not needed to watch a run in napari. The loop is a generator: one thread walks it, the
window's thread shows what it yields. Run this where there is a screen, with
``pip install 'emrecon[napari]'``.

.. image:: /pictures/napari-script.png
   :alt: napari with the reconstruction after 24 updates beside the truth
"""

# sphinx_gallery_thumbnail_path = "pictures/napari-script.png"  # noqa: ERA001
import napari
from napari.qt.threading import thread_worker

import emrecon as em
from napari_plugin import views
from napari_plugin.layers import volume_info
from phantoms.acquisition import Acquisition
from phantoms.nema import nema

like = Acquisition(views=48, bins=288, span=9, max_ring_difference=4, counts=3e6)
made = like.scan(nema())
problem = em.prepare(made.scan, em.Settings(voxel_mm=(4.5,), iterations=4, subsets=6))


def volume(image):
    """Return voxels with their place, as `emrecon.recon` does."""
    return em.Volume(image, problem.grid.affine)


# %%
# A layer lies where the patient lies: `volume_info` turns a volume's affine into napari's, and
# `views.show` turns the patient as a physician looks: right on the left, front up.
viewer = napari.Viewer(title="emrecon by script")
voxels, place = volume_info(made.truth)
viewer.add_image(voxels, name="truth", colormap="gray_r", **place)
voxels, place = volume_info(volume(problem.start))
layer = viewer.add_image(voxels, name="estimate", colormap="gray_r", **place)
viewer.canvas.grid.enabled = True
viewer.dims.set_point(0, 0.0)
views.show(viewer, "radiological")


# %%
# The worker yields; `show` runs in the window's thread. An iterate's image is never changed after
# it was yielded, so nothing is copied, and to close the window is to stop the run.
def show(iterate):
    """Show an update."""
    layer.data, _ = volume_info(volume(iterate.params))
    layer.contrast_limits = (0, float(made.truth.voxels.max()))
    viewer.canvas.overlays.text.text = f"update {iterate.number}"
    viewer.canvas.overlays.text.visible = True


@thread_worker(connect={"yielded": show})
def walk():
    """Walk the loop: 24 updates."""
    yield from em.until(problem.iterates(), em.after(24))


walk()
napari.run()
