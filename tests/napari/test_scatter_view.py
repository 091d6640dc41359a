"""The charts of scatter as they are seen: lines in the colours that their legends name."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PIL import Image
from qtpy.QtGui import QColor

from emrecon.io.pictures.profiles import Chart, Line
from emrecon.jobs import recon_scatter
from napari_plugin import scatter_view
from napari_plugin.plot import LINES
from napari_plugin.scatter_view import ScatterView


def picture(widget, path):
    """Return the pixels of a widget as it is drawn, shape (rows, columns, 3)."""
    assert widget.grab().save(str(path))
    return np.asarray(Image.open(path).convert("RGB"), int)


def rows_of(pixels, colour: str):
    """Return the rows in which a colour is drawn."""
    wanted = QColor(colour).getRgb()[:3]
    near = np.abs(pixels - wanted).max(axis=-1) < 16
    return np.flatnonzero(near.any(axis=1))


def chart(title: str, values: dict[str, float], *, logarithmic: bool = False) -> Chart:
    """Return a chart of flat lines."""
    colours = {
        "prompts": recon_scatter.PROMPTS, "randoms": recon_scatter.RANDOMS,
        "predicted": recon_scatter.PREDICTED, "fitted": recon_scatter.FITTED,
    }  # fmt: skip
    lines = [Line(n, np.full(20, value), colours[n]) for n, value in values.items()]
    return Chart(title, lines, logarithmic)


def test_lines_are_drawn_in_the_colours_of_their_legend(qtbot, monkeypatch, tmp_path) -> None:
    """Whichever lines a chart has, and in whatever order; higher values are higher up."""
    every = [
        chart("all", {"prompts": 900.0, "randoms": 200.0, "predicted": 400.0, "fitted": 600.0},
              logarithmic=True),
        chart("no randoms", {"prompts": 900.0, "fitted": 600.0, "predicted": 300.0}),
    ]  # fmt: skip
    monkeypatch.setattr(scatter_view, "scatter_charts", lambda held: every)

    class Result:
        images = ()

    view = ScatterView()
    qtbot.addWidget(view.widget)
    view.widget.resize(400, 500)
    assert view.put(Result())
    with qtbot.waitExposed(view.widget):
        view.widget.show()
    for one, plot, head in zip(every, view.plots, view._heads, strict=True):
        pixels, legend = (picture(seen, tmp_path / "seen.png") for seen in (plot, head))
        heights = {}
        for line in one.lines:
            rows = rows_of(pixels, LINES[line.colour])
            assert 0 < len(rows) < 8, (one.title, line.name)  # one flat line, and no other
            heights[line.name] = rows.mean()
            assert len(rows_of(legend, LINES[line.colour])) > 3, (one.title, line.name)
        by_height = sorted(heights, key=lambda name: heights[name])
        assert by_height == [line.name for line in sorted(one.lines, key=lambda x: -x.values[0])]
        for other in set(LINES) - {LINES[line.colour] for line in one.lines}:
            assert not len(rows_of(pixels, other))
    assert not view.put(None)
    assert all(plot.isHidden() for plot in view.plots)
