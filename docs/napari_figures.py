"""Measure the figures of docs/napari.md: ``xvfb-run -a python docs/napari_figures.py 128``.

The argument is the size of the image, 128 (cubed) or 344 (344 x 344 x 127); a second one is the
number of pairs of runs. A small scan is reconstructed onto that image by the same job, unwatched
and in the panel by turns. Watching includes history and the error against the truth.
"""

import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
import psutil
from npe2 import PluginManager
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtTest import QTest

from emrecon import jobs
from emrecon.jobs.recon import ReconstructionJob
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.settings import Settings
from napari_plugin.recon_job import ReconJob
from napari_plugin.session import Session
from phantoms.acquisition import Acquisition

SHAPE, PASSES = {"128": ((128, 128, 128), 20), "344": ((344, 344, 127), 4)}[sys.argv[1]]
PAIRS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
PULSE_MS = 10


def megabytes():
    return psutil.Process().memory_info().rss / 2**20


def opened(folder, settings):
    """Open a window with the panel, filled in."""
    PluginManager.instance().discover()
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)  # noqa: SLF001 - no public way
    QTest.qWait(1)
    seconds = time.time() - psutil.Process().create_time()
    print(f"start to window: {seconds:.1f} s, {megabytes():.0f} MiB", flush=True)
    _, dock = viewer.window.add_plugin_dock_widget("emrecon", "EM reconstruction")
    dock.scan.box.setEditText(str(folder))
    dock.settings.fill(settings)
    return viewer, dock


def unwatched(folder, settings):
    """Return the seconds of all updates and of the later half; nobody looks, nothing is kept."""
    session = Session(1)
    session.history.wants = lambda _: False
    job = ReconJob(ReconstructionJob(folder, settings=settings))
    session.start(job)
    session.slot.wanted = False
    session.join()
    assert session.phase == "done", session.error
    return session.seconds_spent, later(job)


def later(job):
    """Return the seconds of the second half of a run, when its layer is long there."""
    rows = job.rows
    return rows[-1].seconds - rows[len(rows) // 2].seconds


def watched(dock):
    """Return the same in the panel, the gaps of its loop in ms, and how much was drawn."""
    ticks, loop, pulse = [], QEventLoop(), QTimer()
    pulse.setTimerType(Qt.TimerType.PreciseTimer)
    pulse.setInterval(PULSE_MS)
    pulse.timeout.connect(lambda: ticks.append(time.perf_counter()))
    dock.live.ended.connect(loop.quit)
    pulse.start()
    dock.start()
    loop.exec()
    pulse.stop()
    assert dock.session.phase == "done", dock.session.error
    pictures, each = dock.live.frames, 1e3 * dock.live.frame_s
    QTest.qWait(1500)  # the history is drawn, and does not slow the next run
    spent, rows = (dock.session.seconds_spent, later(dock.job)), dock.job.rows
    first = rows[1].seconds - rows[0].seconds  # the start image is drawn, then one update made
    return spent, np.diff(ticks) * 1e3 - PULSE_MS, (pictures, each, first)


def main():
    folder = Path(tempfile.mkdtemp()) / "scan"
    voxel = (220 / SHAPE[0], 220 / SHAPE[1], 150 / SHAPE[2])
    settings = Settings(iterations=PASSES, subsets=12, voxel_mm=voxel, size=SHAPE)
    viewer, dock = opened(folder, settings)
    how = Acquisition(scanner="ECAT HR+", views=96, bins=96, span=9, max_ring_difference=4)
    jobs.run(SimulationJob("brain", folder, how))
    unwatched(folder, Settings(iterations=1, subsets=12, voxel_mm=voxel, size=SHAPE))  # compiled
    before, ratios = megabytes(), []
    for _ in range(PAIRS):
        alone = unwatched(folder, settings)
        seen, gaps, (pictures, each, first) = watched(dock)
        both = np.array(seen) / np.array(alone)
        ratios.append(both)
        slower = [f"{100 * (one - 1):+.0f} %" for one in both]
        half, most, worst = np.percentile(gaps, (50, 99, 100))
        print(
            f"{12 * PASSES} updates: {alone[0]:.1f} s alone, {seen[0]:.1f} s watched "
            f"({slower[0]}, later half {slower[1]}), and {first:.1f} s for the first picture; "
            f"{pictures} pictures, the last {each:.0f} ms; "
            f"stalls: median {half:.0f}, 99 % {most:.0f}, worst {worst:.0f} ms",
            flush=True,
        )
    used = dock.session.history.bytes / 2**20
    whole, half = 100 * (np.median(ratios, axis=0) - 1)
    low, high = 100 * (np.min(ratios, axis=0)[0] - 1), 100 * (np.max(ratios, axis=0)[0] - 1)
    print(
        f"slow-down: median {whole:+.0f} % ({low:+.0f} to {high:+.0f}), later half {half:+.0f} %"
    )
    print(f"memory: {megabytes() - before:.0f} MiB more, {used:.0f} of them history")
    viewer.close()


main()
