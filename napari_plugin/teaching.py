"""Opens the teaching view of a reconstruction dock, and fills it as pictures come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_plugin.inside_view import InsideView
from napari_plugin.live import POLL_MS
from napari_plugin.run_bar import SLOW
from napari_plugin.session import Session

if TYPE_CHECKING:
    from napari_plugin.history import Image
    from napari_plugin.inside import Inside
    from napari_plugin.run_panel import RunPanel
    from napari_plugin.runs import Kept


class Teaching(QObject):
    """Takes the updates of a dock's runs apart.

    While a run goes it is asked to do so itself; of one that is halted it is done beside it.

    Parameters
    ----------
    dock : RunPanel
        Whose runs.
    """

    def __init__(self, dock: RunPanel) -> None:
        super().__init__(dock)
        self._dock = dock
        self.view: InsideView | None = None
        self._before = ""
        """How runs were looked on at before the view was opened."""
        self._session = Session(0)
        self._seen: tuple[Kept, int, Image] | None = None
        self._begun: tuple[Kept, int, Image] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        dock.at_end(self._stop)

    @property
    def on(self) -> bool:
        """Whether the view is open."""
        return self.view is not None

    def open(self) -> None:
        """Open the view, below the canvas, in slow motion; start a run where there is none."""
        dock = self._dock
        if self.view is None:
            self.view = InsideView()
            self.view.left.connect(self._closed)
            window: Any = getattr(dock._viewer, "window", None)  # noqa: SLF001 - its own dock
            if window is not None:
                window.add_dock_widget(self.view, name="Inside EM", area="bottom")
            mode = dock.run_bar.mode
            self._before = mode.currentText()
            mode.setCurrentText(SLOW)
        if dock.job is not None:
            dock.job.wants_inside = True
        if dock.shown is None and not dock.session.live:
            dock.start()
        elif dock.shown is not None and dock.session.phase != "running":
            dock.seek(dock.slider.value())

    def look(self, run: Kept, number: int, picture: Image) -> None:
        """Show the update that follows a picture which is shown now."""
        if self.view is None:
            return
        self._seen = None
        inside = run.job.inside
        if inside is not None and inside.number == number - run.job.before:
            self.view.put(inside)
        elif run.session.phase != "running":
            self._seen = run, number, picture
            self._begin()

    def _begin(self) -> None:
        """Take the update apart that follows the picture seen, once the last one is."""
        seen = self._seen
        if seen is None or self._session.live:
            return
        self._begun, self._session = seen, Session(0)
        self._session.start(lambda _: _apart(*seen), name="emrecon inside EM")
        self._timer.start()

    def _stop(self) -> None:
        self._session.stop()

    def _poll(self) -> None:
        """Show what was taken apart beside a run, once it is there, unless another is seen now."""
        if self._session.live:
            return
        self._timer.stop()
        if self.view is None or self._seen is not self._begun:
            self._begin()
            return
        if self._session.result is not None:
            self.view.put(self._session.result)
        elif self._session.error:
            self.view.readout.setText(self._session.error)
        self._seen = self._begun = None  # what they hold is large

    def _closed(self) -> None:
        self.view = self._seen = None
        if self._dock.job is not None:
            self._dock.job.wants_inside = False
        mode = self._dock.run_bar.mode
        if mode.currentText() == SLOW:
            mode.setCurrentText(self._before)


def _apart(run: Kept, number: int, picture: Image) -> Inside:
    inside: Inside = run.job.look_at(number, picture)
    return inside
