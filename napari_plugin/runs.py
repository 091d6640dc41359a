"""The runs of a panel that are kept: a list to choose from, to go on with and to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QSpinBox, QVBoxLayout, QWidget

from emrecon import forms
from emrecon.jobs.base import Job
from napari_plugin.layout import Words, button, fit_rows, row
from napari_plugin.plot import LINES, Line
from napari_plugin.session import Session

MOST = 8
"""Runs kept: the oldest gives way."""


@dataclass(eq=False)
class Kept:
    """A run that is kept, or goes on."""

    session: Session
    """Its pictures, warnings and result."""

    job: Any
    """What ran, with its curves."""

    number: int
    """From 1, by which it is called."""

    about: str = ""
    """How it differs from others, in a few words."""

    settings: str = ""
    """All its settings, for the tooltip."""

    line: Line | None = None
    """Its curves, once it has ended."""

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.number}: {self.about}"

    @property
    def colour(self) -> str:
        """Of its curve."""
        return LINES[self.number % len(LINES)]


def differences(one: Job, other: Job) -> list[str]:
    """Return the settings by which two jobs differ, a line each."""
    return list(_differing(_flat(forms.plain(one)), _flat(forms.plain(other))))


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    names = [name for name in one if one[name] != other.get(name)]
    return [f"{name}: {one[name]!r} and {other.get(name)!r}" for name in names]


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a job and of its forms by name, less where it is written."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= value
        elif name != "out":
            flat[name] = value
    return flat


class RunList(QWidget):
    """The runs by name, in the colour of their curves; those that are ticked are drawn.

    Parameters
    ----------
    iterations : bool
        Whether a run can go on, and two can be compared.
    parent : QWidget, optional
        Qt's parent.
    """

    chosen = Signal(object)
    """A run that is to be shown."""

    ticked = Signal()
    """Other runs are to be drawn."""

    more = Signal(int)
    """The run that is shown is to make so many iterations more."""

    compare = Signal()
    """Two runs are to be compared."""

    def __init__(self, *, iterations: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.runs: list[Kept] = []
        self.list = QListWidget(self)
        self.list.setObjectName("runs")
        self.list.setToolTip("Runs: click one to see it, tick those whose curves are drawn")
        self.list.itemChanged.connect(lambda _: self.ticked.emit())
        self.list.itemClicked.connect(lambda item: self.chosen.emit(self._run(item)))
        self.continue_button = button(
            "continue",
            "Continue",
            "Make more iterations of the run that is shown, to the same bits",
        )
        self.iterations = QSpinBox(self)
        self.iterations.setObjectName("more")
        self.iterations.setRange(1, 1000)
        self.iterations.setValue(4)
        self.iterations.setPrefix("+ ")
        self.iterations.setToolTip("Iterations more")
        self.compare_button = button(
            "compare", "Compare", "Two ticked runs: difference image, and settings that differ"
        )
        self.continue_button.clicked.connect(lambda _: self.more.emit(self.iterations.value()))
        self.compare_button.clicked.connect(lambda _: self.compare.emit())
        self.readout = Words()
        self.readout.hide()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.list)
        tools = (self.continue_button, self.iterations, self.compare_button)
        whole.addLayout(row(*tools))
        whole.addWidget(self.readout)
        for tool in tools:
            tool.setVisible(iterations)
        self.hide()

    def add(self, run: Kept) -> list[Kept]:
        """Add a run, ticked; return those that gave way."""
        item = QListWidgetItem(_swatch(run.colour), run.name)
        item.setToolTip(f"<p>{run.settings}</p>")
        item.setCheckState(Qt.CheckState.Checked)
        item.setData(Qt.ItemDataRole.UserRole, run.number)
        self.runs.append(run)
        self.list.blockSignals(True)  # noqa: FBT003 - Qt's own name
        self.list.addItem(item)
        self.list.setCurrentItem(item)
        self.list.blockSignals(False)  # noqa: FBT003
        fit_rows(self.list, 1, 3)
        self.show()
        gone = self.runs[:-MOST]
        for _ in gone:
            self.list.takeItem(0)
        del self.runs[:-MOST]
        return gone

    def say(self, words: str) -> None:
        """Say how two runs differ."""
        self.readout.setText(words)
        self.readout.setVisible(bool(words))

    def select(self, run: Kept) -> None:
        """Mark the run that is shown."""
        self.list.setCurrentRow(self.runs.index(run))

    def clear(self) -> None:
        """Forget all, and let go of their pictures and data."""
        for run in self.runs:
            run.job.release()
            run.session.forget()
        self.runs.clear()
        self.list.clear()
        self.hide()

    def room(self, whole_bytes: int) -> int:
        """Return the memory for another run's pictures; these keep half of it at most."""
        used = 0
        for run in reversed(self.runs):
            if used + run.session.history.bytes > whole_bytes // 2:
                run.session.history.keep_last()
            used += run.session.history.bytes
        return max(whole_bytes - used, whole_bytes // 2)

    def drawn(self) -> list[Kept]:
        """Return the runs that are ticked."""
        on = Qt.CheckState.Checked
        ticks = [self.list.item(place).checkState() == on for place in range(self.list.count())]
        return [run for run, tick in zip(self.runs, ticks, strict=True) if tick]

    def tick(self, runs: Sequence[Kept]) -> None:
        """Tick these runs alone."""
        for place, run in enumerate(self.runs):
            on = Qt.CheckState.Checked if run in runs else Qt.CheckState.Unchecked
            self.list.item(place).setCheckState(on)

    def _run(self, item: QListWidgetItem) -> Kept:
        return self.runs[int(self.list.row(item))]


def _swatch(colour: str) -> QIcon:
    picture = QPixmap(12, 12)
    picture.fill(QColor(colour))
    return QIcon(picture)
