"""Films hold what was shown, in order; what cannot be written is refused in words."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PIL import Image, ImageSequence

from emrecon.errors import EmreconError
from napari_plugin import film
from tests.napari.test_canvas import pytestmark, viewer  # noqa: F401 - a fixture, marks


def test_a_gif_has_the_pictures_in_order_and_goes_on(tmp_path):
    pictures = [np.full((40, 60, 3), 40 * n, np.uint8) for n in range(5)]
    film.write_film(tmp_path / "f.gif", pictures, 5)
    with Image.open(tmp_path / "f.gif") as made:
        assert made.info["loop"] == 0
        shown = [np.array(one.convert("RGB")) for one in ImageSequence.Iterator(made)]
        times = [one.info["duration"] for one in ImageSequence.Iterator(made)]
    assert [int(one[20, 30, 0]) for one in shown] == [0, 40, 80, 120, 160]
    assert times == [200] * 4 + [1500]


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # ffmpeg's own pipes
def test_an_mp4_has_the_pictures_in_order_whatever_their_size(tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    import imageio.v2 as imageio

    pictures = [np.full((41, 61, 3), 40 * n, np.uint8) for n in range(5)]
    film.write_film(tmp_path / "f.mp4", pictures, 5)
    with imageio.get_reader(tmp_path / "f.mp4") as made:
        shown = [int(one[20, 30, 0]) for one in made]
        assert made.get_meta_data()["fps"] == 5
    np.testing.assert_allclose(shown, [0, 40, 80, 120, 160], atol=4)


@pytest.mark.parametrize(("name", "words"), [("f.avi", "is no film"), ("f.mp4", "imageio-ffmpeg")])
def test_what_cannot_be_written_is_refused_in_words(tmp_path, monkeypatch, name, words):
    monkeypatch.setattr(film, "find_spec", lambda _: None)
    with pytest.raises(EmreconError, match=words):
        film.write_film(tmp_path / name, [np.zeros((2, 2, 3), np.uint8)])
    assert not list(tmp_path.iterdir())


def test_the_canvas_is_filmed_scene_by_scene(qtbot, viewer, tmp_path, monkeypatch):  # noqa: F811
    said = []
    monkeypatch.setattr(film, "show_info", said.append)
    layer = viewer.add_image(np.zeros((4, 4, 4), np.float32), contrast_limits=(0, 1))
    from qtpy.QtWidgets import QWidget

    parent = QWidget()
    qtbot.addWidget(parent)
    filming = film.Filming(viewer, parent)

    def scene(value):
        return lambda: setattr(layer, "data", np.full((4, 4, 4), value, np.float32))

    with qtbot.waitSignal(filming.ended, timeout=180_000):
        filming.film(tmp_path / "f.gif", [scene(0.0), scene(0.5), scene(1.0)], scene(0.25))
    assert layer.data.max() == 0.25  # what was seen before
    with Image.open(tmp_path / "f.gif") as made:
        shown = [np.array(one.convert("RGB")) for one in ImageSequence.Iterator(made)]
    high, wide = shown[0].shape[:2]
    middle = [int(one[high // 2, wide // 2, 0]) for one in shown]
    assert middle[0] < 10 < middle[1] - 60 < middle[2] - 120
    assert said == ["wrote f.gif, 3 pictures"]
