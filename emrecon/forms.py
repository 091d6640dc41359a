"""Settings in and out: the one reader and the one printer of all forms.

A form is a frozen dataclass of settings, such as `emrecon.tomo.settings.Settings`. Flags, job
files, manifests, the panel and Python fill it in; sidecars, resume keys and "copy as" print it.
What a field takes is its type; msgspec holds values against that (it knows ``float | "auto"``,
tuples and whole numbers without being lenient), and the words of a refusal are ours.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from emrecon.errors import SettingsError

T = TypeVar("T")

WORD = "word"
"""Key in the metadata of a field of a path, of the words that may stand in place of one."""

NONE, SIMULATE, AUTO = "none", "simulate", "auto"
"""Words in place of a path: no file, though a manifest names one; one that is worked out."""

NONE_HELP = "In place of a file, none leaves out the one that the scan's manifest names."
"""What is said of that word beside the fields that take it."""

_MANY = {tuple, list}

_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text in quotes",
    Path: "a path in quotes",
}


def filled(form: type[T], values: Mapping[str, Any]) -> T:
    """Return a form with those of the values that are its fields; other names are left alone.

    Raises
    ------
    SettingsError
        If a value is of another type than its field, or the form refuses it.
    """
    hints = types_of(form)  # type: ignore[arg-type] # classes are hashable
    return form(**{n: fitting(value, hints[n], n) for n, value in values.items() if n in hints})


def fitting(value: Any, hint: Any, name: str) -> Any:  # noqa: ANN401 - any TOML, any type
    """Return a value of TOML or JSON as the type `hint` has it; one will do for a list of them.

    Raises
    ------
    SettingsError
        If it is of another type.
    """
    import msgspec  # noqa: PLC0415 - quick --help

    if get_origin(hint) in _MANY and not isinstance(value, list | tuple):
        value = [value]
    try:
        fitted = msgspec.convert(value, hint, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name} is {wanted(hint)}, not {value!r}") from error
    parts = fitted if isinstance(fitted, list | tuple) else [fitted]
    if any(isinstance(part, float) and not math.isfinite(part) for part in parts):
        raise SettingsError(f"{name} is {wanted(hint)}, not {value!r}: no setting is infinite")
    return fitted


def from_text(words: str | Sequence[str], hint: Any, name: str) -> Any:  # noqa: ANN401 - any type
    """Return what a person typed as the type `hint` has it: flags, lines of the panel.

    Parameters
    ----------
    words : str or sequence of str
        What was typed; several words for a tuple.
    hint : type
        Type of the field.
    name : str
        How the field is called to this person; empty where it has no name.

    Raises
    ------
    SettingsError
        If it is not of the field's type.
    """
    many = get_origin(hint) in _MANY
    kinds = _scalars(get_args(hint)[0] if many else hint)
    typed = [words] if isinstance(words, str) else list(words)
    words = typed
    if not many and _may_be_list(hint) and "," in typed[0]:  # 0.1,0.2 where one number will do
        words, many = typed[0].split(","), True
    values = [_parsed(word.strip(), kinds) for word in words]
    try:
        return fitting(values if many else values[0], hint, name)
    except SettingsError:
        shown = " ".join(typed)
        which = f"{name}: " if name else ""
        raise SettingsError(f"{which}{shown!r} is not {wanted(hint, typed=True)}") from None


def to_text(value: Any) -> str:  # noqa: ANN401 - any type of field
    """Return one value as it is typed, with all its digits; `from_text` reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(to_text, value))
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else str(value)


def changed(form: Any) -> dict[str, Any]:  # noqa: ANN401 - any form
    """Return the fields that are not as by default."""
    return {
        item.name: value
        for item in fields(form)
        if (value := getattr(form, item.name)) != default_of(item)
    }


def asked(form: Any) -> list[str]:  # noqa: ANN401 - any form
    """Return the fields that ask for something: changed, and not merely from unsaid to none."""
    unsaid = {item.name for item in fields(form) if item.default is None}
    none = said_none(form)
    return [
        name
        for name, value in changed(form).items()
        if (value or name not in unsaid) and name not in none
    ]


