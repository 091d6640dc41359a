"""Reading yardl's binary streams by the schema that each file carries.

A file starts with ``yardl``, a version, and its schema as JSON; the data follow without names or
lengths. The schema is turned into readers here, so that every version of a format can be read
by the names of its records. Whatever has one fixed number of equal parts is read in bulk: a
vector of such items becomes one array.

The encoding is that of the yardl project's documentation ("Binary Encoding"): unsigned numbers
as LEB128, signed ones zigzag, floats little-endian, vectors led by their length, optional values
and unions by the index of their case, streams in blocks led by a count, a count of 0 at the end.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emrecon.errors import FormatError

Schema = dict[str, Any]

MAGIC = b"yardl"
VERSION = 1
LONGEST_SCHEMA = 1 << 24
DEEPEST = 64
"""Types within types; a schema that names itself is refused there."""

VARINT, ZIGZAG = "varint", "zigzag"

PRIMITIVES = {
    "bool": "u1", "int8": "i1", "uint8": "u1",
    "int16": ZIGZAG, "int32": ZIGZAG, "int64": ZIGZAG, "date": ZIGZAG, "time": ZIGZAG,
    "datetime": ZIGZAG, "uint16": VARINT, "uint32": VARINT, "uint64": VARINT, "size": VARINT,
    "float32": "<f4", "float64": "<f8", "complexfloat32": "<c8", "complexfloat64": "<c16",
}  # fmt: skip


class Cursor:
    """A place in the bytes of a file, which may be memory-mapped."""

    def __init__(self, data: NDArray[np.uint8], name: str) -> None:
        self.data = data
        self._memory = data.data  # quicker byte by byte
        self.at = 0
        self.name = name

    @property
    def left(self) -> int:
        """Number of bytes from here to the end."""
        return int(self.data.size) - self.at

    def damaged(self, why: str) -> FormatError:
        """Return the error that the data are not as the schema says."""
        return FormatError(
            f"{self.name} is damaged or truncated at byte {self.at} of {self.data.size}: {why}"
        )

    def numbers(self, code: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """Read numbers of one kind."""
        count = math.prod(shape)
        if code not in {VARINT, ZIGZAG}:
            dtype = np.dtype(code)
            raw = self.take(count * dtype.itemsize)
            return np.frombuffer(bytes(raw), dtype).reshape(shape)
        from emrecon.io.petsird.kernels import varints  # noqa: PLC0415 - numba only when needed

        if count > self.left:
            raise self.damaged(f"{count} numbers do not fit into what is left")
        out = np.empty(count, np.uint64)
        after = varints.decode(self.data, self.at, out)
        if after < 0:
            long = after == varints.TOO_LONG
            raise self.damaged("a number of more than 64 bits" if long else "it ends in a number")
        self.at = after
        if code == ZIGZAG:
            one = np.uint64(1)
            out = (out >> one) ^ (np.uint64(0) - (out & one))
            return out.view(np.int64).reshape(shape)
        return out.reshape(shape)

    def count(self, least: int) -> int:
        """Read how many items follow, each of `least` bytes or more."""
        count = self.number()
        if count * max(least, 1) > self.left:
            raise self.damaged(f"{count} items do not fit into what is left")
        return count

    def number(self) -> int:
        """Read one unsigned number."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 63:
                raise self.damaged("a number of more than 64 bits")
        return value

    def byte(self) -> int:
        """Read one byte."""
        if self.left < 1:
            raise self.damaged("it ends too early")
        self.at += 1
        return int(self._memory[self.at - 1])

    def take(self, count: int) -> memoryview:
        """Read some bytes."""
        if count > self.left:
            raise self.damaged(f"{count} bytes are wanted, {self.left} are left")
        self.at += count
        return self._memory[self.at - count : self.at]

    def text(self) -> str:
        """Read a string."""
        raw = bytes(self.take(self.count(1)))
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self.damaged("a text is not UTF-8") from error


@dataclass(frozen=True)
class Kind:
    """How to read values of one type."""

    read: Callable[[Cursor], Any]
    """Reads one value."""

    least: int
    """Fewest bytes that a value takes."""

    code: str = ""
    """Encoding of the numbers that every value consists of, where that is all of one kind."""

    parts: int = 0
    """How many numbers a value consists of, where it has a code."""


