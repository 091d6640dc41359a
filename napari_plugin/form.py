"""A form made from a settings dataclass: one line a field, its docstring as the tooltip.

What is wrong is red as soon as it is typed, and the words of the refusal stand under it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_origin

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from emrecon import forms
from emrecon.errors import EmreconError, SettingsError
from napari_plugin.auto_number import AutoNumber, auto_number, number_words
from napari_plugin.file_chooser import WIDE, Choices, FileChooser
from napari_plugin.layout import Section, lines
from napari_plugin.suggestions import ADVANCED, BLANK, BY_SCAN, SUGGESTIONS
from napari_plugin.theme import colours_of, follow

T = TypeVar("T")

_UNITS = {
    **{unit: unit for unit in ("mm", "deg", "ps", "s", "h", "cps")},
    "kvp": "kVp",
    "kev": "keV",
    "us": "\N{MICRO SIGN}s",
}
_SPELT = {
    word.lower(): word
    for word in ("PSF", "FWHM", "CT", "TOF", "PET", "STIR", "SUV", "MBq", "MLAA", "cps")
}
_MOST = 10**6

_SELDOM = "Advanced"

_SHARED = ("example:", "layer:")
"""What begins the words that stand for something else than a file."""


def caption(name: str) -> str:
    """Return a field's name as a person reads it, its unit in brackets."""
    words = name.split("_")
    unit = _UNITS.get(words[-1]) if len(words) > 1 else None
    plain = words[:-1] if unit else words
    text = " ".join(_SPELT.get(word, word) for word in plain)
    text = text if words[0] in _SPELT else text[:1].upper() + text[1:]
    return f"{text} ({unit})" if unit else text


