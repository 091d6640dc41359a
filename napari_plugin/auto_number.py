"""A number that may be left to the program: a tick for that, a spin box, perhaps a slider."""

from __future__ import annotations

import math
import re
from typing import Any, get_args, get_origin

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from emrecon import forms
from emrecon.errors import SettingsError
from napari_plugin.number_box import NumberBox
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
    several : bool, optional
        Whether several numbers may be given.
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
        several: bool = False,
        reach: tuple[float, float] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._left, self._whole = left, whole
        self.tick = QCheckBox(word)
        self.spin: Any = _Numbers() if several else _Spin(whole=whole)
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
        for editor in self._editors:  # so that nothing moves when they are hidden
            policy = editor.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            editor.setSizePolicy(policy)

    def value(self) -> Any:  # noqa: ANN401 - a number, a word, or none
        """Return the number, or what stands for none."""
        if self.tick.isChecked():
            return self._left
        return int(self.spin.value()) if self._whole else self.spin.value()

    def fill(self, value: Any) -> None:  # noqa: ANN401 - a number, a word, or none
        """Show a value."""
        self.tick.setChecked(value == self._left)
        if value != self._left:
            self.spin.setValue(value)

    @property
    def _editors(self) -> list[QWidget]:
        """What a number is chosen with."""
        return [self.spin] if self.slider is None else [self.spin, self.slider]

    def _left_to_it(self, on: bool) -> None:  # noqa: FBT001 - a slot
        for editor in self._editors:  # what they hold is not what is taken
            editor.setVisible(not on)
        self.changed.emit()

    def _typed(self, value: float) -> None:
        if self.slider is not None and value > 0:
            with QSignalBlocker(self.slider):
                self.slider.setValue(round(math.log10(value) * _PER_DECADE))
        self.changed.emit()

    def _slid(self, place: int) -> None:
        self.spin.setValue(float(f"{10 ** (place / _PER_DECADE):.2g}"))


def auto_number(name: str, hint: Any) -> AutoNumber | None:  # noqa: ANN401 - a type
    """Return the widget of a number or one word, or of a number or none, if it is that."""
    optional, kind = forms.without_none(hint)
    if optional and kind in {int, float}:
        return AutoNumber("default", None, whole=kind is int)
    several = any(get_origin(each) is tuple for each in get_args(kind))
    kinds = [each for each in get_args(kind) if get_origin(each) is not tuple]
    words = [word for each in kinds for word in forms.choices(each)]
    if len(kinds) != 2 or kinds[0] not in {int, float} or len(words) != 1:
        return None
    options: dict[str, Any] = {"several": several, "reach": SLIDERS.get(name)}
    return AutoNumber(words[0], words[0], whole=kinds[0] is int, **options)


class _Spin(NumberBox):
    """A number of any size as it is typed; the wheel scrolls the form that it is in."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self._whole = whole
        self.setDecimals(0 if whole else _DECIMALS)
        self.setRange(0, _MOST)
        self.setValue(1.0)
        self.setMinimumWidth(60)
        if not whole:
            self.setStepType(NumberBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Return what is shown."""
        return forms.to_text(int(value) if self._whole else value)

    def wheelEvent(self, event: Any) -> None:  # noqa: ANN401, N802
        """Leave the wheel to the form."""
        event.ignore()


def number_words(text: str) -> list[str]:
    """Return the numbers of a line as they are typed, with blanks or commas between.

    Raises
    ------
    SettingsError
        If a comma may as well be in a number.
    """
    if re.search(r"\d,\d", text) and "." not in text:
        raise SettingsError(
            f"{text}: a comma may begin decimals or another number; write a point, or a blank"
        )
    return text.replace(",", " ").split()


class _Numbers(QLineEdit):  # type: ignore[misc] # Qt has no types
    """A number or several, asked and told as a spin box is."""

    valueChanged = Signal(float)  # noqa: N815 - Qt's name
    """The first of them."""

    def __init__(self) -> None:
        super().__init__("1")
        self.setMinimumWidth(60)
        self.textChanged.connect(self._typed)

    def value(self) -> float | tuple[float, ...]:
        """Return what is typed.

        Raises
        ------
        SettingsError
            If that is no number, nor several.
        """
        words = number_words(self.text())
        numbers: tuple[float, ...] = forms.from_text(words, tuple[float, ...], "")
        if not numbers:
            raise SettingsError("a number is wanted, or several with blanks between")
        return numbers[0] if len(numbers) == 1 else numbers

    def setValue(self, value: float | tuple[float, ...]) -> None:  # noqa: N802 - Qt's name
        """Show a number or several."""
        numbers = value if isinstance(value, tuple) else (value,)
        self.setText(" ".join(map(forms.to_text, numbers)))

    def _typed(self) -> None:
        try:
            value = self.value()
        except SettingsError:
            value = 0.0
        self.valueChanged.emit(value[0] if isinstance(value, tuple) else value)


def _ratio_slider(reach: tuple[float, float]) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    low, high = (round(math.log10(end) * _PER_DECADE) for end in reach)
    slider.setRange(low, high)
    return slider
