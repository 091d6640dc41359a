"""What watching costs: ``xvfb-run -a -s "-screen 0 1280x800x24" python tests/benchmarks/panel_watch.py``.

A small scan is reconstructed onto 128 x 128 x 128 voxels in 240 updates: by the panel's own job with
nobody looking, in the panel in its normal mode (Quick), and in its Watch mode, by turns. Of each run the
processor time of the window's thread and of software that draws, that of the whole process, the pictures
drawn, the longest that counters were out of date, and the longest gap in the window's event loop after
the first picture, with the longest that its thread worked by itself. The first run in a window, whose layer is
made, comes before and is told apart. A table says at the end what is met. The argument is the number of turns.
"""  # noqa: E501 - a command to copy

import os
import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
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

SHAPE, PASSES, SUBSETS = (128, 128, 128), 20, 12
PULSE_MS = 10
FEWEST, OLDEST_S, BLOCKED_S = 12, 0.5, 0.3
QUICK = 20
"""What drawing took, in percent of the run, when the panel had this one mode."""


def unwatched(folder, settings):
    """Return the processor time of a run that nobody looks at."""
    session = Session(1)
    session.history.wants = lambda _: False
    job = ReconJob(ReconstructionJob(folder, settings=settings))
    before = time.process_time()
    session.start(job)
    session.slot.wanted = False
    session.join()
    assert session.phase == "done", session.error
    return time.process_time() - before


def drawing_s():
    """Return the processor time of the window's thread, and of threads that draw in software."""
    ticks = 0
    for stat in Path("/proc/self/task").glob("*/stat"):
        name, rest = stat.read_text().rsplit(")", 1)
        if "(llvmpipe" in name:
            ticks += sum(map(int, rest.split()[11:13]))
    return time.thread_time() + ticks / os.sysconf("SC_CLK_TCK")


class Beats:
    """Takes the times of the window's loop, and of looks at counters, during one run."""

    def __init__(self, dock):
        self.dock, self.beats, self.ages = dock, [], [0.0]
        self.first = self.since = None
        self.shown = 0
        self.pulse = QTimer()
        self.pulse.setTimerType(Qt.TimerType.PreciseTimer)
        self.pulse.setInterval(PULSE_MS)
        self.pulse.timeout.connect(self.beat)
        dock.live.looked.connect(self.looked)
        self.pulse.start()

    def beat(self):
        now, session = time.perf_counter(), self.dock.session
        if self.since is None and session.number != self.shown:
            self.since = now  # from here on the counters are out of date
        seen = self.dock.live.frames and session.seen.is_set()
        if self.first is None and session.phase == "running" and seen:
            self.first = now
        self.beats.append((now, time.thread_time()))

    def looked(self):
        if self.first and self.since:
            self.ages.append(time.perf_counter() - self.since)
        self.since, self.shown = None, self.dock.session.number

    def stop(self):
        self.pulse.stop()
        self.dock.live.looked.disconnect(self.looked)


def watched(dock, mode):
    """Return processor times of drawing and of all, pictures, ages of counters, gaps of loop."""
    dock.run_bar.mode.setCurrentText(mode)
    beats, loop = Beats(dock), QEventLoop()
    dock.live.ended.connect(loop.quit)
    before, drawn = time.process_time(), drawing_s()
    dock.start()
    loop.exec()
    spent, drawn = time.process_time() - before, drawing_s() - drawn
    beats.stop()
    assert dock.session.phase == "done", dock.session.error
    pictures = dock.live.frames
    QTest.qWait(1500)  # what is drawn last does not slow the next run
    later = np.diff([one for one in beats.beats if one[0] >= beats.first], axis=0)
    waited, worked = later.max(axis=0)
    return drawn, spent, pictures, max(beats.ages), waited - PULSE_MS / 1e3, worked


def main(turns):
    folder = Path(tempfile.mkdtemp()) / "scan"
    voxel = (220 / SHAPE[0], 220 / SHAPE[1], 150 / SHAPE[2])
    settings = Settings(iterations=PASSES, subsets=SUBSETS, voxel_mm=voxel, size=SHAPE)
    how = Acquisition(scanner="ECAT HR+", views=96, bins=96, span=9, max_ring_difference=4)
    jobs.run(SimulationJob("brain", folder, how))
    PluginManager.instance().discover()
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)
    _, dock = viewer.window.add_plugin_dock_widget("emrecon", "EM reconstruction")
    dock.scan.box.setEditText(str(folder))
    dock.settings.fill(settings)
    unwatched(folder, Settings(iterations=1, subsets=SUBSETS, voxel_mm=voxel, size=SHAPE))
    first_s, *_ = watched(dock, "Quick")
    told(f"the first run in the window, whose layer is made: {first_s:.2f} s to draw")
    found = {"Quick": [], "Watch": []}
    for _ in range(turns):
        alone = unwatched(folder, settings)
        for mode, rows in found.items():
            drawn, spent, *rest = watched(dock, mode)
            rows.append((drawn / alone, spent / alone - 1, *rest))
            told(
                f"{mode}: {spent:.1f} s of processor, {drawn:.2f} s of it to draw {rest[0]} "
                f"pictures; {alone:.1f} s with nobody looking"
            )
    viewer.close()
    sys.exit(not table(found))


def table(found):
    """Print what was asked for, and whether it is met; return whether all is."""
    quick, watch = (list(zip(*rows, strict=True)) for rows in found.values())
    both = [(*one, *other) for one, other in zip(quick, watch, strict=True)]
    rows = [
        ("pictures in Watch, at least", min(watch[2]), FEWEST, min(watch[2]) >= FEWEST),
        at_most("drawing in Watch, % of the run (median)", 100 * np.median(watch[0]), 30),
        at_most("drawing in Quick, % of the run (median)", 100 * np.median(quick[0]), QUICK),
        at_most("  by the whole process: Watch, % *", 100 * np.median(watch[1]), 30),
        at_most("  by the whole process: Quick, % *", 100 * np.median(quick[1]), QUICK),
        at_most("age of the counters, s *", max(both[3]), OLDEST_S),
        at_most("window's thread kept from its events, s *", max(both[4]), BLOCKED_S),
        at_most("  of that its own work without a break, s", max(both[5]), BLOCKED_S),
    ]
    for words, value, wanted, met in rows:
        told(f"{words:44} {value:8.2f} {wanted:8.2f}  {'met' if met else 'MISSED'}")
    told("* on a busy machine as much that of other processes")
    return all(met for *_, met in rows)


def at_most(words, value, most):
    return words, value, most, value <= most


def told(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
