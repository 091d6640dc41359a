"""Take the pictures of docs/napari.md, as a person would: real clicks on a real window.

Needs X and xdotool: ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py 1600x1000 docs/pictures``
Words after these choose among the parts: by default those whose pictures the page shows; `walk` is all the
others, which show the rest of the panel to who works on it; `light` is the theme. What is compiled is seen
where NUMBA_CACHE_DIR is an empty folder, real files where EMRECON_DATA names a folder of some.
"""  # noqa: E501 - a command to copy

import sys
import traceback

import numpy as np
import panel_walk
from hands import FOLDER, PARTS, choose, click, docked, drag, opened, picture, wait
from npe2 import PluginManager
from qtpy.QtCore import QPointF
from qtpy.QtTest import QTest

from emrecon.tissue.settings import Settings
from napari_plugin import samples
from napari_plugin.labels import named
from napari_plugin.measure_dock import MeasureDock
from napari_plugin.planes_dock import PlanesDock
from napari_plugin.recon_dock import ReconDock
from napari_plugin.simulate_dock import SimulateDock
from napari_plugin.tissue_dock import TissueDock


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    PluginManager.instance().discover()
    own = {
        "three_clicks": three_clicks, "reconstruct": reconstruct, "segment": segment,
        "look": look, "frames": frames,
    }  # fmt: skip
    walk = panel_walk.PARTS
    wanted = [*walk] if PARTS == ["walk"] else PARTS or [*own]
    failed = []
    for name in wanted:
        try:
            (own | walk)[name]()
        except Exception:  # noqa: BLE001 - the other parts are to be seen too
            traceback.print_exc()
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def three_clicks():
    """From a bare napari to a live reconstruction: menu, entry, button."""
    viewer = opened()
    choose(viewer, "EM reconstruction")  # two clicks
    dock = docked(viewer, ReconDock)
    click(dock.run_bar.buttons["run"])  # the third
    wait(lambda: dock.live.frames > 1)  # the first is the start image, and napari lays out then
    picture("three-clicks", 100)
    viewer.close()
    viewer = opened()
    choose(viewer, "Simulate a scan")
    docked(viewer, SimulateDock)
    picture("simulate")
    viewer.close()


def reconstruct():
    """Reconstruct, halt, go on to the end, and look at the best iteration and other views."""
    viewer = opened()
    viewer.open_sample("emrecon", "brain_scan")
    choose(viewer, "EM reconstruction")
    dock = docked(viewer, ReconDock)
    dock.settings.fields["post_fwhm_mm"].widget.setText("4")
    click(dock.run_bar.buttons["run"])
    wait(lambda: dock.live.frames)
    before = dock.layers.live.data
    wait(lambda: dock.session.number >= 14)
    click(dock.run_bar.buttons["pause"])
    wait(lambda: dock.session.phase == "paused")
    halted = dock.session.number
    click(dock.run_bar.buttons["step"])
    wait(lambda: dock.session.phase == "paused" and dock.session.number == halted + 1)
    wait(lambda: dock.number == halted + 1)
    assert not np.allclose(dock.layers.live.data, before, rtol=0.1)  # what is shown moved on
    picture("paused")
    click(dock.run_bar.buttons["pause"])
    wait(lambda: dock.session.phase == "done" and dock.number == dock.session.number)
    go_to_the_best(dock)
    picture("best")
    click(dock.view_box.bar_button)
    click(dock.view_box.sense)
    picture("neurological")
    film(viewer, dock)
    measured(viewer, dock)
    viewer.close()


def go_to_the_best(dock):
    """Click the lowest place of the curve of the error."""
    tabs = dock.curves.tabs
    click(tabs, tabs.tabRect(3).center().x())
    view = dock.curves.plot.getPlotItem().getViewBox()
    best = best_iteration(dock.job)
    wait(lambda: view.viewRange()[0][0] < 0.1)
    QTest.qWait(1500)  # the axes of the new curve are drawn, and have taken their room
    (low, high), across = view.viewRange()[0], view.sceneBoundingRect()
    click(dock.curves.plot, int(across.left() + (best - low) / (high - low) * across.width()))
    wait(lambda: abs(dock.number / dock.job.subsets - best) < 0.7, 20)  # 1 in so many


def film(viewer, dock):
    """Film the iterations, as the button does once a file was chosen."""
    click(dock.view_box.sense)
    made, path = [], FOLDER / "napari-iterations.gif"
    dock.filming.ended.connect(lambda: made.append(path))
    scenes = dock._scenes()[::2]  # noqa: SLF001 - the button asks for a file first
    dock.filming.film(path, scenes, dock._here())  # noqa: SLF001
    wait(lambda: made)
    print(path)