@dataclass(frozen=True, eq=False)
class Types:
    """The named types of a schema, and the readers made from them."""

    named: Mapping[str, Schema]
    """Definitions by name, without namespace."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    """Readers by type, as JSON."""

    def kind(self, wanted: Any, bound: Mapping[str, Any] | None = None, deep: int = 0) -> Kind:  # noqa: ANN401 - JSON
        """Return the reader of a type; `bound` are the values of type parameters."""
        if deep > DEEPEST:
            raise FormatError("the file's schema nests types without end: it is damaged")
        bound = bound or {}
        if isinstance(wanted, str) and wanted in bound:
            return self.kind(bound[wanted], None, deep + 1)
        key = json.dumps([wanted, dict(bound)], sort_keys=True)
        if key not in self.kinds:
            self.kinds[key] = self._make(wanted, bound, deep + 1)
        return self.kinds[key]

    def _make(self, wanted: Any, bound: Mapping[str, Any], deep: int) -> Kind:  # noqa: ANN401 - JSON
        if isinstance(wanted, str):
            return self._named(wanted, (), deep)
        if isinstance(wanted, list):
            return self._union(wanted, bound, deep)
        if not isinstance(wanted, dict):
            raise _unknown(wanted)
        if "name" in wanted:
            arguments = wanted.get("typeArguments", [])
            filled = tuple(_filled(argument, bound) for argument in arguments)
            return self._named(wanted["name"], filled, deep)
        if "vector" in wanted:
            items = self.kind(wanted["vector"]["items"], bound, deep)
            length = wanted["vector"].get("length")
            return _vector(items) if length is None else _fixed(items, (int(length),))
        if "array" in wanted:
            items = self.kind(wanted["array"]["items"], bound, deep)
            return _array(items, wanted["array"].get("dimensions"))
        raise _unknown(wanted)

    def _named(self, name: Any, arguments: tuple[Any, ...], deep: int) -> Kind:  # noqa: ANN401 - JSON
        if name == "string":
            return Kind(Cursor.text, 1)
        if name in PRIMITIVES:
            return _primitive(PRIMITIVES[name])
        definition = self.named.get(str(name).rpartition(".")[2])
        if not isinstance(definition, dict):
            raise _unknown(name)
        bound = dict(zip(definition.get("typeParameters", []), arguments, strict=True))
        if "fields" in definition:
            fields = {
                each["name"]: self.kind(each["type"], bound, deep) for each in definition["fields"]
            }
            return _record(fields)
        if "values" in definition:
            return self.kind(definition.get("base", "int32"), bound, deep)
        return self.kind(definition["type"], bound, deep)

    def _union(self, cases: list[Any], bound: Mapping[str, Any], deep: int) -> Kind:
        kinds: list[tuple[str, Kind | None]] = []
        for case in cases:
            kind = case["type"] if isinstance(case, dict) and "tag" in case else case
            tag = str(case["tag"]) if isinstance(case, dict) and "tag" in case else ""
            kinds.append((tag, None if kind is None else self.kind(kind, bound, deep)))
        optional = len(kinds) == 2 and kinds[0][1] is None

        def read(cursor: Cursor) -> Any:  # noqa: ANN401 - any type of the schema
            index = cursor.byte()
            if index >= len(kinds):
                raise cursor.damaged(f"case {index} of a choice of {len(kinds)}")
            tag, kind = kinds[index]
            value = kind and kind.read(cursor)
            return value if optional else (tag, value)

        return Kind(read, 1)


def open_stream(path: Path, protocol: str) -> tuple[Cursor, Types, Schema]:
    """Open a file; return the place where its data start, its types and its protocol.

    Raises
    ------
    FormatError
        If it is not a yardl file of this protocol, or its schema cannot be read.
    """
    size = path.stat().st_size
    data = np.asarray(np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8))
    cursor = Cursor(data, path.name)
    if data[: len(MAGIC)].tobytes() != MAGIC or size < len(MAGIC) + 4:
        raise FormatError(f"{path} is no {protocol} file: it does not start with 'yardl'")
    cursor.at = len(MAGIC)
    version = int(cursor.numbers("<i4", (1,))[0])
    if version != VERSION:
        raise FormatError(f"{path}: yardl encoding {version}, but only {VERSION} can be read")
    schema = _schema(cursor)
    try:
        named = {each["name"]: each for each in schema["types"]}
        about = schema["protocol"]
        if about["name"] != protocol:
            raise FormatError(f"{path} holds the protocol {about['name']}, not {protocol}")
    except (KeyError, TypeError) as error:
        raise cursor.damaged("its schema is not a yardl schema") from error
    return cursor, Types(named), about


def stream(cursor: Cursor, items: Kind) -> Iterator[Any]:
    """Yield the items of a stream, to its end."""
    while count := cursor.count(items.least):
        for _ in range(count):
            yield items.read(cursor)


def _schema(cursor: Cursor) -> Schema:
    """Read the schema that a file starts with."""
    length = cursor.count(1)
    if length > LONGEST_SCHEMA:
        raise cursor.damaged(f"a schema of {length} bytes")
    raw = bytes(cursor.take(length))
    try:
        schema = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise cursor.damaged("its schema is not JSON") from error
    if not isinstance(schema, dict):
        raise cursor.damaged("its schema is not a yardl schema")
    return schema


def _filled(argument: Any, bound: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return a type argument with the parameters of the type around it put in."""
    if isinstance(argument, str):
        return bound.get(argument, argument)
    if isinstance(argument, dict):
        return {key: _filled(value, bound) for key, value in argument.items()}
    return [_filled(each, bound) for each in argument] if isinstance(argument, list) else argument


