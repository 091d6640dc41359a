"""Siemens normalisation: every bin is the product of its components, summed over its pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emrecon.cli import main
from emrecon.errors import EmreconError, FormatError, GeometryError
from emrecon.io import describe, read_image, write_image
from emrecon.io.corrections import read_medium
from emrecon.io.interfile import read_components, write_projections
from emrecon.io.manifest import scan_files
from emrecon.io.petlink.sinograms import Events, sinogram_rings, write_events
from emrecon.io.scan import open_events, read_scan
from emrecon.metrics.cylinder import inside_of
from emrecon.tomo.corrections.attenuation import added, factors
from emrecon.tomo.corrections.components import Components
from emrecon.tomo.corrections.normalisation import known_gaps, live_pairs
from emrecon.tomo.geometry.detectors import planes_of_rings
from emrecon.tomo.geometry.presets import MCT, MMR, TINY
from emrecon.tomo.inputs import Corrections
from emrecon.tomo.prepare import recon
from emrecon.tomo.scan import Scan
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from phantoms.lines import line_integrals
from phantoms.shapes import cylinder
from tests.io.siemens_files import Floats, mmr_components, write_norm

COUNT = 9
"""Tangential positions that are compared: those about the middle."""


def of_file(components: list[Floats]) -> Floats:
    """Return efficiencies ``[ring 1, ring 2, view, bin]`` in the file's own axes and numbers.

    By the rules that UCL/STIR states, loop by loop.
    """
    geometric, interference, crystals, axial = components[:4]
    crystals = np.roll(crystals, 1, axis=1)
    crystals[:, ::9] = 0
    view, t = np.meshgrid(np.arange(252), np.arange(COUNT) - COUNT // 2, indexing="ij")
    end1, end2 = (view + (t >> 1)) % 504, (view - ((t + 1) >> 1) + 252) % 504
    along = np.ones((64, 64), np.float32)
    place = 0
    segments = [(-5, 5)]
    for low in range(6, 60, 11):
        segments += [(-low - 10, -low), (low, low + 10)]
    for low, high in segments:
        least = max(0, low, -high)
        for total in range(least, 127 - least):
            for ring1 in range(max(0, total - 63), min(63, total) + 1):
                if low <= total - 2 * ring1 <= high:
                    along[ring1, total - ring1] = axial[place]
            place += 1
    assert place == 837
    across = interference[t + 172, view % 9]
    ring = np.arange(64)
    out = crystals[:, end1][:, None] * crystals[:, end2][None] * across
    out *= geometric[(ring[:, None] + ring)[:, :, None, None], (t + 172)[None, None]]
    return out / along[:, :, None, None]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Floats]:
    components = mmr_components()
    path = write_norm(tmp_path_factory.mktemp("norm"), components)
    return path, of_file(components)


def wanted(by_rings: Floats, span: int) -> Floats:
    """Return efficiencies of bins, summed over the ring pairs of each."""
    bins = MMR.bins(span=span, max_ring_difference=60, count=COUNT)
    planes = planes_of_rings(bins)
    out = np.zeros((bins.planes, 252, COUNT), np.float64)
    # The file's first end is our second, and its rings run the other way.
    for ring1, ring2 in zip(*sinogram_rings(64, 60), strict=True):
        out[planes[ring1, ring2]] += by_rings[63 - ring2, 63 - ring1][:, ::-1]
    return out.transpose(1, 2, 0)


@pytest.mark.slow
@pytest.mark.parametrize("span", [1, 11])
def test_every_bin_is_the_sum_of_products(known: tuple[Path, Floats], span: int) -> None:
    path, by_rings = known
    bins = MMR.bins(span=span, max_ring_difference=60, count=COUNT)
    np.testing.assert_allclose(
        read_components(path).in_bins(bins), wanted(by_rings, span), rtol=2e-6, atol=1e-12
    )


def small(seed: int = 3) -> Components:
    """Return random components of the tiny scanner."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.uniform(0.5, 1.5, shape).astype(np.float32)  # noqa: E731
    crystals = draw(6, 48)
    crystals[:, ::6] = 0
    return Components(TINY, crystals, draw(11, 23), draw(23, 6), draw(6, 6))


def test_mashing_and_spans_add_pairs_up() -> None:
    """Whatever the compression, the total over pairs within reach is the same."""
    components = small()
    single = components.in_bins(TINY.bins())
    views = single.reshape(8, 3, 23, -1).sum(axis=1)
    np.testing.assert_allclose(components.in_bins(TINY.bins(views=8)), views, rtol=1e-5)
    wide = components.in_bins(TINY.bins(span=3, views=12))
    assert wide.sum() == pytest.approx(float(single.sum()), rel=1e-6)
    few = components.in_bins(TINY.bins(count=11))
    np.testing.assert_array_equal(few, single[:, 6:17])