class Form(QWidget, Generic[T]):
    """Edits a dataclass.

    Parameters
    ----------
    value : dataclass
        What is shown first; fields left blank take its values.
    choices : callable, optional
        What files may be chosen from.
    parent : QWidget, optional
        Qt's parent.
    """

    changed = Signal()

    def __init__(
        self, value: T, choices: Choices | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._kind = type(value)
        self.fields: dict[str, Field] = {}
        hints, texts = forms.types_of(self._kind), forms.helps(self._kind)  # type: ignore[arg-type] # classes are hashable
        words = forms.words_for_paths(self._kind)  # type: ignore[arg-type] # likewise
        self._whole = QVBoxLayout(self)
        self._whole.setContentsMargins(4, 4, 4, 4)
        self._rows = lines()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._whole.addLayout(self._rows)
        self.sections: dict[str, Section] = {}
        for item in fields(value):  # type: ignore[arg-type] # T is a dataclass
            name, text = item.name, texts.get(item.name, "")
            default, instead = getattr(value, name), words.get(name, ())
            field = Field(name, hints[name], default, choices, instead)
            none = f"<p>{forms.NONE_HELP}</p>" if forms.NONE in instead else ""
            field.widget.setToolTip(f"<p>{text}</p>{none}")
            self.fields[name] = field
            self._layout_for(name, texts).addRow(field.caption, field.holder)
            field.connect(self._changed)
        self.wrong = _complaint()
        self._whole.addWidget(self.wrong)
        self._whole.addStretch(1)

    def value(self) -> T:
        """Return what is filled in.

        Raises
        ------
        SettingsError
            If it makes no sense; the message names the field.
        """
        values = {name: field.value() for name, field in self.fields.items()}
        return forms.with_paths(self._kind(**values), Path.expanduser)

    def fill(self, value: T) -> None:
        """Show a value."""
        for name, field in self.fields.items():
            field.fill(getattr(value, name))
        for title, section in self.sections.items():
            inside = [n for n, f in self.fields.items() if section.isAncestorOf(f.holder)]
            section.unfold(title != _SELDOM and any(not self.fields[n].blank for n in inside))

    def check(self) -> bool:
        """Mark what is wrong; return whether nothing is."""
        self.wrong.hide()
        right = [field.check() for field in self.fields.values()]
        if not all(right):
            return False
        try:
            self.value()
        except EmreconError as error:
            self._blame(str(error))
            return False
        return True

    def _changed(self) -> None:
        self.check()
        self.changed.emit()

    def _blame(self, words: str) -> None:
        """Say what is wrong under the field that it names, or else under all of them."""
        named = [name for name in self.fields if re.search(rf"\b{name}\b", words)]
        for name in named:
            words = re.sub(rf"\b{name}\b", self.fields[name].caption, words)
        if named:
            self.fields[named[0]].complain(words)
            return
        self.wrong.setText(words)
        self.wrong.show()

    def _layout_for(self, name: str, texts: dict[str, str]) -> QFormLayout:
        """Return where a field goes: "Gamma cameras: ..." begins the texts of that section's."""
        head, colon, _ = texts.get(name, "").partition(": ")
        alike = sum(text.startswith(f"{head}: ") for text in texts.values())
        if name in ADVANCED:
            head = _SELDOM
        elif not colon or len(head.split()) > 2 or alike < 2:  # one alone is no section
            return self._rows
        if head not in self.sections:
            self.sections[head] = Section(head, self)
            self._whole.addWidget(self.sections[head])
        return self.sections[head].rows


class Field:
    """One line of a form: the widget for a type, and what is in it.

    Parameters
    ----------
    name : str
        Of the field.
    hint : type
        Any that `emrecon.forms.from_text` reads; of paths, one or several.
    default : object
        What is shown first, and taken where the line is blank.
    choices : callable, optional
        What files may be chosen from.
    instead : tuple of str, optional
        Words that may stand in place of a file.
    """

    def __init__(
        self, name: str, hint: Any, default: Any, choices: Choices | None,  # noqa: ANN401
        instead: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._instead = instead
        self.caption, self._hint, self._default = caption(name), hint, default
        optional, kind = forms.without_none(hint)
        self._many = get_origin(kind) is tuple
        self._paths = self._many and get_args(kind)[0] is Path
        self._free = not optional and name in SUGGESTIONS
        answer = _Answer() if optional and kind is bool else None
        self.widget = auto_number(name, hint) or answer or self._widget(name, kind, choices)
        self.widget.setObjectName(name)
        self._input = self._within()
        self.holder, self._wrong = QWidget(), _complaint()
        column = QVBoxLayout(self.holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.widget)
        column.addWidget(self._wrong)
        self.fill(default)

    @property
    def blank(self) -> bool:
        """Whether it holds its default."""
        try:
            return bool(self.value() == self._default)
        except EmreconError:
            return False

    def check(self) -> bool:
        """Mark the line if it makes no sense; return whether it does."""
        try:
            value = self.value()
            paths = value if isinstance(value, tuple) else (value,)
            for path in paths:
                if isinstance(path, Path) and not self._known(path):
                    raise SettingsError(f"there is no {path}")
        except EmreconError as error:
            self.complain(str(error))
            return False
        self._input.setStyleSheet("")
        self._wrong.hide()
        return True

    def complain(self, words: str) -> None:
        """Mark the line as wrong, and say why."""
        colour = colours_of(self._wrong).wrong
        self._input.setStyleSheet(f"border: 1px solid {colour}")
        self._wrong.setText(words.removeprefix(f"{self.caption}: "))
        self._wrong.show()

    def connect(self, slot: Callable[[], object]) -> None:
        """Call a slot after every change."""
        if isinstance(self.widget, AutoNumber):
            self.widget.changed.connect(slot)
        elif isinstance(self._input, QCheckBox):
            self._input.toggled.connect(lambda _: slot())
        elif isinstance(self._input, QSpinBox):
            self._input.valueChanged.connect(lambda _: slot())
        elif isinstance(self._input, QComboBox):
            self._input.currentTextChanged.connect(lambda _: slot())
        else:
            self._input.textChanged.connect(lambda _: slot())

    def fill(self, value: Any) -> None:  # noqa: ANN401 - any type
        """Show a value."""
        if isinstance(self.widget, AutoNumber):
            self.widget.fill(value)
        elif isinstance(self._input, _Answer):
            self._input.setCurrentIndex(self._input.VALUES.index(value))
        elif isinstance(self._input, QCheckBox):
            self._input.setChecked(bool(value))
        elif isinstance(self._input, QSpinBox):
            self._input.setValue(int(value))
        elif isinstance(self.widget, FileChooser) or self._free:
            self._input.setEditText(self._text(value))
        elif isinstance(self._input, QComboBox):
            self._input.setCurrentText(forms.to_text(value))
        else:
            self._input.setText(self._text(value))

    def value(self) -> Any:  # noqa: ANN401 - any type
        """Return what is filled in; the default where nothing is.

        Raises
        ------
        SettingsError
            If it is not of the field's type; the message begins with the caption.
        """
        if isinstance(self._input, QCheckBox):
            return self._input.isChecked()
        if isinstance(self.widget, AutoNumber | QSpinBox | _Answer):
            return self.widget.value()
        if isinstance(self.widget, FileChooser) and not self._many:
            return self.widget.path()
        if isinstance(self.widget, FileChooser) and self.widget.is_listed:
            return (self.widget.path(),)
        box = isinstance(self._input, QComboBox)
        text = str(self._input.currentText() if box else self._input.text()).strip()
        if not text:
            return self._default
        return forms.from_text(self._words(text) if self._many else text, self._hint, self.caption)

    def _known(self, path: Path) -> bool:
        """Return whether a path is a word, or something that is there."""
        text = str(path)
        return text in self._instead or text.startswith(_SHARED) or path.expanduser().exists()

    def _within(self) -> Any:  # noqa: ANN401 - a widget
        """Return the widget in which something is typed or chosen."""
        if isinstance(self.widget, FileChooser):
            return self.widget.box
        return self.widget.spin if isinstance(self.widget, AutoNumber) else self.widget

    def _text(self, value: Any) -> str:  # noqa: ANN401 - any type
        """Return a value as it is typed; a blank in one of several paths is quoted."""
        words = map(forms.to_text, value if self._many else [value])
        return shlex.join(words) if self._paths else " ".join(words)

    def _words(self, text: str) -> list[str]:
        if not self._paths:
            several = text.replace(",", " ").split()
            return number_words(text) if float in get_args(self._hint) else several
        try:
            return shlex.split(text)
        except ValueError as error:
            raise SettingsError(f"{self.caption}: {text}: {error}") from None

    def _widget(self, name: str, kind: Any, choices: Choices | None) -> Any:  # noqa: ANN401 - any type, a widget
        if kind is bool:
            return QCheckBox()
        if kind is int:
            return _Counter()
        if kind is Path or (self._paths and choices):
            blank = BY_SCAN if forms.NONE in self._instead else "none"
            folders, instead = name == "ct", [(word, word) for word in self._instead]
            chooser = FileChooser(
                self.caption,
                lambda: [*(choices or list)(), *instead],
                folders=folders,
                blank=blank,
            )
            chooser.several = self._many
            return chooser
        if options := forms.choices(kind) or (SUGGESTIONS[name] if self._free else ()):
            blank = self._text(self._default) or BLANK.get(name, "default")
            words = [forms.to_text(option) for option in options]
            return _box(words, blank if self._free else None)
        line = QLineEdit()
        line.setMinimumWidth(WIDE // 2)
        line.setPlaceholderText(self._text(self._default) or BLANK.get(name, "default"))
        return line


class _Counter(QSpinBox):  # type: ignore[misc] # Qt has no types
    """A whole number; the wheel scrolls the form that it is in."""

    def __init__(self) -> None:
        super().__init__()
        self.setRange(0, _MOST)
        self.setMinimumWidth(WIDE // 2)

    def wheelEvent(self, event: Any) -> None:  # noqa: ANN401, N802 - Qt's name
        """Leave the wheel to the form."""
        event.ignore()


class _Answer(QComboBox):  # type: ignore[misc] # Qt has no types
    """Yes, no, or neither said."""

    VALUES = (None, True, False)

    def __init__(self) -> None:
        super().__init__()
        self.addItems([BY_SCAN, "yes", "no"])

    def value(self) -> bool | None:
        """Return what is said."""
        return self.VALUES[self.currentIndex()]


def _box(words: list[str], default: str | None) -> QComboBox:
    """Return a choice of words; with a default, blank is that, and others may be typed."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    if default is not None:
        box.setEditable(True)
        box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        box.lineEdit().setPlaceholderText(default)
    box.addItems(words)
    return box


def _complaint() -> QLabel:
    """Return where it is said what is wrong."""
    label = QLabel("")
    label.setWordWrap(True)
    follow(label, lambda colours: label.setStyleSheet(f"color: {colours.wrong}"))
    label.hide()
    return label
