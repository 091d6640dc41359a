"""Take the pictures of docs/napari.md, as a person would: real clicks on a real window.

Needs X and xdotool: ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py 1600x1000 docs/pictures``
"""  # noqa: E501 - a command to copy

import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "xcb")

import napari
from npe2 import PluginManager
from PIL import ImageGrab
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest

SIZE = tuple(int(n) for n in sys.argv[1].split("x"))
FOLDER = Path(sys.argv[2])


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


def wait(true, seconds=240):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        QTest.qWait(20)


def picture(name):
    """Save what the screen shows."""
    mouse("mousemove", 5, SIZE[1] - 5)
    QTest.qWait(1500)
    path = FOLDER / f"napari-{name}-{SIZE[0]}.png"
    ImageGrab.grab(bbox=(0, 0, *SIZE), xdisplay=os.environ["DISPLAY"]).quantize(256, 2).save(path)
    print(path)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    PluginManager.instance().discover()
    viewer = napari.Viewer()
    window = viewer.window._qt_window  # noqa: SLF001 - napari has no public way to place it
    window.setGeometry(0, 0, *SIZE)
    viewer.open_sample("emrecon", "brain_scan")
    _, dock = viewer.window.add_plugin_dock_widget("emrecon", "EM reconstruction")
    QTest.qWait(1000)
    assert (window.width(), window.height()) == SIZE, "the window is not as large as it should be"
    picture("start")
    dock.settings.fields["post_fwhm_mm"].widget.setText("4")
    click(dock.run_bar.buttons["run"])
    wait(lambda: dock.session.number >= 14)
    click(dock.run_bar.buttons["pause"])
    wait(lambda: dock.session.phase == "paused")
    halted = dock.session.number
    click(dock.run_bar.buttons["step"])
    wait(lambda: dock.session.phase == "paused" and dock.session.number == halted + 1)
    picture("paused")
    finish(viewer, dock)


def finish(viewer, dock):
    """Go on to the end, look at the best iteration, and at the other views."""
    click(dock.run_bar.buttons["pause"])
    wait(lambda: dock.session.phase == "done" and dock.layers.number() == dock.session.number)
    tabs = dock.curves.tabs
    click(tabs, tabs.tabRect(2).center().x())
    view = dock.curves.plot.getPlotItem().getViewBox()
    best = dock.job.nrmse.index(min(dock.job.nrmse)) / dock.job.subsets
    wait(lambda: view.viewRange()[0][0] < 0.1)  # the axes of the new curve are drawn
    low, high = view.viewRange()[0]
    across = view.sceneBoundingRect()
    click(dock.curves.plot, int(across.left() + (best - low) / (high - low) * across.width()))
    wait(lambda: abs(dock.layers.number() / dock.job.subsets - best) < 0.2, 20)
    picture("best")
    click(dock.view_box.sense)
    corrections = dock.tabs.tabBar()
    click(corrections, corrections.tabRect(1).center().x())
    picture("neurological")
    viewer.close()


main()
