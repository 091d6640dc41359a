"""What a thread's run warns of."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Listener(logging.Handler):
    """Adds what one thread warns of to a list, each warning once."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said, self._thread = messages, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Be given what any thread logs."""
        text = record.getMessage()
        if record.thread == self._thread and text not in self._said:
            self._said.append(text)


@contextmanager
def warnings_of(messages: list[str]) -> Iterator[None]:
    """Add what this thread warns of to a list, while the context lasts."""
    listener = _Listener(messages)
    loggers = [logging.getLogger(name) for name in ("emrecon", "phantoms", "napari_plugin")]
    for logger in loggers:
        logger.addHandler(listener)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(listener)
