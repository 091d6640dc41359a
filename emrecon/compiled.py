"""Where compiled kernels are kept, and how many threads they use."""

from __future__ import annotations

import logging
import os
from functools import cache

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # idle threads sleep, not spin; read on load

import numba

from emrecon.errors import SettingsError
from emrecon.scratch import Scratch

log = logging.getLogger(__name__)

KERNEL_THREADS = "emrecon-kernel"
"""What the names of threads begin with that run kernels for others."""


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


@cache
def _kernels() -> Scratch:
    """Return a folder for kernels, which goes with this process."""
    return Scratch("kernels")


def _probe() -> None:
    """Be something to compile."""
