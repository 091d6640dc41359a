"""What a piece of work warns of, kept for its results."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Ear(logging.Handler):
    """Keeps the warnings of one thread, or of all, each once."""

    def __init__(self, thread: int | None) -> None:
        super().__init__(logging.WARNING)
        self.thread = thread
        self.lines: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        if record.levelno == logging.WARNING and self.hears(record):
            self.lines[" ".join(record.getMessage().split())] = None

    def hears(self, record: logging.LogRecord) -> bool:
        """Return whether a message is of a thread that is listened to."""
        return self.thread in {None, record.thread}

    def passes(self, record: logging.LogRecord) -> bool:
        """Return whether others are to say a message, where this one is to be alone."""
        return not self.hears(record)


@contextmanager
def heard(
    of: str = "emrecon", *, every_thread: bool = False, silent: bool = False
) -> Iterator[dict[str, None]]:
    """Collect the warnings that are logged, and let them be said as well.

    Parameters
    ----------
    of : str, optional
        Logger whose warnings, and those of all below it, are collected: this package's, or the
        root of all (empty).
    every_thread : bool, optional
        Whether those of other threads are, too: where one piece of work has the process alone.
    silent : bool, optional
        Whether these threads say nothing meanwhile.

    Yields
    ------
    dict of str to None
        The messages so far, each once, in their order.
    """
    ear, logger = _Ear(None if every_thread else threading.get_ident()), logging.getLogger(of)
    others = [*logging.getLogger().handlers, logging.lastResort] if silent else []
    mouths = [handler for handler in others if handler is not None]
    for mouth in mouths:
        mouth.addFilter(ear.passes)
    logger.addHandler(ear)
    try:
        yield ear.lines
    finally:
        logger.removeHandler(ear)
        for mouth in mouths:
            mouth.removeFilter(ear.passes)
