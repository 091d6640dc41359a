"""``--config FILE.toml``: settings of one reconstruction or segmentation; flags go before them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emrecon.errors import SettingsError
from emrecon.files import read_toml

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import Argument, ArgumentCollection

TAKEN_BY = frozenset({"recon", "segment"})
"""Commands that take such a file. That of a batch is read by the batch."""

OWN = frozenset({"config", "dry-run", "quiet", "verbose", "json"})
"""Flags that are said on the command line alone."""

OWN_PATHS = frozenset({"out", "cache"})
"""Flags that take a path and belong to the command, not to what it does."""


def filled(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill in what was not typed from the file that ``--config`` names."""
    flags = {name.removeprefix("--"): one for one in arguments for name in one.names}
    if not TAKEN_BY.intersection(commands) or not flags["config"].tokens:
        return
    command, path = commands[-1], Path(flags["config"].tokens[0].value)
    taken = {name: one for name, one in flags.items() if name not in OWN}
    for name, value in _settings_beside(path, command).items():
        argument = taken.get(name.replace("_", "-"))
        if argument is None or not name.replace("_", "").isalnum():
            raise SettingsError(f"{path}: {command} has no setting {name!r}")
        if not argument.tokens:
            _fill(argument, name, value, path)


def settings_in(path: Path, command: str) -> Mapping[str, Any]:
    """Return the settings of a file: those in the command's own table, where there are tables.

    Raises
    ------
    FormatError
        If it cannot be read.
    SettingsError
        If it is no TOML.
    """
    values = read_toml(path)
    if not TAKEN_BY.intersection(values):
        return values
    if other := sorted(set(values) - TAKEN_BY):
        raise SettingsError(f"{path}: {other[0]!r} is in no table: {', '.join(sorted(TAKEN_BY))}")
    table = values.get(command, {})
    if not isinstance(table, Mapping):
        raise SettingsError(f"{path}: {command} is a table of settings, not {table!r}")
    return table


def _settings_beside(path: Path, command: str) -> Mapping[str, Any]:
    """Return the settings of a file, paths beside it."""
    from emrecon.batch.jobfile import anchored

    values = dict(settings_in(path, command))
    for name in OWN_PATHS.intersection(values):
        if isinstance(values[name], str):
            values[name] = str(path.parent / values[name])
    try:
        return anchored(command, values, {}, path.parent)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def _fill(argument: Argument, name: str, value: Any, path: Path) -> None:  # noqa: ANN401 - TOML
    """Give an argument the value of a file, held against its type."""
    from cyclopts import Token

    from emrecon import forms

    try:
        filled = forms.fitting(value, argument.hint, name)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    many: Iterable[Any] = filled if isinstance(filled, tuple | list) else (filled,)
    for index, one in enumerate(many):
        token = Token(keyword=f"--{name}", value=forms.to_text(one), source=str(path), index=index)
        argument.append(token)
