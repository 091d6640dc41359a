"""Numbers are read alike whatever the language of the desktop."""

from __future__ import annotations

import pytest

pytest.importorskip("napari", reason="napari is not installed")
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from qtpy.QtCore import QLocale

from emrecon.errors import SettingsError
from emrecon.tissue.settings import Settings as TissueSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.settings import Settings
from napari_plugin.form import Form
from napari_plugin.number_box import NumberBox
from napari_plugin.plane_tools import _End
from napari_plugin.run_bar import _pace


@pytest.fixture(params=["en_US", "de_DE", "de_CH", "fr_FR"])
def language(request):
    before = QLocale()
    QLocale.setDefault(QLocale(request.param))
    yield request.param
    QLocale.setDefault(before)


TYPED = {"0.05": 0.05, "0,05": 0.05, "1.5": 1.5, "1,5": 1.5, "150": 150.0, "2e-3": 0.002}


def typed(qtbot, box: NumberBox, text: str) -> float:
    """Return the value of a box in which all is typed over."""
    box.selectAll()
    qtbot.keyClicks(box, text)
    box.interpretText()
    return float(box.value())


@pytest.mark.parametrize(("text", "value"), TYPED.items())
def test_a_point_and_a_comma_begin_decimals(qtbot, language, text, value) -> None:
    form = Form(TissueSettings(beta=0.25))
    qtbot.addWidget(form)
    spin = form.fields["beta"].widget.spin
    assert form.value().beta == 0.25
    spin.interpretText()  # what is shown is what is meant
    assert form.value().beta == 0.25
    assert typed(qtbot, spin, text) == value
    assert form.value().beta == value


def test_ends_of_a_window_may_be_negative_and_the_pace_has_a_unit(qtbot, language) -> None:
    end, pace = _End("low"), _pace()
    for box in (end, pace):
        qtbot.addWidget(box)
    assert typed(qtbot, end, "-1,5") == -1.5
    assert typed(qtbot, end, "-2.5e3") == -2500.0
    assert typed(qtbot, pace, "2,5") == 2.5
    assert typed(qtbot, pace, "2.5 /s") == 2.5


def test_a_whole_number_takes_no_decimals(qtbot, language) -> None:
    form = Form(Settings(checkpoint_every=4))
    qtbot.addWidget(form)
    assert typed(qtbot, form.fields["checkpoint_every"].widget.spin, "12") == 12
    assert form.value().checkpoint_every == 12


def test_several_numbers_with_a_comma_that_may_be_decimal_are_refused(qtbot, language) -> None:
    form, prior = Form(Settings()), Form(Penalty("rdp", 1.0))
    for one in (form, prior):
        qtbot.addWidget(one)
    voxel, beta = form.fields["voxel_mm"], prior.fields["beta"]
    for text, value in {"2.5": (2.5,), "2 2,4": None, "2.5,2.5,3": (2.5, 2.5, 3.0)}.items():
        voxel.widget.setText(text)
        if value:
            assert form.value().voxel_mm == value
        else:
            assert not voxel.check()
            assert "a comma may begin decimals" in voxel._wrong.text()
    beta.widget.spin.setText("0,5")
    with pytest.raises(SettingsError, match="a comma may begin decimals"):
        prior.value()
    beta.widget.spin.setText("0.5, 1")
    assert prior.value().beta == (0.5, 1.0)
