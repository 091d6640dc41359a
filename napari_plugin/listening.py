"""What a thread's run warns of."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Listener(logging.Handler):
    """Adds what one thread warns of to a list, each warning once."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said, self._thread = said, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Be given what any thread logs."""
        text = record.getMessage()
        if record.thread == self._thread and text not in self._said:
            self._said.append(text)


@contextmanager
def warnings_of(said: list[str]) -> Iterator[None]:
    """Add what this thread warns of to a list, while the context lasts."""
    listener = _Listener(said)
    loggers = [logging.getLogger(name) for name in ("emrecon", "phantoms", "napari_plugin")]
    for logger in loggers:
        logger.addHandler(listener)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(listener)
