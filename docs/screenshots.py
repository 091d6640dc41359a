"""Take the pictures of docs/napari.md, as a person would: real clicks on a real window.

Needs X and xdotool: ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py 1600x1000 docs/pictures``
Words after these choose among the parts (three_clicks reconstruct segment look frames), and the theme (light).
"""  # noqa: E501 - a command to copy

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "xcb")
os.environ["NAPARI_CONFIG"] = f"{tempfile.mkdtemp()}/napari.yaml"  # as napari is at first

import napari
import numpy as np
from npe2 import PluginManager
from PIL import ImageGrab
from qtpy.QtCore import QPoint, QPointF
from qtpy.QtTest import QTest

from emrecon.tissue.settings import Settings
from napari_plugin import samples
from napari_plugin.labels import named
from napari_plugin.measure_dock import MeasureDock
from napari_plugin.planes_dock import PlanesDock
from napari_plugin.recon_dock import ReconDock
from napari_plugin.simulate_dock import SimulateDock
from napari_plugin.tissue_dock import TissueDock

SIZE = tuple(int(n) for n in sys.argv[1].split("x"))
FOLDER = Path(sys.argv[2])
PARTS = [word for word in sys.argv[3:] if word != "light"]
THEME = "light" if "light" in sys.argv else "dark"


def click(widget, x=None, y=None):
    """Move the mouse to the middle of a widget, or a place in it, and press."""
    place = QPoint(
        widget.width() // 2 if x is None else x, widget.height() // 2 if y is None else y
    )
    spot = widget.mapToGlobal(place)
    mouse("mousemove", spot.x(), spot.y(), "click", 1)
    QTest.qWait(250)


def mouse(*words):
    subprocess.run(["xdotool", *map(str, words)], check=True)  # noqa: S603, S607 - as a person


def wait(true, seconds=600):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        QTest.qWait(20)


def picture(name, settle_ms=1500):
    """Save what the screen shows, once all that was asked for is drawn."""
    mouse("mousemove", 5, SIZE[1] - 5)
    QTest.qWait(settle_ms)
    path = FOLDER / f"napari-{name}-{SIZE[0]}{'-light' * (THEME == 'light')}.png"
    ImageGrab.grab(bbox=(0, 0, *SIZE), xdisplay=os.environ["DISPLAY"]).quantize(256, 2).save(path)
    print(path)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    PluginManager.instance().discover()
    for name, part in {
        "three_clicks": three_clicks, "reconstruct": reconstruct, "segment": segment,
        "look": look, "frames": frames,
    }.items():  # fmt: skip
        if not PARTS or name in PARTS:
            part()


def window_of(viewer):
    """Return the main window."""
    return viewer.window._qt_window  # noqa: SLF001 - napari has no public way to it


def opened():
    """Open a window of the size that is wanted, with nothing in it."""
    viewer = napari.Viewer()
    viewer.theme = THEME
    window = window_of(viewer)
    window.setGeometry(0, 0, *SIZE)
    QTest.qWait(1000)
    assert (window.width(), window.height()) == SIZE, "the window is not as large as it should be"
    return viewer


def docked(viewer, kind):
    """Return the dock of a kind once it is there, as large as it is shown."""
    found = []
    window = window_of(viewer)
    wait(lambda: found or found.extend(window.findChildren(kind)), 240)
    QTest.qWait(500)
    dock = found[0]
    assert window.centralWidget().width() > dock.width()  # the canvas and its sliders
    return dock


def choose(viewer, text):
    """Click the menu Plugins and one of its entries, in a menu of its own or not."""
    bar = window_of(viewer).menuBar()
    plugins = next(one for one in bar.actions() if one.text().replace("&", "") == "Plugins")
    place = bar.actionGeometry(plugins).center()
    click(bar, place.x(), place.y())
    menu = plugins.menu()
    for one in menu.actions():
        if one.menu() and any(text in inside.text() for inside in one.menu().actions()):
            spot = menu.mapToGlobal(menu.actionGeometry(one).center())
            mouse("mousemove", spot.x(), spot.y())  # opens by itself
            wait(one.menu().isVisible, 60)
            menu = one.menu()
    entry = next(one for one in menu.actions() if text in one.text())
    place = menu.actionGeometry(entry).center()
    click(menu, place.x(), place.y())


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
    dock.filming.film(path, scenes)
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


def drag(start, end):
    """Drag the mouse from one place of the screen to another."""
    mouse("mousemove", start.x(), start.y(), "mousedown", 1)
    for part in (0.3, 0.6, 1.0):
        QTest.qWait(150)
        mouse("mousemove", *(round(a + part * (b - a)) for a, b in
                             ((start.x(), end.x()), (start.y(), end.y()))))  # fmt: skip
    QTest.qWait(150)
    mouse("mouseup", 1)
    QTest.qWait(250)


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


main()
