"""The parts of `screenshots` that walk through units, menus, views, files and simulation."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
from hands import (
    SIZE,
    click,
    docked,
    docked_by_name,
    mouse,
    opened,
    picture,
    wait,
    window_by,
    window_of,
)
from qtpy.QtTest import QTest

from emrecon.io import nifti
from emrecon.tomo.transmission_settings import RayFiles, TransmissionSettings
from emrecon.volume import Grid, Volume
from napari_plugin import docks, menus, samples
from napari_plugin.measure_dock import MeasureDock
from napari_plugin.planes_dock import PlanesDock
from napari_plugin.recon_dock import ReconDock
from napari_plugin.simulate_dock import SimulateDock
from napari_plugin.transmission_dock import TransmissionDock


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


def spect():
    """A SPECT scan by name, simulated and reconstructed with one button."""
    viewer = opened()
    simulated = docked_by_name(viewer, "Simulate a scan", SimulateDock)
    simulated.phantom.setCurrentText("cylinder")
    simulated.preset.setCurrentText("SPECT, quick")
    click(simulated.both_button)
    dock = docked(viewer, ReconDock)
    wait(lambda: dock.session.phase == "done" and dock.number == dock.session.number)
    picture("spect")
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


def transmission():
    """An attenuation map of X-ray frames."""
    (path,) = Path(os.environ["EMRECON_DATA"]).glob("xray_tooth/*.h5")
    viewer = opened()
    dock = docked_by_name(viewer, "Attenuation map", TransmissionDock)
    dock.scan.box.setEditText(str(path))
    dock.settings.fill(TransmissionSettings(iterations=2, quick=2))
    dock.rays.fill(RayFiles(pixel_mm=0.01, sum_columns=4))
    click(dock.run_button)
    QTest.qWait(2000)
    picture("transmission-runs")
    wait(lambda: len(viewer.layers) == 1 or dock.session.phase == "failed")
    picture("transmission")
    viewer.close()


PARTS = {part.__name__: part for part in (unit, menu, simulate, spect, fused, real, transmission)}
