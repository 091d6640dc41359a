"""A format and a phantom of a separate package, found by entry point, work everywhere."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

from emrecon import io
from emrecon.io.checking import check_format
from emrecon.plugins import installed

MODULE = '''
"""Images and sinograms as numpy writes them, and a ball."""

import io

import numpy as np

from emrecon.errors import FormatError
from emrecon.tomo.geometry.presets import by_name
from emrecon.tomo.scan import Scan
from emrecon.volume import Volume
from phantoms.phantom import Phantom
from phantoms.shapes import Material, sphere


class Toy:
    name = "Toy"
    suffixes = (".toy",)

    def kind(self, head, path):
        return {b"TOYI": "image", b"TOYS": "projections"}.get(head[:4])

    def describe(self, path, camera):
        return {"kind": f"toy of {len(self._arrays(path))} arrays"}

    def read_image(self, path):
        arrays = self._arrays(path)
        return Volume(arrays["voxels"], arrays["affine"], str(arrays["unit"]))

    def write_image(self, volume, path):
        packed = io.BytesIO()
        voxels = np.ascontiguousarray(volume.voxels)
        np.savez(packed, voxels=voxels, affine=volume.affine, unit=volume.unit)
        path.write_bytes(b"TOYI" + packed.getvalue())

    def read_scan(self, path, reading):
        return Scan(by_name("tiny").bins(span=3), self._arrays(path)["counts"])

    def _arrays(self, path):
        try:
            with np.load(io.BytesIO(path.read_bytes()[4:])) as arrays:
                return dict(arrays)
        except Exception as error:
            raise FormatError(f"{path} is damaged: {error}") from error


def ball():
    body = sphere((0, 0, 0), 20).filled(Material(1.0, 0.0096), label=1)
    return Phantom("ball", (body,), {1: "ball"})
'''

ENTRIES = """[emrecon.formats]
toy = toy_package:Toy
broken = toy_package:Missing

[emrecon.phantoms]
ball = toy_package:ball
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder with the package and its metadata, to be put on the path."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "toy_package.py").write_text(MODULE)
    about = folder / "toy_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    return folder


@pytest.fixture
def here(package, monkeypatch):
    """The package in this process, whose registries are looked through anew."""
    monkeypatch.syspath_prepend(str(package))
    forget()
    yield importlib.import_module("toy_package")
    forget()


def forget():
    installed.cache_clear()
    io.formats.cache_clear()


@pytest.fixture
def files(package, here, tmp_path):
    """An image and a scan in the format."""
    from emrecon.volume import Grid, Volume
    from phantoms.simulate import simulate

    grid = Grid.centred((5, 6, 7), (2.0, 3.0, 4.0))
    voxels = np.arange(210, dtype=np.float32).reshape(5, 6, 7)
    io.write_image(Volume(voxels, grid.affine, "1/mm"), tmp_path / "image.toy")
    rng = np.random.default_rng(0)
    made = simulate(here.ball(), here.by_name("tiny").bins(span=3), counts=1e5, rng=rng)
    with (tmp_path / "scan.toys").open("wb") as file:
        file.write(b"TOYS")
        np.savez(file, counts=made.scan.prompts)
    return tmp_path


def command(package, *arguments):
    """Run a command in a process that finds the package."""
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    line = [sys.executable, "-m", "emrecon", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False)


def test_it_keeps_what_formats_promise(here, tmp_path):
    check_format(here.Toy(), tmp_path)


def test_what_cannot_be_loaded_stops_nothing(here, caplog):
    assert [form.name for form in io.formats()][-1] == "Toy"
    assert "emrecon.formats 'broken' cannot be used" in caplog.text


@pytest.mark.slow
def test_commands(package, files):
    image, scan = files / "image.toy", files / "scan.toys"
    told = command(package, "info", image, scan)
    assert told.returncode == 0, told.stderr
    assert "toy of 3 arrays" in told.stdout
    assert "toy of 1 arrays" in told.stdout
    told = command(package, "convert", image, "-o", files / "image.nii")
    assert told.returncode == 0, told.stderr
    assert io.read_image(files / "image.nii").unit == "1/mm"
    options = ("--iterations", 2, "--subsets", 1)
    told = command(package, "recon", scan, "-o", files / "recon.toy", *options)
    assert told.returncode == 0, told.stderr
    voxels = io.read_image(files / "recon.toy").voxels
    assert voxels[tuple(n // 2 for n in voxels.shape)] > 3 * voxels.mean()
    options = ("--scanner", "tiny", "--counts", 1e4)
    told = command(package, "simulate", "ball", "-o", files / "simulated", *options)
    assert told.returncode == 0, told.stderr
    assert (files / "simulated" / "prompts.hs").is_file()
    told = command(package, "simulate", "cube", "-o", files / "other")
    assert "brain, ball" in told.stderr


def test_panel(files):
    reader = pytest.importorskip("napari_plugin.reader", reason="needs napari")
    ((data, info, kind),) = reader.get_reader(str(files / "image.toy"))(str(files / "image.toy"))
    assert (data.shape, info["name"], kind) == ((7, 6, 5), "image", "image")
    ((data, info, kind),) = reader.read(files / "scan.toys")
    assert (data.ndim, info["name"], kind) == (3, "scan prompts", "image")


def test_phantoms_are_listed_after_our_own(here):
    from phantoms import PHANTOMS

    assert list(PHANTOMS)[-2:] == ["brain", "ball"]
    assert PHANTOMS["ball"]().name == "ball"
    assert "cube" not in PHANTOMS
