"""DICOM attributes by keyword, with refusals that name keyword, tag, and the flag that helps."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError
from emrecon.heard import heard

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
            with _unjudged():
                stored = getattr(self.dataset, keyword, None)
        except (ValueError, TypeError, OverflowError, NotImplementedError, EOFError) as error:
            raise self.refusal(keyword, f"it cannot be read: {error}") from error
        empty = stored is None or (hasattr(stored, "__len__") and not len(stored))
        return None if empty else stored

    def text(self, keyword: str) -> str:
        """Return a value as text, empty where there is none."""
        stored = self.value(keyword)
        return "" if stored is None else str(stored).strip()

    def words(self, keyword: str) -> list[str]:
        """Return all values as text."""
        return [str(word).strip() for word in self._values(keyword)]

    def numbers(self, keyword: str) -> list[float]:
        """Return all values as numbers, none of them NaN or infinite."""
        try:
            stored = [float(value) for value in self._values(keyword)]
        except (TypeError, ValueError) as error:
            raise self.refusal(keyword, "numbers are wanted") from error
        if not np.all(np.isfinite(stored)):
            raise self.refusal(keyword, "finite numbers are wanted")
        return stored

    def number(self, keyword: str) -> float | None:
        """Return a single number, None where there is none."""
        stored = self.numbers(keyword)
        if len(stored) > 1:
            raise self.refusal(keyword, "one number is wanted")
        return stored[0] if stored else None

    def count(self, keyword: str) -> int | None:
        """Return a number of things, above 0; None where there is none."""
        stored = self.number(keyword)
        if stored is not None and (stored < 1 or stored != int(stored)):
            raise self.refusal(keyword, "a whole number above 0 is wanted")
        return None if stored is None else int(stored)

    def integers(self, keyword: str) -> NDArray[np.int64] | None:
        """Return a row of whole numbers, None where there is none."""
        stored = self.numbers(keyword)
        return np.array(stored, np.int64) if stored else None

    def items(self, keyword: str) -> list[Attributes]:
        """Return the items of a sequence; none where it is missing."""
        stored = self.value(keyword) or []
        return [
            Attributes(item, self.path, f"{self.place}{keyword} {number}: ")
            for number, item in enumerate(stored, 1)
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
        return FormatError(
            f"{self.path}: {name} {self._as_text(keyword)}; {wanted}{_advice(flag)}"
        )

    def _as_text(self, keyword: str) -> str:
        stored = self.dataset.get_item(keyword) if keyword in self.dataset else None
        if stored is None:
            return "is missing"
        text = "" if stored.value is None else str(stored.value)
        return f"is {text[:60]!r}" if text and "\n" not in text else "stands there"

    def _values(self, keyword: str) -> list[Any]:
        stored = self.value(keyword)
        if stored is None:
            return []
        return list(stored) if isinstance(stored, (list, tuple)) or _many(stored) else [stored]


def is_dicom(head: bytes) -> bool:
    """Return whether a file that begins so is DICOM, with its preamble of 128 bytes."""
    return head[128:132] == b"DICM"


def open_dicom(path: Path, *, pixels: bool = True) -> Attributes:
    """Read a DICOM file.

    Raises
    ------
    FormatError
        If it is none, or damaged.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        with _unjudged():
            dataset = dcmread(path, stop_before_pixels=not pixels)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    except (InvalidDicomError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise FormatError(f"{path} is no DICOM file that can be read: {error}") from error
    if getattr(dataset.file_meta, "TransferSyntaxUID", None) is None:
        raise FormatError(f"{path} is damaged: it names no transfer syntax")
    return Attributes(dataset, path)


@contextmanager
def _unjudged() -> Iterator[None]:
    """Have pydicom say nothing of values that break its rules; what is wanted is refused by name.

    It warns and logs, when values are read and once more when they are asked for.
    """
    from pydicom.config import disable_value_validation

    with warnings.catch_warnings(), heard("pydicom", silent=True), disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def _many(stored: Any) -> bool:  # noqa: ANN401 - whatever stands there
    from pydicom.multival import MultiValue

    return isinstance(stored, MultiValue)


def _advice(flag: str) -> str:
    return f" (supply it with {flag})" if flag else ""
