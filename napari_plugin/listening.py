"""What a thread's run says beside its result: warnings, and kernels that are compiled."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from emrecon.compiled import KERNEL_THREADS


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


@contextmanager
def compiling(told: Callable[[str], object]) -> Iterator[None]:
    """Tell of every kernel that this thread compiles, before it does; what is raised ends it.

    So do threads that run kernels for it: no two runs compute at a time.
    """
    from numba.core import event  # noqa: PLC0415 - heavy

    thread = threading.get_ident()

    class Compiled(event.Listener):  # type: ignore[misc] # numba has no types
        """Is told of what numba does."""

        def on_start(self, event: Any) -> None:  # noqa: ANN401 - numba's
            """Be told that a kernel is about to be compiled."""
            own = threading.get_ident() == thread
            if own or threading.current_thread().name.startswith(KERNEL_THREADS):
                told(str(event.data["dispatcher"].py_func.__name__).strip("_").replace("_", " "))

        def on_end(self, event: Any) -> None:  # noqa: ANN401 - numba's
            """Be told that it was."""

    with event.install_listener("numba:compile", Compiled()):
        yield
