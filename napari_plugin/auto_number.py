"""A number that may be left to the program: a tick for that, a spin box, perhaps a slider."""

from __future__ import annotations

import math
from typing import Any, get_args

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from emrecon import forms
from napari_plugin.suggestions import SLIDERS

_MOST = 1e9
_DECIMALS = 15
_PER_DECADE = 20


class AutoNumber(QWidget):
    """Edits a number or a word that stands for what the program takes by itself.

    Parameters
    ----------
    word : str
        Caption of the tick.
    left : object
        The value where it is ticked: the word itself, or None.
    whole : bool
        Whether the number is a whole one.
    reach : tuple of float, optional
        Least and greatest value of a slider, whose steps are ratios; none without.
    parent : QWidget, optional
        Qt's parent.
    """

    changed = Signal()

    def __init__(
        self,
        word: str,
        left: Any,  # noqa: ANN401 - of any kind
        *,
        whole: bool,
        reach: tuple[float, float] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._left, self._whole = left, whole
        self.tick = QCheckBox(word)
        self.spin = _Spin(whole=whole)
        self.slider = None if reach is None else _ratio_slider(reach)
        self.tick.toggled.connect(self._left_to_it)
        self.spin.valueChanged.connect(self._typed)
        row = QHBoxLayout()
        row.setSpacing(3)
        row.addWidget(self.tick)
        row.addWidget(self.spin, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row)
        if self.slider is not None:
            self.slider.valueChanged.connect(self._slid)
            column.addWidget(self.slider)

    def value(self) -> Any:  # noqa: ANN401 - a number, a word, or none
        """Return the number, or what stands for none."""
        if self.tick.isChecked():
            return self._left
        return int(self.spin.value()) if self._whole else float(self.spin.value())

    def fill(self, value: Any) -> None:  # noqa: ANN401 - a number, a word, or none
        """Show a value."""
        self.tick.setChecked(value == self._left)
        if value != self._left:
            self.spin.setValue(value)

    def _left_to_it(self, on: bool) -> None:  # noqa: FBT001 - a slot
        self.spin.setEnabled(not on)
        if self.slider is not None:
            self.slider.setEnabled(not on)
        self.changed.emit()

    def _typed(self, value: float) -> None:
        if self.slider is not None and value > 0:
            with QSignalBlocker(self.slider):
                self.slider.setValue(round(math.log10(value) * _PER_DECADE))
        self.changed.emit()

    def _slid(self, place: int) -> None:
        self.spin.setValue(float(f"{10 ** (place / _PER_DECADE):.2g}"))


def auto_number(name: str, hint: Any) -> AutoNumber | None:  # noqa: ANN401 - a type
    """Return the widget of a number or one word, or of a whole number or none, if it is that."""
    optional, kind = forms.without_none(hint)
    if optional and kind is int:
        return AutoNumber("default", None, whole=True)
    kinds = get_args(kind)
    words = [word for each in kinds for word in forms.choices(each)]
    if len(kinds) != 2 or kinds[0] not in {int, float} or len(words) != 1:
        return None
    return AutoNumber(words[0], words[0], whole=kinds[0] is int, reach=SLIDERS.get(name))


class _Spin(QDoubleSpinBox):  # type: ignore[misc] # Qt has no types
    """A number of any size as it is typed; the wheel scrolls the form that it is in."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self._whole = whole
        self.setDecimals(0 if whole else _DECIMALS)
        self.setRange(0, _MOST)
        self.setValue(1.0)
        self.setMinimumWidth(60)
        if not whole:
            self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Return what is shown."""
        return forms.to_text(int(value) if self._whole else value)

    def wheelEvent(self, event: Any) -> None:  # noqa: ANN401, N802
        """Leave the wheel to the form."""
        event.ignore()


def _ratio_slider(reach: tuple[float, float]) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    low, high = (round(math.log10(end) * _PER_DECADE) for end in reach)
    slider.setRange(low, high)
    return slider
