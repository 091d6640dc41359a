"""Tools of the orthogonal views: go to a place, window in numbers, ruler, projection, cine."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from emrecon import forms
from emrecon.errors import SettingsError
from napari_plugin.cine import FIRST_HZ
from napari_plugin.layout import button, row
from napari_plugin.number_box import NumberBox
from napari_plugin.theme import colours_of

_MOST = 1e12

_NOTHING = 1e-5
"""Share of a window's width that is shown as 0, as its figures would not fit."""


class PlaneTools(QWidget):
    """What is done to the orthogonal views beside the mouse.

    Parameters
    ----------
    parent : QWidget, optional
        Qt's parent.
    """

    wanted = Signal(float, float, float)
    """A place to go to, R, A, S in mm."""

    windowed = Signal(float, float)
    """Lower and upper end of the window that is wanted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.place = QLineEdit()
        self.place.setObjectName("place")
        self.place.setPlaceholderText("R A S in mm")
        self.place.setToolTip("Type three numbers and Enter to go to that place")
        self.maximum = button("maximum", "Maximum", "Go to the greatest value of the image")
        self.reset = button("reset-view", "Reset", "Show all of the image, in its usual window")
        self.ruler = _toggle("ruler", "Ruler", "Drag a line in a plane to read its length")
        self.projection = _toggle(
            "projection", "MIP", "Maximum intensity projection, which turns about the axis S"
        )
        self.cine = _toggle("cine", "Cine", "Go through the frames, again and again")
        self.rate = QSpinBox()
        self.rate.setObjectName("rate")
        self.rate.setRange(1, 25)
        self.rate.setValue(FIRST_HZ)
        self.rate.setSuffix(" /s")
        self.rate.setToolTip("Frames a second")
        self.film = button("film-frames", "Film…", "Save the frames as a film of the canvas")
        self.low, self.high = _End("low"), _End("high")
        self.unit = QLabel("")
        self.place.returnPressed.connect(self._go)
        for end in (self.low, self.high):
            end.valueChanged.connect(self._window)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(3)
        whole.addLayout(row(self.place, self.maximum, self.reset))
        whole.addLayout(row(self.ruler, self.projection, self.cine, self.rate, self.film))
        whole.addLayout(row(QLabel("Window"), self.low, QLabel("to"), self.high, self.unit))

    def show_window(self, limits: tuple[float, float] | None, unit: str) -> None:
        """Show a window in its unit; None where there is none."""
        ends = limits or (0.0, 0.0)
        least = _NOTHING * (ends[1] - ends[0])
        for end, value in zip((self.low, self.high), ends, strict=True):
            end.setEnabled(limits is not None)
            with QSignalBlocker(end):
                end.setValue(value if abs(value) > least else 0.0)
        self.unit.setText(unit)

    def show_frames(self, count: int) -> None:
        """Offer cine where there are frames."""
        for each in (self.cine, self.rate, self.film):
            each.setVisible(count > 1)
        if count < 2:
            self.cine.setChecked(False)

    def _go(self) -> None:
        """Read the place, and mark what is none."""
        words = self.place.text().replace(",", " ").split()
        try:
            r, a, s = forms.from_text(words, tuple[float, float, float], "Place")
        except SettingsError as error:
            self.place.setStyleSheet(f"border: 1px solid {colours_of(self).wrong}")
            self.place.setToolTip(str(error))
            return
        self.place.setStyleSheet("")
        self.wanted.emit(r, a, s)

    def _window(self, _: float) -> None:
        low, high = float(self.low.value()), float(self.high.value())
        if high > low:
            self.windowed.emit(low, high)


class _End(NumberBox):
    """An end of a window, of any size, in few figures."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setRange(-_MOST, _MOST)
        self.setDecimals(9)
        self.setMinimumWidth(60)
        self.setKeyboardTracking(False)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.setToolTip(f"{name.capitalize()} end of the window")

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Return what is shown."""
        return f"{value:.5g}"


def _toggle(name: str, caption: str, text: str) -> Any:  # noqa: ANN401 - a button
    toggle = button(name, caption, text)
    toggle.setCheckable(True)
    return toggle
