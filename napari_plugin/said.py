"""Settings said in Python and as flags: only what is not as by default."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any


def constructor(part: Any) -> str:  # noqa: ANN401 - any of the dataclasses
    """Return the call that makes a dataclass; empty where all is as by default."""
    given = [f"{name}={_python(value)}" for name, value in _given(part).items()]
    return f"{type(part).__name__}({', '.join(given)})" if given else ""


def flags(*parts: Any) -> list[str]:  # noqa: ANN401 - any of the dataclasses
    """Return the flags of the command line that fill in dataclasses."""
    words: list[str] = []
    for part in parts:
        for name, value in _given(part).items():
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            elif isinstance(value, tuple):
                words += [f"--{flag}", *map(str, value)]
            else:
                words += [f"--{flag}", str(value)]
    return words


def _python(value: Any) -> str:  # noqa: ANN401 - any type
    if isinstance(value, Path):
        return f"Path({str(value)!r})"
    if isinstance(value, tuple):
        return f"({''.join(f'{_python(one)}, ' for one in value).rstrip()})"
    return repr(value)


def _given(part: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the dataclasses
    """Return the fields of a dataclass that are not as by default."""
    values = {item.name: getattr(part, item.name) for item in fields(part)}
    return {
        item.name: values[item.name] for item in fields(part) if values[item.name] != item.default
    }
