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
from emrecon.volume import Volume
from napari_plugin import samples
from napari_plugin.canvas import RunLayers
from napari_plugin.layers import KEY, file_of, volume_of
from napari_plugin.recon_job import ReconJob, likelihood_gap
from napari_plugin.recon_outcome import Choice, ListmodeOutcome, Outcome, as_command, as_python
from napari_plugin.recon_panel import ReconPanel
from napari_plugin.session import Picture

if TYPE_CHECKING:
    from napari.components import ViewerModel

EXAMPLE = "example:"
_LAYER = "layer:"
_CURVES_S = 2.0
"""Least time between two drawings of the curves of a run that goes on."""


class ReconDock(ReconPanel):
    """Reconstructs a scan and shows it while it does.

    Parameters
    ----------
    napari_viewer : ViewerModel
        The viewer, given by napari by this name.
    parent : QWidget, optional
        Qt's parent.
    """

    WHAT = "reconstruction"

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        self._viewer = napari_viewer  # asked for what may be chosen
        super().__init__(napari_viewer, self._scans, self._truths, self._files, parent)
        self.layers = RunLayers(napari_viewer, "EM reconstruction")
        self._curves_next = 0.0
        self.curves.picked.connect(self.go_to)
        self.python_button.clicked.connect(self.copy_python)
        self.command_button.clicked.connect(self.copy_command)
        self._connect()
        self._layers_changed()

    def go_to(self, number: int) -> None:
        """Show the picture kept nearest to an update."""
        if not self.session.history.numbers:
            return
        if self.session.phase == "running":
            show_info("pause or wait for the end to look back")
            return
        self.layers.keep(self.session.history)
        self.layers.go(self.session.history.nearest(self.job.before + number))

    def copy_python(self) -> None:
        """Put Python that makes the image again on the clipboard."""
        self._copy_one("python", as_python)

    def copy_command(self) -> None:
        """Put the command line that makes the image again on the clipboard."""
        self._copy_one("command", as_command)

    def _copy_one(self, how: str, say: Callable[[Choice], str]) -> None:
        outcome: Outcome | ListmodeOutcome | None = self.session.result

        def text() -> str:
            self._must_exist()
            if outcome is not None:
                return str(getattr(outcome, how)())
            return say(self._chosen()[0]().understood())

        self._copy(text, "the image of this run again, bit by bit")

    def _must_exist(self) -> None:
        """Refuse what would simulate an example here and now, and hold up the window."""
        name = str(self.scan.path() or "")
        if name.startswith(EXAMPLE) and not samples.is_simulated(name.removeprefix(EXAMPLE)):
            raise SettingsError("run the example once: its files are simulated then")

    def _ask(self) -> str:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save the image", "recon.nii.gz", "Images (*.nii.gz *.nii *.hv)"
        )
        return str(name)

    def _chosen_job(self) -> ReconJob:
        return ReconJob(*self._chosen())

    def _forget(self, *, again: bool) -> None:
        (self.layers.renew if again else self.layers.clear)()
        self.curves.clear()

    def _chosen(self) -> tuple[Callable[[], Choice], Callable[[], Volume | None]]:
        """Return what makes the choice, and the truth, when the thread asks for them."""
        name = str(self.scan.path() or "")
        if not name:
            raise SettingsError("choose a scan: a layer of one, a file, or an example")
        choice = Choice(
            Path(name), self.settings.value(), self.parts.value(), self.camera.value(),
            self.listmode.value(),
        )  # fmt: skip
        truth = self._truth()
        if not name.startswith(EXAMPLE):
            return lambda: choice, truth or _truth_beside(choice.scan)
        phantom = name.removeprefix(EXAMPLE)

        def example() -> Choice:
            return replace(choice, scan=samples.scan_folder(phantom))

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
        if job is None or job.begun is None:
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
        outcome = self.session.result
        if isinstance(outcome, ListmodeOutcome) and outcome.choice.listmode.several:
            self.layers.series(self.session.history, outcome.times_s)

    def _look(self) -> None:
        """Show where the run is."""
        super()._look()
        session, job = self.session, self.job
        began = time.perf_counter()
        if job is None or (session.phase == "running" and began < self._curves_next):
            return
        rows, subsets = list(job.log.rows), job.subsets
        numbers = [row.sub_iteration for row in rows]
        self.curves.put("gap", *likelihood_gap(rows, subsets))
        self.curves.put("change", numbers, [row.relative_change for row in rows])
        errors = list(job.nrmse)
        best = min(range(len(errors)), key=errors.__getitem__) if errors else None
        self.curves.put("nrmse", job.scored[: len(errors)], errors, best)
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
