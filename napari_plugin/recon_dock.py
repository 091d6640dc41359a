"""The dock for EM reconstruction: choose a scan, run, and see the iterations come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QFileDialog, QWidget

from emrecon.errors import SettingsError
from emrecon.jobs.as_code import as_command, as_python
from emrecon.jobs.recon import ReconstructionJob
from emrecon.tomo.anatomy_settings import AnatomySettings
from emrecon.tomo.inputs import CameraFacts, Corrections
from emrecon.tomo.kernel_settings import KernelSettings
from emrecon.tomo.listmode_settings import ListmodeSettings
from emrecon.tomo.penalty import Penalty
from emrecon.tomo.region_settings import RegionSettings
from emrecon.tomo.settings import Settings
from emrecon.volume import Volume
from napari_plugin import samples
from napari_plugin.cine import Cine
from napari_plugin.file_chooser import FileChooser
from napari_plugin.form import Form
from napari_plugin.history import Image
from napari_plugin.layer_files import choice, chosen, file_for, with_files
from napari_plugin.layers import KEY
from napari_plugin.layout import button
from napari_plugin.outcomes import Outcomes
from napari_plugin.plot import Curves, Line
from napari_plugin.recon_job import Ready, ReconJob, gaps, pass_sums
from napari_plugin.recon_layers import ReconLayers
from napari_plugin.recon_outcome import OUT, at, result_as_command, result_as_python, times_s
from napari_plugin.run_panel import RunPanel
from napari_plugin.runs import Kept, differences
from napari_plugin.teaching import Teaching

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_plugin.session import Session

CURVES = {
    "likelihood": ("Likelihood", "log-likelihood", False),
    "gap": ("Gap", "gap to the best", True),
    "change": ("Change", "relative change", True),
    "nrmse": ("NRMSE", "NRMSE to truth", False),
    "prior": ("Prior", "what the prior takes off", False),
}
"""Curves by name: tab, what is drawn, whether it is its logarithm."""

EXAMPLE = "example:"


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
    GOES_ON = True

    layers: ReconLayers

    def __init__(self, napari_viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent=parent)
        self.scan = FileChooser("Choose a scan", self._scans, folders=True)
        self.scan.setObjectName("scan")
        self.scan.setToolTip(
            "<p>A layer with a scan's counts, an example, or a file: Interfile, PETLINK or "
            "PETSIRD list-mode, DICOM NM TOMO, scan.toml, or its folder</p>"
        )
        self.truth = FileChooser("Choose the truth", self._truths, blank="beside the scan, if any")
        self.truth.setObjectName("truth")
        self.truth.setToolTip(
            "<p>The true image, to plot the error against. The truth beside a simulated scan is "
            "taken by itself</p>"
        )
        self.settings: Form[Settings] = Form(Settings())
        self.corrections: Form[Corrections] = Form(Corrections(), self._files)
        self.listmode: Form[ListmodeSettings] = Form(ListmodeSettings())
        self.camera: Form[CameraFacts] = Form(CameraFacts())
        self.penalty: Form[Penalty] = Form(Penalty(), self._files)
        self.kernel: Form[KernelSettings] = Form(KernelSettings(), self._files)
        self.anatomical: Form[AnatomySettings] = Form(AnatomySettings())
        self.regions: Form[RegionSettings] = Form(RegionSettings(), self._files)
        self.curves = Curves(CURVES)
        tabs: dict[str, Form[Any]] = {
            "Settings": self.settings,
            "Prior": self.penalty,
            "Kernel": self.kernel,
            "Anatomy": self.anatomical,
            "Regions": self.regions,
            "Corrections": self.corrections,
            "List-mode": self.listmode,
            "SPECT files": self.camera,
        }
        self._lay_out({"Scan": self.scan, "Truth": self.truth}, tabs, {self.curves: 2})
        self.outcomes = Outcomes(self.tabs)
        self.inside_button = button(
            "inside",
            "Inside EM",
            "See each update taken apart, in slow motion; runs if nothing does",
        )
        self.kept_row.addWidget(self.inside_button)
        self.layers = ReconLayers(napari_viewer)
        self.curves.picked.connect(self._picked)
        self.bind(napari_viewer.dims.events.current_step, self._scrubbed)
        self.runs.ticked.connect(self._redraw)
        self.runs.compare.connect(self._compare)
        self.teaching = Teaching(self)
        self.inside_button.clicked.connect(lambda _: self.teaching.open())
        self._connect()

    def refresh_files(self) -> None:
        """List what may be chosen now; a scan among the layers is chosen by itself."""
        super().refresh_files()
        if self.scan.path() is None or self.scan.is_default:
            self.scan.choose_first()

    def _picked(self, update: int) -> None:
        """Show the picture kept nearest to an update that was clicked on a curve."""
        if self.shown is not None:
            self.go_to(self.shown.job.before + update)

    def _as_python(self) -> str:
        seen = self._seen_now()
        return as_python(self._chosen_now()) if seen is None else result_as_python(seen)

    def _as_command(self) -> str:
        seen = self._seen_now()
        return as_command(self._chosen_now()) if seen is None else result_as_command(seen)

    def _seen_now(self) -> Any:  # noqa: ANN401 - a result or none
        result = self.shown.session.result if self.shown else None
        return None if result is None else self._seen_result(result)

    def _seen_result(self, result: Any) -> Any:  # noqa: ANN401 - of a reconstruction
        """Return the result as it was at the iterate that is seen."""
        run = self.shown
        if run is None or result.several or self.number is None:
            return result
        history = run.session.history
        return at(result, *history.picture(history.nearest(self.number)))

    def _chosen_now(self) -> ReconstructionJob:
        """Return what is chosen; refuse what would simulate here and now, and hold up Qt."""
        name = str(self.scan.path() or "")
        if name.startswith(EXAMPLE) and not samples.is_simulated(name.removeprefix(EXAMPLE)):
            raise SettingsError("run the example once: its files are simulated then")
        job, ready = self._chosen()
        return replace(ready(job, self.session), out=OUT)

    def _ask(self) -> str:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save the image", str(OUT), "Images (*.nii.gz *.nii *.hv)"
        )
        return str(name)

    def _chosen_job(self) -> ReconJob:
        job, ready = self._chosen()
        return ReconJob(job, ready, self._truth(job))

    def _continued(self, iterations: int) -> ReconJob:
        run = self.shown
        assert run is not None  # noqa: S101 - there is a result
        further: ReconJob = run.job.further(iterations, run.session.result, run.session.history)
        return further

    def _about(self, job: ReconJob) -> tuple[str, str]:
        settings = job.job.settings
        subsets = settings.subsets if job.image is None else job.subsets
        words = f"{job.job.method} {settings.iterations} x {subsets}"
        return words, as_command(replace(job.job, out=OUT))

    def _scenes(self) -> list[Callable[[], object]]:
        """Film frames where they are seen, else iterations."""
        if self.layers.place_of_frame() is not None:
            return Cine(self._viewer.dims, self).scenes()
        return super()._scenes()

    def _here(self) -> Callable[[], object]:
        several = self.layers.place_of_frame() is not None
        return Cine(self._viewer.dims, self).here() if several else super()._here()

    def _forget(self) -> None:
        self.layers.clear()
        self.curves.clear()
        self.runs.say("")

    def _chosen(self) -> tuple[ReconstructionJob, Ready]:
        """Return the job, and what names its files in the thread that runs it."""
        path = self.scan.path()
        if path is None:
            raise SettingsError("choose a scan: a layer of one, a file, or an example")
        corrections = self.corrections.value()
        layers = chosen(self._viewer, path, corrections)
        job = ReconstructionJob(
            path, None, self.settings.value(), corrections, self.camera.value(),
            self.listmode.value(), self.penalty.value(), self.kernel.value(),
            self.anatomical.value(), self.regions.value(),
        )  # fmt: skip

        def ready(job: ReconstructionJob, session: Session) -> ReconstructionJob:
            files = with_files(job.corrections, layers)
            scan = file_for(job.scan, layers)
            if str(scan).startswith(EXAMPLE):
                scan = samples.scan_folder(str(scan).removeprefix(EXAMPLE), session)
            return replace(job, scan=scan, corrections=files)

        return job, ready

    def _truth(self, job: ReconstructionJob) -> Callable[[], Volume | None]:
        """Return what gives the truth: what was chosen, or what lies beside the scan."""
        path = self.truth.path()
        layers = chosen(self._viewer, path, job.scan)
        if path is not None:
            return lambda: _read(file_for(path, layers))
        name = str(job.scan)
        if name.startswith(EXAMPLE):
            return lambda: _truth_beside(samples.scan_folder(name.removeprefix(EXAMPLE)))
        return lambda: _truth_beside(file_for(job.scan, layers))

    def _show(self, run: Kept, number: int, image: Image) -> None:
        live = self.number is None and run.session.live
        words = run.job.words(number)
        self.layers.draw(image, f"{words}, live" if live else words)
        self.curves.here(number - run.job.before)
        self.teaching.look(run, number, image)

    def _before_start(self, job: ReconJob) -> None:
        job.wants_inside = self.teaching.on

    def _changed_run(self) -> None:
        run = self.shown
        if run is not None:
            self.outcomes.show(run.session.result)
            self.layers.no_series()
            self.layers.place(run.job.affine, run.job.unit)
            self.curves.per_iteration(run.job.subsets)

    def _ended(self) -> None:
        """Show the images of frames or gates, once all are there, with a slider in seconds."""
        super()._ended()
        result, run = self.session.result, self.shown
        self.outcomes.show(None if run is None else run.session.result)
        if result is not None and result.several and run is not None and run.session.history.bytes:
            times = [(frame.start_s, frame.duration_s) for frame in result.frames]
            self.layers.series(run.session.history.frames(), times_s(result), times)
            self._scrubbed()

    def _scrubbed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        """Say which frame is seen."""
        place, run = self.layers.place_of_frame(), self.shown
        if place is not None and run is not None:
            numbers = run.session.history.numbers
            self.layers.say(run.job.words(numbers[min(place, len(numbers) - 1)]))

    def _look(self) -> None:
        """Show where the run is."""
        super()._look()
        if self.session.phase != "preparing" and self.shown is not None:
            self._redraw()

    def _redraw(self) -> None:
        """Draw the curves of the runs that are ticked, that of the run that is shown in front."""
        run = self.shown
        if run is None:
            return
        others = [one for one in self.runs.drawn() if one is not run]
        self.curves.put([_line(one) for one in (*others, run)])

    def _compare(self) -> None:
        """Show what two runs differ by: an image, and settings."""
        runs = self.runs.drawn()
        if len(runs) != 2:
            show_info("tick the two runs to compare in the list")
            return
        one, other = (run.session.history for run in runs)
        if not (one.numbers and other.numbers):
            show_error("one of these runs has no image yet")
            return
        first, second = (history.picture(len(history.numbers) - 1)[1] for history in (one, other))
        jobs = [run.job for run in runs]
        if first.shape != second.shape or not np.allclose(jobs[0].affine, jobs[1].affine):
            show_error("these two images do not lie on the same voxels")
            return
        self.layers.difference(second - first, f"{runs[1].name} less {runs[0].name}")
        lines = differences(jobs[0].job, jobs[1].job) or ["the same settings"]
        self.runs.say(f"{runs[0].number} and {runs[1].number} differ by " + "; ".join(lines))

    def _scans(self) -> list[tuple[str, str]]:
        """Return what can be reconstructed: scans among the layers, newest first, and examples."""
        layers = [layer for layer in self._viewer.layers if "scan" in layer.metadata.get(KEY, {})]
        there = [choice(layer) for layer in reversed(layers)]
        return there + [(f"Example: PET of {name}", EXAMPLE + name) for name in samples.SCANS]

    def _truths(self) -> list[tuple[str, str]]:
        return [
            choice(layer)
            for layer in self._viewer.layers
            if layer.ndim == 3 and "scan" not in layer.metadata.get(KEY, {})
        ]

    def _files(self) -> list[tuple[str, str]]:
        """Return what may be a correction: images by what they hold, and other scans' counts."""
        own = {id(self.layers.live), id(self.layers.frames)} if hasattr(self, "layers") else set()
        return [
            choice(layer)
            for layer in self._viewer.layers
            if layer.ndim == 3 and id(layer) not in own
        ]


