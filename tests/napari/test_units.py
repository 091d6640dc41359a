"""What numbers mean is said beside them, and turned into SUV where dose and weight are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel

from emrecon.errors import SettingsError
from emrecon.io import nifti
from emrecon.volume import Grid, Volume
from napari_plugin import menus, reader, units, view_box, views
from napari_plugin.layers import PRESETS

pytestmark = pytest.mark.qt

FACTS = {
    "InjectedRadioactivity": 370, "InjectedRadioactivityUnits": "MBq", "InjectionStart": -3600,
    "ImageDecayCorrected": True, "ImageDecayCorrectionTime": 0, "PatientWeight": 70,
    "TracerRadionuclide": "F18",
}  # fmt: skip
PER_BQ = 70_000 * 2 ** (3600 / (109.77 * 60)) / 370e6
"""SUV of 1 Bq/mL: the weight in g over the dose that is left after an hour."""


@pytest.fixture
def opened(tmp_path, rng):
    """Open an image of a unit, with facts beside it."""

    def make(unit, facts):
        affine = Grid.centred((6, 7, 8), (2.0, 2.0, 3.0)).affine
        path = tmp_path / "pet.nii.gz"
        voxels = rng.random((6, 7, 8), dtype=np.float32) * 2e4
        nifti.write(Volume(voxels, affine, unit), path)
        (tmp_path / "pet.json").write_text(json.dumps(facts))
        viewer = ViewerModel()
        views.show(viewer, "radiological")
        (data, info, _), = reader.read(path)  # fmt: skip
        return viewer, viewer.add_image(data, **info)

    return make


def test_suv_are_those_of_the_definition_with_the_dose_decayed(opened):
    viewer, layer = opened("Bq/mL", FACTS)
    assert units.suv_per_unit(layer) == pytest.approx(PER_BQ, rel=1e-6)
    viewer.layers.selection = {layer}
    menus.to_suv(viewer)
    suv = viewer.layers[-1]
    assert units.unit_of(suv) == "g/mL"
    np.testing.assert_allclose(suv.data, np.asarray(layer.data) * PER_BQ, rtol=1e-5)
    np.testing.assert_array_equal(suv.extent.world, layer.extent.world)
    assert suv.metadata["emrecon"].get("path") is None  # the file's values are others


@pytest.mark.parametrize(
    ("unit", "facts", "words"),
    [
        ("counts/mm", FACTS, "in counts/mm: SUV are of an image in Bq/mL"),
        ("Bq/mL", FACTS | {"PatientWeight": None}, "needs PatientWeight"),
        ("Bq/mL", FACTS | {"ImageDecayCorrected": False}, "ImageDecayCorrected is False"),
    ],
)
def test_what_is_missing_for_suv_is_named(opened, unit, facts, words):
    _, layer = opened(unit, facts)
    with pytest.raises(SettingsError if "Decay" not in words else ValueError, match=words):
        units.suv_per_unit(layer)


def test_windows_are_in_the_unit_that_they_name(opened, qtbot, monkeypatch):
    viewer, layer = opened("Bq/mL", FACTS)
    said = []
    monkeypatch.setattr(view_box, "show_error", said.append)
    box = view_box.ViewBox()
    qtbot.addWidget(box)
    box.watch(viewer)

    def choose(name):
        box.window_box.activated.emit(1 + PRESETS.index(name))
        return tuple(layer.contrast_limits)

    assert choose("PET, SUV 0 to 6") == pytest.approx((0, 6 / PER_BQ), rel=1e-6)
    assert choose("PET, 0 to 20 kBq/mL") == pytest.approx((0, 20_000))
    layer.metadata["emrecon"]["unit"] = "counts/mm"
    assert choose("PET, SUV 0 to 6") == pytest.approx((0, 20_000))  # as it was
    assert "counts/mm" in said[-1]


def test_status_bar_and_colour_bar_say_the_unit(opened, qtbot):
    viewer, layer = opened("", FACTS | {"Units": "kBq/mL"})  # of another program: its sidecar's
    said = layer.get_status((0.0, 0.0, 0.0), world=True)
    value = layer.get_value((0.0, 0.0, 0.0), world=True)
    assert said["value"].endswith(" kBq/mL")
    assert float(said["value"].split()[0]) == pytest.approx(value, rel=1e-2)
    assert "kBq/mL" not in layer.get_status((0.0, 900.0, 900.0), world=True)["value"]
    box = view_box.ViewBox()
    qtbot.addWidget(box)
    box.watch(viewer)
    box.bar_button.click()
    unit = viewer.canvas.overlays["emrecon_unit"]
    assert layer.colorbar.visible
    assert (unit.text, unit.visible) == ("kBq/mL", True)
    other = viewer.add_image(np.zeros((3, 3, 3), np.float32))  # the bar is of what is seen
    assert [one.colorbar.visible for one in (layer, other)] == [False, True]
    other.visible = False
    assert [one.colorbar.visible for one in (layer, other)] == [True, False]
    box.bar_button.click()
    assert [one.visible for one in (layer.colorbar, other.colorbar, unit)] == [False] * 3
