"""What the segmentation dock looks like: images and settings in tabs, the run below them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from emrecon.tissue.inputs import TissueInputs
from emrecon.tissue.settings import Settings
from napari_plugin.form import Choices, FileChooser, Form
from napari_plugin.mixture_plot import ClassTable, MixturePlot
from napari_plugin.recon_panel import scrolled
from napari_plugin.run_panel import RunPanel

if TYPE_CHECKING:
    from napari.components import ViewerModel

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
        self.list.setFixedHeight(68)
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


class TissuePanel(RunPanel):
    """The widgets of the dock; `napari_plugin.tissue_dock.TissueDock` gives them their meaning.

    Parameters
    ----------
    viewer : ViewerModel
        Where the run is shown.
    images, labels, files : callable
        Return what channels, truth, and masks and priors may be chosen from.
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        images: Choices,
        labels: Choices,
        files: Choices,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(viewer, "Shift+", parent)
        self.channels = ChannelList(images)
        self.truth = FileChooser("Choose the true labels", labels)
        self.truth.setObjectName("truth")
        self.truth.setToolTip(
            "<p>True labels, to see the overlap (Dice) with: labels with the classes' names, or "
            "numbered as they are</p>"
        )
        self.inputs: Form[TissueInputs] = Form(TissueInputs(), files)
        self.settings: Form[Settings] = Form(Settings())
        self.plot = MixturePlot()
        self.table = ClassTable()
        self.stage = QLabel("")
        self.python_button.setToolTip("Python that makes the same files, to the clipboard")
        self.command_button.setToolTip("The command that makes the same files, to the clipboard")
        self.save_button.setToolTip(
            "Write labels, probabilities, fractions, bias field, pictures and sidecar to a folder"
        )
        self._lay_out()

    def refresh_files(self) -> None:
        """List what may be chosen now."""
        self.channels.refresh()
        for chooser in self.findChildren(FileChooser):
            chooser.refresh()

    def _lay_out(self) -> None:
        whole = QVBoxLayout(self)
        whole.setContentsMargins(4, 4, 4, 4)
        whole.setSpacing(4)
        data = QFormLayout()
        data.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        data.addRow("Images", self.channels)
        data.addRow("Truth", self.truth)
        whole.addLayout(data)
        self.tabs = QTabWidget()
        self.tabs.addTab(scrolled(self.settings), "Settings")
        self.tabs.addTab(scrolled(self.inputs), "Mask, priors, means")
        whole.addWidget(self.tabs, 3)
        whole.addWidget(self.run_bar)
        whole.addWidget(self.plot, 3)
        whole.addWidget(self.table)
        said = QHBoxLayout()
        said.addWidget(self.kept, 1)
        said.addWidget(self.stage)
        whole.addLayout(said)
        whole.addLayout(self._buttons())
        whole.addWidget(self.view_box)