def test_single_pairs_have_what_their_bins_have() -> None:
    components, bins = small(), TINY.bins()
    one, two = np.meshgrid(np.arange(6 * 48), np.arange(6 * 48), indexing="ij")
    pairs = np.stack([one.ravel(), two.ravel()], axis=1).astype(np.uint16)
    total = components.of_pairs(pairs).sum(dtype=np.float64)
    assert total == pytest.approx(2 * components.in_bins(bins).sum(dtype=np.float64), rel=1e-6)
    both = components.of_pairs(pairs), components.of_pairs(pairs[:, ::-1])
    np.testing.assert_array_equal(*both)
    dead = components.with_live(np.arange(48) != 7)
    touched = (pairs % 48 == 7).any(axis=1)
    np.testing.assert_array_equal(dead.of_pairs(pairs), np.where(touched, 0, both[0]))


def test_events_have_the_efficiency_of_their_own_pairs(tmp_path: Path) -> None:
    norm = write_norm(tmp_path, mmr_components())
    components = read_components(norm)
    bins = MMR.bins(span=1, max_ring_difference=2, count=9)
    rng = np.random.default_rng(4)
    view, at, plane = (rng.integers(0, n, 500) for n in bins.shape)
    live = components.in_bins(bins)[view, at, plane] > 0
    events = Events(view[live], at[live], plane[live], np.ones(live.sum(), bool), 1.0)
    write_events(tmp_path / "x.l.hdr", bins, [events])
    chosen = Corrections(norm=norm, span=5)
    with open_events(tmp_path / "x.l.hdr", chosen) as (scan, files):
        (read,) = scan.events.subset(0, 1)
        np.testing.assert_allclose(
            np.sort(read.factors),
            np.sort(components.in_bins(bins)[view, at, plane][live]),
            rtol=2e-6,
        )
        wide = MMR.bins(span=5, max_ring_difference=2, count=9)
        np.testing.assert_allclose(scan.efficiency, components.in_bins(wide), rtol=1e-6)
    assert files["norm data"] == tmp_path / "norm.n"


def test_another_scanner_is_refused() -> None:
    with pytest.raises(GeometryError, match=r"normalisation is of tiny .6 rings.*Siemens mMR"):
        small().in_bins(MMR.bins(span=11, max_ring_difference=5))
    with pytest.raises(GeometryError, match="has 23 tangential positions, and the scan 25"):
        small().in_bins(replace(TINY, max_bins=25).bins())


def test_a_scan_is_read_with_it(tmp_path: Path) -> None:
    path = write_norm(tmp_path, mmr_components())
    bins = MMR.bins(span=11, max_ring_difference=5, count=9)
    write_projections(tmp_path / "prompts.hs", bins, np.ones(bins.shape, np.float32))
    chosen = Corrections(norm=path)
    scan, files = read_scan(tmp_path / "prompts.hs", chosen)
    np.testing.assert_array_equal(scan.normalisation, read_components(path).in_bins(bins))
    assert files["norm data"] == tmp_path / "norm.n"
    assert set(scan_files(tmp_path / "prompts.hs", chosen).values()) == set(files.values())
    assert scan.facts["dead_time_corrected"] is False
    assert scan.facts["cross_calibration_factor"] == 1.02
    every = np.arange(3, 252, 4)
    part, _ = read_scan(tmp_path / "prompts.hs", chosen, only=lambda views: every)
    np.testing.assert_array_equal(part.normalisation, scan.normalisation[every])
    (tmp_path / "scan.toml").write_text('prompts = "prompts.hs"\nnorm = "norm.n.hdr"\n')
    by_manifest, _ = read_scan(tmp_path)
    np.testing.assert_array_equal(by_manifest.normalisation, scan.normalisation)
    assert "3584 crystals are gaps" in describe(path)["crystal efficiencies"]


