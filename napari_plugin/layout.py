"""How a dock's widgets are set out: a column, lines with captions, areas that scroll."""

from __future__ import annotations

from typing import TypeVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

LEAST = 90
"""Height that any area which scrolls may shrink to, in pixels."""

L = TypeVar("L", bound=QLabel)


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
    made = QPushButton(caption)
    made.setObjectName(name)
    made.setToolTip(text)
    return made


def shrinking(label: L) -> L:
    """Let a line of text be cut off rather than widen its dock; the tooltip shows all of it."""
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return label


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
