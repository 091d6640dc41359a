"""DICOM attributes by keyword, with refusals that name keyword, tag, and the flag that helps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class Attributes:
    """What stands in a data set or in an item of one of its sequences."""

    def __init__(self, dataset: Dataset, path: Path, place: str = "") -> None:
        self.dataset = dataset
        self.path = path
        self.place = place

    def value(self, keyword: str) -> Any:  # noqa: ANN401 - whatever stands there
        """Return what stands there, None where it is missing or empty.

        Raises
        ------
        FormatError
            If it cannot be understood.
        """
        try:
            found = getattr(self.dataset, keyword, None)
        except (ValueError, TypeError, OverflowError, NotImplementedError, EOFError) as error:
            raise self.refusal(keyword, f"it cannot be read: {error}") from error
        return None if found is None or (hasattr(found, "__len__") and not len(found)) else found

    def text(self, keyword: str) -> str:
        """Return a value as text, empty where there is none."""
        found = self.value(keyword)
        return "" if found is None else str(found).strip()

    def words(self, keyword: str) -> list[str]:
        """Return all values as text."""
        return [str(word).strip() for word in self._values(keyword)]

    def numbers(self, keyword: str) -> list[float]:
        """Return all values as numbers, none of them NaN or infinite."""
        try:
            found = [float(value) for value in self._values(keyword)]
        except (TypeError, ValueError) as error:
            raise self.refusal(keyword, "numbers are wanted") from error
        if not np.all(np.isfinite(found)):
            raise self.refusal(keyword, "finite numbers are wanted")
        return found

    def number(self, keyword: str) -> float | None:
        """Return a single number, None where there is none."""
        found = self.numbers(keyword)
        if len(found) > 1:
            raise self.refusal(keyword, "one number is wanted")
        return found[0] if found else None

    def count(self, keyword: str) -> int | None:
        """Return a number of things, above 0; None where there is none."""
        found = self.number(keyword)
        if found is not None and (found < 1 or found != int(found)):
            raise self.refusal(keyword, "a whole number above 0 is wanted")
        return None if found is None else int(found)

    def integers(self, keyword: str) -> NDArray[np.int64] | None:
        """Return a row of whole numbers, None where there is none."""
        found = self.numbers(keyword)
        return np.array(found, np.int64) if found else None

    def items(self, keyword: str) -> list[Attributes]:
        """Return the items of a sequence; none where it is missing."""
        found = self.value(keyword) or []
        return [
            Attributes(item, self.path, f"{self.place}{keyword} {number}: ")
            for number, item in enumerate(found, 1)
        ]

    def item(self, keyword: str, number: int) -> Attributes:
        """Return an item of a sequence by its number, from 0."""
        items = self.items(keyword)
        if number >= len(items):
            raise self.refusal(keyword, f"item {number + 1} is wanted, there are {len(items)}")
        return items[number]

    def refusal(self, keyword: str, wanted: str, flag: str = "") -> FormatError:
        """Return the error that names an attribute, what stands there, and what to do."""
        from pydicom.datadict import tag_for_keyword

        tag = tag_for_keyword(keyword) or 0
        name = f"{self.place}{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        return FormatError(f"{self.path}: {name} {self._said(keyword)}; {wanted}{_advice(flag)}")

    def _said(self, keyword: str) -> str:
        found = self.dataset.get_item(keyword) if keyword in self.dataset else None
        if found is None:
            return "is missing"
        said = "" if found.value is None else str(found.value)
        return f"is {said[:60]!r}" if said and "\n" not in said else "stands there"

    def _values(self, keyword: str) -> list[Any]:
        found = self.value(keyword)
        if found is None:
            return []
        return list(found) if isinstance(found, (list, tuple)) or _many(found) else [found]


def _many(found: Any) -> bool:  # noqa: ANN401 - whatever stands there
    from pydicom.multival import MultiValue

    return isinstance(found, MultiValue)


def _advice(flag: str) -> str:
    return f" (supply it with {flag})" if flag else ""