def test_dead_time_of_rings_is_used_where_singles_are_known(tmp_path: Path) -> None:
    """Rings 0 ... 63 of the file, ours the other way round, lose a share that grows with them."""
    components = mmr_components()
    ring = np.arange(64)
    components[4] = (-1e-6 * (1 + ring / 63)).astype(np.float32)
    components[5] = np.full(64, 1e-12, np.float32)
    path = write_norm(tmp_path, components)
    kept = (1 + components[4] * 5e4 + components[5] * 2.5e9)[::-1]
    assert 0.85 < kept[0] < 0.95 < kept[-1] < 0.96
    bins = MMR.bins(span=1, max_ring_difference=0, count=9)
    write_projections(tmp_path / "prompts.hs", bins, np.ones(bins.shape, np.float32))
    plain, _ = read_scan(tmp_path / "prompts.hs", Corrections(norm=path))
    scan, _ = read_scan(tmp_path / "prompts.hs", Corrections(norm=path, singles_cps=5e4))
    assert plain.normalisation is not None
    wanted_ = plain.normalisation * np.square(kept)
    np.testing.assert_allclose(scan.normalisation, wanted_, rtol=1e-5)
    assert scan.facts["dead_time_corrected"] is True
    assert scan.facts["dead_time_factor"] == pytest.approx(1 / kept.mean() ** 2, rel=1e-6)
    # Another dead time than that of the rings is named: theirs is left out.
    named = Corrections(norm=path, singles_cps=5e4, dead_time_us=1.0)
    other, _ = read_scan(tmp_path / "prompts.hs", named)
    np.testing.assert_array_equal(other.normalisation, plain.normalisation)


@pytest.mark.parametrize(
    ("linear", "rate", "words"),
    [
        (1e-6, 5e4, "rings count 1.05 to 1.05 of what 50000 singles"),
        (-1e-6, 5e6, "rings count -4 to -4 of what"),
    ],
)
def test_dead_time_that_makes_no_sense_is_refused(
    tmp_path: Path, linear: float, rate: float, words: str
) -> None:
    components = mmr_components()
    components[4], components[5] = np.full((2, 64), [[linear], [0]], np.float32)
    path = write_norm(tmp_path, components)
    with pytest.raises(FormatError, match=words):
        read_components(path, rate)


