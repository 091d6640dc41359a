"""Files and folders that are opened, masks, colours over images, and missing packages."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from napari.components import ViewerModel
from npe2 import PluginManifest

from emrecon.errors import FormatError
from emrecon.io import read_image
from emrecon.io.dicom.pet_series import STORAGE
from napari_plugin import docks, slices
from napari_plugin.layer_files import taken
from napari_plugin.layers import blank_labels, fusion, look
from napari_plugin.reader import get_reader, read
from napari_plugin.view_box import ViewBox
from tests.io.nm_files import pydicom, saved
from tests.io.test_ct import hounsfield, write_series
from tests.napari.test_nifti import AFFINES, PEAK, bright, peak_mm
from tests.napari.test_nifti import saved as saved_nifti


def pet_series(folder, units):
    """Turn slices of a CT into slices of PET."""
    for path in list(write_series(folder).iterdir()):
        ds = pydicom.dcmread(path)
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = STORAGE
        if units:
            ds.Units = units
        saved(ds, folder, path.name)
    return folder


@pytest.mark.parametrize(("units", "unit"), [("BQML", "Bq/mL"), ("GML", "g/mL"), ("", "")])
def test_a_folder_of_pet_slices_opens_in_its_unit(tmp_path, units, unit):
    folder = pet_series(tmp_path / "pet", units)
    reads = get_reader(str(folder))
    ((data, info, kind),) = reads(str(folder))
    assert (kind, info["name"], info["metadata"]["emrecon"]["unit"]) == ("image", "pet", unit)
    np.testing.assert_array_equal(np.sort(data.ravel()), np.sort(hounsfield().ravel()))
    ((single, _, _),) = read(next(folder.glob("*.dcm")))
    np.testing.assert_array_equal(single, data)


def test_slices_of_no_one_series_are_refused(tmp_path):
    folder = pet_series(tmp_path / "both", "BQML")
    write_series(folder, uid="9.9")
    with pytest.raises(FormatError, match="PET and of something else: open one file"):
        read(folder)
    ((_, info, _),) = read(write_series(tmp_path / "ct"))
    assert info["metadata"]["emrecon"]["unit"] == "HU"
    (tmp_path / "empty").mkdir()
    assert get_reader(str(tmp_path / "empty")) is None


def test_freesurfer_files_lie_where_nibabel_has_them(tmp_path):
    data = np.ascontiguousarray(bright(), np.float32)
    nib.save(nib.MGHImage(data, AFFINES["LAS"]), tmp_path / "norm.mgz")
    ((voxels, info, kind),) = read(tmp_path / "norm.mgz")
    viewer = ViewerModel()
    layer = getattr(viewer, f"add_{kind}")(voxels, **info)
    np.testing.assert_allclose(peak_mm(layer), (AFFINES["LAS"] @ [*PEAK, 1])[:3], atol=1e-3)
    layer.data[...] *= 2  # changed: written as NIfTI, along the same axes
    again = read_image(taken(layer).file())
    np.testing.assert_array_equal(again.voxels, 2 * data)
    np.testing.assert_allclose(again.affine, AFFINES["LAS"], atol=1e-4)


def test_the_manifest_knows_every_ending_and_folders():
    import napari_plugin

    manifest = PluginManifest.from_file(next(iter(napari_plugin.__path__)) + "/napari.yaml")
    (reader,) = manifest.contributions.readers
    assert reader.accepts_directories
    for ending in ("*.mgz", "*.l", "*.STIR", "*.ima", "*.petsird"):
        assert ending in reader.filename_patterns
    for widget in manifest.contributions.widgets:
        command = next(c for c in manifest.contributions.commands if c.id == widget.command)
        module, _, name = command.python_name.partition(":")
        assert module == "napari_plugin.docks"
        assert getattr(docks, name).__name__ == name


def test_a_package_that_is_missing_is_named_with_what_to_type(qtbot, monkeypatch):
    def nothing(name):
        raise ModuleNotFoundError("no", name="pyqtgraph")

    monkeypatch.setattr(docks, "import_module", nothing)
    widget = docks.ReconDock()
    qtbot.addWidget(widget)
    (label,) = widget.findChildren(docks.QLabel)
    assert "<b>pyqtgraph</b>" in label.text()
    assert '-m pip install "emrecon[napari]"' in label.text()
    with pytest.raises(AttributeError):
        docks.Nonesuch  # noqa: B018 - an attribute that is not there


def test_a_new_mask_has_the_axes_of_the_image_s_file(qtbot, tmp_path):
    path = saved_nifti(tmp_path / "t1.nii", AFFINES["IRA"], bright())
    viewer = ViewerModel()
    ((data, info, _),) = read(path)
    image = viewer.add_image(data, **info)
    viewer.add_image(np.zeros((3, *data.shape)), name="frames of something")  # of four axes
    viewer.layers.selection.active = image
    box = ViewBox()
    qtbot.addWidget(box)
    box.watch(viewer)
    box.mask_button.click()
    mask = viewer.layers["mask"]
    assert (mask.data.shape, mask.mode) == (data.shape, "paint")
    mask.data[np.unravel_index(np.argmax(data), data.shape)] = 1
    made = read_image(taken(mask).file())
    assert made.voxels[PEAK] == made.voxels.sum() == 1
    np.testing.assert_allclose(made.affine, AFFINES["IRA"], atol=1e-4)
    assert blank_labels(viewer.layers[1], "x")["data"].shape == data.shape


def test_what_is_laid_over_is_the_clearer_the_lower_its_value(rng):
    layer = ViewerModel().add_image(rng.random((4, 5, 6)), colormap="gray_r")
    over = slices.colours(layer, clear=True).astype(int)
    assert np.all(np.diff(over[:, 3]) >= 0)
    assert (over[0, 3], over[-1, 3]) == (0, 255)
    assert np.ptp(over[:, :3], axis=1).max() > 100  # hot, not grey
    assert slices.colours(layer)[:, 3].min() == 255
    chosen = look("PET, over another image", layer.data)["colormap"]
    np.testing.assert_array_equal(chosen.colors, fusion().colors)
