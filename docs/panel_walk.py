"""The parts of `screenshots` that walk through reconstruction: forms, runs, what they show."""

import os
import tempfile
from pathlib import Path

import numba
import numpy as np
import panel_views
from hands import click, docked, docked_by_name, grabbed, opened, picture, ran, wait
from qtpy.QtTest import QTest

from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings
from napari_plugin import samples
from napari_plugin.recon_dock import ReconDock
from phantoms.acquisition import Acquisition

ALL = (
    "EM segmentation",
    "Orthogonal views",
    "Measure regions",
    "Simulate a scan",
    "EM reconstruction",
)
QUICK = Settings(iterations=2, subsets=12, voxel_mm=(4.0,))


def forms():
    """All docks in one place, every form, and what is wrong in red."""
    viewer = opened()
    viewer.open_sample("emrecon", "brain_scan")
    for caption in ALL:
        viewer.window.add_plugin_dock_widget("emrecon", caption)
        QTest.qWait(500)
    dock = docked(viewer, ReconDock)
    picture("docks")
    for number in range(dock.tabs.count()):
        name = dock.tabs.tabText(number)
        if not dock.tabs.isTabVisible(number):
            continue
        dock.tabs.setCurrentIndex(number)
        form = dock.tabs.widget(number).widget()
        for section in getattr(form, "sections", {}).values():
            section.unfold(shown=True)
        QTest.qWait(200)
        grabbed(form, f"form-{name.replace(' ', '-')}")
    dock.tabs.setCurrentIndex(1)
    dock.penalty.fields["prior"].fill("rdp")
    picture("prior-form")
    dock.tabs.setCurrentIndex(0)
    dock.settings.fields["voxel_mm"].widget.setText("3 4")
    picture("wrong")
    viewer.close()


def compiling():
    """What the first run of all says while it compiles, and Stop then."""
    kept = list(Path(str(numba.config.CACHE_DIR)).rglob("*.nbc"))
    assert not kept, "NUMBA_CACHE_DIR is to have no kernels"
    viewer = opened()
    viewer.open_sample("emrecon", "brain_scan")
    dock = docked_by_name(viewer, "EM reconstruction", ReconDock)
    click(dock.run_bar.buttons["run"])
    wait(lambda: dock.session.note.startswith("compiling "))
    picture("compiling", 3000)
    click(dock.run_bar.buttons["stop"])
    picture("compiling-stopped")
    viewer.close()


def runs():
    """Warnings, runs that are kept, gone on with and compared, a mask, and a run that fails."""
    viewer = opened()
    viewer.open_sample("emrecon", "brain_scan")
    picture("sinogram")
    dock = docked_by_name(viewer, "EM reconstruction", ReconDock)
    dock.settings.fill(Settings(iterations=2, subsets=7, voxel_mm=(4.0,)))
    ran(dock)
    picture("warned")
    click(dock.runs.continue_button)
    wait(lambda: len(dock.runs.runs) == 2 and dock.number == dock.session.number)
    dock.settings.fill(Settings(iterations=4, subsets=4, voxel_mm=(4.0,)))
    ran(dock)
    for name, place in (("likelihood", 0), ("gap", 1)):
        click(dock.curves.tabs, dock.curves.tabs.tabRect(place).center().x())
        picture(name)
    dock.runs.tick([dock.runs.runs[0], dock.runs.runs[2]])
    click(dock.runs.compare_button)
    picture("compared")
    viewer.layers.pop(-1)
    masked(viewer, dock)
    wrong = Path(tempfile.mkdtemp()) / "kappa.nii"
    wrong.write_text("no image")
    dock.penalty.fill(Penalty(prior="rdp", kappa=wrong))
    ran(dock, "failed")
    picture("failed", 300)
    viewer.close()


def masked(viewer, dock):
    """Paint on what a run made, and show its bar."""
    viewer.layers.selection.active = dock.layers.live
    click(dock.view_box.mask_button)
    mask = viewer.layers["mask"]
    mask.brush_size = 8
    mask.paint(tuple(round(i) for i in mask.world_to_data(viewer.dims.point)), 1)
    click(dock.view_box.bar_button)
    picture("mask")


