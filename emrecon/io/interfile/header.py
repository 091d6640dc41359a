"""Interfile headers: keys and values with the lines they stand on.

Keys are compared without case, ``!``, and repeated blanks or underscores; ``key [n]`` is element
n of a vector, and a key without index is element 1; ``{a, b, c}`` is a list; ``;`` starts a
comment; a backslash at the end of a line continues it. Lines are UTF-8, or else Latin-1, and end
at CR, LF or both; byte order marks and padding are passed over. A line that is not
``key := value`` is refused when the key that it seems to hold is asked for.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from emrecon.errors import FormatError, WriteError
from emrecon.io.interfile.keys import SPELLINGS

MOST_BYTES = 1 << 20
"""How long a header may be: what follows is taken for data."""

_MOST = 1 << 53
"""More than any integer of a header; arrays of more elements are refused by numpy, not memory."""

_LINE = re.compile(r"([^\[\]]*?)\s*(?:\[\s*(\d+)\s*\])?\s*:\s*=\s*(.*)")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_PADDING = " \t\v\f\0\x1a"
"""What editors and old systems leave around lines: blanks, form feeds, NUL, the DOS end (^Z)."""


@dataclass(frozen=True)
class Entry:
    """One line of a header."""

    key: str
    """The key as compared: lower case, single blanks, in the spelling asked for."""

    index: int
    """Which element of a vector; 1 where the line does not say."""

    value: str
    """The value as written."""

    line: int
    """Number of the line, from 1."""


class Header:
    """Keys and values of an Interfile header, which remembers what was asked of it.

    Every getter takes a key and an index, 1 by default. A key that stands there without a value
    counts as missing.

    Parameters
    ----------
    path : Path
        The header.
    entries : iterable of Entry
        Its lines.
    malformed : dict of str, optional
        Lines that are not ``key := value``, by number.
    """

    def __init__(
        self, path: Path, entries: Iterable[Entry], malformed: dict[int, str] | None = None
    ) -> None:
        self.path = path
        self._entries: dict[tuple[str, int], Entry] = {}
        self._malformed = malformed or {}
        self._asked: set[str] = set()
        for entry in entries:
            earlier = self._entries.setdefault((entry.key, entry.index), entry)
            if earlier.value != entry.value:
                raise FormatError(
                    f"{path}: '{entry.key} [{entry.index}]' is '{earlier.value}' in line "
                    f"{earlier.line} but '{entry.value}' in line {entry.line}"
                )

    def entry(self, key: str, index: int = 1) -> Entry | None:
        """Return the line of a key, None where it is missing or has no value."""
        self._asked.add(key)
        self._refuse_malformed(key)
        stated = self._entries.get((key, index))
        return stated if stated is not None and stated.value else None

    def text(self, key: str, index: int = 1, default: str | None = None) -> str:
        """Return the value as written; `default` where it is missing."""
        stated = self.entry(key, index)
        if stated is not None:
            return stated.value
        if default is None:
            raise FormatError(f"{self.path}: the key '{_name(key, index)}' is missing")
        return default

    def choice(self, key: str, choices: Iterable[str], default: str | None = None) -> str:
        """Return the value, which must be one of `choices`, in lower case with single blanks."""
        value = normal(self.text(key, default=default))
        if value not in choices and value != default:
            raise self.refusal(key, f"supported are {', '.join(choices)}")
        return value

    def integers(self, key: str, index: int = 1) -> list[int]:
        """Return the integers of a list, or of a single value."""
        items = _items(self.text(key, index))
        try:
            values = [int(item) for item in items]
        except ValueError:
            raise self.refusal(key, "an integer or a list of them is needed", index) from None
        if max(map(abs, values), default=0) > _MOST:
            raise self.refusal(key, f"no number is above {_MOST}", index)
        return values

    def numbers(self, key: str, index: int = 1) -> list[float]:
        """Return the numbers of a list, or of a single value; none of them NaN or infinite."""
        items = _items(self.text(key, index))
        try:
            values = [float(item) for item in items]
        except ValueError:
            values = [np.nan]
        if not np.isfinite(values).all():
            raise self.refusal(key, "a number or a list of them is needed", index)
        return values

    def integer(self, key: str, index: int = 1, default: int | None = None) -> int:
        """Return a single integer; `default` where it is missing."""
        if default is not None and self.entry(key, index) is None:
            return default
        values = self.integers(key, index)
        if len(values) != 1:
            raise self.refusal(key, "one integer is needed", index)
        return values[0]

    def number(self, key: str, index: int = 1, default: float | None = None) -> float:
        """Return a single number; `default` where it is missing."""
        if default is not None and self.entry(key, index) is None:
            return default
        values = self.numbers(key, index)
        if len(values) != 1:
            raise self.refusal(key, "one number is needed", index)
        return values[0]

    def words(self, key: str, index: int = 1) -> list[str]:
        """Return the items of a list in lower case with single blanks; none where missing."""
        return [normal(item) for item in _items(self.text(key, index, default=""))]

    def refusal(self, key: str, wanted: str, index: int = 1) -> FormatError:
        """Return the error that says what stands at a key, where, and what was wanted."""
        stated = self.entry(key, index)
        place = f"{self.path}" if stated is None else f"{self.path}, line {stated.line}"
        value = "" if stated is None else stated.value
        return FormatError(f"{place}: '{_name(key, index)} := {value}' is not supported; {wanted}")

    def _refuse_malformed(self, key: str) -> None:
        """Refuse a line that is not ``key := value`` where it may have been meant to set `key`."""
        for number, line in self._malformed.items():
            meant = normal(re.split(r"[\[:=]", line)[0])
            if meant.startswith(key) or key.startswith(meant):
                raise FormatError(f"{self.path}, line {number}: not 'key := value': {line[:60]!r}")

    def data_path(self) -> Path:
        """Return the data file: the one that is named or, on another machine, its namesake.

        Raises
        ------
        FormatError
            If none is named, or there is neither.
        """
        name = self.text("name of data file").strip("'\"")
        bare = re.split(r"[/\\]", name)[-1]
        for path in (self.path.parent / name, self.path.parent / bare):
            if path.is_file():
                return path
        raise FormatError(
            f"{self.path}: no data file {name!r} from {self.path.parent}, and no {bare!r} there"
        )

    def data_files(self) -> tuple[Path, ...]:
        """Return the data file, if one is named and exists."""
        try:
            return (self.data_path(),)
        except FormatError:
            return ()

    def unread(self, harmless: Iterable[str] = ()) -> list[Entry]:
        """Return the lines whose keys nobody has asked for and that are not `harmless`."""
        known = self._asked.union(harmless)
        malformed = [Entry(line[:60], 1, line, at) for at, line in self._malformed.items()]
        stated = [entry for entry in self._entries.values() if entry.value]
        return [entry for entry in stated if entry.key not in known] + malformed


def writable(name: str) -> str:
    """Return the name of a data file, as a header holds it.

    Raises
    ------
    WriteError
        If a header that holds it would be read otherwise.
    """
    plain = name.isprintable() and not set(name) & set(";\\") and name == name.strip(" '\"")
    if not plain:
        raise WriteError(
            f"cannot write {name!r}: the header of Interfile holds no such name; leave out line "
            "ends, semicolons, backslashes, and quotes and blanks at its ends"
        )
    return name


def is_interfile(head: bytes) -> bool:
    """Return whether a file that begins so is Interfile."""
    for line in _texts(head):
        content = _content(line)
        if content:
            return normal(content.partition(":")[0]) == "interfile"
    return False


def parse(path: Path) -> Header:
    """Read the header at `path`, up to ``END OF INTERFILE`` or the end of the file.

    Raises
    ------
    FormatError
        If the file cannot be read, is not Interfile, or says two things of one key.
    """
    try:
        with path.open("rb") as file:
            stored = file.read(MOST_BYTES)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    lines = _lines(_texts(stored))
    first = next(lines, (1, ""))[1]
    if normal(first.partition(":")[0]) != "interfile":
        raise FormatError(f"{path} is not Interfile: it does not start with '!INTERFILE :='")
    return Header(path, *_entries(lines))


def normal(text: str) -> str:
    """Return a key or a word as it is compared: lower case, no ``!``, single blanks."""
    return " ".join(text.lower().replace("!", " ").replace("_", " ").split())


def _texts(stored: bytes) -> Iterator[str]:
    """Yield lines as text, each by itself, as headers hold names from several sources."""
    for mark, encoding in _MARKS.items():
        if stored.startswith(mark):
            stored = stored[len(mark) :].decode(encoding, "replace").encode()
    for line in _LINE_END.split(stored):
        try:
            yield line.decode()
        except UnicodeDecodeError:
            yield line.decode("latin-1")


def _content(line: str) -> str:
    """Return what a line says, without comment and padding."""
    return line.partition(";")[0].strip(_PADDING)


def _lines(texts: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield number and text of every line that says something, continued ones as one."""
    begun, start = "", 1
    for number, line in enumerate(texts, 1):
        start = start if begun else number
        content = _content(line)
        if content.endswith("\\"):
            begun += content[:-1] + " "
            continue
        whole, begun = (begun + content).strip(), ""
        if whole:
            yield start, whole


def _entries(lines: Iterable[tuple[int, str]]) -> tuple[list[Entry], dict[int, str]]:
    """Return what lines say up to the end of the header, and by number those that say nothing."""
    entries, malformed = [], {}
    for number, line in lines:
        parsed = _key_and_value(line)
        if parsed is None and normal(line) != "end of interfile":
            malformed[number] = line
        elif parsed is None or parsed[0] == "end of interfile":
            break
        else:
            entries.append(Entry(*parsed, number))
    return entries, malformed


@lru_cache(maxsize=4096)
def _key_and_value(line: str) -> tuple[str, int, str] | None:
    """Return key, index and value of a line; scans of one scanner share most of their lines."""
    stated = _LINE.fullmatch(line)
    if stated is None:
        return None
    key = normal(stated[1])
    return SPELLINGS.get(key, key), int(stated[2] or 1), stated[3].strip()


def _items(value: str) -> list[str]:
    inner = value.strip().removeprefix("{").removesuffix("}").strip()
    return [item.strip() for item in inner.split(",")] if inner else []


def _name(key: str, index: int) -> str:
    return key if index == 1 else f"{key} [{index}]"
