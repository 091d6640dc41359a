"""The list of images that a segmentation may take as channels."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QToolButton,
    QWidget,
)

from napari_plugin.file_chooser import Choices
from napari_plugin.layout import fit_rows

_ROLE = Qt.ItemDataRole.UserRole


class ChannelList(QWidget):
    """Images to be ticked as channels; their order is that of the list, changed by dragging.

    Parameters
    ----------
    choices : callable
        Returns what may be chosen.
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, choices: Choices, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices, self._added = choices, list[str]()
        self._untouched = True
        self.list = QListWidget(self)
        self.list.setObjectName("channels")
        self.list.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.list.setToolTip(
            "<p>Tick the images to segment, on one grid, such as T1 and T2. The first one's grid "
            "and contrast count; drag to change the order</p>"
        )
        self.list.itemChanged.connect(self._ticked)
        browse = QToolButton(self)
        browse.setText("…")
        browse.setToolTip("Add files")
        browse.clicked.connect(self._browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.list, 1)
        row.addWidget(browse, 0, Qt.AlignmentFlag.AlignTop)
        self.refresh()

    def refresh(self) -> None:
        """List what may be chosen now, keeping order and ticks; the first is ticked by itself."""
        there = self._choices() + [(Path(name).name, name) for name in self._added]
        ticked, known = self.paths(), [item.data(_ROLE) for item in self._items()]
        place = {path: known.index(path) for _, path in there if path in known}
        there.sort(key=lambda pair: place.get(pair[1], len(known)))
        self.list.blockSignals(True)  # noqa: FBT003 - Qt's own name
        self.list.clear()
        for shown, path in there:
            item = QListWidgetItem(shown)
            item.setData(_ROLE, path)
            on = Path(path) in ticked
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            self.list.addItem(item)
        if self._untouched and self.list.count() and not self.paths():
            self.list.item(0).setCheckState(Qt.CheckState.Checked)
        fit_rows(self.list, 2, 3)
        self.list.blockSignals(False)  # noqa: FBT003

    def paths(self) -> tuple[Path, ...]:
        """Return what is ticked, in order."""
        on = Qt.CheckState.Checked
        return tuple(Path(i.data(_ROLE)) for i in self._items() if i.checkState() == on)

    def add(self, name: str) -> None:
        """Add a file and tick it."""
        self._added.append(name)
        self.refresh()
        for item in self._items():
            if item.data(_ROLE) == name:
                item.setCheckState(Qt.CheckState.Checked)

    def _items(self) -> list[QListWidgetItem]:
        return [self.list.item(row) for row in range(self.list.count())]

    def _ticked(self, item: QListWidgetItem) -> None:
        self._untouched = False

    def _browse(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Choose images")
        for name in names:
            self.add(name)