def measured(viewer, dock):
    """Measure the tissues, against the truth, and the contrast against noise."""
    image = dock.layers.live
    choose(viewer, "Measure regions")
    dock = docked(viewer, MeasureDock)
    for box, name in (
        (dock.image_box, image.name), (dock.region_box, "brain labels"),
        (dock.truth_box, "brain truth"),
    ):  # fmt: skip
        box.setCurrentIndex(box.findText(name))
    click(dock.tabs, dock.tabs.tabRect(1).center().x())
    wait(lambda: dock.rows and dock.columns)
    names = [one.region for one in dock.rows]
    dock.table.setSelectionMode(dock.table.SelectionMode.MultiSelection)
    for name in ("grey matter", "white matter"):
        dock.table.selectRow(names.index(name))
    picture("measured")


def look():
    """Look at a reconstruction in the orthogonal views, with its projection and a ruler."""
    viewer = opened()
    for data, info, kind in samples.nema():
        getattr(viewer, f"add_{kind}")(data, **info)
    viewer.layers.selection.active = viewer.layers[0]
    choose(viewer, "Orthogonal views")
    dock = docked(viewer, PlanesDock)
    click(dock.tools.maximum)
    click(dock.tools.projection)
    click(dock.tools.ruler)
    axial = dock.planes["axial"]
    ends = [
        dock.canvas.mapToGlobal(dock.canvas.mapFromScene(axial.mapViewToScene(QPointF(*place))))
        for place in ((-60.0, -20.0), (60.0, 30.0))
    ]
    drag(*ends)
    wait(axial.length.toPlainText)
    print("the ruler reads", axial.length.toPlainText(), "of 130.0 mm")
    click(dock.view_box.bar_button)
    picture("views")
    viewer.close()


def frames():
    """Simulate list-mode, reconstruct it in frames, and read a time-activity curve."""
    viewer = opened()
    choose(viewer, "Simulate a scan")
    simulate = docked(viewer, SimulateDock)
    simulate.phantom.setCurrentText("cylinder")
    simulate.preset.setCurrentText("PET list-mode, four frames")
    click(simulate.both_button)
    dock = docked(viewer, ReconDock)
    wait(lambda: dock.session.phase == "done" and dock.layers.frames is not None, 300)
    image = dock.layers.frames
    choose(viewer, "Measure regions")
    measure = docked(viewer, MeasureDock)
    for box, name in ((measure.image_box, image.name), (measure.region_box, "cylinder labels")):
        box.setCurrentIndex(box.findText(name))
    click(measure.tabs, measure.tabs.tabRect(2).center().x())
    wait(lambda: measure.columns)
    viewer.dims.set_current_step(0, 2)
    picture("frames")
    viewer.close()


def best_iteration(job):
    """Return the iteration that is nearest to the truth."""
    return min(zip(job.score.nrmse, job.score.updates, strict=True))[1] / job.subsets


def segment():
    """Segment a brain as MR would show it, and lay the labels over it in the orthogonal views."""
    viewer = opened()
    image = magnetic(viewer)
    choose(viewer, "EM segmentation")
    dock = docked(viewer, TissueDock)
    dock.inputs.fields["mask"].widget.box.setCurrentText("tissue")
    dock.truth.box.setCurrentText("tissue")
    dock.settings.fill(Settings(starts=1))
    click(dock.run_bar.buttons["run"])
    wait(lambda: dock.layers.maps or dock.session.phase == "failed")
    assert dock.session.phase == "done", dock.session.error
    viewer.layers.selection.active = dock.layers.live
    canvas = viewer.window._qt_viewer.canvas.native  # noqa: SLF001 - napari has no public way
    click(canvas)  # a voxel, whose responsibilities are shown
    wait(lambda: dock.voxel.bars)
    picture("segmented")
    dock.parent().close()
    choose(viewer, "Orthogonal views")
    planes = docked(viewer, PlanesDock)
    viewer.layers.selection.active = image
    place = planes.over_box.findText("Tissue labels")
    planes.over_box.setCurrentIndex(place)
    planes.over_box.activated.emit(place)
    wait(lambda: all(one.overlay.image is not None for one in planes.planes.values()))
    picture("planes")
    viewer.close()


def magnetic(viewer):
    """Add the sample's brain with intensities of MR, noise and a bias field, and its tissue."""
    viewer.open_sample("emrecon", "brain")
    marks = viewer.layers["brain labels"]
    tissue = np.array([0, 0, 0, 1, 2, 3, 2, 2, 0])[marks.data].astype(np.uint8)
    place = {"scale": marks.scale, "translate": marks.translate, "units": marks.units}
    place["axis_labels"] = marks.axis_labels
    viewer.layers.clear()
    noise = np.random.default_rng(3).normal(0, 5, tissue.shape)
    field = np.exp(0.2 * np.linspace(-1, 1, tissue.shape[1]))[:, None]
    voxels = (np.array([0, 50, 100, 140])[tissue] * field + noise) * (tissue > 0)
    look = named({1: "CSF", 2: "GM", 3: "WM"}, [1, 2, 3])
    image = viewer.add_image(voxels.astype(np.float32), name="brain MR", **place)
    viewer.add_labels(tissue, name="tissue", visible=False, **place, **look)
    return image


if __name__ == "__main__":
    main()
