"""The dock that simulates a scan of a phantom, ready to be reconstructed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtWidgets import QComboBox, QTabWidget, QWidget

from emrecon.errors import EmreconError
from emrecon.jobs.simulate import SimulationJob
from emrecon.tomo.listmode_settings import ListmodeSettings
from napari_plugin import samples, views
from napari_plugin.form import Form
from napari_plugin.job_dock import JobDock
from napari_plugin.layout import button, column, inside, lines, scrolled
from phantoms import PHANTOMS
from phantoms.acquisition import Acquisition
from phantoms.spect_acquisition import CameraAcquisition

if TYPE_CHECKING:
    from napari.components import ViewerModel

FIRST = "brain"


@dataclass(frozen=True)
class Preset:
    """A scan by name."""

    acquisition: Acquisition | None = None
    """What scans and how; of none the quick one, whose bins depend on the phantom."""

    dicom: bool = False
    """Whether a gamma camera scans."""

    petsird: bool = False
    """Whether events are counted one by one."""

    frames: str = ""
    """In which frames it is reconstructed, as the form for list-mode has them."""


_EVENTS = Acquisition(scanner="tiny", counts=3e5, scatter_fraction=0.0)

PRESETS = {
    "PET, quick": Preset(),
    "PET, ECAT HR+": Preset(Acquisition()),
    "PET, Siemens mMR": Preset(Acquisition(scanner="Siemens mMR")),
    "PET, Vision 600 with time of flight": Preset(
        Acquisition(scanner="Siemens Vision 600", tof_fwhm_ps=210)
    ),
    "SPECT, quick": Preset(Acquisition(views=60, bins=96, counts=4e6), dicom=True),
    "PET list-mode, quick": Preset(_EVENTS, petsird=True),
    "PET list-mode, four frames": Preset(_EVENTS, petsird=True, frames="0:15,15:15,30:15,45:15"),
}
"""Scans by name."""


class SimulateDock(JobDock):
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
        few = "Views and bins are few at first, so that it takes seconds"
        super().__init__(napari_viewer, "simulation", few, parent)
        self._then_reconstruct, self._phantom, self._frames = False, FIRST, ""
        self.phantom = QComboBox()
        self.phantom.setObjectName("phantom")
        self.phantom.addItems(list(PHANTOMS))
        self.phantom.setCurrentText(FIRST)
        self.preset = QComboBox()
        self.preset.setObjectName("preset")
        self.preset.addItems(list(PRESETS))
        self.preset.setToolTip("Scans by name; what they set can be changed below")
        self.acquisition: Form[Acquisition] = Form(Acquisition())
        self.camera: Form[CameraAcquisition] = Form(CameraAcquisition())
        self.simulate_button = button(
            "simulate", "Simulate", "Count the phantom; add counts, truth and attenuation"
        )
        self.both_button = button(
            "both", "Simulate and reconstruct", "Simulate, and reconstruct in the dock for that"
        )
        self._lay_out()
        self._connect()

    def start(self, *, reconstruct: bool = False) -> None:
        """Simulate what is filled in; `reconstruct` goes on with that."""
        if self.session.live:
            return
        name, preset = self.phantom.currentText(), self._preset()
        try:
            job = SimulationJob(
                name, None, self.acquisition.value(),
                self.camera.value() if preset.dicom else CameraAcquisition(),
                dicom=preset.dicom, petsird=preset.petsird,
            )  # fmt: skip
        except EmreconError as error:
            show_error(str(error))
            return
        self._phantom, self._then_reconstruct, self._frames = name, reconstruct, preset.frames
        self.begin(lambda session: samples.simulated(job, session))

    def _choose(self) -> None:
        """Fill in what is chosen by name."""
        chosen = self._preset()
        quick = samples.quick(self.phantom.currentText())
        self.acquisition.fill(chosen.acquisition or quick)
        self.tabs.setTabEnabled(1, chosen.dicom)

    def _preset(self) -> Preset:
        return PRESETS[self.preset.currentText()]

    def _connect(self) -> None:
        self.simulate_button.clicked.connect(lambda _: self.start())
        self.both_button.clicked.connect(lambda _: self.start(reconstruct=True))
        self.phantom.currentTextChanged.connect(lambda _: self._choose())
        self.preset.currentTextChanged.connect(lambda _: self._choose())
        self._choose()

    def finished(self, path: Path) -> None:
        """Add counts and truth of a scan, and reconstruct it if that was asked for."""
        layers = []
        for data, info, kind in samples.scan_layers(path, self._phantom):
            layers.append(getattr(self._viewer, f"add_{kind}")(data, **info))
        self._viewer.layers.selection.active = layers[0]
        views.prefer()
        if self._then_reconstruct:
            events = (path / samples.EVENTS).exists()
            self._reconstruct(str(path) if events else str(layers[0].name))

    def _reconstruct(self, name: str) -> None:
        """Open the dock for that, and run it with the counts that were just added."""
        window: Any = getattr(self._viewer, "window", None)
        if window is None:
            show_error("there is no window: open EM reconstruction and press Run")
            return
        _, dock = window.add_plugin_dock_widget("emrecon", "EM reconstruction", tabify=True)
        dock.scan.box.setCurrentText(name)
        dock.listmode.fill(ListmodeSettings(frames=self._frames))
        dock.start()

    def _lay_out(self) -> None:
        self.tabs, last = QTabWidget(), self.footer(self.simulate_button, self.both_button)
        whole, head = column(inside(self, last)), lines()
        head.addRow("Phantom", self.phantom)
        head.addRow("Scan", self.preset)
        whole.addLayout(head)
        self.tabs.addTab(scrolled(self.acquisition), "Acquisition")
        self.tabs.addTab(scrolled(self.camera), "Gamma camera")
        whole.addWidget(self.tabs, 1)
