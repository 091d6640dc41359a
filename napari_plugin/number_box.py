"""A box for a number that is read alike in every language."""

from __future__ import annotations

import re
from contextlib import suppress

from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QDoubleSpinBox

_WHOLE = re.compile(r"[+-]?\d*")
_PART = re.compile(r"[+-]?\d*[.,]?\d*(?:[eE][+-]?\d*)?")


class NumberBox(QDoubleSpinBox):  # type: ignore[misc] # Qt has no types
    """A number with a point or a comma before its decimals, and exponents; thousands in one.

    Qt would take a point for what parts thousands where people write a comma: 0.05 for 5.
    """

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        """Return whether a text is a number, or may become one."""
        state, pattern = QValidator.State.Invalid, _PART if self.decimals() else _WHOLE
        if pattern.fullmatch(self._bare(text)):
            state = QValidator.State.Intermediate
            with suppress(ValueError):
                if self.minimum() <= self.valueFromText(text) <= self.maximum():
                    state = QValidator.State.Acceptable
        return state, text, place

    def valueFromText(self, text: str) -> float:  # noqa: N802 - Qt's name
        """Return the number that a text is."""
        return float(self._bare(text).replace(",", "."))

    def _bare(self, text: str) -> str:
        return text.removesuffix(self.suffix()).strip()
