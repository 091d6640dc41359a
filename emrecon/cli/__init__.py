"""The command ``emrecon``."""

from __future__ import annotations

import inspect
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NoReturn

from cyclopts import App, CycloptsError, Group, Parameter, Token

from emrecon.cli.config_file import filled
from emrecon.errors import EmreconError, SettingsError

INTERRUPTED = 130
FAILED = 1
USAGE = 2
UNREAD = 141
"""As other programs end whose reader left, such as ``head``: 128 + SIGPIPE."""

EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted."


def _read(kind: Any, tokens: Sequence[Token]) -> Any:  # noqa: ANN401 - any type of flag
    """Convert what was typed, as all settings are read."""
    from emrecon.forms import from_text

    return from_text([token.value for token in tokens], kind, tokens[0].keyword or "")


def _shown(value: Any) -> str | None:  # noqa: ANN401 - any default
    """Return a default as help shows it; nothing where it stands for "not said"."""
    many = value if isinstance(value, tuple) else (value,)
    if all(one in {None, "", 0, -1} for one in many):
        return None
    return " ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in many)


app = App(
    name="emrecon",
    help="Expectation-maximisation for medical images.",
    version=lambda: version("emrecon"),
    help_epilogue=f"emrecon COMMAND --help has examples. {EXIT_CODES}",
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(
        negative=(), consume_multiple=True, converter=_read, show_default=_shown
    ),
)

app.config = filled

GROUPS = {
    "Images": {
        "recon": "Reconstruct a scan by MLEM, OSEM, with a prior or a kernel.",
        "segment": "Segment an image into tissue classes by EM.",
        "transmission": "Reconstruct an attenuation map from counts of X-rays or a rod source.",
        "batch": "Do many jobs: a job file, or a BIDS dataset.",
    },
    "Files": {
        "info": "Say what a file is, and how its geometry is understood.",
        "convert": "Turn list-mode into sinograms, or an image into another format.",
        "metrics": "Hold an image against the truth.",
    },
    "A scanner": {
        "normalise": "Estimate detection efficiencies from the scan of a known source.",
        "calibrate": "Find what makes Bq/mL of a PET scanner's images, from a cylinder.",
        "scatter": "Work out the scatter of a PET scan from an image of its activity.",
    },
    "To try it out": {
        "demo": "Simulate a small scan and reconstruct it; segment a T1 of the same brain.",
        "simulate": "Simulate a scan of a phantom, with its truth beside it.",
        "phantom": "Write a phantom's activity, attenuation and labels as NIfTI.",
    },
    "This machine": {
        "doctor": "Say what there is to compute with; paste it into a report of a problem.",
        "completion": "Print the script by which a shell completes commands and flags.",
    },
}
"""Commands as help shows them; each is loaded by name when it is called, so that help is quick."""

COMMANDS = {name: words for group in GROUPS.values() for name, words in group.items()}

for _index, (_title, _group) in enumerate(GROUPS.items()):
    _shelf = Group(_title, sort_key=_index)
    for _order, (_name, _help) in enumerate(_group.items()):
        _source = f"emrecon.cli.{_name}:{_name}"
        app.command(_source, name=_name, help=_help, group=_shelf, sort_key=_order)

app["--help"].group = app["--version"].group = Group("Flags", sort_key=len(GROUPS))


def main(tokens: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one line and an exit code above 0.

    Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted, 141 where what it prints is not read.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.captureWarnings(capture=True)
    _print_all_letters()
    try:
        with _terminated(), _warned_once(), _flushed():
            arguments = list(sys.argv[1:] if tokens is None else tokens)
            _explain(arguments)
            app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        refused = isinstance(error.__cause__, SettingsError)
        _end(error.__cause__ if refused else error, USAGE)
    except EmreconError as error:
        _end(error, exit_code(error))
    except MemoryError:
        _end("out of memory: choose larger voxels or fewer of them, or a smaller span", FAILED)
    except KeyboardInterrupt:
        _interrupted(ends=tokens is None)
    except (BrokenPipeError, SystemExit) as error:
        if not any(isinstance(one, BrokenPipeError) for one in (error, error.__context__)):
            raise  # rich makes the former a SystemExit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(UNREAD)
    except OSError as error:  # names that are too long, links that go around, a network that left
        named = f"{error.filename}: " if error.filename else ""
        _end(f"{named}{error.strerror or error}", FAILED)


def _interrupted(*, ends: bool) -> None:
    """End; what is half made (a ZipFile) does not complain where the process ends, too."""
    if ends:
        sys.unraisablehook = lambda _: None
    _end("interrupted", INTERRUPTED)


def _explain(tokens: Sequence[str]) -> None:
    """Where a command's help is asked for, let it be all of its docstring, and its examples."""
    name = next(iter(tokens), "")
    if name not in COMMANDS or not {"--help", "-h"}.intersection(tokens):
        return
    command = app[name]  # loads its module
    module = sys.modules[f"emrecon.cli.{name}"]
    text = inspect.cleandoc(getattr(module, name).__doc__).partition("\nParameters\n")[0]
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    examples = (module.__doc__ or "").partition("For example::\n")[2].strip("\n")
    codes = (
        EXIT_CODES.replace(", 130", ", 3 inputs invalid, 130") if name == "batch" else EXIT_CODES
    )
    command.help_epilogue = f"Examples:\n\n{examples}\n\n{codes}"


def _print_all_letters() -> None:
    """Print letters that a console's encoding does not have by their numbers, as stderr does."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and out.errors == "strict":
        out.reconfigure(errors="backslashreplace")


class _First(logging.Filter):
    """Lets the same words pass once, however often a file is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether these words come for the first time."""
        words = record.getMessage()
        first = words not in self._passed
        self._passed.add(words)
        return first


@contextmanager
def _warned_once() -> Iterator[None]:
    """Say the same warning once."""
    filters = [(handler, _First()) for handler in logging.getLogger().handlers]
    for handler, first in filters:
        handler.addFilter(first)
    try:
        yield
    finally:
        for handler, first in filters:
            handler.removeFilter(first)


@contextmanager
def _flushed() -> Iterator[None]:
    """Meet a reader that left, or a full disk, while it can still be told."""
    try:
        yield
    except SystemExit as left:
        if not left.code and sys.stdout is not None:
            sys.stdout.flush()
        raise
    if sys.stdout is not None:
        sys.stdout.flush()


@contextmanager
def _terminated() -> Iterator[None]:
    """Take the wish to end (SIGTERM, as of SLURM at its time limit) for Ctrl-C.

    Files that a run keeps for itself are so removed.
    """

    def stop(*about: object) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # where none can be set
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def complain(reason: object) -> None:
    """Say what went wrong, in one line."""
    print(f"emrecon: {' '.join(str(reason).split())}", file=sys.stderr)


def exit_code(error: EmreconError) -> int:
    """Return the exit code of what went wrong."""
    return USAGE if isinstance(error, SettingsError) else FAILED


def _end(reason: object, code: int) -> None:
    """Say why, and leave."""
    complain(reason)
    sys.exit(code)
