"""The command ``emrecon``."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NoReturn

from cyclopts import App, CycloptsError, Parameter, Token

from emrecon.cli.config_file import filled
from emrecon.errors import EmreconError, SettingsError

INTERRUPTED = 130
FAILED = 1
USAGE = 2
EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted."


def _read(kind: Any, tokens: Sequence[Token]) -> Any:  # noqa: ANN401 - any type of flag
    """Convert what was typed, as all settings are read."""
    from emrecon.forms import from_text

    return from_text([token.value for token in tokens], kind, tokens[0].keyword or "it")


def _shown(value: Any) -> str | None:  # noqa: ANN401 - any default
    """Return a default as help shows it; nothing where it says nothing."""
    return None if value is None or value is False or value in {"", ()} else str(value)


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

app.config = [filled]

COMMANDS = {
    "demo": "Simulate a small scan, reconstruct it and segment the image.",
    "phantom": "Write a phantom's activity, attenuation and labels as NIfTI.",
    "simulate": "Simulate a scan of a phantom, with its truth beside it.",
    "segment": "Segment an image into tissue classes by EM.",
    "recon": "Reconstruct a scan by MLEM or OSEM.",
    "info": "Say what a file is, and how its geometry is understood.",
    "batch": "Do many jobs: a job file, or a BIDS dataset.",
    "convert": "Turn list-mode into sinograms, or an image into another format.",
    "normalise": "Estimate detection efficiencies from the scan of a known source.",
    "calibrate": "Find what makes Bq/mL of a PET scanner's images, from a cylinder.",
    "scatter": "Work out the scatter of a PET scan from an image of its activity.",
    "transmission": "Reconstruct an attenuation map from counts of X-rays or a rod source.",
    "metrics": "Hold an image against the truth.",
    "doctor": "Say what there is to compute with; paste it into a report of a problem.",
    "completion": "Print the script by which a shell completes commands and flags.",
}

for _name, _help in COMMANDS.items():  # loaded by name when called, so that --help is quick
    app.command(f"emrecon.cli.{_name}:{_name}", name=_name, help=_help)


def main(tokens: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one line and an exit code above 0.

    Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.captureWarnings(capture=True)
    try:
        with _terminated():
            given = list(sys.argv[1:] if tokens is None else tokens)
            _explain(given)
            app(given, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        refused = isinstance(error.__cause__, SettingsError)
        _end(error.__cause__ if refused else error, USAGE)
    except EmreconError as error:
        _end(error, exit_code(error))
    except MemoryError:
        _end("out of memory: choose larger voxels or fewer of them, or a smaller span", FAILED)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # names that are too long, links that go around, a network that left
        named = f"{error.filename}: " if error.filename else ""
        _end(f"{named}{error.strerror or error}", FAILED)


def _explain(tokens: Sequence[str]) -> None:
    """Where a command's help is asked for, let it be all of its docstring, and its examples."""
    name = next(iter(tokens), "")
    if name not in COMMANDS or not {"--help", "-h"}.intersection(tokens):
        return
    command = app[name]  # loads its module
    module = sys.modules[f"emrecon.cli.{name}"]
    told = inspect.cleandoc(getattr(module, name).__doc__).partition("\nParameters\n")[0]
    command.help = "\n\n".join(" ".join(part.split()) for part in told.split("\n\n"))
    examples = (module.__doc__ or "").partition("For example::\n")[2].strip("\n")
    command.help_epilogue = f"Examples:\n\n{examples}\n\n{EXIT_CODES}"


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
