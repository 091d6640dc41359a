"""The parts of `screenshots` that walk through all that the panel has, to be looked at."""

import json
import os
import tempfile
from pathlib import Path

import numba
import numpy as np
from hands import FOLDER, SIZE, click, docked, mouse, opened, picture, wait, window_of
from qtpy.QtTest import QTest

from emrecon.io import nifti
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings
from emrecon.volume import Grid, Volume
from napari_plugin import docks, menus, samples
from napari_plugin.measure_dock import MeasureDock
from napari_plugin.planes_dock import PlanesDock
from napari_plugin.recon_dock import ReconDock
from napari_plugin.simulate_dock import SimulateDock
from phantoms.acquisition import Acquisition

ALL = (
    "EM segmentation",
    "Orthogonal views",
    "Measure regions",
    "Simulate a scan",
    "EM reconstruction",
)
QUICK = Settings(iterations=2, subsets=12, voxel_mm=(4.0,))


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
    assert not list(Path(str(numba.config.CACHE_DIR)).iterdir()), "NUMBA_CACHE_DIR is to be empty"
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
    click(dock.curves.tabs, dock.curves.tabs.tabRect(0).center().x())
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


def unit():
    """SUV of an image whose dose and weight stand beside it, with its window, bar and table."""
    viewer = opened()
    (layer,) = viewer.open(str(quantified()), plugin="emrecon")
    viewer.layers.selection = {layer}
    menus.to_suv(viewer)
    suv = viewer.layers[-1]
    viewer.layers.selection.active = suv
    dock = docked_by_name(viewer, "Measure regions", MeasureDock)
    click(dock.line_button)
    shapes = viewer.layers["regions"]
    middle = np.asarray(viewer.dims.point)
    for kind, corners in {
        "line": [(0, 0, -80), (0, 0, 80)],
        "ellipse": [(0, -20, -20), (0, -20, 20), (0, 20, 20), (0, 20, -20)],
    }.items():
        shapes.add([shapes.world_to_data(middle + one) for one in corners], shape_type=kind)
    for box, name in ((dock.image_box, suv.name), (dock.region_box, "regions")):
        box.setCurrentIndex(box.findText(name))
    wait(lambda: dock.rows and dock.columns)
    viewer.layers.selection.active = suv
    planes = docked_by_name(viewer, "Orthogonal views", PlanesDock)
    click(planes.view_box.bar_button)
    window_by(planes.view_box.window_box, "SUV")
    picture("suv-planes")
    dock.parent().raise_()
    canvas = viewer.window._qt_viewer.canvas.native  # noqa: SLF001 - napari has no public way
    spot = canvas.mapToGlobal(canvas.rect().center())
    mouse("mousemove", spot.x(), spot.y())
    picture("suv", stay=True)
    viewer.close()


def quantified():
    """Write an image in Bq/mL with dose and weight beside it; return its path."""
    folder = Path(tempfile.mkdtemp())
    voxels = np.ascontiguousarray(np.asarray(samples.brain()[0][0], np.float32).T) * 3000
    affine = Grid.centred(voxels.shape, (2.5,) * 3).affine
    nifti.write(Volume(voxels, affine, "Bq/mL"), folder / "pet.nii.gz")
    facts = {
        "Units": "Bq/mL", "InjectedRadioactivity": 370, "InjectedRadioactivityUnits": "MBq",
        "InjectionStart": -3600, "ImageDecayCorrected": True, "ImageDecayCorrectionTime": 0,
        "PatientWeight": 70, "TracerRadionuclide": "F18",
    }  # fmt: skip
    (folder / "pet.json").write_text(json.dumps(facts))
    return folder / "pet.nii.gz"


def window_by(box, word):
    """Choose the window with a word in its name."""
    box.activated.emit(next(n for n in range(box.count()) if word in box.itemText(n)))


