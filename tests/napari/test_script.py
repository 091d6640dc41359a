"""The gallery's script of napari, in a window."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "gallery" / "show_in_napari.py"

pytestmark = [pytest.mark.qt, pytest.mark.slow]


def test_the_gallerys_script_shows_its_last_update(qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    import napari
    from napari.components import ViewerModel

    viewer = ViewerModel()

    def run() -> None:
        qtbot.waitUntil(lambda: viewer.canvas.overlays.text.text == "update 24", timeout=300_000)

    monkeypatch.setattr(napari, "Viewer", lambda title: viewer)
    monkeypatch.setattr(napari, "run", run)
    names = runpy.run_path(str(SCRIPT))
    layer = viewer.layers["estimate"]
    assert np.array_equal(layer.data.swapaxes(0, 2), _last(names["problem"]))


def _last(problem) -> np.ndarray:
    import emrecon as em

    return em.last(em.until(problem.iterates(), em.after(24))).params
