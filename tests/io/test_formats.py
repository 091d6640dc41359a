"""What every format keeps, and what the registry does with them."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon import io
from emrecon.errors import FormatError, SettingsError
from emrecon.io.checking import check_format
from emrecon.io.formats import ReadsImages, ReadsScans, format_of
from emrecon.io.gates import triggers
from emrecon.io.scan import open_events, read_scan
from emrecon.tomo.inputs import Corrections
from emrecon.volume import Volume
from tests.io import samples
from tests.io.samples import AFFINE, SAMPLES

FORMATS = {form.name: form for form in io.formats()}


def test_all_have_samples():
    assert list(FORMATS) == list(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_keeps_what_formats_promise(name, tmp_path):
    (tmp_path / "samples").mkdir()
    check_format(FORMATS[name], tmp_path, SAMPLES[name](tmp_path / "samples"))


def test_the_format_of_the_documentation_works(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    code = page[page.index("    # my_package.py") : page.index("The package's")]
    made = {}
    exec(textwrap.dedent(code), made)  # noqa: S102 - our own page
    np.save(tmp_path / "sample.npy", np.zeros((3, 4, 5)))
    check_format(made["NumpyImage"](), tmp_path, [tmp_path / "sample.npy"])


class Forgetful:
    """A format that breaks its promises one by one."""

    name = "forgetful"
    suffixes = (".forgetful",)

    def __init__(self, fault):
        self.fault = fault

    def kind(self, head, path):
        claims = head.startswith(b"voxels") or (self.fault == "greedy" and b"words" in head)
        return "image" if claims else None

    def describe(self, path, camera):
        return {} if self.fault == "silent" else {"kind": "image"}

    def read_image(self, path):
        content = path.read_bytes()
        if self.fault != "careless" and not content.endswith(b"end"):
            raise FormatError(f"{path} is truncated")
        volume = self.kept
        if self.fault == "mirrored":
            return type(volume)(volume.voxels[..., ::-1, :, :], volume.affine, volume.unit)
        return volume

    def write_image(self, volume, path):
        self.kept = volume
        path.write_bytes(b"voxels " * 100 + b"end")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("", None),
        ("greedy", "takes b'Some words"),
        ("silent", "has no 'kind'"),
        ("careless", "cut to .* is read, not a FormatError"),
        ("mirrored", "voxels are not as written"),
    ],
)
def test_broken_promises_are_told(fault, words, tmp_path):
    if words is None:
        check_format(Forgetful(fault), tmp_path)
        return
    with pytest.raises(AssertionError, match=words):
        check_format(Forgetful(fault), tmp_path)


def test_abilities_by_kind(tmp_path):
    for name, make in SAMPLES.items():
        (tmp_path / name).mkdir()
        for path in make(tmp_path / name):
            form, kind = format_of(path)
            assert form.name == name
            assert isinstance(form, ReadsImages) == (kind == "image")
            bins = kind in {"projections", "events"} and name != "PETSIRD"
            assert isinstance(form, ReadsScans) == bins


def test_events_of_either_format_and_what_was_read(tmp_path):
    for name in ("PETLINK", "PETSIRD"):
        (path,) = SAMPLES[name](tmp_path)
        water = Volume(np.full((3, 3, 3), 0.0096, np.float32), np.diag([9, 9, 9, 1.0]), "1/mm")
        io.write_image(water, tmp_path / "mu.nii")
        mu = Corrections(mu=tmp_path / "mu.nii", span=3)
        with open_events(path, mu, (0.0, 1.0)) as (scan, files):
            assert len(scan.events) == scan.facts["prompts"] > 500
            assert files["prompts"] == path
            assert files["mu"] == tmp_path / "mu.nii"
            assert ("prompts data" in files) == (name == "PETLINK")
            assert scan.mu.unit == "1/mm"
        assert io.has_bins(path) != (name == "PETSIRD")
        with pytest.raises(SettingsError, match=r"has no cardiac triggers \(it"):
            triggers(path, "cardiac")
    image = tmp_path / "mu.nii"
    with pytest.raises(FormatError, match=r"no list-mode .*known are PETLINK, PETSIRD"):
        open_events(image).__enter__()
    with pytest.raises(SettingsError, match="single events"):
        read_scan(path)
    with pytest.raises(FormatError, match=r"no scan .*known are PETLINK, Interfile PET, "):
        read_scan(image)
    with pytest.raises(SettingsError, match=r"has no cardiac triggers \(NIfTI has none\)"):
        triggers(image, "cardiac")


def test_unknown_files_are_refused_with_what_is_known(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert io.kind(path) == "unknown"
    for use in (io.read_image, io.describe, open_then_close):
        with pytest.raises(FormatError, match="known are NIfTI, Analyze, MGH, PETLINK, "):
            use(path)


def open_then_close(path):
    with open_events(path):
        pass


class TestFamily:
    """Analyze, pairs and MGH by nibabel."""

    def test_pairs_by_either_name(self, tmp_path):
        for path in SAMPLES["NIfTI"](tmp_path):
            volume = io.read_image(path)
            np.testing.assert_array_equal(volume.voxels.ravel(), np.arange(60))
            np.testing.assert_allclose(volume.affine, AFFINE)
            assert io.image_size(path) == pytest.approx((60, 24))
        assert format_of(path)[0].data_files(path) == (path.with_suffix(".hdr"),)

    def test_left_and_right_of_analyze_are_a_guess(self, tmp_path, caplog):
        (path,) = SAMPLES["Analyze"](tmp_path)
        volume = io.read_image(path)
        assert "left and right are a guess" in caplog.text
        np.testing.assert_allclose(np.diag(volume.affine), [-2, 3, 4, 1])

    def test_mgh_says_where_it_is(self, tmp_path, caplog):
        for path in SAMPLES["MGH"](tmp_path):
            np.testing.assert_allclose(io.read_image(path).affine, AFFINE)
        assert not caplog.text

    def test_cifti_is_no_image(self, tmp_path):
        voxels = np.zeros((1, 1, 1, 1, 3, 4), np.float32)
        image = nib.Nifti2Image(voxels, np.eye(4))
        image.header["intent_code"] = 3002
        image.to_filename(tmp_path / "a.dtseries.nii")
        with pytest.raises(FormatError, match="is CIFTI"):
            io.read_image(tmp_path / "a.dtseries.nii")


@pytest.mark.parametrize("path", ["text", "image.nii.gz", None, 3])
def test_what_is_no_path_is_refused_in_one_line(path):
    volume = Volume(np.ones((3, 3, 3), np.float32), np.eye(4))
    functions = [
        lambda path: io.write_image(volume, path), io.read_image, io.kind, io.describe,
        io.has_bins, io.patient_position, io.image_size, io.read_bins, io.image_format,
        io.is_series,
    ]  # fmt: skip
    for function in functions:
        with pytest.raises(SettingsError, match=f"named by a Path, not by {path!r}"):
            function(path)


@pytest.mark.slow
def test_headers_tell_the_examination_as_reading_does(tmp_path):
    """But for how long it was counted, which list-mode itself tells."""
    for kind in ("pet", "petlink"):
        (tmp_path / kind).mkdir()
        (path,) = getattr(samples, kind)(tmp_path / kind)
        scan, _ = read_scan(path)
        assert replace(io.read_exam(path), duration_s=scan.exam.duration_s) == scan.exam
    assert io.read_exam(samples.dicom(tmp_path)[0]) is None
