"""PETSIRD of scanners that are no rings, by the stock library, and of its older versions."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from emrecon.errors import FormatError
from emrecon.io.petsird import yardl
from emrecon.io.petsird.file import PetsirdFile
from emrecon.io.petsird.write import _Dialect, _varints
from tests.cli.test_commands import run
from tests.io.test_petsird import FILES

pytestmark = pytest.mark.slow

FWHM_MM, WIDTH_MM, TOFS = 30.0, 20.0, 15
PLACES_MM = np.array([[18.0, -9.0, 4.0], [-4.0, -24.0, -4.0], [-12.0, 22.0, 0.0]])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_blocks_are_written_in_the_dialect_of_each_version(path: Path, tmp_path: Path) -> None:
    cursor = yardl.Cursor(np.fromfile(path, np.uint8), "x")
    cursor.at = 9
    dialect = _Dialect.of(json.loads(cursor.text()))
    version = tuple(map(int, path.stem.split("-")[1].split(".")))
    assert dialect == _Dialect(version >= (0, 10), version >= (0, 8), version >= (0, 8))
    events = np.array([[7, 3, 1], [40, 40, 4]])
    stream = _varints(np.array([2])) + _varints(events)
    late = _varints(np.array([1])) + _varints(events[1:])
    made = path.read_bytes()[: PetsirdFile(path)._cursor.at] + dialect.block(10, 25, stream, late)
    (tmp_path / "made.bin").write_bytes(made + b"\x00")
    (block,) = PetsirdFile(tmp_path / "made.bin").blocks()
    np.testing.assert_array_equal(np.column_stack([block.bins, block.tof]), events)
    np.testing.assert_array_equal(block.delayeds, events[1:, :2])
    assert (block.start_ms, block.stop_ms, block.pair) == (10, 25, (0, 0))


class Box:
    """Four flat panels: the two at the sides have two energy bins and other crystals.

    Panels are at unlike distances, and one kind has modules turned about their own axis.
    """

    def __init__(self, petsird) -> None:
        self.petsird = petsird
        self.energies = 2, 1
        self.elements = [
            [(0.0, y, z) for y in np.arange(-30, 31, 5.0) for z in np.arange(-12, 13, 4.0)],
            [(0.0, y, z) for y in np.arange(-32, 33, 4.0) for z in np.arange(-10, 11, 5.0)],
        ]
        turns = ((0.0, 55.0), (np.pi, 60.0)), ((np.pi / 2, 50.0), (-np.pi / 2 + 0.05, 52.0))
        self.modules = [[self._turned(*turn) for turn in kind] for kind in turns]

    @staticmethod
    def _turned(angle: float, distance: float) -> np.ndarray:
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0, c * distance], [s, c, 0, s * distance], [0, 0, 1, 0]])

    def crystals(self, kind: int) -> np.ndarray:
        """Centres of the crystals of a kind; boxes are 8 mm deep, outward from their place."""
        inner = np.array(self.elements[kind]) + np.array([4.0, 0.0, 0.0])
        return np.concatenate([inner @ m[:, :3].T + m[:, 3] for m in self.modules[kind]])

    def header(self, calibration: float = 1.5):
        make = self.petsird
        ends = [(x, y, z) for x in (0, 8) for y in (-2, 2) for z in (-2, 2)]
        corners = [make.Coordinate(c=np.array(end, np.float32)) for end in ends]
        box = make.BoxSolidVolume(shape=make.BoxShape(corners=corners), material_id=1)

        def rigid(matrix):
            return make.RigidTransformation(matrix=np.asarray(matrix, np.float32))

        modules = [
            make.ReplicatedDetectorModule(
                object=make.DetectorModule(
                    detecting_elements=make.ReplicatedBoxSolidVolume(
                        object=box,
                        transforms=[rigid(np.column_stack([np.eye(3), p])) for p in places],
                    )
                ),
                transforms=[rigid(matrix) for matrix in turned],
            )
            for places, turned in zip(self.elements, self.modules, strict=True)
        ]
        edges = ((np.arange(TOFS + 1) - TOFS / 2) * WIDTH_MM).astype(np.float32)
        pairs = [[0], [0, 0]]
        rng = np.random.default_rng(1)
        sizes = [len(p) * 2 * e for p, e in zip(self.elements, self.energies, strict=True)]
        self.singles = [rng.uniform(0.7, 1.3, size) for size in sizes]
        return make.Header(
            scanner=make.ScannerInformation(
                model_name="box",
                scanner_geometry=make.ScannerGeometry(replicated_modules=modules),
                tof_bin_edges=[[make.BinEdges(edges=edges) for _ in row] for row in pairs],
                tof_resolution=[[FWHM_MM for _ in row] for row in pairs],
                event_energy_bin_edges=[
                    make.BinEdges(edges=np.linspace(425, 650, n + 1).astype(np.float32))
                    for n in self.energies
                ],
                energy_resolution_at_511=[0.1, 0.1],
                detection_efficiencies=make.DetectionEfficiencies(
                    calibration_factor=calibration,
                    detection_bin_efficiencies=[s.astype(np.float32) for s in self.singles],
                ),
            )
        )

    def events(self, rng: np.random.Generator, number: int):
        """Coincidences of points, by pair of kinds of modules: lines that pass within 1.5 mm."""
        out: list[list[list[object]]] = [[[]], [[], []]]
        for one, row in enumerate(out):
            for two, cell in enumerate(row):
                ends = [self.crystals(kind) for kind in (one, two)]
                n = [len(e) for e in ends]
                a, b = (each.ravel() for each in np.indices((n[0], n[1])))
                different = (a // (n[0] // 2) != b // (n[1] // 2)) | (one != two)
                a, b = (each[different & ((a > b) | (one != two))] for each in (a, b))
                middle, along = (ends[0][a] + ends[1][b]) / 2, ends[1][b] - ends[0][a]
                along /= np.linalg.norm(along, axis=1, keepdims=True)
                for place in PLACES_MM:
                    l_mm = ((place - middle) * along).sum(axis=1)
                    aside = np.linalg.norm(place - middle - l_mm[:, None] * along, axis=1)
                    chosen = rng.choice(np.flatnonzero(aside < 1.5), number)
                    seen = l_mm[chosen] + rng.normal(0, FWHM_MM / 2.355, number)
                    tof = np.clip(np.rint(seen / WIDTH_MM) + TOFS // 2, 0, TOFS - 1)
                    bins = [
                        each[chosen] * self.energies[kind]
                        + rng.integers(self.energies[kind], size=number)
                        for each, kind in ((a, one), (b, two))
                    ]
                    cell += [
                        self.petsird.CoincidenceEvent(
                            detection_bins=[int(i), int(j)], tof_idx=int(t)
                        )
                        for i, j, t in zip(*bins, tof, strict=True)
                    ]
        return out


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    petsird = pytest.importorskip("petsird")
    scanner = Box(petsird)
    path = tmp_path_factory.mktemp("box") / "box.petsird"
    rng = np.random.default_rng(2)
    with petsird.BinaryPETSIRDWriter(str(path)) as writer:
        writer.write_header(scanner.header())
        for number in range(4):
            block = petsird.EventTimeBlock(
                time_interval=petsird.TimeInterval(start=1000 * number, stop=1000 * number + 1000),
                prompt_events=scanner.events(rng, 150),
            )
            writer.write_time_blocks([petsird.TimeBlock.EventTimeBlock(block)])
    return path, scanner


def test_crystals_of_a_box_are_where_its_transforms_put_them(box) -> None:
    path, scanner = box
    found = PetsirdFile(path).detectors
    wanted = np.concatenate([scanner.crystals(kind) for kind in (0, 1)])
    np.testing.assert_allclose(found.points_mm, wanted, atol=1e-4)
    assert [each.energies for each in found.types] == [2, 1]
    bins = np.array([[5, 3]])
    factor = 1.5 * scanner.singles[1][5] * scanner.singles[0][3]
    np.testing.assert_allclose(found.efficiencies.of(found.types, (1, 0), bins), factor, rtol=1e-6)


def test_three_points_in_a_box_are_at_their_places(box, tmp_path: Path) -> None:
    path, _ = box
    out = tmp_path / "box.nii.gz"
    how = ("--voxel-mm", 4, 4, 4, "--size", 19, 19, 9, "--iterations", 12, "--subsets", 1)
    assert run("recon", path, "-o", out, "--list-mode", *how) == 0
    image = nib.load(out)
    voxels = np.asarray(image.dataobj, np.float64)
    where = np.stack(np.meshgrid(*map(np.arange, voxels.shape), indexing="ij"), -1)
    where = where @ image.affine[:3, :3].T + image.affine[:3, 3]
    for place in PLACES_MM:
        near = np.linalg.norm(where - place, axis=-1) < 9
        found = np.average(where[near], axis=0, weights=voxels[near])
        assert np.abs(found - place).max() < 2.0  # half a voxel
    far = np.min([np.linalg.norm(where - p, axis=-1) for p in PLACES_MM], axis=0) > 9
    assert voxels[far].sum() < 0.1 * voxels.sum()


def test_a_calibration_that_was_left_out_is_refused(box, tmp_path: Path) -> None:
    path, scanner = box[0].parent / "none.petsird", box[1]
    with scanner.petsird.BinaryPETSIRDWriter(str(path)) as writer:
        writer.write_header(scanner.header(0.0))
        writer.write_time_blocks([])
    with pytest.raises(FormatError, match="calibration factor of the file is 0"):
        PetsirdFile(path)
