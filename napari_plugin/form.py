"""A form made from a settings dataclass: one line a field, its docstring as the tooltip."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_origin

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from emrecon import forms
from emrecon.errors import SettingsError
from napari_plugin.layout import lines

T = TypeVar("T")
Choices = Callable[[], list[tuple[str, str]]]
"""Returns what a file may be chosen from: what is shown, and the path it stands for."""

_UNITS = {"mm": "mm", "deg": "deg", "ps": "ps", "s": "s", "h": "h", "kvp": "kVp"}
_CAPITALS = {"psf", "fwhm", "ct", "tof"}
_WIDE = 130


def caption(name: str) -> str:
    """Return a field's name as a person reads it, its unit in brackets."""
    words = name.split("_")
    unit = _UNITS.get(words[-1]) if len(words) > 1 else None
    plain = words[:-1] if unit else words
    text = " ".join(word.upper() if word in _CAPITALS else word for word in plain)
    text = text[:1].upper() + text[1:]
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
        self._rows = lines()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._groups: dict[str, QFormLayout] = {}
        whole = QVBoxLayout(self)
        whole.setContentsMargins(4, 4, 4, 4)
        whole.addLayout(self._rows)
        for item in fields(value):  # type: ignore[arg-type] # T is a dataclass
            name, text = item.name, texts.get(item.name, "")
            field = Field(caption(name), hints[name], getattr(value, name), choices)
            field.widget.setToolTip(f"<p>{text}</p>")
            field.widget.setObjectName(name)
            self.fields[name] = field
            self._layout_for(text, whole).addRow(field.caption, field.widget)
            field.connect(self.changed.emit)
        whole.addStretch(1)

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

    def _layout_for(self, text: str, whole: QVBoxLayout) -> QFormLayout:
        """Return where a field goes: "Gamma cameras: ..." begins the text of that group's."""
        head, colon, _ = text.partition(": ")
        if not colon or len(head.split()) > 2 or not head[:1].isupper():
            return self._rows
        if head not in self._groups:
            box = QGroupBox(head, self)
            self._groups[head] = lines(box)
            whole.addWidget(box)
        return self._groups[head]


class Field:
    """One line of a form: the widget for a type, and what is in it.

    Parameters
    ----------
    caption : str
        What stands before it.
    hint : type
        Any that `emrecon.forms.from_text` reads; of paths, one or several.
    default : object
        What is shown first, and taken where the line is blank.
    choices : callable, optional
        What files may be chosen from.
    """

    def __init__(self, caption: str, hint: Any, default: Any, choices: Choices | None) -> None:  # noqa: ANN401
        self.caption, self._hint, self._default = caption, hint, default
        _, kind = forms.without_none(hint)
        self._many = get_origin(kind) is tuple
        self._paths = self._many and get_args(kind)[0] is Path
        self.widget = self._widget(kind, choices)
        self._input = self.widget.box if isinstance(self.widget, FileChooser) else self.widget
        self.fill(default)

    def connect(self, slot: Callable[[], object]) -> None:
        """Call a slot after every change."""
        if isinstance(self._input, QCheckBox):
            self._input.toggled.connect(lambda _: slot())
        elif isinstance(self._input, QComboBox):
            self._input.currentTextChanged.connect(lambda _: slot())
        else:
            self._input.textChanged.connect(lambda _: slot())

    def fill(self, value: Any) -> None:  # noqa: ANN401 - any type
        """Show a value."""
        if isinstance(self._input, QCheckBox):
            self._input.setChecked(bool(value))
        elif isinstance(self.widget, FileChooser):
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
        if isinstance(self.widget, FileChooser) and not self._many:
            return self.widget.path()
        if isinstance(self.widget, FileChooser) and self.widget.is_listed:
            return (self.widget.path(),)
        box = isinstance(self._input, QComboBox)
        text = str(self._input.currentText() if box else self._input.text()).strip()
        if not text:
            return self._default
        return forms.from_text(self._words(text) if self._many else text, self._hint, self.caption)

    def _text(self, value: Any) -> str:  # noqa: ANN401 - any type
        """Return a value as it is typed; a blank in one of several paths is quoted."""
        words = map(forms.to_text, value if self._many else [value])
        return shlex.join(words) if self._paths else " ".join(words)

    def _words(self, text: str) -> list[str]:
        if not self._paths:
            return text.replace(",", " ").split()
        try:
            return shlex.split(text)
        except ValueError as error:
            raise SettingsError(f"{self.caption}: {text}: {error}") from None

    def _widget(self, kind: Any, choices: Choices | None) -> Any:  # noqa: ANN401 - any type, a widget
        if kind is bool:
            return QCheckBox()
        if options := forms.choices(kind):
            box = QComboBox()
            box.addItems([forms.to_text(option) for option in options])
            return box
        if kind is Path or (self._paths and choices):
            return FileChooser(self.caption, choices or list)
        line = QLineEdit()
        line.setMinimumWidth(_WIDE // 2)
        line.setPlaceholderText(self._text(self._default) or "default")
        return line


class FileChooser(QWidget):
    """A file: typed, browsed for, or that of a layer.

    Parameters
    ----------
    what : str
        What is chosen, for the title of the file dialog.
    choices : callable
        What may be chosen from.
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, what: str, choices: Choices, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._what, self._choices = what, choices
        self._default = ""
        self.box = QComboBox(self)
        self.box.setEditable(True)
        self.box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.box.setMinimumWidth(_WIDE)
        self.box.lineEdit().setPlaceholderText("none")
        browse = QToolButton(self)
        browse.setText("…")
        browse.setToolTip("Choose a file")
        browse.clicked.connect(self._browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(browse)
        self.refresh()

    def refresh(self) -> None:
        """List what may be chosen now, keeping what is."""
        text = self.box.currentText()
        self.box.blockSignals(True)  # noqa: FBT003 - Qt's own name
        self.box.clear()
        self.box.addItem("", "")
        for shown, path in self._choices():
            self.box.addItem(shown, path)
        self.box.setCurrentIndex(max(0, self.box.findText(text)))
        self.box.setEditText(text)
        self.box.blockSignals(False)  # noqa: FBT003

    def choose_first(self) -> None:
        """Choose the first that may be chosen; it gives way to what comes until one is typed."""
        if self.box.count() > 1:
            self.box.setCurrentIndex(1)
            self._default = self.box.currentText()

    @property
    def is_default(self) -> bool:
        """Whether what is chosen was not chosen by a person."""
        return bool(self._default) and self.box.currentText() == self._default

    @property
    def is_listed(self) -> bool:
        """Whether what is chosen is one of those that may be chosen."""
        place = self.box.findText(self.box.currentText().strip())
        return place >= 0 and bool(self.box.itemData(place))

    def path(self) -> Path | None:
        """Return the file, if one is chosen."""
        text = self.box.currentText().strip()
        place = self.box.findText(text)
        if place >= 0 and self.box.itemData(place):
            text = str(self.box.itemData(place))
        return Path(text).expanduser() if text else None

    def _browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, self._what)
        if name:
            self.box.setEditText(name)
