"""What the docks for reconstruction and segmentation share: runs that are steered and watched."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel, QSlider, QTabWidget, QWidget

from emrecon.errors import EmreconError
from napari_plugin.dock import Dock
from napari_plugin.file_chooser import FileChooser
from napari_plugin.film import Filming
from napari_plugin.form import Form
from napari_plugin.history import Image
from napari_plugin.layout import OneLine, Words, button, column, inside, lines, row, scrolled
from napari_plugin.live import FIRST_S, Live
from napari_plugin.preferences import preferences
from napari_plugin.run_bar import RunBar
from napari_plugin.run_layers import RunLayers
from napari_plugin.runs import Kept, RunList
from napari_plugin.session import Job, Session
from napari_plugin.slot import Picture
from napari_plugin.theme import follow
from napari_plugin.view_box import ViewBox

if TYPE_CHECKING:
    from napari.components import ViewerModel


class RunPanel(Dock):
    """A dock whose buttons steer a run, which it shows while it goes, and which keeps runs.

    Parameters
    ----------
    viewer : ViewerModel
        Where runs are shown.
    keys : str, optional
        What is pressed with the function keys.
    parent : QWidget, optional
        Qt's parent.
    """

    WHAT = "run"
    """What a run makes."""

    SAVED = ""
    """What is written, for the tooltip of Save."""

    GOES_ON = False
    """Whether a run can be gone on with."""

    layers: RunLayers
    """Shows pictures in the viewer."""

    def __init__(self, viewer: ViewerModel, keys: str = "", parent: QWidget | None = None) -> None:
        super().__init__(viewer, self.WHAT, parent)
        self.session = Session(0)
        """The run that goes on, or was the last to."""
        self.job: Any = None
        self.shown: Kept | None = None
        """The run whose pictures are seen."""
        self.number: int | None = None
        """Which of its pictures is seen, if it is one that is kept."""
        self._begun: Kept | None = None
        self._count = 0
        self.at_end(lambda: self.session.close(1.5))
        self.run_bar = RunBar(keys)
        self.runs = RunList(iterations=self.GOES_ON)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("history")
        self.slider.setToolTip("Go through the pictures kept of the run that is shown")
        self.kept = OneLine("")
        self.kept.setToolTip("The most memory is set in napari's preferences, under emrecon")
        self.stage, self.warned = QLabel(""), _warnings()
        self.save_button = button("save", "Save…", f"{self.SAVED}: of what is seen")
        again = f"that makes the {self.WHAT} that is seen, to the clipboard"
        self.python_button = button("python", "Copy as Python", f"Python {again}")
        self.command_button = button("command", "Copy as command", f"The command {again}")
        self.film_button = button(
            "film", "Film…", "Save the images kept as a film of the canvas (GIF or MP4)"
        )
        self.filming = Filming(viewer, self)
        self.view_box = ViewBox()
        self.live = Live(self._newest, self._in_3d, self._rate, self)

    def refresh_files(self) -> None:
        """List what may be chosen now."""
        for chooser in self.findChildren(FileChooser):
            chooser.refresh()

    def start(self, *, paused: bool = False) -> None:
        """Run from the beginning; `paused` halts it at its start."""
        self._begin(self._chosen_job, paused=paused)

    def go_on(self, iterations: int) -> None:
        """Make so many iterations more of the run that is shown."""
        if self._result() is not None:
            self._begin(lambda: self._continued(iterations))

    def pause(self) -> None:
        """Halt, or go on."""
        control = self.session.control
        (control.resume if control.paused else control.pause)()
        self._look()

    def step(self) -> None:
        """Make one step and halt."""
        if self.session.live:
            self.session.control.step()
        else:
            self.start(paused=True)
        self._look()

    def stop(self) -> None:
        """End the run after the step that is being made; at once where none is."""
        self.session.stop()
        self.live.look()

    def reset(self) -> None:
        """End the run and forget all of them."""
        self.session.stop()
        self.live.stop()
        self.session, self.job = Session(0), None
        self.shown = self.number = self._begun = None
        self._count = 0
        self.runs.clear()
        self._forget()
        self._look()

    def show_run(self, run: Kept) -> None:
        """Show a run that is kept, at its last picture; one that is iterated shows itself."""
        if self.session.phase == "running":
            show_info("pause or wait for the end to look at another run")
            self.runs.select(self.shown or run)
            return
        self.shown = run
        self.runs.select(run)
        self._changed_run()
        self.seek(len(run.session.history.numbers) - 1)
        self._look()

    def seek(self, place: int) -> None:
        """Show the picture at this place of the history of the run that is shown."""
        run = self.shown
        if run is None or run.session.phase == "running" or place < 0:
            return
        self.number, image = run.session.history.picture(place)
        self.slider.blockSignals(True)  # noqa: FBT003 - Qt's own name
        self.slider.setRange(0, len(run.session.history.numbers) - 1)
        self.slider.setValue(place)
        self.slider.blockSignals(False)  # noqa: FBT003
        self._show(run, self.number, image)

    def go_to(self, number: int) -> None:
        """Show the picture kept nearest to an iterate."""
        run = self.shown
        if run is None or not run.session.history.numbers:
            return
        if run.session.phase == "running":
            show_info("pause or wait for the end to look back")
            return
        self.seek(run.session.history.nearest(number))

    def save(self) -> None:
        """Ask where to, and write what is seen with all that goes with it."""
        if self._result() is not None and (name := self._ask()):
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Write what is seen with all that goes with it."""
        result = self._result()
        if result is None:
            return
        try:
            files = [file.name for file in self._seen_result(result).write(path)]
        except EmreconError as error:
            show_error(str(error))
            return
        few = len(files) < 8
        show_info(f"wrote {', '.join(files)}" if few else f"wrote {len(files)} files to {path}")

    def _scenes(self) -> list[Callable[[], object]]:
        """Return what shows, one after another, the images kept of the run that is seen."""
        count = len(self.shown.session.history.numbers) if self.shown else 0
        return [partial(self.seek, place) for place in range(count)]

    def _here(self) -> Callable[[], object]:
        """Return what shows again the image that is seen."""
        return partial(self.seek, int(self.slider.value()))

    @abstractmethod
    def _chosen_job(self) -> Job:
        """Return what is to run; raises an `EmreconError` where what was chosen cannot."""

    def _continued(self, iterations: int) -> Job:
        """Return what makes so many iterations more of the run that is shown."""
        raise NotImplementedError

    @abstractmethod
    def _about(self, job: Any) -> tuple[str, str]:  # noqa: ANN401 - of either kind
        """Return a run's settings in a few words, and all of them."""

    @abstractmethod
    def _show(self, run: Kept, number: int, image: Image) -> None:
        """Show a picture of a run."""

    @abstractmethod
    def _forget(self) -> None:
        """Show nothing of any run."""

    def _before_start(self, job: Any) -> None:  # noqa: ANN401 - of either kind
        """Tell a job, before it runs, what is wanted of it."""

    def _changed_run(self) -> None:
        """Make ready to show another run's pictures."""

    @abstractmethod
    def _ask(self) -> str:
        """Ask for the name of what to save to."""

    def _seen_result(self, result: Any) -> Any:  # noqa: ANN401 - of either kind
        """Return the result as it was at the picture that is seen."""
        return result

    @abstractmethod
    def _as_python(self) -> str:
        """Return Python that makes what is seen again, or does what is chosen."""

    @abstractmethod
    def _as_command(self) -> str:
        """Return the command that makes what is seen again, or does what is chosen."""

    def _begin(self, choose: Callable[[], Job], *, paused: bool = False) -> None:
        """Start another run; what is seen of the last one stays until the first picture."""
        if self.session.live:
            return
        try:
            job = choose()
        except EmreconError as error:
            show_error(str(error))
            return
        self._count += 1
        room = self.runs.room(preferences().history_bytes)
        self.job, self.session = job, Session(room, FIRST_S)
        self._begun = Kept(self.session, job, self._count, *self._about(job))
        self.live.share, self.session.pace_s = self.run_bar.how()
        self._before_start(job)
        self.session.start(job, paused=paused, name=f"emrecon {self.WHAT}")
        self.live.start(self.session)
        self._look()

    def _newest(self, picture: Picture) -> None:
        """Show a picture that the run just made; its first makes it the run that is shown."""
        begun = self._begun
        if begun is None:
            return
        if begun not in self.runs.runs:
            begun.about, _ = self._about(begun.job)  # now that it is known what is done
            for run in self.runs.runs:
                run.job.release()
            for gone in self.runs.add(begun):
                gone.session.forget()
            self.shown = begun
            self._changed_run()
        if begun is not self.shown:
            self.shown = begun
            self.runs.select(begun)
            self._changed_run()
        self.number = None
        self._show(begun, picture.number, picture.image)

    def _lay_out(
        self,
        data: Mapping[str, QWidget],
        tabs: Mapping[str, Form[Any]],
        pictures: Mapping[QWidget, int],
    ) -> None:
        """Set out data, forms, the run, and pictures with their share of the room."""
        whole, head, self.tabs = column(inside(self, self.run_bar)), lines(), QTabWidget()
        for caption, widget in data.items():
            head.addRow(caption, widget)
        for caption, form in tabs.items():
            self.tabs.addTab(scrolled(form), caption)
        whole.addLayout(head)
        whole.addWidget(self.tabs, 2)
        whole.addWidget(self.warned)
        for widget, share in pictures.items():
            whole.addWidget(widget, share)
        whole.addLayout(row(self.slider, self.stage))
        self.kept_row = row(self.kept, self.film_button)
        self.kept_row.setStretch(0, 1)
        whole.addLayout(self.kept_row)
        whole.addWidget(self.runs)
        whole.addLayout(row(self.save_button, self.python_button, self.command_button))
        whole.addWidget(self.view_box)

    def _connect(self) -> None:
        """Join buttons, viewer and run."""
        for name in self.run_bar.buttons:
            slot = self.start if name == "run" else getattr(self, name)
            getattr(self.run_bar, name).connect(slot)
        self.run_bar.watched.connect(self._watch)
        self.live.looked.connect(self._look)
        self.live.ended.connect(self._ended)
        self.slider.valueChanged.connect(self.seek)
        self.runs.chosen.connect(self.show_run)
        self.runs.more.connect(self.go_on)
        self.save_button.clicked.connect(self.save)
        self.film_button.clicked.connect(lambda _: self.filming.ask(self._scenes(), self._here()))
        self.python_button.clicked.connect(lambda: self._copy(self._as_python))
        self.command_button.clicked.connect(lambda: self._copy(self._as_command))
        self.view_box.watch(self._viewer)
        self.bind(self._viewer.layers.events.inserted, self._layers_changed)
        self.bind(self._viewer.layers.events.removed, self._layers_changed)
        self.bind(self._viewer.layers.events.reordered, self._layers_changed)
        self.at_end(self.layers.hush)
        self._look()
        self._layers_changed()

    def _watch(self, share: float, pace_s: float) -> None:
        """Look on in another way."""
        self.session.pace_s = pace_s
        self.live.again(share)

    def _look(self) -> None:
        """Show where the run is."""
        session, run = self.session, self.shown
        self.run_bar.show_state(session)
        warnings = list(session.warnings if session.live or run is None else run.session.warnings)
        if session.phase == "failed":
            warnings.append(f"failed: {session.error}")
        self.warned.setText("\n".join(warnings))
        self.warned.setVisible(bool(warnings))
        history = run.session.history if run else session.history
        self.kept.setText(history.words() if run else "")
        halted = run is not None and run.session.phase != "running"
        self.slider.setEnabled(halted and len(history.numbers) > 1)
        self.film_button.setEnabled(halted and not self.filming.on)
        done = run is not None and run.session.result is not None and not session.live
        self.runs.continue_button.setEnabled(done)
        if run is not None and halted and self.number is None:
            self.seek(len(history.numbers) - 1)

    def _ended(self) -> None:
        """Tell of a failure, which leaves all as it was, or show the last picture."""
        self._look()
        if self.session.phase == "failed":
            show_error(self.session.error)

    def _result(self) -> Any:  # noqa: ANN401 - of either kind
        run = self.shown
        if run is None or run.session.result is None:
            show_error(f"there is no {self.WHAT} yet: run to the end, or stop the run")
            return None
        return run.session.result

    def _copy(self, say: Callable[[], str]) -> None:
        """Put what makes a run again on the clipboard."""
        try:
            text = say()
        except EmreconError as error:
            show_error(str(error))
            return
        QApplication.clipboard().setText(text)
        show_info("copied: it makes the same bits again")

    def _layers_changed(self, event: Any = None) -> None:  # noqa: ANN401 - any event
        self.refresh_files()
        self.layers.again()

    def _in_3d(self) -> bool:
        return bool(self._viewer.dims.ndisplay == 3)

    def _rate(self) -> float:
        return preferences().live_hz


def _warnings() -> Words:
    """Return where it stands what a run warned of."""
    label = Words()
    label.setObjectName("warnings")
    follow(label, lambda colours: label.setStyleSheet(f"color: {colours.warning}"))
    label.hide()
    return label
