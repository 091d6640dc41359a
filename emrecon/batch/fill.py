"""Values of a job file, checked against the dataclass that they fill in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from emrecon.errors import SettingsError

T = TypeVar("T")

_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text in quotes",
    Path: "a path in quotes",
}


def filled(form: type[T], options: Mapping[str, Any]) -> T:
    """Return a dataclass made of those options that are its fields.

    Raises
    ------
    SettingsError
        If a value is of another type than its field, or the dataclass refuses it.
    """
    hints = _hints(form)  # type: ignore[arg-type] # classes are hashable
    known = {name: fitting(value, hints[name], name) for name, value in options.items()
             if name in hints}  # fmt: skip
    return form(**known)


def names(*forms: type) -> set[str]:
    """Return the names of all fields."""
    return {field.name for form in forms for field in fields(form)}


@cache
def path_names(*forms: type) -> frozenset[str]:
    """Return the names of the fields that hold paths."""
    return frozenset(name for form in forms for name, hint in _hints(form).items()
                     if Path in {hint, *get_args(hint)})  # fmt: skip


@cache
def _hints(form: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields; the names in them are looked up once."""
    return get_type_hints(form)


def fitting(value: Any, hint: Any, name: str) -> Any:  # noqa: ANN401 - any TOML, any type
    """Return a value as the type of its field wants it; one number will do for a list of them.

    Raises
    ------
    SettingsError
        If it is of another type.
    """
    if get_origin(hint) in {Union, UnionType}:
        if value is None:
            return None
        hint = next(kind for kind in get_args(hint) if kind is not NoneType)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            choices = ", ".join(repr(choice) for choice in get_args(hint))
            raise SettingsError(f"{name} is one of {choices}, not {value!r}")
        return value
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(fitting(item, kind, name) for item in values)
    return _plain(value, hint, name)


def _plain(value: Any, kind: Any, name: str) -> Any:  # noqa: ANN401 - any TOML, any type
    if kind is float and type(value) in {int, float}:
        return float(value)
    if kind is Path and type(value) is str and value:
        return Path(value)
    if type(value) is kind:
        return value
    raise SettingsError(f"{name} is {_WORDS.get(kind, kind)}, not {value!r}")
