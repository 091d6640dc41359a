"""How a dock's widgets are set out: a column, lines with captions, areas that scroll."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTableWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

LEAST = 78
"""Height that any area which scrolls may shrink to, in pixels."""

_ROW, _LINE = 22, 17
"""Height of a row of a table, and of a line of a list, in pixels."""


def column(parent: QWidget) -> QVBoxLayout:
    """Return the layout of a whole dock, from top to bottom."""
    layout = QVBoxLayout(parent)
    layout.setContentsMargins(4, 4, 4, 4)
    layout.setSpacing(4)
    return layout


def lines(parent: QWidget | None = None) -> QFormLayout:
    """Return a layout of captions with widgets as wide as there is room."""
    layout = QFormLayout() if parent is None else QFormLayout(parent)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


def row(*widgets: QWidget) -> QHBoxLayout:
    """Return widgets side by side."""
    layout = QHBoxLayout()
    layout.setSpacing(3)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def button(name: str, caption: str, text: str) -> QPushButton:
    """Return a button with its name in Qt and its tooltip."""
    widget = QPushButton(caption)
    widget.setObjectName(name)
    widget.setToolTip(text)
    return widget


def read_only_table(heads: Sequence[str]) -> QTableWidget:
    """Return an empty table that nobody types into, of whole rows."""
    table = QTableWidget(0, len(heads))
    table.setHorizontalHeaderLabels(list(heads))
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(_ROW)
    table.setMinimumHeight(LEAST)
    table.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
    return table


def fit_rows(items: QListWidget, least: int, most: int) -> None:
    """Make a list as high as its lines, of which so many are seen at least and at most."""
    items.setFixedHeight(_LINE * min(max(items.count(), least), most) + 8)


def scrolled(widget: QWidget) -> QScrollArea:
    """Return a widget in an area that scrolls upright."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setMinimumHeight(LEAST)
    area.setWidget(widget)
    return area


def inside(parent: QWidget, last: QWidget | None = None) -> QWidget:
    """Return what a dock's widgets go into: it scrolls where the screen is lower than they are.

    Parameters
    ----------
    parent : QWidget
        The dock.
    last : QWidget, optional
        Stays below, whatever the height.
    """
    body = QWidget()
    whole = column(parent)
    whole.setContentsMargins(0, 0, 0, 0)
    whole.addWidget(scrolled(body), 1)
    if last is not None:
        below = column(frame := QWidget())
        below.addWidget(last)
        whole.addWidget(frame)
    return body


class OneLine(QLabel):  # type: ignore[misc] # Qt has no types
    """A line of words that is cut off rather than widen its dock.

    Qt's own label has the whole window set out anew, and drawn once more, for every word.

    Parameters
    ----------
    text : str
        What is said first.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._words = text
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def setText(self, text: str) -> None:  # noqa: N802 - Qt's own name
        """Say something else."""
        if text != self._words:
            self._words = text
            self.update()

    def text(self) -> str:
        """Return what is said."""
        return self._words

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's own name
        """Return the height of a line."""
        return QSize(0, self.fontMetrics().height() + 2)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's own name
        """Return the same: no width is needed."""
        return self.sizeHint()

    def paintEvent(self, event: Any) -> None:  # noqa: ANN401, N802 - Qt's own name
        """Draw as many of the words as there is room for."""
        del event
        room = self.contentsRect()
        words = self.fontMetrics().elidedText(
            self._words, Qt.TextElideMode.ElideRight, room.width()
        )
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter, role = QPainter(self), self.foregroundRole()
        self.style().drawItemText(
            painter, room, left, self.palette(), self.isEnabled(), words, role
        )


class Words(QLabel):
    """Words that wrap, and take the height that they need at their width.

    An area that scrolls gives what holds Qt's own wrapping label all the height that it would
    like, not the least it can do with.

    Parameters
    ----------
    text : str
        What is said first.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setWordWrap(True)

    def hasHeightForWidth(self) -> bool:  # noqa: N802 - Qt's own name
        """Keep to itself that its height depends on its width."""
        return False

    def setText(self, text: str) -> None:  # noqa: N802
        """Say something else."""
        super().setText(text)
        self._fit()

    def resizeEvent(self, event: object) -> None:  # noqa: N802
        """Take the height that goes with a new width."""
        super().resizeEvent(event)
        QTimer.singleShot(0, self._fit)  # a layout that is being laid out forgets what changes

    def _fit(self) -> None:
        self.setFixedHeight(max(0, self.heightForWidth(self.width())))


class Section(QWidget):
    """Lines under a heading, folded away until it is clicked.

    Parameters
    ----------
    title : str
        The heading.
    parent : QWidget, optional
        Qt's parent.
    """

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.head = QToolButton(self)
        self.head.setObjectName(f"section-{title}")
        self.head.setText(title)
        self.head.setCheckable(True)
        self.head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.setAutoRaise(True)
        body = QWidget(self)
        self.rows = lines(body)
        self.rows.setContentsMargins(8, 0, 0, 0)
        self._body = body
        self.head.toggled.connect(self._fold)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(2)
        whole.addWidget(self.head)
        whole.addWidget(body)
        self._fold(shown=False)

    def unfold(self, shown: bool) -> None:  # noqa: FBT001 - as Qt has it
        """Show its lines, or fold them away."""
        self.head.setChecked(shown)

    def _fold(self, shown: bool) -> None:  # noqa: FBT001 - a slot
        self.head.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._body.setVisible(shown)
