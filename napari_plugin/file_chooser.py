"""A line where a file is chosen: typed, browsed for, dropped, or that of a layer."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QSizePolicy, QToolButton, QWidget

from emrecon.forms import path_of

Choices = Callable[[], list[tuple[str, str]]]
"""Returns what a file may be chosen from: what is shown, and the path it stands for."""

WIDE = 130
"""Least width of the line, in pixels."""


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
    folders : bool, optional
        Whether a folder may be chosen too.
    blank : str, optional
        What a blank line stands for.
    """

    def __init__(
        self, what: str, choices: Choices, parent: QWidget | None = None, *,
        folders: bool = False, blank: str = "none",
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._what, self._choices = what, choices
        self.several = False
        """Whether files stand side by side, those with blanks in quotes."""
        self._default = ""
        self.box = QComboBox(self)
        self.box.setEditable(True)
        self.box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.box.setMinimumWidth(WIDE)
        self.box.lineEdit().setPlaceholderText(blank)
        browse = QToolButton(self)
        browse.setText("…")
        browse.setToolTip("Choose a file")
        browse.clicked.connect(self._browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(1)
        row.addWidget(self.box, 1)
        row.addWidget(browse)
        if folders:
            row.addWidget(self._folder_button())
        self.setAcceptDrops(True)
        self.refresh()

    def dragEnterEvent(self, event: Any) -> None:  # noqa: ANN401, N802 - Qt's name
        """Take a file or folder that is dragged here."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:  # noqa: ANN401, N802 - Qt's name
        """Choose the file or folder that was dropped."""
        self._take(event.mimeData().urls()[0].toLocalFile())

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
        return path_of(text).expanduser() if text else None

    def _take(self, name: str) -> None:
        self.box.setEditText(shlex.quote(name) if self.several else name)

    def _browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, self._what)
        if name:
            self._take(name)

    def _browse_folders(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self._what)
        if name:
            self._take(name)

    def _folder_button(self) -> QToolButton:
        button = QToolButton(self)
        button.setText("▤")
        button.setToolTip("Choose a folder: a scan's, or that of a DICOM series")
        button.clicked.connect(self._browse_folders)
        return button
