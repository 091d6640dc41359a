"""Images: damaged and failed files; what all formats keep is checked in test_formats."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from emrecon import io
from emrecon.errors import FormatError, GeometryError, SettingsError, WriteError
from emrecon.volume import Grid, Volume

SUFFIXES = [
    suffix
    for form in io.formats()
    if isinstance(form, io.WritesImages)
    for suffix in form.suffixes
]


def asymmetric(frames=None, *, middle=(11.0, -7.5, 4.0), flips=(1, 1, 1)):
    """Return an anisotropic volume off the axis, no two voxels alike."""
    shape, spacing = (5, 4, 7), (1.25, 2.5, 3.1)
    lead = () if frames is None else (frames,)
    voxels = np.random.default_rng(3).normal(size=(*lead, *shape)).astype(np.float32)
    affine = Grid.centred(shape, spacing).affine
    affine[:3, :3] *= flips
    affine[:3, 3] *= flips
    affine[:3, 3] += middle
    return Volume(voxels, affine, "Bq/mL")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    io.write_image(asymmetric(), path)
    data = path.with_suffix(".v") if suffix == ".hv" else path
    whole = data.read_bytes()
    for left in (len(whole) - 5, len(whole) // 2):
        data.write_bytes(whole[:left])
        with pytest.raises(FormatError) as caught:
            io.read_image(path)
        assert "\n" not in str(caught.value)
        assert "image" in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_left_of_a_failed_write(tmp_path, suffix, monkeypatch):
    earlier = asymmetric()
    path = tmp_path / f"image{suffix}"
    io.write_image(earlier, path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(WriteError, match="gone"):
        io.write_image(earlier, tmp_path / "gone" / path.name)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match="No space"):
        io.write_image(asymmetric(middle=(1.0, 2.0, 0.0)), path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"known are \.nii, \.nii\.gz, \.hv"):
        io.write_image(asymmetric(), tmp_path / "image.png")


def test_importing_io_is_light():
    code = (
        "import sys, emrecon.io; emrecon.io.formats(); "
        "print({'numba', 'nibabel', 'scipy', 'pydicom'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class TestInterfile:
    def test_voxels_lie_where_stir_puts_them(self, tmp_path):
        """STIR's [z, y, x] in gantry axes L, P, I, written by hand."""
        nx, ny, nz = 3, 4, 2
        stored = np.arange(24, dtype=">i2").reshape(nz, ny, nx)
        (tmp_path / "a.v").write_bytes(b"ab" + stored.tobytes())
        text = (
            "!INTERFILE :=\n!imaging modality := PT\nname of data file := a.v\n"
            "!number format := signed integer\n!number of bytes per pixel := 2\n"
            "number of dimensions := 3\n!PET data type := Image\ndata offset in bytes := 2\n"
            "!matrix size [1] := 3\n!matrix size [2] := 4\n!matrix size [3] := 2\n"
            "scaling factor (mm/pixel) [1] := 2\nscaling factor (mm/pixel) [2] := 3\n"
            "scaling factor (mm/pixel) [3] := 5\nimage scaling factor [1] := {10,100}\n"
            "first pixel offset (mm) [1] := -1.5\nfirst pixel offset (mm) [3] := 77\n"
        )
        for position, signs in {
            "": (-1, -1, -1),
            "patient orientation := feet_in\npatient rotation := supine\n": (1, -1, 1),
            "patient orientation := head_in\npatient rotation := prone\n": (1, 1, -1),
            "patient orientation := feet_in\npatient rotation := prone\n": (-1, 1, 1),
        }.items():
            (tmp_path / "a.hv").write_text(text + position)
            volume = io.read_image(tmp_path / "a.hv")
            to_voxel = np.linalg.inv(volume.affine)
            for z, y, x in np.ndindex(nz, ny, nx):
                # In y the first voxel lies at -(4 // 2) * 3; in z the middle is at the offset.
                gantry = np.array([-1.5 + 2 * x, -6.0 + 3 * y, (z - 0.5) * 5 + 77])
                at = to_voxel @ [*(gantry * signs), 1]
                i, j, k = np.rint(at[:3]).astype(int)
                np.testing.assert_allclose(at[:3], (i, j, k), atol=1e-9)
                assert volume.voxels[i, j, k] == stored[z, y, x] * (10, 100)[z]

    def test_what_it_cannot_hold(self, tmp_path):
        turned = asymmetric().affine.copy()
        turned[:2, :2] = [[0.9, -0.5], [0.5, 0.9]]
        with pytest.raises(GeometryError, match="oblique"):
            io.write_image(Volume(asymmetric().voxels, turned), tmp_path / "a.hv")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("number of dimensions", "2"),
            ("matrix axis label [1]", "y"),
            ("!matrix size [3]", "0"),
            ("scaling factor (mm/pixel) [2]", "-1"),
            ("slice orientation", "coronal"),
            ("number of time frames", "0"),
            ("imaging modality", "XX"),
            ("quantification units", "0"),
            ("data offset in bytes[1]", "-1"),
        ],
    )
    def test_refused(self, tmp_path, key, value):
        path = tmp_path / "a.hv"
        io.write_image(asymmetric(), path)
        lines = [
            line
            for line in path.read_text().splitlines()
            if not line.strip("!").startswith(key.strip("!"))
        ]
        path.write_text("\n".join([lines[0], f"{key} := {value}", *lines[1:]]))
        with pytest.raises(FormatError, match="line 2") as caught:
            io.read_image(path)
        assert value in str(caught.value)

    def test_facts(self, tmp_path):
        path = tmp_path / "a.hv"
        io.write_image(asymmetric(2), path)
        text = path.read_text().replace(
            "!END", "image duration (sec)[1] := 5\nimage duration (sec)[2] := 6\n!END"
        )
        path.write_text(text)
        from emrecon.io.interfile import read_image

        facts = read_image(path).facts
        assert facts["durations_s"] == [5, 6]
        assert facts["patient_position"] == "HFS"

    @pytest.mark.parametrize("value", ["1e30", "1e-30"])
    def test_voxels_that_no_image_has_are_refused(self, tmp_path, value):
        path = tmp_path / "a.hv"
        io.write_image(asymmetric(), path)
        key = "scaling factor (mm/pixel) [3]"
        text, count = re.subn(rf"{re.escape(key)} := .*", f"{key} := {value}", path.read_text())
        assert count == 1
        path.write_text(text)
        with pytest.raises(FormatError, match="singular, not finite or beyond"):
            io.read_image(path)
