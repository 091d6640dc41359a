"""Films of the canvas: iterations or frames, as GIF, or as MP4 where ffmpeg is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_error, show_info
from numpy.typing import NDArray
from PIL import Image as Pillow
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from emrecon.errors import EmreconError, SettingsError, WriteError
from emrecon.files import replacing

Picture = NDArray[np.uint8]
"""Rows, columns, and red, green, blue."""

Scene = Callable[[], object]
"""Shows something on the canvas."""

MOST_WIDE = 800
"""Columns of a film: a wider canvas is made smaller."""

HZ = 4
"""Pictures a second."""

_COLOURS = 256
_LAST_S = 1.5
_FFMPEG = "imageio_ffmpeg"


def check_film(path: Path) -> None:
    """Refuse the name of a film that cannot be written.

    Raises
    ------
    SettingsError
        If it ends like no film, or needs what is not installed.
    """
    if path.suffix.lower() not in {".gif", ".mp4"}:
        raise SettingsError(f"{path.name} is no film: a name that ends in .gif or .mp4 is wanted")
    if path.suffix.lower() == ".mp4" and find_spec(_FFMPEG) is None:
        raise SettingsError(
            "MP4 needs the package imageio-ffmpeg, which is not installed: type "
            "`pip install imageio-ffmpeg`, or choose a name that ends in .gif"
        )


def write_film(path: Path, pictures: Sequence[Picture], hz: float = HZ) -> None:
    """Write a film; it goes on from the beginning where that can be said, after its last picture.

    Raises
    ------
    EmreconError
        If it cannot be written; an earlier file is left as it was.
    """
    check_film(path)
    if not pictures:
        raise WriteError(f"{path.name} would be empty: there is no picture")
    with replacing(path) as beside:
        if path.suffix.lower() == ".gif":
            _gif(beside, pictures, hz)
        else:
            _mp4(beside, pictures, hz)


def _gif(path: Path, pictures: Sequence[Picture], hz: float) -> None:
    first, *rest = (Pillow.fromarray(one).quantize(_COLOURS) for one in pictures)
    times = [round(1000 / hz)] * len(rest) + [round(1000 * _LAST_S)]
    first.save(path, save_all=True, append_images=rest, duration=times, loop=0, format="GIF")


def _mp4(path: Path, pictures: Sequence[Picture], hz: float) -> None:
    import imageio.v2 as imageio  # noqa: PLC0415 - seldom used

    height, width = (size // 2 * 2 for size in pictures[0].shape[:2])  # its colours are in twos
    film: Any = imageio.get_writer(path, format="FFMPEG", fps=hz, macro_block_size=2)
    with film:
        for picture in pictures:
            film.append_data(picture[:height, :width])


class Filming(QObject):
    """Shows one thing after another, takes a picture of the canvas of each, and writes the film.

    Parameters
    ----------
    viewer : Viewer
        Whose canvas.
    parent : QWidget
        Qt's parent; closing it ends the filming, and nothing is written.
    """

    ended = Signal()

    def __init__(self, viewer: Any, parent: QWidget) -> None:  # noqa: ANN401 - napari's
        super().__init__(parent)
        self._viewer = viewer
        self._left: list[Scene] = []
        self._pictures: list[Picture] = []
        self._path = Path()
        self._then: Scene = lambda: None
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._next)

    @property
    def on(self) -> bool:
        """Whether it films."""
        return bool(self._timer.isActive())

    def ask(self, scenes: Sequence[Scene], then: Scene = lambda: None) -> None:
        """Ask for a file, and film; then show again what was seen."""
        name, _ = QFileDialog.getSaveFileName(
            self.parent(), "Save a film of the canvas", "film.gif", "Films (*.gif *.mp4)"
        )
        if name:
            self.film(Path(name), scenes, then)

    def film(self, path: Path, scenes: Sequence[Scene], then: Scene = lambda: None) -> None:
        """Film what each scene shows, then show again what was seen; refuses what is no film."""
        try:
            check_film(path)
        except EmreconError as error:
            show_error(str(error))
            return
        self._path, self._left, self._pictures, self._then = path, list(scenes), [], then
        self._timer.start()

    def _next(self) -> None:
        """Take one picture at a time: the window stays quick."""
        if self._left:
            self._left.pop(0)()
            self._pictures.append(_canvas(self._viewer))
            return
        self._timer.stop()
        self._then()
        pictures, self._pictures = self._pictures, []
        try:
            write_film(self._path, pictures)
        except EmreconError as error:
            show_error(str(error))
        else:
            show_info(f"wrote {self._path.name}, {len(pictures)} pictures")
        self.ended.emit()


def _canvas(viewer: Any) -> Picture:  # noqa: ANN401 - napari's
    """Return the canvas, no wider than a film, with even numbers of rows and columns."""
    picture = Pillow.fromarray(viewer.screenshot(canvas_only=True, flash=False)).convert("RGB")
    if picture.width > MOST_WIDE:
        picture = picture.resize((MOST_WIDE, round(picture.height * MOST_WIDE / picture.width)))
    return np.asarray(picture)[: picture.height // 2 * 2, : picture.width // 2 * 2]
