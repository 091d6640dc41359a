"""Previews, judged by the pixels of the PNG that was written."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import find_objects, label

from emrecon.errors import SettingsError, WriteError
from emrecon.io.pictures import canvas
from emrecon.io.pictures.colours import label_colour
from emrecon.io.pictures.preview import preview
from emrecon.volume import Grid, Volume

WARM = 255 - round(255 * 0.25)


def volume(voxels, spacing=(4, 4, 4), unit=""):
    voxels = np.asarray(voxels, np.float32)
    return Volume(voxels, Grid.centred(voxels.shape[-3:], spacing).affine, unit)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def panels(picture, least=2000):
    """Find the six panels of a warm image on white paper: the large boxes without white."""
    numbered, _ = label(picture.sum(axis=2) < 3 * 250)
    boxes = [box for box in find_objects(numbered) if picture[box][..., 0].size > least]
    full = [box for box in boxes if (picture[box].sum(axis=2) < 3 * 250).mean() > 0.99]
    full = [box for box in full if box[1].stop - box[1].start > 30]
    rows = sorted(full, key=lambda box: (box[0].start + box[0].stop, box[1].start))
    assert len(rows) == 6
    return [sorted(row, key=lambda box: box[1].start) for row in (rows[:3], rows[3:])]


def off_centre(picture, box, dark=40):
    """Return which way from a panel's middle its dark pixels lie: right > 0, down > 0."""
    inner = picture[box][3:-3, 3:-3].sum(axis=2)
    down, right = np.nonzero(inner < 3 * dark)
    assert right.size
    return right.mean() - inner.shape[1] / 2, down.mean() - inner.shape[0] / 2


def one_hot_corner(towards, shape=(40, 36, 44)):
    """A warm box with a hot block that reaches from the middle towards R/L, A/P and S/I."""
    voxels = np.full(shape, 0.25)
    block = [
        slice(n // 2 - 2, n - 4) if side > 0 else slice(4, n // 2 + 2)
        for n, side in zip(shape, towards, strict=True)
    ]
    voxels[tuple(block)] = 1
    return volume(voxels)


@pytest.mark.parametrize("towards", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_nothing_is_mirrored(tmp_path, towards):
    preview(one_hot_corner(towards), tmp_path / "a.png")
    picture = pixels(tmp_path / "a.png")
    right, front, up = towards
    # Axial and coronal: R on the left; sagittal: A on the left; A and S on top.
    wanted = [(-right, -front), (-right, -up), (-front, -up)]
    for row in panels(picture):
        for box, (x, y) in zip(row, wanted, strict=True):
            dx, dy = off_centre(picture, box)
            assert dx * x > 20
            assert dy * y > 20


def test_the_way_the_axes_are_stored_does_not_show(tmp_path):
    ras = one_hot_corner((1, -1, 1))
    i, j, k = (n - 1 for n in ras.voxels.shape)
    lps = np.array([[-1, 0, 0, i], [0, -1, 0, j], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    kij = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, k], [0, 0, 0, 1.0]])
    stored = [
        ras,
        Volume(np.ascontiguousarray(ras.voxels[::-1, ::-1]), ras.affine @ lps),
        Volume(np.ascontiguousarray(ras.voxels[:, :, ::-1].transpose(2, 0, 1)), ras.affine @ kij),
    ]
    pictures = []
    for number, one in enumerate(stored):
        preview(one, tmp_path / f"{number}.png", title="same")
        pictures.append(pixels(tmp_path / f"{number}.png"))
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])


def test_panels_are_true_to_scale_in_mm(tmp_path):
    voxels = np.full((20, 30, 50), 0.25)
    voxels[10, 15, 25] = 1
    preview(volume(voxels, (6, 3, 2.5)), tmp_path / "a.png")
    x, y, z = 120, 90, 125
    for row in panels(pixels(tmp_path / "a.png")):
        sizes = [(b[1].stop - b[1].start - 2, b[0].stop - b[0].start - 2) for b in row]
        scale = sizes[0][0] / x  # the hairline frame is two of the pixels
        wanted = [(x, y), (x, z), (y, z)]
        np.testing.assert_allclose(sizes, np.multiply(wanted, scale), atol=1.5)


