"""The dock that makes an attenuation map of a transmission scan, to be named in corrections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from platformdirs import user_cache_path
from qtpy.QtWidgets import QTabWidget, QWidget

from emrecon.errors import EmreconError, SettingsError
from emrecon.jobs.base import digests, key_of
from emrecon.jobs.transmission import TransmissionJob
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.transmission_settings import RayFiles, TransmissionSettings
from napari_plugin import views
from napari_plugin.elsewhere import in_a_process
from napari_plugin.file_chooser import FileChooser
from napari_plugin.form import Form
from napari_plugin.job_dock import JobDock
from napari_plugin.layout import button, column, inside, lines, scrolled
from napari_plugin.reader import read

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_plugin.session import Session


class TransmissionDock(JobDock):
    """Reconstructs an attenuation map of counts of rays, and shows it.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer, given by napari by this name.
    parent : QWidget, optional
        Qt's parent.
    """

    HEIGHT = 560

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        about = "The map becomes a layer, which can be chosen as Mu in EM reconstruction"
        super().__init__(napari_viewer, "transmission", about, parent)
        self.scan = FileChooser("Choose a transmission scan", list)
        self.scan.setObjectName("scan")
        self.scan.setToolTip(
            "<p>Counts of rays: X-ray frames (HDF5, Data Exchange), or Interfile projections of a "
            "ring scanner, whose blank scan is named under Rays</p>"
        )
        self.rays: Form[RayFiles] = Form(RayFiles(), list)
        self.settings: Form[TransmissionSettings] = Form(TransmissionSettings())
        self.penalty: Form[Penalty] = Form(Penalty(), list)
        self.run_button = button("run", "Run", "Reconstruct the attenuation map")
        self.run_button.clicked.connect(lambda _: self.start())
        whole, head, tabs = (
            column(inside(self, self.footer(self.run_button))),
            lines(),
            QTabWidget(),
        )
        head.addRow("Scan", self.scan)
        whole.addLayout(head)
        forms: dict[str, Form[Any]] = {
            "Settings": self.settings, "Rays": self.rays, "Prior": self.penalty
        }  # fmt: skip
        for caption, form in forms.items():
            tabs.addTab(scrolled(form), caption)
        whole.addWidget(tabs, 1)

    def start(self) -> None:
        """Make the map of what is filled in."""
        if self.session.live:
            return
        try:
            path = self.scan.path()
            if path is None:
                raise SettingsError("choose a transmission scan: HDF5 frames, or Interfile (.hs)")
            job = TransmissionJob(
                path, None, self.rays.value(), self.settings.value(), self.penalty.value()
            )
        except EmreconError as error:
            show_error(str(error))
            return
        self.begin(lambda session: _map_of(job, session))

    def finished(self, path: Path) -> None:
        """Add the map."""
        for data, info, kind in read(path):
            getattr(self._viewer, f"add_{kind}")(data, **info | {"name": "attenuation map"})
        views.prefer()


def _map_of(job: TransmissionJob, session: Session) -> Path:
    """Return the map of a job, made now if it was not before."""
    session.note = "reconstructing the map"
    key = key_of(job, digests(job.inputs()))
    folder = Path(user_cache_path("emrecon", appauthor=False)) / "maps" / key
    path = folder / "mu.nii.gz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        in_a_process(replace(job, out=path), session)
    return path
