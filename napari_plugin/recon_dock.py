"""The dock for EM reconstruction: choose a scan, run, and see the iterations come in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QFileDialog, QWidget

from emrecon.errors import SettingsError
from emrecon.jobs.as_code import as_command, as_python
from emrecon.jobs.recon import ReconstructionJob
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from napari_plugin import samples
from napari_plugin.form import FileChooser, Form
from napari_plugin.layers import KEY, file_of, volume_of
from napari_plugin.plot import Curves
from napari_plugin.recon_job import ReconJob, likelihood_gap
from napari_plugin.recon_layers import ReconLayers
from napari_plugin.recon_outcome import OUT, result_as_command, result_as_python, times_s
from napari_plugin.run_panel import RunPanel
from napari_plugin.session import Picture

if TYPE_CHECKING:
    from napari.components import ViewerModel

CURVES = {
    "gap": ("Likelihood", "Lmax - L", True),
    "change": ("Change", "relative change", True),
    "nrmse": ("NRMSE", "NRMSE to truth", False),
}
"""Curves by name: tab, vertical axis, logarithmic or not."""

EXAMPLE = "example:"
_LAYER = "layer:"
_CURVES_S = 2.0
"""Least time between two drawings of the curves of a run that goes on."""


class ReconDock(RunPanel):
    """Reconstructs a scan and shows it while it does.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer, given by napari by this name.
    parent : QWidget, optional
        Qt's parent.
    """

    WHAT = "reconstruction"
    SAVED = "Write the image as NIfTI or Interfile with sidecar, picture and convergence log"

    layers: ReconLayers

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent=parent)
        self.scan = FileChooser("Choose a scan", self._scans)
        self.scan.setObjectName("scan")
        self.scan.setToolTip(
            "<p>A layer with a scan's counts, an example, or a file: Interfile, PETLINK or "
            "PETSIRD list-mode, DICOM NM TOMO, or scan.toml</p>"
        )
        self.truth = FileChooser("Choose the truth", self._truths)
        self.truth.setObjectName("truth")
        self.truth.setToolTip(
            "<p>The true image, to plot the error against. The truth beside a simulated scan is "
            "taken by itself</p>"
        )
        self.settings: Form[Settings] = Form(Settings())
        self.corrections: Form[Corrections] = Form(Corrections(), self._files)
        self.listmode: Form[ListmodeSettings] = Form(ListmodeSettings())
        self.camera: Form[CameraFacts] = Form(CameraFacts())
        self.curves = Curves(CURVES)
        tabs: dict[str, Form[Any]] = {
            "Settings": self.settings,
            "Corrections": self.corrections,
            "List-mode": self.listmode,
            "SPECT files": self.camera,
        }
        self._lay_out({"Scan": self.scan, "Truth": self.truth}, tabs, {self.curves: 2})
        self.layers = ReconLayers(napari_viewer)
        self._curves_next = 0.0
        self.curves.picked.connect(self.go_to)
        self._connect()

    def refresh_files(self) -> None:
        """List what may be chosen now; a scan among the layers is chosen by itself."""
        super().refresh_files()
        if self.scan.path() is None or self.scan.is_default:
            self.scan.choose_first()

    def go_to(self, number: int) -> None:
        """Show the picture kept nearest to an update."""
        if not self.session.history.numbers:
            return
        if self.session.phase == "running":
            show_info("pause or wait for the end to look back")
            return
        self.layers.keep(self.session.history)
        self.layers.go(self.session.history.nearest(self.job.before + number))

    def _as_python(self) -> str:
        result = self.session.result
        return as_python(self._chosen_now()) if result is None else result_as_python(result)

    def _as_command(self) -> str:
        result = self.session.result
        return as_command(self._chosen_now()) if result is None else result_as_command(result)

    def _chosen_now(self) -> ReconstructionJob:
        """Return what is chosen; refuse what would simulate here and now, and hold up Qt."""
        name = str(self.scan.path() or "")
        if name.startswith(EXAMPLE) and not samples.is_simulated(name.removeprefix(EXAMPLE)):
            raise SettingsError("run the example once: its files are simulated then")
        return replace(self._chosen()[0](), out=OUT)

    def _ask(self) -> str:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save the image", str(OUT), "Images (*.nii.gz *.nii *.hv)"
        )
        return str(name)

    def _chosen_job(self) -> ReconJob:
        return ReconJob(*self._chosen())

    def _forget(self, *, again: bool) -> None:
        (self.layers.renew if again else self.layers.clear)()
        self.curves.clear()

    def _chosen(self) -> tuple[Callable[[], ReconstructionJob], Callable[[], Volume | None]]:
        """Return what makes the job, and the truth, when the thread asks for them."""
        name = str(self.scan.path() or "")
        if not name:
            raise SettingsError("choose a scan: a layer of one, a file, or an example")
        job = ReconstructionJob(
            Path(name), None, self.settings.value(), self.corrections.value(),
            self.camera.value(), self.listmode.value(),
        )  # fmt: skip
        truth = self._truth()
        if not name.startswith(EXAMPLE):
            return lambda: job, truth or _truth_beside(job.scan)
        phantom = name.removeprefix(EXAMPLE)

        def example() -> ReconstructionJob:
            return replace(job, scan=samples.scan_folder(phantom))

        def true() -> Volume | None:
            return _truth_beside(samples.scan_folder(phantom))()

        return example, truth or true

    def _truth(self) -> Callable[[], Volume | None] | None:
        name = str(self.truth.path() or "")
        if not name:
            return None
        if name.startswith(_LAYER):
            layer = self._viewer.layers[name.removeprefix(_LAYER)]
            volume = volume_of(layer)
            return lambda: volume
        return partial(_read, Path(name))

    def _draw(self, picture: Picture) -> None:
        job = self.job
        if job is None or job.image is None:
            return
        if not self.live.frames:
            self.layers.place(job.affine, job.unit)
            self.curves.per_iteration(job.subsets)
        self.layers.draw(picture.image)
        self._halted = -1  # the history, which this hides, is to be shown again
        self.curves.here(picture.number - job.before)

    def _ended(self) -> None:
        """Show the images of frames or gates in place of the history."""
        super()._ended()
        result = self.session.result
        if result is not None and result.several:
            self.layers.series(self.session.history, times_s(result))

    def _look(self) -> None:
        """Show where the run is."""
        super()._look()
        session, job = self.session, self.job
        began = time.perf_counter()
        if job is None or (session.phase == "running" and began < self._curves_next):
            return
        rows, subsets = job.rows, job.subsets
        numbers = [row.sub_iteration for row in rows]
        self.curves.put("gap", *likelihood_gap(rows, subsets))
        self.curves.put("change", numbers, [row.relative_change for row in rows])
        errors = list(job.score.nrmse)
        best = min(range(len(errors)), key=errors.__getitem__) if errors else None
        self.curves.put("nrmse", job.score.updates[: len(errors)], errors, best)
        now = time.perf_counter()
        self._curves_next = now + max(_CURVES_S, 30 * (now - began))

    def _scrubbed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        number = self.layers.number()
        if number is not None and self.job is not None:
            self.layers.say(self.job.words(number))
            self.curves.here(number - self.job.before)

    def _scans(self) -> list[tuple[str, str]]:
        """Return what can be reconstructed: scans among the layers, newest first, and examples."""
        layers = [layer for layer in self._viewer.layers if "scan" in layer.metadata.get(KEY, {})]
        there = [(layer.name, str(file_of(layer))) for layer in reversed(layers)]
        return there + [(f"Example: PET of {name}", EXAMPLE + name) for name in samples.SCANS]

    def _truths(self) -> list[tuple[str, str]]:
        return [
            (layer.name, _LAYER + layer.name)
            for layer in self._viewer.layers
            if layer.ndim == 3 and "scan" not in layer.metadata.get(KEY, {})
        ]

    def _files(self) -> list[tuple[str, str]]:
        return [
            (layer.name, str(path))
            for layer in self._viewer.layers
            if (path := file_of(layer)) is not None
        ]


def _read(path: Path) -> Volume:
    from emrecon import io  # noqa: PLC0415 - brings nibabel

    return io.read_image(path)


def _truth_beside(scan: Path) -> Callable[[], Volume | None]:
    """Return what reads the truth of a simulated scan's folder, where there is one."""
    folder = scan if scan.is_dir() else scan.parent
    path = folder / "truth.nii.gz"
    return lambda: _read(path) if path.is_file() else None
