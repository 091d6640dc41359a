"""What the reconstruction dock looks like: forms in tabs, the run below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QFrame,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.settings import Settings
from napari_plugin.form import Choices, FileChooser, Form
from napari_plugin.plot import Curves
from napari_plugin.run_panel import RunPanel

if TYPE_CHECKING:
    from napari.components import ViewerModel

CURVES = {
    "gap": ("Likelihood", "Lmax - L", True),
    "change": ("Change", "relative change", True),
    "nrmse": ("NRMSE", "NRMSE to truth", False),
}
"""Curves by name: tab, vertical axis, logarithmic or not."""


class ReconPanel(RunPanel):
    """The widgets of the dock; `napari_plugin.recon_dock.ReconDock` gives them their meaning.

    Parameters
    ----------
    viewer : ViewerModel
        Where the run is shown.
    scans, truths, files : callable
        Return what scan, truth and corrections may be chosen from.
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        scans: Choices,
        truths: Choices,
        files: Choices,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(viewer, parent=parent)
        self.scan = FileChooser("Choose a scan", scans)
        self.scan.setObjectName("scan")
        self.scan.setToolTip(
            "<p>A layer with a scan's counts, an example, or a file: Interfile, PETLINK or "
            "PETSIRD list-mode, DICOM NM TOMO, or scan.toml</p>"
        )
        self.truth = FileChooser("Choose the truth", truths)
        self.truth.setObjectName("truth")
        self.truth.setToolTip(
            "<p>The true image, to plot the error against. The truth beside a simulated scan is "
            "found by itself</p>"
        )
        self.settings: Form[Settings] = Form(Settings())
        self.parts: Form[Corrections] = Form(Corrections(), files)
        self.listmode: Form[ListmodeSettings] = Form(ListmodeSettings())
        self.camera: Form[CameraFacts] = Form(CameraFacts())
        self.curves = Curves(CURVES)
        self._tell()
        self._lay_out()

    def refresh_files(self) -> None:
        """List what may be chosen now."""
        for chooser in self.findChildren(FileChooser):
            chooser.refresh()
        if self.scan.path() is None or self.scan.is_default:
            self.scan.choose_first()

    def _tell(self) -> None:
        self.save_button.setToolTip(
            "Write the image as NIfTI or Interfile with sidecar, picture and convergence log"
        )
        self.python_button.setToolTip("Python that makes the same image, to the clipboard")
        self.command_button.setToolTip("The command that makes the same image, to the clipboard")

    def _lay_out(self) -> None:
        whole = QVBoxLayout(self)
        whole.setContentsMargins(4, 4, 4, 4)
        whole.setSpacing(4)
        data = QFormLayout()
        data.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        data.addRow("Scan", self.scan)
        data.addRow("Truth", self.truth)
        whole.addLayout(data)
        self.tabs = QTabWidget()
        self.tabs.addTab(scrolled(self.settings), "Settings")
        self.tabs.addTab(scrolled(self.parts), "Corrections")
        self.tabs.addTab(scrolled(self.listmode), "List-mode")
        self.tabs.addTab(scrolled(self.camera), "SPECT files")
        whole.addWidget(self.tabs, 3)
        whole.addWidget(self.run_bar)
        whole.addWidget(self.curves, 2)
        whole.addWidget(self.kept)
        whole.addLayout(self._buttons())
        whole.addWidget(self.view_box)


def scrolled(widget: QWidget) -> QScrollArea:
    """Return a widget in an area that scrolls upright."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setMinimumHeight(90)
    area.setWidget(widget)
    return area