def test_projections_show_what_the_slices_miss(tmp_path):
    voxels = np.full((40, 40, 40), 0.25)
    voxels[30:34, 30:34, 30:34] = 1
    preview(volume(voxels), tmp_path / "a.png", window=(0, 1))
    picture = pixels(tmp_path / "a.png")
    slices, projections = panels(picture)
    for box in slices:
        np.testing.assert_allclose(picture[box][5:-5, 5:-5], WARM, atol=1)
    for box in projections:
        dx, dy = off_centre(picture, box)
        side = box[1].stop - box[1].start
        # Centre of voxels 30 ... 33 of 40 lies 12 / 40 of the side off the middle.
        assert (-dx / side, -dy / side) == pytest.approx((0.3, 0.3), abs=0.01)


def test_greys_follow_the_window(tmp_path):
    voxels = np.full((10, 10, 10), 3.0)
    for inverted, wanted in ((True, 255 * 0.75), (False, 255 * 0.25)):
        preview(volume(voxels), tmp_path / "a.png", window=(2, 6), inverted=inverted)
        picture = pixels(tmp_path / "a.png")
        share = (np.abs(picture - wanted) <= 1).all(axis=2).mean()
        assert share > 0.4  # the panels
        paper = picture[0, 0].sum()
        assert (paper > 700) == inverted


def test_usual_window_is_0_to_the_999th_permille_of_the_object(tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr(canvas, "write", lambda page, path: pages.append(page))
    values = np.arange(8000.0).reshape(20, 20, 20)
    spot = np.zeros((20, 20, 20))
    spot[3, 3, 3] = 5
    below = -1 - np.arange(8.0).reshape(2, 2, 2)
    for voxels in (values, spot, 0 * spot, below, np.full((2, 2, 2), -5)):
        preview(volume(voxels), tmp_path / "a.png")
    windows = [(page.bar.low, page.bar.high) for page in pages]
    assert windows[0] == (0, pytest.approx(np.percentile(values[values > 79.99], 99.9)))
    assert windows[1:] == [(0, 5), (0, 1), (-8, -1), (-5, -4)]


def test_frames_are_averaged_and_gaps_counted_in_words(tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr(canvas, "write", lambda page, path: pages.append(page))
    frames = np.stack([np.full((8, 8, 8), value) for value in (1.0, 2.0, 6.0)])
    holes = np.ones((8, 8, 8))
    holes[0, 0, :2] = np.nan, np.inf
    oblique = volume(np.ones((8, 8, 8)))
    turn = np.eye(4)
    turn[:2, :2] = [[0.96, -0.28], [0.28, 0.96]]
    preview(volume(frames, unit="Bq/mL"), tmp_path / "a.png")
    preview(volume(holes), tmp_path / "a.png", window=(0, 2))
    preview(Volume(oblique.voxels, turn @ oblique.affine), tmp_path / "a.png")
    assert pages[0].bar == canvas.Bar(0, 3, "Bq/mL")
    assert "mean of 3 frames" in pages[0].notes
    preview(volume(frames * 3896.6), tmp_path / "a.png")
    assert "shown from 0 to 11690 (99.9th percentile)" in pages[-1].notes
    assert "shown from 0 to 3 Bq/mL (99.9th percentile)" in pages[0].notes
    assert "2 voxels not finite, shown as lowest" in pages[1].notes
    assert "oblique, shown along its own axes" in pages[2].notes
    assert pages[2].rows[0][0].heading == "Axial, plane 5 of 8"
    assert pages[0].rows[0][1].heading == "Coronal, y = 2.0 mm"


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((1, 1, 1), (4, 4, 4)),
        ((3, 2, 2), (0.5, 0.5, 0.5)),
        ((64, 64, 1), (4, 4, 3)),
        ((1, 64, 64), (3, 4, 4)),
        ((40, 40, 400), (5, 5, 5)),
    ],
)
def test_all_shapes_give_a_readable_page_with_clean_margins(tmp_path, shape, spacing):
    voxels = np.random.default_rng(1).uniform(0, 1, shape)
    title = "OSEM 4 x 21 subsets, " * 12 + "x" * 300 + " \N{MICRO SIGN}Ci \N{SNOWMAN}"
    preview(volume(voxels, spacing, "kBq/mL"), tmp_path / "a.png", title=title)
    picture = pixels(tmp_path / "a.png")
    assert 700 < picture.shape[1] < 2000
    assert 400 < picture.shape[0] < 2100
    edge = 12
    for strip in (picture[:edge], picture[-edge:], picture[:, :edge], picture[:, -edge:]):
        assert strip.min() == 255  # nothing is cut off
    assert (picture < 250).any(axis=2).sum() > 5000


