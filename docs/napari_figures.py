"""Measure the figures of docs/napari.md: ``xvfb-run -a python docs/napari_figures.py 128``.

The argument is the size of the image, 128 (cubed) or 344 (344 x 344 x 127). Updates are made by
the same code as in a run, of a small scan onto that image, so that its size is what counts.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "xcb")
BEGAN = time.perf_counter()

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
UPDATES = {"128": 48, "344": 12}[sys.argv[1]]


def megabytes():
    return psutil.Process().memory_info().rss / 2**20


def main():
    PluginManager.instance().discover()
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)  # noqa: SLF001 - no public way
    QTest.qWait(1)
    print(f"start to window: {time.perf_counter() - BEGAN:.1f} s, {megabytes():.0f} MiB")
    folder = Path(tempfile.mkdtemp()) / "scan"
    how = Acquisition(scanner="ECAT HR+", views=96, bins=96, span=9, max_ring_difference=4)
    write_simulation(folder, how.scan(phantom_named("brain")))
    voxel = tuple(220.0 / n if axis < 2 else 150.0 / n for axis, n in enumerate(SHAPE))
    settings = Settings(iterations=UPDATES // 12, subsets=12, voxel_mm=voxel, size=SHAPE)
    _, dock = viewer.window.add_plugin_dock_widget("emrecon", "EM reconstruction")
    dock.scan.box.setEditText(str(folder))
    dock.truth.box.setEditText("")
    dock.settings.fill(settings)

    def plain():
        session = Session(1)
        began = time.process_time()
        session.start(ReconJob(lambda: Choice(folder, settings)))
        session.join()
        return session.seconds_spent, time.process_time() - began

    plain()  # kernels compiled, files cached
    before = megabytes()
    ticks = []
    pulse = QTimer()
    pulse.setInterval(5)
    pulse.timeout.connect(lambda: ticks.append(time.perf_counter()))
    ratios = []
    for _ in range(2):
        alone, _ = plain()
        ticks.clear()
        pulse.start()
        dock.start()
        while dock.session.live:
            QTest.qWait(2)
        pulse.stop()
        watched = dock.session.seconds_spent
        ratios.append(watched / alone)
        gaps = np.diff(ticks) * 1e3
        print(
            f"{UPDATES} updates: {alone:.1f} s alone, {watched:.1f} s watched, "
            f"{dock.live.frames} pictures; GUI gaps: median {np.median(gaps):.0f} ms, "
            f"99 % {np.percentile(gaps, 99):.0f} ms, worst {gaps.max():.0f} ms"
        )
    print(f"watched / alone: {[round(ratio, 3) for ratio in ratios]}")
    used = dock.session.history.bytes / 2**20
    print(f"memory: {megabytes() - before:.0f} MiB more, {used:.0f} of them history")
    viewer.close()


main()
