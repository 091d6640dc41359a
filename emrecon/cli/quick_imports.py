"""Loads numpy, nibabel and numba without what no command needs; import it before they are.

nibabel brings all of pydicom and what fetches its examples from the net, for DICOM headers inside
NIfTI files, which are never looked into here. numba brings scipy.linalg, to see whether there is
a BLAS, which no kernel calls. That is half a second of each command. The BLAS of numpy starts
threads for what is too small to share, which then wait for more at full speed: as much again.
Only commands do so: their process is their own, and what they import later is complete.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is loaded


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Have a module that is not loaded look as if it were not installed."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment] # Python's word for not to be found
    try:
        yield
    finally:
        del sys.modules[name]


def load_kernels() -> None:
    """Load what numba needs to run kernels, which it would do at the first of them."""
    from numba.core.registry import cpu_target

    with _without("scipy.linalg.cython_blas"):
        cpu_target.target_context.refresh()


with _without("pydicom"):
    import nibabel  # noqa: F401 - here, while pydicom is hidden