def _unknown(wanted: object) -> FormatError:
    return FormatError(f"the file's schema has a type that is not known: {str(wanted)[:80]}")


def _primitive(code: str) -> Kind:
    """Return the reader of a number, bulk where many come together."""
    if code == VARINT:
        return Kind(Cursor.number, 1, code, 1)
    if code == ZIGZAG:
        return Kind(lambda cursor: _signed(cursor.number()), 1, code, 1)
    size = np.dtype(code).itemsize
    return Kind(lambda cursor: cursor.numbers(code, (1,))[0].item(), size, code, 1)


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _vector(items: Kind) -> Kind:
    """Return the reader of a vector: an array where its items are all alike, else a list."""
    if items.code:
        return Kind(lambda cursor: _bulk(cursor, items, (cursor.count(items.least),)), 1)
    return Kind(lambda cursor: [items.read(cursor) for _ in range(cursor.count(items.least))], 1)


def _bulk(cursor: Cursor, items: Kind, shape: tuple[int, ...]) -> NDArray[Any]:
    return cursor.numbers(items.code, shape if items.parts == 1 else (*shape, items.parts))


def _fixed(items: Kind, shape: tuple[int, ...]) -> Kind:
    """Return the reader of a vector or array whose shape the schema gives."""
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count > LONGEST_SCHEMA:
        raise _unknown(f"an array of {shape}")
    if items.code:
        return Kind(
            lambda cursor: _bulk(cursor, items, shape),
            count * items.least, items.code, count * items.parts,
        )  # fmt: skip
    return Kind(lambda cursor: [items.read(cursor) for _ in range(count)], count * items.least)


def _array(items: Kind, dimensions: Any) -> Kind:  # noqa: ANN401 - JSON
    """Return the reader of an array: its shape, as far as it is not given, then its items."""
    if isinstance(dimensions, list) and all("length" in (each or {}) for each in dimensions):
        return _fixed(items, tuple(int(each["length"]) for each in dimensions))
    rank = len(dimensions) if isinstance(dimensions, list) else dimensions

    def read(cursor: Cursor) -> Any:  # noqa: ANN401 - any type of the schema
        shape = tuple(cursor.number() for _ in range(cursor.count(1) if rank is None else rank))
        count = math.prod(shape)
        if max(shape, default=0) >= 1 << 31 or count * max(items.least, 1) > cursor.left:
            raise cursor.damaged(f"an array of {shape} does not fit into what is left")
        if items.code:
            return _bulk(cursor, items, shape)
        return [items.read(cursor) for _ in range(count)]

    return Kind(read, 1)


def _record(fields: dict[str, Kind]) -> Kind:
    """Return the reader of a record: a dictionary, in bulk an array of its numbers in order."""
    kinds = list(fields.values())
    codes = {kind.code for kind in kinds}
    code = codes.pop() if len(codes) == 1 else ""
    parts = sum(kind.parts for kind in kinds) if code else 0

    def read(cursor: Cursor) -> dict[str, Any]:
        return {name: kind.read(cursor) for name, kind in fields.items()}

    return Kind(read, sum(kind.least for kind in kinds), code, parts)
