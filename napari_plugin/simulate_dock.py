"""The dock that simulates a scan of a phantom, ready to be reconstructed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QCompleter,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QWidget,
)

from emrecon.errors import EmreconError
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.geometry.presets import PRESETS
from napari_plugin import samples, views
from napari_plugin.dock import Dock
from napari_plugin.form import Form
from napari_plugin.layout import column, lines, scrolled
from napari_plugin.live import POLL_MS
from napari_plugin.session import Session
from phantoms import PHANTOMS
from phantoms.acquisition import Acquisition

if TYPE_CHECKING:
    from napari.components import ViewerModel

FIRST = "brain"


class SimulateDock(Dock):
    """Simulates a scan of a phantom and shows its counts and truth.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer, given by napari by this name.
    parent : QWidget, optional
        Qt's parent.
    """

    HEIGHT = 560

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, "simulation", parent)
        self.session = Session(0)
        self.at_end(self.session.close)
        self._then_reconstruct, self._name = False, FIRST
        self.phantom = QComboBox()
        self.phantom.setObjectName("phantom")
        self.phantom.addItems(list(PHANTOMS))
        self.phantom.setCurrentText(FIRST)
        self.acquisition: Form[Acquisition] = Form(Acquisition())
        self.acquisition.fill(samples.SCANS[FIRST] if FIRST in samples.SCANS else Acquisition())
        line = self.acquisition.fields["scanner"].widget
        line.setCompleter(QCompleter(list(PRESETS), line))
        self.simulate_button = QPushButton("Simulate")
        self.simulate_button.setObjectName("simulate")
        self.simulate_button.setToolTip("Count the phantom; add counts, truth and attenuation")
        self.both_button = QPushButton("Simulate and reconstruct")
        self.both_button.setObjectName("both")
        self.both_button.setToolTip("Simulate, and reconstruct in the dock for that")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.said = QLabel("Views and bins are few at first, so that it takes seconds")
        self.said.setWordWrap(True)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._look)
        self._lay_out()
        self._connect()

    def start(self, *, reconstruct: bool = False) -> None:
        """Simulate what is filled in; `reconstruct` goes on with that."""
        if self.session.live:
            return
        name = self.phantom.currentText()
        try:
            job = SimulationJob(name, acquisition=self.acquisition.value())
        except EmreconError as error:
            show_error(str(error))
            return
        self._name, self._then_reconstruct = name, reconstruct
        self.session.start(
            lambda session: samples.simulated(job, session.meters), name="emrecon simulation"
        )
        self._timer.start()
        self._look()

    def _connect(self) -> None:
        self.simulate_button.clicked.connect(lambda _: self.start())
        self.both_button.clicked.connect(lambda _: self.start(reconstruct=True))

    def _look(self) -> None:
        live = self.session.live
        for button in (self.simulate_button, self.both_button):
            button.setEnabled(not live)
        self.progress.setRange(0, 0 if live else 1)
        if live:
            self.said.setText(self.session.note or "counting")
            return
        self._timer.stop()
        self._ended()

    def _ended(self) -> None:
        folder = self.session.result
        if self.session.phase == "failed":
            self.said.setText(self.session.error)
            show_error(self.session.error)
        if not isinstance(folder, Path):
            return
        self.said.setText(f"Kept in {folder}")
        layers = []
        for data, info, kind in samples.scan_layers(folder, self._name):
            what = str(info["name"]).split()[-1]
            info["name"] = f"{self._name} {what}"  # not the folder's, which ends in a checksum
            layers.append(getattr(self._viewer, f"add_{kind}")(data, **info))
        counts = layers[0]
        self._viewer.layers.selection.active = counts
        views.prefer()
        if self._then_reconstruct:
            self._reconstruct(str(counts.name))

    def _reconstruct(self, name: str) -> None:
        """Open the dock for that, and run it with the counts that were just added."""
        window: Any = getattr(self._viewer, "window", None)
        if window is None:
            show_error("there is no window: open EM reconstruction and press Run")
            return
        _, dock = window.add_plugin_dock_widget("emrecon", "EM reconstruction", tabify=True)
        dock.scan.box.setCurrentText(name)
        dock.start()

    def _lay_out(self) -> None:
        whole, head = column(self), lines()
        head.addRow("Phantom", self.phantom)
        whole.addLayout(head)
        whole.addWidget(scrolled(self.acquisition), 1)
        row = QHBoxLayout()
        row.addWidget(self.simulate_button)
        row.addWidget(self.both_button, 1)
        whole.addLayout(row)
        whole.addWidget(self.progress)
        whole.addWidget(self.said)
