"""Closing at any time: ``xvfb-run -a -s "-screen 0 1280x800x24" python tests/benchmarks/panel_close.py``.

Each case is a process with a window of its own, whose dock or window is closed at one moment: while an
example is simulated, while kernels are compiled (in an empty cache), while it reads, runs, is paused, or
in slow motion; likewise a segmentation. It tells how long it took from there until the process had ended,
or, of a dock that was closed, until its threads had; how much processor time the process used after that
moment; and what it wrote to the standard error.
"""  # noqa: E501 - a command to copy

import atexit
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

MOST_S = 2.0
CASES = {
    "window in which nothing was done": ("recon", "idle", "window"),
    "window while simulating": ("recon", "simulating", "window"),
    "window while compiling": ("recon", "compiling", "window"),
    "dock while compiling": ("recon", "compiling", "dock"),
    "window while reading": ("recon", "preparing", "window"),
    "window while running": ("recon", "running", "window"),
    "dock while running": ("recon", "running", "dock"),
    "window while paused": ("recon", "paused", "window"),
    "window in slow motion": ("recon", "slow", "window"),
    "window while segmenting": ("tissue", "running", "window"),
    "window while a segmentation compiles": ("tissue", "compiling", "window"),
    "window after the end": ("recon", "done", "window"),
}


def one(kind, moment, what):
    """Be the process: close at a moment; print when, and when threads had ended."""
    import napari
    from npe2 import PluginManager
    from qtpy.QtTest import QTest

    PluginManager.instance().discover()
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)
    before = {thread.name for thread in threading.enumerate()}
    atexit.register(lambda: sys.stdout.write(f"used {time.process_time()}\n"))
    dock_widget, dock = started(viewer, kind, moment)
    until(lambda: is_there(dock.session, moment))
    if moment == "paused":
        dock.pause()
        QTest.qWait(1500)
    sys.stdout.write(f"closed {time.time()}\nbefore {time.process_time()}\n")
    if what == "window":
        viewer.close()
        return
    viewer.window.remove_dock_widget(dock_widget)
    closed, late = time.monotonic(), []

    def ended():
        left = sorted({thread.name for thread in threading.enumerate()} - before)
        if left and not late and time.monotonic() > closed + MOST_S:
            late.extend(left)
        return not left

    until(ended)
    sys.stdout.write(f"ended {time.time()}\n")
    if late:
        sys.stderr.write(f"threads left after {MOST_S:g} s: {', '.join(late)}\n")
    sys.stdout.flush()
    viewer.close()


def started(viewer, kind, moment):
    """Open a dock and start its run."""
    caption = {"recon": "EM reconstruction", "tissue": "EM segmentation"}[kind]
    dock_widget, dock = viewer.window.add_plugin_dock_widget("emrecon", caption)
    if kind == "tissue":
        viewer.add_image(blobs(), scale=(1.6, 1.6, 1.6), units="mm", axis_labels=("S", "A", "R"))
    elif moment != "simulating":
        dock.scan.box.setEditText(os.environ["EMRECON_SCAN"])
        if moment not in {"idle", "done"}:  # long enough to be met while it runs
            dock.settings.fields["iterations"].fill(100)
    if moment == "slow":
        dock.run_bar.mode.setCurrentText("Slow motion")
    if moment != "idle":
        dock.start()
    return dock_widget, dock


def is_there(session, moment):
    """Return whether a run is at a moment; it may not have missed it."""
    assert moment in {"done", "idle"} or session.live, f"{moment} was missed: {session.phase}"
    if moment in {"simulating", "compiling"}:
        return session.note.startswith(moment)
    wanted = "running" if moment in {"slow", "paused"} else moment
    return session.phase == wanted and (moment in {"preparing", "idle"} or session.number > 0)


def until(true):
    """Let the window live until something is true."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end, "waited in vain"
        QTest.qWait(5)


def blobs():
    """Return an image of three tissues."""
    import numpy as np

    axes = np.meshgrid(*(np.linspace(-1, 1, 96),) * 3, indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    noise = np.random.default_rng(1).normal(0, 4, radius.shape)
    means = np.where(radius < 0.4, 140, np.where(radius < 0.7, 100, 50)) + noise
    return ((radius < 0.9) * means).astype(np.float32)


def scan(folder):
    """Simulate a small scan; return its folder."""
    from emrecon import jobs
    from emrecon.jobs.simulate import SimulationJob
    from phantoms.acquisition import Acquisition

    how = Acquisition(scanner="ECAT HR+", views=96, bins=96, span=9, max_ring_difference=4)
    jobs.run(SimulationJob("brain", folder / "scan", how))
    return folder / "scan"


def main(wanted):
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        environment = os.environ | {
            "EMRECON_SCAN": str(scan(folder)),
            "NAPARI_CONFIG": str(folder / "napari.yaml"),
        }
        late = 0
        for name, words in CASES.items():
            if wanted and wanted not in name:
                continue
            own = environment | {"XDG_CACHE_HOME": str(folder / name / "cache")}
            if "compiling" in words:
                own["NUMBA_CACHE_DIR"] = str(folder / name / "kernels")
            command = [sys.executable, __file__, "one", *words]
            done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
            ended = time.time()
            stamps = dict(re.findall(r"(closed|ended|before|used) ([\d.]+)", done.stdout))
            if "closed" not in stamps:
                sys.stdout.write(f"{name}: {done.stderr}\n")
                late += 1
                continue
            took = float(stamps.get("ended", ended)) - float(stamps["closed"])
            used = float(stamps["used"]) - float(stamps["before"])
            said = [line for line in done.stderr.splitlines() if "Warning" not in line]
            bad = done.returncode or took > MOST_S or any("Traceback" in line for line in said)
            late += bool(bad)
            sys.stdout.write(
                f"{name}: {took:.2f} s, {used:.2f} s of processor, exit {done.returncode}, "
                f"{len(said)} lines of errors"
                f"{': ' + ' | '.join(said[-3:]) if said else ''}{'   MISSED' * bool(bad)}\n"
            )
            sys.stdout.flush()
    sys.exit(late > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(*sys.argv[2:])
    else:
        main(" ".join(sys.argv[1:]))
