"""How a dock's widgets are set out: a column, lines with captions, areas that scroll."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QFrame, QScrollArea, QVBoxLayout, QWidget


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


def scrolled(widget: QWidget) -> QScrollArea:
    """Return a widget in an area that scrolls upright."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setMinimumHeight(90)
    area.setWidget(widget)
    return area
