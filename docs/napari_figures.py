"""Measure the figures of docs/napari.md: ``xvfb-run -a python docs/napari_figures.py 128``.

The argument is the size of the image, 128 (cubed) or 344 (344 x 344 x 127). A small scan is
reconstructed onto that image by the panel and, for comparison, by the same job unwatched.
"""

import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
import psutil
from npe2 import PluginManager
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest

from emrecon.jobs_scan import write_simulation
from emrecon.tomo.settings import Settings
from napari_plugin.recon_job import Choice, ReconJob
from napari_plugin.session import Session
from phantoms.acquisition import Acquisition, phantom_named

SHAPE = {"128": (128, 128, 128), "344": (344, 344, 127)}[sys.argv[1]]
PASSES = 1


def megabytes():
    return psutil.Process().memory_info().rss / 2**20


def opened(folder, settings):
    """Open a window with the panel, filled in."""
    PluginManager.instance().discover()
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)  # noqa: SLF001 - no public way
    QTest.qWait(1)
    seconds = time.time() - psutil.Process().create_time()
    print(f"start to window: {seconds:.1f} s, {megabytes():.0f} MiB")
    _, dock = viewer.window.add_plugin_dock_widget("emrecon", "EM reconstruction")
    dock.scan.box.setEditText(str(folder))
    dock.settings.fill(settings)
    return viewer, dock


def unwatched(folder, settings):
    """Return the seconds that iterating takes when nobody looks."""
    session = Session(1)
    session.start(ReconJob(lambda: Choice(folder, settings)))
    session.join()
    return session.seconds_spent


def watched(dock):
    """Return the seconds that iterating takes in the panel, and the gaps of its loop in ms."""
    ticks = []
    pulse = QTimer()
    pulse.setInterval(5)
    pulse.timeout.connect(lambda: ticks.append(time.perf_counter()))
    pulse.start()
    dock.start()
    while dock.session.live:
        QTest.qWait(2)
    pulse.stop()
    return dock.session.seconds_spent, np.diff(ticks) * 1e3


def main():
    folder = Path(tempfile.mkdtemp()) / "scan"
    voxel = (220 / SHAPE[0], 220 / SHAPE[1], 150 / SHAPE[2])
    settings = Settings(iterations=PASSES, subsets=12, voxel_mm=voxel, size=SHAPE)
    viewer, dock = opened(folder, settings)
    how = Acquisition(scanner="ECAT HR+", views=96, bins=96, span=9, max_ring_difference=4)
    write_simulation(folder, how.scan(phantom_named("brain")))
    unwatched(folder, settings)  # kernels compiled, files cached
    before = megabytes()
    for _ in range(2):
        alone = unwatched(folder, settings)
        seen, gaps = watched(dock)
        worst = np.percentile(gaps, (50, 99, 100))
        print(
            f"{12 * PASSES} updates: {alone:.1f} s alone, {seen:.1f} s watched "
            f"({100 * (seen / alone - 1):+.0f} %), {dock.live.frames} pictures of "
            f"{1e3 * dock.live.frame_s:.0f} ms; GUI gaps: median {worst[0]:.0f}, 99 % "
            f"{worst[1]:.0f}, worst {worst[2]:.0f} ms"
        )
    used = dock.session.history.bytes / 2**20
    print(f"memory: {megabytes() - before:.0f} MiB more, {used:.0f} of them history")
    viewer.close()


main()
