"""What is typed or in a file of settings, held against the manifest of the scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import Argument, ArgumentCollection

SCANS = frozenset({"scan", "like"})
"""Flags that name a scan."""


def heard(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse a default that was typed and that the scan's manifest would go before."""
    given = [one for one in arguments if one.tokens]
    typed = {one.names[0].removeprefix("--").replace("-", "_"): one for one in given}
    if not SCANS.intersection(typed):
        return
    from emrecon.forms import names
    from emrecon.io.manifest import refuse_unheard
    from emrecon.tomo.inputs import Corrections

    kept = SCANS | names(Corrections)
    refuse_unheard({name: _value(one) for name, one in typed.items() if name in kept})


def _value(argument: Argument) -> Any:  # noqa: ANN401 - any type of flag
    """Return what an argument's tokens say."""
    from emrecon.forms import from_text

    first = argument.tokens[0]
    if isinstance(first.implicit_value, bool):
        return first.implicit_value
    return from_text([one.value for one in argument.tokens], argument.hint, first.keyword or "")