def said_none(form: Any) -> dict[str, Any]:  # noqa: ANN401 - any form
    """Return the fields of paths that are said to be none, with what they are by default."""
    takers = words_for_paths(type(form))  # type: ignore[arg-type] # classes are hashable
    return {
        item.name: default_of(item)
        for item in fields(form)
        if NONE in takers.get(item.name, ())
        and getattr(form, item.name) in {Path(NONE), (Path(NONE),)}
    }


def told(form: Any) -> dict[str, Any]:  # noqa: ANN401 - any form
    """Return the fields that are not as by default and name no file, as a sidecar tells them."""
    named = path_names(type(form))  # type: ignore[arg-type] # classes are hashable
    none = dict.fromkeys(said_none(form), NONE)
    return {n: to_plain(value) for n, value in changed(form).items() if n not in named} | none


def plain(form: Any) -> dict[str, Any]:  # noqa: ANN401 - any form
    """Return a form as JSON and TOML hold it; `filled` reads it."""
    return {item.name: to_plain(getattr(form, item.name)) for item in fields(form)}


def to_plain(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return a value as JSON holds it: paths are text, and so are numbers that are not finite."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value


def to_python(value: Any) -> str:  # noqa: ANN401 - any type of field
    """Return the Python that makes a value."""
    if is_dataclass(value):
        return as_python(value) or f"{type(value).__name__}()"
    if isinstance(value, Path):
        return f"Path({str(value)!r})"
    if isinstance(value, tuple):
        inside = ", ".join(map(to_python, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def as_python(form: Any) -> str:  # noqa: ANN401 - any form
    """Return the call that makes a form; empty where all is as by default."""
    pairs = [f"{name}={to_python(value)}" for name, value in changed(form).items()]
    return f"{type(form).__name__}({', '.join(pairs)})" if pairs else ""


def as_flags(*forms: Any, leave_out: str = "") -> list[str]:  # noqa: ANN401 - any forms
    """Return the flags of the command line that fill forms in, and the forms within them."""
    return [
        word
        for form in forms
        for name, value in changed(form).items()
        if name != leave_out
        for word in _flags(name, value, types_of(type(form))[name])  # type: ignore[arg-type] # hashable
    ]


def as_toml(*forms: Any) -> str:  # noqa: ANN401 - any forms
    """Return the lines of a job file that fill forms in."""
    import msgspec  # noqa: PLC0415 - quick --help

    pairs = {name: value for form in forms for name, value in changed(form).items()}
    return "".join(
        f"{name} = {msgspec.json.encode(to_plain(value)).decode()}\n"  # JSON's words are TOML's
        for name, value in pairs.items()
    )


def names(*forms: type) -> set[str]:
    """Return the names of all fields."""
    return {item.name for form in forms for item in fields(form)}


@cache
def types_of(form: type) -> dict[str, Any]:
    """Return the types of a form's fields by name."""
    return get_type_hints(form)


@cache
def path_names(*forms: type) -> frozenset[str]:
    """Return the names of the fields that hold paths."""
    return frozenset(
        name for form in forms for name, hint in types_of(form).items() if Path in _scalars(hint)
    )


@cache
def words_for_paths(*forms: type) -> dict[str, tuple[str, ...]]:
    """Return the words that fields take in place of a path, by the names of these fields."""
    every = [item for form in forms for item in fields(form)]
    return {item.name: item.metadata[WORD] for item in every if WORD in item.metadata}


def paths_in(form: Any) -> dict[str, Path]:  # noqa: ANN401 - any form
    """Return every path that a form names, by field; several of a tuple are numbered from 1."""
    named: dict[str, Path] = {}
    none = said_none(form)
    for item in fields(form):
        value = getattr(form, item.name)
        if item.name in none:
            continue
        if isinstance(value, Path):
            named[item.name] = value
        elif isinstance(value, tuple):
            several = [one for one in value if isinstance(one, Path)]
            stem = item.name.removesuffix("s")
            named |= numbered(stem, several)
    return named


def numbered(stem: str, paths: Sequence[Path]) -> dict[str, Path]:
    """Return paths by a name, numbered from 1 where there are several."""
    if len(paths) == 1:
        return {stem: paths[0]}
    return {f"{stem}{number}": path for number, path in enumerate(paths, 1)}


def path_of(text: str) -> Path:
    """Return the path of a text; of ``./none``, which as a path is the word, the absolute one."""
    path = Path(text)
    return path.absolute() if str(path) in {NONE, SIMULATE, AUTO} - {text} else path


def with_paths(form: T, place: Callable[[Path], Path]) -> T:
    """Return a form with every path put through `place`."""
    from dataclasses import replace  # noqa: PLC0415 - beside its one use

    moved: dict[str, Any] = {}
    for item in fields(form):  # type: ignore[arg-type] # T is a dataclass
        value = getattr(form, item.name)
        if isinstance(value, Path):
            moved[item.name] = place(value)
        elif isinstance(value, tuple) and any(isinstance(one, Path) for one in value):
            moved[item.name] = tuple(place(one) for one in value)
    return replace(form, **moved)  # type: ignore[type-var] # T is a dataclass


@cache
def helps(form: type) -> dict[str, str]:
    """Return the text under each field."""
    from docstring_parser import parse_from_object  # noqa: PLC0415 - quick --help

    documented = parse_from_object(form).params
    return {item.arg_name: " ".join((item.description or "").split()) for item in documented}


def default_of(item: Field[Any]) -> Any:  # noqa: ANN401 - any type
    """Return the default of a field; a value that nothing equals where there is none."""
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


def without_none(hint: Any) -> tuple[bool, Any]:  # noqa: ANN401 - any type
    """Return whether None is among the values of a type, and the type without it."""
    if get_origin(hint) not in {Union, types.UnionType}:
        return False, hint
    rest = [kind for kind in get_args(hint) if kind is not types.NoneType]
    return len(rest) < len(get_args(hint)), Union[tuple(rest)]  # noqa: UP007 - of a list


def choices(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any type
    """Return the values of a type that has few of them; empty for any other."""
    return get_args(hint) if get_origin(hint) is Literal else ()


def wanted(hint: Any, *, typed: bool = False) -> str:  # noqa: ANN401 - any type
    """Return in words what a type takes; `typed` where a person types it without quotes."""
    _, hint = without_none(hint)
    if get_origin(hint) in _MANY:
        each = wanted(get_args(hint)[0], typed=typed)
        return f"{each}, or several with spaces between them" if typed else f"a list, each {each}"
    if options := choices(hint):
        words = [str(each) if typed else repr(each) for each in options]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if get_origin(hint) in {Union, types.UnionType}:
        return " or ".join(wanted(kind, typed=typed) for kind in get_args(hint))
    words_of = _KINDS.get(hint, str(hint))
    return words_of.removesuffix(" in quotes") if typed else words_of


def _scalars(hint: Any) -> list[Any]:  # noqa: ANN401 - any type
    """Return the plain types within a type, and the values of its choices."""
    if get_origin(hint) in {Union, types.UnionType, Literal, *_MANY}:
        return [kind for inner in get_args(hint) for kind in _scalars(inner)]
    return [hint]


def _parsed(word: str, kinds: Iterable[Any]) -> Any:  # noqa: ANN401 - any plain type
    """Return a typed word as a number or truth where one of the kinds is such, else itself."""
    numbers = [kind for kind in kinds if kind in {int, float} or isinstance(kind, int)]
    if numbers and re.fullmatch(r"[+-]?\d+", word):
        return int(word)
    if float in numbers:
        try:
            return float(word)
        except ValueError:
            return word
    if bool in kinds and word.lower() in {"true", "false", "yes", "no", "1", "0"}:
        return word.lower() in {"true", "yes", "1"}
    return word


def _path(kind: type, value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a path of the text that JSON and TOML hold it as."""
    if isinstance(value, str) and value and "\0" not in value:
        return path_of(value)
    raise ValueError(f"not a {kind.__name__}")


def _may_be_list(hint: Any) -> bool:  # noqa: ANN401 - any type
    """Return whether a list is one of the kinds that a field takes."""
    return any(get_origin(kind) in _MANY for kind in get_args(hint))


def _flags(name: str, value: Any, hint: Any) -> list[str]:  # noqa: ANN401 - any type of field
    """Return the flag of a field and its value; of a form those of all its fields."""
    if is_dataclass(value):
        return as_flags(value)
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    many = get_origin(without_none(hint)[1]) in _MANY
    return [f"--{flag}", *map(to_text, value if many else [value])]