def _line(run: Kept) -> Line:
    """Return the curves of a run; they stay what they are once it has ended."""
    if run.line is not None:
        return run.line
    ended, line = not run.session.live, _line_now(run)
    run.line = line if ended else None
    return line


def _line_now(run: Kept) -> Line:
    """Return the curves of a run as far as they go."""
    job, rows = run.job, run.job.rows
    numbers = [row.sub_iteration for row in rows]
    ends = numbers[job.subsets - 1 :]
    penalised = any(row.penalty for row in rows)
    likelihoods, penalties, objectives = (
        pass_sums(values, job.subsets)
        for values in (
            [row.log_likelihood for row in rows],
            [row.penalty for row in rows if penalised],
            [row.objective for row in rows],
        )
    )
    errors = list(job.score.nrmse)
    best = min(range(len(errors)), key=errors.__getitem__) if errors else None
    values = {
        "likelihood": (ends, likelihoods),
        "gap": (ends, gaps(objectives)),
        "change": (numbers, [row.relative_change for row in rows]),
        "nrmse": (job.score.updates[: len(errors)], errors),
        "prior": (ends if penalised else [], penalties),
    }
    marks = {} if best is None else {"nrmse": job.score.updates[best]}
    return Line(run.colour, job.subsets, values, marks)


def _read(path: Path) -> Volume:
    from emrecon import io  # noqa: PLC0415 - brings nibabel

    return io.read_image(path)


def _truth_beside(scan: Path) -> Volume | None:
    """Return the truth of a simulated scan's folder, where there is one."""
    folder = scan if scan.is_dir() else scan.parent
    path = folder / "truth.nii.gz"
    return _read(path) if path.is_file() else None
