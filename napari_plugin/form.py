"""A form made from a settings dataclass: one line a field, its docstring as the tooltip."""

from __future__ import annotations

import shlex
import types
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from docstring_parser import parse_from_object
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

from emrecon.errors import SettingsError

T = TypeVar("T")
Choices = Callable[[], list[tuple[str, str]]]
"""Returns what a file may be chosen from: what is shown, and the path it stands for."""

_UNITS = {"mm": "mm", "deg": "deg", "ps": "ps", "s": "s", "h": "h", "kvp": "kVp"}
_CAPITALS = {"psf", "fwhm", "ct", "tof"}
_WIDE = 130


def helps(kind: type) -> dict[str, str]:
    """Return the text under each field of a dataclass."""
    found = parse_from_object(kind).params
    return {item.arg_name: " ".join((item.description or "").split()) for item in found}


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
        hints, texts = get_type_hints(self._kind), helps(self._kind)
        self._rows = QFormLayout()
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
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
        made: T = self._kind(**{name: field.value() for name, field in self.fields.items()})
        return made

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
            self._groups[head] = QFormLayout(box)
            self._groups[head].setFieldGrowthPolicy(
                QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow
            )
            whole.addWidget(box)
        return self._groups[head]


class Field:
    """One line of a form: the widget for a type, and what is in it.

    Parameters
    ----------
    caption : str
        What stands before it.
    hint : type
        bool, int, float, str, Path, a Literal, a tuple of one type, or one of these or None.
    value : object
        What is shown first.
    choices : callable, optional
        What files may be chosen from.
    """

    def __init__(self, caption: str, hint: Any, value: Any, choices: Choices | None) -> None:  # noqa: ANN401
        self.caption = caption
        self._optional, self._hint = _without_none(hint)
        self._many = get_origin(self._hint) is tuple
        self._item = get_args(self._hint)[0] if self._many else self._hint
        self.widget = self._made(choices)
        self._input = self.widget.box if isinstance(self.widget, FileChooser) else self.widget
        self.fill(value)

    def connect(self, told: Callable[[], object]) -> None:
        """Tell of changes."""
        if isinstance(self._input, QCheckBox):
            self._input.toggled.connect(lambda _: told())
        elif isinstance(self._input, QComboBox):
            self._input.currentTextChanged.connect(lambda _: told())
        else:
            self._input.textChanged.connect(lambda _: told())

    def fill(self, value: Any) -> None:  # noqa: ANN401 - any type
        """Show a value."""
        if isinstance(self._input, QCheckBox):
            self._input.setChecked(bool(value))
        elif isinstance(self._input, QComboBox):
            text = "" if value is None else str(value)
            self._input.setCurrentText(text) if text else self._input.setCurrentIndex(0)
            if isinstance(self.widget, FileChooser):
                self._input.setEditText(text)
        elif self._many:
            words = [_words(one) for one in value]
            self._input.setText(shlex.join(words) if self._item is Path else " ".join(words))
        else:
            self._input.setText(_words(value))

    def value(self) -> Any:  # noqa: ANN401 - any type
        """Return what is filled in.

        Raises
        ------
        SettingsError
            If it is not of the field's type.
        """
        if isinstance(self._input, QCheckBox):
            return self._input.isChecked()
        if isinstance(self.widget, FileChooser):
            return self.widget.path()
        box = isinstance(self._input, QComboBox)
        text = str(self._input.currentText() if box else self._input.text()).strip()
        if self._many:
            if self._item is Path:  # a blank in a path is quoted
                return tuple(Path(word).expanduser() for word in self._words(text))
            return tuple(self._one(word) for word in text.replace(",", " ").split())
        if not text and self._optional:
            return None
        return self._one(text)

    def _words(self, text: str) -> list[str]:
        try:
            return shlex.split(text)
        except ValueError as error:
            raise SettingsError(f"{self.caption}: {text}: {error}") from None

    def _one(self, text: str) -> Any:  # noqa: ANN401 - any type
        if get_origin(self._item) is Literal:
            return next(word for word in get_args(self._item) if str(word) == text)
        if self._item not in {int, float}:
            return text
        kind = "a whole number" if self._item is int else "a number"
        try:
            return self._item(text)
        except ValueError:
            raise SettingsError(f"{self.caption}: {text!r} is not {kind}") from None

    def _made(self, choices: Choices | None) -> Any:  # noqa: ANN401 - a widget
        if self._hint is bool:
            return QCheckBox()
        if get_origin(self._hint) is Literal:
            box = QComboBox()
            box.addItems([str(word) for word in get_args(self._hint)])
            return box
        if self._hint is Path:
            return FileChooser(self.caption, choices or list)
        line = QLineEdit()
        line.setMinimumWidth(_WIDE // 2)
        if self._many or self._optional:
            line.setPlaceholderText("default")
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


def _words(value: Any) -> str:  # noqa: ANN401 - any type
    """Return a value as it is typed, with all digits that it has."""
    if value is None:
        return ""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else str(value)


def _without_none(hint: Any) -> tuple[bool, Any]:  # noqa: ANN401 - any type
    """Return whether None is allowed, and the type without it."""
    if get_origin(hint) in {Union, types.UnionType}:
        rest = [kind for kind in get_args(hint) if kind is not type(None)]
        return True, rest[0]
    return False, hint
