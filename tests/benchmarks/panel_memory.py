"""Memory of the panel over 20 runs: ``xvfb-run -a python tests/benchmarks/panel_memory.py``.

Runs of a small scan onto an image of 64 x 64 x 64, one after another in one window; after each,
the memory of the process. It is flat once the list of runs is full.
"""

import sys
import tempfile
from pathlib import Path

import napari
import psutil
from npe2 import PluginManager
from qtpy.QtCore import QEventLoop
from qtpy.QtTest import QTest

from emrecon import jobs
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.settings import Settings
from phantoms.acquisition import Acquisition


def main(runs):
    folder = Path(tempfile.mkdtemp()) / "scan"
    how = Acquisition(scanner="ECAT HR+", views=48, bins=64, span=9, max_ring_difference=4)
    jobs.run(SimulationJob("brain", folder, how))
    PluginManager.instance().discover()
    viewer = napari.Viewer()
    _, dock = viewer.window.add_plugin_dock_widget("emrecon", "EM reconstruction")
    dock.scan.box.setEditText(str(folder))
    size = (64, 64, 64)
    dock.settings.fill(Settings(iterations=4, subsets=6, voxel_mm=(3, 3, 2.5), size=size))
    loop = QEventLoop()
    dock.live.ended.connect(loop.quit)
    for number in range(1, runs + 1):
        dock.start()
        loop.exec()
        assert dock.session.phase == "done", dock.session.error
        QTest.qWait(300)
        held = sum(run.session.history.bytes for run in dock.runs.runs) / 2**20
        memory = psutil.Process().memory_info().rss / 2**20
        sys.stdout.write(f"run {number}: {memory:.0f} MiB, {held:.0f} of them pictures\n")
    viewer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