def test_scale_bar_is_five_cm_long(tmp_path):
    voxels = np.full((50, 40, 30), 0.25)
    voxels[25, 20, 15] = 1
    preview(volume(voxels), tmp_path / "a.png")
    picture = pixels(tmp_path / "a.png")
    axial = panels(picture)[0][0]
    wanted = (axial[1].stop - axial[1].start - 2) / 200 * 50
    under = picture[panels(picture)[1][0][0].stop + canvas.LETTERS :].sum(axis=2)
    lengths = []
    for line in under < 300:
        ends = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
        lengths += list(ends[1::2] - ends[::2])
    assert max(lengths) == pytest.approx(wanted, abs=1)


def test_outlines_lie_where_the_labels_end(tmp_path):
    image = volume(np.full((40, 40, 40), 0.25))
    fine = Grid.centred((80, 80, 80), (2, 2, 2))
    labels = np.zeros(fine.shape, np.float32)
    labels[38:60, 30:70, 20:60] = 5  # to the right by 40 mm, to the front by 60 mm
    there = Volume(labels, fine.affine)
    preview(image, tmp_path / "a.png", window=(0, 1), labels=there, names={5: "liver"})
    picture = pixels(tmp_path / "a.png")
    outlined, plain = panels(picture)
    axial = picture[outlined[0]]
    colour = np.ptp(axial, axis=2) > 30
    rows, columns = np.nonzero(colour)
    side = axial.shape[1]
    # R is on the left, A on top: both count from the end of the 80 voxels.
    assert (columns.min() / side, columns.max() / side) == pytest.approx(
        (20 / 80, 42 / 80), abs=0.02
    )
    assert (rows.min() / side, rows.max() / side) == pytest.approx((10 / 80, 50 / 80), abs=0.02)
    assert colour.mean() < 0.05  # an outline, not a filling
    own = np.array([int(label_colour(5)[n : n + 2], 16) for n in (1, 3, 5)])
    assert (axial == own).all(axis=2).sum() > 1000
    assert not (np.ptp(picture[plain[0]], axis=2) > 30).any()  # what lies under it is seen below
    legend = picture[plain[0][0].stop + canvas.LETTERS :]
    assert (legend == own).all(axis=2).sum() > 150


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 3.7), (-5, 40), (0, 2.3e-7), (1e6, 9e6)])
def test_ticks_are_round_and_inside(low, high):
    values = [value for value, _ in canvas.ticks(low, high)]
    assert 3 <= len(values) <= 9
    assert low - 1e-9 * high <= values[0]
    assert values[-1] <= high * (1 + 1e-9)
    for value, text in canvas.ticks(low, high):
        assert float(text) == pytest.approx(value, rel=1e-5, abs=1e-12)


def test_refusals_leave_nothing_behind(tmp_path):
    image = volume(np.ones((4, 4, 4)))
    with pytest.raises(SettingsError, match=r"\.png"):
        preview(image, tmp_path / "a.jpg")
    with pytest.raises(SettingsError, match="lower to a higher"):
        preview(image, tmp_path / "a.png", window=(3, 3))
    with pytest.raises(SettingsError, match="lower to a higher"):
        preview(image, tmp_path / "a.png", window=(0, np.nan))
    with pytest.raises(WriteError, match="cannot write"):
        preview(image, tmp_path / "missing" / "a.png")
    assert not list(tmp_path.iterdir())