def edited():
    """A map of attenuation that was set to 0 in napari counts as it is."""
    viewer = opened()
    viewer.open_sample("emrecon", "brain_scan")
    dock = docked_by_name(viewer, "EM reconstruction", ReconDock)
    dock.settings.fill(QUICK)
    mu = viewer.layers["brain mu"]
    mu.data = np.zeros_like(mu.data)
    dock.tabs.setCurrentWidget(dock.corrections.parent().parent())
    box = dock.corrections.fields["mu"].widget.box
    box.setCurrentIndex(box.findText("brain mu"))
    ran(dock)
    picture("edited")
    viewer.close()


def watched():
    """Watch, and slow motion, while a run goes; a prior's curves at its end."""
    viewer = opened()
    viewer.open_sample("emrecon", "brain_scan")
    dock = docked_by_name(viewer, "EM reconstruction", ReconDock)
    dock.settings.fill(QUICK)
    dock.penalty.fill(Penalty(prior="rdp"))
    dock.run_bar.mode.setCurrentText("Slow motion")
    click(dock.run_bar.buttons["run"])
    wait(lambda: dock.session.number > 4)
    picture("slow", 100)
    dock.run_bar.mode.setCurrentText("Watch")
    wait(lambda: dock.session.phase == "done" and dock.number == dock.session.number)
    prior = dock.curves.tabs.count() - 1
    click(dock.curves.tabs, dock.curves.tabs.tabRect(prior).center().x())
    picture("prior")
    viewer.close()


def inside():
    """One update of EM taken apart, and kernel EM's."""
    viewer = opened()
    viewer.open_sample("emrecon", "brain_scan")
    dock = docked_by_name(viewer, "EM reconstruction", ReconDock)
    dock.settings.fill(QUICK)
    click(dock.inside_button)
    wait(lambda: dock.teaching.view.inside is not None and dock.teaching.view.inside.number > 3)
    click(dock.run_bar.buttons["pause"])
    wait(lambda: dock.session.phase == "paused")
    picture("inside")
    dock.teaching.view.way.setCurrentIndex(1)
    picture("inside-view")
    dock.run_bar.mode.setCurrentText("Quick")
    click(dock.run_bar.buttons["pause"])
    wait(lambda: dock.session.phase == "done" and dock.number == dock.session.number)
    viewer.close()


def scatter():
    """What a run that simulates its scatter shows of it."""
    scan = Acquisition(scanner="tiny", counts=2e5, spread=0.0, scatter_fraction=0.1)
    folder = samples.simulated(SimulationJob("cylinder", acquisition=scan))
    viewer = opened()
    for data, info, kind in samples.scan_layers(folder, "cylinder"):
        getattr(viewer, f"add_{kind}")(data, **info)
    dock = docked_by_name(viewer, "EM reconstruction", ReconDock)
    dock.settings.fill(Settings(iterations=2, subsets=4))
    mu = folder / "mu.nii.gz"
    dock.corrections.fill(Corrections(mu=(mu,), simulate_scatter=True, scatter_rounds=2))
    regions = folder / "labels.nii.gz"
    dock.regions.fill(RegionSettings(regions=regions, draws=2))
    ran(dock)
    for name, view in (("scatter", dock.outcomes.scatter), ("regions", dock.outcomes.regions)):
        dock.tabs.setCurrentWidget(view.widget)
        picture(name)
    grabbed(dock.outcomes.scatter.widget.widget(), "scatter")
    viewer.close()


def kernels():
    """Kernel EM with the labels' truth as its image."""
    viewer = opened()
    viewer.open_sample("emrecon", "brain_scan")
    dock = docked_by_name(viewer, "EM reconstruction", ReconDock)
    dock.settings.fill(QUICK)
    truth = viewer.layers["brain truth"].metadata["emrecon"]["path"]
    dock.kernel.fill(KernelSettings(kernel=(Path(truth),), kernel_neighbours=10, kernel_window=3))
    dock.tabs.setCurrentIndex(2)
    click(dock.inside_button)
    dock.run_bar.mode.setCurrentText("Quick")
    wait(lambda: dock.session.phase == "done" and dock.number == dock.session.number)
    picture("kernel")
    viewer.close()


PARTS = {
    part.__name__: part for part in (forms, runs, edited, watched, inside, scatter, kernels)
} | panel_views.PARTS
if "NUMBA_CACHE_DIR" in os.environ:
    PARTS["compiling"] = compiling