def menu():
    """The entries in napari's own menus, and what stands where a package is missing."""
    viewer = opened()
    viewer.open_sample("emrecon", "brain")
    bar = window_of(viewer).menuBar()
    layers = next(one for one in bar.actions() if one.text().replace("&", "") == "Layers")
    for name in ("Visualize", "Measure", "Segment", "Data"):
        place = bar.actionGeometry(layers).center()
        click(bar, place.x(), place.y())
        entry = next(one for one in layers.menu().actions() if name in one.text())
        spot = layers.menu().mapToGlobal(layers.menu().actionGeometry(entry).center())
        mouse("mousemove", spot.x(), spot.y())
        wait(entry.menu().isVisible, 60)
        picture(f"menu-{name.lower()}", stay=True)
        mouse("key", "Escape", "key", "Escape")
        QTest.qWait(300)
    viewer.window.add_dock_widget(docks._missing("pyqtgraph")(), name="EM reconstruction")  # noqa: SLF001
    picture("missing")
    viewer.close()


def simulate():
    """The NEMA body with its own bins, and with too few."""
    viewer = opened()
    dock = docked_by_name(viewer, "Simulate a scan", SimulateDock)
    dock.phantom.setCurrentText("nema")
    picture("simulate-nema")
    dock.acquisition.fields["bins"].fill(96)
    click(dock.simulate_button)
    wait(lambda: not dock.session.live and viewer.layers)
    viewer.layers[0].visible, viewer.layers[-1].visible = False, True
    picture("simulate-shrunk")
    dock.preset.setCurrentText("SPECT, quick")
    click(dock.tabs, dock.tabs.tabBar().tabRect(1).center().x(), 8)
    picture("simulate-spect")
    viewer.close()


def fused():
    """PET laid over MR, one plane alone, and napari's own canvas."""
    viewer = opened()
    viewer.open_sample("emrecon", "brain_scan")
    marks, pet = viewer.layers["brain labels"], viewer.layers["brain truth"]
    place = {name: getattr(marks, name) for name in ("scale", "translate", "units", "axis_labels")}
    noise = np.random.default_rng(3).normal(0, 5, marks.data.shape)
    tissue = np.array([0, 30, 20, 50, 100, 140, 100, 100, 50])[np.asarray(marks.data) % 9]
    mr = viewer.add_image((tissue + noise * (tissue > 0)).astype(np.float32), name="MR", **place)
    viewer.layers["brain prompts"].visible = False
    viewer.layers.selection.active = mr
    planes = docked_by_name(viewer, "Orthogonal views", PlanesDock)
    viewer.layers.move(viewer.layers.index(pet), len(viewer.layers))
    pet.visible = True
    viewer.layers.selection.active = pet
    window_by(planes.view_box.window_box, "over")
    viewer.layers.selection.active = mr
    at = planes.over_box.findText(pet.name)
    planes.over_box.setCurrentIndex(at)
    planes.over_box.activated.emit(at)
    wait(lambda: all(one.overlay.image is not None for one in planes.planes.values()))
    picture("fused")
    planes.planes["axial"].doubled.emit()
    picture("plane-alone")
    viewer.close()


def real():
    """Files of others, dropped: FreeSurfer's, a DICOM series of PET, list-mode, Interfile."""
    data = Path(os.environ["EMRECON_DATA"])
    for name, path in {
        "mgz": "brain_real_t1/niivue_norm.mgz", "dicom": "nema_iq_dicom/pet_recon_1",
        "interfile": "thorax_fdg_ct/FDG_g1.hv",
    }.items():  # fmt: skip
        viewer = opened()
        viewer.open(str(data / path), plugin="emrecon")
        docked_by_name(viewer, "Orthogonal views", PlanesDock)
        picture(f"real-{name}")
        viewer.close()
    viewer = opened()
    dock = docked_by_name(viewer, "EM reconstruction", ReconDock)
    viewer.open(str(data / "pet_mmr_listmode/small_listmode_file.l"), plugin="emrecon")
    picture("real-listmode")
    print(dock.scan.path(), SIZE)
    viewer.close()


PARTS = {
    part.__name__: part
    for part in (
        forms, runs, edited, watched, inside, scatter, kernels, unit, menu, simulate, fused, real
    )
}  # fmt: skip
if "NUMBA_CACHE_DIR" in os.environ:
    PARTS["compiling"] = compiling
