"""How values are shown at a prompt: by what they are and how large, not by their numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

LINE = 88
"""Most characters of a line."""

_PART = LINE - 16
"""Most characters of a value, beside its name."""

_FEW = 12
"""Most numbers of an array that are shown."""


def brief(value: Any) -> str:  # noqa: ANN401 - any dataclass
    """Return a dataclass in a line, or in a line for each field: its ``__repr__``.

    Left out is what is empty or as it is by default; of a large array there are shape and type.

    Examples
    --------
    >>> import numpy as np
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Counted:
    ...     views: int
    ...     counts: np.ndarray
    ...     randoms: np.ndarray | None = None
    ...     __repr__ = brief
    >>> Counted(12, np.ones((12, 17, 1), np.float32))
    Counted(views=12, counts=<12 x 17 x 1 float32>)
    """
    name = type(value).__name__
    parts = [f"{field}={_short(held)}" for field, held in _chosen_fields(value)]
    line = f"{name}({', '.join(parts)})"
    if len(line) <= LINE:
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), ")"])


def outcome(result: Any) -> str:  # noqa: ANN401 - an `emrecon.jobs.base.Result`
    """Return what is to be said of a result: its ``__repr__``."""
    lines = [line for text in result.summary().lines for line in text.splitlines()]
    name = type(result).__name__
    if not lines:
        return brief(result)
    return f"{name}: {lines[0]}" if len(lines) == 1 else "\n    ".join([f"{name}:", *lines])


def _chosen_fields(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any dataclass
    """Yield the fields that say something, by name."""
    for field in fields(value):
        held = getattr(value, field.name)
        empty = held is None or (isinstance(held, Collection) and not _array(held) and not held)
        if field.repr and not empty and not _usual(field, held):
            yield field.name, held


def _usual(field: Field[Any], held: object) -> bool:
    """Return whether a field is as it is by default."""
    factory = field.default_factory
    usual = field.default if factory is MISSING else factory()
    same = held is usual  # what is not a number is not like itself
    if is_dataclass(held) or (_plain(held) and _plain(usual)):
        return same or (type(held) is type(usual) and bool(held == usual))
    return same


def _short(value: Any) -> str:  # noqa: ANN401 - any value
    """Return a value in a part of a line."""
    if _array(value):
        text = _numbers(value.tolist()) if 0 < value.size <= _FEW else ""
        return text if 0 < len(text) <= _PART else f"<{_by(value.shape)} {value.dtype}>"
    if isinstance(value, Mapping):
        return f"<{len(value)} by name>"
    text = "" if isinstance(value, Sequence) and not _plain(value) else repr(value)
    if is_dataclass(value) and len(text) > _PART:
        text = brief(value)
    short = 0 < len(text) <= _PART and "\n" not in text and " at 0x" not in text
    return text if short else _kind(value)


def _kind(value: object) -> str:
    """Return what a value is that is too long to be shown."""
    kind = type(value).__name__
    if isinstance(value, str):
        return repr(f"{value[: _PART - 3]}…")
    if isinstance(value, Sequence):
        kinds = {type(one).__name__ for one in value}
        return f"<{len(value)} {kinds.pop() if len(kinds) == 1 else 'values'}>"
    if is_dataclass(value):
        shape = getattr(value, "shape", None)
        return f"{kind}({_by(shape) if shape and _plain(shape) else '...'})"
    return f"<{kind}>"


def _numbers(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_numbers, value))}]"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _array(value: object) -> bool:
    return bool(getattr(value, "shape", ())) and hasattr(value, "dtype")


def _plain(value: object) -> bool:
    """Return whether a value is a word or a number, or a tuple of some."""
    if isinstance(value, tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int | float)
