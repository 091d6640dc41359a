"""What a piece of work warns of, kept for its results."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Ear(logging.Handler):
    """Keeps the warnings of one thread, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread = threading.get_ident()
        self.lines: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        if record.levelno == logging.WARNING and record.thread == self.thread:
            self.lines[" ".join(record.getMessage().split())] = None


@contextmanager
def heard() -> Iterator[dict[str, None]]:
    """Collect the warnings that this package logs in this thread, and let them be said as well.

    Yields
    ------
    dict of str to None
        The messages so far, each once, in their order.
    """
    ear, logger = _Ear(), logging.getLogger("emrecon")
    logger.addHandler(ear)
    try:
        yield ear.lines
    finally:
        logger.removeHandler(ear)