def test_the_mct_has_gaps_around_and_along(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = ((109, 400), (400, 14), (55, 672), (621,))
    parts = [rng.uniform(0.9, 1.1, shape).astype(np.float32) for shape in shapes]
    path = write_norm(tmp_path, parts, system="1104", rings=55, most=49)
    components = read_components(path)
    assert components.scanner == MCT
    assert (components.crystals > 0).sum() == 4 * 13 * 48 * 13 == known_gaps(MCT).sum()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"system": "9999"}, "no scanner called '9999'"),
        ({"rings": 55}, "Siemens mMR has 64"),
        ({"most": 38}, "837 axial effects, and span 11 with ring differences up to 38"),
    ],
)
def test_headers_that_do_not_fit(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = write_norm(tmp_path, mmr_components(), **change)
    with pytest.raises(FormatError, match=words):
        read_components(path)


def test_damaged_data_and_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = mmr_components()
    path = write_norm(tmp_path, [parts[0][:, :300], *parts[1:]])
    with pytest.raises(FormatError, match="'crystal interference' has matrix size"):
        read_components(path)
    parts[2][5, 5] = np.nan
    with pytest.raises(FormatError, match="'crystal efficiencies' holds values"):
        read_components(write_norm(tmp_path, parts))
    (tmp_path / "norm.n").write_bytes(b"\0" * 1000)
    with pytest.raises(EmreconError, match="truncated"):
        read_components(path)
    (tmp_path / "x.hs").write_text("!INTERFILE :=\n")
    with pytest.raises(FormatError, match="is no Siemens normalisation"):
        read_components(tmp_path / "x.hs")
    with pytest.raises(SystemExit):
        main(["recon", str(path), "-o", str(tmp_path / "o.nii.gz")])
    assert "is no scan, but a file of Siemens normalisation" in capsys.readouterr().err


def siemens_map(folder: Path, name: str, voxels: np.ndarray, more: str = "") -> Path:
    """Write a mu-map as e7tools do: ``[z, y, x]`` in 1/cm, towards feet, back and left."""
    nz, ny, nx = voxels.shape
    lines = [
        "!INTERFILE:=", "!originating system:=2008",
        "%SMS-MI header name space:=image subheader", "!GENERAL DATA:=",
        f"!name of data file:={name}.v", "!GENERAL IMAGE DATA:=",
        "image data byte order:=LITTLEENDIAN", "%patient orientation:=HFS",
        "%image orientation:={1,0,0,0,1,0}", "!PET data type:=image", "number format:=float",
        "!number of bytes per pixel:=4", "number of dimensions:=3", "matrix axis label[1]:=x",
        "matrix axis label[2]:=y", "matrix axis label[3]:=z", f"matrix size[1]:={nx}",
        f"matrix size[2]:={ny}", f"matrix size[3]:={nz}", "scale factor (mm/pixel) [1]:=4",
        "scale factor (mm/pixel) [2]:=4", "scale factor (mm/pixel) [3]:=2.03125",
        "quantification units:=1/cm", "slice orientation:=transverse", more,
    ]  # fmt: skip
    path = folder / f"{name}.v.hdr"
    path.write_bytes("\r\n".join(lines).encode())
    voxels.astype("<f4").tofile(folder / f"{name}.v")
    return path


def test_maps_of_the_scanner_are_read_and_added(tmp_path: Path) -> None:
    """A bed of 1/cm below a body of 1/mm, which reaches less far: both attenuate."""
    bed = np.zeros((21, 50, 50), np.float32)
    bed[:, 44, 10:40] = 0.1  # y grows to the back of the patient: below it
    path = siemens_map(tmp_path, "bed", bed)
    read = read_image(path)
    assert read.unit == "1/cm"
    y = float((read.affine @ [0, int(np.argmax(read.voxels[25, :, 3])), 0, 1])[1])
    assert y == pytest.approx(-(44 - 25) * 4)
    body = np.zeros((30, 30, 15), np.float32)
    body[5:25, 5:25] = 0.0096
    affine = np.diag([4.0, 4.0, 2.03125, 1.0])
    affine[:3, 3] = -60, -60, -7 * 2.03125
    write_image(Volume(body, affine, "1/mm"), tmp_path / "body.nii.gz")
    both = Corrections(mu=(tmp_path / "body.nii.gz", path), mu_unit="1/mm")
    with pytest.raises(EmreconError, match="is it in 1/cm"):
        read_medium(both)  # a unit that was said goes before that of the file
    medium = read_medium(replace(both, mu_unit=""))
    assert medium.files["mu2 data"] == tmp_path / "bed.v"
    bins = MMR.bins(span=11, max_ring_difference=5, views=12, count=101)
    alone = [read_medium(Corrections(mu=one)).mu for one in (tmp_path / "body.nii.gz", path)]
    each = [factors(mu, bins) for mu in alone]
    assert min(float(one.min()) for one in each) < 0.8
    np.testing.assert_allclose(factors(medium.mu, bins), each[0] * each[1], atol=1e-5)
    affine[:3, 3] += 1.3, -0.7, 0.4  # now interpolated, which keeps the sum
    moved = added([Volume(body, affine, "1/mm"), alone[1]])
    assert moved.voxels.sum() == pytest.approx(sum(mu.voxels.sum() for mu in alone), rel=1e-4)


def test_an_image_that_is_turned_is_refused(tmp_path: Path) -> None:
    voxels = np.zeros((3, 4, 5), np.float32)
    path = siemens_map(tmp_path, "x", voxels, "gantry tilt angle (degrees):=1")
    with pytest.raises(FormatError, match="gantry tilt"):
        read_image(path)
    text = path.read_text().replace("{1,0,0,0,1,0}", "{0,1,0,1,0,0}")
    path.write_text(text.replace("degrees):=1", "degrees):=0"))
    with pytest.raises(FormatError, match="%image orientation"):
        read_image(path)


@pytest.mark.slow
def test_a_uniform_cylinder_is_flat_by_it_and_not_without(tmp_path: Path) -> None:
    """Random efficiencies, gaps and a weak block of the mMR."""
    parts = mmr_components(spread=0.2)
    parts[2][16:24, 90:98] *= 0.5
    path = write_norm(tmp_path, parts)
    bins = MMR.bins(span=11, max_ring_difference=5, count=148)
    lines = line_integrals((cylinder((0.0, 0.0, 0.0), (100.0, 100.0), 400.0),), bins, (0.05,))
    counts = lines * read_components(path).in_bins(bins)
    write_projections(tmp_path / "prompts.hs", bins, counts)
    settings = Settings(iterations=3, subsets=9, voxel_mm=(6.0, 6.0, 6.0))
    by_norm = recon(read_scan(tmp_path / "prompts.hs", Corrections(norm=path))[0], settings)
    flat = inside_of(by_norm, 0.8)
    assert flat.mean == pytest.approx(0.05, rel=0.005)
    assert max(flat.plane_spread, flat.spread) < 0.01
    live = Scan(bins, counts, live_pairs(bins))
    assert inside_of(recon(live, settings), 0.8).spread > 0.02
