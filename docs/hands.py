"""A person's hands and eyes for `screenshots`, `panel_walk` and `panel_views`: clicks on a real window, pictures of it.

Size of the screen, folder for pictures, and theme are words of the command line: see `screenshots`.
"""  # noqa: E501

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "xcb")
os.environ["NAPARI_CONFIG"] = f"{tempfile.mkdtemp()}/napari.yaml"  # as napari is at first

import napari
from PIL import ImageGrab
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest

SIZE = tuple(int(n) for n in sys.argv[1].split("x"))
SCALE = float(os.environ.get("QT_SCALE_FACTOR", "1"))
"""Pixels of the screen for one of Qt's."""

ROOM = tuple(round(n / SCALE) for n in SIZE)
FOLDER = Path(sys.argv[2])
PARTS = [word for word in sys.argv[3:] if word != "light"]
THEME = "light" if "light" in sys.argv else "dark"


def click(widget, x=None, y=None):
    """Move the mouse to the middle of a widget, or a place in it, and press."""
    assert not widget.visibleRegion().isEmpty(), f"{widget.objectName()} is out of sight"
    place = QPoint(
        widget.width() // 2 if x is None else x, widget.height() // 2 if y is None else y
    )
    spot = widget.mapToGlobal(place)
    mouse("mousemove", spot.x(), spot.y(), "click", 1)
    QTest.qWait(250)


def mouse(*words):
    """Do as xdotool says; places are in Qt's pixels."""
    if words[0] == "mousemove":
        words = ("mousemove", *(round(n * SCALE) for n in words[1:3]), *words[3:])
    subprocess.run(["xdotool", *map(str, words)], check=True)  # noqa: S603, S607 - as a person


def wait(true, seconds=600):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        QTest.qWait(20)


def picture(name, settle_ms=1500, *, stay=False):
    """Save what the screen shows, once all is drawn; the mouse stays or goes."""
    if not stay:
        mouse("mousemove", 5, ROOM[1] - 5)
    QTest.qWait(settle_ms)
    path = FOLDER / f"napari-{name}-{SIZE[0]}{'-light' * (THEME == 'light')}.png"
    ImageGrab.grab(bbox=(0, 0, *SIZE), xdisplay=os.environ["DISPLAY"]).quantize(256, 2).save(path)
    print(path)


def window_of(viewer):
    """Return the main window."""
    return viewer.window._qt_window  # noqa: SLF001 - napari has no public way to it


def opened():
    """Open a window of the size that is wanted, with nothing in it."""
    viewer = napari.Viewer()
    viewer.theme = THEME
    window = window_of(viewer)
    window.setGeometry(0, 0, *ROOM)
    QTest.qWait(1000)
    assert (window.width(), window.height()) == ROOM, "the window is not as large as it should be"
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


def docked_by_name(viewer, caption, kind):
    """Open a dock without the menu, which the other parts click through."""
    viewer.window.add_plugin_dock_widget("emrecon", caption)
    return docked(viewer, kind)


def ran(dock, phase="done"):
    """Press Run and wait for the end."""
    click(dock.run_bar.buttons["run"])
    wait(lambda: dock.session.phase == phase and not dock.live._timer.isActive())  # noqa: SLF001
    QTest.qWait(500)


def grabbed(widget, name):
    """Save all of a widget, also what is scrolled out of the window."""
    path = FOLDER / f"all-{name}.png"
    widget.grab().save(str(path))
    print(path)


def window_by(box, word):
    """Choose the window with a word in its name."""
    box.activated.emit(next(n for n in range(box.count()) if word in box.itemText(n)))
