"""How kernels are compiled, where they are kept, and how threads share them."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # idle threads sleep, not spin; read on load

import numba
import numpy as np
from numba.core import event

from emrecon.errors import SettingsError
from emrecon.scratch import Scratch

log = logging.getLogger(__name__)

KERNEL_THREADS = "emrecon-kernel"
"""What the names of threads begin with that run kernels for others."""

_njit: Any = numba.njit  # takes options as they come


def keep_kernels() -> None:
    """Make sure that numba has a folder to keep compiled kernels in.

    It keeps them beside the source or in the user's cache folder. Where neither can be written,
    as in some containers, a temporary folder serves this run; set NUMBA_CACHE_DIR to a folder
    that lasts and nothing is compiled twice.
    """
    try:
        numba.njit(cache=True)(_probe)
    except RuntimeError:
        numba.config.CACHE_DIR = str(_kernels().path)  # type: ignore[attr-defined] # set at run time
        log.warning("no folder to keep compiled kernels in: they are compiled for this run alone")


def kernel(**options: Any) -> Any:  # noqa: ANN401 - as numba has it
    """Return what compiles a function that Python calls, which leaves Python to other threads."""
    return _njit(nogil=True, cache=True, no_cfunc_wrapper=True, **options)


def inline(**options: Any) -> Any:  # noqa: ANN401 - as numba has it
    """Return what compiles a function into those that call it.

    It is for compiled code alone: ways for Python and C to call it, which numba makes of all by
    default, are a fifth of the time that all takes to compile.
    """
    only = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return _njit(forceinline=True, **only, **options)


def share(work: Callable[..., object], tasks: int, *args: Any) -> None:  # noqa: ANN401 - its own
    """Run `work(begin, end, *args)` over ranges of tasks in numba's number of threads.

    A kernel that is compiled for one thread and shared so takes a fraction of the time to compile
    that numba's own loops in parallel take. It leaves Python to others, and no two tasks write the
    same place.
    """
    threads = min(numba.get_num_threads(), tasks)
    if threads < 2:
        work(0, tasks, *args)
        return
    cuts = np.linspace(0, tasks, min(8 * threads, tasks) + 1).astype(int).tolist()
    left = deque(itertools.pairwise(cuts))

    def some() -> None:
        while left:
            try:
                cut = left.popleft()
            except IndexError:  # another thread was quicker
                return
            work(*cut, *args)

    helpers: list[Future[None]] = []
    with suppress(RuntimeError):  # they were ended meanwhile, or the process ends: alone, then
        helpers.extend(_helpers().submit(some) for _ in range(threads - 1))
    try:
        some()
    finally:
        left.clear()
        began = [helper for helper in helpers if not helper.cancel()]
        wait(began)  # for all of them, whoever failed: they write to the caller's arrays
    for helper in began:
        helper.result()


def end_helpers() -> None:
    """End the threads that wait to help with kernels; what is shared next begins others."""
    pool = _helpers()
    _helpers.cache_clear()
    pool.shutdown(wait=False)


@cache
def _helpers() -> ThreadPoolExecutor:
    """Return the threads that help, which wait from call to call: to begin one takes 0.1 ms."""
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined] # set at run time
    return ThreadPoolExecutor(max(1, most - 1), KERNEL_THREADS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # a fork has none of the threads


def set_threads(threads: int) -> None:
    """Let the kernels use so many threads; 0 is all there are.

    Raises
    ------
    SettingsError
        If the machine has fewer.
    """
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined] # set at run time
    if threads > most:
        raise SettingsError(
            f"{threads} threads wanted, but this machine has {most}: give at most that"
        )
    numba.set_num_threads(threads or most)


@contextmanager
def compiling(tell: Callable[[str], object]) -> Iterator[None]:
    """Tell of every kernel that this thread compiles, before it does; not of those kept on disk.

    So do threads that run kernels for it.

    Parameters
    ----------
    tell : callable
        Is told the kernel's name, and "" when all that was begun has ended; what it raises ends
        that at once.

    Yields
    ------
    None
    """
    with event.install_listener("numba:compile", _Compiling(tell)):
        yield


class _Compiling(event.Listener):
    """Tells of what one thread compiles, a function and those that it calls."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell, self._within, self._thread = tell, 0, threading.get_ident()

    def on_start(self, event: event.Event) -> None:
        """Be told that a function is about to be compiled."""
        if self._own():
            self._within += 1
            name: str = event.data["dispatcher"].py_func.__name__
            self._tell(name.strip("_").replace("_", " "))

    def on_end(self, event: event.Event) -> None:
        """Be told that it was."""
        if self._own():
            self._within -= 1
            if not self._within:
                self._tell("")

    def _own(self) -> bool:
        name = threading.current_thread().name
        return threading.get_ident() == self._thread or name.startswith(KERNEL_THREADS)


@cache
def _kernels() -> Scratch:
    """Return a folder for kernels, which goes with this process."""
    return Scratch("kernels")


def _probe() -> None:
    """Be something to compile."""
