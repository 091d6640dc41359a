"""Files that are not read here are refused by the name of what they are, with what to do."""

from __future__ import annotations

import pytest

from emrecon import io
from emrecon.errors import FormatError
from emrecon.io.interfile.spect import read_projections
from emrecon.io.scan import read_scan
from tests.io.test_interfile_spect import stored, written

SMS = "!INTERFILE:=\n%SMS-MI header name space:="

FILES = {
    "ROOT": (b"root\0\0\xf6\x04" + bytes(60), "ROOT.*GATE.*PETSIRD"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5"),
    "ECAT": (b"MATRIX72v" + bytes(60), "ECAT 7.*NIfTI"),
    "NRRD": (b"NRRD0005\ntype: float\n", "NRRD.*NIfTI"),
    "MetaImage": (b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\n", "MetaImage.*NIfTI"),
    "CASToR": (b"Data filename: a.Cdf\nNumber of events: 9\nData mode: histogram\n", "CASToR"),
    "CASToR list": (b"Scanner name: X\nData filename: b.Cdf\nData mode: list-mode\n", "CASToR"),
    "Siemens sinogram": (f"{SMS}sinogram subheader\n".encode(), "Siemens sinogram.*list-mode"),
    "main header": (f"{SMS}sinogram main header\n".encode(), "Siemens sinogram"),
    "no name space": (b"!INTERFILE:=\ndata format:=sinogram\n", "Siemens sinogram"),
    "normalisation": (f"{SMS}norm subheader\n".encode(), "Siemens normalisation"),
    "Interfile": (b"!INTERFILE :=\n!matrix size [1] := 8\n", "Interfile of neither"),
    "Interfile behind text": (b"A title\n\n!INTERFILE :=\n", "remove all before !INTERFILE"),
    "nothing": (b"Hello\n", "cannot tell"),
    "empty": (b"", "an empty file"),
    "annex": (b"/annex/objects/SHA256E-s12--ab.nii.gz\n", "git-annex.*datalad get"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
}


@pytest.mark.parametrize("what", FILES)
def test_what_it_is(tmp_path, what):
    content, words = FILES[what]
    path = tmp_path / "file.hdr"
    path.write_bytes(content)
    for read in (io.describe, io.read_image, read_scan):
        with pytest.raises(FormatError, match=words) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", [r"D:\studies\of me\a.s", "/nowhere/at/all/a.s", "sub/a.s", "'a.s'", r".\a.s", "./a.s"]
)
def test_data_beside_the_header_that_names_another_folder(tmp_path, name):
    path = written(tmp_path, stored("HFS", 180, -36), **{"name of data file": name})
    assert read_projections(path).data.any()
